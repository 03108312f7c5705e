//! The permissions that Muster knows: their ids, what each allows, and why Muster asks for it.
//!
//! Source: Microsoft Graph permissions reference; Defender permission lists.

use super::credential::Access;

/// An API that permissions belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceApp {
    /// Microsoft Graph.
    Graph,
    /// Defender for Endpoint (`WindowsDefenderATP`).
    DefenderForEndpoint,
    /// Microsoft 365 Defender (`Microsoft Threat Protection`).
    DefenderXdr,
    /// Azure AD Graph, retired; the audience of the old SIEM feed.
    AzureAdGraph,
}

impl ResourceApp {
    /// Every API.
    pub const ALL: [Self; 4] =
        [Self::Graph, Self::DefenderForEndpoint, Self::DefenderXdr, Self::AzureAdGraph];

    /// Its application id, the same in every tenant.
    #[must_use]
    pub fn app_id(self) -> &'static str {
        match self {
            Self::Graph => "00000003-0000-0000-c000-000000000000",
            Self::DefenderForEndpoint => "fc780465-2017-40d4-a0c5-307022471b92",
            Self::DefenderXdr => "8ee8fdad-f234-4243-8f3b-15c294843740",
            Self::AzureAdGraph => "00000002-0000-0000-c000-000000000000",
        }
    }

    /// Its name in Microsoft's portals.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Graph => "Microsoft Graph",
            Self::DefenderForEndpoint => "WindowsDefenderATP",
            Self::DefenderXdr => "Microsoft Threat Protection",
            Self::AzureAdGraph => "Windows Azure Active Directory",
        }
    }
}

/// A permission of an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Whose.
    pub resource: ResourceApp,
    /// The application permission's name and id.
    pub role: Option<(&'static str, &'static str)>,
    /// The delegated permission's name and id.
    pub scope: Option<(&'static str, &'static str)>,
    /// What it allows, in plain words.
    pub allows: &'static str,
    /// Why Muster asks for it; empty where it does not.
    pub why: &'static str,
}

impl Permission {
    /// Its name as a token or a consent page shows it, for an app with this access.
    #[must_use]
    pub fn name(&self, access: Access) -> Option<&'static str> {
        match access {
            Access::Application => self.role,
            Access::Delegated => self.scope,
        }
        .map(|(name, _)| name)
    }

    /// `API/NAME`, as settings and commands name it: by its name as a role, where it has one.
    #[must_use]
    pub fn full_name(&self) -> String {
        let named = self.role.or(self.scope).map_or("", |(name, _)| name);
        format!("{}/{named}", self.resource.name())
    }

    /// Whether nothing can be changed or done with it. Microsoft's names say so.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        let reads = |name: &str| name.contains(".Read.") || name.ends_with(".Read") || !name.contains('.');
        [self.role, self.scope].into_iter().flatten().all(|(name, _)| reads(name))
    }
}

/// The permission that `API/NAME` names: the API by its name in Microsoft's portals or its app id.
///
/// # Errors
/// In words, when there is none.
pub fn parse(text: &str) -> Result<&'static Permission, String> {
    let apis = || ResourceApp::ALL.map(ResourceApp::name).join(", ");
    let (api, name) =
        text.split_once('/').ok_or_else(|| format!("write it as API/NAME; the APIs are {}", apis()))?;
    let same = |app: &ResourceApp| app.name().eq_ignore_ascii_case(api) || app.app_id() == api;
    let app = ResourceApp::ALL
        .into_iter()
        .find(same)
        // What was written is not said again: in settings it may be anything.
        .ok_or_else(|| format!("there is no such API; they are {}", apis()))?;
    by_name(Some(app), name).ok_or_else(|| {
        let known = all().iter().filter(|permission| permission.resource == app);
        let names: Vec<&str> = known
            .filter_map(|permission| permission.role.or(permission.scope).map(|(name, _)| name))
            .collect();
        let meant = muster_model::text::did_you_mean(name, names.iter().copied());
        format!(
            "{} has no such permission that Muster knows{meant}; it knows {}",
            app.name(),
            names.join(", ")
        )
    })
}

/// The application permission of this name. For constants: one that is not known does not compile.
pub(crate) const fn known(app: ResourceApp, role: &str) -> &'static Permission {
    let mut at = 0;
    while at < ALL.len() {
        let permission = &ALL[at];
        if let Some((name, _)) = permission.role
            && permission.resource as u8 == app as u8
            && same(name, role)
        {
            return permission;
        }
        at += 1;
    }
    panic!("no such permission is known")
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// The delegated permission of this name, likewise.
pub(crate) const fn known_scope(app: ResourceApp, scope: &str) -> &'static Permission {
    let mut at = 0;
    while at < ALL.len() {
        let permission = &ALL[at];
        if let Some((name, _)) = permission.scope
            && permission.resource as u8 == app as u8
            && same(name, scope)
        {
            return permission;
        }
        at += 1;
    }
    panic!("no such permission is known")
}

/// Every permission that is known.
#[must_use]
pub fn all() -> &'static [Permission] {
    ALL
}

/// The permission of this name, as a role or as a scope.
#[must_use]
pub fn by_name(resource: Option<ResourceApp>, name: &str) -> Option<&'static Permission> {
    all().iter().find(|permission| {
        resource.is_none_or(|resource| resource == permission.resource)
            && [permission.role, permission.scope].into_iter().flatten().any(|(known, _)| known == name)
    })
}

const ALL: &[Permission] = &[
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("AdvancedQuery.Read.All", "93489bf5-0fbc-4f2d-b901-33f2fe08ff05")),
        scope: Some(("AdvancedQuery.Read", "1fb6e712-1bd9-4184-b1c0-5e71e759196b")),
        allows: "run advanced-hunting queries over Defender for Endpoint data",
        why: "`muster hunt` asks its queries with it",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Alert.Read.All", "71fe6b80-7034-4028-9ed8-0f316df9c3ff")),
        scope: Some(("Alert.Read", "b2069dc0-9fe9-4e6d-9aca-ccf3dd503819")),
        allows: "read Defender for Endpoint alerts",
        why: "fetches the alerts of Defender for Endpoint where Graph is not used",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Alert.ReadWrite.All", "0f7000ec-157b-497f-b70e-ef0b0584f140")),
        scope: Some(("Alert.ReadWrite", "cbc3b413-21e6-416d-95a4-af87687efbd0")),
        allows: "read and change Defender for Endpoint alerts",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("File.Read.All", "8788f1a9-beca-4e26-ba58-10513f3b896f")),
        scope: None,
        allows: "read what Defender for Endpoint knows of files",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Ip.Read.All", "47bf842d-354b-49ef-b741-3a6dd815bc13")),
        scope: None,
        allows: "read what Defender for Endpoint knows of IP addresses",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Url.Read.All", "721af526-ffa8-42d7-9b84-1a56244dd99d")),
        scope: None,
        allows: "read what Defender for Endpoint knows of web addresses",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("User.Read.All", "a833834a-4cf1-4732-8acf-bbcfa13fb610")),
        scope: None,
        allows: "read what Defender for Endpoint knows of user accounts",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Machine.Read.All", "ea8291d3-4b9a-44b5-bc3a-6cea3026dc79")),
        scope: Some(("Machine.Read", "fbd3d33a-b1f5-4573-906c-51b39682fbcf")),
        allows: "read the devices that Defender for Endpoint protects",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Machine.ReadWrite.All", "aa027352-232b-4ed4-b963-a705fc4d6d2c")),
        scope: None,
        allows: "read and tag devices",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Machine.Isolate", "7e4e1300-e1b9-4102-88ba-f0cb6e6d5974")),
        scope: Some(("Machine.Isolate", "479231ef-3b86-4933-ae6b-1fa84bba9e31")),
        allows: "cut a device off from the network, and let it back",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Machine.Scan", "a86d9824-b2b6-45f8-b042-16bc4922ed4e")),
        scope: None,
        allows: "start an antivirus scan on a device",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Machine.RestrictExecution", "96b6b35d-074d-4e2d-b167-8d68d9269648")),
        scope: None,
        allows: "restrict which programs a device runs",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Machine.StopAndQuarantine", "96e72b5e-7e68-4171-aad1-3937599e4751")),
        scope: None,
        allows: "stop a program on a device and quarantine its file",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Machine.CollectForensics", "15405ab2-2103-4a3c-ad80-e829841cedcc")),
        scope: None,
        allows: "collect an investigation package from a device",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Machine.LiveResponse", "1629b959-c0af-42a1-92f0-f6162060bdf1")),
        scope: None,
        allows: "run live-response commands on a device",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Machine.Offboard", "594435bf-36dd-4548-83bd-1bdafe157d7a")),
        scope: None,
        allows: "take a device out of Defender for Endpoint",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Ti.Read.All", "528ca142-c849-4a5b-935e-10b8b9c38a84")),
        scope: None,
        allows: "read threat indicators",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Ti.ReadWrite.All", "fc511a58-3adf-4d71-af24-00f13e35e479")),
        scope: None,
        allows: "read and change threat indicators",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderForEndpoint,
        role: Some(("Vulnerability.Read.All", "41269fc5-d04d-4bfd-bce7-43a51cea049a")),
        scope: None,
        allows: "read vulnerability findings",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderXdr,
        role: Some(("AdvancedHunting.Read.All", "7734e8e5-8dde-42fc-b5ae-6eafea078693")),
        scope: Some(("AdvancedHunting.Read", "15f11de4-5113-4268-a2d1-0bad43d781f9")),
        allows: "run advanced-hunting queries over Microsoft 365 Defender data",
        why: "`muster hunt` asks its queries with it",
    },
    Permission {
        resource: ResourceApp::DefenderXdr,
        role: Some(("Incident.Read.All", "a9790345-4595-42e4-971a-ccdc79f19b7c")),
        scope: Some(("Incident.Read", "12c153a4-4204-4224-aa3c-4626e2f47c2b")),
        allows: "read Microsoft 365 Defender incidents and their alerts",
        why: "fetches the incidents of Microsoft 365 Defender where Graph is not used",
    },
    Permission {
        resource: ResourceApp::DefenderXdr,
        role: Some(("Incident.ReadWrite.All", "8d90f441-09cf-4fdc-ab45-e874fa3a28e8")),
        scope: Some(("Incident.ReadWrite", "2af415cc-88cf-4146-a0c8-444c3a80d5db")),
        allows: "read and change Microsoft 365 Defender incidents",
        why: "",
    },
    Permission {
        resource: ResourceApp::DefenderXdr,
        role: Some(("CustomDetections.ReadWrite.All", "a7deff90-e2f5-4e4e-83a3-2c74e7002e28")),
        scope: None,
        allows: "read and change custom detection rules",
        why: "",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("SecurityAlert.Read.All", "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5")),
        scope: Some(("SecurityAlert.Read.All", "bc257fb8-46b4-4b15-8713-01e91bfbe4ea")),
        allows: "read the security alerts of all Microsoft Defender products",
        why: "fetches the alerts that are delivered to the SIEM",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("SecurityAlert.ReadWrite.All", "ed4fca05-be46-441f-9803-1873825f8fdb")),
        scope: Some(("SecurityAlert.ReadWrite.All", "471f2a7f-2a42-4d45-a2bf-594d0838070d")),
        allows: "read and change the security alerts of all Microsoft Defender products",
        why: "",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("SecurityIncident.Read.All", "45cc0394-e837-488b-a098-1918f48d186c")),
        scope: Some(("SecurityIncident.Read.All", "b9abcc4f-94fc-4457-9141-d20ce80ec952")),
        allows: "read security incidents and the alerts in them",
        why: "fetches the incidents that are delivered to the SIEM",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("SecurityIncident.ReadWrite.All", "34bf0e97-1971-4929-b999-9e2442d941d7")),
        scope: Some(("SecurityIncident.ReadWrite.All", "128ca929-1a19-45e6-a3b8-435ec44a36ba")),
        allows: "read and change security incidents",
        why: "",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("ThreatHunting.Read.All", "dd98c7f5-2d42-42d3-a0e4-633161547251")),
        scope: Some(("ThreatHunting.Read.All", "b152eca8-ea73-4a48-8c98-1a6742673d99")),
        allows: "run advanced-hunting queries",
        why: "`muster hunt` asks its queries with it",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("SecurityEvents.Read.All", "bf394140-e372-4bf9-a898-299cfc7564e5")),
        scope: Some(("SecurityEvents.Read.All", "64733abd-851e-478a-bffb-e47a14b18235")),
        allows: "read security alerts in their older form",
        why: "",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("SecurityEvents.ReadWrite.All", "d903a879-88e0-4c09-b0c9-82f6a1333f84")),
        scope: Some(("SecurityEvents.ReadWrite.All", "6aedf524-7e1c-45a7-bd76-ded8cab8d0fc")),
        allows: "read and change security alerts in their older form",
        why: "",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("Application.ReadWrite.All", "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9")),
        scope: Some(("Application.ReadWrite.All", "bdfbf15f-ee85-4955-8675-146e8e5296b5")),
        allows: "create and change every app registration and service principal of the tenant",
        why: "`muster app register` creates the app registration and keeps its credentials fresh",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("Application.ReadWrite.OwnedBy", "18a4783c-866b-4cc7-a460-3d5e5662c884")),
        scope: None,
        allows: "create app registrations, and change those that it owns",
        why: "",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("AppRoleAssignment.ReadWrite.All", "06b708a9-e830-4db3-a914-8e69da51d44f")),
        scope: Some(("AppRoleAssignment.ReadWrite.All", "84bccea3-f856-4a8a-967b-dbe0a3d53a64")),
        allows: "grant application permissions, which is consenting for the whole tenant",
        why: "`muster app register` consents to the app in the provider's own tenant",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("DelegatedPermissionGrant.ReadWrite.All", "8e8e4742-1d95-4f68-9d56-6ee75648c72a")),
        scope: Some(("DelegatedPermissionGrant.ReadWrite.All", "41ce6ca6-6826-4807-84f1-1c82854f7ee5")),
        allows: "grant delegated permissions, which is consenting for all users",
        why: "",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("Directory.Read.All", "7ab1d382-f21e-4acd-a863-ba3e13f7da61")),
        scope: Some(("Directory.Read.All", "06da0dbc-49e2-44d2-8312-53f166ab848a")),
        allows: "read users, groups, apps and settings of the directory",
        why: "",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("DelegatedAdminRelationship.Read.All", "f6e9e124-4586-492f-adc0-c6f96e4823fd")),
        scope: Some(("DelegatedAdminRelationship.Read.All", "0c0064ea-477b-4130-82a5-4c2cc4ff68aa")),
        allows: "read the partner relationships (GDAP) with customers",
        why: "",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: Some(("DelegatedAdminRelationship.ReadWrite.All", "cc13eba4-8cd8-44c6-b4d4-f93237adce58")),
        scope: Some(("DelegatedAdminRelationship.ReadWrite.All", "885f682f-a990-4bad-a642-36736a74b0c7")),
        allows: "read and change the partner relationships (GDAP) with customers",
        why: "",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: None,
        scope: Some(("User.Read", "e1fe6dd8-ba31-4d61-89e7-88639da4683d")),
        allows: "sign the person in and read their profile",
        why: "shows who signed in",
    },
    Permission {
        resource: ResourceApp::AzureAdGraph,
        role: None,
        scope: Some(("User.Read", "311a71cc-e848-46a1-bdf8-97ff7156d8e6")),
        allows: "sign the person in and read their profile, in the retired Azure AD Graph",
        why: "lets a person sign in for the old SIEM feed; what may be read of it is allowed in the customer's portal",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: None,
        scope: Some(("offline_access", "7427e0e9-2fba-42fe-b0c0-848c9e6a8182")),
        allows: "keep access that the person gave, without asking again",
        why: "lets the app go on after the person has left; without it every token ends after an hour",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: None,
        scope: Some(("openid", "37f7f235-527c-4136-accd-4a02d197296e")),
        allows: "sign the person in",
        why: "",
    },
    Permission {
        resource: ResourceApp::Graph,
        role: None,
        scope: Some(("profile", "14dad69e-099b-42c9-810b-d002981feec1")),
        allows: "see the person's name",
        why: "",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_guids_and_names_are_unique() {
        let mut names = BTreeSet::new();
        for permission in all() {
            for (kind, named) in [("role", permission.role), ("scope", permission.scope)] {
                let Some((name, id)) = named else { continue };
                assert!(uuid::Uuid::try_parse(id).is_ok(), "{name}: {id}");
                assert!(names.insert((permission.resource.app_id(), kind, name)), "{name} is there twice");
            }
            assert!(permission.role.is_some() || permission.scope.is_some());
            assert!(!permission.allows.is_empty());
        }
    }

    #[test]
    fn each_source_has_a_least_permission_with_its_reason() {
        for source in muster_model::Source::ALL {
            let least = crate::sources::permissions(source).first().expect("one at least");
            assert!(!least.why.is_empty(), "{source}");
            if crate::sources::in_tokens(source).is_empty() {
                continue;
            }
            assert!(least.name(Access::Application).is_some_and(|name| name.contains(".Read.")), "{source}");
            assert!(least.name(Access::Delegated).is_some(), "{source}");
        }
    }

    #[test]
    fn a_permission_is_named_with_its_api() {
        for permission in all() {
            assert_eq!(parse(&permission.full_name()), Ok(permission));
        }
        for (wrong, said) in [
            ("Machine.Isolate", "API/NAME"),
            ("Nonsense/Machine.Isolate", "Microsoft Threat Protection"),
            ("Microsoft Threat Protection/Machine.Isolate", "Incident.Read.All"),
            ("Nonsense\u{1b}[2J/hunter2", "there is no such API"),
            ("WindowsDefenderATP/Machine.Isolat", "did you mean `Machine.Isolate`?"),
        ] {
            let error = parse(wrong).expect_err("no permission");
            assert!(
                error.contains(said) && !error.contains('\u{1b}') && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_acts_is_told_from_what_reads() {
        let reads = |name: &str| parse(name).expect("a permission").only_reads();
        for name in ["WindowsDefenderATP/Machine.Isolate", "Microsoft Graph/SecurityAlert.ReadWrite.All"] {
            assert!(!reads(name), "{name}");
        }
        for name in
            ["WindowsDefenderATP/Alert.Read", "Microsoft Graph/Directory.Read.All", "Microsoft Graph/openid"]
        {
            assert!(reads(name), "{name}");
        }
        // What reads for a source, reads.
        for source in muster_model::Source::ALL {
            assert!(crate::sources::permissions(source)[0].only_reads(), "{source}");
        }
    }

    #[test]
    fn permissions_are_found_by_name() {
        let alert = by_name(Some(ResourceApp::DefenderForEndpoint), "Alert.Read").expect("a scope");
        assert_eq!(alert.role.expect("a role").0, "Alert.Read.All");
        assert_eq!(by_name(Some(ResourceApp::Graph), "Alert.Read"), None);
        assert!(by_name(None, "SecurityAlert.Read.All").is_some());
    }
}
