# The pages that a customer's administrator sees. Every language has the same messages with the same variables.
#
# $provider  who asks, as the settings name them
# $customer  the customer's name
# Names of permissions, roles and menus are those of Microsoft's own portals in each language.

date-time = { $day } { $month ->
    [1] January
    [2] February
    [3] March
    [4] April
    [5] May
    [6] June
    [7] July
    [8] August
    [9] September
    [10] October
    [11] November
   *[12] December
} { $year }, { $time } UTC
languages = Language
skip-to-content = Skip to content

## Before consent

landing-title = { $provider } asks to read the security alerts of { $customer }
landing-lead = { $provider } watches over the security of your organization. To do so, its monitoring system needs to read your Microsoft Defender alerts. Microsoft allows that only after an administrator of your organization has given consent.

who-heading = Who is asking
who-provider = Service provider
who-contact = Contact
who-app-id = Application ID
who-app-id-hint = Microsoft shows the same ID with the application, so that you can be sure it is this one.

for-heading = For which organization
for-organization = Organization
for-domain = Domain
for-tenant-id = Tenant ID

permissions-heading = What you are asked to allow
permissions-lead = { $count ->
    [one] One permission, for reading only:
   *[other] { $count } permissions, for reading only:
}
permissions-lead-acting = { $count ->
    [one] One permission, which allows more than reading:
   *[other] { $count } permissions, of which at least one allows more than reading:
}
permission-of = Application permission of { $api }
permission-of-person = Delegated permission of { $api }
permission-allows = What it allows
permission-why = Why it is needed
permission-security-alert = Read all security alerts
    .allows = Reads the alerts of { $source ->
        [graph_alerts] Microsoft Defender, Microsoft Sentinel and Microsoft Entra ID Protection
       *[other] { $product }
    } in your tenant: what was detected, when, how severe it is, and which devices, accounts, files and addresses are involved.
    .why = The alerts are what { $provider }’s analysts respond to. They are fetched about once a minute, so that an attack is seen soon.
permission-security-incident = Read all security incidents
    .allows = Reads incidents: groups of alerts that belong to the same attack, with their status, classification and comments.
    .why = An incident shows which alerts belong together, so that { $provider } sees the whole attack and not only parts of it.
permission-threat-hunting = Run hunting queries
    .allows = Searches the security data that Microsoft Defender has recorded (Advanced hunting): events on devices, sign-ins, and who sent which e-mail to whom. The text of e-mails is not part of it.
    .why = It finds traces of attacks for which there is no alert yet, and shows what came before an alert.
permission-reading = Read further data of { $api }
    .allows = Reads what Microsoft describes beside this name on its own page. Nothing can be changed with it.
    .why = { $provider } asks for it for a service that you have agreed on. If you do not know of one, ask first.
permission-acting = Act in { $api }
    .allows = Changes something or takes an action, as Microsoft describes beside this name on its own page. It is more than reading.
    .why = { $provider } asks for it for a service that you have agreed on, such as cutting off a device under attack. If you do not know of one, ask first.

limits-heading = What this does not allow
limits-change = Nothing can be changed or deleted: not in Microsoft Defender, not in Microsoft Entra, not on your devices.
limits-content = Nobody can read your e-mails, chats or files with it.
limits-accounts = Nobody can sign in with one of your accounts, see a password or reset one.
limits-people = No person gets access to your portals. If that is part of your agreement, it is a separate step that you approve separately.

steps-heading = What happens next
steps-sign-in = You go on to Microsoft’s own page at { $host } and sign in there with an administrator account of { $customer }. Look at the address in your browser before you enter your password.
steps-compare = Microsoft shows who asks for which permissions. Compare them with this page and choose “Accept”.
steps-return = Microsoft brings you back here. You then see whether everything works.
steps-person = Then a person of { $customer } signs in once, in whose name { $provider } reads from then on. It can be you.

roles-heading = Who can consent
roles-text = An account with the role Global Administrator or Privileged Role Administrator. If yours has neither, forward the link to a colleague whose account does.

continue-button = Continue to Microsoft
continue-hint = You enter your password at Microsoft only. { $provider } never sees it.
valid-until = This link is for { $customer } and works until { $date }.

revoke-heading = If you change your mind later
revoke-text = You can withdraw your consent at any time, without asking { $provider }: in the Microsoft Entra admin center under Enterprise applications, find the application ID { $app_id }, then choose Properties and Delete. From that moment no new access is granted; access that was granted before ends by itself, usually within about an hour.
revoke-link = Open the application in the Microsoft Entra admin center

unexpected-heading = You were not expecting this?
unexpected-text = Then do not continue. Ask { $provider } first, at a phone number or an address that you already know rather than one from this page or the message that brought you here.

notice-declined = You did not give consent. Nothing was changed. You can start again whenever you like, or ask { $provider } what is unclear.
notice-not-administrator = Microsoft says that this account may not consent for the whole organization. Sign in with an account that has one of the roles below, or forward the link to a colleague.
notice-wrong-account = You signed in with an account that does not belong to { $customer }. Sign in with an administrator account of { $customer }; a private browser window helps if you are signed in elsewhere.
notice-blocked = A Conditional Access policy of your organization blocked the sign-in. Try again from a managed device or your company network.
notice-failed = Microsoft reported a problem ({ $code }). Nothing was changed. Please try again. If it happens again, send this code to { $provider }.
notice-licence = Microsoft says that your organization has no active subscription for a product that this access is for ({ $code }). Nothing was changed. { $provider } will help you find out which one it is.
notice-second-factor = Microsoft wants you to prove once more that it is you ({ $code }). Please start again, and complete every step that Microsoft shows, such as a confirmation on your phone.
notice-setting-up = Microsoft is still setting up the application in your tenant ({ $code }). Please wait a few minutes and start again. If it happens again, delete the application under Enterprise applications first.
notice-other-cloud = { $customer } belongs to another national cloud of Microsoft ({ $code }), to which this link does not lead. Nothing was changed. Please tell { $provider }.
notice-provider = Microsoft reported a problem ({ $code }) that lies with { $provider }, not with you. Nothing was changed. Please send this code to { $provider }.

## After consent

status-checking-title = Thank you. The connection is being checked
status-checking-lead = Microsoft can take a few minutes until a consent takes effect everywhere. You need not wait: the check continues even when you close this page.
status-good-title = Everything works
status-good-lead = { $provider } can now read the security alerts of { $customer }. There is nothing left for you to do, and you can close this page.
status-sign-in-title = One more step: a sign-in
status-sign-in-lead = Thank you for your consent. { $provider } reads in the name of a person of { $customer }. Please sign in now with the account that is meant for it, or open this page where that person can.
status-attention-title = Something still needs attention
status-attention-lead = Your consent has arrived, but not everything works yet. What is missing is described below. Once it is put right, the check turns green by itself.
status-attention-consent-lead = Microsoft does not confirm the consent yet. What can be done is described below.
steps-checked-heading = What was checked
step-consent = Microsoft confirms your consent
step-sign-in = A person of your organization has signed in
step-alerts = { $source ->
    [graph_alerts] Security alerts can be read
   *[other] Security alerts of { $product } can be read
}
step-incidents = { $source ->
    [graph_incidents] Security incidents can be read
   *[other] Security incidents of { $product } can be read
}
step-hunting = Hunting queries can be run
state-good = Works
state-waiting = Waiting
state-checking = Being checked
state-attention = Needs attention
state-your-turn = Your turn
state-consent-lost = Consent lost
state-no-licence = No licence
state-no-token = No token
state-throttled = Throttled
state-api-down = API down
checked-at = Last checked on { $date }
refresh-note = This page refreshes by itself.
refresh-link = Refresh now
retry-button = Give consent again

fix-consent = Microsoft does not know of any consent for this application in { $customer }. Please give consent again, with an administrator account of { $customer }.
fix-permission = The permission { $permission } is missing from the consent. Please give consent again and accept all permissions.
fix-app-disabled = The application is disabled in your tenant. In the Microsoft Entra admin center under Enterprise applications, open the application and set “Enabled for users to sign-in?” to “Yes” under Properties.
fix-conditional-access = A Conditional Access policy blocks the application. Exclude the application from the policy for workload identities, or add the addresses of { $provider } to the allowed locations.
fix-licence = Microsoft reports that your organization has no license, or no active subscription, for this data. A license that includes Microsoft Defender is needed; { $provider } will help you find the right one.
fix-person = The person who signed in for { $provider } has no role in your tenant that lets them see this data. Please give that account a role such as Security Reader, with access to all device groups.
fix-provider = The problem is on the side of { $provider }, not yours. { $provider } has been told about it. There is nothing for you to do.
fix-microsoft = Microsoft’s service does not answer at the moment. The check is repeated by itself. There is nothing for you to do.
fix-other = Microsoft does not allow this yet, and gave a reason that { $provider } has to look at. { $provider } has been told about it.
fix-sign-in = Sign in with an account of { $customer } that may see alerts in Microsoft Defender, for example with the role Security Reader.
sign-in-button = Sign in at Microsoft

## Links that lead nowhere

expired-title = This link has expired
expired-text = For your safety, links like this one work for a limited time. Please ask { $provider } for a new one.
revoked-title = This link is no longer valid
revoked-text = It was replaced by a newer one or withdrawn. Please use the latest message from { $provider }, or ask for a new link.
unknown-title = This link is not valid
unknown-text = Perhaps it was not copied completely. Please open it from the original message once more, or ask { $provider } for a new one.
late-title = Please open your link once more
late-text = This answer from Microsoft came too late, was already used, or belongs to nothing we know. Nothing was changed. Please open the link in your message again; it shows how things stand.
busy-title = Just a moment, please
busy-text = Too many requests are coming in right now. Please try again in a minute.
many-title = Too many attempts
many-text = This link was used to go to Microsoft very often in a short time. Please wait an hour, or ask { $provider } for help.
trouble-title = Something went wrong on our side
trouble-text = Nothing was changed. Please try again in a few minutes. If it happens again, tell { $provider } the time at which it happened.

wrong-tenant-title = The consent came from a different organization
wrong-tenant-text = This invitation is for { $customer }, but you signed in to another organization and gave the consent there. { $provider } does not use it.
wrong-tenant-invited = Invited
wrong-tenant-answered = Answered
wrong-tenant-again = Please start again and sign in with an administrator account of { $customer }. A private browser window helps if you are signed in elsewhere.
wrong-tenant-remove = To undo the consent in the other organization, delete the application there under Enterprise applications.
start-again = Start again

## A person signs in for the connector

connector-good-title = The sign-in worked
connector-good-text = { $account } is now signed in for { $customer }. You can close this window.
connector-failed-title = The sign-in did not work
connector-failed-text = Nothing was stored. Please start the sign-in again from where it was started. The reason is in the log of { $provider }.
connector-failed-code = Microsoft’s code: { $code }
