# Mejlen som ber kundens administratör om medgivande (`muster invite`).

mail-invite-subject = { $provider } ber om att få läsa säkerhetsaviseringarna för { $customer }
mail-remind-subject = Påminnelse: { $provider } väntar på medgivande från { $customer }
mail-greeting = Hej!
mail-invite-lead = { $provider } övervakar säkerheten för { $customer }. För att kunna göra det behöver övervakningssystemet läsa era aviseringar i Microsoft Defender. Microsoft tillåter det först när en administratör i er organisation har gett sitt medgivande.
mail-remind-lead = Den { $invited } bad vi om medgivande att läsa aviseringarna i Microsoft Defender för { $customer }. Det har ännu inte getts, så { $provider } kan inte se dessa aviseringar.
mail-who = Be en global administratör eller en privilegierad rolladministratör i er organisation att öppna den här sidan. Den berättar vad vi ber om och varför, och ingenting händer förrän ni godkänner på Microsofts egen sida:
mail-button = Öppna sidan
mail-until = Länken gäller till { $until }. Den är endast avsedd för er organisation; skicka den bara vidare till den administratör som ska ge sitt medgivande.
mail-tenant = Ert klientorganisations-ID hos Microsoft: { $tenant }
mail-doubt = Om du tvivlar på att meddelandet är äkta, fråga oss innan du öppnar länken, på ett sätt som du redan känner till. Vår kontakt: { $contact }
