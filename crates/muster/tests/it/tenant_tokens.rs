//! A token and an index of Splunk's for each tenant: whatever is wrong with one tenant's is that tenant's alone.

use std::collections::HashMap;
use std::time::Duration;

use muster_emulator::Config;
use muster_emulator::receivers::{HecTokenTally, ReceiverTally};
use muster_model::Tenant;
use tokio::time::Instant;

use crate::support::{Bench, Setup, config, eventually, peak_rss_mb};

/// A Muster whose only sink has a token and an index for each tenant; those that the collector takes are made and written.
struct Tokens {
    setup: Setup,
    tenants: Vec<Tenant>,
}

impl Tokens {
    async fn start(tenants: usize, alerts: u64, extra: &str) -> Self {
        let config = Config { tenants, alerts: Some(alerts), ..config() };
        let setup = Setup::start(config, "").await;
        let url = setup.emulator.receivers().hec_address().expect("it listens");
        std::fs::create_dir(setup.path().join("tokens")).expect("a folder");
        setup.write_settings(&format!(
            "[sinks.splunk]\ntype = \"splunk_hec\"\nurl = \"http://{url}\"\ntimeout = \"10s\"\n\
             token = {{ file = \"tokens/{{{{ tenant.slug }}}}.token\" }}\nindex = \"muster_{{{{ tenant.slug }}}}\"\n\
             {extra}"
        ));
        let settings = std::fs::read_to_string(setup.settings_path()).expect("the settings");
        let lines = settings.lines().map(|line| match line.starts_with("sinks = [") {
            true => "sinks = [\"splunk\"]",
            false => line,
        });
        let only_splunk: Vec<&str> = lines.collect();
        std::fs::write(setup.settings_path(), only_splunk.join("\n")).expect("written");
        let tenants = setup.store().await.tenants().await.expect("the store answers");
        let tokens = Self { setup, tenants };
        for tenant in &tokens.tenants {
            tokens.make(tenant);
            tokens.write(tenant, &token(tenant));
        }
        tokens
    }

    /// The collector takes the tenant's token for the tenant's index.
    fn make(&self, tenant: &Tenant) {
        let index = format!("muster_{}", tenant.slug);
        self.setup.emulator.receivers().add_hec_token(&token(tenant), &[&index]);
    }

    fn file(&self, tenant: &Tenant) -> std::path::PathBuf {
        self.setup.path().join(format!("tokens/{}.token", tenant.slug))
    }

    fn write(&self, tenant: &Tenant, token: &str) {
        std::fs::write(self.file(tenant), format!("{token}\n")).expect("written");
    }

    /// What Splunk has.
    fn splunk(&self) -> ReceiverTally {
        let tally = self.setup.emulator.tally();
        tally.receivers.into_iter().find(|receiver| receiver.receiver == "hec").expect("a receiver")
    }

    fn tally(&self, tenant: &Tenant) -> HecTokenTally {
        let tallies = self.setup.emulator.receivers().hec_tokens();
        tallies.get(&token(tenant)).cloned().unwrap_or_default()
    }

    /// Whether all that the tenant has is in Splunk, with its own token and nobody else's.
    fn has_all(&self, tenant: &Tenant) -> bool {
        let splunk = self.splunk();
        let id = tenant.id.to_string();
        let of_tenant = splunk.tenants.get(&id).copied().unwrap_or_default();
        let expected = HashMap::from([(id, of_tenant.received)]);
        let with_own = self.tally(tenant).events;
        assert!(
            with_own.is_empty() || with_own == expected,
            "{with_own:?} with the token of {}",
            tenant.slug
        );
        of_tenant.lost == 0 && of_tenant.received > 0 && with_own == expected
    }
}

fn token(tenant: &Tenant) -> String {
    format!("token-of-{}", tenant.slug)
}

/// A token that is missing, one that Splunk has withdrawn and one for another index cost their tenants only, say so, and are mended
/// without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_one_tenants_token_is_that_tenants_alone() {
    let tokens = Tokens::start(8, 80, "").await;
    let Tokens { setup, tenants } = &tokens;
    let receivers = setup.emulator.receivers();
    let (missing, withdrawn, elsewhere) = (&tenants[0], &tenants[1], &tenants[2]);
    std::fs::remove_file(tokens.file(missing)).expect("removed");
    receivers.remove_hec_token(&token(withdrawn));
    receivers.add_hec_token(&token(elsewhere), &["other"]);
    let found = setup.muster(&["validate"]).await;
    let found = String::from_utf8_lossy(&found.stdout).into_owned() + &String::from_utf8_lossy(&found.stderr);
    assert!(
        found.contains(&format!("1 tenant(s) have no token, such as {}", missing.slug)),
        "validate says so: {found}"
    );

    let bench = Bench::new(setup).await;
    bench.rounds(2).await;
    for tenant in &tenants[3..] {
        assert!(tokens.has_all(tenant), "{} waits for others", tenant.slug);
    }
    let states = bench.store.queue_states().await.expect("the store answers");
    for (tenant, words) in [
        (missing, format!("there is no token for tenant {}", missing.slug)),
        (withdrawn, format!("the token of tenant {} is not taken", withdrawn.slug)),
        (elsewhere, format!("the index `muster_{0}` of tenant {0} is not one", elsewhere.slug)),
    ] {
        let of = states.iter().find(|state| state.tenant == tenant.id && state.sink == "splunk");
        let error = of.and_then(|state| state.last_error.clone()).unwrap_or_default();
        assert!(error.contains(&words), "{words}: {error}");
        assert!(!tokens.has_all(tenant));
    }
    assert!(tokens.tally(elsewhere).wrong_indexes > 0);
    assert!(bench.dead_letters().await.is_empty());

    tokens.write(missing, &token(missing));
    tokens.make(withdrawn);
    tokens.make(elsewhere);
    bench.rounds(2).await;
    assert!(tenants.iter().all(|tenant| tokens.has_all(tenant)), "and now they have everything");
    let splunk = tokens.splunk();
    assert_eq!((splunk.lost, splunk.doubled), (0, 0));
}

/// What a run with a token for each tenant costs, and how evenly it goes.
async fn run(tenants: usize, alerts: u64) {
    let tokens = Tokens::start(tenants, alerts, "").await;
    tokens.setup.emulator.receivers().set_acknowledge_delay(Duration::from_millis(500));
    let began = Instant::now();
    let mut muster = tokens.setup.run();
    let process = muster.id().expect("it runs");
    eventually("everything arrives", async || tokens.splunk().lost == 0).await;
    let store = tokens.setup.store().await;
    eventually("everything is acknowledged", async || {
        let totals = store.sink_totals().await.expect("the store answers");
        totals.iter().all(|sink| sink.owed == 0)
    })
    .await;
    let (peak, cpu) = (peak_rss_mb(process), cpu_seconds(process));
    muster.kill().await.expect("killed");
    let tallies = tokens.setup.emulator.receivers().hec_tokens();
    let of_tenants = tokens.tenants.iter().filter_map(|tenant| tallies.get(&token(tenant)));
    let used: Vec<&HecTokenTally> = of_tenants.filter(|tally| !tally.events.is_empty()).collect();
    for tenant in &tokens.tenants {
        let tally = &tallies[&token(tenant)];
        assert!(tally.events.keys().all(|of| *of == tenant.id.to_string()), "{}: {tally:?}", tenant.slug);
        assert_eq!(tally.wrong_indexes, 0, "{}", tenant.slug);
    }
    let splunk = tokens.splunk();
    assert_eq!((splunk.lost, splunk.doubled, splunk.unknown), (0, 0, 0));
    let seconds = |of: fn(&HecTokenTally) -> Option<Instant>| {
        let mut all: Vec<f64> =
            used.iter().filter_map(|tally| of(tally)).map(|at| (at - began).as_secs_f64()).collect();
        all.sort_by(f64::total_cmp);
        (all[0], all[all.len() / 2], all[all.len() - 1])
    };
    let (first, last) = (seconds(|tally| tally.first_at), seconds(|tally| tally.last_at));
    println!(
        "{tenants} tokens and indexes, {} of them used, {} events: peak memory {peak:.0} MB, {cpu:.1} s of processor time; \
         a tenant's first event after {:.1} to {:.1} s (median {:.1}), its last after {:.1} to {:.1} s (median {:.1})",
        used.len(),
        splunk.received,
        first.0,
        first.2,
        first.1,
        last.0,
        last.2,
        last.1
    );
    assert!(used.len() > tenants / 2, "only {} tokens were used", used.len());
}

/// The processor time that a process has used, in seconds: its own and the system's for it.
fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux tells");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number")).sum();
    ticks / 100.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_tokens_and_indexes() {
    run(60, 600).await;
}

/// The figure for the documents.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; run it for the figure: cargo test --release -p muster --test it a_thousand_tokens -- --ignored --nocapture"]
async fn a_thousand_tokens_and_indexes() {
    run(1_000, 20_000).await;
}
