//! The tokens of a sink: one for all tenants, or one for each, by a template in the place where it is kept.
//!
//! A tenant's own token is read when something is delivered for it first, and again when Splunk refuses it. One that cannot be
//! read or is refused costs that tenant only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_model::{Secret, SecretReference, TenantId, TenantLabel};
use reqwest::header::HeaderValue;
use tokio::time::Instant;

use crate::formats::Template;
use crate::sinks::batch::Way;
use crate::sinks::settings::{NoSecret, ReadSecret, Surroundings};

/// How long it is believed that a token is good.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// How long a token is not shown to a collector that refused it while there are others, at first and at most.
const REFUSED_FOR: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A token, and what is known of it.
#[derive(Debug)]
pub(super) struct Token {
    /// The value of `Authorization`.
    pub(super) header: HeaderValue,
    /// The ways on which it is used.
    pub(super) way: Way,
    /// Whether it has shown that requests with it are acknowledged, for `Acknowledge::Required`.
    acknowledges: AtomicBool,
    places: Vec<Mutex<AtPlace>>,
}

/// What is known of a token at one collector.
#[derive(Debug, Default)]
struct AtPlace {
    /// When an empty request showed last that it is good.
    good_at: Option<Instant>,
    refusals: u32,
    refused_until: Option<Instant>,
}

impl Token {
    fn new(header: HeaderValue, way: String, places: usize) -> Self {
        Self {
            header,
            way: Way::of(way),
            acknowledges: AtomicBool::new(false),
            places: (0..places).map(|_| Mutex::default()).collect(),
        }
    }

    #[cfg(test)]
    pub(super) fn in_tests() -> Self {
        Self::new(HeaderValue::from_static("Splunk a-token"), "sink `test`".to_owned(), 1)
    }

    pub(super) fn acknowledges(&self) -> bool {
        self.acknowledges.load(Ordering::Relaxed)
    }

    pub(super) fn set_acknowledges(&self, acknowledges: bool) {
        self.acknowledges.store(acknowledges, Ordering::Relaxed);
    }

    fn at(&self, place: usize) -> std::sync::MutexGuard<'_, AtPlace> {
        self.places[place].lock().expect("no panic while the lock is held")
    }

    /// Whether a collector has shown just now that it knows the token.
    pub(super) fn is_good_at(&self, place: usize) -> bool {
        self.at(place).good_at.is_some_and(|at| at.elapsed() < GOOD_FOR)
    }

    /// A collector knows the token.
    pub(super) fn accepted_at(&self, place: usize) {
        *self.at(place) = AtPlace { good_at: Some(Instant::now()), ..AtPlace::default() };
    }

    /// A collector does not take the token: others are asked before it for a while.
    pub(super) fn refused_at(&self, place: usize) {
        let mut at = self.at(place);
        let (first, most) = REFUSED_FOR;
        at.refused_until = Some(Instant::now() + first.saturating_mul(1 << at.refusals.min(6)).min(most));
        (at.good_at, at.refusals) = (None, at.refusals.saturating_add(1));
    }

    /// Until when a collector is not shown the token.
    pub(super) fn refused_until(&self, place: usize) -> Option<Instant> {
        self.at(place).refused_until
    }
}

/// The tokens of a sink.
pub(super) enum Tokens {
    One(Arc<Token>),
    Each(Box<EachTenants>),
}

/// A token for each tenant.
pub(super) struct EachTenants {
    sink: String,
    template: TokenTemplate,
    default: Option<SecretReference>,
    read: ReadSecret,
    /// How many collectors there are.
    places: usize,
    known: Mutex<HashMap<TenantId, Known>>,
}

struct Known {
    /// Where it is kept; another one when the tenant is called otherwise.
    place: SecretReference,
    token: Arc<Token>,
    /// Splunk has refused it: it is read again.
    is_stale: bool,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::One(_) => "One",
            Self::Each(_) => "Each",
        })
    }
}

impl Tokens {
    /// The tokens of a sink with so many collectors, by where they are kept, or what is wrong with that. One for all is read.
    pub(super) fn of(
        (sink, way): (&str, String),
        (token, default): (&SecretReference, Option<&SecretReference>),
        places: usize,
        around: &Surroundings<'_>,
    ) -> Result<Self, String> {
        let Some(template) = TokenTemplate::of(token)? else {
            let token = (around.secret)(token).map_err(|no_secret| no_secret.reason)?;
            return Ok(Self::One(Arc::new(Token::new(header(&token)?, way, places))));
        };
        Ok(Self::Each(Box::new(EachTenants {
            sink: sink.to_owned(),
            template,
            default: default.cloned(),
            read: Arc::clone(&around.secret),
            places,
            known: Mutex::default(),
        })))
    }

    /// Whether each tenant has its own.
    pub(super) fn are_each_tenants(&self) -> bool {
        matches!(self, Self::Each(_))
    }

    /// The tenant's token, or why there is none and what to do.
    pub(super) async fn for_tenant(&self, tenant: &TenantLabel) -> Result<Arc<Token>, String> {
        match self {
            Self::One(token) => Ok(Arc::clone(token)),
            Self::Each(each) => each.for_tenant(tenant).await,
        }
    }

    /// The token with which the way can be tried without a tenant.
    pub(super) async fn for_trying(&self) -> Result<Option<Arc<Token>>, String> {
        match self {
            Self::One(token) => Ok(Some(Arc::clone(token))),
            Self::Each(each) => {
                let Some(default) = each.default.clone() else { return Ok(None) };
                let secret = each.read(default).await.map_err(|no_secret| no_secret.reason)?;
                Ok(Some(Arc::new(Token::new(header(&secret)?, each.way("the default token"), each.places))))
            }
        }
    }

    /// Splunk does not take the tenant's token: it is read again before it is used next.
    pub(super) fn refused(&self, tenant: Option<TenantId>) {
        if let (Self::Each(each), Some(tenant)) = (self, tenant)
            && let Some(known) = each.known().get_mut(&tenant)
        {
            known.is_stale = true;
        }
    }
}

impl EachTenants {
    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Known>> {
        self.known.lock().expect("no panic while the lock is held")
    }

    fn way(&self, whose: &str) -> String {
        format!("sink `{}`, {whose}", self.sink)
    }

    async fn for_tenant(&self, tenant: &TenantLabel) -> Result<Arc<Token>, String> {
        let place = self.template.expand(tenant);
        if let Some(known) = self.known().get(&tenant.id)
            && known.place == place
            && !known.is_stale
        {
            return Ok(Arc::clone(&known.token));
        }
        let slug = &tenant.slug;
        let read = match (self.read(place.clone()).await, &self.default) {
            (Err(no_secret), Some(default)) if no_secret.is_missing => self.read(default.clone()).await,
            (read, _) => read,
        };
        let header = read.map_err(|no_secret| no_secret.reason).and_then(|secret| header(&secret));
        let header = header.map_err(|problem| {
            let or_else = match &self.default {
                None => ", or set default_token for tenants that have none of their own",
                Some(_) => "",
            };
            format!("there is no token for tenant {slug}: {problem}{or_else}; only this tenant waits")
        })?;
        let mut known = self.known();
        let token = match known.get(&tenant.id) {
            // The same as before: what is known of it stays.
            Some(before) if before.token.header == header => Arc::clone(&before.token),
            _ => Arc::new(Token::new(header, self.way(&format!("tenant {slug}")), self.places)),
        };
        known.insert(tenant.id, Known { place, token: Arc::clone(&token), is_stale: false });
        Ok(token)
    }

    /// Reads a secret where that may take its time.
    async fn read(&self, place: SecretReference) -> Result<Secret<String>, NoSecret> {
        let read = Arc::clone(&self.read);
        let reading = tokio::task::spawn_blocking(move || read(&place));
        reading.await.unwrap_or_else(|error| {
            Err(NoSecret { reason: format!("reading it failed: {error}"), is_missing: false })
        })
    }
}

fn header(token: &Secret<String>) -> Result<HeaderValue, String> {
    let mut header = HeaderValue::from_str(&format!("Splunk {}", token.expose()))
        .ok()
        .filter(|_| !token.expose().is_empty() && !token.expose().contains(char::is_whitespace))
        .ok_or("its token is empty or holds a character that no token has, such as a space or a line end")?;
    header.set_sensitive(true);
    Ok(header)
}

/// The place of a secret in which a tenant is named.
#[derive(Debug, Clone)]
pub(super) struct TokenTemplate {
    reference: SecretReference,
    /// Of the words that it consists of, those with a tenant in them.
    templates: Vec<Option<Template>>,
}

impl TokenTemplate {
    /// The template in `reference`, where there is one; or what is wrong with it.
    pub(super) fn of(reference: &SecretReference) -> Result<Option<Self>, String> {
        let words = match reference {
            SecretReference::File(path) => vec![path.to_str().unwrap_or_default()],
            SecretReference::Systemd(name) => vec![name.as_str()],
            SecretReference::Command(command) => command.iter().map(String::as_str).collect(),
            SecretReference::Env(name) if !name.contains("{{") => return Ok(None),
            SecretReference::KeyVault(secret)
                if !secret.url().path().contains("%7B%7B") && !secret.url().path().contains("{{") =>
            {
                return Ok(None);
            }
            SecretReference::Env(_) | SecretReference::KeyVault(_) => {
                return Err("token: only a file, a systemd credential or a command can be each tenant's own"
                    .to_owned());
            }
        };
        let templates = words.into_iter().map(|word| match word.contains("{{") {
            true => Template::try_from(word.to_owned()).map(Some),
            false => Ok(None),
        });
        let templates =
            templates.collect::<Result<Vec<_>, _>>().map_err(|error| format!("token: {error}"))?;
        if templates.iter().flatten().any(Template::has_names) {
            return Err(
                "token: tenant.name may be anything and change: use tenant.slug or tenant.id".to_owned()
            );
        }
        let is_template = templates.iter().any(Option::is_some);
        Ok(is_template.then(|| Self { reference: reference.clone(), templates }))
    }

    /// Where the tenant's own is kept.
    pub(super) fn expand(&self, tenant: &TenantLabel) -> SecretReference {
        let mut templates = self.templates.iter();
        let mut word = |word: &str| match templates.next() {
            Some(Some(template)) => template.expand(tenant),
            _ => word.to_owned(),
        };
        match &self.reference {
            SecretReference::File(path) => {
                SecretReference::File(word(path.to_str().unwrap_or_default()).into())
            }
            SecretReference::Systemd(name) => SecretReference::Systemd(word(name)),
            SecretReference::Command(command) => {
                SecretReference::Command(command.iter().map(|part| word(part)).collect())
            }
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::testing::tenant;

    #[test]
    fn a_tenant_may_stand_in_the_place_of_a_secret() {
        let expand = |json: serde_json::Value| {
            let reference: SecretReference = serde_json::from_value(json).expect("a place");
            TokenTemplate::of(&reference).map(|template| template.map(|of| of.expand(&tenant(1)).to_string()))
        };
        let of = |json| expand(json).expect("it can work");
        assert_eq!(of(serde_json::json!({ "file": "splunk.token" })), None);
        assert_eq!(of(serde_json::json!({ "env": "TOKEN" })), None);
        assert_eq!(of(serde_json::json!({ "key_vault": "https://v.vault.azure.net/secrets/hec" })), None);
        let file = of(serde_json::json!({ "file": "/etc/muster/tokens/{{ tenant.slug }}.token" }));
        assert_eq!(file.as_deref(), Some("/etc/muster/tokens/tenant-1.token"));
        let systemd = of(serde_json::json!({ "systemd": "hec-{{ tenant.id }}" }));
        assert_eq!(
            systemd.as_deref(),
            Some("the systemd credential hec-00000000-0000-0000-0000-000000000002")
        );
        let command: SecretReference =
            serde_json::from_value(serde_json::json!({ "command": ["pass", "", "hec/{{ tenant.slug }}"] }))
                .expect("a place");
        let template = TokenTemplate::of(&command).expect("it can work").expect("a template");
        let expected = ["pass", "", "hec/tenant-1"].map(str::to_owned).to_vec();
        assert_eq!(template.expand(&tenant(1)), SecretReference::Command(expected));
        for (wrong, words) in [
            (serde_json::json!({ "file": "{{ tenant.name }}.token" }), "use tenant.slug or tenant.id"),
            (serde_json::json!({ "file": "{{ tenant.slugg }}.token" }), "is no placeholder"),
            (serde_json::json!({ "env": "TOKEN_{{ tenant.slug }}" }), "only a file, a systemd credential"),
            (
                serde_json::json!({ "key_vault": "https://v.vault.azure.net/secrets/{{tenant.slug}}" }),
                "only a file, a systemd credential",
            ),
        ] {
            let problem = expand(wrong).expect_err("refused");
            assert!(problem.contains(words), "{problem}");
        }
    }
}
