# Die Mails, die die Administration des Kunden um Zustimmung bitten (`muster invite`).

mail-invite-subject = { $provider } bittet darum, die Sicherheitswarnungen von { $customer } lesen zu dürfen
mail-remind-subject = Erinnerung: { $provider } wartet auf die Zustimmung von { $customer }
mail-greeting = Guten Tag,
mail-invite-lead = { $provider } überwacht die Sicherheit von { $customer }. Dafür muss das Überwachungssystem Ihre Warnungen aus Microsoft Defender lesen. Microsoft lässt das erst zu, wenn eine Administratorin oder ein Administrator Ihrer Organisation zugestimmt hat.
mail-remind-lead = Am { $invited } haben wir um die Zustimmung gebeten, die Warnungen von { $customer } aus Microsoft Defender lesen zu dürfen. Sie wurde noch nicht erteilt; { $provider } sieht diese Warnungen deshalb nicht.
mail-who = Bitte lassen Sie einen globalen Administrator oder einen Administrator für privilegierte Rollen Ihrer Organisation diese Seite öffnen. Sie sagt, worum gebeten wird und warum, und es geschieht nichts, bevor Sie auf Microsofts eigener Seite zustimmen:
mail-button = Seite öffnen
mail-until = Der Link gilt bis { $until }. Er ist nur für Ihre Organisation bestimmt; bitte geben Sie ihn nur an die Person weiter, die zustimmen soll.
mail-tenant = Ihre Mandanten-ID bei Microsoft: { $tenant }
mail-doubt = Wenn Sie an der Echtheit dieser Nachricht zweifeln, fragen Sie uns auf einem Ihnen schon bekannten Weg, bevor Sie den Link öffnen. Unser Kontakt: { $contact }
