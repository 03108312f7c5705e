//! The control API under `/control/`: what tests and people at a terminal ask of a running emulator.
//!
//! | request | does |
//! |---|---|
//! | `GET config` | all that settings of a client need |
//! | `GET tenants` | all tenants |
//! | `GET tally`, `POST tally/file` `{path}` | what receivers, or a file, hold against what was produced |
//! | `GET produced` | the ledger of versions |
//! | `GET faults`, `POST faults`, `DELETE faults` | see `faults/kind.rs` |
//! | `POST faults/random` `{seed, tenant}` | a mixture of faults made from a seed; answers with them |
//! | `POST world` | a change of alerts and incidents, or a list of them: see `WorldChange`; answers with ids |
//! | `GET ask/TENANT/v1.0/…` | Graph's answer without a token: see `routes` |
//! | `GET truth?tenant=&id=&visible=now|ever` | the log of truth: every version, when it was made and when it was visible |
//! | `POST directory` | a change of the directory, or a list of them: see `DirectoryChange` |
//! | `POST apps` | registers an app; answers with its id |
//! | `POST vault` `{vault, name, value}` | a new version of a key vault's secret |
//! | `POST vault/access` `{vault, client, allowed}` | lets a client use a key vault, or not |
//! | `GET token-requests` | requests of the token endpoint by tenant, client and resource, and the most in flight at a time |
//! | `POST token-delay` `{milliseconds}` | how long every answer of the token endpoint takes |
//! | `POST sign-in` `{address, account, consent}` | a person's walk through the pages; answers with where it ends |
//! | `GET requests` | counts per area, tenant and status |
//! | `POST alerts` `{tenant, count, title}` | new alerts now; answers with their ids |
//! | `POST update` `{tenant, id}` | a new version of an alert now |
//! | `POST ingest` `{columns}` | declares the columns of Azure Monitor's data collection rule |
//! | `POST pause`, `POST resume` | production over time |
//! | `GET ca.pem` | the CA's certificate |
//! | `POST stop` | ends the emulator |

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client_config::Tenant;
use crate::errors::RequestError;
use crate::faults::kind::Fault;
use crate::faults::mixture::random_faults;
use crate::http::answer::Answer;
use crate::http::call::{Call, fields_of};
use crate::identity::change::{AppRegistration, DirectoryChange};
use crate::receivers::tally_file;
use crate::shared::Shared;
use crate::world::changes::WorldChange;

#[derive(Deserialize)]
struct NewAlerts {
    tenant: Option<String>,
    #[serde(default = "one")]
    count: usize,
    title: Option<String>,
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
struct Update {
    tenant: Option<String>,
    id: String,
}

#[derive(Deserialize)]
struct FileTally {
    path: PathBuf,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Fault),
    Many(Vec<Fault>),
}

#[derive(Deserialize)]
struct Mixture {
    seed: u64,
    tenant: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WorldChanges {
    One(WorldChange),
    Many(Vec<WorldChange>),
}

#[derive(Deserialize)]
struct TokenDelay {
    milliseconds: u64,
}

#[derive(Deserialize)]
struct VaultSecret {
    vault: String,
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct VaultAccess {
    vault: String,
    client: String,
    allowed: bool,
}

#[derive(Deserialize)]
struct IngestColumns {
    columns: Vec<String>,
}

#[derive(Deserialize)]
struct SignIn {
    address: String,
    account: String,
    #[serde(default = "yes")]
    consent: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Changes {
    One(Box<DirectoryChange>),
    Many(Vec<DirectoryChange>),
}

pub(crate) async fn answer(shared: &Arc<Shared>, call: &Call<'_>) -> Answer {
    let path = call.path.trim_start_matches("/control/");
    match (call.method.as_str(), path) {
        ("GET", "config") => value(&shared.client_config()),
        ("GET", "tenants") => value(&shared.api.world.all_facts().map(Tenant::from).collect::<Vec<_>>()),
        ("GET", "tally") => blocking(shared, |shared| value(&shared.tally())).await,
        ("GET", "produced") => blocking(shared, |shared| value(&shared.api.world.produced())).await,
        ("GET", "requests") => value(&shared.request_counts()),
        ("GET", "skipped") => value(&shared.skipped),
        ("GET", "faults") => value(&shared.api.faults.list()),
        ("DELETE", "faults") => {
            shared.clear_faults();
            done()
        }
        ("GET", "ca.pem") => match &shared.ca_pem {
            Some(pem) => Answer::text(StatusCode::OK, pem.clone()),
            None => problem(StatusCode::NOT_FOUND, "this emulator speaks plain HTTP"),
        },
        ("POST", "pause" | "resume") => {
            shared.producing.store(path == "resume", Ordering::Release);
            done()
        }
        ("POST", "stop") => {
            shared.cancel.cancel();
            done()
        }
        ("POST", "faults") => read(call, |faults: OneOrMany| {
            let faults = match faults {
                OneOrMany::One(fault) => vec![fault],
                OneOrMany::Many(faults) => faults,
            };
            faults.into_iter().try_for_each(|fault| shared.add_fault(fault)).map(|()| done())
        }),
        ("POST", "faults/random") => read(call, |wanted: Mixture| {
            let faults: Vec<Fault> = random_faults(wanted.seed)
                .into_iter()
                .map(|fault| Fault { tenant: wanted.tenant.clone(), ..fault })
                .collect();
            faults.iter().try_for_each(|fault| shared.add_fault(fault.clone()))?;
            Ok(value(&faults))
        }),
        ("POST", "world") => read(call, |changes: WorldChanges| {
            let changes = match changes {
                WorldChanges::One(change) => vec![change],
                WorldChanges::Many(changes) => changes,
            };
            let ids: Result<Vec<_>, _> =
                changes.iter().map(|change| shared.api.world.change(change)).collect();
            Ok(value(&json!({"ids": ids?.concat()})))
        }),
        ("GET", "truth") => truth(shared, call),
        ("POST", "directory") => read(call, |changes: Changes| {
            let changes = match changes {
                Changes::One(change) => vec![*change],
                Changes::Many(changes) => changes,
            };
            for change in changes {
                shared.identity.change(&shared.api.world, change)?;
            }
            Ok(done())
        }),
        ("POST", "apps") => read(call, |registration: AppRegistration| {
            let app_id = shared.identity.register(&shared.api.world, registration)?;
            Ok(value(&json!({"app_id": app_id})))
        }),
        ("GET", "token-requests") => value(&shared.token_traffic.list()),
        ("POST", "token-delay") => read(call, |wanted: TokenDelay| {
            shared.token_delay_ms.store(wanted.milliseconds, Ordering::Release);
            Ok(done())
        }),
        ("POST", "vault") => read(call, |wanted: VaultSecret| {
            let now = shared.api.world.now();
            let version = shared.key_vaults.set(&wanted.vault, &wanted.name, wanted.value, None, now);
            Ok(value(&json!({"version": version})))
        }),
        ("POST", "vault/access") => read(call, |wanted: VaultAccess| {
            shared.key_vaults.allow(&wanted.vault, &wanted.client, wanted.allowed);
            Ok(done())
        }),
        ("POST", "ingest") => read(call, |wanted: IngestColumns| {
            shared.receivers.declare_columns(wanted.columns);
            Ok(done())
        }),
        ("POST", "sign-in") => read(call, |wanted: SignIn| {
            let password = shared.identity.password_of(&shared.api.world, &wanted.account)?;
            let location = shared.walk(&wanted.address, &wanted.account, &password, wanted.consent)?;
            Ok(value(&json!({"location": location})))
        }),
        ("POST", "alerts") => read(call, |wanted: NewAlerts| {
            let tenant = wanted.tenant.as_deref().map_or(Ok(0), |name| shared.api.world.tenant(name))?;
            let ids = shared.api.world.add_alerts(tenant, wanted.count, wanted.title.as_deref());
            Ok(value(&json!({"tenant": shared.api.world.facts(tenant).id, "ids": ids})))
        }),
        ("POST", "update") => read(call, |wanted: Update| {
            let tenant = wanted.tenant.as_deref().map_or(Ok(0), |name| shared.api.world.tenant(name))?;
            if shared.api.world.update_alert(tenant, &wanted.id) {
                return Ok(done());
            }
            Err(RequestError::UnknownAlert {
                tenant: shared.api.world.facts(tenant).id.clone(),
                id: wanted.id,
            })
        }),
        ("POST", "tally/file") => read(call, |wanted: FileTally| {
            Ok(value(&tally_file(&wanted.path, &shared.api.world.produced())?))
        }),
        _ => problem(StatusCode::NOT_FOUND, "no such control"),
    }
}

/// The log of truth, or what of it a query asks for.
fn truth(shared: &Shared, call: &Call<'_>) -> Answer {
    let fields = fields_of(call.query.as_bytes());
    let tenant = match fields.get("tenant").map(|name| shared.api.world.tenant(name)).transpose() {
        Ok(tenant) => tenant,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let now = shared.api.world.now().timestamp();
    let mut versions = shared.api.world.truth(tenant);
    if let Some(id) = fields.get("id") {
        versions.retain(|version| version.id == *id);
    }
    match fields.get("visible").map(String::as_str) {
        Some("now") => versions.retain(|version| version.is_visible_at(now)),
        Some("ever") => versions.retain(|version| version.was_visible_by(now)),
        _ => {}
    }
    value(&versions)
}

async fn blocking(shared: &Arc<Shared>, work: impl FnOnce(&Shared) -> Answer + Send + 'static) -> Answer {
    let shared = Arc::clone(shared);
    shared
        .tasks
        .clone()
        .spawn_blocking(move || work(&shared))
        .await
        .unwrap_or_else(|error| problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
}

fn read<T, F>(call: &Call<'_>, act: F) -> Answer
where
    T: for<'de> Deserialize<'de>,
    F: FnOnce(T) -> Result<Answer, RequestError>,
{
    match serde_json::from_slice(&call.body) {
        Ok(wanted) => act(wanted).unwrap_or_else(|error| {
            let cause =
                std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            problem(StatusCode::BAD_REQUEST, &format!("{error}{cause}"))
        }),
        Err(error) => problem(StatusCode::BAD_REQUEST, &format!("the request is not understood: {error}")),
    }
}

fn value(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => Answer::json(StatusCode::OK, body),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn done() -> Answer {
    Answer::json(StatusCode::OK, "{}")
}

fn problem(status: StatusCode, text: &str) -> Answer {
    Answer::json(status, json!({"error": text}).to_string())
}
