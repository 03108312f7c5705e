# The mails that ask a customer's administrator for consent (`muster invite`).

mail-invite-subject = { $provider } asks to read the security alerts of { $customer }
mail-remind-subject = Reminder: { $provider } is waiting for the consent of { $customer }
mail-greeting = Hello,
mail-invite-lead = { $provider } watches over the security of { $customer }. To do so, its monitoring system needs to read your Microsoft Defender alerts. Microsoft allows that only after an administrator of your organization has given consent.
mail-remind-lead = On { $invited } we asked for consent to read the Microsoft Defender alerts of { $customer }. It has not been given yet, so { $provider } cannot see these alerts.
mail-who = Please have a Global Administrator or a Privileged Role Administrator of your organization open this page. It says what is asked and why, and nothing happens before you agree on Microsoft’s own page:
mail-button = Open the page
mail-until = The link works until { $until }. It is meant for your organization alone; please pass it on only to the administrator who is to give consent.
mail-tenant = Your tenant ID at Microsoft: { $tenant }
mail-doubt = If you doubt that this message is genuine, ask us before you open the link, in a way that you already know. Our contact: { $contact }
