# Sidorna för kundens administratör. Termer som i Microsofts svenska portaler.

date-time = { $day } { $month ->
    [1] januari
    [2] februari
    [3] mars
    [4] april
    [5] maj
    [6] juni
    [7] juli
    [8] augusti
    [9] september
    [10] oktober
    [11] november
   *[12] december
} { $year } kl. { $time } UTC
languages = Språk
skip-to-content = Hoppa till innehållet

## Före medgivandet

landing-title = { $provider } ber om att få läsa säkerhetsaviseringarna för { $customer }
landing-lead = { $provider } övervakar säkerheten i er organisation. För att kunna göra det behöver övervakningssystemet läsa era aviseringar i Microsoft Defender. Microsoft tillåter det först när en administratör i er organisation har gett sitt medgivande.

who-heading = Vem som frågar
who-provider = Tjänsteleverantör
who-contact = Kontakt
who-app-id = Program-ID
who-app-id-hint = Microsoft visar samma ID för programmet, så att du kan vara säker på att det är rätt.

for-heading = För vilken organisation
for-organization = Organisation
for-domain = Domän
for-tenant-id = Klientorganisations-ID

permissions-heading = Vad du ombeds tillåta
permissions-lead = { $count ->
    [one] En behörighet, endast för läsning:
   *[other] { $count } behörigheter, endast för läsning:
}
permissions-lead-acting = { $count ->
    [one] En behörighet, som tillåter mer än läsning:
   *[other] { $count } behörigheter, varav minst en tillåter mer än läsning:
}
permission-of = Programbehörighet för { $api }
permission-of-person = Delegerad behörighet för { $api }
permission-allows = Vad den tillåter
permission-why = Varför den behövs
permission-security-alert = Läsa alla säkerhetsaviseringar
    .allows = Läser aviseringar från { $source ->
        [graph_alerts] Microsoft Defender, Microsoft Sentinel och Microsoft Entra ID Protection
       *[other] { $product }
    } i er klientorganisation: vad som upptäcktes, när det hände, hur allvarligt det är och vilka enheter, konton, filer och adresser som berörs.
    .why = Det är aviseringarna som analytikerna hos { $provider } agerar på. De hämtas ungefär en gång i minuten så att ett angrepp upptäcks tidigt.
permission-security-incident = Läsa alla säkerhetsincidenter
    .allows = Läser incidenter, det vill säga grupper av aviseringar som hör till samma angrepp, med status, klassificering och kommentarer.
    .why = En incident visar hur enskilda aviseringar hänger ihop, så att { $provider } ser hela angreppet och inte bara delar av det.
permission-threat-hunting = Köra jaktfrågor
    .allows = Söker i de säkerhetsdata som Microsoft Defender har registrerat (avancerad jakt): händelser på enheter, inloggningar och vem som har skickat e-post till vem. Innehållet i e-posten ingår inte.
    .why = Så går det att hitta spår av angrepp som ännu inte har gett någon avisering och att se vad som föregick en avisering.
permission-reading = Läsa fler data i { $api }
    .allows = Läser det som Microsoft beskriver vid namnet på sin egen sida. Ingenting kan ändras med den.
    .why = { $provider } begär den för en tjänst som ni har kommit överens om. Fråga först om du inte känner till någon sådan.
permission-acting = Utföra åtgärder i { $api }
    .allows = Ändrar något eller utför en åtgärd, så som Microsoft beskriver vid namnet på sin egen sida. Det är mer än läsning.
    .why = { $provider } begär den för en tjänst som ni har kommit överens om, till exempel att koppla bort en angripen enhet. Fråga först om du inte känner till någon sådan.

limits-heading = Vad detta inte tillåter
limits-change = Ingenting kan ändras eller tas bort, varken i Microsoft Defender, i Microsoft Entra eller på era enheter.
limits-content = Ingen kan läsa er e-post, era chattar eller era filer med det.
limits-accounts = Ingen kan logga in med något av era konton, se ett lösenord eller återställa det.
limits-people = Ingen person får åtkomst till era portaler. Om det ingår i avtalet är det ett eget steg som ni godkänner separat.

steps-heading = Vad som händer härnäst
steps-sign-in = Du kommer till Microsofts egen sida på { $host } och loggar in där med ett administratörskonto för { $customer }. Kontrollera adressen i webbläsaren innan du anger ditt lösenord.
steps-compare = Microsoft visar vem som begär vilka behörigheter. Jämför med den här sidan och välj ”Godkänn”.
steps-return = Microsoft skickar dig tillbaka hit. Då ser du om allt fungerar.
steps-person = Därefter loggar en person hos { $customer } in en gång. I den personens namn läser { $provider } sedan. Det kan vara du.

roles-heading = Vem som kan ge medgivande
roles-text = Ett konto med rollen Global administratör eller Administratör för privilegierade roller. Om ditt konto saknar båda kan du vidarebefordra länken till en kollega som har en av dem.

continue-button = Fortsätt till Microsoft
continue-hint = Lösenordet anger du bara hos Microsoft. { $provider } får aldrig se det.
valid-until = Länken är avsedd för { $customer } och gäller till { $date }.

revoke-heading = Om du ändrar dig senare
revoke-text = Du kan när som helst återkalla medgivandet utan att fråga { $provider }: sök i administrationscentret för Microsoft Entra under Företagsprogram upp program-ID { $app_id } och välj Egenskaper och Ta bort. Från den stunden beviljas ingen ny åtkomst, och åtkomst som redan har beviljats upphör av sig själv, vanligtvis inom ungefär en timme.
revoke-link = Öppna programmet i administrationscentret för Microsoft Entra

unexpected-heading = Var det här oväntat?
unexpected-text = Fortsätt i så fall inte. Fråga { $provider } först, via ett telefonnummer eller en adress som du redan känner till och inte via uppgifter på den här sidan eller i meddelandet som ledde dig hit.

notice-declined = Du gav inget medgivande. Ingenting har ändrats. Du kan börja om när du vill eller fråga { $provider } om något är oklart.
notice-not-administrator = Enligt Microsoft får det här kontot inte ge medgivande för hela organisationen. Logga in med ett konto som har någon av rollerna nedan eller vidarebefordra länken till en kollega.
notice-wrong-account = Du loggade in med ett konto som inte tillhör { $customer }. Logga in med ett administratörskonto för { $customer }. Ett privat webbläsarfönster hjälper om du är inloggad någon annanstans.
notice-blocked = En princip för villkorsstyrd åtkomst i er organisation blockerade inloggningen. Försök igen från en hanterad enhet eller från företagets nätverk.
notice-failed = Microsoft rapporterade ett problem ({ $code }). Ingenting har ändrats. Försök igen. Om det upprepas kan du skicka koden till { $provider }.
notice-licence = Enligt Microsoft har er organisation ingen aktiv prenumeration på en produkt som åtkomsten gäller ({ $code }). Ingenting har ändrats. { $provider } hjälper er gärna att ta reda på vilken.
notice-second-factor = Microsoft vill att du bekräftar en gång till att det är du ({ $code }). Börja om och slutför alla steg som Microsoft visar, till exempel en bekräftelse i telefonen.
notice-setting-up = Microsoft håller på att lägga upp programmet i er klientorganisation ({ $code }). Vänta några minuter och börja om. Om det upprepas tar du först bort programmet under Företagsprogram.
notice-other-cloud = { $customer } hör till ett annat av Microsofts nationella moln ({ $code }), dit den här länken inte leder. Ingenting har ändrats. Meddela { $provider }.
notice-provider = Microsoft rapporterade ett problem ({ $code }) som ligger hos { $provider } och inte hos er. Ingenting har ändrats. Skicka koden till { $provider }.

## Efter medgivandet

status-checking-title = Tack! Anslutningen kontrolleras
status-checking-lead = Det kan ta några minuter innan ett medgivande gäller överallt hos Microsoft. Du behöver inte vänta: kontrollen fortsätter även om du stänger sidan.
status-good-title = Allt fungerar
status-good-lead = { $provider } kan nu läsa säkerhetsaviseringarna för { $customer }. Du behöver inte göra något mer och kan stänga sidan.
status-sign-in-title = Ett steg till: en inloggning
status-sign-in-lead = Tack för ditt medgivande. { $provider } läser i namn av en person hos { $customer }. Logga nu in med det konto som är avsett för det, eller öppna sidan där den personen kan göra det.
status-attention-title = Något behöver åtgärdas
status-attention-lead = Ditt medgivande har kommit fram, men allt fungerar inte ännu. Nedan ser du vad som saknas. När det är åtgärdat blir kontrollen grön av sig själv.
status-attention-consent-lead = Microsoft bekräftar inte medgivandet ännu. Nedan ser du vad du kan göra.
steps-checked-heading = Vad som har kontrollerats
step-consent = Microsoft bekräftar ditt medgivande
step-sign-in = En person i er organisation har loggat in
step-alerts = { $source ->
    [graph_alerts] Säkerhetsaviseringar kan läsas
   *[other] Säkerhetsaviseringar från { $product } kan läsas
}
step-incidents = { $source ->
    [graph_incidents] Säkerhetsincidenter kan läsas
   *[other] Säkerhetsincidenter från { $product } kan läsas
}
step-hunting = Jaktfrågor kan köras
state-good = Fungerar
state-waiting = Väntar
state-checking = Kontrolleras
state-attention = Behöver åtgärdas
state-your-turn = Din tur
state-consent-lost = Medgivande saknas
state-no-licence = Ingen licens
state-no-token = Ingen token
state-throttled = Begränsad
state-api-down = API ur funktion
checked-at = Senast kontrollerat den { $date }
refresh-note = Sidan uppdateras av sig själv.
refresh-link = Uppdatera nu
retry-button = Ge medgivande igen

fix-consent = Microsoft känner inte till något medgivande för programmet i { $customer }. Ge administratörsmedgivande igen med ett administratörskonto för { $customer }.
fix-permission = Behörigheten { $permission } saknas i medgivandet. Ge medgivande igen och godkänn alla behörigheter.
fix-app-disabled = Programmet är inaktiverat i er klientorganisation. Öppna det i administrationscentret för Microsoft Entra under Företagsprogram och ange ”Ja” för ”Aktiverat för användare att logga in?” under Egenskaper.
fix-conditional-access = En princip för villkorsstyrd åtkomst blockerar programmet. Undanta programmet från principen för arbetsbelastningsidentiteter eller lägg till adresserna för { $provider } bland de tillåtna platserna.
fix-licence = Enligt Microsoft saknar er organisation licens eller en aktiv prenumeration för dessa data. Det krävs en licens som omfattar Microsoft Defender. { $provider } hjälper er gärna att hitta rätt licens.
fix-person = Kontot som { $provider } har loggat in med har ingen roll i er klientorganisation som låter det se dessa data. Ge kontot en roll som Säkerhetsläsare, med åtkomst till alla enhetsgrupper.
fix-provider = Felet ligger hos { $provider } och inte hos er. { $provider } har fått besked om det. Du behöver inte göra något.
fix-microsoft = Microsofts tjänst svarar inte just nu. Kontrollen upprepas automatiskt. Du behöver inte göra något.
fix-other = Microsoft tillåter inte detta ännu och anger en orsak som { $provider } måste titta på. { $provider } har fått besked om det.
fix-sign-in = Logga in med ett konto hos { $customer } som får se aviseringar i Microsoft Defender, till exempel med rollen Säkerhetsläsare.
sign-in-button = Logga in hos Microsoft

## Länkar som inte leder vidare

expired-title = Länken har upphört att gälla
expired-text = Av säkerhetsskäl gäller sådana här länkar bara under en begränsad tid. Be { $provider } om en ny.
revoked-title = Länken gäller inte längre
revoked-text = Den har ersatts av en nyare eller dragits tillbaka. Använd det senaste meddelandet från { $provider } eller be om en ny länk.
unknown-title = Länken är ogiltig
unknown-text = Kanske kopierades den inte i sin helhet. Öppna den en gång till från det ursprungliga meddelandet eller be { $provider } om en ny.
late-title = Öppna länken en gång till
late-text = Svaret från Microsoft kom för sent, hade redan använts eller hör inte till något som vi känner till. Ingenting har ändrats. Öppna länken i ditt meddelande igen, så ser du hur det står till.
busy-title = Ett ögonblick
busy-text = Just nu kommer det in för många förfrågningar. Försök igen om en minut.
many-title = För många försök
many-text = Länken har använts mycket ofta på kort tid för att gå vidare till Microsoft. Vänta en timme eller be { $provider } om hjälp.
trouble-title = Något gick fel hos oss
trouble-text = Ingenting har ändrats. Försök igen om några minuter. Om det upprepas kan du meddela { $provider } vid vilken tid det hände.

wrong-tenant-title = Medgivandet kom från en annan organisation
wrong-tenant-text = Inbjudan gäller { $customer }, men du loggade in i en annan organisation och gav medgivandet där. { $provider } använder det inte.
wrong-tenant-invited = Inbjuden
wrong-tenant-answered = Svarade
wrong-tenant-again = Börja om och logga in med ett administratörskonto för { $customer }. Ett privat webbläsarfönster hjälper om du är inloggad någon annanstans.
wrong-tenant-remove = Om du vill ångra medgivandet i den andra organisationen tar du bort programmet där under Företagsprogram.
start-again = Börja om

## En person loggar in för anslutningen

connector-good-title = Inloggningen lyckades
connector-good-text = { $account } är nu inloggad för { $customer }. Du kan stänga fönstret.
connector-failed-title = Inloggningen misslyckades
connector-failed-text = Ingenting har sparats. Starta inloggningen igen där den startades. Orsaken finns i loggen hos { $provider }.
connector-failed-code = Microsofts kod: { $code }
