//! What is wrong with settings, and what `muster validate` says of it: a table. Each row is held against `muster run`, too:
//! what keeps it from starting, `validate` has told in the same words; what `validate` lets pass, it starts with.

use rustix::process::Signal;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use futures_util::StreamExt;
use tokio::process::Command;

use self::Disk::{AnotherKey, Copied, Edited, Folder, Looped, Mode, Piped, Removed, Shortened, Written};
use self::Then::{NoStart, Starts, StartsWithout};
use crate::support::signal;

/// What nobody may read anywhere.
const CANARY: &str = "hunter2-Xk93vQ";

/// The settings that every row changes.
const BASE: &str = r#"[store]
path = "muster.db"

[apps.main]
client_id = "11111111-2222-3333-4444-555555555555"
secret = { file = "main.secret" }

[sinks.archive]
type = "file"
path = "archive.ndjson"

[[routes]]
sinks = ["archive"]
"#;

/// What the table needs beside: more lines of settings begin at this one.
const MORE: usize = 15;

/// What `muster run` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    NoStart,
    StartsWithout,
    Starts,
}

/// What is done to the folder.
enum Disk {
    Removed(&'static str),
    Written(&'static str, &'static [u8]),
    Mode(&'static str, u32),
    /// A folder in place of a file.
    Folder(&'static str),
    Piped(&'static str),
    Looped(&'static str),
    /// Bytes written over, from a place on.
    Edited(&'static str, u64, &'static [u8]),
    /// Half of it is gone.
    Shortened(&'static str),
    /// The settings once more under another name.
    Copied(&'static str),
    AnotherKey,
}

struct Row {
    wrong: &'static str,
    /// What is replaced in the settings by what; an empty text is replaced at their end.
    settings: (&'static str, &'static str),
    disk: &'static [Disk],
    says: &'static str,
    then: Then,
}

const fn row(
    wrong: &'static str,
    settings: (&'static str, &'static str),
    disk: &'static [Disk],
    then: Then,
    says: &'static str,
) -> Row {
    Row { wrong, settings, disk, says, then }
}

const SAME: (&str, &str) = ("", "");

/// The table.
#[rustfmt::skip]
fn table() -> Vec<Row> {
    vec![
        // Text that is no settings.
        row("no TOML", ("path = \"muster.db\"", "path = "), &[], NoStart, "muster.toml:2: this is no TOML"),
        row("a text without quotes", ("{ file = \"main.secret\" }", "hunter2-Xk93vQ"), &[], NoStart, "muster.toml:6: this is no TOML"),
        row("a quote that is not closed", ("\"archive.ndjson\"", "\"hunter2-Xk93vQ"), &[], NoStart, "muster.toml:10: this is no TOML"),
        row("a key twice", ("type = \"file\"", "path = \"hunter2-Xk93vQ\""), &[], NoStart, "this is no TOML: duplicate key"),
        row("a byte that is no UTF-8", SAME, &[Written("muster.toml", b"[store]\npath = \"caf\xe9\"\n")], NoStart, "muster.toml:2: a byte stands here that is no UTF-8"),
        row("a NUL byte", SAME, &[Written("muster.toml", b"[store]\n\0")], NoStart, "muster.toml:2: a NUL byte"),
        row("UTF-16", SAME, &[Written("muster.toml", b"\xff\xfe[\0s\0")], NoStart, "muster.toml: it is written in UTF-16"),
        row("no file of settings", SAME, &[Removed("muster.toml")], NoStart, "muster.toml: there is no such file; `muster init` makes one"),
        row("a pipe of settings", SAME, &[Piped("muster.toml")], NoStart, "muster.toml: it is a pipe, not a file"),
        row("a link to itself", SAME, &[Looped("muster.toml")], NoStart, "muster.toml: it is a link that leads back to itself"),
        row("a folder without settings", SAME, &[Folder("muster.toml")], NoStart, "muster.toml: the folder holds no *.toml file"),
        row("a folder with everything twice", SAME, &[Copied("b.toml")], NoStart, "[sinks.archive] it stands in ./b.toml:8 already: keep one of them"),
        // Sections and keys.
        row("an unknown section", ("", "[storage]\n"), &[], NoStart, "`storage` is not a section (did you mean `store`?)"),
        row("a key of another section", ("path = \"muster.db\"", "pth = \"muster.db\""), &[], NoStart, "muster.toml:2: [store] unknown key `pth` (did you mean `path`?)"),
        row("a section as a value", ("[[routes]]\nsinks", "[routes]\nsinks"), &[], NoStart, "muster.toml:12: [routes] write it as [[routes]]"),
        row("a name with a blank", ("[sinks.archive]", "[sinks.\"my archive\"]"), &[], NoStart, "a name is made of letters"),
        row("a number for a text", ("\"archive.ndjson\"", "7"), &[], NoStart, "muster.toml:10: [sinks.archive] path: it must be a text in quotes, and this is a number"),
        row("no duration", ("", "[collect]\npoll_interval = \"5 parsecs\"\n"), &[], NoStart, "muster.toml:16: [collect] poll_interval: `5 parsecs` is not a duration"),
        row("no size", ("path = \"archive.ndjson\"", "path = \"a\"\nrotate_size = \"1TB\""), &[], NoStart, "[sinks.archive] rotate_size: `1TB` is not a size"),
        row("no pause", ("", "[collect]\npoll_interval = \"0s\"\n"), &[], NoStart, "[collect] poll_interval: that is no pause"),
        row("no concurrency", ("", "[collect]\nconcurrency = 0\n"), &[], NoStart, "[collect] concurrency: with 0 nothing is ever read"),
        row("no time for a call", ("", "[network]\nidle_timeout = \"0s\"\n"), &[], NoStart, "[network] idle_timeout: no call can be that quick"),
        // Secrets in the settings.
        row("a secret of an app in the open", ("{ file = \"main.secret\" }", "\"hunter2-Xk93vQ\""), &[], NoStart, "muster.toml:6: [apps.main] secret: a secret is never written here"),
        row("a token in the open", ("", "[sinks.splunk]\ntype = \"splunk_hec\"\nurl = \"https://127.0.0.1:1\"\ntoken = \"hunter2-Xk93vQ\"\n"), &[], NoStart, "muster.toml:18: [sinks.splunk] token: a secret is never written here"),
        row("a list for a secret", ("{ file = \"main.secret\" }", "[\"hunter2-Xk93vQ\"]"), &[], NoStart, "[apps.main] secret: it must be the place of a secret"),
        row("a secret in two places", ("{ file = \"main.secret\" }", "{ file = \"hunter2-Xk93vQ\", env = \"X\" }"), &[], NoStart, "muster.toml:6: [apps.main] secret: it names several places"),
        row("a secret in no place", ("{ file = \"main.secret\" }", "{}"), &[], NoStart, "[apps.main] secret: it names no place"),
        row("a place misspelled", ("{ file = \"main.secret\" }", "{ fil = \"hunter2-Xk93vQ\" }"), &[], NoStart, "unknown key `fil` (did you mean `file`?)"),
        row("a secret for an id", ("\"11111111-2222-3333-4444-555555555555\"", "\"hunter2-Xk93vQ\""), &[], NoStart, "muster.toml:5: [apps.main] client_id: it must be an id such as"),
        row("a secret for a word", ("type = \"file\"", "type = \"file\"\nformat = \"hunter2-Xk93vQ-hunter2-Xk93vQ\""), &[], NoStart, "[sinks.archive] format: `…` is not a word for this: use `raw`"),
        row("a password in an address", ("", "[onboarding]\npublic_url = \"https://me:hunter2-Xk93vQ@muster.example\"\nprovider_name = \"N\"\ncontact = \"c\"\n"), &[], NoStart, "muster.toml:16: [onboarding] public_url: this cannot be the public address: a user or password"),
        row("a password in a cloud's address", ("", "[cloud]\nname = \"custom\"\nlogin = \"https://me:hunter2-Xk93vQ@login.example\"\ngraph = \"https://graph.example\"\n"), &[], NoStart, "a user or password does not belong in it"),
        // Apps.
        row("no app", ("[apps.main]\nclient_id = \"11111111-2222-3333-4444-555555555555\"\nsecret = { file = \"main.secret\" }\n", ""), &[], NoStart, "muster.toml: there is no app, so no tenant can be read"),
        row("an app without an id", ("client_id = \"11111111-2222-3333-4444-555555555555\"\n", ""), &[], NoStart, "muster.toml:4: [apps.main] client_id: `client_id` is missing"),
        row("an app with two credentials", ("[sinks.archive]", "managed_identity = true\n[sinks.archive]"), &[], NoStart, "muster.toml:6: [apps.main] secret: an app proves itself in one way, but this names secret and managed_identity"),
        row("a key without its certificate", ("[sinks.archive]", "certificate_key = { env = \"K\" }\n[sinks.archive]"), &[], NoStart, "[apps.main] certificate_key: `certificate_key` goes with `certificate`"),
        row("a public client that reads by itself", ("secret = { file = \"main.secret\" }", "public = true"), &[], NoStart, "muster.toml:6: [apps.main] public: a public client cannot read by itself"),
        row("a permission without its API", ("[sinks.archive]", "permissions = [\"hunter2-Xk93vQ\"]\n[sinks.archive]"), &[], NoStart, "[apps.main] permissions: write it as API/NAME"),
        row("a permission there is none of", ("[sinks.archive]", "permissions = [\"WindowsDefenderATP/Machine.Isolat\"]\n[sinks.archive]"), &[], NoStart, "(did you mean `Machine.Isolate`?)"),
        row("a permission of people's only", ("[sinks.archive]", "permissions = [\"Microsoft Graph/User.Read\"]\n[sinks.archive]"), &[], NoStart, "[apps.main] permissions: `Microsoft Graph/User.Read` does not exist as an application permission"),
        row("an endpoint there is none of", ("[sinks.archive]", "endpoint = \"v3\"\n[sinks.archive]"), &[], NoStart, "[apps.main] endpoint: `v3` is not an endpoint (did you mean `v2`?)"),
        row("an app's secret is not there", SAME, &[Removed("main.secret")], StartsWithout, "muster.toml:6: [apps.main] secret: the secret's file ./main.secret cannot be read"),
        row("an app's secret is empty", SAME, &[Written("main.secret", b"\n")], StartsWithout, "[apps.main] secret: the secret in main.secret is empty"),
        row("an app's secret has a mark", SAME, &[Written("main.secret", b"\xef\xbb\xbfhunter2-Xk93vQ")], StartsWithout, "[apps.main] secret: the secret in main.secret begins with a byte-order mark"),
        row("an app's secret is UTF-16", SAME, &[Written("main.secret", b"\xff\xfeh\0u\0")], StartsWithout, "[apps.main] secret: the secret in main.secret is UTF-16"),
        row("an app's secret is a pipe", SAME, &[Piped("main.secret")], StartsWithout, "[apps.main] secret: the secret's file ./main.secret cannot be read: it is a pipe"),
        row("an app's variable is not set", ("{ file = \"main.secret\" }", "{ env = \"MUSTER_NOT_SET\" }"), &[], StartsWithout, "[apps.main] secret: the environment variable MUSTER_NOT_SET is not set"),
        row("an app's program fails", ("{ file = \"main.secret\" }", "{ command = [\"false\", \"hunter2-Xk93vQ\"] }"), &[], StartsWithout, "[apps.main] secret: the secret's command `false` failed"),
        row("an app's certificate is none", ("secret = { file = \"main.secret\" }", "certificate = { file = \"main.secret\" }"), &[], StartsWithout, "muster.toml:6: [apps.main] certificate: the certificate in main.secret cannot be used"),
        row("a federated token is not there", ("secret = { file = \"main.secret\" }", "federated_token = { file = \"no.token\" }"), &[], StartsWithout, "[apps.main] federated_token: the token's file ./no.token cannot be read"),
        // Who opens the vault.
        row("nobody opens the vault", ("{ file = \"main.secret\" }", "{ key_vault = \"https://v.vault.azure.net/secrets/main\" }"), &[], NoStart, "but the settings do not say who opens it: add [key_vault]"),
        row("an unknown app opens the vault", ("", "[key_vault]\napp = \"mian\"\ntenant = \"11111111-2222-3333-4444-555555555555\"\n"), &[], NoStart, "muster.toml:16: [key_vault] app: there is no app `mian` (did you mean `main`?)"),
        // Sinks.
        row("no sink", ("[sinks.archive]\ntype = \"file\"\npath = \"archive.ndjson\"\n\n[[routes]]\nsinks = [\"archive\"]\n", ""), &[], StartsWithout, "muster.toml: there is no sink, so nothing that is collected goes anywhere"),
        row("a sink without a type", ("type = \"file\"\n", ""), &[], NoStart, "muster.toml:8: [sinks.archive] type: the type is missing"),
        row("a type there is none of", ("type = \"file\"", "type = \"splunk_hce\""), &[], NoStart, "muster.toml:9: [sinks.archive] type: `splunk_hce` is not a type of sink (did you mean `splunk_hec`?)"),
        row("a format there is none of", ("type = \"file\"", "type = \"file\"\nformat = \"ceff\""), &[], NoStart, "muster.toml:10: [sinks.archive] format: `ceff` is not a word for this (did you mean `cef`?)"),
        row("all keys of a sink missing", ("", "[sinks.splunk]\ntype = \"splunk_hec\"\n"), &[], NoStart, "[sinks.splunk] token: `token` is missing"),
        row("a transport there is none of", ("", "[sinks.q]\ntype = \"syslog\"\naddress = \"q.example:514\"\ntransport = \"tpc\"\n"), &[], NoStart, "muster.toml:18: [sinks.q] transport: `tpc` is not a transport (did you mean `tcp`?)"),
        row("an address without a port", ("", "[sinks.q]\ntype = \"syslog\"\naddress = \"q.example\"\ntransport = \"tcp\"\n"), &[], NoStart, "muster.toml:17: [sinks.q] address: `q.example` is not an address such as"),
        row("an address that is none", ("", "[sinks.splunk]\ntype = \"splunk_hec\"\nurl = \"ftp://me:hunter2-Xk93vQ@splunk\"\ntoken = { file = \"main.secret\" }\n"), &[], NoStart, "muster.toml:17: [sinks.splunk] url:"),
        row("a template that does not work", ("path = \"archive.ndjson\"", "path = \"a\"\nformat = \"cef\"\nmapping.set = { cs1 = \"{{ tenat.slug }}\" }"), &[], NoStart, "muster.toml:12: [sinks.archive] mapping.set.cs1: the template of `cs1` does not work"),
        row("nothing to drop", ("path = \"archive.ndjson\"", "path = \"a\"\nbig_events = \"drop\""), &[], NoStart, "muster.toml:11: [sinks.archive] big_events: big_events = \"drop\" needs big_drop"),
        row("two sinks in one file", ("", "[sinks.second]\ntype = \"file\"\npath = \"./archive.ndjson\"\n"), &[], NoStart, "muster.toml:17: [sinks.second] path: sink `archive` writes the same file"),
        row("a file in no folder", ("\"archive.ndjson\"", "\"missing/archive.ndjson\""), &[], StartsWithout, "muster.toml:10: [sinks.archive] path: the folder ./missing does not exist; create it"),
        row("a folder for a file", SAME, &[Folder("archive.ndjson")], StartsWithout, "[sinks.archive] path: ./archive.ndjson is a folder; name a file in it"),
        row("a pipe for a file", SAME, &[Piped("archive.ndjson")], StartsWithout, "[sinks.archive] path: ./archive.ndjson is not a file"),
        row("a token that is not there", ("", "[sinks.splunk]\ntype = \"splunk_hec\"\nurl = \"https://127.0.0.1:1\"\ntoken = { file = \"no.token\" }\n"), &[], StartsWithout, "muster.toml:18: [sinks.splunk] token: the secret's file ./no.token cannot be read"),
        row("a token with a mark", ("", "[sinks.splunk]\ntype = \"splunk_hec\"\nurl = \"https://127.0.0.1:1\"\ntoken = { file = \"a.token\" }\n"), &[Written("a.token", b"\xef\xbb\xbfhunter2-Xk93vQ\r\n")], StartsWithout, "[sinks.splunk] token: the secret in a.token begins with a byte-order mark"),
        row("a CA file that is not there", ("", "[sinks.splunk]\ntype = \"splunk_hec\"\nurl = \"https://127.0.0.1:1\"\ntoken = { file = \"main.secret\" }\nca_file = \"no.pem\"\n"), &[], StartsWithout, "muster.toml:19: [sinks.splunk] ca_file: cannot read the CA file ./no.pem"),
        row("an empty CA file", ("", "[sinks.splunk]\ntype = \"splunk_hec\"\nurl = \"https://127.0.0.1:1\"\ntoken = { file = \"main.secret\" }\nca_file = \"ca.pem\"\n"), &[Written("ca.pem", b"")], StartsWithout, "[sinks.splunk] ca_file: the CA file ./ca.pem holds no certificate"),
        row("a CA file that is no PEM", ("", "[sinks.q]\ntype = \"syslog\"\naddress = \"127.0.0.1:1\"\ntransport = \"tls\"\nca_file = \"ca.pem\"\n"), &[Written("ca.pem", b"-----BEGIN CERTIFICATE-----\n!!\n")], StartsWithout, "[sinks.q] ca_file: cannot read the CA file ./ca.pem"),
        // Routes.
        row("no route", ("[[routes]]\nsinks = [\"archive\"]\n", ""), &[], StartsWithout, "muster.toml: there is no route, so nothing that is collected goes to a sink"),
        row("a route to nowhere", ("sinks = [\"archive\"]", "sinks = [\"archvie\"]"), &[], NoStart, "muster.toml:13: [routes #1] sinks: there is no sink `archvie` (did you mean `archive`?)"),
        row("a route to nowhere beside other mistakes", ("sinks = [\"archive\"]", "sinks = [\"nowhere\"]\nmin_severity = \"hihg\"\n[storage]"), &[], NoStart, "muster.toml:13: [routes #1] sinks: there is no sink `nowhere`"),
        row("a route without sinks", ("sinks = [\"archive\"]", "tenants = [\"*\"]"), &[], NoStart, "muster.toml:12: [routes #1] sinks: `sinks` is missing"),
        row("a source there is none of", ("sinks = [\"archive\"]", "sinks = [\"archive\"]\nsources = [\"graph_alrts\"]"), &[], NoStart, "muster.toml:14: [routes #1] sources: `graph_alrts` is not a source (did you mean `graph_alerts`?)"),
        row("a severity there is none of", ("sinks = [\"archive\"]", "sinks = [\"archive\"]\nmin_severity = \"hihg\""), &[], NoStart, "muster.toml:14: [routes #1] min_severity: `hihg` is not a severity"),
        // The way to Microsoft.
        row("a cloud there is none of", ("", "[cloud]\nname = \"gcchigh\"\n"), &[], NoStart, "muster.toml:16: [cloud] name: `gcchigh` is not a cloud (did you mean `gcc_high`?)"),
        row("a custom cloud without addresses", ("", "[cloud]\nname = \"custom\"\nlogin = \"https://l.example\"\n"), &[], NoStart, "[cloud] graph: `graph` is missing, and a custom cloud needs it"),
        row("a cloud's CA file that is not there", ("", "[cloud]\nca_file = \"no.pem\"\n"), &[], NoStart, "muster.toml:16: [cloud] ca_file: ./no.pem: the CA file cannot be read"),
        row("a cloud's CA file that is empty", ("", "[cloud]\nca_file = \"ca.pem\"\n"), &[Written("ca.pem", b"")], NoStart, "[cloud] ca_file: ./ca.pem: the CA file holds no PEM certificate"),
        row("a proxy that is none", ("", "[network]\nproxy = \"http://me:hunter2-Xk93vQ@[proxy\"\n"), &[], NoStart, "muster.toml:16: [network] proxy: the proxy's address is not a URL"),
        row("an address that is none to listen at", ("", "[server]\nlisten = \"localhost:9810\"\n"), &[], NoStart, "muster.toml:16: [server] listen: it must be an IP address and a port"),
        row("an address of another machine", ("", "[server]\nlisten = \"203.0.113.1:9810\"\n"), &[], NoStart, "muster.toml:16: [server] listen: 203.0.113.1:9810 is no address of this machine"),
        row("an address in use", ("", "[server]\nlisten = \"{in use}\"\n"), &[], NoStart, "is in use by another program: stop it, or change `listen`"),
        // Key and store.
        row("no master key", SAME, &[Removed("muster.key")], NoStart, "muster.toml:1: [store] master_key: cannot use the master key file ./muster.key"),
        row("a master key that is none", SAME, &[Written("muster.key", b"hunter2-Xk93vQ")], NoStart, "[store] master_key: muster.key: the master key is not 32 bytes in Base64"),
        row("a master key with a mark", SAME, &[Written("muster.key", b"\xef\xbb\xbfhunter2-Xk93vQ")], NoStart, "begins with a byte-order mark"),
        row("a master key that others read", SAME, &[Mode("muster.key", 0o644)], NoStart, "can be read by others (mode 0644): run `chmod 600 ./muster.key`"),
        row("a pipe for a master key", SAME, &[Piped("muster.key")], NoStart, "cannot use the master key file ./muster.key: it is no ordinary file"),
        row("another master key", SAME, &[AnotherKey], NoStart, "[store] master_key: the store ./muster.db is sealed with the master key named"),
        row("no store", SAME, &[Removed("muster.db")], NoStart, "muster.toml:2: [store] path: the store failed to open: there is no store at ./muster.db; `muster init` makes one"),
        row("a folder for a store", SAME, &[Folder("muster.db")], NoStart, "[store] path: the store failed to open: ./muster.db is a folder: name a file in it"),
        row("an empty store", SAME, &[Written("muster.db", b"")], NoStart, "is damaged or is not a Muster database (./muster.db): its file is empty"),
        row("a store that is no database", SAME, &[Written("muster.db", &[b'x'; 20_000])], NoStart, "[store] path: the store is damaged or is not a Muster database (./muster.db)"),
        row("half a store", SAME, &[Shortened("muster.db")], NoStart, "[store] path: the store is damaged or is not a Muster database"),
        row("another program's database", SAME, &[Edited("muster.db", 68, &[0, 0, 0, 0])], NoStart, "another program made this database"),
        row("a later version's store", SAME, &[Edited("muster.db", 60, &[0, 0, 3, 0])], NoStart, "the store was written by a later version of Muster"),
        // Nothing is wrong.
        row("nothing", SAME, &[], Starts, "muster.toml is valid: 1 app(s), 1 sink(s), 1 route(s)"),
    ]
}

/// A folder with settings that are right, and with whatever a row does to it.
struct House(tempfile::TempDir);

impl House {
    /// `made` is a folder in which everything is right.
    fn new(made: &Path, row: &Row, in_use: &str) -> Self {
        let house = Self(tempfile::tempdir().expect("a folder"));
        for name in ["muster.db", "muster.key"] {
            std::fs::copy(made.join(name), house.path(name)).expect("copied");
        }
        std::fs::write(house.path("main.secret"), CANARY).expect("written");
        let (from, to) = row.settings;
        let to = to.replace("{in use}", in_use);
        let text = match from {
            "" => format!("{BASE}\n{to}"),
            from => {
                assert!(BASE.contains(from), "{}: `{from}` is not in the settings", row.wrong);
                BASE.replacen(from, &to, 1)
            }
        };
        std::fs::write(house.path("muster.toml"), text).expect("written");
        for disk in row.disk {
            house.change(disk, made);
        }
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn change(&self, disk: &Disk, made: &Path) {
        let remove = |name: &str| drop(std::fs::remove_file(self.path(name)));
        match disk {
            Removed(name) => remove(name),
            Written(name, bytes) => std::fs::write(self.path(name), bytes).expect("written"),
            Mode(name, mode) => {
                let mode = std::fs::Permissions::from_mode(*mode);
                std::fs::set_permissions(self.path(name), mode).expect("changed");
            }
            Folder(name) => {
                remove(name);
                std::fs::create_dir(self.path(name)).expect("a folder");
            }
            Piped(name) => {
                remove(name);
                let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                rustix::fs::mkfifoat(rustix::fs::CWD, self.path(name), mode).expect("a pipe");
            }
            Looped(name) => {
                remove(name);
                std::os::unix::fs::symlink(self.path(name), self.path(name)).expect("a link");
            }
            Edited(name, at, bytes) => {
                use std::os::unix::fs::FileExt;
                let file = std::fs::File::options().write(true).open(self.path(name)).expect("a file");
                file.write_all_at(bytes, *at).expect("written");
            }
            Shortened(name) => {
                let file = std::fs::File::options().write(true).open(self.path(name)).expect("a file");
                file.set_len(file.metadata().expect("a length").len() / 2).expect("cut");
            }
            Copied(name) => drop(std::fs::copy(self.path("muster.toml"), self.path(name)).expect("copied")),
            AnotherKey => {
                let key = std::fs::read(made.join("other/muster.key")).expect("another key");
                std::fs::write(self.path("muster.key"), key).expect("written");
            }
        }
    }

    fn command(&self, row: &Row, command: &str) -> Command {
        let config = if matches!(row.disk, [Copied(_)]) { "." } else { "muster.toml" };
        let mut muster = Command::new(env!("CARGO_BIN_EXE_muster"));
        muster.args(["--config", config, command]).current_dir(self.0.path());
        muster.env_remove("HTTPS_PROXY").env_remove("https_proxy");
        muster.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        muster
    }

    /// Everything in the folder, with what it holds.
    fn listing(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = std::fs::read_dir(self.0.path()).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let bytes = |path: &Path| {
            let is_file = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
            if is_file { std::fs::read(path).expect("a file") } else { Vec::new() }
        };
        paths.map(|path| (path.clone(), bytes(&path))).collect()
    }

    /// What `muster run` says: until it ends, or, when it runs, is told to stop.
    async fn run(&self, row: &Row) -> (bool, String) {
        let mut muster = self.command(row, "run").spawn().expect("muster starts");
        let mut said = String::new();
        let mut started = false;
        let stderr = muster.stderr.take().expect("it was asked for");
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(stderr));
        while let Some(line) = lines.next_line().await.expect("text") {
            said.push_str(&line);
            said.push('\n');
            if line.contains("running") && !started {
                started = true;
                signal(&muster, Signal::TERM);
            }
        }
        let ended = muster.wait().await.expect("it ends");
        assert_eq!(ended.success(), started, "{}: {said}", row.wrong);
        (started, said)
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a row comes to: nothing, or what is not as it says.
async fn hold(row: &Row, made: &Path, in_use: &str) -> Result<(), String> {
    let house = House::new(made, row, in_use);
    let before = house.listing();
    let output = house.command(row, "validate").output().await.expect("muster starts");
    let validated = said(&output);
    let wrong = |what: &str, said: &str| Err(format!("{}: {what}:\n{said}", row.wrong));
    if house.listing() != before {
        return wrong("validate changed something on disk", &validated);
    }
    if !validated.contains(row.says) {
        return wrong(&format!("validate does not say `{}`", row.says), &validated);
    }
    let head = match row.then {
        NoStart => "`muster run` does not start:",
        StartsWithout => "`muster run` starts, but this does not work until it is mended:",
        Starts => "is valid",
    };
    let is_refused = validated.contains("`muster run` does not start:");
    if !validated.contains(head) || is_refused != (row.then == NoStart) {
        return wrong(&format!("validate puts it elsewhere than under `{head}`"), &validated);
    }
    let is_well = output.status.success();
    if is_well != (row.then == Starts) || (!is_well && !matches!(output.status.code(), Some(3 | 4))) {
        return wrong(&format!("validate ends with {}", output.status), &validated);
    }
    let (started, run) = house.run(row).await;
    if started == is_refused {
        return wrong("run and validate disagree", &format!("{validated}\nrun:\n{run}"));
    }
    if is_refused && !run.contains(row.says) {
        return wrong("run refuses in other words", &run);
    }
    match (validated + &run).contains(CANARY) {
        true => wrong("a secret was shown", CANARY),
        false => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validate_tells_what_keeps_run_from_starting_and_nothing_else_does() {
    let made = tempfile::tempdir().expect("a folder");
    for folder in ["", "other"] {
        let made = made.path().join(folder);
        let init = Command::new(env!("CARGO_BIN_EXE_muster")).arg("init").arg(&made).output().await;
        let init = init.expect("muster starts");
        assert!(init.status.success(), "{}", said(&init));
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    let in_use = taken.local_addr().expect("an address").to_string();
    let rows = table();
    assert!(rows.len() > 80 && BASE.lines().count() + 2 == MORE);
    let held = futures_util::stream::iter(&rows).map(|row| hold(row, made.path(), &in_use));
    let held: Vec<Result<(), String>> = held.buffer_unordered(3).collect().await;
    let wrong: Vec<String> = held.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n\n{}", wrong.len(), rows.len(), wrong.join("\n\n"));
}

/// A sink is renamed while records are owed to it, and the settings are named from another folder than they were for `run`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validate_tells_of_records_that_are_owed_to_a_sink_that_is_gone_and_knows_its_store_again() {
    use crate::support::{Bench, Setup, config, eventually};
    let setup = Setup::start(muster_emulator::Config { tenants: 1, alerts: Some(5), ..config() }, "").await;
    Bench::new(&setup).await.collect().await;
    let text = std::fs::read_to_string(setup.settings_path()).expect("settings");
    std::fs::write(
        setup.settings_path(),
        text.replace("archive]", "archives]").replace("\"archive\"", "\"archives\""),
    )
    .expect("written");
    let told = said(&setup.muster(&["validate"]).await);
    assert!(told.contains("records are owed to a sink `archive`") && told.contains("`archives`?"), "{told}");
    assert!(told.contains("is valid"), "a sink may be taken out: {told}");

    std::fs::write(setup.settings_path(), text).expect("written");
    let _running = setup.run();
    eventually("it runs", async || setup.muster(&["status", "--check"]).await.status.code() == Some(0)).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    let output = command.arg("validate").current_dir(setup.path()).stdin(Stdio::null()).output().await;
    let told = said(&output.expect("muster starts"));
    assert!(told.contains("is valid") && !told.contains("only read at a start"), "{told}");
}

/// Each type of sink has an example that `muster run` starts with, in a folder that `muster init` made: what is wrong then is in
/// the files of secrets and certificates that the example names, and no more.
#[tokio::test]
async fn every_sink_has_an_example_that_muster_starts_with() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let muster = || Command::new(env!("CARGO_BIN_EXE_muster"));
    for kind in muster_siem::sinks::SinkSettings::TYPES {
        let made = tempfile::tempdir().expect("a folder");
        let folder = made.path().join("muster");
        let init = muster().arg("init").arg(&folder).output().await.expect("it runs");
        assert!(init.status.success(), "{init:?}");
        let text = std::fs::read_to_string(examples.join(format!("{kind}.toml"))).expect("an example");
        assert!(text.contains(&format!("type = \"{kind}\"")), "{kind}");
        std::fs::write(folder.join("muster.toml"), &text).expect("written");
        for named in text.split("{ file = \"").skip(1) {
            let path = folder.join(named.split('"').next().expect("a name"));
            if !path.exists() {
                std::fs::write(&path, "a-secret-of-some-length").expect("written");
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its owner's");
            }
        }
        let validate = ["--output", "json", "validate"];
        let checked = muster().args(validate).current_dir(&folder).output().await.expect("it runs");
        let verdict: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("JSON");
        assert_eq!(verdict["starts"], true, "{kind}: {verdict:#}");
    }
}
