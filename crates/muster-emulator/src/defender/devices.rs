//! The devices whose detections are asked for.

use serde_json::Value;

/// Which devices are asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Devices {
    pub(crate) groups: Vec<String>,
    /// One of each list is wanted.
    pub(crate) tags: [Vec<String>; 2],
}

impl Devices {
    pub(crate) fn are_all(&self) -> bool {
        self.groups.is_empty() && self.tags.iter().all(Vec::is_empty)
    }

    /// Whether a detection is of one of them.
    pub(crate) fn have(&self, detection: &[u8]) -> bool {
        let detection: Value = serde_json::from_slice(detection).unwrap_or(Value::Null);
        let text = |field: &str| detection[field].as_str().unwrap_or_default();
        let tags = [text("DeviceCreatedMachineTags"), text("CloudCreatedMachineTags")];
        let tagged = self.tags.iter().zip(tags).all(|(wanted, has)| {
            wanted.is_empty() || has.split([',', ';']).any(|tag| wanted.iter().any(|one| one == tag.trim()))
        });
        tagged && (self.groups.is_empty() || self.groups.iter().any(|group| group == text("MachineGroup")))
    }
}
