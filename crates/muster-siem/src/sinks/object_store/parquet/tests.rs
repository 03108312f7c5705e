use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::record::{Field, Row as Read};
use muster_model::{Record, RecordHead, RecordKind};
use serde_json::{Map, Number, Value as Any, json};

use super::*;
use crate::formats::{Format, OcsfOptions};
use crate::sinks::testing::tenant;

/// Every fixture of the formats, as events.
fn events() -> Events {
    let mut events = Events::new();
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut folders = vec![fixtures];
    let mut number = 0;
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let body = std::fs::read_to_string(&path).expect("a fixture");
            let Some(kind) = RecordKind::detect(body.as_bytes()) else { continue };
            let head = RecordHead::read(kind, &body).expect("a head");
            events.start_record(number);
            number += 1;
            let format = Format::Ocsf(OcsfOptions { raw_data: number % 2 == 0, ..OcsfOptions::default() });
            format
                .write(kind, Record { head: &head, body: &body, replay: None }, &tenant(0), &mut events)
                .expect("events");
        }
    }
    assert!(number > 60, "{number}");
    events
}

/// What the rows of a file say, as JSON; and how many columns it has.
fn read(bytes: Vec<u8>) -> (Vec<Any>, usize) {
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("Parquet");
    let metadata = reader.metadata().file_metadata();
    assert_eq!(metadata.created_by(), Some(CREATED_BY));
    let columns = metadata.schema_descr().num_columns();
    let rows = reader.get_row_iter(None).expect("rows").map(|row| of_row(&row.expect("a row")));
    (rows.collect(), columns)
}

fn of_row(row: &Read) -> Any {
    let fields = row.get_column_iter().filter(|(_, field)| **field != Field::Null);
    Any::Object(fields.map(|(name, field)| (name.clone(), of_field(field))).collect::<Map<_, _>>())
}

fn of_field(field: &Field) -> Any {
    match field {
        Field::Bool(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::Double(value) => Number::from_f64(*value).expect("finite").into(),
        Field::Str(value) => value.clone().into(),
        Field::Group(row) => of_row(row),
        Field::ListInternal(list) => list.elements().iter().map(of_field).collect(),
        other => panic!("no column is {other:?}"),
    }
}

/// An event put together again: JSON columns read, and what has no column at its place.
fn whole(mut row: Any) -> Any {
    let read = |text: &Any| serde_json::from_str::<Any>(text.as_str().expect("a text")).expect("JSON");
    for evidence in row.get_mut("evidences").and_then(Any::as_array_mut).into_iter().flatten() {
        if let Some(data) = evidence.get_mut("data") {
            *data = read(data);
        }
    }
    let Some(mut unmapped) = row.get("unmapped").map(read) else { return row };
    let object = row.as_object_mut().expect("an object");
    object.remove("unmapped");
    let homeless = unmapped.as_object_mut().and_then(|unmapped| unmapped.remove(WITHOUT_COLUMN));
    if unmapped != json!({}) {
        object.insert("unmapped".to_owned(), unmapped);
    }
    object.extend(homeless.and_then(|homeless| homeless.as_object().cloned()).unwrap_or_default());
    row
}

#[test]
fn every_event_comes_out_as_it_went_in() {
    let events = events();
    let groups = grouped(&events).expect("events");
    let (mut classes, mut rows, mut without) = (std::collections::BTreeSet::new(), 0, 0);
    for ((class, day), group) in groups {
        let bytes = file(class, &group).expect("a file");
        assert_eq!(bytes, file(class, &group).expect("a file"), "the same bytes each time");
        let (read, columns) = read(bytes.clone());
        println!("class {class}: {} events, {columns} columns, {} bytes", group.len(), bytes.len());
        assert_eq!(read.len(), group.len());
        for (row, event) in read.into_iter().zip(&group) {
            let event: Any = serde_json::from_slice(event.bytes).expect("JSON");
            assert_eq!(event["class_uid"], class);
            let time = Timestamp::from_millisecond(event["time"].as_i64().expect("a time")).expect("a time");
            assert_eq!(Day::of(Some(time)), day);
            if row["unmapped"].as_str().is_some_and(|text| text.contains(WITHOUT_COLUMN)) {
                without += 1;
                eprintln!("{}", row["unmapped"]);
            }
            assert_eq!(whole(row), event);
            rows += 1;
        }
        let times: Vec<i64> = group.iter().map(|row| row.time).collect();
        assert!(times.is_sorted());
        classes.insert(class);
    }
    assert_eq!(rows, events.len());
    assert_eq!(classes.len(), 15, "{classes:?}");
    assert_eq!(without, 0, "all that the format writes has a column");
}

/// What OCSF requires of a class has a column, and so has what the table of the formats' tests allows it.
#[test]
fn what_a_class_requires_has_a_column() {
    let all = [
        "activity_id",
        "category_uid",
        "class_uid",
        "metadata",
        "severity_id",
        "time",
        "type_uid",
        "cloud",
        "unmapped",
        "raw_data",
        "observables",
    ];
    let has = |class: i64, name: &str| {
        let there =
            columns::attributes(class).iter().copied().flatten().any(|attribute| attribute.name == name);
        assert!(there, "class {class} has no column `{name}`");
    };
    let findings = [(2004, ["finding_info", "is_alert"]), (2005, ["finding_info_list", "status_id"])];
    for (class, names) in findings {
        all.iter().chain(&names).for_each(|name| has(class, name));
    }
    let classes: Any =
        serde_json::from_str(include_str!("../../../../tests/it/ocsf/classes.json")).expect("JSON");
    let mut count = 0;
    for class in classes.as_object().expect("classes").values() {
        let uid = class["uid"].as_i64().expect("a number");
        all.iter().for_each(|name| has(uid, name));
        for name in [&class["required"], &class["allowed"]]
            .into_iter()
            .flat_map(|names| names.as_array().expect("names"))
        {
            has(uid, name.as_str().expect("a name"));
        }
        count += 1;
    }
    assert!(count > 10, "{count}");
    for class in
        [0, 1001, 1005, 1007, 1009, 2004, 2005, 3002, 4001, 4009, 4012, 5001, 5003, 6003, 201_001, 201_002]
    {
        let names: Vec<&str> =
            columns::attributes(class).iter().copied().flatten().map(|one| one.name).collect();
        let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), distinct.len(), "a name twice in class {class}");
    }
}

fn one(class: i64, event: &Any) -> Any {
    let bytes = event.to_string().into_bytes();
    let row = Row { bytes: &bytes, time: 0 };
    let (mut rows, _) = read(file(class, &[row]).expect("a file"));
    rows.pop().expect("a row")
}

/// What somebody's mapping made of an event has no column, or another type, and is kept.
#[test]
fn what_has_no_column_is_kept_as_json() {
    for event in [
        json!({ "time": 1, "mine": "x", "unmapped": { "a": 1 } }),
        json!({ "time": "late", "severity_id": 3_000_000_000_i64, "class_name": null, "unmapped": { } }),
        json!({ "metadata": { "uid": "x", "mine": [1, { "b": null }] }, "cloud": [], "severity": 7 }),
        json!({ "observables": [], "metadata": { }, "evidences": [] }),
        json!({ "observables": [{ "name": "a" }, 7], "device": { "is_managed": "yes" } }),
        json!({ "device": { "groups": [{ }, { "name": "g" }], "os": { } }, "raw_data": "\u{1}\"\\é" }),
        json!({ "evidences": [{ "data": null }, { "data": "text" }, { "data": [1.5] }, { }] }),
        json!({ "unmapped": "text", "time": 1 }),
        json!({ "unmapped": { "muster_without_column": { "time": 7 } }, "time": 1, "x": 2 }),
        json!({ "finding_info": { "types": ["a", ""], "tags": [{ "name": "n", "value": "v" }, { }] } }),
    ] {
        for class in [2004, 1007, 12_345] {
            assert_eq!(whole(one(class, &event)), event, "{class}");
        }
    }
    // A name that comes twice in an object: both are kept.
    let twice = br#"{"time":1,"time":2,"cloud":{"provider":"a","provider":"b"}}"#;
    let (rows, _) = read(file(0, &[Row { bytes: twice, time: 1 }]).expect("a file"));
    let text = rows[0]["unmapped"].as_str().expect("a text");
    assert_eq!(rows[0]["time"], 1);
    assert_eq!(text, r#"{"muster_without_column":{"time":2,"cloud":{"provider":"a","provider":"b"}}}"#);
}

#[test]
fn a_file_is_not_made_of_what_is_no_json() {
    assert!(file(0, &[Row { bytes: b"{\"a\":", time: 0 }]).is_err());
    let mut events = Events::new();
    events.push_with(|buffer| buffer.extend_from_slice(b"{\"a\":"));
    assert!(grouped(&events).is_err());
}
