# De stappen rond een klant die alleen mensen kunnen doen (`muster tenant guide`).

guide-tenant = Klanttenant
guide-state = Stand
guide-by = Door
guide-who-customer = de beheerder van de klant
guide-who-provider = u
guide-who-both = u en de beheerder van de klant
guide-state-done = gedaan
guide-state-to-do = te doen
guide-state-not-seen = van hieruit niet te zien
guide-state-if-wanted = indien gewenst

guide-consent = Toestemming van de klant
guide-consent-link = maak de link met `{ $command }` en mail die; een globale beheerder of een beheerder voor bevoorrechte rollen opent hem
guide-consent-permissions = de gevraagde machtigingen: { $permissions }
guide-consent-app = De toepassing in de tenant van de klant
guide-not-checked = nog niet gecontroleerd
guide-nobody-consented = er heeft nog niemand toestemming gegeven

guide-sources = Elke bron kan worden gelezen
guide-source-good = `{ $source }` kan worden gelezen ({ $at })
guide-source-not-tried = `{ $source }` is nog niet geprobeerd

guide-connector = SIEM-connector geautoriseerd in de portal van de klant
guide-connector-read = { $account } heeft zich aangemeld, en in die naam kan elke bron worden gelezen
guide-connector-signed-in = { $account } heeft zich aangemeld; of de portal de toepassing laat lezen, is nog niet geprobeerd
guide-connector-failing = { $account } heeft zich aangemeld, maar in die naam kan niet elke bron worden gelezen
guide-connector-nobody = er heeft zich nog niemand aangemeld
guide-connector-optional = alleen voor een toepassing die namens een persoon werkt, en voor de oude SIEM-feed
guide-connector-where = in de Defender-portal van de klant: Instellingen > Eindpunten > API’s > SIEM > tabblad MSSP
guide-connector-enter = voer de toepassings-id `{ $app }` en de tenant-id { $tenant } in en kies Toepassing autoriseren
guide-connector-app-unknown = de client-id van de toepassing
guide-connector-tenant-unknown = de id van uw eigen tenant (zet `tenant` in de sectie van de toepassing om die hier te zien)
guide-connector-permission = daar is de machtiging ‘Portalsysteeminstellingen beheren’ nodig
guide-connector-redirect = de app-registratie heeft de omleidings-URI `{ $uri }` nodig
guide-connector-sign-in = daarna meldt iemand met een account in de tenant van de klant zich aan: `{ $command }`

guide-packages = Portaltoegang voor uw analisten met toegangspakketten
guide-packages-unseen = of dat is ingesteld, vertelt Microsoft aan niemand van buiten
guide-packages-groups = in uw eigen tenant, eenmalig: de Entra-groepen `Tier 1 Analyst`, `Tier 2 Analyst` en `MSSP Analyst Approvers`
guide-packages-roles = klant: Defender-rollen voor de twee niveaus (Instellingen > Eindpunten > Machtigingen > Rollen); niveau 1 zonder live response en zonder beheer van beveiligingsinstellingen, niveau 2 met live response
guide-packages-organization = klant, Identity Governance: uw organisatie toevoegen als verbonden organisatie
guide-packages-catalog = klant: een catalogus `MSSP Accesses` maken met daarin per niveau één toegangspakket: aanvragen alleen vanuit de verbonden organisatie, goedkeuring door uw fiatteurs, jaarlijkse beoordeling, einde na 365 dagen
guide-packages-link = klant: u de My Access-link van elk pakket sturen; daar keurt u de aanvragen van uw analisten goed
guide-packages-organizations-page = Verbonden organisaties, in de tenant van de klant
guide-packages-catalogs-page = Catalogi en toegangspakketten, in de tenant van de klant
guide-packages-access-page = My Access, waar uw analisten aanvragen

guide-gdap = Portaltoegang voor uw analisten met GDAP, voor partners in het CSP-programma
guide-gdap-create = u: maak in Partner Center een gedetailleerde gedelegeerde beheerdersrelatie met tenant `{ $tenant }`, met de minste rollen die volstaan (Beveiligingslezer, Beveiligingsoperator), en vergrendel die voor goedkeuring
guide-gdap-approve = klant: een globale beheerder keurt die goed met de link hieronder, aangevuld met de id van de relatie
guide-gdap-assign = u: wijs uw beveiligingsgroepen toe aan de rollen van de relatie
guide-gdap-no-consent = het vervangt de toestemming niet: een toepassing zonder eigen toestemming wordt geweigerd (AADSTS90099)
guide-gdap-page = Goedkeuring, in de tenant van de klant

guide-portal = De portal van de klant openen
guide-portal-tid = voeg `tid={ $tenant }` toe aan een link van de portal en hij opent in deze tenant; de links in waarschuwingen hebben dat al
guide-portal-page = De Defender-portal van de klant
guide-portal-many = Al uw klanten tegelijk

guide-mail = E-mail bij nieuwe waarschuwingen, naast de SIEM
guide-mail-where = in de Defender-portal van de klant: Instellingen > Eindpunten > E-mailmeldingen > Meldingsregel toevoegen
guide-mail-options = schakel ‘Organisatienaam opnemen’ en ‘Tenantspecifieke portalkoppeling opnemen’ in, zodat e-mails van meerdere klanten uit elkaar te houden zijn
guide-mail-permission = daarvoor is de machtiging ‘Beveiligingsinstellingen beheren’ nodig; ontvangers krijgen alleen waarschuwingen vanaf dat moment
