use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_model::{Batch, ByteSize, RecordHead, Selection, Span};
use serde_json::{Value, json};

use super::*;
use crate::sinks::Sink;
use crate::sinks::scripted::{HANGS, Receiver, Request, http as answer};
use crate::sinks::suite::{self, Behaviour, Harness};
use crate::sinks::testing::{body, check_page, delivery, delivery_batch, settings, surroundings, tenant};

/// Objects by their paths, with their digests in metadata where they have one.
type Objects = Arc<Mutex<BTreeMap<String, (Vec<u8>, Option<String>)>>>;

/// S3 as its documents have it.
async fn s3(objects: &Objects) -> Receiver {
    let objects = Arc::clone(objects);
    Receiver::start(move |request| s3_answer(&objects, request)).await
}

fn s3_answer(objects: &Objects, request: &Request) -> String {
    let mut objects = objects.lock().expect("a lock");
    let there = objects.contains_key(&request.path);
    match request.method.as_str() {
        "PUT" if there && request.headers.get("if-none-match").is_some_and(|value| value == "*") => {
            error(412, "PreconditionFailed")
        }
        "PUT" => {
            let digest = request.headers.get("x-amz-meta-mustersha256").cloned();
            objects.insert(request.path.clone(), (request.body.clone(), digest));
            answer(200, "ETag: \"x\"\r\n", "")
        }
        "DELETE" => {
            objects.remove(&request.path);
            answer(204, "", "")
        }
        method => match objects.get(&request.path) {
            None if method == "HEAD" => error(404, "").replace("Content-Length", "X"),
            None => error(404, "NoSuchKey"),
            Some((bytes, digest)) => {
                let meta = digest
                    .as_ref()
                    .map(|digest| format!("x-amz-meta-mustersha256: {digest}\r\n"))
                    .unwrap_or_default();
                if method == "HEAD" {
                    return format!(
                        "HTTP/1.1 200 x\r\nContent-Length: {}\r\nETag: \"x\"\r\n{meta}Connection: close\r\n\r\n",
                        bytes.len()
                    );
                }
                let range = request.headers["range"].trim_start_matches("bytes=").to_owned();
                let (start, end) = range.split_once('-').expect("a range");
                let (start, end): (usize, usize) =
                    (start.parse().expect("a number"), end.parse().expect("a number"));
                let piece = std::str::from_utf8(&bytes[start..=end]).expect("text");
                let headers =
                    format!("ETag: \"x\"\r\nContent-Range: bytes {start}-{end}/{}\r\n{meta}", bytes.len());
                answer(206, &headers, piece)
            }
        },
    }
}

fn error(status: u16, code: &str) -> String {
    answer(status, "", &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>"))
}

fn section(receiver: &Receiver) -> Value {
    json!({
        "url": "s3://bucket/of/muster", "endpoint": receiver.url, "region": "eu-west-1",
        "access_key_id": { "env": "ID" }, "secret_access_key": { "env": "KEY" },
    })
}

fn built(section: Value) -> Sink {
    let settings: ObjectStoreSettings = settings(section);
    Sink::ObjectStore(ObjectStoreSink::build("suite", settings, &surroundings()).expect("a sink"))
}

fn folder_sink(folder: &tempfile::TempDir, more: Value) -> Sink {
    let mut section = json!({ "url": format!("file://{}", folder.path().display()) });
    for (key, value) in more.as_object().expect("an object") {
        section[key] = value.clone();
    }
    built(section)
}

async fn deliver(sink: &Sink, number: u64, ids: &[&str]) -> Report {
    let bodies: Vec<String> = ids.iter().map(|id| body(id)).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(number, &bodies)])).await
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = zstd::bulk::decompress(bytes, 1 << 20).expect("zstd");
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn ids(bytes: &[u8]) -> Vec<String> {
    lines(bytes).iter().map(|line| line["id"].as_str().expect("an id").to_owned()).collect()
}

fn reason(report: &Report) -> &str {
    &report.trouble.as_ref().expect("it is said why").reason
}

/// All files below a folder, by their paths in it.
fn files(folder: &std::path::Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below it").display().to_string();
                found.insert(name, std::fs::read(&path).expect("read"));
            }
        }
    }
    found
}

struct S3 {
    objects: Objects,
    receivers: Vec<Receiver>,
}

impl Harness for S3 {
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink {
        let objects = Arc::clone(&self.objects);
        let receiver = match behaviour {
            Behaviour::Well => s3(&objects).await,
            Behaviour::Down => Receiver::start(|_| String::new()).await,
            Behaviour::Slow => Receiver::start(|_| HANGS.to_owned()).await,
            // The object is made, and the answer lost.
            Behaviour::Cuts => {
                Receiver::start(move |request| s3_answer(&objects, request)[..12].to_owned()).await
            }
            Behaviour::Nonsense => {
                Receiver::start(|_| answer(200, "ETag: \"y\"\r\n", "<html>Sign in</html>")).await
            }
            Behaviour::RefusesOne => unreachable!("it looks into no record"),
        };
        let mut settings: ObjectStoreSettings = settings(section(&receiver));
        settings.timeout = Span(timeout);
        self.receivers.push(receiver);
        Sink::ObjectStore(ObjectStoreSink::build("suite", settings, &surroundings()).expect("a sink"))
    }

    async fn taken(&self) -> Vec<String> {
        self.objects.lock().expect("a lock").values().flat_map(|(bytes, _)| ids(bytes)).collect()
    }

    fn impossible(behaviour: Behaviour) -> Option<&'static str> {
        (behaviour == Behaviour::RefusesOne).then_some("a bucket looks into no record")
    }

    const TELLS_REPETITIONS: bool = true;
}

#[tokio::test]
async fn the_suite() {
    suite::run::<S3>(async || S3 { objects: Objects::default(), receivers: Vec::new() }).await;
}

struct Folder(tempfile::TempDir);

impl Harness for Folder {
    async fn sink(&mut self, behaviour: Behaviour, _: Duration) -> Sink {
        let path = match behaviour {
            Behaviour::Down => self.0.path().join("missing"),
            _ => self.0.path().to_owned(),
        };
        built(json!({ "url": format!("file://{}", path.display()) }))
    }

    async fn taken(&self) -> Vec<String> {
        files(self.0.path()).values().flat_map(|bytes| ids(bytes)).collect()
    }

    fn impossible(behaviour: Behaviour) -> Option<&'static str> {
        match behaviour {
            Behaviour::Well | Behaviour::Down => None,
            _ => Some("a folder takes it, or not"),
        }
    }

    const TELLS_REPETITIONS: bool = true;
}

#[tokio::test]
async fn the_suite_in_a_folder() {
    suite::run::<Folder>(async || Folder(tempfile::tempdir().expect("a folder"))).await;
}

#[tokio::test]
async fn an_object_is_named_by_its_range_and_always_the_same() {
    let objects = Objects::default();
    let receiver = s3(&objects).await;
    let sink = built(section(&receiver));
    assert_eq!(deliver(&sink, 7, &["a", "b"]).await.outcomes, [Outcome::Delivered, Outcome::Delivered]);
    let first = objects.lock().expect("a lock").clone();
    let name = "/bucket/of/muster/tenant-0/graph_alerts/2026/01/02/\
        00000000-0000-0000-0000-000000000001-00000000-0000-0000-0000-000000000001-0000000007-0000000007-0000.ndjson.zst";
    assert_eq!(first.keys().collect::<Vec<_>>(), [name]);
    assert_eq!(first[name].1.as_deref(), Some(object::sha256(&first[name].0).as_str()));
    // What comes again, together with what is new, and by another process.
    let again = built(section(&receiver));
    let (one, two) = (body("a"), body("b"));
    let deliveries = [delivery(7, &[&one, &two]), delivery(8, &[&one])];
    let report = again.deliver_and_wait(delivery_batch(&tenant(0), &deliveries)).await;
    assert_eq!(report, Report { outcomes: vec![Outcome::Delivered; 3], trouble: None });
    let now = objects.lock().expect("a lock").clone();
    assert_eq!((now.len(), &now[name]), (2, &first[name]));
    // Another tenant, another lineage, other records of the same batch: other names.
    again.deliver_and_wait(delivery_batch(&tenant(1), &deliveries[..1])).await;
    let mut other = deliveries[0].clone();
    other.lineage = muster_model::Lineage(Uuid::from_u128(2));
    let mut some = deliveries[0].clone();
    some.selection = Selection::of(2, |index| index == 1).expect("one");
    again.deliver_and_wait(delivery_batch(&tenant(0), &[other, some])).await;
    let now = objects.lock().expect("a lock").clone();
    assert_eq!(now.len(), 5, "{:?}", now.keys());
    assert_eq!(now.values().filter(|(bytes, _)| ids(bytes) == ["b"]).count(), 1);
    let puts = receiver.seen().into_iter().filter(|request| request.method == "PUT");
    for put in puts {
        assert_eq!(put.headers["if-none-match"], "*");
        assert_eq!(put.headers["content-type"], "application/zstd");
        assert!(put.headers["authorization"].starts_with("AWS4-HMAC-SHA256 Credential=a-token/"));
    }
}

/// A path need not tell days apart, and none of a delivery's objects meets another.
#[tokio::test]
async fn the_objects_of_a_delivery_have_names_of_their_own_in_one_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = folder_sink(&folder, json!({ "objects": "parquet", "path": "{class}" }));
    let (template, mut batch) = (delivery(1, &[&body("a")]), Batch::new());
    for day in 2..5_i64 {
        let (_, record) = template.records().next().expect("a record");
        let created_at = record.head.created_at.map(|at| at + jiff::SignedDuration::from_hours(24 * day));
        batch.push(RecordHead { id: day.to_string(), created_at, ..record.head.clone() }, &body("a"));
    }
    let deliveries = [Delivery { batch: batch.into(), ..template }];
    let report = sink.deliver_and_wait(delivery_batch(&tenant(0), &deliveries)).await;
    assert_eq!(report, Report { outcomes: vec![Outcome::Delivered; 3], trouble: None });
    let names: Vec<String> = files(folder.path()).into_keys().collect();
    let ends: Vec<&str> =
        names.iter().filter_map(|name| name.rsplit_once("-0000000001-")).map(|(_, end)| end).collect();
    assert_eq!(ends, ["0000-2004.parquet", "0001-2004.parquet", "0002-2004.parquet"], "{names:?}");
}

/// What was refused, or has been used for a minute, is read again at its place: temporary keys are renewed there.
#[tokio::test]
async fn keys_are_read_again_after_a_refusal_and_after_a_minute() {
    let objects = Objects::default();
    let (there, keys) = (Arc::clone(&objects), Arc::new(Mutex::new("old")));
    let receiver =
        Receiver::start(move |request| match request.headers["authorization"].contains("Credential=old/") {
            true => error(403, "InvalidAccessKeyId"),
            false => s3_answer(&there, request),
        })
        .await;
    let read = Arc::clone(&keys);
    let around = Surroundings {
        secret: Arc::new(move |_| Ok((*read.lock().expect("a lock")).into())),
        ..surroundings()
    };
    let of_bucket: ObjectStoreSettings = settings(section(&receiver));
    let sink = Sink::ObjectStore(ObjectStoreSink::build("suite", of_bucket, &around).expect("a sink"));
    assert_eq!(deliver(&sink, 1, &["a"]).await.outcomes, [Outcome::Retry]);
    *keys.lock().expect("a lock") = "new";
    assert_eq!(deliver(&sink, 1, &["a"]).await.outcomes, [Outcome::Delivered]);
    *keys.lock().expect("a lock") = "newer";
    let used = |receiver: &Receiver| {
        let last = receiver.seen().pop().expect("a request").headers["authorization"].clone();
        last.split_once("Credential=")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map(|(key, _)| key.to_owned())
    };
    deliver(&sink, 2, &["b"]).await;
    assert_eq!(used(&receiver).as_deref(), Some("new"));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    deliver(&sink, 3, &["c"]).await;
    assert_eq!(used(&receiver).as_deref(), Some("newer"));
}

/// After any doubt what is said to be made is looked at: here by somebody who took the bucket's place.
#[tokio::test]
async fn after_a_refusal_what_is_made_next_is_looked_at() {
    let (objects, place) = (Objects::default(), Arc::new(Mutex::new("bucket")));
    let (there, now) = (Arc::clone(&objects), Arc::clone(&place));
    let receiver = Receiver::start(move |request| match *now.lock().expect("a lock") {
        "bucket" => s3_answer(&there, request),
        "busy" => error(503, "SlowDown"),
        _ if request.method == "HEAD" => error(404, "").replace("Content-Length", "X"),
        _ => answer(200, "ETag: \"x\"\r\n", ""),
    })
    .await;
    let sink = built(section(&receiver));
    assert_eq!(deliver(&sink, 1, &["a"]).await.outcomes, [Outcome::Delivered]);
    *place.lock().expect("a lock") = "busy";
    assert_eq!(deliver(&sink, 2, &["b"]).await.outcomes, [Outcome::Retry]);
    *place.lock().expect("a lock") = "liar";
    let report = deliver(&sink, 2, &["b"]).await;
    assert_eq!(report.outcomes, [Outcome::Retry]);
    assert!(reason(&report).contains("was made, and nothing is there"), "{report:?}");
}

#[tokio::test]
async fn what_is_too_much_for_one_object_is_several() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = folder_sink(&folder, json!({ "batch_size": "150 B", "path": "{source}" }));
    deliver(&sink, 1, &["a", "b", "c", "d", "e"]).await;
    let parts: Vec<Vec<String>> = files(folder.path()).values().map(|bytes| ids(bytes)).collect();
    assert_eq!(parts.concat(), ["a", "b", "c", "d", "e"]);
    assert!(parts.len() > 2, "{parts:?}");
    let before = files(folder.path());
    deliver(&sink, 1, &["a", "b", "c", "d", "e"]).await;
    assert_eq!(files(folder.path()), before);
}

/// Somebody else's object under our name keeps nothing waiting, and stays what it is.
#[tokio::test]
async fn what_has_the_name_and_is_something_else_is_left() {
    for with_digest in [false, true] {
        let objects = Objects::default();
        let receiver = s3(&objects).await;
        let sink = built(section(&receiver));
        deliver(&sink, 1, &["a"]).await;
        let (name, (bytes, digest)) = objects.lock().expect("a lock").pop_first().expect("an object");
        // As long as ours, which tells nothing.
        let other = vec![b'x'; bytes.len()];
        let told = with_digest.then(|| object::sha256(&other));
        objects.lock().expect("a lock").insert(name.clone(), (other.clone(), told.clone()));
        for _ in 0..2 {
            let report = deliver(&sink, 1, &["a"]).await;
            assert_eq!(report, Report { outcomes: vec![Outcome::Delivered], trouble: None });
        }
        let now = objects.lock().expect("a lock").clone();
        assert_eq!(now.len(), 2);
        assert_eq!(now[&name], (other.clone(), told));
        let renamed = now.iter().find(|(found, _)| **found != name).expect("another");
        let short = digest.as_deref().map(|digest| &digest[..16]).expect("a digest");
        assert!(renamed.0.ends_with(&format!("-{short}.ndjson.zst")), "{}", renamed.0);
        assert_eq!(ids(&renamed.1.0), ["a"]);
        // And both names taken: owed, and told.
        let renamed = renamed.0.clone();
        objects.lock().expect("a lock").insert(renamed, (other, None));
        let report = deliver(&sink, 1, &["a"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry]);
        assert!(reason(&report).contains("find out who writes there"), "{report:?}");
    }
}

/// Where metadata is not given back, the object itself is read.
#[tokio::test]
async fn without_metadata_the_object_is_read_back() {
    let objects = Objects::default();
    let receiver = s3(&objects).await;
    let ours = br#"{"a":1}"#;
    let object = |text: &'static [u8]| Object::new("x/y".to_owned(), text, "text/plain");
    let settings: ObjectStoreSettings = settings(section(&receiver));
    let sink = ObjectStoreSink::build("suite", settings, &surroundings()).expect("a sink");
    let put = |bytes: &[u8]| {
        objects.lock().expect("a lock").insert("/bucket/of/muster/x/y".to_owned(), (bytes.to_vec(), None))
    };
    assert_eq!(sink.look(&object(ours)).await, Ok(Found::Nothing));
    put(ours);
    assert_eq!(sink.look(&object(ours)).await, Ok(Found::Same));
    put(br#"{"a":2}"#);
    assert_eq!(sink.look(&object(ours)).await, Ok(Found::Other));
    put(b"");
    assert_eq!(sink.look(&object(ours)).await, Ok(Found::Other));
}

/// Each refusal keeps everything owed, and says what to change.
#[tokio::test]
async fn refusals_are_told_with_what_to_do() {
    let huge = "x".repeat(2 << 20);
    for (status, said, headers, wanted) in [
        (404, "NoSuchBucket", "", "check the sink's url, or make it"),
        (403, "AccessDenied", "", "`s3:PutObject`"),
        (403, "SignatureDoesNotMatch", "", "check the sink's keys"),
        (400, "ExpiredToken", "", "renew them"),
        (403, "RequestTimeTooSkewed", "", "clock"),
        (503, "SlowDown", "Retry-After: 7\r\n", "busy or down"),
        (409, "ConditionalRequestConflict", "", "another writer"),
        (412, "PreconditionFailed", "", "another writer"),
        (409, "ContainerBeingDeleted", "", "HTTP 409: ContainerBeingDeleted"),
        (301, "PermanentRedirect", "", "set region"),
        (501, "NotImplemented", "", "If-None-Match"),
        (413, "", "", "smaller batch_size"),
        (418, "\u{1b}[31m&<Code>", "", "HTTP 418"),
        (500, huge.as_str(), "", "more than 1048576 bytes"),
    ] {
        let said = said.to_owned();
        let receiver = Receiver::start(move |request| match request.method.as_str() {
            "HEAD" => error(404, "").replace("Content-Length", "X"),
            _ => answer(status, headers, &format!("<Error><Code>{said}</Code></Error>")),
        })
        .await;
        let report = deliver(&built(section(&receiver)), 1, &["a", "b"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Retry], "{status}");
        let why = reason(&report);
        assert!(
            why.starts_with("sink `suite` (s3://bucket/of/muster): ") && why.contains(wanted),
            "{status}: {why}"
        );
        assert!(!why.contains(['\u{1b}', '\n']) && why.len() < 1_000, "{why}");
        assert!(!why.contains("a-token"), "{why}");
        let wait = report.trouble.and_then(|trouble| trouble.after);
        assert_eq!(wait, (status == 503).then_some(Duration::from_secs(7)));
        // Nothing is tried twice.
        let puts = receiver.seen().iter().filter(|request| request.method == "PUT").count();
        assert_eq!(puts, 1, "{status}");
    }
}

/// What is told of one object is not asked of all.
#[tokio::test]
async fn a_refusal_ends_what_has_not_begun() {
    let receiver = Receiver::start(|_| error(403, "AccessDenied")).await;
    let sink = built(section(&receiver));
    let one = body("a");
    let deliveries: Vec<_> = (1..=16).map(|number| delivery(number, &[&one])).collect();
    let report = sink.deliver_and_wait(delivery_batch(&tenant(0), &deliveries)).await;
    assert_eq!(report.outcomes, [const { Outcome::Retry }; 16]);
    assert!(receiver.seen().len() <= 8, "{}", receiver.seen().len());
}

/// What cannot be written is a dead letter, and only together with the delivery of the others: until then the object's name says
/// which records were owed.
#[tokio::test]
async fn a_record_that_cannot_be_written_costs_itself() {
    let objects = Objects::default();
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    let poison = format!(r#"{{"id":"p","createdDateTime":"2026-01-02T03:04:05Z","x":{deep}}}"#);
    let good = body("a");
    let bodies = [&*good, &*poison];
    let refusing = Receiver::start(|_| error(503, "SlowDown")).await;
    let ocsf = |receiver: &Receiver| {
        let mut section = section(receiver);
        section["format"] = "ocsf".into();
        built(section)
    };
    let report = ocsf(&refusing).deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &bodies)])).await;
    assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Retry]);
    let receiver = s3(&objects).await;
    let report = ocsf(&receiver).deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &bodies)])).await;
    assert_eq!(report.outcomes[0], Outcome::Delivered);
    assert!(matches!(&report.outcomes[1], Outcome::Rejected(why) if !why.is_empty()), "{report:?}");
}

/// Something that answers well to everything is no bucket.
#[tokio::test]
async fn a_bucket_that_lies_is_found_out() {
    // It replaces whatever is there.
    let objects = Objects::default();
    let there = Arc::clone(&objects);
    let lies = Receiver::start(move |request| {
        let mut request = request.clone();
        request.headers.remove("if-none-match");
        s3_answer(&there, &request)
    })
    .await;
    let why = built(section(&lies)).test().await.expect_err("it lies").to_string();
    assert!(why.contains("it replaces objects although it is asked not to"), "{why}");
    assert!(objects.lock().expect("a lock").is_empty(), "the probe is gone");
    // What is delivered there is right all the same: what comes again is the same.
    let sink = built(section(&lies));
    for _ in 0..2 {
        assert_eq!(deliver(&sink, 1, &["a"]).await.outcomes, [Outcome::Delivered]);
    }
    assert_eq!(objects.lock().expect("a lock").len(), 1);
    // It says that something is there, and has nothing.
    let empty = Receiver::start(|request| match request.method.as_str() {
        "PUT" => error(412, "PreconditionFailed"),
        _ => error(404, "").replace("Content-Length", "X"),
    })
    .await;
    let report = deliver(&built(section(&empty)), 1, &["a"]).await;
    assert!(reason(&report).contains("does not find it"), "{report:?}");
    // It may not be looked into: nothing is delivered on its word.
    let objects = Objects::default();
    let there = Arc::clone(&objects);
    let blind = Receiver::start(move |request| match request.method.as_str() {
        "HEAD" => error(403, "").replace("Content-Length", "X"),
        _ => s3_answer(&there, request),
    })
    .await;
    let report = deliver(&built(section(&blind)), 1, &["a"]).await;
    assert_eq!(report.outcomes, [Outcome::Retry]);
    assert!(reason(&report).contains("do not allow to look at"), "{report:?}");
}

#[tokio::test]
async fn the_test_says_what_it_left() {
    let objects = Objects::default();
    let there = Arc::clone(&objects);
    let receiver = Receiver::start(move |request| match request.method.as_str() {
        "DELETE" => error(403, "AccessDenied"),
        _ => s3_answer(&there, request),
    })
    .await;
    let found = built(section(&receiver)).test().await.expect("it works");
    assert!(found.contains("could not be removed"), "{found}");
    let left = objects.lock().expect("a lock").clone();
    let (name, (bytes, _)) = left.first_key_value().expect("the probe");
    assert!(name.starts_with("/bucket/of/muster/muster-sink-test/"), "{name}");
    assert!(String::from_utf8_lossy(bytes).contains("holds no record"));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let s3 = json!({ "url": "s3://bucket", "region": "eu-west-1", "access_key_id": { "env": "A" }, "secret_access_key": { "env": "B" } });
    let azure = json!({ "url": "az://container", "account": "a", "account_key": { "env": "A" } });
    let google = json!({ "url": "gs://bucket", "service_account": { "env": "A" } });
    let folder = json!({ "url": "file:///var/spool/muster" });
    for good in [&s3, &azure, &google, &folder] {
        assert_eq!(settings::<ObjectStoreSettings>(good.clone()).mistakes(), [""; 0], "{good}");
    }
    for (section, key, value, wanted) in [
        (&s3, "region", Value::Null, "s3 needs region"),
        (&s3, "region", json!("a/b"), "letters, digits"),
        (&s3, "access_key_id", Value::Null, "s3 needs access_key_id"),
        (&s3, "account_key", json!({ "env": "A" }), "account_key means nothing with a url of `s3:`"),
        (&azure, "account", Value::Null, "needs account"),
        (&azure, "account_key", Value::Null, "needs one of"),
        (&azure, "sas", json!({ "env": "A" }), "needs one of"),
        (&azure, "client_id", json!("x"), "needs one of"),
        (&google, "service_account", Value::Null, "needs service_account"),
        (&folder, "endpoint", json!("http://x"), "endpoint means nothing"),
        (&folder, "format", json!("cef"), "no JSON of its own"),
        (&folder, "objects", json!("parquet"), "set region"),
        (&folder, "path", json!("{class}"), "only objects of"),
        (&folder, "batch_size", json!("1 GiB"), "batch_size"),
    ] {
        let mut section = section.clone();
        section[key] = value;
        let section = section.as_object().expect("an object").clone();
        let section = section.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let mistakes = settings::<ObjectStoreSettings>(section).mistakes();
        assert!(mistakes.iter().any(|mistake| mistake.contains(wanted)), "{wanted}: {mistakes:?}");
    }
    let mut parquet = folder.clone();
    parquet["objects"] = "parquet".into();
    parquet["region"] = "eu-west-1".into();
    assert_eq!(settings::<ObjectStoreSettings>(parquet.clone()).mistakes(), [""; 0]);
    parquet["format"] = "raw".into();
    assert!(settings::<ObjectStoreSettings>(parquet).mistakes()[0].contains("columns for OCSF only"));
}

/// Google's preconditions, by a server that plays them: a real one could not be had.
#[tokio::test]
async fn google_is_asked_for_an_object_that_is_not_there_yet() {
    let objects = Objects::default();
    let there = Arc::clone(&objects);
    let receiver = Receiver::start(move |request| {
        let mut request = request.clone();
        let asked = request.headers.remove("x-goog-if-generation-match");
        if asked.as_deref() == Some("0") {
            request.headers.insert("if-none-match".to_owned(), "*".to_owned());
        }
        if let Some(digest) = request.headers.get("x-goog-meta-mustersha256").cloned() {
            request.headers.insert("x-amz-meta-mustersha256".to_owned(), digest);
        }
        s3_answer(&there, &request)
            .replace("x-amz-meta", "x-goog-meta")
            .replace("ETag: \"x\"\r\n", "ETag: \"x\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
    })
    .await;
    let mut around = surroundings();
    let key = json!({ "private_key": "", "private_key_id": "x", "client_email": "m@x.example", "disable_oauth": true });
    around.secret = Arc::new(move |_| Ok(key.to_string().as_str().into()));
    let section =
        json!({ "url": "gs://bucket/p", "endpoint": receiver.url, "service_account": { "env": "A" } });
    let settings: ObjectStoreSettings = settings(section);
    let sink = Sink::ObjectStore(ObjectStoreSink::build("google", settings, &around).expect("a sink"));
    for _ in 0..2 {
        let report = deliver(&sink, 1, &["a"]).await;
        assert_eq!(report, Report { outcomes: vec![Outcome::Delivered], trouble: None });
    }
    assert_eq!(objects.lock().expect("a lock").len(), 1);
    assert!(sink.test().await.expect("it works").contains("makes an object once"));
}

#[test]
fn the_page_names_the_settings() {
    check_page::<ObjectStoreSettings>("object_store");
}

#[test]
fn a_size_stays_what_it_was() {
    let settings: ObjectStoreSettings = settings(json!({ "url": "file:///x" }));
    assert_eq!(settings.batch_size, ByteSize(64 << 20));
}
