//! What the rules are told with.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{
    ContentHash, Cursor, Delivery, RecordHead, Secret, Severity, Slug, Source, Tenant, TenantId, TenantState,
};
use uuid::Uuid;

use crate::{
    AcceptedPage, Check, CheckOutcome, DeliveryLease, DeliveryLimits, Destination, FinishedDelivery,
    GrantLease, InstanceId, NewGrant, NewInvitation, NewRecord, NewTenant, PageReceipt, PollResult,
    Retention, SignIn, SignInKind, SourceLease, Store, StoreError,
};

/// How the suite gets at an engine: at its whole store, or at the nouns of it that it has.
#[async_trait]
pub trait Engine<S: ?Sized + 'static = dyn Store>: Send {
    /// A new, empty store.
    async fn fresh(&mut self) -> Box<S>;

    /// The store that was made last, opened as after its process was killed. The caller has dropped its own without
    /// closing it.
    async fn reopened(&mut self) -> Box<S>;

    /// Whether a store can be in the hands of one process, which knows that all others have ended. Elsewhere they are known
    /// by their silence.
    fn is_owned_by_one(&self) -> bool {
        true
    }

    /// When work goes on that a killed process had leased, where it could at `seconds` if that were known.
    fn back_after(&self, seconds: i64) -> i64 {
        if self.is_owned_by_one() { seconds } else { seconds + LEASE.as_secs().cast_signed() }
    }

    /// The store that was made last, opened by another process while the caller has its own open.
    async fn beside(&mut self) -> Box<S>;
}

pub(super) const LEASE: Duration = Duration::from_secs(60);

pub(super) const PLENTY: DeliveryLimits = DeliveryLimits { batches: 100, body_bytes: 1 << 30 };

pub(super) const ME: InstanceId = InstanceId(Uuid::from_u128(1));

pub(super) const OTHER: InstanceId = InstanceId(Uuid::from_u128(2));

/// Who does it, for the audit log.
pub(super) const BY: &str = "the suite";

/// The instant `seconds` after the suite's beginning of time.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).expect("in range")
}

pub(super) fn tenant_id(number: u128) -> TenantId {
    Uuid::from_u128(0x5f0d_2c3e_0000_4000_8000_0000_0000_0000 + number).into()
}

pub(super) fn new_tenant(number: u128) -> NewTenant {
    NewTenant {
        id: tenant_id(number),
        slug: Slug::from_name(&format!("customer {number}")).expect("usable"),
        name: format!("Customer {number} “Ltd.”"),
        domain: Some(format!("customer{number}.example").parse().expect("a domain")),
        app: "main".to_owned(),
        sources: BTreeSet::from([Source::GraphAlerts]),
        tags: BTreeSet::new(),
        since: at(-86_400),
        state: TenantState::Active,
    }
}

pub(super) async fn add(store: &dyn Store, number: u128) -> Tenant {
    store.add_tenant(new_tenant(number), BY, at(0)).await.expect("added")
}

pub(super) async fn lease_source(store: &dyn Store, now: Timestamp) -> SourceLease {
    let leases = store.lease_due_sources(ME, 1, LEASE, now).await.expect("leased");
    leases.into_iter().next().expect("a source is due")
}

pub(super) fn body(id: &str, version: i64) -> String {
    format!(r#"{{"id":"{id}","version":{version},"title":"“Suspicious” activity"}}"#)
}

pub(super) fn record<'a>(id: &str, updated_at: i64, body: &'a str, destination: usize) -> NewRecord<'a> {
    let head = RecordHead {
        id: id.to_owned(),
        updated_at: Some(at(updated_at)),
        created_at: Some(at(updated_at - 5)),
        severity: Severity::High,
        hash: ContentHash::of(body.as_bytes()),
        change: None,
    };
    NewRecord { head, body, destination }
}

pub(super) fn cursor(seconds: i64) -> Cursor {
    Cursor::starting(at(seconds))
}

/// A page of these records, with nothing else to report.
pub(super) fn page_of<'a>(records: Vec<NewRecord<'a>>, destinations: &'a [Destination]) -> AcceptedPage<'a> {
    AcceptedPage {
        records,
        text: None,
        dead_letters: Vec::new(),
        destinations,
        cursor: cursor(10),
        request_id: None,
        proved_up_to: None,
    }
}

/// Accepts a page of one record per id, owed to `sinks`, without reporting anything else.
pub(super) async fn accept(
    store: &dyn Store,
    lease: &SourceLease,
    ids: &[&str],
    sinks: &[String],
    now: Timestamp,
) -> PageReceipt {
    let bodies = ids.iter().map(|id| body(id, 1)).collect::<Vec<_>>();
    let records = ids.iter().zip(&bodies).map(|(id, body)| record(id, 10, body, 0)).collect();
    let destinations = &[Destination::of(sinks)];
    let page = page_of(records, destinations);
    store.accept_page(lease, page, LEASE, now).await.expect("accepted")
}

/// Every set of these sinks: that with the number `n` has those whose bits are set in it.
pub(super) fn sets(sinks: &[String]) -> Vec<Destination> {
    let has = |set: usize, sink: usize| set & (1 << sink) != 0;
    let set = |set| (0..sinks.len()).filter(move |sink| has(set, *sink)).map(|sink| sinks[sink].clone());
    (0..1 << sinks.len()).map(|number| Destination::of(&set(number).collect::<Vec<_>>())).collect()
}

pub(super) fn names(sinks: &[&str]) -> Vec<String> {
    sinks.iter().map(|sink| (*sink).to_owned()).collect()
}

pub(super) async fn lease_queue(store: &dyn Store, sink: &str, now: Timestamp) -> DeliveryLease {
    let lease = store.lease_due_deliveries(ME, sink, PLENTY, LEASE, now).await.expect("leased");
    lease.expect("something is due")
}

pub(super) async fn nothing_due(store: &dyn Store, sink: &str, now: Timestamp) -> bool {
    store.lease_due_deliveries(OTHER, sink, PLENTY, LEASE, now).await.expect("asked").is_none()
}

pub(super) fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries
        .iter()
        .flat_map(|delivery| delivery.records().map(|(_, record)| record.head.id.as_str()))
        .collect()
}

/// The sink took everything.
pub(super) fn all_taken(lease: &DeliveryLease) -> Vec<FinishedDelivery> {
    let taken = |delivery: &Delivery| FinishedDelivery {
        number: delivery.number,
        remaining: None,
        delivered: delivery.records().count() as u32,
        rejected: Vec::new(),
    };
    lease.deliveries.iter().map(taken).collect()
}

pub(super) async fn caught_up(store: &dyn Store, lease: &SourceLease, next: i64, now: Timestamp) {
    let result = PollResult::CaughtUp { next_at: at(next), missing: None, cursor: None };
    store.finish_poll(lease, result, now).await.expect("finished");
}

/// A sweep or a backfill that has read nothing and is over.
pub(super) fn over() -> PollResult {
    PollResult::Over { read: Vec::new(), as_of: at(0), notes: Vec::new(), next: None }
}

/// What was accepted before is pruned from the journal, and nothing else.
pub(super) fn keep(seconds: i64) -> Retention {
    let never = Timestamp::MIN;
    Retention { journal: at(seconds), versions: never, ledger: never, now: at(seconds) }
}

pub(super) fn is_lost<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::LeaseLost { .. }))
}

pub(super) fn invitation(tenant: u128, number: u128) -> NewInvitation {
    NewInvitation {
        id: Uuid::from_u128(0x1000 * tenant + number),
        tenant: tenant_id(tenant),
        language: "de".to_owned(),
        expires_at: at(1000),
    }
}

pub(super) fn sign_in(tenant: u128, number: u128) -> SignIn {
    SignIn {
        id: Uuid::from_u128(0x1_0000 * tenant + number),
        tenant: tenant_id(tenant),
        app: "main".to_owned(),
        kind: SignInKind::Delegated,
        invitation: Some(Uuid::from_u128(number)),
        redirect_uri: "https://muster.example/callback".to_owned(),
        resource: "https://graph.example".to_owned(),
        nonce: format!("nonce {number}"),
        verifier: Secret::new(format!("verifier {number}")),
        created_at: at(10),
        expires_at: at(100),
    }
}

pub(super) fn grant(tenant: u128, app: &str, refresh_token: &str) -> NewGrant {
    NewGrant {
        tenant: tenant_id(tenant),
        app: app.to_owned(),
        account: "admin@contoso.example".to_owned(),
        resource: "https://graph.example".to_owned(),
        refresh_token: Secret::from(refresh_token),
        expires_at: Some(at(9000)),
    }
}

pub(super) fn check(name: &str, outcome: CheckOutcome) -> Check {
    Check {
        name: name.to_owned(),
        outcome,
        code: "lost_consent".to_owned(),
        detail: "the consent is gone".to_owned(),
        remedy: "send the link again".to_owned(),
        checked_at: at(10),
        expires_at: (outcome == CheckOutcome::Warning).then(|| at(900)),
    }
}

/// The refresh token and the fence of a lease that must be had.
pub(super) async fn lease_grant(
    store: &dyn Store,
    instance: InstanceId,
    tenant: u128,
    app: &str,
    now: Timestamp,
) -> Option<(String, u64)> {
    match store.lease_grant(instance, tenant_id(tenant), app, LEASE, now).await.expect("asked") {
        GrantLease::Leased { refresh_token, fence, grant } => {
            assert_eq!((grant.tenant, grant.app.as_str()), (tenant_id(tenant), app));
            Some((refresh_token.expose().clone(), fence))
        }
        _ => None,
    }
}
