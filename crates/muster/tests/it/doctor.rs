//! `muster doctor` finds what is wrong: a table of breakages, each with the cause that it must name and the cure.

use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use muster_emulator::{Area, Config, Fault, FaultKind};
use muster_store::OpenMode;
use rustix::process::Signal;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;

use crate::support::{Setup, config, eventually, signal};

/// What a collector answers that is well.
const WELL: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 36\r\n\r\n{\"text\":\"HEC is healthy\",\"code\":17}  ";

/// What a row must be told.
struct Wanted {
    part: &'static str,
    level: &'static str,
    found: &'static str,
    cure: &'static str,
    exit: i32,
}

const fn problem(part: &'static str, found: &'static str, cure: &'static str, exit: i32) -> Wanted {
    Wanted { part, level: "problem", found, cure, exit }
}

/// A folder of its own with settings, store and secrets that are right; the emulator is shared.
struct House(tempfile::TempDir);

impl House {
    fn new(setup: &Setup) -> Self {
        let house = Self(tempfile::tempdir().expect("a folder"));
        for name in ["muster.toml", "muster.db", "muster.key", "main.secret", "splunk.token", "ca.pem"] {
            std::fs::copy(setup.path().join(name), house.path(name)).expect("copied");
        }
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("written");
    }

    /// Replaces the line of the settings that begins so in a section.
    fn set(&self, section: &str, key: &str, value: &str) {
        let text = std::fs::read_to_string(self.path("muster.toml")).expect("the settings");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let head = format!("[{section}]");
        let at = match lines.iter().position(|line| *line == head) {
            Some(at) => at,
            None => {
                lines.push(head);
                lines.len() - 1
            }
        };
        let end = lines[at + 1..]
            .iter()
            .position(|line| line.starts_with('['))
            .map_or(lines.len(), |end| at + 1 + end);
        lines[at + 1..end].iter_mut().for_each(|line| {
            if line.starts_with(&format!("{key} =")) {
                line.clear();
            }
        });
        lines.insert(at + 1, format!("{key} = {value}"));
        self.write("muster.toml", lines.join("\n").as_bytes());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut muster = Command::new(env!("CARGO_BIN_EXE_muster"));
        muster.arg("--config").arg(self.path("muster.toml")).args(arguments).current_dir(self.0.path());
        muster
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .env_remove("NO_PROXY")
            .env_remove("no_proxy");
        muster.stdin(Stdio::null()).kill_on_drop(true);
        muster
    }

    async fn doctor(&self) -> Output {
        self.command(&["--output", "json", "doctor"]).output().await.expect("muster starts")
    }

    /// The same where the folder is on another disk, made by a script in which `$1` is the folder.
    async fn doctor_on(&self, script: &str) -> Output {
        let mut muster = Command::new("unshare");
        let script = format!("{script}; shift; exec \"$@\"");
        muster.args(["-rm", "sh", "-euc", &script, "sh"]).arg(self.0.path());
        muster.arg(env!("CARGO_BIN_EXE_muster")).arg("--config").arg(self.path("muster.toml"));
        muster.args(["--output", "json", "doctor"]).env_remove("HTTPS_PROXY").env_remove("https_proxy");
        muster.output().await.expect("unshare starts")
    }
}

/// Listens, and treats each connection so.
async fn listen<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    let _served = tokio::spawn(async move {
        // Each is served beside the others: some are never answered.
        let mut served = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            served.spawn(serve(stream));
        }
    });
    address
}

async fn answer(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, answer: &str) {
    let mut heard = [0; 4096];
    // Who has asked for nothing has gone.
    if stream.read(&mut heard).await.unwrap_or(0) == 0 {
        return;
    }
    stream.write_all(answer.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

async fn plain(said: &'static str) -> SocketAddr {
    listen(move |stream| answer(stream, said)).await
}

/// A collector that speaks TLS with a certificate for this name, valid in these years; and its CA.
async fn tls(name: &str, years: (i32, i32)) -> (SocketAddr, String) {
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
    parameters.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let pem = certificate.pem();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, WELL).await;
            }
        }
    })
    .await;
    (address, pem)
}

/// One thing that is broken, what was found, and what must be.
struct Case {
    broken: &'static str,
    output: Output,
    wanted: Wanted,
}

impl Case {
    fn findings(&self) -> Vec<Value> {
        let text = String::from_utf8_lossy(&self.output.stdout);
        let all: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{}: {error}: {text}{}", self.broken, String::from_utf8_lossy(&self.output.stderr))
        });
        all["findings"].as_array().expect("a list").clone()
    }

    /// The finding that names the cause and the cure, or what is wrong.
    fn judged(&self) -> Result<Value, String> {
        let findings = self.findings();
        let of = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let Wanted { part, level, found, cure, exit } = self.wanted;
        let is_it = |finding: &&Value| {
            of(finding, "part") == part
                && of(finding, "level") == level
                && of(finding, "found").contains(found)
                && of(finding, "cure").contains(cure)
        };
        let all = || serde_json::to_string_pretty(&findings).expect("JSON");
        if self.output.status.code() != Some(exit) {
            return Err(format!(
                "{}: exit code {:?}, not {exit}: {}",
                self.broken,
                self.output.status.code(),
                all()
            ));
        }
        findings.iter().find(is_it).cloned().ok_or_else(|| {
            format!("{}: no {level} of {part} says `{found}` and `{cure}`: {}", self.broken, all())
        })
    }
}

/// Breakages that need nothing but a folder of their own.
async fn apart(setup: &Setup, broken: &'static str) -> Option<(Output, Wanted)> {
    let house = House::new(setup);
    let url = |scheme: &str, address: SocketAddr| format!("\"{scheme}://{address}\"");
    let splunk = |url: &str| house.set("sinks.splunk", "url", url);
    let trust = |pem: &str| {
        house.write("splunk-ca.pem", pem.as_bytes());
        house.set("sinks.splunk", "ca_file", "\"splunk-ca.pem\"");
    };
    let edit_sink = "edit [sinks.splunk] in ";
    let wanted = match broken {
        "TLS to a plain port" => {
            splunk(&url("https", plain(WELL).await));
            problem("sink", "its port does not speak TLS", edit_sink, 1)
        }
        "plain to a TLS port" => {
            splunk(&url("http", tls("127.0.0.1", (2020, 2120)).await.0));
            problem("sink", "its port speaks TLS", edit_sink, 1)
        }
        "a certificate that has expired" => {
            let (address, pem) = tls("127.0.0.1", (2001, 2002)).await;
            splunk(&url("https", address));
            trust(&pem);
            problem("host", "its certificate has expired", "renew the host's certificate", 1)
        }
        "a certificate of an unknown CA" => {
            splunk(&url("https", tls("127.0.0.1", (2020, 2120)).await.0));
            problem("host", "from a CA that is not trusted", "name the CA that issued it in `ca_file`", 1)
        }
        "a certificate for another name" => {
            let (address, pem) = tls("other.example", (2020, 2120)).await;
            splunk(&url("https", address));
            trust(&pem);
            problem("host", "its certificate is for another name", "a name that the certificate has", 1)
        }
        "a name that DNS does not know" => {
            splunk("\"https://splunk.invalid:8088\"");
            problem("host", "its name is not known to DNS", "`getent hosts NAME` ([sinks.splunk])", 1)
        }
        "nobody listens" => {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = free.local_addr().expect("an address");
            drop(free);
            splunk(&url("http", address));
            problem("sink", "it refuses the connection", edit_sink, 1)
        }
        "a receiver that says nothing" => {
            let address = listen(|mut stream: TcpStream| async move {
                // Until the caller gives up.
                stream.read_to_end(&mut Vec::new()).await.ok();
            })
            .await;
            splunk(&url("http", address));
            house.set("sinks.splunk", "timeout", "\"1s\"");
            problem("sink", "no answer within 1s", "`muster sink test splunk`", 1)
        }
        "a wrong token of a sink" => {
            house.write("splunk.token", b"00000000-0000-0000-0000-000000000000");
            problem("sink", "token", "`muster sink test splunk`", 8)
        }
        "a proxy that is down" => {
            house.set("network", "proxy", "\"http://127.0.0.1:1\"");
            house.set("sinks.splunk", "url", "\"http://splunk.invalid:8088\"");
            problem("host", "the proxy 127.0.0.1:1 cannot be reached", "check `proxy` in [network]", 1)
        }
        "a proxy that wants a password" => {
            let proxy = plain("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            house.set("network", "proxy", &url("http", proxy));
            problem("host", "wants a user and password", "http://USER:PASSWORD@HOST:PORT", 1)
        }
        "a clock that is wrong" => {
            let cloud = plain("HTTP/1.1 200 OK\r\ndate: Sat, 01 Jan 2022 00:00:00 GMT\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
            house.set("cloud", "login", &url("http", cloud));
            problem("clock", "ahead of its clock", "timedatectl", 1)
        }
        "a wrong secret of the app" => {
            house.write("main.secret", b"not-the-secret");
            problem("tenant", "wrong_secret: ", "muster app", 7)
        }
        "another master key" => {
            let other = tempfile::tempdir().expect("a folder");
            let made = setup.muster(&["init", other.path().join("x").to_str().expect("UTF-8")]).await;
            assert!(made.status.success(), "{made:?}");
            std::fs::copy(other.path().join("x/muster.key"), house.path("muster.key")).expect("copied");
            problem("key", "is sealed with the master key named", "put the key's copy back", 3)
        }
        "no master key" => {
            std::fs::remove_file(house.path("muster.key")).expect("removed");
            problem("key", "cannot use the master key file", "put the copy back", 3)
        }
        "a master key that others read" => {
            let mode = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(house.path("muster.key"), mode).expect("changed");
            problem("key", "can be read by others", "`chmod 600 /", 3)
        }
        "no store" => {
            std::fs::remove_file(house.path("muster.db")).expect("removed");
            problem("store", "there is no store at ", "`muster init`", 4)
        }
        "a store of a later version" => {
            let file = std::fs::File::options().write(true).open(house.path("muster.db")).expect("a file");
            file.write_all_at(&[0, 0, 3, 0], 60).expect("written");
            problem("store", "by a later version of Muster", "install the version of Muster that wrote it", 4)
        }
        "a damaged store" => {
            house.write("muster.db", &[b'x'; 20_000]);
            problem("store", "is damaged or is not a Muster database", "`muster restore FILE`", 4)
        }
        "settings that are no TOML" => {
            let text = std::fs::read_to_string(house.path("muster.toml")).expect("the settings");
            house.write("muster.toml", format!("{text}\n[store\n").as_bytes());
            problem("settings", "this is no TOML", "edit ", 3)
        }
        "no settings" => {
            std::fs::remove_file(house.path("muster.toml")).expect("removed");
            problem("settings", "there is no such file", "`--config`", 3)
        }
        "an address in use" => {
            let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            house.set("server", "listen", &format!("\"{}\"", taken.local_addr().expect("an address")));
            let output = house.doctor().await;
            drop(taken);
            return Some((output, problem("settings", "is in use", "`ss -ltnp` shows who listens there", 3)));
        }
        "a store that is locked" => {
            use rustix::fs::FlockOperation::NonBlockingLockExclusive;
            let file = std::fs::File::options()
                .read(true)
                .write(true)
                .open(house.path("muster.db"))
                .expect("a file");
            rustix::fs::fcntl_lock(&file, NonBlockingLockExclusive).expect("locked");
            let output = house.doctor().await;
            return Some((output, problem("store", "is locked by another process", "`fuser -v FILE`", 4)));
        }
        "a disk that is full" | "a disk that is read-only" if !has_mounts().await => return None,
        "a disk that is full" => {
            // The folder's files move to a small disk, which something else fills.
            let script = "mount -t tmpfs none /mnt; cp -a \"$1/.\" /mnt; mount -t tmpfs -o size=8m none \"$1\"; \
                          cp -a /mnt/. \"$1\"; dd if=/dev/zero of=\"$1/filler\" bs=4k 2>/dev/null || true";
            return Some((house.doctor_on(script).await, problem("disk", "full", "free space", 1)));
        }
        "a disk that is read-only" => {
            let script = "mount --bind \"$1\" \"$1\"; mount -o remount,ro,bind \"$1\"";
            return Some((
                house.doctor_on(script).await,
                problem("disk", "mounted read-only", "mount -o remount,rw", 1),
            ));
        }
        other => panic!("{other}"),
    };
    Some((house.doctor().await, wanted))
}

/// Whether disks can be made here: by root, or where users may have name spaces of their own.
async fn has_mounts() -> bool {
    let tried = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output().await;
    let can = tried.is_ok_and(|tried| tried.status.success());
    if !can {
        println!("skipped: no disk can be mounted here, so none is full or read-only");
    }
    can
}

const APART: [&str; 25] = [
    "TLS to a plain port",
    "plain to a TLS port",
    "a certificate that has expired",
    "a certificate of an unknown CA",
    "a certificate for another name",
    "a name that DNS does not know",
    "nobody listens",
    "a receiver that says nothing",
    "a wrong token of a sink",
    "a proxy that is down",
    "a proxy that wants a password",
    "a clock that is wrong",
    "a wrong secret of the app",
    "another master key",
    "no master key",
    "a master key that others read",
    "no store",
    "a store of a later version",
    "a damaged store",
    "settings that are no TOML",
    "no settings",
    "an address in use",
    "a store that is locked",
    "a disk that is full",
    "a disk that is read-only",
];

/// A breakage of the emulator's, which is all rows' own.
async fn with_fault(setup: &Setup, fault: Fault) -> Output {
    setup.emulator.clear_faults();
    setup.emulator.add_fault(fault).expect("a fault");
    let output = House::new(setup).doctor().await;
    setup.emulator.clear_faults();
    output
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_breakage_is_named_with_its_cure() {
    let setup = Setup::start(Config { alerts: Some(20), ..config() }, "").await;
    let well = House::new(&setup).doctor().await;
    let well = Case { broken: "nothing", output: well, wanted: problem("", "", "", 0) };
    let troubled: Vec<Value> =
        well.findings().into_iter().filter(|finding| finding["level"] == "problem").collect();
    assert!(troubled.is_empty() && well.output.status.success(), "{troubled:#?}");

    let rows = stream::iter(APART).map(|broken| {
        let setup = &setup;
        async move { (broken, apart(setup, broken).await) }
    });
    let rows: Vec<_> = rows.buffered(3).collect().await;
    let mut cases: Vec<Case> = rows
        .into_iter()
        .filter_map(|(broken, row)| row.map(|(output, wanted)| Case { broken, output, wanted }))
        .collect();

    let role = FaultKind::RemoveRole { role: "SecurityIncident.Read.All".to_owned() };
    let revoked = FaultKind::RevokeTenant { code: None };
    for (broken, kind, found, cure) in [
        ("a permission that is missing", role, "missing_role: ", "muster app check main"),
        ("no consent", revoked, "AADSTS700016", "consent"),
    ] {
        let output = with_fault(&setup, Fault::new(Area::Token, kind)).await;
        cases.push(Case { broken, output, wanted: problem("tenant", found, cure, 7) });
    }

    // Nobody has run yet; one that runs; one that was killed; one that holds the store and says nothing.
    let never =
        Wanted { level: "warning", ..problem("run", "it never ran on this store", "`muster run`", 0) };
    cases.push(Case {
        broken: "`run` was not started",
        output: House::new(&setup).doctor().await,
        wanted: never,
    });
    let hung = House::new(&setup);
    let mut run = setup.run();
    let house = || async { setup.muster(&["--output", "json", "doctor"]).await };
    eventually("it runs", async || {
        let output = house().await;
        String::from_utf8_lossy(&output.stdout).contains("\"running for ")
    })
    .await;
    signal(&run, Signal::KILL);
    run.wait().await.expect("it ends");
    let died = problem("run", "it died, last sign of life", "the lock went with the process", 1);
    cases.push(Case { broken: "`run` was killed", output: house().await, wanted: died });
    let settings = muster::config::Settings::read(&hung.path("muster.toml")).expect("settings");
    let store = muster::wiring::open_store(&settings, OpenMode::Exclusive)
        .await
        .map_err(|failed| failed.error)
        .expect("a store");
    let silent = problem("run", "NOTHING IS HEARD", "`muster run`", 1);
    cases.push(Case { broken: "`run` hangs", output: hung.doctor().await, wanted: silent });
    store.close().await;

    let mut wrong = Vec::new();
    println!("{:<32} {:<9} cause → cure", "broken", "part");
    for case in &cases {
        let text = String::from_utf8_lossy(&case.output.stdout).into_owned();
        assert!(
            !text.contains(setup.emulator.secret()) && !text.contains(setup.emulator.hec_token()),
            "{text}"
        );
        match case.judged() {
            Ok(finding) => {
                let of = |key: &str| {
                    finding[key].as_str().unwrap_or_default().chars().take(70).collect::<String>()
                };
                println!("{:<32} {:<9} {} → {}", case.broken, of("part"), of("found"), of("cure"));
            }
            Err(why) => wrong.push(why),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 20, "{}", cases.len());
}

/// What is broken in one place keeps nothing else from being looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_goes_on_where_a_part_fails() {
    let setup = Setup::start(Config { tenants: 2, alerts: Some(5), ..config() }, "").await;
    let house = House::new(&setup);
    let text = std::fs::read_to_string(house.path("muster.toml")).expect("the settings");
    house.write("muster.toml", format!("{text}\n[collect\n").as_bytes());
    let case = Case {
        broken: "no TOML",
        output: house.doctor().await,
        wanted: problem("settings", "no TOML", "", 3),
    };
    case.judged().expect("the cause");
    let ok: Vec<String> = case
        .findings()
        .iter()
        .filter(|finding| finding["level"] == "ok")
        .map(|finding| finding["part"].as_str().unwrap_or_default().to_owned())
        .collect();
    for part in ["key", "store", "disk", "host", "clock", "tenant", "sink"] {
        assert!(ok.iter().any(|found| found == part), "{part}: {ok:?}");
    }
    // For people, and of one tenant.
    let id = setup.emulator.tenants()[0].id.to_string();
    let asked = setup.muster(&["--output", "json", "doctor", "--tenant", &id]).await;
    assert!(asked.status.success(), "{asked:?}");
    let asked = Case { broken: "one tenant", output: asked, wanted: problem("", "", "", 0) };
    let tenants = asked.findings().iter().filter(|finding| finding["part"] == "tenant").count();
    assert_eq!(tenants, 1, "{:#?}", asked.findings());
    let table = setup.muster(&["doctor"]).await;
    let said = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(said.contains("0 problem(s)") && said.contains("ok      store"), "{said}");
}
