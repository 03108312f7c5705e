//! Microsoft's own APIs as the directory knows them: their app ids, the addresses that name them, and the permissions
//! that they offer.

use crate::http::call::Call;

/// A permission that an API offers.
#[derive(Debug)]
pub(crate) struct Permission {
    pub(crate) name: &'static str,
    /// Its id as an application permission (role); empty when there is none.
    pub(crate) role_id: &'static str,
    /// Its id as a delegated permission (scope); empty when there is none.
    pub(crate) scope_id: &'static str,
    /// Whether only an administrator can consent to the delegated form.
    pub(crate) admin_only: bool,
    /// What the consent page says it allows.
    pub(crate) allows: &'static str,
}

/// An API of Microsoft's.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) app_id: &'static str,
    pub(crate) name: &'static str,
    /// What tokens for it are asked for by, without a slash at the end; the first is the usual one.
    pub(crate) audiences: &'static [&'static str],
    pub(crate) permissions: &'static [Permission],
}

const fn both(
    name: &'static str,
    role_id: &'static str,
    scope_id: &'static str,
    allows: &'static str,
) -> Permission {
    Permission { name, role_id, scope_id, admin_only: true, allows }
}

const fn role(name: &'static str, role_id: &'static str, allows: &'static str) -> Permission {
    Permission { name, role_id, scope_id: "", admin_only: true, allows }
}

const fn scope(name: &'static str, scope_id: &'static str, allows: &'static str) -> Permission {
    Permission { name, role_id: "", scope_id, admin_only: true, allows }
}

const fn user_scope(name: &'static str, scope_id: &'static str, allows: &'static str) -> Permission {
    Permission { name, role_id: "", scope_id, admin_only: false, allows }
}

/// The app id of Microsoft Graph.
pub(crate) const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";
/// The app id of Azure Key Vault.
pub(crate) const KEY_VAULT_APP_ID: &str = "cfa8b339-82a2-471a-a3c9-0fc0be7a4093";
/// The app id of Azure Monitor.
pub(crate) const MONITOR_APP_ID: &str = "e933bd07-d2ee-4f1d-933c-3752b819567b";
/// The app id of the retired Azure AD Graph, which v1 falls back to where no resource is named.
pub(crate) const AAD_GRAPH_APP_ID: &str = "00000002-0000-0000-c000-000000000000";
/// The tenant that Microsoft's own apps belong to.
pub(crate) const MICROSOFT_TENANT: &str = "f8cdef31-a31e-4b4a-93e4-5f571e91255a";

/// Every API that the emulator's directory knows.
pub(crate) const RESOURCES: &[Resource] = &[
    Resource {
        app_id: GRAPH_APP_ID,
        name: "Microsoft Graph",
        audiences: &[
            "https://graph.microsoft.com",
            "https://graph.microsoft.us",
            "https://dod-graph.microsoft.us",
            "https://microsoftgraph.chinacloudapi.cn",
        ],
        permissions: &[
            both(
                "SecurityAlert.Read.All",
                "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5",
                "bc257fb8-46b4-4b15-8713-01e91bfbe4ea",
                "Read all security alerts",
            ),
            both(
                "SecurityAlert.ReadWrite.All",
                "ed4fca05-be46-441f-9803-1873825f8fdb",
                "471f2a7f-2a42-4d45-a2bf-594d0838070d",
                "Read and write to all security alerts",
            ),
            both(
                "SecurityIncident.Read.All",
                "45cc0394-e837-488b-a098-1918f48d186c",
                "b9abcc4f-94fc-4457-9141-d20ce80ec952",
                "Read all security incidents",
            ),
            both(
                "SecurityIncident.ReadWrite.All",
                "34bf0e97-1971-4929-b999-9e2442d941d7",
                "128ca929-1a19-45e6-a3b8-435ec44a36ba",
                "Read and write to all security incidents",
            ),
            both(
                "ThreatHunting.Read.All",
                "dd98c7f5-2d42-42d3-a0e4-633161547251",
                "b152eca8-ea73-4a48-8c98-1a6742673d99",
                "Run hunting queries",
            ),
            both(
                "SecurityEvents.Read.All",
                "bf394140-e372-4bf9-a898-299cfc7564e5",
                "64733abd-851e-478a-bffb-e47a14b18235",
                "Read your organization's security events",
            ),
            both(
                "SecurityEvents.ReadWrite.All",
                "d903a879-88e0-4c09-b0c9-82f6a1333f84",
                "6aedf524-7e1c-45a7-bd76-ded8cab8d0fc",
                "Read and update your organization's security events",
            ),
            both(
                "Application.ReadWrite.All",
                "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
                "bdfbf15f-ee85-4955-8675-146e8e5296b5",
                "Read and write all applications",
            ),
            role(
                "Application.ReadWrite.OwnedBy",
                "18a4783c-866b-4cc7-a460-3d5e5662c884",
                "Manage apps that this app creates or owns",
            ),
            both(
                "AppRoleAssignment.ReadWrite.All",
                "06b708a9-e830-4db3-a914-8e69da51d44f",
                "84bccea3-f856-4a8a-967b-dbe0a3d53a64",
                "Manage app permission grants and app role assignments",
            ),
            both(
                "DelegatedPermissionGrant.ReadWrite.All",
                "8e8e4742-1d95-4f68-9d56-6ee75648c72a",
                "41ce6ca6-6826-4807-84f1-1c82854f7ee5",
                "Manage all delegated permission grants",
            ),
            both(
                "Directory.Read.All",
                "7ab1d382-f21e-4acd-a863-ba3e13f7da61",
                "06da0dbc-49e2-44d2-8312-53f166ab848a",
                "Read directory data",
            ),
            both(
                "DelegatedAdminRelationship.Read.All",
                "f6e9e124-4586-492f-adc0-c6f96e4823fd",
                "0c0064ea-477b-4130-82a5-4c2cc4ff68aa",
                "Read delegated admin relationships with customers",
            ),
            both(
                "DelegatedAdminRelationship.ReadWrite.All",
                "cc13eba4-8cd8-44c6-b4d4-f93237adce58",
                "885f682f-a990-4bad-a642-36736a74b0c7",
                "Manage delegated admin relationships with customers",
            ),
            user_scope(
                "User.Read",
                "e1fe6dd8-ba31-4d61-89e7-88639da4683d",
                "Sign you in and read your profile",
            ),
            user_scope(
                "offline_access",
                "7427e0e9-2fba-42fe-b0c0-848c9e6a8182",
                "Maintain access to data you have given it access to",
            ),
            user_scope("openid", "37f7f235-527c-4136-accd-4a02d197296e", "Sign you in"),
            user_scope("profile", "14dad69e-099b-42c9-810b-d002981feec1", "View your basic profile"),
            user_scope("email", "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0", "View your email address"),
        ],
    },
    Resource {
        app_id: "fc780465-2017-40d4-a0c5-307022471b92",
        name: "WindowsDefenderATP",
        audiences: &[
            "https://api.securitycenter.microsoft.com",
            "https://api.securitycenter.windows.com",
            "https://securitycenter.onmicrosoft.com/windowsatpservice",
            "https://api-gcc.securitycenter.microsoft.us",
            "https://api-gov.securitycenter.microsoft.us",
        ],
        permissions: &[
            role("AdvancedQuery.Read.All", "93489bf5-0fbc-4f2d-b901-33f2fe08ff05", "Run advanced queries"),
            scope("AdvancedQuery.Read", "1fb6e712-1bd9-4184-b1c0-5e71e759196b", "Run advanced queries"),
            role("Alert.Read.All", "71fe6b80-7034-4028-9ed8-0f316df9c3ff", "Read all alerts"),
            scope("Alert.Read", "b2069dc0-9fe9-4e6d-9aca-ccf3dd503819", "Read alerts"),
            role("Alert.ReadWrite.All", "0f7000ec-157b-497f-b70e-ef0b0584f140", "Read and write all alerts"),
            scope("Alert.ReadWrite", "cbc3b413-21e6-416d-95a4-af87687efbd0", "Read and write alerts"),
            role("File.Read.All", "8788f1a9-beca-4e26-ba58-10513f3b896f", "Read file profiles"),
            role("Ip.Read.All", "47bf842d-354b-49ef-b741-3a6dd815bc13", "Read IP address profiles"),
            role("Url.Read.All", "721af526-ffa8-42d7-9b84-1a56244dd99d", "Read URL profiles"),
            role("User.Read.All", "a833834a-4cf1-4732-8acf-bbcfa13fb610", "Read user profiles"),
            role("Machine.Read.All", "ea8291d3-4b9a-44b5-bc3a-6cea3026dc79", "Read all machine profiles"),
            scope("Machine.Read", "fbd3d33a-b1f5-4573-906c-51b39682fbcf", "Read machine information"),
            role(
                "Machine.ReadWrite.All",
                "aa027352-232b-4ed4-b963-a705fc4d6d2c",
                "Read and write all machine information",
            ),
            both(
                "Machine.Isolate",
                "7e4e1300-e1b9-4102-88ba-f0cb6e6d5974",
                "479231ef-3b86-4933-ae6b-1fa84bba9e31",
                "Isolate machines",
            ),
            role("Machine.Scan", "a86d9824-b2b6-45f8-b042-16bc4922ed4e", "Scan machines"),
            role(
                "Machine.RestrictExecution",
                "96b6b35d-074d-4e2d-b167-8d68d9269648",
                "Restrict code execution",
            ),
            role(
                "Machine.StopAndQuarantine",
                "96e72b5e-7e68-4171-aad1-3937599e4751",
                "Stop and quarantine files",
            ),
            role("Machine.CollectForensics", "15405ab2-2103-4a3c-ad80-e829841cedcc", "Collect forensics"),
            role(
                "Machine.LiveResponse",
                "1629b959-c0af-42a1-92f0-f6162060bdf1",
                "Run live response on machines",
            ),
            role("Machine.Offboard", "594435bf-36dd-4548-83bd-1bdafe157d7a", "Offboard machines"),
            role("Ti.Read.All", "528ca142-c849-4a5b-935e-10b8b9c38a84", "Read all indicators"),
            role("Ti.ReadWrite.All", "fc511a58-3adf-4d71-af24-00f13e35e479", "Read and write all indicators"),
            role(
                "Vulnerability.Read.All",
                "41269fc5-d04d-4bfd-bce7-43a51cea049a",
                "Read vulnerability information",
            ),
        ],
    },
    Resource {
        app_id: "8ee8fdad-f234-4243-8f3b-15c294843740",
        name: "Microsoft Threat Protection",
        audiences: &[
            "https://api.security.microsoft.com",
            "https://api-gcc.security.microsoft.us",
            "https://api-gov.security.microsoft.us",
        ],
        permissions: &[
            role(
                "AdvancedHunting.Read.All",
                "7734e8e5-8dde-42fc-b5ae-6eafea078693",
                "Run advanced hunting queries",
            ),
            scope(
                "AdvancedHunting.Read",
                "15f11de4-5113-4268-a2d1-0bad43d781f9",
                "Run advanced hunting queries",
            ),
            role("Incident.Read.All", "a9790345-4595-42e4-971a-ccdc79f19b7c", "Read all incidents"),
            scope("Incident.Read", "12c153a4-4204-4224-aa3c-4626e2f47c2b", "Read incidents"),
            role(
                "Incident.ReadWrite.All",
                "8d90f441-09cf-4fdc-ab45-e874fa3a28e8",
                "Read and write all incidents",
            ),
            scope("Incident.ReadWrite", "2af415cc-88cf-4146-a0c8-444c3a80d5db", "Read and write incidents"),
            role(
                "CustomDetections.ReadWrite.All",
                "a7deff90-e2f5-4e4e-83a3-2c74e7002e28",
                "Read and write all custom detection rules",
            ),
        ],
    },
    Resource {
        app_id: AAD_GRAPH_APP_ID,
        name: "Windows Azure Active Directory",
        // The second is what the SIEM feed's tokens were asked for by before the portal made apps for it.
        audiences: &["https://graph.windows.net", "https://wdatpalertexport.seville.onmicrosoft.com"],
        permissions: &[
            user_scope(
                "User.Read",
                "311a71cc-e848-46a1-bdf8-97ff7156d8e6",
                "Sign you in and read your profile",
            ),
            both(
                "Directory.Read.All",
                "5778995a-e1bf-45b8-affa-663a9f3f4d04",
                "5778995a-e1bf-45b8-affa-663a9f3f4d04",
                "Read directory data",
            ),
        ],
    },
    Resource {
        app_id: KEY_VAULT_APP_ID,
        name: "Azure Key Vault",
        audiences: &["https://vault.azure.net", "https://vault.azure.cn", "https://vault.usgovcloudapi.net"],
        permissions: &[user_scope(
            "user_impersonation",
            "f53da476-18e3-4152-8e01-aec403e6edc0",
            "Have full access to the Azure Key Vault service",
        )],
    },
    Resource {
        app_id: MONITOR_APP_ID,
        name: "Azure Monitor",
        audiences: &["https://monitor.azure.com", "https://monitor.azure.us", "https://monitor.azure.cn"],
        permissions: &[],
    },
    Resource {
        app_id: "797f4846-ba00-4fd7-ba43-dac1f8f63013",
        name: "Windows Azure Service Management API",
        audiences: &["https://management.azure.com", "https://management.core.windows.net"],
        permissions: &[user_scope(
            "user_impersonation",
            "41094075-9dad-400e-a0bd-54e686782033",
            "Access Azure Service Management as you",
        )],
    },
    Resource {
        app_id: "fb60f99c-7a34-4190-8149-302f77469936",
        name: "AzureADTokenExchange",
        audiences: &["api://AzureADTokenExchange"],
        permissions: &[],
    },
];

impl Resource {
    /// The API of an app id.
    pub(crate) fn of_app(app_id: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|resource| resource.app_id.eq_ignore_ascii_case(app_id))
    }

    /// The API that a token is asked for by `name`: an app id or an address. The emulator's own address is Graph's:
    /// clients of a custom cloud ask for a token for the host that they call.
    pub(crate) fn named(name: &str, call: &Call<'_>) -> Option<&'static Self> {
        let name = name.trim_end_matches('/');
        RESOURCES
            .iter()
            .find(|resource| {
                resource.app_id.eq_ignore_ascii_case(name)
                    || resource.audiences.iter().any(|audience| audience.eq_ignore_ascii_case(name))
            })
            .or_else(|| {
                let own = name.eq_ignore_ascii_case(call.base);
                own.then(|| Self::of_app(GRAPH_APP_ID)).flatten()
            })
    }

    pub(crate) fn permission(&self, name: &str) -> Option<&'static Permission> {
        self.permissions.iter().find(|permission| permission.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn role(&self, id: &str) -> Option<&'static Permission> {
        self.permissions
            .iter()
            .find(|permission| !id.is_empty() && permission.role_id.eq_ignore_ascii_case(id))
    }

    pub(crate) fn scope(&self, id: &str) -> Option<&'static Permission> {
        self.permissions
            .iter()
            .find(|permission| !id.is_empty() && permission.scope_id.eq_ignore_ascii_case(id))
    }
}
