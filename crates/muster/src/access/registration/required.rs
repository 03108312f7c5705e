//! The permissions that an app asks for.

use std::collections::BTreeSet;

use muster_microsoft::entra::applications::{
    AccessKind, OWN_REGISTRATION_ROLES, RequiredResourceAccess, ResourceAccess,
};
use muster_microsoft::entra::credential::Access;
use muster_microsoft::entra::permissions::{self, Permission, ResourceApp};
use muster_model::Source;
use uuid::Uuid;

/// The permissions that `sources` need, for an app with this access.
pub fn required(sources: impl IntoIterator<Item = Source>, access: Access) -> Vec<RequiredResourceAccess> {
    required_with(sources, &[], access)
}

/// The same with further permissions. One that does not exist for this access is left out.
pub fn required_with(
    sources: impl IntoIterator<Item = Source>,
    further: &[&Permission],
    access: Access,
) -> Vec<RequiredResourceAccess> {
    let mut wanted: Vec<(&Permission, AccessKind)> = Vec::new();
    let kind = match access {
        Access::Application => AccessKind::Role,
        Access::Delegated => AccessKind::Scope,
    };
    for source in sources {
        wanted.extend(muster_microsoft::sources::permissions(source).first().map(|least| (*least, kind)));
    }
    wanted.extend(further.iter().map(|permission| (*permission, kind)));
    if access == Access::Delegated {
        let person = ["openid", "profile", "offline_access"];
        let known = person.iter().filter_map(|name| permissions::by_name(Some(ResourceApp::Graph), name));
        wanted.extend(known.map(|permission| (permission, AccessKind::Scope)));
    }
    let mut required = Vec::new();
    for (permission, kind) in wanted {
        let named = match kind {
            AccessKind::Role => permission.role,
            AccessKind::Scope => permission.scope,
        };
        let id = named.and_then(|(_, id)| id.parse().ok());
        if let (Some(id), Ok(resource_app_id)) = (id, permission.resource.app_id().parse()) {
            let resource_access = vec![ResourceAccess { id, kind }];
            required = merged(&required, &[RequiredResourceAccess { resource_app_id, resource_access }]);
        }
    }
    required
}

/// The application permission with which an app may change its own registration. It is granted in the app's own tenant
/// and never stands in the registration, so that no customer is asked for it.
pub(super) fn self_care_access() -> Vec<RequiredResourceAccess> {
    let role = permissions::by_name(Some(ResourceApp::Graph), OWN_REGISTRATION_ROLES[0])
        .and_then(|permission| permission.role?.1.parse().ok());
    let (Some(id), Ok(resource_app_id)) = (role, ResourceApp::Graph.app_id().parse()) else {
        return Vec::new();
    };
    vec![RequiredResourceAccess {
        resource_app_id,
        resource_access: vec![ResourceAccess { id, kind: AccessKind::Role }],
    }]
}

pub(super) fn merged(
    there: &[RequiredResourceAccess],
    wanted: &[RequiredResourceAccess],
) -> Vec<RequiredResourceAccess> {
    let mut merged = there.to_vec();
    for (resource, access) in missing_permissions(there, wanted) {
        match merged.iter_mut().find(|one| one.resource_app_id == resource) {
            Some(one) => one.resource_access.push(access),
            None => merged
                .push(RequiredResourceAccess { resource_app_id: resource, resource_access: vec![access] }),
        }
    }
    merged
}

pub(super) fn missing_permissions(
    there: &[RequiredResourceAccess],
    wanted: &[RequiredResourceAccess],
) -> Vec<(Uuid, ResourceAccess)> {
    let all = |list: &[RequiredResourceAccess]| -> BTreeSet<(Uuid, ResourceAccess)> {
        let pairs = list.iter().flat_map(|one| {
            one.resource_access.iter().map(|access| (one.resource_app_id, *access)).collect::<Vec<_>>()
        });
        pairs.collect()
    };
    all(wanted).difference(&all(there)).copied().collect()
}

/// A permission as `--permission` takes it (`API/NAME`), or its id where it is none of those that Muster knows.
pub fn permission_name(resource: Uuid, access: &ResourceAccess) -> String {
    let known = permissions::all().iter().find_map(|permission| {
        let named = match access.kind {
            AccessKind::Role => permission.role,
            AccessKind::Scope => permission.scope,
        };
        let (name, id) = named?;
        let same = permission.resource.app_id().parse() == Ok(resource) && id.parse() == Ok(access.id);
        same.then(|| format!("{}/{name}", permission.resource.name()))
    });
    known.unwrap_or_else(|| access.id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_permission_of_any_api_can_be_asked_for() {
        let isolate = permissions::parse("WindowsDefenderATP/Machine.Isolate").expect("a permission");
        let sources = [Source::XdrIncidents, Source::EndpointAlerts];
        let required = required_with(sources, &[isolate], Access::Application);
        let names: BTreeSet<String> = required
            .iter()
            .flat_map(|api| {
                api.resource_access.iter().map(|access| permission_name(api.resource_app_id, access))
            })
            .collect();
        let expected = [
            "Microsoft Threat Protection/Incident.Read.All",
            "WindowsDefenderATP/Alert.Read.All",
            "WindowsDefenderATP/Machine.Isolate",
        ];
        assert_eq!(names, expected.map(str::to_owned).into());
        assert_eq!(required.len(), 2, "one entry for each API");
    }

    #[test]
    fn permissions_are_added_and_never_taken_away() {
        let other = RequiredResourceAccess {
            resource_app_id: Uuid::from_u128(7),
            resource_access: vec![ResourceAccess { id: Uuid::from_u128(8), kind: AccessKind::Scope }],
        };
        let wanted = super::merged(&required(Source::ALL, Access::Application), &self_care_access());
        let merged = merged(std::slice::from_ref(&other), &wanted);
        assert_eq!(merged[0], other);
        assert!(missing_permissions(&merged, &wanted).is_empty());
        let graph = merged.iter().find(|one| one.resource_app_id != other.resource_app_id).expect("Graph");
        assert_eq!(graph.resource_access.len(), 3);
        let delegated = required(Source::ALL, Access::Delegated);
        assert!(delegated[0].resource_access.iter().all(|access| access.kind == AccessKind::Scope));
        assert_eq!(delegated[0].resource_access.len(), 5);
    }
}
