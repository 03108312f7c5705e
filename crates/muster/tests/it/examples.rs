//! The shell examples of the documents are run as they are printed, against one emulator and one store.
//!
//! The last line before each block of code is a comment that says what becomes of it, as in `README.md`:
//!
//!     <!-- run -->                    each command succeeds
//!     <!-- run: exits N -->           the last one ends with this code
//!     <!-- shown only: REASON -->     nothing runs
//!
//! A block without one fails. Blocks with `toml` behind their fence are settings, which `docs.rs` reads. Lines that begin
//! with `$ ` are commands, and what follows is what they print: words in capitals, which head a table, must be in it.
//! Where no line begins so, each line is a command. `README.md` is run by `.ci/readme`, `docs/emulator.md` by a test of
//! the emulator.

use muster_emulator::{Config, loopback};

use crate::docs::documents;
use crate::support::{Bench, Setup, config};

#[derive(Debug)]
struct Block {
    place: String,
    mark: Option<String>,
    language: String,
    lines: Vec<String>,
}

/// Every block of code of a document, fenced or indented by four columns.
fn blocks(path: &str, text: &str) -> Vec<Block> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut found, mut before, mut at, mut after_blank) = (Vec::new(), "", 0, true);
    while at < lines.len() {
        let (line, start) = (lines[at], at);
        let mut block = Vec::new();
        let mut language = String::new();
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            fence.clone_into(&mut language);
            at += 1;
            while at < lines.len() && !lines[at].trim_start().starts_with("```") {
                block.push(lines[at].trim_start().to_owned());
                at += 1;
            }
            at += 1;
        } else if after_blank && line.starts_with("    ") && !line.trim().is_empty() {
            while at < lines.len() && (lines[at].starts_with("    ") || lines[at].trim().is_empty()) {
                block.push(lines[at].get(4..).unwrap_or_default().to_owned());
                at += 1;
            }
        } else {
            after_blank = line.trim().is_empty();
            before = if after_blank { before } else { line };
            at += 1;
            continue;
        }
        let mark = before.trim().strip_prefix("<!-- ").and_then(|mark| mark.strip_suffix(" -->"));
        found.push(Block {
            place: format!("{path}:{}", start + 1),
            mark: mark.map(str::to_owned),
            language,
            lines: block,
        });
        (before, after_blank) = ("", true);
    }
    found
}

/// The commands of a block, each with what it is said to print.
fn commands(block: &Block) -> Vec<(String, Vec<String>)> {
    let prompted = block.lines.iter().any(|line| line.starts_with("$ "));
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in block.lines.iter().filter(|line| !line.trim().is_empty()) {
        match (line.strip_prefix("$ "), prompted) {
            (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
            (None, false) => commands.push((line.clone(), Vec::new())),
            (None, true) => commands.last_mut().expect("a command comes first").1.push(line.clone()),
        }
    }
    commands
}

/// A row of words in capitals heads a table.
fn heads(line: &str) -> Vec<&str> {
    let is_head =
        !line.trim().is_empty() && line.chars().all(|letter| letter.is_ascii_uppercase() || letter == ' ');
    if is_head { line.split_whitespace().collect() } else { Vec::new() }
}

#[test]
fn every_block_says_what_becomes_of_it() {
    let mut mistakes = Vec::new();
    for (path, text) in documents() {
        if ["README.md", "docs/emulator.md"].contains(&path.as_str()) {
            continue;
        }
        for block in blocks(&path, &text) {
            let fits = match block.mark.as_deref() {
                Some("run") => true,
                Some(mark) => {
                    mark.strip_prefix("shown only: ").is_some_and(|reason| !reason.trim().is_empty())
                        || mark.strip_prefix("run: exits ").is_some_and(|code| code.parse::<u8>().is_ok())
                }
                None => block.language == "toml",
            };
            if !fits {
                mistakes.push(format!(
                    "{}: no comment says whether this runs: {:?}",
                    block.place,
                    block.lines.first()
                ));
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    let unmarked =
        blocks("a", "Words.\n\n    muster status\n\n<!-- run -->\n\n    muster status\n\n```sh\nls\n```\n");
    assert_eq!(
        unmarked.iter().map(|block| block.mark.as_deref()).collect::<Vec<_>>(),
        [None, Some("run"), None]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_work_as_printed() {
    let extra = "[onboarding]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://127.0.0.1\"\n\
                 provider_name = \"Northwind\"\ncontact = \"soc@northwind.example\"\n";
    let setup = Setup::start(Config { tenants: 2, alerts: Some(10), ..config() }, extra).await;
    let tenants = setup.emulator.tenants();
    let known = setup.muster(&["--output", "json", "tenant", "show", &tenants[0].id]).await;
    let known: serde_json::Value = serde_json::from_slice(&known.stdout).expect("JSON");
    let slug = known["slug"].as_str().expect("a slug").to_owned();
    let domain = tenants[0].domain.clone();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_muster")).parent().expect("a folder");
    #[expect(clippy::disallowed_methods, reason = "a test asks how it is run")]
    let known_folders = std::env::var_os("PATH").expect("a path");
    let search = std::env::join_paths(
        std::iter::once(program.to_owned()).chain(std::env::split_paths(&known_folders)),
    )
    .expect("a path");
    // What examples find in their folder: a token that says little, and a list with a bad line.
    std::fs::write(setup.path().join("token.txt"), "eyJhbGciOiJub25lIn0.eyJhdWQiOiJhIn0.").expect("written");
    let (mut run, mut mistakes) = (0, Vec::new());
    for (path, text) in documents().into_iter().filter(|(path, _)| path != "README.md") {
        for block in blocks(&path, &text) {
            let mark = block.mark.as_deref().filter(|mark| mark.starts_with("run")).unwrap_or_default();
            let code = match mark.strip_prefix("run: exits ") {
                Some(code) => code.parse().expect("a code"),
                None if mark == "run" => 0,
                None => continue,
            };
            let commands = commands(&block);
            for (index, (command, printed)) in commands.iter().enumerate() {
                let wanted = if index + 1 == commands.len() { code } else { 0 };
                let ours = command
                    .replace("contoso.example", &domain)
                    .replace("contoso", &slug)
                    .replace(" TENANT", &format!(" {slug}"));
                let output = tokio::process::Command::new("sh")
                    .args(["-c", &ours])
                    .env("PATH", &search)
                    .env("COLUMNS", "300")
                    .current_dir(setup.path())
                    .stdin(std::process::Stdio::null())
                    .output()
                    .await
                    .expect("a shell");
                run += 1;
                let text = String::from_utf8_lossy(&output.stdout);
                if output.status.code() != Some(wanted) {
                    let error = String::from_utf8_lossy(&output.stderr);
                    mistakes
                        .push(format!("{}: {command}: {:?}\n{text}\n{error}", block.place, output.status));
                }
                for head in printed.iter().flat_map(|line| heads(line)) {
                    if !text.contains(head) {
                        mistakes.push(format!("{}: {command} prints no {head}:\n{text}", block.place));
                    }
                }
            }
        }
    }
    assert!(run >= 8, "only {run} were run");
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n\n"));
}

/// What `muster-emulator tally` goes by: receivers that the settings lead nothing to are no place of loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faultless_run_loses_nothing_by_the_emulator_s_tally() {
    let everything = Config {
        tenants: 1,
        alerts: Some(20),
        syslog_udp: Some(loopback()),
        syslog_tcp: Some(loopback()),
        ..config()
    };
    let setup = Setup::start(everything, "").await;
    let bench = Bench::new(&setup).await;
    let before = setup.emulator.tally();
    assert!(before.lost > 0 && before.receivers.iter().all(|receiver| !receiver.used), "{before:?}");
    bench.rounds(4).await;
    let after = setup.emulator.tally();
    assert_eq!((after.lost, after.doubled), (0, 0), "{after:?}");
    let used = |name: &str| after.receivers.iter().any(|receiver| receiver.receiver == name && receiver.used);
    assert!(used("hec") && used("syslog_tls") && !used("syslog_udp") && !used("syslog_tcp"), "{after:?}");
}
