use std::io;
use std::sync::{Arc, Condvar, Mutex as StdMutex};

use muster_model::{Outcome, Span};
use serde_json::{Value, json};

use super::*;
use crate::sinks::Sink;
use crate::sinks::suite::{self, Behaviour, Harness};
use crate::sinks::testing::{body, check_page, delivery, delivery_batch, settings, tenant};

/// An output that a test can hold up, close and look at.
#[derive(Default)]
struct Pipe {
    now: StdMutex<Now>,
    changed: Condvar,
}

#[derive(Default)]
struct Now {
    written: Vec<u8>,
    /// How many calls of `write` there were.
    writes: usize,
    is_stalled: bool,
    is_closed: bool,
    /// After so many bytes of a write it is closed.
    cuts_after: Option<usize>,
}

struct End(Arc<Pipe>);

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut now = self.0.now.lock().expect("a lock");
        while now.is_stalled {
            now = self.0.changed.wait(now).expect("a lock");
        }
        now.writes += 1;
        if now.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let end = now.cuts_after.unwrap_or(bytes.len()).min(bytes.len());
        now.written.extend_from_slice(&bytes[..end]);
        now.is_closed |= now.cuts_after.is_some();
        Ok(end)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pipe {
    fn set(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.now.lock().expect("a lock"));
        self.changed.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8(self.now.lock().expect("a lock").written.clone()).expect("UTF-8")
    }
}

fn sink(name: &str, pipe: &Arc<Pipe>, is_terminal: bool, keys: Value) -> Sink {
    let (pipe, settings) = (Arc::clone(pipe), settings(keys));
    let open = move || Ok(Output { writer: Box::new(End(Arc::clone(&pipe))), is_terminal, has_lines: false });
    Sink::Stdout(Stdout::with(name, settings, Box::new(open)).expect("a sink"))
}

async fn deliver(sink: &Sink, bodies: &[&str]) -> Report {
    sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, bodies)])).await
}

#[tokio::test]
async fn a_batch_is_one_write_of_whole_lines() {
    let pipe = Arc::new(Pipe::default());
    let sink = sink("out", &pipe, false, json!({}));
    let report = deliver(&sink, &["{\"id\":\"a\",\r\n \"x\":1}", &body("b")]).await;
    assert_eq!(report, Report { outcomes: vec![Outcome::Delivered; 2], trouble: None });
    assert_eq!(pipe.text(), format!("{{\"id\":\"a\",   \"x\":1}}\n{}\n", body("b")));
    assert_eq!(pipe.now.lock().expect("a lock").writes, 1);
}

#[tokio::test]
async fn a_closed_pipe_is_told_and_everything_stays_owed() {
    let pipe = Arc::new(Pipe::default());
    let sink = sink("out", &pipe, false, json!({}));
    pipe.set(|now| now.cuts_after = Some(10));
    for _ in 0..2 {
        let report = deliver(&sink, &[&body("a")]).await;
        assert_eq!(report.outcomes, [Outcome::Retry]);
        let why = report.trouble.expect("it is said why").reason;
        assert!(why.starts_with("sink `out`: ") && why.contains("its pipe is closed"), "{why}");
    }
    // What it left torn is not continued.
    pipe.set(|now| (now.cuts_after, now.is_closed) = (None, false));
    assert_eq!(deliver(&sink, &[&body("a")]).await.outcomes, [Outcome::Delivered]);
    assert_eq!(pipe.text(), format!("{}\n{}\n", &body("a")[..10], body("a")));
}

/// What nobody keeps is not delivered.
#[tokio::test]
async fn an_output_that_leads_nowhere_is_told_and_everything_stays_owed() {
    let open = || output_to(std::fs::OpenOptions::new().write(true).open("/dev/null").expect("it is there"));
    let sink = Sink::Stdout(Stdout::with("out", settings(json!({})), Box::new(open)).expect("a sink"));
    let report = deliver(&sink, &[&body("a")]).await;
    assert_eq!(report.outcomes, [Outcome::Retry]);
    let why = report.trouble.expect("it is said why").reason;
    assert!(why.starts_with("sink `out`: ") && why.contains("it is /dev/null or was closed"), "{why}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let open = |path| output_to(std::fs::OpenOptions::new().append(true).open(path).expect("it is there"));
    assert!(!open(file.path()).expect("a file keeps it").has_lines);
    std::fs::write(file.path(), "{\"id\"").expect("written");
    assert!(open(file.path()).expect("a file keeps it").has_lines);
}

/// What was written after it had been given up is not written twice.
#[tokio::test]
async fn a_reader_that_does_not_read_holds_nothing_up_and_gets_each_line_once() {
    let pipe = Arc::new(Pipe::default());
    let sink = sink("out", &pipe, false, json!({ "timeout": "1s" }));
    pipe.set(|now| now.is_stalled = true);
    for _ in 0..2 {
        let report = deliver(&sink, &[&body("a")]).await;
        assert_eq!(report.outcomes, [Outcome::Retry]);
        let why = report.trouble.expect("it is said why").reason;
        assert!(why.contains("has not read for 1s"), "{why}");
    }
    pipe.set(|now| now.is_stalled = false);
    assert_eq!(deliver(&sink, &[&body("a")]).await.outcomes, [Outcome::Delivered]);
    assert_eq!(deliver(&sink, &[&body("b")]).await.outcomes, [Outcome::Delivered]);
    assert_eq!(pipe.text(), format!("{}\n{}\n", body("a"), body("b")));
}

/// What an attacker wrote does not drive the operator's terminal; what a program reads is what came.
#[tokio::test]
async fn a_terminal_gets_no_control_characters() {
    let hostile = "{\"id\":\"a\",\"title\":\"x\u{1b}[2J\u{9b}31m \u{202e}y\u{e0041}\"}";
    for is_terminal in [true, false] {
        let pipe = Arc::new(Pipe::default());
        deliver(&sink("out", &pipe, is_terminal, json!({})), &[hostile]).await;
        let text = pipe.text();
        let line = text.strip_suffix('\n').expect("a line");
        assert_eq!(line.chars().any(muster_model::text::is_harmful), !is_terminal, "{line:?}");
        if is_terminal {
            let read: Value = serde_json::from_str(line).expect("still JSON");
            assert_eq!(read["title"], "x\u{1b}[2J\u{9b}31m \u{202e}y\u{e0041}");
        } else {
            assert_eq!(line, hostile);
        }
    }
}

struct Misbehaving(Arc<Pipe>);

impl Harness for Misbehaving {
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink {
        self.0.set(|now| {
            now.is_stalled = behaviour == Behaviour::Slow;
            now.is_closed = behaviour == Behaviour::Down;
            now.cuts_after = (behaviour == Behaviour::Cuts).then_some(50);
        });
        let settings = StdoutSettings { timeout: Span(timeout), ..settings(json!({})) };
        let pipe = Arc::clone(&self.0);
        let open = move || {
            Ok(Output { writer: Box::new(End(Arc::clone(&pipe))), is_terminal: false, has_lines: true })
        };
        Sink::Stdout(Stdout::with("suite", settings, Box::new(open)).expect("a sink"))
    }

    async fn taken(&self) -> Vec<String> {
        let text = self.0.text();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        whole.map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
    }

    fn impossible(behaviour: Behaviour) -> Option<&'static str> {
        match behaviour {
            Behaviour::RefusesOne | Behaviour::Nonsense => Some("a pipe says nothing"),
            _ => None,
        }
    }

    const TELLS_REPETITIONS: bool = false;
}

#[tokio::test]
async fn suite() {
    suite::run(async || Misbehaving(Arc::default())).await;
}

#[test]
fn the_page_names_only_keys_that_exist() {
    check_page::<StdoutSettings>("stdout");
}
