//! Whether two records with one id and one update time are the same version.

use serde_json::{Map, Value};

use crate::RecordKind;

/// What Graph writes for values of enumerations that a caller has not asked to see.
const UNKNOWN_MEMBER: &str = "unknownFutureValue";

/// Whether `new` says nothing that `old` does not: the same JSON, whoever wrote it anew; a value that is only hidden in one
/// of them; or a record without what belongs to it ([`RecordKind::belongings`]) beside the same one with it. What is no JSON
/// is never the same.
///
/// A record that comes with what belongs to it after it came without is not the same: it is completed, once.
#[must_use]
pub fn is_same_version(kind: RecordKind, old: &str, new: &str) -> bool {
    let (Ok(Value::Object(mut old)), Ok(Value::Object(mut new))) =
        (serde_json::from_str(old), serde_json::from_str(new))
    else {
        return false;
    };
    // Annotations of the answer, not of the record.
    for record in [&mut old, &mut new] {
        record.retain(|key, _| {
            !matches!(key.as_str(), "@odata.context" | "@odata.etag" | "alerts@odata.context")
        });
    }
    let same_belongings = kind.belongings().is_none_or(|belongings| {
        let of = |record: &mut Map<String, Value>| {
            let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
            record.remove(belongings.key).filter(|value| !(belongings.empty_is_none && empty(value)))
        };
        match (of(&mut old), of(&mut new)) {
            (Some(Value::Array(old)), Some(Value::Array(new))) => same_items(old, new),
            (Some(old), Some(new)) => same(&old, &new),
            (None, Some(new)) => new.as_array().is_some_and(Vec::is_empty),
            (_, None) => true,
        }
    });
    same_belongings && same(&Value::Object(old), &Value::Object(new))
}

/// Lists of alerts come in any order.
fn same_items(mut old: Vec<Value>, mut new: Vec<Value>) -> bool {
    let by_id = |value: &Value| value.get("id").or_else(|| value.get("alertId")).map(Value::to_string);
    old.sort_by_key(by_id);
    new.sort_by_key(by_id);
    same(&Value::Array(old), &Value::Array(new))
}

fn same(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            old.len() == new.len()
                && old.iter().all(|(key, value)| new.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same(old, new))
        }
        (Value::String(old), Value::String(new)) => {
            old == new || old == UNKNOWN_MEMBER || new == UNKNOWN_MEMBER
        }
        (old, new) => old == new,
    }
}

#[cfg(test)]
mod tests {
    use super::is_same_version;
    use crate::RecordKind::{EndpointAlert, GraphIncident, XdrIncident};

    #[test]
    fn what_says_the_same_is_the_same() {
        let same = [
            (r#"{"id":"1","a":[1,2]}"#, r#"{ "a": [1, 2], "id": "1" }"#),
            (r#"{"id":"1","t":"\u00e9"}"#, r#"{"id":"1","t":"é"}"#),
            (r#"{"id":"1","s":"unknownFutureValue"}"#, r#"{"id":"1","s":"microsoftSentinel"}"#),
            (r#"{"id":"1","alerts":[{"id":"a"}]}"#, r#"{"id":"1"}"#),
            (
                r#"{"id":"1","alerts":[{"id":"a"},{"id":"b"}]}"#,
                r#"{"@odata.context":"x","id":"1","alerts":[{"id":"b"},{"id":"a"}]}"#,
            ),
        ];
        for (old, new) in same {
            assert!(is_same_version(GraphIncident, old, new), "{old} {new}");
        }
        let other = [
            (r#"{"id":"1","a":1}"#, r#"{"id":"1","a":2}"#),
            (r#"{"id":"1","a":1}"#, r#"{"id":"1"}"#),
            (r#"{"id":"1"}"#, r#"{"id":"1","alerts":[{"id":"a"}]}"#),
            (r#"{"id":"1","a":[1,2]}"#, r#"{"id":"1","a":[2,1]}"#),
            (r#"{"id":"1"}"#, "nonsense"),
        ];
        for (old, new) in other {
            assert!(!is_same_version(GraphIncident, old, new), "{old} {new}");
        }
    }

    #[test]
    fn an_endpoint_alert_without_its_evidence_says_less_not_something_else() {
        let bare = r#"{"id":"1","evidence":[]}"#;
        let whole = r#"{"id":"1","evidence":[{"sha1":"a"},{"sha1":"b"}]}"#;
        assert!(is_same_version(EndpointAlert, whole, bare) && is_same_version(EndpointAlert, bare, bare));
        assert!(!is_same_version(EndpointAlert, bare, whole), "it is completed");
        let other = r#"{"id":"1","evidence":[{"sha1":"a"}]}"#;
        assert!(!is_same_version(EndpointAlert, whole, other));
        assert!(!is_same_version(EndpointAlert, whole, r#"{"id":"1","severity":"High","evidence":[]}"#));
    }

    #[test]
    fn alerts_of_an_xdr_incident_come_in_any_order() {
        let one = r#"{"incidentId":1,"alerts":[{"alertId":"a"},{"alertId":"b"}]}"#;
        let other = r#"{"incidentId":1,"alerts":[{"alertId":"b"},{"alertId":"a"}]}"#;
        assert!(is_same_version(XdrIncident, one, other));
        assert!(!is_same_version(XdrIncident, one, r#"{"incidentId":1,"alerts":[{"alertId":"a"}]}"#));
    }
}
