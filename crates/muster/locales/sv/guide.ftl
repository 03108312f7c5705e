# Stegen kring en kund som bara människor kan göra (`muster tenant guide`).

guide-tenant = Klientorganisation
guide-state = Läge
guide-by = Utförs av
guide-who-customer = kundens administratör
guide-who-provider = dig
guide-who-both = dig och kundens administratör
guide-state-done = klart
guide-state-to-do = att göra
guide-state-not-seen = kan inte ses härifrån
guide-state-if-wanted = vid behov

guide-consent = Kundens medgivande
guide-consent-link = skapa länken med `{ $command }` och skicka den med e-post; en global administratör eller en privilegierad rolladministratör öppnar den
guide-consent-permissions = behörigheterna som begärs: { $permissions }
guide-consent-app = Programmet i kundens klientorganisation
guide-not-checked = inte kontrollerat än
guide-nobody-consented = ingen har gett medgivande än

guide-sources = Alla källor kan läsas
guide-source-good = `{ $source }` kan läsas ({ $at })
guide-source-not-tried = `{ $source }` har inte prövats än

guide-connector = SIEM-koppling auktoriserad i kundens portal
guide-connector-read = { $account } har loggat in, och alla källor kan läsas i den personens namn
guide-connector-signed-in = { $account } har loggat in; om portalen låter programmet läsa har inte prövats än
guide-connector-failing = { $account } har loggat in, men alla källor kan inte läsas i den personens namn
guide-connector-nobody = ingen har loggat in än
guide-connector-optional = bara för ett program som agerar för en person, och för det gamla SIEM-flödet
guide-connector-where = i kundens Defender-portal: Inställningar > Slutpunkter > API:er > SIEM > fliken MSSP
guide-connector-enter = ange program-ID `{ $app }` och klientorganisations-ID { $tenant } och välj sedan Auktorisera program
guide-connector-app-unknown = programmets klient-ID
guide-connector-tenant-unknown = din egen klientorganisations ID (ange `tenant` i programmets avsnitt så visas det här)
guide-connector-permission = där krävs behörigheten ”Hantera portalsysteminställningar”
guide-connector-redirect = appregistreringen behöver omdirigerings-URI:n `{ $uri }`
guide-connector-sign-in = därefter loggar någon med ett konto i kundens klientorganisation in: `{ $command }`

guide-packages = Portalåtkomst för dina analytiker med åtkomstpaket
guide-packages-unseen = om det är konfigurerat talar Microsoft inte om för någon utifrån
guide-packages-groups = i din egen klientorganisation, en gång: Entra-grupperna `Tier 1 Analyst`, `Tier 2 Analyst` och `MSSP Analyst Approvers`
guide-packages-roles = kunden: Defender-roller för de två nivåerna (Inställningar > Slutpunkter > Behörigheter > Roller); nivå 1 utan live response och utan att hantera säkerhetsinställningar, nivå 2 med live response
guide-packages-organization = kunden, Identity Governance: lägg till din organisation som ansluten organisation
guide-packages-catalog = kunden: skapa katalogen `MSSP Accesses` och i den ett åtkomstpaket per nivå: begäranden endast från den anslutna organisationen, godkännande av dina godkännare, årlig granskning, slut efter 365 dagar
guide-packages-link = kunden: skicka dig My Access-länken för varje paket; där godkänner du dina analytikers begäranden
guide-packages-organizations-page = Anslutna organisationer, i kundens klientorganisation
guide-packages-catalogs-page = Kataloger och åtkomstpaket, i kundens klientorganisation
guide-packages-access-page = My Access, där dina analytiker begär åtkomst

guide-gdap = Portalåtkomst för dina analytiker med GDAP, för partner i CSP-programmet
guide-gdap-create = du: skapa en detaljerad delegerad administratörsrelation med klientorganisationen `{ $tenant }` i Partner Center, med de minsta roller som räcker (Säkerhetsläsare, Säkerhetsoperatör), och lås den för godkännande
guide-gdap-approve = kunden: en global administratör godkänner den med länken nedan, kompletterad med relationens ID
guide-gdap-assign = du: tilldela dina säkerhetsgrupper relationens roller
guide-gdap-no-consent = det ersätter inte medgivandet: ett program utan eget medgivande nekas (AADSTS90099)
guide-gdap-page = Godkännande, i kundens klientorganisation

guide-portal = Öppna kundens portal
guide-portal-tid = lägg till `tid={ $tenant }` i vilken länk som helst till portalen så öppnas den i den här klientorganisationen; länkarna i aviseringar har det redan
guide-portal-page = Kundens Defender-portal
guide-portal-many = Alla dina kunder på en gång

guide-mail = E-post vid nya aviseringar, vid sidan av SIEM
guide-mail-where = i kundens Defender-portal: Inställningar > Slutpunkter > E-postaviseringar > Lägg till aviseringsregel
guide-mail-options = slå på ”Inkludera organisationsnamn” och ”Inkludera klientspecifik portallänk” så att e-post om flera kunder kan skiljas åt
guide-mail-permission = det kräver behörigheten ”Hantera säkerhetsinställningar”; mottagarna får bara aviseringar från och med då
