//! A PostgreSQL of the program's own: a primary, a standby that must have what the primary confirms, and a pgbouncer before
//! them where there is one. The machine's running server is left alone.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::link::Link;

/// How long a server may take to do anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many ports are tried for a server: others take them, too.
const PORTS: u32 = 5;

/// The servers, and the door that leads to the one which can be written.
pub(crate) struct Database {
    programs: PathBuf,
    primary: Server,
    standby: Option<Server>,
    door: Link,
    pooler: Option<Pooler>,
}

/// One server, with its data in a folder of its own.
struct Server {
    // First, since it goes on writing into its folder until it has ended.
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

/// A pgbouncer before the door.
struct Pooler {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Database {
    /// Makes and starts all of it.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let programs = programs()?;
        let folder = owned_folder().await?;
        let data = folder.path().join("data");
        let mut initdb = as_nobody(&programs.join("initdb"));
        initdb.args(["-U", "admin", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
        run(initdb.arg(&data)).await?;
        let primary = Server::start(&programs, folder).await?;
        primary.sql(&programs, "CREATE USER muster").await?;
        primary.sql(&programs, "CREATE DATABASE muster OWNER muster").await?;
        let door = Link::to(primary.port).await?;
        let pooler = Pooler::before(door.port).await?;
        let mut database = Self { programs, primary, standby: None, door, pooler };
        database.follow().await?;
        Ok(database)
    }

    /// The port that nodes are told.
    pub(crate) fn port(&self) -> u16 {
        self.pooler.as_ref().map_or(self.door.port, |pooler| pooler.port)
    }

    pub(crate) fn has_pooler(&self) -> bool {
        self.pooler.is_some()
    }

    /// Makes a standby, without which nothing is confirmed from then on.
    async fn follow(&mut self) -> anyhow::Result<()> {
        let folder = owned_folder().await?;
        let mut copy = as_nobody(&self.programs.join("pg_basebackup"));
        copy.args(["-h", "127.0.0.1", "-U", "admin", "-R", "-c", "fast", "--no-sync", "-p"]);
        copy.arg(self.primary.port.to_string()).arg("-D").arg(folder.path().join("data"));
        run(&mut copy).await?;
        let standby = Server::start(&self.programs, folder).await?;
        self.primary.sql(&self.programs, "ALTER SYSTEM SET synchronous_standby_names = '*'").await?;
        self.primary.sql(&self.programs, "SELECT pg_reload_conf()").await?;
        self.standby = Some(standby);
        Ok(())
    }

    /// Kills the primary, promotes the standby, and makes another standby.
    pub(crate) async fn fail_over(&mut self) -> anyhow::Result<()> {
        let standby = self.standby.take().context("there is no standby")?;
        let mut lost = std::mem::replace(&mut self.primary, standby);
        lost.process.kill().await?;
        // Its own settings were copied from the one that it followed.
        let promoted = [
            "SELECT pg_promote()",
            "ALTER SYSTEM RESET synchronous_standby_names",
            "SELECT pg_reload_conf()",
        ];
        for sql in promoted {
            self.primary.sql(&self.programs, sql).await?;
        }
        self.door.turn_to(self.primary.port);
        self.follow().await
    }

    /// Ends all of it, and waits.
    pub(crate) async fn stop(&mut self) -> std::io::Result<()> {
        let servers = [Some(&mut self.primary), self.standby.as_mut()].into_iter().flatten();
        let processes = servers.map(|server| &mut server.process);
        for process in processes.chain(self.pooler.as_mut().map(|pooler| &mut pooler.process)) {
            process.kill().await?;
        }
        Ok(())
    }
}

impl Server {
    async fn start(programs: &Path, folder: tempfile::TempDir) -> anyhow::Result<Self> {
        for _ in 0..PORTS {
            let port = free_port()?;
            if let Some(process) = Self::at(programs, folder.path(), port).await? {
                return Ok(Self { process, port, folder });
            }
        }
        bail!("PostgreSQL ends at each start; its data is in {}", folder.keep().display())
    }

    /// A server that answers at this port; none where it ended, as it does if the port is another's by now.
    async fn at(programs: &Path, folder: &Path, port: u16) -> anyhow::Result<Option<Child>> {
        let mut command = as_nobody(&programs.join("postgres"));
        command.arg("-D").arg(folder.join("data"));
        command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        command.args(["-c", "max_connections=200", "-k"]).arg(folder);
        let mut process = command.kill_on_drop(true).spawn()?;
        let until = Instant::now() + PATIENCE;
        loop {
            let mut asked = Command::new(programs.join("pg_isready"));
            // By the socket in its own folder: at the port somebody else may answer.
            asked.arg("-h").arg(folder).args(["-p", &port.to_string()]).stdout(Stdio::null());
            if asked.status().await?.success() {
                return Ok(Some(process));
            }
            if process.try_wait()?.is_some() {
                return Ok(None);
            }
            if Instant::now() > until {
                bail!("PostgreSQL does not answer within {PATIENCE:?}; its data is in {}", folder.display());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn sql(&self, programs: &Path, sql: &str) -> anyhow::Result<()> {
        let mut command = Command::new(programs.join("psql"));
        command.args(["-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "admin", "-p"]);
        command.arg(self.port.to_string()).args(["-d", "postgres", "-c", sql]).stdin(Stdio::null());
        run(&mut command).await.with_context(|| format!("the server in {}", self.folder.path().display()))
    }
}

impl Pooler {
    /// One in transaction mode before this port, with fewer connections than the nodes have; none where it is not installed.
    async fn before(port: u16) -> anyhow::Result<Option<Self>> {
        let program = Path::new("/usr/sbin/pgbouncer");
        if !program.is_file() {
            return Ok(None);
        }
        let folder = owned_folder().await?;
        for _ in 0..PORTS {
            let own = free_port()?;
            if let Some(process) = Self::at(program, folder.path(), own, port).await? {
                return Ok(Some(Self { process, port: own, _folder: folder }));
            }
        }
        bail!("pgbouncer ends at each start")
    }

    /// One that listens at its own port; none where it ended, as it does if the port is another's by now.
    async fn at(program: &Path, folder: &Path, own: u16, port: u16) -> anyhow::Result<Option<Child>> {
        let settings = folder.join("pgbouncer.ini");
        let text = format!(
            "[databases]\nmuster = host=127.0.0.1 port={port} dbname=muster user=muster\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {own}\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = 6\nmax_client_conn = 200\nunix_socket_dir =\n"
        );
        std::fs::write(&settings, text)?;
        let mut command = as_nobody(program);
        let mut process = command.arg(&settings).kill_on_drop(true).spawn()?;
        let until = Instant::now() + PATIENCE;
        loop {
            let answers = tokio::net::TcpStream::connect(("127.0.0.1", own)).await.is_ok();
            // After it was asked, and a moment later: it may be somebody else who answered.
            tokio::time::sleep(Duration::from_millis(250)).await;
            if process.try_wait()?.is_some() {
                return Ok(None);
            }
            if answers {
                return Ok(Some(process));
            }
            if Instant::now() > until {
                bail!("pgbouncer does not listen within {PATIENCE:?}");
            }
        }
    }
}

/// The folder of the newest PostgreSQL that is installed.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").is_file());
    folders.sort();
    folders
        .pop()
        .context("PostgreSQL is not installed below /usr/lib/postgresql; .ci/install-peers installs it")
}

/// A command as a user that PostgreSQL runs as, never root; it ends with the thread that starts it, which is a worker's.
fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig=INT", "--"]).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A folder that the server's user may write.
async fn owned_folder() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg("postgres").arg(folder.path())).await?;
    }
    Ok(folder)
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let done = tokio::time::timeout(PATIENCE, command.stderr(Stdio::piped()).kill_on_drop(true).output());
    let output = done.await.map_err(|_| anyhow::anyhow!("it takes more than {PATIENCE:?}: {command:?}"))?;
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// A port of the loopback that nobody listens at just now.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
