//! Every command of `docs/emulator.md`, run as it is printed.
//!
//! What a command shows stands behind `# ` in its line, parts of it between commas. Ports are replaced by free ones.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const DOCUMENT: &str = include_str!("../../../../docs/emulator.md");

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The indented lines of the document, each block as one; a line that ends in a backslash goes on.
fn blocks() -> Vec<Vec<String>> {
    let mut blocks: Vec<Vec<String>> = vec![Vec::new()];
    let mut goes_on = false;
    for line in DOCUMENT.lines() {
        match line.strip_prefix("    ") {
            Some(line) => {
                let block = blocks.last_mut().unwrap();
                match block.last_mut().filter(|_| goes_on) {
                    Some(last) => *last = format!("{last} {}", line.trim().trim_end_matches('\\')),
                    None => block.push(line.trim_end_matches('\\').to_owned()),
                }
                goes_on = line.ends_with('\\');
            }
            None if !line.is_empty() => blocks.push(Vec::new()),
            None => {}
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts an emulator as a line of the document does.
fn start(folder: &Path, line: &str) -> Running {
    let arguments = line.rsplit_once(" run ").unwrap().1.trim_end_matches(['&', ' ']);
    let arguments = arguments.replace("--hec off --syslog off", "");
    let mut child = Command::new(env!("CARGO_BIN_EXE_muster-emulator"))
        .arg("run")
        .args(arguments.split_ascii_whitespace())
        .args(["--hec", "127.0.0.1:0", "--syslog", "off"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.starts_with('{'), "{line}: {ready}");
    Running(child)
}

#[test]
fn every_command_of_the_document_works_as_printed() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, tls] = [free_port(), free_port()];
    let ported = |line: &str| {
        line.replace("127.0.0.1:9800", &format!("127.0.0.1:{plain}"))
            .replace("127.0.0.1:9843", &format!("127.0.0.1:{tls}"))
    };
    let program = Path::new(env!("CARGO_BIN_EXE_muster-emulator")).display().to_string();
    let (mut emulators, mut variables, mut run, mut elsewhere) = (Vec::new(), String::new(), 0, Vec::new());
    for block in blocks() {
        if block[0].starts_with('[') {
            continue; // Settings of Muster.
        }
        if block.iter().any(|line| line.starts_with("muster ")) {
            elsewhere.extend(block);
            continue;
        }
        for printed in &block {
            let line = ported(printed);
            let (command, shown) = line.split_once("   # ").unwrap_or((&line, ""));
            let command = command.trim();
            if command.starts_with("cargo run ") || command.contains("muster-emulator run ") {
                emulators.push(start(folder.path(), command));
                continue;
            }
            if command.split_once('=').is_some_and(|parts| parts.0.len() == 1) {
                variables.push_str(&format!("{command}\n"));
                continue;
            }
            let command = match command {
                address if address.starts_with("http") => format!("curl -sf '{address}'"),
                tool if tool.starts_with("muster-emulator ") => {
                    format!(
                        "'{program}'{} --url http://127.0.0.1:{plain}",
                        tool.trim_start_matches("muster-emulator")
                    )
                }
                other => other.to_owned(),
            };
            assert!(
                command.starts_with("curl ") || command.starts_with('\''),
                "nobody knows how to run {command:?}"
            );
            let script = format!("{variables}{command}");
            let output =
                Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            for part in shown.split(", ").filter(|part| !part.is_empty()) {
                let found = text.to_lowercase().contains(&part.to_lowercase());
                let start: String = text.chars().take(1500).collect();
                assert!(found, "{printed}\ndoes not show {part:?}, but\n{start}");
            }
            assert!(!shown.is_empty() || output.status.success(), "{printed}: {text}");
            assert!(!text.starts_with("{\"error\":\""), "{printed}: {text}");
            run += 1;
        }
    }
    println!("{run} commands run; they are tested with Muster: {elsewhere:#?}");
    assert!(run > 100 && elsewhere.len() <= 4, "{run} {elsewhere:#?}");
}

#[test]
fn the_document_names_every_kind_of_fault() {
    let kinds = include_str!("../../src/faults/kind.rs");
    let table = kinds.lines().filter_map(|line| line.strip_prefix("//! | `"));
    for row in table {
        let names = row.split(" | ").next().unwrap();
        for name in
            names.split(['`', ',', ' ']).filter(|name| !name.is_empty() && *name != "(at" && *name != "once)")
        {
            assert!(
                DOCUMENT.contains(&format!("\"{name}\"")),
                "docs/emulator.md has no command for {name:?}"
            );
        }
    }
}
