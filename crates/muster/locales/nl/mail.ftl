# De e-mails waarin de beheerder van de klant om toestemming wordt gevraagd (`muster invite`).

mail-invite-subject = { $provider } vraagt om de beveiligingswaarschuwingen van { $customer } te mogen lezen
mail-remind-subject = Herinnering: { $provider } wacht op de toestemming van { $customer }
mail-greeting = Goedendag,
mail-invite-lead = { $provider } bewaakt de beveiliging van { $customer }. Daarvoor moet het bewakingssysteem uw waarschuwingen uit Microsoft Defender kunnen lezen. Microsoft staat dat pas toe nadat een beheerder van uw organisatie toestemming heeft gegeven.
mail-remind-lead = Op { $invited } hebben wij toestemming gevraagd om de waarschuwingen van { $customer } uit Microsoft Defender te lezen. Die is nog niet gegeven, dus { $provider } ziet deze waarschuwingen niet.
mail-who = Laat een globale beheerder of een beheerder voor bevoorrechte rollen van uw organisatie deze pagina openen. Daarop staat wat wij vragen en waarom, en er gebeurt niets voordat u op de eigen pagina van Microsoft akkoord gaat:
mail-button = Pagina openen
mail-until = De link werkt tot { $until }. Hij is alleen voor uw organisatie bestemd; stuur hem alleen door aan de beheerder die toestemming moet geven.
mail-tenant = Uw tenant-id bij Microsoft: { $tenant }
mail-doubt = Twijfelt u of dit bericht echt is, vraag het ons dan voordat u de link opent, via een weg die u al kent. Ons contact: { $contact }
