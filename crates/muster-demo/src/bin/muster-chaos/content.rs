//! What is there twice in what a sink has written, by its content. The emulator's tally knows records by id and update time
//! only, and an incident whose alerts could not be had comes as it is, and again with them once they can: that is no copy.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

use serde_json::Value;

/// What came again of one tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Again {
    /// The same once more, or the same version with another content.
    pub(crate) doubled: u64,
    /// With the alerts that it had been told without.
    pub(crate) completed: u64,
}

/// One version's contents so far, as JSON with sorted keys, and whether each has its alerts.
type Contents = BTreeMap<String, bool>;

/// All lines of one sink.
#[derive(Default)]
pub(crate) struct ByContent {
    versions: BTreeMap<(String, String, String), Contents>,
    again: BTreeMap<String, Again>,
}

impl ByContent {
    /// Reads records as Microsoft wrote them, one a line.
    pub(crate) fn read(&mut self, lines: impl BufRead) -> io::Result<()> {
        for line in lines.split(b'\n') {
            // What is no record, the tally counts.
            if let Ok(record) = serde_json::from_slice::<Value>(&line?) {
                self.record(&record);
            }
        }
        Ok(())
    }

    fn record(&mut self, record: &Value) {
        let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
        let is_incident = record.get("incidentWebUrl").is_some() && record.get("evidence").is_none();
        let is_bare = is_incident && record.get("alerts").is_none();
        let kind = if is_incident { "incident" } else { "alert" };
        let tenant = text("tenantId");
        let version = (tenant.clone(), format!("{kind} {}", text("id")), text("lastUpdateDateTime"));
        let contents = self.versions.entry(version).or_default();
        let is_first = contents.is_empty();
        let is_new = contents.insert(record.to_string(), is_bare).is_none();
        let forms: BTreeSet<bool> = contents.values().copied().collect();
        if is_first {
            return;
        }
        let again = self.again.entry(tenant).or_default();
        match is_new && contents.len() == 2 && forms.len() == 2 {
            true => again.completed += 1,
            false => again.doubled += 1,
        }
    }

    /// By the tenant's id.
    pub(crate) fn again(self) -> BTreeMap<String, Again> {
        self.again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(lines: &[&str]) -> Again {
        let mut read = ByContent::default();
        read.read(lines.join("\n").as_bytes()).expect("read");
        read.again().remove("t").unwrap_or_default()
    }

    const ALERT: &str =
        r#"{"tenantId":"t","id":"1","lastUpdateDateTime":"x","evidence":[],"incidentWebUrl":"u"}"#;
    const BARE: &str = r#"{"tenantId":"t","id":"1","lastUpdateDateTime":"x","incidentWebUrl":"u"}"#;
    const WHOLE: &str =
        r#"{"tenantId":"t","id":"1","lastUpdateDateTime":"x","incidentWebUrl":"u","alerts":[1]}"#;
    const REORDERED: &str =
        r#"{"id":"1","tenantId":"t","lastUpdateDateTime":"x","alerts":[1],"incidentWebUrl":"u"}"#;
    const OTHER: &str =
        r#"{"tenantId":"t","id":"1","lastUpdateDateTime":"x","incidentWebUrl":"u","alerts":[2]}"#;

    #[test]
    fn the_same_content_again_is_a_copy_and_what_was_lacking_is_none() {
        let of = |doubled, completed| Again { doubled, completed };
        assert_eq!(again(&[ALERT, WHOLE]), of(0, 0), "an alert is not the incident of its id");
        assert_eq!(again(&[BARE, WHOLE]), of(0, 1));
        assert_eq!(again(&[WHOLE, BARE]), of(0, 1), "replayed in another order after a take-over");
        assert_eq!(again(&[WHOLE, REORDERED]), of(1, 0));
        assert_eq!(again(&[BARE, WHOLE, BARE]), of(1, 1));
        assert_eq!(again(&[WHOLE, OTHER]), of(1, 0), "one version, two contents");
        assert_eq!(again(&[ALERT, ALERT, ALERT]), of(2, 0));
    }
}
