//! Records as attackers and accidents write them.

use crate::world::cast::TenantFacts;
use crate::world::json_text::push_quoted;
use crate::world::ticks::{TICKS_PER_MILLISECOND, Ticks};

/// A record that is not as it should be.
pub(crate) struct WrittenRecord {
    pub(crate) id: String,
    pub(crate) at: Ticks,
    /// Whether its id and time can be read, so that its delivery can be expected.
    pub(crate) identifiable: bool,
    pub(crate) json: String,
}

/// One of each kind of trouble, written now.
pub(crate) fn hostile_records(tenant: &TenantFacts, now: Ticks) -> Vec<WrittenRecord> {
    let titles = [
        "line one\nline two\r\n<13>1 forged syslog line",
        "bell \u{7} escape \u{1b}[31mred\u{1b}[0m null \u{0} end",
        "right-to-left \u{202e}fdp.exe\u{202c} and \u{2066}isolate\u{2069}",
        "CEF:0|x|y|z|a|b=c\\|10|act=|= \\= ]]> <script>alert(1)</script> {{7*7}}",
        "emoji \u{1f469}\u{200d}\u{1f4bb} combining e\u{301}\u{327} wide \u{ff21}\u{3000}",
        "",
    ];
    let mut records = Vec::new();
    let mut add = |name: &str, identifiable: bool, text: &dyn Fn(&str, &str) -> String| {
        let at = Ticks(now.0 + i64::try_from(records.len()).unwrap_or(0) * TICKS_PER_MILLISECOND);
        let id = format!("ho{:016x}-{name}", now.0);
        let json = text(&id, &at.to_string());
        records.push(WrittenRecord { id, at, identifiable, json });
    };
    let head = |id: &str, at: &str, title: &str, rest: &str| {
        let mut quoted = String::new();
        push_quoted(&mut quoted, title);
        format!(
            r#"{{"id":"{id}","incidentId":"1","status":"new","severity":"high","serviceSource":"microsoftDefenderForEndpoint","detectionSource":"antivirus","tenantId":"{}","title":{quoted},"category":"Malware","createdDateTime":"{at}","lastUpdateDateTime":"{at}"{rest}}}"#,
            tenant.id
        )
    };
    for (index, title) in titles.iter().enumerate() {
        add(&format!("title{index}"), true, &|id, at| head(id, at, title, r#","evidence":[],"comments":[]"#));
    }
    add("wrong-types", true, &|id, at| {
        head(
            id,
            at,
            "wrong types",
            r#","evidence":"none","mitreTechniques":{"a":1},"comments":7,"description":[1,2],"category":false"#,
        )
    });
    add("nulls", true, &|id, at| {
        head(
            id,
            at,
            "nulls",
            r#","evidence":[null],"mitreTechniques":null,"comments":null,"description":null,"alertWebUrl":null"#,
        )
    });
    add("unknown-enums", true, &|id, at| {
        head(
            id,
            at,
            "unknown enum values",
            r##","determination":"notYetInvented","investigationState":"paused","evidence":[{"@odata.type":"#microsoft.graph.security.quantumEvidence","qubit":"up"},{"noType":true}]"##,
        )
    });
    add("numbers", true, &|id, at| {
        head(
            id,
            at,
            "numbers",
            r#","evidence":[],"additionalData":{"big":123456789012345678901234567890,"small":-1e400,"float":1.0}"#,
        )
    });
    add("duplicate-keys", true, &|id, at| {
        head(id, at, "first title", r#","title":"second title","evidence":[]"#)
    });
    add("long", true, &|id, at| head(id, at, &"long ".repeat(20_000), r#","evidence":[]"#));
    add("no-id", false, &|_, at| {
        format!(r#"{{"createdDateTime":"{at}","lastUpdateDateTime":"{at}","title":"no id"}}"#)
    });
    add("number-id", false, &|_, at| {
        format!(
            r#"{{"id":42,"createdDateTime":"{at}","lastUpdateDateTime":"{at}","title":"id is a number"}}"#
        )
    });
    add("bad-time", false, &|id, _| {
        format!(
            r#"{{"id":"{id}","createdDateTime":"yesterday","lastUpdateDateTime":12,"title":"times are wrong"}}"#
        )
    });
    add("not-an-object", false, &|_, _| r#""just text""#.to_owned());
    records
}

/// A record nested `depth` deep.
pub(crate) fn nested_record(depth: u32, now: Ticks) -> String {
    let depth = depth as usize;
    format!(
        r#"{{"id":"deep-{:016x}","createdDateTime":"{now}","lastUpdateDateTime":"{now}","title":"deep","evidence":{}{}}}"#,
        now.0,
        "[".repeat(depth),
        "]".repeat(depth)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_records_are_json_all_the_same() {
        let tenant = crate::world::cast::tenant(1, 0);
        for record in hostile_records(&tenant, Ticks(17_000_000_000_000_000)) {
            let value: serde_json::Result<&serde_json::value::RawValue> = serde_json::from_str(&record.json);
            assert!(value.is_ok(), "{}", record.json);
        }
    }
}
