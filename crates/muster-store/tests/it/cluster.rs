//! A PostgreSQL server of the tests' own, which nobody here wrote: made, started, killed, and gone with them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use muster_store::{PostgresAddress, PostgresSettings};
use uuid::Uuid;

#[expect(
    clippy::disallowed_methods,
    reason = "what must be there, and where, is the machine's affair, not the settings'"
)]
fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// One server: its data in a folder of its own.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    server: Option<Server>,
}

/// A server that runs. Linux ends it with the thread that has started it, so that is one that waits.
struct Server {
    child: u32,
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// The folder of the programs: what `MUSTER_POSTGRES` names, or else the newest that is installed. None where they are not,
/// which the test says, or which fails it.
fn programs() -> Option<PathBuf> {
    if let Some(named) = environment("MUSTER_POSTGRES") {
        return Some(PathBuf::from(named));
    }
    let found = installed("initdb");
    if found.is_none() {
        let missing = "PostgreSQL is not installed; .ci/install-peers installs it";
        assert!(environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{missing}");
        println!("skipped: {missing}");
    }
    found
}

/// The folder of the newest version that is installed with this program.
fn installed(program: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| folder.join(program).is_file());
    folders.sort();
    folders.pop()
}

/// A client's program: of the servers' version where it comes with it, otherwise of the one that is installed.
fn client(program: &str) -> PathBuf {
    let own = programs().expect("they were there").join(program);
    if own.is_file() {
        own
    } else {
        installed(program).expect("PostgreSQL's clients are installed").join(program)
    }
}

/// A command as a user that PostgreSQL runs as: never as root.
fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    // Interrupted, it ends its sessions and then itself.
    command.args(["--pdeathsig=INT", "--"]).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Whether a program's help names this option.
fn knows(program: &Path, option: &str) -> bool {
    let help = Command::new(program).arg("--help").output().expect("it starts");
    String::from_utf8_lossy(&help.stdout).contains(option)
}

fn run(command: &mut Command) {
    let output = command.stderr(Stdio::piped()).output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Cluster {
    /// One that the tests which run at the same time have in common, each with schemas of its own; it ends with the last of
    /// them. Nothing is synced: only processes are killed, never the machine.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return Some(cluster);
        }
        let cluster = Arc::new(Self::start(&["fsync=off", "max_connections=200"])?);
        *shared = Arc::downgrade(&cluster);
        Some(cluster)
    }

    /// A server that listens at a port of its own on this machine, with a database `muster` of a user `muster`, who is not a
    /// superuser. Where crashes of the server itself are not of interest, nothing is synced.
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir().expect("a folder");
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let data = folder.path().join("data");
        let mut initdb = as_nobody(&programs.join("initdb"));
        initdb.args(["-U", "admin", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C", "-D"]).arg(&data);
        // Not bytewise, so that what depends on the order of texts shows; version 14 cannot.
        if knows(&programs.join("initdb"), "--locale-provider") {
            initdb.args(["--icu-locale=en", "--locale-provider=icu"]);
        }
        run(&mut initdb);
        let mut cluster = Self { folder, port: free_port(), server: None };
        cluster.run_server(settings);
        cluster.sql("postgres", "CREATE USER muster");
        cluster.sql("postgres", "CREATE DATABASE muster OWNER muster");
        Some(cluster)
    }

    /// Another server, which follows this one and can only be read.
    pub(crate) fn standby(&self) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let standby = Self { folder, port: free_port(), server: None };
        standby.own(standby.folder.path());
        let data = standby.folder.path().join("data");
        let copier = programs().expect("they were there").join("pg_basebackup");
        if copier.is_file() {
            run(as_nobody(&copier)
                .args(["-h", "127.0.0.1", "-U", "admin", "-R", "-c", "fast", "--no-sync", "-p"])
                .arg(self.port.to_string())
                .arg("-D")
                .arg(data));
        } else {
            self.copy_by_hand(&data);
        }
        let mut standby = standby;
        standby.run_server(&["fsync=off"]);
        standby
    }

    /// What `pg_basebackup` does, which refuses servers that are newer than itself.
    fn copy_by_hand(&self, to: &Path) {
        let (from, label) = (self.folder.path().join("data"), to.join("backup_label"));
        let (from, to, label) = (from.display(), to.display(), label.display());
        let has = |function: &str| {
            format!("SELECT EXISTS (SELECT 1 FROM pg_proc WHERE proname = '{function}') AS is_new \\gset\n")
        };
        let script = format!(
            "{}\\if :is_new\nSELECT pg_backup_start('copy', true);\n\\else\nSELECT pg_start_backup('copy', true, false);\n\\endif\n\
             \\! cp -a {from} {to}\n\\o {label}\n\
             \\if :is_new\nSELECT labelfile FROM pg_backup_stop();\n\\else\nSELECT labelfile FROM pg_stop_backup(false);\n\\endif\n\
             \\o\n\\! rm -f {to}/postmaster.pid\n\\! touch {to}/standby.signal\n\
             \\! echo \"primary_conninfo = 'host=127.0.0.1 port={} user=admin'\" >> {to}/postgresql.auto.conf\n\
             \\! chown --reference={to}/PG_VERSION {to}/standby.signal {label}\n",
            has("pg_backup_start"),
            self.port
        );
        let file = self.folder.path().join("copy.sql");
        std::fs::write(&file, script).expect("written");
        let mut psql = Command::new(client("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "admin", "-p"]);
        run(psql.arg(self.port.to_string()).args(["-d", "postgres", "-f"]).arg(file).stdout(Stdio::null()));
    }

    /// Has a folder belong to the server's user.
    pub(crate) fn own(&self, folder: &Path) {
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg("postgres").arg(folder));
        }
    }

    /// Starts the server, and waits until it answers.
    pub(crate) fn run_server(&mut self, settings: &[&str]) {
        let programs = programs().expect("they were there");
        let (stop, stopped) = sync_channel(1);
        let (starting, started) = sync_channel(1);
        let mut command = as_nobody(&programs.join("postgres"));
        command.arg("-D").arg(self.folder.path().join("data"));
        command.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.arg("-k").arg(self.folder.path());
        for setting in settings {
            command.args(["-c", setting]);
        }
        let thread = std::thread::spawn(move || {
            let mut child: Child = command.spawn().expect("it starts");
            starting.send(child.id()).expect("it is waited for");
            // Told to stop, or forgotten with all else.
            stopped.recv().unwrap_or_default();
            drop(child.wait());
        });
        let child = started.recv().expect("it started");
        self.server = Some(Server { child, stop, thread });
        let ready = client("pg_isready");
        for _ in 0..600 {
            let asked = Command::new(&ready)
                .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
                .stdout(Stdio::null())
                .status();
            if asked.is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not answer");
    }

    /// Ends the server with this signal, and waits for it.
    pub(crate) fn end_server(&mut self, signal: rustix::process::Signal) {
        let Some(server) = self.server.take() else { return };
        let pid = rustix::process::Pid::from_raw(server.child.cast_signed()).expect("a process");
        rustix::process::kill_process(pid, signal).expect("it is there");
        drop(server.stop);
        server.thread.join().expect("it ended");
    }

    /// Where it keeps everything.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs SQL as the superuser.
    pub(crate) fn sql(&self, database: &str, sql: &str) {
        run(&mut self.psql(database, sql));
    }

    /// What runs it.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Command {
        let mut command = Command::new(client("psql"));
        command
            .args(["-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "admin", "-p"])
            .arg(self.port.to_string())
            .args(["-d", database, "-c", sql])
            .stdout(Stdio::null());
        command
    }

    /// How a store in a new schema of it is reached.
    pub(crate) fn new_store(&self) -> PostgresSettings {
        let url = format!("postgres://muster@127.0.0.1:{}/muster", self.port);
        settings(&url, &format!("s{}", Uuid::new_v4().simple()))
    }
}

/// How the store in this schema is reached.
pub(crate) fn settings(url: &str, schema: &str) -> PostgresSettings {
    PostgresSettings {
        url: url.to_owned(),
        password: None,
        ssl_mode: None,
        ca: None,
        client_certificate: None,
        schema: schema.to_owned(),
        connections: 4,
        statement_timeout: Duration::from_secs(30),
        partition: Duration::from_secs(86_400),
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end_server(rustix::process::Signal::INT);
    }
}

/// The address that settings name.
pub(crate) fn address(settings: &PostgresSettings) -> PostgresAddress {
    PostgresAddress::new(settings).expect("an address")
}

/// A port that nobody listens at, below those that connections are given.
fn free_port() -> u16 {
    // Each server of this process looks from elsewhere on: the port is taken only once the server listens.
    static SERVERS: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(std::process::id() % 7_000).expect("a port");
    let mut port = first + 100 * SERVERS.fetch_add(1, Ordering::Relaxed);
    while std::net::TcpListener::bind(("127.0.0.1", port)).is_err() {
        port += 1;
    }
    port
}
