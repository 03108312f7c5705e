//! An app in a tenant, and what it was granted there.

use std::collections::BTreeSet;

use crate::world::dice::Dice;
use crate::world::ticks::Ticks;

/// Consent to delegated permissions on one API.
#[derive(Debug, Clone)]
pub(crate) struct DelegatedGrant {
    pub(crate) id: String,
    /// The API's app id.
    pub(crate) resource: String,
    /// The person who consented for themself; `None`: the whole organisation.
    pub(crate) user: Option<String>,
    pub(crate) scopes: BTreeSet<String>,
}

/// An app role given to an app.
#[derive(Debug, Clone)]
pub(crate) struct RoleGrant {
    pub(crate) id: String,
    /// The API's app id.
    pub(crate) resource: String,
    pub(crate) role: String,
    pub(crate) created: Ticks,
}

/// An app's part in one tenant.
#[derive(Debug, Clone)]
pub(crate) struct ServicePrincipal {
    pub(crate) object_id: String,
    pub(crate) app_id: String,
    pub(crate) enabled: bool,
    pub(crate) roles: Vec<RoleGrant>,
    pub(crate) grants: Vec<DelegatedGrant>,
}

impl ServicePrincipal {
    /// The names of the roles it has on an API.
    pub(crate) fn roles_on(&self, resource: &str) -> Vec<String> {
        self.roles.iter().filter(|grant| grant.resource == resource).map(|grant| grant.role.clone()).collect()
    }

    /// The scopes it has on an API on behalf of a person.
    pub(crate) fn scopes_on(&self, resource: &str, user: &str) -> BTreeSet<String> {
        self.grants
            .iter()
            .filter(|grant| grant.resource == resource)
            .filter(|grant| grant.user.as_deref().is_none_or(|own| own == user))
            .flat_map(|grant| grant.scopes.iter().cloned())
            .collect()
    }

    pub(crate) fn grant_role(&mut self, dice: &mut Dice, resource: &str, role: &str, now: Ticks) {
        if !self.roles.iter().any(|grant| grant.resource == resource && grant.role == role) {
            self.roles.push(RoleGrant {
                id: assignment_id(dice),
                resource: resource.to_owned(),
                role: role.to_owned(),
                created: now,
            });
        }
    }

    pub(crate) fn grant_scopes<I>(&mut self, dice: &mut Dice, resource: &str, user: Option<&str>, scopes: I)
    where
        I: IntoIterator<Item = String>,
    {
        let place = self
            .grants
            .iter()
            .position(|grant| grant.resource == resource && grant.user.as_deref() == user)
            .unwrap_or_else(|| {
                self.grants.push(DelegatedGrant {
                    id: assignment_id(dice),
                    resource: resource.to_owned(),
                    user: user.map(str::to_owned),
                    scopes: BTreeSet::new(),
                });
                self.grants.len() - 1
            });
        self.grants[place].scopes.extend(scopes);
    }
}

pub(crate) fn assignment_id(dice: &mut Dice) -> String {
    dice.base64(32).replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned()
}
