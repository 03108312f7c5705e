//! The identity platform as a whole: what it knows, and how the tokens that it gave are checked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::header::AUTHORIZATION;

use crate::faults::active::Faults;
use crate::http::call::Call;
use crate::world::dice::Dice;
use crate::world::tenants::World;

use super::application::{default_app, first_party_apps};
use super::claims::{Claims, TokenError};
use super::directory::{Directory, Seeding};
use super::grants::Grants;
use super::keys::KeySet;
use super::resources::Resource;

/// What a request meets.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    pub(crate) faults: &'a Faults,
    pub(crate) call: &'a Call<'a>,
}

/// What of the platform changes.
pub(crate) struct State {
    pub(crate) directory: Directory,
    pub(crate) grants: Grants,
    pub(crate) dice: Dice,
    /// Keys of other issuers, by issuer, as JSON Web Key Sets.
    pub(crate) trusted_issuers: HashMap<String, serde_json::Value>,
    /// How long a new secret or certificate is not known yet, in ticks.
    pub(crate) credential_delay: i64,
}

/// The identity platform of one emulator.
pub(crate) struct Identity {
    pub(crate) app_id: String,
    pub(crate) secret: String,
    /// The password of the accounts that every tenant has.
    pub(crate) password: String,
    /// What App Service hands to the programs that may ask it for tokens.
    pub(crate) identity_header: String,
    pub(crate) lifetime_seconds: i64,
    /// Whether tokens for Graph have a nonce in their header.
    pub(crate) graph_nonce: bool,
    pub(crate) keys: KeySet,
    pub(crate) managed: Vec<ManagedIdentity>,
    state: Mutex<State>,
    /// Tokens whose signature was found right: a client shows each of them many times.
    checked: Mutex<HashMap<String, Arc<Claims>>>,
}

const CHECKED_MAX: usize = 20_000;

/// What an identity platform is made from.
pub(crate) struct IdentityConfig {
    pub(crate) app_id: String,
    pub(crate) secret: String,
    pub(crate) password: String,
    pub(crate) lifetime_seconds: i64,
    pub(crate) graph_roles: Vec<String>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) consented: bool,
    pub(crate) graph_nonce: bool,
    pub(crate) credential_delay: std::time::Duration,
    pub(crate) seed: u64,
}

impl Identity {
    pub(crate) fn new(config: IdentityConfig, world: &World) -> anyhow::Result<Self> {
        let mut dice = Dice::derived(&[config.seed, 0x1de]);
        let app = default_app(
            config.app_id.clone(),
            config.secret.clone(),
            &config.graph_roles,
            world.provider(),
            &config.redirect_uris,
            world.now(),
            &mut dice,
        );
        let mut apps = first_party_apps(&mut dice);
        apps.push(app);
        let seeding = Seeding {
            default_app: config.app_id.clone(),
            consented: config.consented,
            password: config.password.clone(),
        };
        let group = "/subscriptions/00000000-0000-4000-8000-000000000001/resourcegroups/muster/providers";
        let managed = [
            format!("{group}/Microsoft.Compute/virtualMachines/muster"),
            format!("{group}/Microsoft.ManagedIdentity/userAssignedIdentities/muster"),
        ];
        let managed = managed
            .into_iter()
            .map(|resource_id| ManagedIdentity {
                client_id: dice.guid(),
                object_id: dice.guid(),
                resource_id,
            })
            .collect();
        Ok(Self {
            app_id: config.app_id,
            secret: config.secret,
            password: config.password,
            identity_header: dice.hex(32),
            lifetime_seconds: config.lifetime_seconds,
            graph_nonce: config.graph_nonce,
            keys: KeySet::new()?,
            managed,
            state: Mutex::new(State {
                directory: Directory::new(seeding, apps),
                grants: Grants::new(),
                dice,
                trusted_issuers: HashMap::new(),
                credential_delay: i64::try_from(config.credential_delay.as_nanos() / 100).unwrap_or(i64::MAX),
            }),
            checked: Mutex::default(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn guid(&self) -> String {
        self.lock().dice.guid()
    }

    /// The machine's identities: client id, object id and resource id of each.
    pub(crate) fn managed_identities(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.managed
            .iter()
            .map(|own| (own.client_id.as_str(), own.object_id.as_str(), own.resource_id.as_str()))
    }

    /// The claims of the token that a request bears, if its signature, times and tenant are right and it is for one of
    /// the resources.
    pub(crate) fn check(
        &self,
        world: &World,
        call: &Call<'_>,
        resource: &str,
    ) -> Result<(Arc<Claims>, u32), TokenError> {
        let header = call.headers.get(AUTHORIZATION).ok_or(TokenError::Missing)?;
        let header = header.to_str().map_err(|_| TokenError::Malformed)?;
        let (scheme, token) = header.split_once(' ').ok_or(TokenError::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return Err(TokenError::Missing);
        }
        let claims = self.checked_claims(token)?;
        let now = world.now().seconds();
        if now >= claims.exp || now < claims.nbf {
            return Err(TokenError::Expired);
        }
        if Resource::named(&claims.aud, call).is_none_or(|known| known.app_id != resource) {
            return Err(TokenError::Audience);
        }
        let tenant = world.find_tenant(&claims.tid).ok_or(TokenError::Tenant)?;
        Ok((claims, tenant))
    }

    fn checked_claims(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = checked.get(token) {
            return Ok(Arc::clone(claims));
        }
        let claims = self.keys.verify(token)?;
        let claims = Arc::new(serde_json::from_slice::<Claims>(&claims).map_err(|_| TokenError::Malformed)?);
        if checked.len() >= CHECKED_MAX {
            checked.clear();
        }
        checked.insert(token.to_owned(), Arc::clone(&claims));
        Ok(claims)
    }

    /// Whether a token was asked for with the claims of a challenge.
    pub(crate) fn answers_challenge(&self, claims: &Claims, challenge: &serde_json::Value) -> bool {
        let state = self.lock();
        state.grants.asked_claims.get(&claims.uti).is_some_and(|asked| *asked == challenge["access_token"])
    }

    /// Every secret that was handed out: codes, tokens of all kinds, secrets of apps.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.lock().grants.issued().cloned().collect()
    }

    pub(crate) fn roll_keys(&self) -> anyhow::Result<()> {
        self.keys.roll()
    }

    pub(crate) fn drop_old_keys(&self) {
        self.keys.drop_old();
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// An identity that the machine has.
#[derive(Debug, Clone)]
pub(crate) struct ManagedIdentity {
    pub(crate) client_id: String,
    pub(crate) object_id: String,
    pub(crate) resource_id: String,
}
