# Die Schritte rund um einen Kunden, die nur Menschen tun können (`muster tenant guide`).

guide-tenant = Mandant
guide-state = Stand
guide-by = Durch
guide-who-customer = die Administration des Kunden
guide-who-provider = Sie
guide-who-both = Sie und die Administration des Kunden
guide-state-done = erledigt
guide-state-to-do = zu tun
guide-state-not-seen = von hier aus nicht zu sehen
guide-state-if-wanted = falls gewünscht

guide-consent = Zustimmung des Kunden
guide-consent-link = den Link mit `{ $command }` erzeugen und per E-Mail senden; ein globaler Administrator oder ein Administrator für privilegierte Rollen öffnet ihn
guide-consent-permissions = die angeforderten Berechtigungen: { $permissions }
guide-consent-app = Die Anwendung im Mandanten des Kunden
guide-not-checked = noch nicht geprüft
guide-nobody-consented = es hat noch niemand zugestimmt

guide-sources = Jede Quelle kann gelesen werden
guide-source-good = `{ $source }` kann gelesen werden ({ $at })
guide-source-not-tried = `{ $source }` wurde noch nicht versucht

guide-connector = SIEM-Connector im Portal des Kunden autorisiert
guide-connector-read = { $account } hat sich angemeldet, und in diesem Namen kann jede Quelle gelesen werden
guide-connector-signed-in = { $account } hat sich angemeldet; ob das Portal die Anwendung lesen lässt, wurde noch nicht versucht
guide-connector-failing = { $account } hat sich angemeldet, aber in diesem Namen kann nicht jede Quelle gelesen werden
guide-connector-nobody = es hat sich noch niemand angemeldet
guide-connector-optional = nur für eine Anwendung, die im Namen einer Person handelt, und für den alten SIEM-Feed
guide-connector-where = im Defender-Portal des Kunden: Einstellungen > Endpunkte > APIs > SIEM > Registerkarte MSSP
guide-connector-enter = die Anwendungs-ID `{ $app }` und die Mandanten-ID { $tenant } eingeben, dann „Anwendung autorisieren“ wählen
guide-connector-app-unknown = die Client-ID der Anwendung
guide-connector-tenant-unknown = die ID Ihres eigenen Mandanten (sie steht hier, wenn im Abschnitt der Anwendung `tenant` gesetzt ist)
guide-connector-permission = dort ist die Berechtigung „Portalsystemeinstellungen verwalten“ nötig
guide-connector-redirect = die App-Registrierung braucht den Umleitungs-URI `{ $uri }`
guide-connector-sign-in = danach meldet sich jemand mit einem Konto im Mandanten des Kunden an: `{ $command }`

guide-packages = Portalzugang für Ihre Analysten über Zugriffspakete
guide-packages-unseen = ob er eingerichtet ist, teilt Microsoft von außen niemandem mit
guide-packages-groups = in Ihrem eigenen Mandanten, einmalig: die Entra-Gruppen `Tier 1 Analyst`, `Tier 2 Analyst` und `MSSP Analyst Approvers`
guide-packages-roles = Kunde: Defender-Rollen für die beiden Stufen (Einstellungen > Endpunkte > Berechtigungen > Rollen); Stufe 1 ohne Live Response und ohne Verwaltung der Sicherheitseinstellungen, Stufe 2 mit Live Response
guide-packages-organization = Kunde, Identity Governance: Ihre Organisation als verbundene Organisation hinzufügen
guide-packages-catalog = Kunde: einen Katalog `MSSP Accesses` anlegen und darin je Stufe ein Zugriffspaket: Anforderungen nur aus der verbundenen Organisation, Genehmigung durch Ihre Genehmigenden, jährliche Überprüfung, Ende nach 365 Tagen
guide-packages-link = Kunde: Ihnen den My-Access-Link jedes Pakets senden; dort genehmigen Sie die Anforderungen Ihrer Analysten
guide-packages-organizations-page = Verbundene Organisationen, im Mandanten des Kunden
guide-packages-catalogs-page = Kataloge und Zugriffspakete, im Mandanten des Kunden
guide-packages-access-page = My Access, wo Ihre Analysten anfordern

guide-gdap = Portalzugang für Ihre Analysten über GDAP, für Partner im CSP-Programm
guide-gdap-create = Sie: im Partner Center eine granulare delegierte Administratorbeziehung mit dem Mandanten `{ $tenant }` anlegen, mit den geringsten ausreichenden Rollen (Sicherheitsleseberechtigter, Sicherheitsoperator), und sie zur Genehmigung sperren
guide-gdap-approve = Kunde: ein globaler Administrator genehmigt sie über den Link unten, ergänzt um die ID der Beziehung
guide-gdap-assign = Sie: Ihre Sicherheitsgruppen den Rollen der Beziehung zuweisen
guide-gdap-no-consent = die Zustimmung ersetzt das nicht: eine Anwendung ohne eigene Zustimmung wird abgelehnt (AADSTS90099)
guide-gdap-page = Genehmigung, im Mandanten des Kunden

guide-portal = Das Portal des Kunden öffnen
guide-portal-tid = an jeden Link des Portals `tid={ $tenant }` anhängen, dann öffnet er sich in diesem Mandanten; die Links in Warnungen haben es schon
guide-portal-page = Das Defender-Portal des Kunden
guide-portal-many = Alle Ihre Kunden auf einmal

guide-mail = E-Mail bei neuen Warnungen, neben dem SIEM
guide-mail-where = im Defender-Portal des Kunden: Einstellungen > Endpunkte > E-Mail-Benachrichtigungen > Benachrichtigungsregel hinzufügen
guide-mail-options = „Organisationsnamen einschließen“ und „Mandantenspezifischen Portallink einschließen“ einschalten, damit E-Mails mehrerer Kunden zu unterscheiden sind
guide-mail-permission = dafür ist die Berechtigung „Sicherheitseinstellungen verwalten“ nötig; Empfänger bekommen nur Warnungen von da an
