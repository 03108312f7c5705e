//! A PostgreSQL database that is not as it should be: what the operator reads, and that all goes on as soon as it is.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{
    Clock, ContentHash, Cursor, RecordHead, Secret, Severity, Slug, Source, SystemClock, TenantState,
};
use muster_store::{
    AcceptedPage, AuditLog, Deliveries, DeliveryLease, DeliveryLimits, Destination, FinishedDelivery,
    GrantLease, Grants, InstanceId, Journal, Leases, Lifetime, MasterKey, NewAuditEvent, NewGrant, NewRecord,
    NewTenant, Nodes, PageReceipt, PollResult, PostgresSettings, SourceLease, Sources, SqlStore, StoreError,
    Tenants,
};
use uuid::Uuid;

use crate::cluster::{Cluster, address};

const LEASE: Duration = Duration::from_secs(60);
const ME: InstanceId = InstanceId(Uuid::from_u128(1));
const OTHER: InstanceId = InstanceId(Uuid::from_u128(2));

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).expect("in range")
}

fn new_tenant(number: u128) -> NewTenant {
    NewTenant {
        id: Uuid::from_u128(number).into(),
        slug: Slug::from_name(&format!("t{number}")).expect("a slug"),
        name: String::new(),
        domain: None,
        app: "main".to_owned(),
        sources: BTreeSet::from([Source::GraphAlerts]),
        tags: BTreeSet::new(),
        since: at(0),
        state: TenantState::Active,
    }
}

/// A store in a schema of the server, with a tenant.
struct Fixture<'c> {
    cluster: &'c Cluster,
    settings: PostgresSettings,
    key: MasterKey,
    store: SqlStore,
}

impl<'c> Fixture<'c> {
    async fn new(cluster: &'c Cluster) -> Self {
        let (settings, key) = (cluster.new_store(), MasterKey::generate());
        let store = SqlStore::create_in(address(&settings), &key).await.expect("created");
        store.add_tenant(new_tenant(1), "test", at(0)).await.expect("added");
        Self { cluster, settings, key, store }
    }

    /// Runs SQL in the store's schema, as the superuser.
    fn sql(&self, sql: &str) {
        self.cluster.sql("muster", &format!("SET search_path TO {}; {sql}", self.settings.schema));
    }

    async fn opened(&self, settings: &PostgresSettings) -> Result<SqlStore, StoreError> {
        SqlStore::open_in(address(settings), &self.key.clone().into()).await
    }

    /// What is said when it is opened.
    async fn refused(&self, settings: &PostgresSettings) -> String {
        self.opened(settings).await.err().expect("refused").to_string()
    }

    async fn source(&self, now: i64) -> SourceLease {
        self.store.lease_due_sources(ME, 1, LEASE, at(now)).await.expect("leased").remove(0)
    }

    /// Accepts records with these ids, which `file` is to have.
    async fn accept(&self, lease: &SourceLease, ids: &[&str], now: i64) -> Result<PageReceipt, StoreError> {
        accept(&self.store, lease, ids, now).await
    }

    /// Delivers all that is due; the ids.
    async fn drain(&self, now: i64) -> Vec<String> {
        let mut ids = Vec::new();
        while let Some(lease) = self.leased(now).await {
            ids.extend(records(&lease));
            self.store.finish_deliveries(&lease, finished(&lease), None, at(now)).await.expect("finished");
        }
        ids
    }

    async fn leased(&self, now: i64) -> Option<DeliveryLease> {
        self.store.lease_due_deliveries(ME, "file", PLENTY, LEASE, at(now)).await.expect("leased")
    }
}

const PLENTY: DeliveryLimits = DeliveryLimits { batches: 100, body_bytes: 1 << 30 };

fn records(lease: &DeliveryLease) -> Vec<String> {
    let of = |delivery: &muster_model::Delivery| {
        delivery.records().map(|(_, record)| record.head.id.clone()).collect::<Vec<_>>()
    };
    lease.deliveries.iter().flat_map(of).collect()
}

/// With the numbers of their deliveries; each has one record.
fn numbered(lease: &DeliveryLease) -> Vec<(u64, String)> {
    lease.deliveries.iter().map(|delivery| delivery.number.0).zip(records(lease)).collect()
}

fn finished(lease: &DeliveryLease) -> Vec<FinishedDelivery> {
    let all = |delivery: &muster_model::Delivery| FinishedDelivery {
        number: delivery.number,
        remaining: None,
        delivered: delivery.records().count() as u32,
        rejected: Vec::new(),
    };
    lease.deliveries.iter().map(all).collect()
}

async fn accept(
    store: &SqlStore,
    lease: &SourceLease,
    ids: &[&str],
    now: i64,
) -> Result<PageReceipt, StoreError> {
    let bodies = ids.iter().map(|id| format!("{{\"id\":\"{}\"}}", id.replace('\0', "\\u0000")));
    let bodies: Vec<String> = bodies.collect();
    let records = ids.iter().zip(&bodies).map(|(id, body)| NewRecord {
        head: RecordHead {
            id: (*id).to_owned(),
            updated_at: Some(at(0)),
            created_at: None,
            severity: Severity::High,
            hash: ContentHash::of(body.as_bytes()),
            change: None,
        },
        body,
        destination: 0,
    });
    let page = AcceptedPage {
        records: records.collect(),
        text: None,
        dead_letters: Vec::new(),
        destinations: &[Destination::of(&["file".to_owned()])],
        cursor: Cursor::starting(at(0)),
        request_id: None,
        proved_up_to: None,
    };
    store.accept_page(lease, page, LEASE, at(now)).await
}

#[tokio::test]
async fn what_keeps_a_store_from_being_opened_is_told() {
    let Some(cluster) = Cluster::shared() else { return };
    let fixture = Fixture::new(&cluster).await;
    let settings = &fixture.settings;

    // Of a later layout, with which this version may still work, or not.
    fixture.sql("UPDATE layout SET version = version + 900");
    fixture.opened(settings).await.expect("it works with this version, it says").close().await;
    fixture.sql("UPDATE layout SET works_with = 999");
    let said = fixture.refused(settings).await;
    assert!(said.contains("written by a later version of Muster"), "{said}");
    fixture.sql("UPDATE layout SET version = version - 900, works_with = 1");

    // Another master key.
    let other = SqlStore::open_in(address(settings), &MasterKey::generate().into()).await;
    let other = other.err().expect("refused");
    assert!(matches!(other, StoreError::WrongMasterKey { .. }), "{other}");

    // Another program's schema.
    let foreign = cluster.new_store();
    cluster.sql("muster", &format!("CREATE SCHEMA {0}; CREATE TABLE {0}.layout (a INT)", foreign.schema));
    let said = SqlStore::create_in(address(&foreign), &fixture.key).await.err().expect("refused").to_string();
    assert!(
        said.contains(&format!("another program has made the tables in the schema {}", foreign.schema)),
        "{said}"
    );

    // Nothing at all.
    let said = fixture.refused(&cluster.new_store()).await;
    assert!(
        said.contains("there is no store in the schema") && said.contains("`muster store init` makes one"),
        "{said}"
    );

    // A user without rights, one that does not exist, a database that does not.
    cluster.sql("postgres", "DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN");
    let url = |user: &str, database: &str| format!("postgres://{user}@127.0.0.1:{}/{database}", cluster.port);
    let as_stranger = PostgresSettings { url: url("stranger", "muster"), ..settings.clone() };
    let said = fixture.refused(&as_stranger).await;
    assert!(said.contains("permission denied") && said.contains("the user's rights"), "{said}");
    let new = PostgresSettings { schema: "elsewhere".to_owned(), ..as_stranger };
    let said = SqlStore::create_in(address(&new), &fixture.key).await.err().expect("refused").to_string();
    assert!(said.contains("permission denied for database muster"), "{said}");
    for wrong in [url("nobody", "muster"), url("muster", "nothing")] {
        let said = fixture.refused(&PostgresSettings { url: wrong, ..settings.clone() }).await;
        assert!(said.contains("does not exist") && said.contains("refuses"), "{said}");
    }

    // Another encoding.
    // Version 14 has no other provider, and no word for it.
    let version = std::fs::read_to_string(cluster.folder().join("data/PG_VERSION")).expect("a version");
    let provider = if version.trim() == "14" { "" } else { "LOCALE_PROVIDER libc" };
    let latin = "CREATE DATABASE latin OWNER muster ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    cluster.sql("postgres", &format!("{latin} {provider}"));
    let latin = PostgresSettings { url: url("muster", "latin"), ..settings.clone() };
    let said = SqlStore::create_in(address(&latin), &fixture.key).await.err().expect("refused").to_string();
    assert!(said.contains("encoded in LATIN1") && said.contains("ENCODING 'UTF8'"), "{said}");
    fixture.store.close().await;
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    cluster.sql("postgres", "ALTER USER muster PASSWORD 'right'");
    let rules = cluster.folder().join("data/pg_hba.conf");
    std::fs::write(&rules, "host all admin 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        .expect("written");
    cluster.sql("postgres", "SELECT pg_reload_conf()");
    let with =
        |password: &str| PostgresSettings { password: Some(Secret::from(password)), ..cluster.new_store() };
    let key = MasterKey::generate();
    // The server reads the file a moment after it was told to.
    let mut said = String::new();
    for _ in 0..100 {
        match SqlStore::create_in(address(&with("hunter2")), &key).await {
            Ok(store) => store.close().await,
            Err(error) => {
                said = error.to_string();
                break;
            }
        }
    }
    assert!(said.contains("password authentication failed for user \"muster\""), "{said}");
    assert!(said.contains("`[store]`") && !said.contains("hunter2"), "{said}");
    SqlStore::create_in(address(&with("right")), &key).await.expect("created").close().await;
}

#[tokio::test]
async fn a_server_that_does_not_run_is_waited_for() {
    let Some(mut cluster) = Cluster::start(&["fsync=off"]) else { return };
    let (settings, key) = (cluster.new_store(), MasterKey::generate());
    let store = SqlStore::create_in(address(&settings), &key).await.expect("created");
    store.add_tenant(new_tenant(1), "test", at(0)).await.expect("added");
    cluster.end_server(rustix::process::Signal::INT);
    let wrote = store.add_tenant(new_tenant(2), "test", at(0)).await.expect_err("nobody answers");
    let read = store.tenants().await.expect_err("nobody answers");
    let opened =
        SqlStore::open_in(address(&settings), &key.clone().into()).await.err().expect("nobody answers");
    for error in [wrote, read, opened] {
        let said = error.to_string();
        assert!(said.contains("does not answer") && said.contains("pg_isready"), "{said}");
        assert!(error.is_of_all_work());
    }
    assert!(store.trouble().is_some_and(|trouble| trouble.contains("does not answer")));
    cluster.run_server(&["fsync=off"]);
    store.add_tenant(new_tenant(2), "test", at(0)).await.expect("added");
    assert_eq!(store.tenants().await.expect("read").len(), 2);
    assert_eq!(store.trouble(), None);
    store.close().await;
}

#[tokio::test]
async fn a_database_that_can_only_be_read_takes_nothing_until_it_can_be_written() {
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    let fixture = Fixture::new(&cluster).await;
    let lease = fixture.source(1).await;
    cluster.sql("postgres", "ALTER DATABASE muster SET default_transaction_read_only = on");
    cluster.sql("postgres", CUT);
    let error = fixture.accept(&lease, &["a"], 2).await.expect_err("refused");
    let said = error.to_string();
    assert!(matches!(error, StoreError::ReadOnly { .. }) && said.contains("read-only transaction"), "{said}");
    assert!(fixture.store.trouble().is_some(), "it shows");
    assert_eq!(fixture.store.tenants().await.expect("it can be read").len(), 1);
    cluster.sql("postgres", "ALTER DATABASE muster RESET default_transaction_read_only");
    cluster.sql("postgres", CUT);
    assert_eq!(fixture.accept(&lease, &["a"], 3).await.expect("accepted").accepted, 1);
    assert_eq!(fixture.drain(4).await, ["a"]);
    fixture.store.close().await;
}

/// A lease ends with the database that gave it: what was accepted under it may be lost with that, and a page that came after
/// it would move the cursor past what is lost. The same where the lease itself is lost, and another has been given since.
#[tokio::test]
async fn a_lease_does_not_outlive_the_database_that_gave_it() {
    let Some(mut primary) = Cluster::start(&["fsync=off"]) else { return };
    let standby = primary.standby();
    // Until all that is to be there has arrived, nothing is committed that the standby has not.
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql("postgres", "SELECT pg_reload_conf()");
    let url = format!("postgres://muster@127.0.0.1:{},127.0.0.1:{}/muster", primary.port, standby.port);
    let (settings, key) = (PostgresSettings { url, ..primary.new_store() }, MasterKey::generate());
    let store = SqlStore::create_in(address(&settings), &key).await.expect("created");
    store.add_tenant(new_tenant(1), "test", at(0)).await.expect("added");
    let kept = store.lease_due_sources(ME, 1, LEASE, at(0)).await.expect("leased").remove(0);
    store.add_tenant(new_tenant(2), "test", at(0)).await.expect("added, and the lease has arrived before it");
    primary.sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    primary.sql("postgres", "SELECT pg_reload_conf()");
    standby.sql("postgres", "ALTER SYSTEM SET primary_conninfo = ''");
    standby.sql("postgres", "SELECT pg_reload_conf()");
    let alone = "DO $$ BEGIN WHILE EXISTS (SELECT 1 FROM pg_stat_replication) LOOP
         PERFORM pg_sleep(0.02); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$";
    primary.sql("postgres", alone);
    let lost = store.lease_due_sources(ME, 1, LEASE, at(1)).await.expect("leased").remove(0);
    assert_eq!(accept(&store, &kept, &["a"], 1).await.expect("accepted").accepted, 1);
    primary.end_server(rustix::process::Signal::KILL);
    standby.sql("postgres", "SELECT pg_promote()");
    let event = NewAuditEvent {
        actor: "test".to_owned(),
        action: "test".to_owned(),
        subject: "test".to_owned(),
        details: serde_json::Value::Null,
    };
    store.append_audit(event, at(2)).await.expect("it goes on");
    let is_lost =
        |result: Result<PageReceipt, StoreError>| matches!(result, Err(StoreError::LeaseLost { .. }));
    assert!(is_lost(accept(&store, &kept, &["b"], 2).await), "what is behind `a` is not read before it");
    let mut again = store.lease_due_sources(OTHER, 2, LEASE, at(2)).await.expect("due at once");
    assert!(is_lost(accept(&store, &kept, &["b"], 3).await));
    assert!(is_lost(accept(&store, &lost, &["c"], 3).await), "another's lease is not its own");
    again.sort_by_key(|lease| lease.tenant.id);
    assert_eq!(accept(&store, &again[0], &["a"], 3).await.expect("accepted").accepted, 1, "it was lost");
    assert_eq!(accept(&store, &again[1], &["c"], 3).await.expect("accepted").accepted, 1);
    store.close().await;
}

#[tokio::test]
async fn a_standby_is_told_and_left_for_the_host_that_can_be_written() {
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    let fixture = Fixture::new(&cluster).await;
    let standby = cluster.standby();
    let url =
        |ports: [u16; 2]| format!("postgres://muster@127.0.0.1:{},127.0.0.1:{}/muster", ports[0], ports[1]);
    let alone = format!("postgres://muster@127.0.0.1:{}/muster", standby.port);
    let opened = fixture.opened(&PostgresSettings { url: alone, ..fixture.settings.clone() }).await;
    let opened = opened.expect("it can be read");
    let error = opened.add_tenant(new_tenant(2), "test", at(1)).await.expect_err("refused");
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    assert!(opened.trouble().is_some_and(|trouble| trouble.contains("cannot be written")), "it shows");
    opened.close().await;
    let twice = PostgresSettings { url: url([standby.port, standby.port]), ..fixture.settings.clone() };
    let said = fixture.refused(&twice).await;
    assert!(said.contains("every host that can be reached is a standby"), "{said}");
    let both = PostgresSettings { url: url([standby.port, cluster.port]), ..fixture.settings.clone() };
    let opened = fixture.opened(&both).await.expect("one of them can be written");
    opened.add_tenant(new_tenant(2), "test", at(1)).await.expect("added");
    opened.close().await;
    // A node's first word goes to the host that can be written, too; port 1 answers nobody.
    for first in [standby.port, 1] {
        let both = PostgresSettings { url: url([first, cluster.port]), ..fixture.settings.clone() };
        let opened = fixture.opened(&both).await.expect("one of them can be written");
        opened.live(ME, SystemClock.now()).await.expect("it joins");
        opened.live(ME, SystemClock.now()).await.expect("it lives");
        assert_eq!(opened.nodes().await.expect("read").len(), 1);
        opened.close().await;
    }
    fixture.store.close().await;
}

/// A small disk, which is unmounted with the test.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(folder.path()).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        println!("skipped: a small disk cannot be mounted here");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_lost_when_there_is_room() {
    let Some(disk) = Disk::mount() else { return };
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    // The log of the server is elsewhere: it would end without.
    cluster.own(disk.0.path());
    cluster.sql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", disk.0.path().display()));
    cluster.sql("postgres", "ALTER DATABASE muster SET TABLESPACE small");
    let fixture = Fixture::new(&cluster).await;
    let lease = fixture.source(1).await;
    let filler = disk.0.path().join("filler");
    let mut file = std::fs::File::create(&filler).expect("made");
    while std::io::Write::write_all(&mut file, &[7; 65_536]).is_ok() {}
    let (mut accepted, mut number) = (Vec::new(), 0);
    let error = loop {
        let ids: Vec<String> = (0..200).map(|place| format!("{number}-{place}")).collect();
        match fixture.accept(&lease, &ids.iter().map(String::as_str).collect::<Vec<_>>(), 2).await {
            Ok(_) => accepted.extend(ids),
            Err(error) => break error,
        }
        number += 1;
        assert!(number < 200, "it is full by now");
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("free space; nothing accepted is lost"), "{error}");
    assert!(fixture.store.trouble().is_some_and(|trouble| trouble.contains("is full")), "it shows");
    drop(file);
    std::fs::remove_file(&filler).expect("removed");
    assert_eq!(fixture.accept(&lease, &["last"], 3).await.expect("accepted").accepted, 1);
    assert_eq!(fixture.store.trouble(), None);
    accepted.push("last".to_owned());
    let delivered = fixture.drain(4).await;
    assert_eq!(delivered, accepted);
    fixture.store.close().await;
    drop(cluster);
}

/// Ends every session of Muster's.
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'muster'";

#[tokio::test]
async fn what_is_cut_goes_on_and_nothing_is_lost_or_doubled() {
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    let fixture = Fixture::new(&cluster).await;
    let lease = fixture.source(1).await;
    let (mut accepted, mut delivered) = (BTreeSet::new(), Vec::new());
    let (mut cuts, mut number) = (0, 0);
    // Sessions are cut at whatever moment, by another process.
    let mut cutting = cluster.psql("postgres", CUT).spawn().expect("it starts");
    while cuts < 60 {
        if cutting.try_wait().expect("asked").is_some() {
            cuts += 1;
            cutting = cluster.psql("postgres", CUT).spawn().expect("it starts");
        }
        let id = format!("r{number}");
        // What was not answered is read again, as a page is that was not accepted.
        while let Err(error) = fixture.accept(&lease, &[&id], 2).await {
            assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
        }
        accepted.insert(id);
        number += 1;
        let now = 3 + 61 * number;
        let taken = fixture.store.lease_due_deliveries(ME, "file", PLENTY, LEASE, at(now)).await;
        if let Ok(Some(lease)) = taken {
            delivered.extend(numbered(&lease));
            // Where its answer is lost, it comes again.
            drop(fixture.store.finish_deliveries(&lease, finished(&lease), None, at(now)).await);
        }
        fixture.store.tenants().await.expect("a read is tried again");
    }
    cutting.wait().expect("it ended");
    if let Some(lease) = fixture.leased(1_000_000).await {
        delivered.extend(numbered(&lease));
    }
    let once: BTreeSet<&(u64, String)> = delivered.iter().collect();
    let ids: BTreeSet<String> = delivered.iter().map(|(_, id)| id.clone()).collect();
    assert!(accepted.len() > 10, "it worked: {}", accepted.len());
    assert_eq!(ids, accepted, "none is lost");
    assert_eq!(once.len(), accepted.len(), "each has one number, by which a sink knows it again");
    assert_eq!(fixture.store.journal_totals().await.expect("added up").records, accepted.len() as u64);
    fixture.store.close().await;
}

#[tokio::test]
async fn a_database_that_is_too_slow_is_given_up_and_told() {
    let Some(cluster) = Cluster::shared() else { return };
    let fixture = Fixture::new(&cluster).await;
    let slow = PostgresSettings { statement_timeout: Duration::from_millis(300), ..fixture.settings.clone() };
    let impatient = fixture.opened(&slow).await.expect("opened");
    let lease = fixture.source(1).await;
    let schema = &fixture.settings.schema;
    // Whatever writes a batch takes its time.
    fixture.sql(
        "CREATE FUNCTION slowly() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NEW; END $$;
         CREATE TRIGGER slowly BEFORE INSERT ON record_version FOR EACH ROW EXECUTE FUNCTION slowly()",
    );
    let error = accept(&impatient, &lease, &["a"], 2).await.expect_err("given up");
    let said = error.to_string();
    assert!(matches!(error, StoreError::Slow { .. }), "{said}");
    assert!(said.contains("`statement_timeout`") && said.contains("pg_stat_activity"), "{said}");
    assert_eq!(fixture.drain(3).await, [""; 0], "nothing of it is there");
    cluster.sql("muster", &format!("DROP TRIGGER slowly ON {schema}.record_version"));
    assert_eq!(accept(&impatient, &lease, &["a"], 4).await.expect("accepted").accepted, 1);
    impatient.close().await;
    assert_eq!(fixture.drain(5).await, ["a"]);
    fixture.store.close().await;
}

/// A node that waits for its turn to write is not dead: others would end its leases, and what it has sent would be sent again.
#[tokio::test]
async fn a_node_says_that_it_lives_while_others_write() {
    let Some(cluster) = Cluster::shared() else { return };
    let fixture = Fixture::new(&cluster).await;
    fixture.store.live(ME, SystemClock.now()).await.expect("it joins");
    fixture.sql("UPDATE node SET seen_at = seen_at - interval '4 seconds'");
    let hash = blake3::hash(format!("muster store {}", fixture.settings.schema).as_bytes());
    let key = i64::from_be_bytes(*hash.as_bytes().first_chunk().expect("32 bytes"));
    let held = format!("locktype = 'advisory' AND granted AND objid::bigint = {}", key & 0xffff_ffff);
    let holding = format!("SELECT pg_advisory_lock({key}), pg_sleep(600)");
    let mut holder = cluster.psql("muster", &holding).stderr(Stdio::null()).spawn().expect("psql starts");
    fixture.sql(&format!(
        "DO $$ BEGIN WHILE NOT EXISTS (SELECT 1 FROM pg_locks WHERE {held}) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$"
    ));
    let told = tokio::time::timeout(Duration::from_secs(10), fixture.store.live(ME, SystemClock.now())).await;
    fixture.sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {held}"));
    holder.wait().expect("it has ended");
    told.expect("it waits for nobody").expect("told");
    let nodes = fixture.store.nodes().await.expect("read");
    assert!(nodes[0].silent_for < 4, "{nodes:?}");
    fixture.store.close().await;
}

#[tokio::test]
async fn leases_that_were_edited_by_hand_stop_and_double_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let fixture = Fixture::new(&cluster).await;
    let lease = fixture.source(1).await;
    fixture.accept(&lease, &["a"], 2).await.expect("accepted");
    let held = fixture.leased(3).await.expect("due");
    // Garbage, and the year 3000, or as late as a number goes.
    fixture.sql(
        "UPDATE cursor SET lease_owner = '\\xdeadbeef', leased_until = 9223372036854775807, set_at = 9223372036854775807;
         UPDATE queue SET lease_owner = '\\x', leased_until = 9223372036854775807, set_at = 9223372036854775807;
         INSERT INTO lease VALUES ('rotation', 9223372036854775807, '\\x00', 1, 7, 9223372036854775807);
         INSERT INTO node VALUES ('\\xdead', '2000-01-01'), ('\\x', '3000-01-01')",
    );
    fixture.store.live(ME, SystemClock.now()).await.expect("told");
    let again = fixture.source(100).await;
    assert_eq!(again.tenant.id, lease.tenant.id, "a wait by a clock of the future says nothing");
    let retaken = fixture.leased(100).await.expect("due");
    assert_eq!(records(&retaken), ["a"]);
    // Who held it before is refused, so that it is written down once.
    let late = fixture.store.finish_deliveries(&held, finished(&held), None, at(101)).await;
    assert!(matches!(late, Err(StoreError::LeaseLost { .. })), "{late:?}");
    let late = fixture.accept(&lease, &["b"], 101).await;
    assert!(matches!(late, Err(StoreError::LeaseLost { .. })), "{late:?}");
    fixture.store.finish_deliveries(&retaken, finished(&retaken), None, at(101)).await.expect("finished");
    let named = fixture.store.take_lease("rotation", ME, LEASE, at(102)).await.expect("asked");
    let named = named.expect("a lease of the future is over");
    fixture.store.release_lease(named).await.expect("released");

    // Fences that were lowered: whoever leases next is told apart from whoever has it still.
    let old = fixture.source(300).await;
    fixture
        .sql("UPDATE cursor SET fence = 0, leased_until = 0; UPDATE queue SET fence = 0, leased_until = 0");
    let new = fixture.source(301).await;
    let late = fixture.accept(&old, &["c"], 302).await;
    assert!(matches!(late, Err(StoreError::LeaseLost { .. })), "{late:?}");
    assert_eq!(fixture.accept(&new, &["c"], 302).await.expect("accepted").accepted, 1);
    let done = PollResult::Yielded { next_at: at(303), progressed: true, missing: None, cursor: None };
    fixture.store.finish_poll(&new, done, at(303)).await.expect("finished");
    assert_eq!(fixture.drain(400).await, ["c"]);
    fixture.store.close().await;
}

#[tokio::test]
async fn the_character_0_in_what_comes_from_outside_does_no_harm() {
    let Some(cluster) = Cluster::shared() else { return };
    let fixture = Fixture::new(&cluster).await;
    let named = NewTenant { name: "Con\0toso \\u0000".to_owned(), ..new_tenant(2) };
    fixture.store.add_tenant(named, "an \0 actor", at(0)).await.expect("added");
    let names: Vec<String> =
        fixture.store.tenants().await.expect("read").into_iter().map(|tenant| tenant.name).collect();
    assert!(names.iter().any(|name| name.starts_with("Con\u{2400}toso")), "{names:?}");
    let event = NewAuditEvent {
        actor: "command \0".to_owned(),
        action: "a\0b".to_owned(),
        subject: "\0".to_owned(),
        details: serde_json::json!({ "error": "a \0 in it", "key\0": ["\0"] }),
    };
    let written = fixture.store.append_audit(event, at(1)).await.expect("written");
    let read = fixture.store.audit(written.number - 1, 1).await.expect("read").remove(0);
    assert_eq!(read, written, "as it was said to be");
    assert_eq!(fixture.store.verify_audit().await.expect("checked").first_bad, None);

    let lease = fixture.source(1).await;
    let ids = ["a\0", "\0a", "a\\u0000", "\0"];
    assert_eq!(fixture.accept(&lease, &ids, 2).await.expect("accepted").accepted, 4);
    assert_eq!(fixture.accept(&lease, &ids, 2).await.expect("accepted").accepted, 0, "they are known again");
    let held = fixture.leased(3).await.expect("due");
    assert_eq!(records(&held), ids, "sinks get what was sent");
    let rejected = FinishedDelivery {
        number: held.deliveries[0].number,
        remaining: None,
        delivered: 3,
        rejected: vec![(0, "refused: \0 is no text".to_owned())],
    };
    fixture
        .store
        .finish_deliveries(&held, vec![rejected], Some((at(4), "an \0 error".to_owned())), at(3))
        .await
        .expect("finished");
    let grant = NewGrant {
        tenant: Uuid::from_u128(1).into(),
        app: "main".to_owned(),
        account: "admin\0@contoso.example".to_owned(),
        resource: "graph".to_owned(),
        refresh_token: Secret::from("a \0 token"),
        expires_at: None,
    };
    fixture.store.put_grant(grant, at(4)).await.expect("put");
    let leased = fixture.store.lease_grant(ME, Uuid::from_u128(1).into(), "main", LEASE, at(5)).await;
    let Ok(GrantLease::Leased { refresh_token, .. }) = leased else { panic!("not leased: {leased:?}") };
    assert_eq!(refresh_token.expose(), "a \0 token", "what is sealed is what it was");
    fixture.store.close().await;
}
