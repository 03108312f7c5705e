//! The stage: world, database, receivers and nodes of one run, and how each disaster strikes them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex as StdMutex;
use std::time::Duration;

use anyhow::{Context as _, bail};
use muster_emulator::receivers::{
    Produced, ReceiverFault, ReceiverName, ReceiverTally, tally_file, tally_lines,
};
use muster_emulator::{
    Area, Config, DirectoryChange, Fault, FaultKind, Handle, SettingsText, Tenant, loopback,
};
use muster_model::{Clock as _, SystemClock};
use rustix::process::Signal;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::account::{Copy, Seen, Sink, Struck};
use crate::content::ByContent;
use crate::database::Database;
use crate::disk::Disk;
use crate::link::{Link, Way};
use crate::nodes::{Muster, Node, clock_library};
use crate::plan::{Disaster, Layout, Misbehaviour, Outage, Receiver, Step, Tenants, Trouble};
use crate::takeover::{Kill, ports_of};

/// How long a command of the operator is tried again, since it is given at bad moments.
const COMMAND_PATIENCE: Duration = Duration::from_secs(240);
/// How long a command may take.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);
/// Tenants that one command adds.
const IMPORTED_AT_ONCE: usize = 200;

/// One run.
pub(crate) struct Stage {
    pub(crate) emulator: Handle,
    layout: Layout,
    pub(crate) interval: Duration,
    folder: PathBuf,
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) nodes: Vec<Mutex<Node>>,
    /// Each node's way to the database.
    links: Vec<Link>,
    database: Option<Mutex<Database>>,
    store_disk: Option<Disk>,
    archive_disk: Option<Disk>,
    /// The first program, and the one that an upgrade brings; each upgrade turns to the other.
    programs: [Muster; 2],
    upgrades: StdMutex<usize>,
    began: Instant,
    pub(crate) began_ms: i64,
    log: File,
    pub(crate) struck: StdMutex<Vec<Struck>>,
    pub(crate) onboarded: StdMutex<BTreeSet<usize>>,
    pub(crate) offboarded: StdMutex<BTreeSet<usize>>,
    pub(crate) kills: StdMutex<Vec<Kill>>,
    secrets: StdMutex<u32>,
    /// What cannot be done on this machine, and why.
    pub(crate) left_out: Vec<String>,
    has_clocks: bool,
    /// Commands of the operator that could not be given.
    faults: StdMutex<Vec<String>>,
}

/// What a run is like.
pub(crate) struct Staging<'a> {
    pub(crate) layout: Layout,
    pub(crate) tenants: Tenants,
    pub(crate) rate: f64,
    /// The usual time between two polls.
    pub(crate) interval: Duration,
    pub(crate) seed: u64,
    pub(crate) folder: &'a Path,
    pub(crate) programs: [Muster; 2],
}

impl Stage {
    /// Sets everything up; the nodes do not run yet.
    pub(crate) async fn set(staging: Staging<'_>) -> anyhow::Result<Self> {
        let Staging { layout, tenants, rate, interval, seed, folder, programs } = staging;
        let emulator = muster_emulator::start(Config {
            tenants: tenants.all,
            seed,
            rate: Some(rate),
            hec: Some(loopback()),
            syslog_tls: Some(loopback()),
            large_one_in: 0,
            ..Config::default()
        });
        let emulator = emulator.await?;
        emulator.note_requests();
        let mut left_out = Vec::new();
        for name in ["archive", "objects", "store"] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        let mut disk = async |name: &str| match Disk::at(&folder.join(name)).await {
            Ok(disk) => Some(disk),
            Err(error) => {
                left_out.push(format!("full disk of the {name}: {error:#}"));
                None
            }
        };
        let archive_disk = disk("archive").await;
        let store_disk = if layout == Layout::Sqlite { disk("store").await } else { None };
        let clock = clock_library();
        if clock.is_none() {
            left_out.push("wrong clocks: libfaketime is not installed".to_owned());
        }
        let database = if layout == Layout::Postgres { Some(Database::start().await?) } else { None };
        let mut links = Vec::new();
        if let Some(database) = &database {
            if !database.has_pooler() {
                left_out.push("the pooler: pgbouncer is not installed".to_owned());
            }
            for _ in 0..layout.nodes() {
                links.push(Link::to(database.port()).await?);
            }
        }
        let mut nodes = Vec::new();
        for number in 0..layout.nodes() {
            let own = folder.join(format!("node-{}", number + 1));
            std::fs::create_dir_all(&own)?;
            let node = Node::new(number, &own, programs[0].clone(), clock.clone());
            node.put_clock(0)?;
            nodes.push(Mutex::new(node));
        }
        let stage = Self {
            tenants: emulator.tenants(),
            emulator,
            layout,
            interval,
            folder: folder.to_owned(),
            nodes,
            links,
            database: database.map(Mutex::new),
            store_disk,
            archive_disk,
            programs,
            upgrades: StdMutex::default(),
            began: Instant::now(),
            began_ms: SystemClock.now().as_millisecond(),
            log: File::create(folder.join("chaos.log"))?,
            struck: StdMutex::default(),
            onboarded: StdMutex::new((0..tenants.at_first).collect()),
            offboarded: StdMutex::default(),
            kills: StdMutex::default(),
            secrets: StdMutex::default(),
            left_out,
            has_clocks: clock.is_some(),
            faults: StdMutex::default(),
        };
        stage.set_muster_up(tenants.at_first).await?;
        Ok(stage)
    }

    /// Settings, store, key and tenants, by the commands that an operator would give.
    async fn set_muster_up(&self, tenants: usize) -> anyhow::Result<()> {
        let made = self.folder.join("made");
        let store = self.folder.join("store/muster.db");
        let arguments = ["init", path(&made)?, "--store", path(&store)?];
        self.run(self.programs[0].command()?.args(arguments)).await?;
        std::fs::rename(made.join("muster.key"), self.key())?;
        for number in 0..self.nodes.len() {
            self.write_settings(number, self.interval)?;
        }
        if self.layout == Layout::Postgres {
            std::fs::remove_file(store)?;
            self.command(&["store", "init"]).await?;
        }
        // In parts, so that each is done within the time of a command.
        for first in (0..tenants).step_by(IMPORTED_AT_ONCE) {
            self.import(first..tenants.min(first + IMPORTED_AT_ONCE)).await?;
        }
        Ok(())
    }

    fn key(&self) -> PathBuf {
        self.folder.join("muster.key")
    }

    fn archive(&self) -> PathBuf {
        self.folder.join("archive/archive.ndjson")
    }

    fn objects(&self) -> PathBuf {
        self.folder.join("objects")
    }

    /// Writes a node's settings, and the secrets beside them.
    fn write_settings(&self, number: usize, interval: Duration) -> anyhow::Result<()> {
        let folder = self.folder.join(format!("node-{}", number + 1));
        let key = format!("master_key = {{ file = {:?} }}", path(&self.key())?);
        let store = match self.links.get(number) {
            Some(link) => format!("url = \"postgres://muster@127.0.0.1:{}/muster\"", link.port),
            None => format!("path = {:?}", path(&self.folder.join("store/muster.db"))?),
        };
        let objects = format!(
            "[sinks.objects]\ntype = \"object_store\"\nurl = \"file://{}\"\n\n[[routes]]\ntenants = [\"*\"]\n\
             sinks = [\"objects\"]\n",
            path(&self.objects())?
        );
        let collect = format!("poll_interval = \"{}s\"\nrequests_per_minute = 100000", interval.as_secs());
        let config = self.emulator.client_config();
        let settings = SettingsText::new(&config)
            .in_files()
            .add("store", &format!("{store}\n{key}"))
            .add("collect", &collect)
            .add("network", "idle_timeout = \"5s\"\ntotal_timeout = \"10s\"")
            .add("sinks.splunk", "acknowledge = \"required\"\ntimeout = \"10s\"\nack_timeout = \"20s\"")
            .add("sinks.arcsight", "timeout = \"10s\"")
            .add("sinks.archive", &format!("path = {:?}", path(&self.archive())?))
            .sources(&[])
            .extra(&objects);
        let secret = std::fs::read_to_string(folder.join("main.secret")).ok();
        settings.write(&folder)?;
        // The one that was rotated to stays.
        match secret {
            Some(secret) => Ok(put(&folder.join("main.secret"), &secret)?),
            None => Ok(()),
        }
    }

    /// Since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The beginning is now.
    pub(crate) async fn begin(&mut self) -> anyhow::Result<()> {
        self.began = Instant::now();
        self.began_ms = SystemClock.now().as_millisecond();
        for node in &self.nodes {
            node.lock().await.start()?;
        }
        Ok(())
    }

    /// Starts what ended by itself.
    pub(crate) fn look_after_nodes(&self) {
        for node in &self.nodes {
            // One that is being stopped or paused is somebody else's affair.
            let Ok(mut node) = node.try_lock() else { continue };
            let (number, place) = (node.number + 1, node.place());
            match node.look_after() {
                Ok(None) => {}
                Ok(Some(status)) => {
                    self.say(&format!("node {number} ended by itself ({status}); its log: {place}"));
                }
                Err(error) => self.say(&format!("node {number} is not up, which is tried again: {error:#}")),
            }
        }
    }

    /// Whether this machine is able to it.
    pub(crate) fn is_able_to(&self, disaster: Disaster) -> bool {
        match disaster {
            Disaster::FillStore => self.store_disk.is_some(),
            Disaster::FillArchive => self.archive_disk.is_some(),
            Disaster::JumpClock { .. } => self.has_clocks,
            _ => true,
        }
    }

    /// Tells people, and the log of the run.
    pub(crate) fn say(&self, what: &str) {
        let line = format!("{:>7.1} s  {what}\n", self.now().as_secs_f64());
        eprint!("{line}");
        if let Err(error) = (&self.log).write_all(line.as_bytes()) {
            eprintln!("cannot write chaos.log: {error}");
        }
    }

    /// Lets a disaster strike, and takes it away again.
    pub(crate) async fn strike(&self, step: Step) {
        self.say(&format!("{}, for {} s", step.disaster, step.lasts.as_secs()));
        let from = self.now();
        let done = self.carry_out(step).await;
        if let Err(error) = &done {
            self.say(&format!("not done: {}: {error:#}", step.disaster));
        }
        let failed = done.err().map(|error| format!("{error:#}"));
        let to = self.now();
        let struck = Struck { from, to, disaster: step.disaster, failed };
        self.struck.lock().expect("no panic while it is held").push(struck);
    }

    async fn carry_out(&self, step: Step) -> anyhow::Result<()> {
        let lasts = step.lasts;
        match step.disaster {
            Disaster::Kill { node } => {
                let mut node = self.nodes[node].lock().await;
                let to = self.emulator.addresses().microsoft.port();
                // From now on it connects no more: a connection that is not known to be its own would be taken for another node's.
                if node.pid().is_some() {
                    node.signal(Signal::STOP)?;
                }
                let ports = node.pid().and_then(|pid| ports_of(pid, to).ok()).unwrap_or_default();
                let kill = Kill { at: SystemClock.now(), ports };
                node.kill().await?;
                self.kills.lock().expect("no panic while it is held").push(kill);
                sleep(lasts).await;
                node.start()
            }
            Disaster::Pause { node } => {
                let node = self.nodes[node].lock().await;
                node.signal(Signal::STOP)?;
                sleep(lasts).await;
                node.signal(Signal::CONT)
            }
            Disaster::Leave { node } => {
                let mut node = self.nodes[node].lock().await;
                let stopped = node.stop().await;
                node.start()?;
                stopped
            }
            Disaster::Reload { node } => {
                // The usual interval, or twice that.
                let times = 1 + u32::try_from(step.at.as_secs() % 2).unwrap_or(0);
                self.write_settings(node, self.interval * times)?;
                self.nodes[node].lock().await.signal(Signal::HUP)
            }
            Disaster::Upgrade => self.upgrade().await,
            Disaster::JumpClock { node, seconds } => {
                let node = self.nodes[node].lock().await;
                node.put_clock(seconds)?;
                sleep(lasts).await;
                Ok(node.put_clock(0)?)
            }
            Disaster::Database { node, trouble } => {
                let link = &self.links[node];
                link.set(match trouble {
                    Trouble::Cut => Way::Cut,
                    Trouble::Stalled => Way::Stalled,
                    Trouble::Delayed => Way::Delayed(Duration::from_millis(200)),
                });
                sleep(lasts).await;
                link.set(Way::Open);
                Ok(())
            }
            Disaster::FailOver => {
                let database = self.database.as_ref().context("no database to fail over")?;
                database.lock().await.fail_over().await
            }
            Disaster::FillStore => fill(self.store_disk.as_ref(), lasts).await,
            Disaster::FillArchive => fill(self.archive_disk.as_ref(), lasts).await,
            Disaster::Receiver { receiver, does } => {
                let name = receiver_name(receiver);
                self.emulator.receivers().set_fault(name, receiver_fault(does));
                sleep(lasts).await;
                self.emulator.receivers().clear_fault(name);
                Ok(())
            }
            Disaster::Microsoft(outage) => {
                self.emulator.add_fault(microsoft_fault(outage).during(0, lasts.as_secs()))?;
                sleep(lasts).await;
                Ok(())
            }
            Disaster::WithdrawConsent { tenant } => {
                let mut fault = Fault::new(Area::Token, FaultKind::RevokeTenant { code: None });
                fault.tenant = Some(self.tenants[tenant].id.clone());
                self.emulator.add_fault(fault.during(0, lasts.as_secs()))?;
                sleep(lasts).await;
                Ok(())
            }
            Disaster::RotateMasterKey => self.command_at_last(&["key", "rotate"]).await,
            Disaster::RotateSecret => self.rotate_secret(lasts).await,
            Disaster::Onboard { tenant } => {
                self.import(tenant..tenant + 1).await?;
                self.onboarded.lock().expect("no panic while it is held").insert(tenant);
                Ok(())
            }
            Disaster::Offboard { tenant } => {
                self.command_at_last(&["tenant", "offboard", &self.tenants[tenant].id, "--yes"]).await?;
                self.offboarded.lock().expect("no panic while it is held").insert(tenant);
                Ok(())
            }
        }
    }

    async fn upgrade(&self) -> anyhow::Result<()> {
        let program = {
            let mut upgrades = self.upgrades.lock().expect("no panic while it is held");
            *upgrades += 1;
            self.programs[*upgrades % 2].clone()
        };
        for node in &self.nodes {
            let mut node = node.lock().await;
            let stopped = node.stop().await;
            node.muster = program.clone();
            node.start()?;
            drop(node);
            stopped?;
            // It is at work before the next one leaves.
            sleep(Duration::from_secs(4)).await;
        }
        Ok(())
    }

    /// A new secret is registered and put to use before the old ones go.
    async fn rotate_secret(&self, lasts: Duration) -> anyhow::Result<()> {
        let number = {
            let mut secrets = self.secrets.lock().expect("no panic while it is held");
            *secrets += 1;
            *secrets
        };
        let secret = format!("chaos-secret-number-{number}-with-some-length");
        let add = || DirectoryChange::AddSecret { app: None, secret: secret.clone(), expires: None };
        self.emulator.change(add())?;
        for number in 0..self.nodes.len() {
            put(&self.folder.join(format!("node-{}/main.secret", number + 1)), &secret)?;
        }
        sleep(lasts).await;
        self.emulator.change(DirectoryChange::RemoveSecrets { app: None })?;
        Ok(self.emulator.change(add())?)
    }

    async fn import(&self, places: std::ops::Range<usize>) -> anyhow::Result<()> {
        let csv = self.folder.join(format!("tenants-from-{}.csv", places.start));
        let mut text = String::from("tenant,name\n");
        for tenant in &self.tenants[places] {
            text.push_str(&format!("{},\"{}\"\n", tenant.id, tenant.name.replace('"', "\"\"")));
        }
        std::fs::write(&csv, text)?;
        self.command_at_last(&["tenant", "import", path(&csv)?]).await
    }

    /// Gives a command again until it is done; each of them may be given twice.
    async fn command_at_last(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let until = Instant::now() + COMMAND_PATIENCE;
        loop {
            match self.command(arguments).await {
                Ok(()) => return Ok(()),
                Err(_) if Instant::now() < until => sleep(Duration::from_secs(1)).await,
                Err(error) => {
                    let fault = format!(
                        "`muster {}` failed for {COMMAND_PATIENCE:?}: {error:#}",
                        arguments.join(" ")
                    );
                    self.faults.lock().expect("no panic while it is held").push(fault);
                    return Err(error);
                }
            }
        }
    }

    async fn command(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let settings = self.folder.join("node-1/muster.toml");
        let upgrades = *self.upgrades.lock().expect("no panic while it is held");
        let mut command = self.programs[upgrades % 2].command()?;
        self.run(command.arg("--config").arg(settings).args(arguments)).await
    }

    async fn run(&self, command: &mut tokio::process::Command) -> anyhow::Result<()> {
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(COMMAND_WITHIN, output).await;
        let output = output.with_context(|| format!("not within {COMMAND_WITHIN:?}: {command:?}"))??;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{:?}: {}", command.as_std(), said.trim());
        }
        Ok(())
    }

    /// Ends all that is wrong, in case that something of it was not ended.
    pub(crate) async fn calm(&self) -> anyhow::Result<()> {
        self.emulator.clear_faults();
        for link in &self.links {
            link.set(Way::Open);
        }
        for disk in [&self.store_disk, &self.archive_disk].into_iter().flatten() {
            disk.make_room().await?;
        }
        for node in &self.nodes {
            let node = node.lock().await;
            node.put_clock(0)?;
            node.signal(Signal::CONT)?;
        }
        // One that does not start is tried again for as long as is waited.
        self.look_after_nodes();
        Ok(())
    }

    /// What was produced for tenants that were onboarded.
    pub(crate) fn produced(&self) -> Vec<Produced> {
        let onboarded = self.onboarded.lock().expect("no panic while it is held");
        let ours: BTreeSet<&str> = onboarded.iter().map(|&place| self.tenants[place].id.as_str()).collect();
        let mut produced = self.emulator.produced();
        produced.retain(|version| ours.contains(version.tenant.as_str()));
        produced
    }

    /// How much is missing of tenants that were not offboarded.
    pub(crate) fn owed(&self, tally: &ReceiverTally) -> u64 {
        let offboarded = self.offboarded.lock().expect("no panic while it is held");
        let given_up: BTreeSet<&str> =
            offboarded.iter().map(|&place| self.tenants[place].id.as_str()).collect();
        let ours = tally.tenants.iter().filter(|(tenant, _)| !given_up.contains(tenant.as_str()));
        ours.map(|(_, counted)| counted.lost).sum()
    }

    /// What the two receivers that count for themselves have seen.
    pub(crate) fn received(&self, produced: &[Produced]) -> Vec<Seen> {
        let tallies = self.emulator.receivers().tally(produced);
        let of = |sink: Sink, receiver: Receiver| {
            let name = receiver_name(receiver);
            let tally = tallies.iter().find(|tally| tally.receiver == name.to_string()).cloned();
            let copies = self.emulator.receivers().doubles(name);
            let since = |at: Instant| at.saturating_duration_since(self.began);
            let copies = copies.into_iter().map(|double| Copy {
                first: since(double.first),
                again: since(double.again),
                tenant: double.tenant,
            });
            Seen { sink, tally: tally.unwrap_or_default(), copies: copies.collect(), again: None }
        };
        vec![of(Sink::Splunk, Receiver::Splunk), of(Sink::Syslog, Receiver::Syslog)]
    }

    /// What all sinks have: the file and the folder of objects are read.
    pub(crate) fn seen(&self, produced: &[Produced]) -> anyhow::Result<Vec<Seen>> {
        let mut seen = self.received(produced);
        let archive = match tally_file(&self.archive(), produced) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tally_lines::<&[u8]>("file", [], produced)?
            }
            tally => tally?,
        };
        let mut in_archive = ByContent::default();
        if self.archive().is_file() {
            in_archive.read(BufReader::new(File::open(self.archive())?))?;
        }
        let mut objects = Vec::new();
        files_below(&self.objects(), &mut objects)?;
        let unpacked = |object: &PathBuf| -> io::Result<_> {
            Ok(BufReader::new(zstd::stream::read::Decoder::new(File::open(object)?)?))
        };
        let mut in_objects = ByContent::default();
        for object in &objects {
            in_objects.read(unpacked(object)?)?;
        }
        let objects = tally_lines("object_store", objects.iter().map(unpacked), produced)?;
        for (sink, tally, contents) in
            [(Sink::File, archive, in_archive), (Sink::ObjectStore, objects, in_objects)]
        {
            seen.push(Seen { sink, tally, copies: Vec::new(), again: Some(contents.again()) });
        }
        Ok(seen)
    }

    /// Puts an object there a second time, as a sink that breaks its promise would.
    pub(crate) fn double_an_object(&self) -> anyhow::Result<()> {
        let mut objects = Vec::new();
        files_below(&self.objects(), &mut objects)?;
        let object = objects.first().context("there is no object")?;
        std::fs::copy(object, object.with_file_name("again.ndjson.zst"))?;
        Ok(())
    }

    /// Ends what is left of it, whatever it is at.
    pub(crate) async fn end(&self) -> anyhow::Result<()> {
        for node in &self.nodes {
            // Stopped processes are killed as well; who holds it is gone.
            if let Ok(mut node) = node.try_lock() {
                node.kill().await?;
            }
        }
        if let Some(database) = &self.database {
            database.lock().await.stop().await?;
        }
        Ok(())
    }

    /// Stops the nodes as an operator would; how often they ended by themselves, and all that no disaster excuses.
    pub(crate) async fn stop_nodes(&self) -> (u32, Vec<String>) {
        let mut ended_by_themselves = 0;
        let mut faults = self.faults.lock().expect("no panic while it is held").clone();
        for node in &self.nodes {
            let mut node = node.lock().await;
            // Nothing is wrong any more, so that each way not to stop well is a fault.
            if let Err(error) = node.stop().await {
                let fault = format!("{error:#}");
                if !node.faults.contains(&fault) {
                    node.faults.push(fault);
                }
            }
            ended_by_themselves += node.ended_by_itself;
            faults.extend(node.faults.iter().cloned());
        }
        (ended_by_themselves, faults)
    }
}

async fn fill(disk: Option<&Disk>, lasts: Duration) -> anyhow::Result<()> {
    let disk = disk.context("there is no disk that can be filled")?;
    disk.fill().await?;
    sleep(lasts).await;
    disk.make_room().await
}

fn receiver_name(receiver: Receiver) -> ReceiverName {
    match receiver {
        Receiver::Splunk => ReceiverName::Hec,
        Receiver::Syslog => ReceiverName::SyslogTls,
    }
}

fn receiver_fault(does: Misbehaviour) -> ReceiverFault {
    match does {
        Misbehaviour::Down => ReceiverFault::Down,
        Misbehaviour::Stalls => ReceiverFault::Stall,
        Misbehaviour::Cuts => ReceiverFault::CutAfterBytes(30_000),
        Misbehaviour::Busy => ReceiverFault::Status { status: 503, retry_after_seconds: Some(1) },
        Misbehaviour::Slow => ReceiverFault::Slow { milliseconds: 1_500 },
        Misbehaviour::LosesAcknowledgements => ReceiverFault::NeverAcknowledge,
    }
}

fn microsoft_fault(outage: Outage) -> Fault {
    let one_in = |many: u32, kind: FaultKind| Fault { one_in: Some(many), ..Fault::new(Area::Graph, kind) };
    match outage {
        Outage::Throttled => Fault::new(Area::Graph, FaultKind::Throttle { retry_after_seconds: 3 }),
        Outage::ServerErrors => one_in(2, FaultKind::Status { status: 503 }),
        Outage::Resets => one_in(2, FaultKind::Reset),
        Outage::HalfAnswers => one_in(3, FaultKind::Truncate),
        Outage::Slow => Fault::new(Area::Graph, FaultKind::Slow { milliseconds: 2_000 }),
        Outage::NoTokens => Fault::new(Area::Token, FaultKind::Status { status: 503 }),
    }
}

/// The finished objects below a folder.
fn files_below(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, found)?;
        } else if path.to_string_lossy().ends_with(".ndjson.zst") {
            found.push(path);
        }
    }
    Ok(())
}

/// Writes a file whole or not at all.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, path)
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("not UTF-8: {}", path.display()))
}
