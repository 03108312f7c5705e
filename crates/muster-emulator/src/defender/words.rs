//! The values of enumerations in the words of the Defender APIs, and back. One word stands for one value in each API.

use crate::world::query::Field;
use crate::world::view::View;

/// Graph's word and the other, where they differ by more than their first letter.
type Words = &'static [(&'static str, &'static str)];

const SEVERITY: Words = &[("unknown", "UnSpecified")];
const ENDPOINT_DETERMINATION: Words = &[
    ("compromisedAccount", "CompromisedUser"),
    ("notMalicious", "Clean"),
    ("notEnoughDataToValidate", "InsufficientData"),
];
const XDR_DETERMINATION: Words = &[
    ("unknown", "NotAvailable"),
    ("notMalicious", "Clean"),
    ("notEnoughDataToValidate", "NoEnoughDataToValidate"),
];
const DETECTION: Words = &[
    ("microsoftDefenderForEndpoint", "WindowsDefenderAtp"),
    ("antivirus", "WindowsDefenderAv"),
    ("smartScreen", "WindowsDefenderSmartScreen"),
    ("customTi", "CustomerTI"),
    ("microsoftThreatExperts", "ThreatExperts"),
    ("microsoftDefenderForOffice365", "OfficeATP"),
    ("cloudAppSecurity", "MCAS"),
    ("azureAdIdentityProtection", "AAD"),
    ("microsoftDefenderForIdentity", "AzureATP"),
];
const SERVICE: Words = &[
    ("azureAdIdentityProtection", "AADIdentityProtection"),
    ("microsoftDefenderForCloudApps", "MicrosoftCloudAppSecurity"),
];

fn words(view: View, field: Field) -> Words {
    match (field, view) {
        (Field::Severity, _) => SEVERITY,
        (Field::Determination, View::Endpoint) => ENDPOINT_DETERMINATION,
        (Field::Determination, _) => XDR_DETERMINATION,
        (Field::DetectionSource, _) => DETECTION,
        (Field::ServiceSource, _) => SERVICE,
        _ => &[],
    }
}

/// A value of Graph's as the API of `view` writes it.
pub(crate) fn written(view: View, field: Field, graph: &str) -> String {
    if view == View::Graph || field == Field::AssignedTo {
        return graph.to_owned();
    }
    let known = words(view, field).iter().find(|(own, _)| *own == graph);
    known.map_or_else(|| capitalized(graph), |(_, other)| (*other).to_owned())
}

/// Graph's value for one that the API of `view` writes so.
pub(crate) fn read(view: View, field: Field, word: &str) -> String {
    if view == View::Graph || field == Field::AssignedTo {
        return word.to_owned();
    }
    let known = words(view, field).iter().find(|(_, other)| *other == word);
    known.map_or_else(|| uncapitalized(word), |(own, _)| (*own).to_owned())
}

pub(crate) fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn uncapitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_leads_back() {
        for view in [View::Endpoint, View::Xdr] {
            for (field, values) in [
                (Field::Severity, &["unknown", "informational", "low", "medium", "high"][..]),
                (Field::Status, &["new", "inProgress", "resolved", "active", "redirected"]),
                (Field::DetectionSource, &["antivirus", "customTi", "customDetection", "manual"]),
                (Field::Determination, &["compromisedAccount", "notMalicious", "malware"]),
                (Field::AssignedTo, &["soc1@contoso.example"]),
            ] {
                for value in values {
                    let word = written(view, field, value);
                    assert_eq!(read(view, field, &word), *value, "{word}");
                }
            }
        }
        assert_eq!(written(View::Xdr, Field::Status, "inProgress"), "InProgress");
        assert_eq!(written(View::Graph, Field::Status, "inProgress"), "inProgress");
    }
}
