# The steps around a customer that only people can do (`muster tenant guide`). Every language has the same messages with the
# same variables. Names of menus, permissions and roles are those of Microsoft's own portals in each language.

guide-tenant = Tenant
guide-state = State
guide-by = By
guide-who-customer = the customer’s administrator
guide-who-provider = you
guide-who-both = you and the customer’s administrator
guide-state-done = done
guide-state-to-do = to do
guide-state-not-seen = cannot be seen from here
guide-state-if-wanted = if wanted

guide-consent = Consent of the customer
guide-consent-link = make the link with `{ $command }` and mail it; a Global Administrator or Privileged Role Administrator opens it
guide-consent-permissions = the permissions asked for: { $permissions }
guide-consent-app = The app in the customer’s tenant
guide-not-checked = not checked yet
guide-nobody-consented = nobody has consented yet

guide-sources = Every source can be read
guide-source-good = `{ $source }` can be read ({ $at })
guide-source-not-tried = `{ $source }` was not tried yet

guide-connector = SIEM connector authorised in the customer’s portal
guide-connector-read = { $account } has signed in, and every source can be read in their name
guide-connector-signed-in = { $account } has signed in; whether the portal lets the app read was not tried yet
guide-connector-failing = { $account } has signed in, but not every source can be read in their name
guide-connector-nobody = nobody has signed in yet
guide-connector-optional = only for an app that acts for a person, and the old SIEM feed
guide-connector-where = in the customer’s Defender portal: Settings > Endpoints > APIs > SIEM > MSSP tab
guide-connector-enter = enter the application id `{ $app }` and the tenant id { $tenant }, then choose Authorize application
guide-connector-app-unknown = the app’s client id
guide-connector-tenant-unknown = your own tenant’s id (set `tenant` in the app’s section to see it here)
guide-connector-permission = it needs the permission “Manage portal system settings” there
guide-connector-redirect = the app registration needs the redirect URI `{ $uri }`
guide-connector-sign-in = then somebody with an account in the customer’s tenant signs in: `{ $command }`

guide-packages = Portal access for your analysts by access packages
guide-packages-unseen = Microsoft tells nobody from outside whether it is set up
guide-packages-groups = in your own tenant, once: the Entra groups `Tier 1 Analyst`, `Tier 2 Analyst` and `MSSP Analyst Approvers`
guide-packages-roles = customer: Defender roles for the two tiers (Settings > Endpoints > Permissions > Roles); tier 1 without live response and without managing security settings, tier 2 with live response
guide-packages-organization = customer, Identity Governance: add your organization as a connected organization
guide-packages-catalog = customer: make a catalog `MSSP Accesses` and in it one access package per tier: requests from the connected organization only, approval by your approvers, yearly review, end after 365 days
guide-packages-link = customer: send you the My Access link of each package; you approve your analysts’ requests there
guide-packages-organizations-page = Connected organizations, in the customer’s tenant
guide-packages-catalogs-page = Catalogs and access packages, in the customer’s tenant
guide-packages-access-page = My Access, where your analysts ask

guide-gdap = Portal access for your analysts by GDAP, for partners in the CSP programme
guide-gdap-create = you: create a granular delegated admin relationship with tenant `{ $tenant }` in Partner Center, with the least roles that do (Security Reader, Security Operator), and lock it for approval
guide-gdap-approve = customer: a Global Administrator approves it with the link below, completed with the relationship’s id
guide-gdap-assign = you: assign your security groups to the roles of the relationship
guide-gdap-no-consent = it does not replace the consent: an app without its own consent is refused (AADSTS90099)
guide-gdap-page = Approval, in the customer’s tenant

guide-portal = Open the customer’s portal
guide-portal-tid = add `tid={ $tenant }` to any link of the portal, and it opens in this tenant; the links in alerts have it already
guide-portal-page = The customer’s Defender portal
guide-portal-many = All your customers at once

guide-mail = Mail on new alerts, beside the SIEM
guide-mail-where = in the customer’s Defender portal: Settings > Endpoints > Email notifications > Add notification rule
guide-mail-options = switch on “Include organization name” and “Include tenant-specific portal link”, so that mails of several customers can be told apart
guide-mail-permission = it needs the permission “Manage security settings”; recipients get only alerts from then on
