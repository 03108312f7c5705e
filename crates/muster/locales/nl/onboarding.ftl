# De pagina's voor de beheerder van de klant. Beleefdheidsvorm; termen zoals in de Nederlandse portals van Microsoft.

date-time = { $day } { $month ->
    [1] januari
    [2] februari
    [3] maart
    [4] april
    [5] mei
    [6] juni
    [7] juli
    [8] augustus
    [9] september
    [10] oktober
    [11] november
   *[12] december
} { $year } om { $time } UTC
languages = Taal
skip-to-content = Naar de inhoud

## Vóór de toestemming

landing-title = { $provider } vraagt om de beveiligingswaarschuwingen van { $customer } te mogen lezen
landing-lead = { $provider } bewaakt de beveiliging van uw organisatie. Daarvoor moet het bewakingssysteem uw waarschuwingen uit Microsoft Defender kunnen lezen. Microsoft staat dat pas toe nadat een beheerder van uw organisatie toestemming heeft gegeven.

who-heading = Wie vraagt dit
who-provider = Dienstverlener
who-contact = Contact
who-app-id = Toepassings-id
who-app-id-hint = Microsoft toont bij de toepassing dezelfde id. Zo weet u zeker dat het om deze toepassing gaat.

for-heading = Voor welke organisatie
for-organization = Organisatie
for-domain = Domein
for-tenant-id = Tenant-id

permissions-heading = Waarvoor u toestemming geeft
permissions-lead = { $count ->
    [one] Eén machtiging, alleen om te lezen:
   *[other] { $count } machtigingen, alleen om te lezen:
}
permissions-lead-acting = { $count ->
    [one] Eén machtiging, waarmee meer kan dan lezen:
   *[other] { $count } machtigingen, waarvan er met minstens één meer kan dan lezen:
}
permission-of = Toepassingsmachtiging voor { $api }
permission-of-person = Gedelegeerde machtiging voor { $api }
permission-allows = Wat hiermee kan
permission-why = Waarom dit nodig is
permission-security-alert = Alle beveiligingswaarschuwingen lezen
    .allows = Leest de waarschuwingen van { $source ->
        [graph_alerts] Microsoft Defender, Microsoft Sentinel en Microsoft Entra ID Protection
       *[other] { $product }
    } in uw tenant: wat er is gedetecteerd, wanneer, hoe ernstig het is en om welke apparaten, accounts, bestanden en adressen het gaat.
    .why = De analisten van { $provider } reageren op deze waarschuwingen. Ze worden ongeveer elke minuut opgehaald, zodat een aanval snel wordt opgemerkt.
permission-security-incident = Alle beveiligingsincidenten lezen
    .allows = Leest incidenten: groepen waarschuwingen die bij dezelfde aanval horen, met status, classificatie en opmerkingen.
    .why = Een incident laat zien hoe losse waarschuwingen samenhangen, zodat { $provider } de hele aanval ziet en niet alleen onderdelen ervan.
permission-threat-hunting = Opsporingsquery’s uitvoeren
    .allows = Doorzoekt de beveiligingsgegevens die Microsoft Defender heeft vastgelegd (geavanceerde opsporing): gebeurtenissen op apparaten, aanmeldingen en wie aan wie een e-mail heeft gestuurd. De tekst van e-mails hoort daar niet bij.
    .why = Zo worden sporen gevonden van aanvallen waarvoor nog geen waarschuwing bestaat, en wordt zichtbaar wat aan een waarschuwing voorafging.
permission-reading = Meer gegevens van { $api } lezen
    .allows = Leest wat Microsoft op de eigen pagina bij deze naam beschrijft. Er kan niets mee worden gewijzigd.
    .why = { $provider } vraagt dit voor een dienst die met u is afgesproken. Weet u daar niets van, vraag het dan eerst na.
permission-acting = Ingrijpen in { $api }
    .allows = Wijzigt iets of voert een actie uit, zoals Microsoft op de eigen pagina bij deze naam beschrijft. Dat is meer dan lezen.
    .why = { $provider } vraagt dit voor een dienst die met u is afgesproken, bijvoorbeeld om een aangevallen apparaat af te sluiten van het netwerk. Weet u daar niets van, vraag het dan eerst na.

limits-heading = Wat hiermee niet kan
limits-change = Er kan niets worden gewijzigd of verwijderd: niet in Microsoft Defender, niet in Microsoft Entra en niet op uw apparaten.
limits-content = Niemand kan hiermee uw e-mails, chats of bestanden lezen.
limits-accounts = Niemand kan zich met een van uw accounts aanmelden of een wachtwoord zien of opnieuw instellen.
limits-people = Geen enkele persoon krijgt toegang tot uw portals. Als dat is afgesproken, is het een aparte stap die u afzonderlijk goedkeurt.

steps-heading = Wat er nu gebeurt
steps-sign-in = U gaat naar de eigen pagina van Microsoft op { $host } en meldt zich daar aan met een beheerdersaccount van { $customer }. Controleer het adres in uw browser voordat u uw wachtwoord invoert.
steps-compare = Microsoft toont wie om welke machtigingen vraagt. Vergelijk dit met deze pagina en kies ‘Accepteren’.
steps-return = Microsoft brengt u hier terug. Daarna ziet u of alles werkt.
steps-person = Daarna meldt een persoon van { $customer } zich één keer aan, in wiens naam { $provider } vanaf dan leest. Dat kunt u zelf zijn.

roles-heading = Wie toestemming kan geven
roles-text = Een account met de rol Globale beheerder of Beheerder voor bevoorrechte rollen. Heeft uw account geen van beide, stuur de link dan door naar een collega die wel zo’n rol heeft.

continue-button = Doorgaan naar Microsoft
continue-hint = U voert uw wachtwoord alleen bij Microsoft in. { $provider } krijgt het nooit te zien.
valid-until = Deze link is bestemd voor { $customer } en is geldig tot { $date }.

revoke-heading = Als u zich later bedenkt
revoke-text = U kunt uw toestemming op elk moment intrekken, zonder { $provider } daarom te vragen: zoek in het Microsoft Entra-beheercentrum onder Bedrijfstoepassingen de toepassings-id { $app_id } en kies Eigenschappen en Verwijderen. Vanaf dat moment wordt geen nieuwe toegang meer verleend; toegang die al is verleend, eindigt vanzelf, doorgaans binnen ongeveer een uur.
revoke-link = De toepassing openen in het Microsoft Entra-beheercentrum

unexpected-heading = Had u dit niet verwacht?
unexpected-text = Ga dan niet verder. Vraag het eerst na bij { $provider }, via een telefoonnummer of adres dat u al kent en niet via gegevens op deze pagina of uit het bericht dat u hier heeft gebracht.

notice-declined = U hebt geen toestemming gegeven. Er is niets gewijzigd. U kunt op elk moment opnieuw beginnen of bij { $provider } navragen wat onduidelijk is.
notice-not-administrator = Volgens Microsoft mag dit account geen toestemming geven voor de hele organisatie. Meld u aan met een account dat een van de onderstaande rollen heeft, of stuur de link door naar een collega.
notice-wrong-account = U hebt zich aangemeld met een account dat niet bij { $customer } hoort. Meld u aan met een beheerdersaccount van { $customer }. Een privévenster van de browser helpt als u elders bent aangemeld.
notice-blocked = Een beleid voor voorwaardelijke toegang van uw organisatie heeft de aanmelding geblokkeerd. Probeer het opnieuw vanaf een beheerd apparaat of vanuit het bedrijfsnetwerk.
notice-failed = Microsoft heeft een probleem gemeld ({ $code }). Er is niets gewijzigd. Probeer het opnieuw. Gebeurt het nogmaals, geef deze code dan door aan { $provider }.
notice-licence = Volgens Microsoft heeft uw organisatie geen actief abonnement op een product waar deze toegang over gaat ({ $code }). Er is niets gewijzigd. { $provider } helpt u graag uit te zoeken welk product dat is.
notice-second-factor = Microsoft wil dat u nogmaals bevestigt dat u het bent ({ $code }). Begin opnieuw en voltooi elke stap die Microsoft toont, bijvoorbeeld een bevestiging op uw telefoon.
notice-setting-up = Microsoft is de toepassing nog aan het instellen in uw tenant ({ $code }). Wacht enkele minuten en begin opnieuw. Gebeurt het nogmaals, verwijder de toepassing dan eerst onder Bedrijfstoepassingen.
notice-other-cloud = { $customer } hoort bij een andere nationale cloud van Microsoft ({ $code }), waar deze link niet naartoe leidt. Er is niets gewijzigd. Geef dit door aan { $provider }.
notice-provider = Microsoft heeft een probleem gemeld ({ $code }) dat bij { $provider } ligt en niet bij u. Er is niets gewijzigd. Geef deze code door aan { $provider }.

## Na de toestemming

status-checking-title = Bedankt. De verbinding wordt gecontroleerd
status-checking-lead = Het kan enkele minuten duren voordat een toestemming overal bij Microsoft van kracht is. U hoeft niet te wachten: de controle gaat door, ook als u deze pagina sluit.
status-good-title = Alles werkt
status-good-lead = { $provider } kan nu de beveiligingswaarschuwingen van { $customer } lezen. U hoeft niets meer te doen en kunt deze pagina sluiten.
status-sign-in-title = Nog één stap: een aanmelding
status-sign-in-lead = Bedankt voor uw toestemming. { $provider } leest in naam van een persoon van { $customer }. Meld u nu aan met het account dat daarvoor bedoeld is, of open deze pagina waar die persoon dat kan doen.
status-attention-title = Er is nog iets nodig
status-attention-lead = Uw toestemming is aangekomen, maar nog niet alles werkt. Hieronder staat wat er ontbreekt. Zodra dat is opgelost, wordt de controle vanzelf groen.
status-attention-consent-lead = Microsoft bevestigt de toestemming nog niet. Hieronder staat wat u kunt doen.
steps-checked-heading = Wat er is gecontroleerd
step-consent = Microsoft bevestigt uw toestemming
step-sign-in = Een persoon van uw organisatie heeft zich aangemeld
step-alerts = { $source ->
    [graph_alerts] Beveiligingswaarschuwingen kunnen worden gelezen
   *[other] Beveiligingswaarschuwingen van { $product } kunnen worden gelezen
}
step-incidents = { $source ->
    [graph_incidents] Beveiligingsincidenten kunnen worden gelezen
   *[other] Beveiligingsincidenten van { $product } kunnen worden gelezen
}
step-hunting = Opsporingsquery’s kunnen worden uitgevoerd
state-good = Werkt
state-waiting = Wacht
state-checking = Wordt gecontroleerd
state-attention = Actie nodig
state-your-turn = U bent aan de beurt
state-consent-lost = Toestemming ontbreekt
state-no-licence = Geen licentie
state-no-token = Geen token
state-throttled = Begrensd
state-api-down = API gestoord
checked-at = Laatst gecontroleerd op { $date }
refresh-note = Deze pagina wordt vanzelf vernieuwd.
refresh-link = Nu vernieuwen
retry-button = Opnieuw toestemming geven

fix-consent = Bij Microsoft is voor deze toepassing geen toestemming van { $customer } bekend. Geef opnieuw beheerderstoestemming, met een beheerdersaccount van { $customer }.
fix-permission = De machtiging { $permission } ontbreekt in de toestemming. Geef opnieuw toestemming en accepteer alle machtigingen.
fix-app-disabled = De toepassing is uitgeschakeld in uw tenant. Open de toepassing in het Microsoft Entra-beheercentrum onder Bedrijfstoepassingen en zet bij Eigenschappen ‘Ingeschakeld voor aanmelding door gebruikers?’ op ‘Ja’.
fix-conditional-access = Een beleid voor voorwaardelijke toegang blokkeert de toepassing. Sluit de toepassing uit van het beleid voor workload-identiteiten of voeg de adressen van { $provider } toe aan de toegestane locaties.
fix-licence = Volgens Microsoft heeft uw organisatie geen licentie of geen actief abonnement voor deze gegevens. Er is een licentie nodig waarin Microsoft Defender is inbegrepen. { $provider } helpt u graag de juiste te vinden.
fix-person = Het account waarmee { $provider } zich heeft aangemeld, heeft in uw tenant geen rol waarmee het deze gegevens kan zien. Geef dat account een rol zoals Beveiligingslezer, met toegang tot alle apparaatgroepen.
fix-provider = Het probleem ligt bij { $provider } en niet bij u. { $provider } is ervan op de hoogte gebracht. U hoeft niets te doen.
fix-microsoft = De dienst van Microsoft reageert op dit moment niet. De controle wordt vanzelf herhaald. U hoeft niets te doen.
fix-other = Microsoft staat dit nog niet toe en geeft een reden waarnaar { $provider } moet kijken. { $provider } is ervan op de hoogte gebracht.
fix-sign-in = Meld u aan met een account van { $customer } dat waarschuwingen in Microsoft Defender mag zien, bijvoorbeeld met de rol Beveiligingslezer.
sign-in-button = Aanmelden bij Microsoft

## Links die nergens heen leiden

expired-title = Deze link is verlopen
expired-text = Voor uw veiligheid zijn zulke links maar beperkt geldig. Vraag { $provider } om een nieuwe.
revoked-title = Deze link is niet meer geldig
revoked-text = De link is vervangen door een nieuwere of ingetrokken. Gebruik het meest recente bericht van { $provider } of vraag om een nieuwe link.
unknown-title = Deze link is ongeldig
unknown-text = Misschien is de link niet volledig gekopieerd. Open de link nogmaals vanuit het oorspronkelijke bericht of vraag { $provider } om een nieuwe.
late-title = Open uw link nogmaals
late-text = Dit antwoord van Microsoft kwam te laat, was al gebruikt of hoort niet bij iets wat wij kennen. Er is niets gewijzigd. Open de link in uw bericht opnieuw; daar ziet u hoe het ervoor staat.
busy-title = Een ogenblik geduld
busy-text = Er komen op dit moment te veel aanvragen binnen. Probeer het over een minuut opnieuw.
many-title = Te veel pogingen
many-text = Via deze link is in korte tijd heel vaak doorgegaan naar Microsoft. Wacht een uur of vraag { $provider } om hulp.
trouble-title = Er is bij ons iets misgegaan
trouble-text = Er is niets gewijzigd. Probeer het over enkele minuten opnieuw. Gebeurt het nogmaals, laat { $provider } dan weten hoe laat het was.

wrong-tenant-title = De toestemming kwam van een andere organisatie
wrong-tenant-text = Deze uitnodiging is voor { $customer }, maar u hebt zich bij een andere organisatie aangemeld en daar toestemming gegeven. { $provider } gebruikt die toestemming niet.
wrong-tenant-invited = Uitgenodigd
wrong-tenant-answered = Geantwoord
wrong-tenant-again = Begin opnieuw en meld u aan met een beheerdersaccount van { $customer }. Een privévenster van de browser helpt als u elders bent aangemeld.
wrong-tenant-remove = Als u de toestemming in de andere organisatie ongedaan wilt maken, verwijdert u de toepassing daar onder Bedrijfstoepassingen.
start-again = Opnieuw beginnen

## Iemand meldt zich aan voor de connector

connector-good-title = De aanmelding is gelukt
connector-good-text = { $account } is nu aangemeld voor { $customer }. U kunt dit venster sluiten.
connector-failed-title = De aanmelding is niet gelukt
connector-failed-text = Er is niets opgeslagen. Start de aanmelding opnieuw vanaf de plek waar u bent begonnen. De reden staat in het logboek van { $provider }.
connector-failed-code = Code van Microsoft: { $code }
