//! Mail addresses that come with the name of whose they are: fields for addresses hold the address.

use muster_model::RecordKind::{GraphAlert, HuntingRow, XdrIncident};
use serde_json::json;

use super::{ecs, line, ocsf};

#[test]
fn address_fields_of_messages_hold_bare_addresses() {
    let body = json!({
        "id": "1", "title": "x", "createdDateTime": "2026-03-02T08:15:30Z",
        "evidence": [{
            "@odata.type": "#microsoft.graph.security.analyzedMessageEvidence", "networkMessageId": "n1",
            "p1Sender": {"emailAddress": "<bounce@mail.example>", "displayName": "b", "domainName": "mail.example"},
            "p2Sender": {"emailAddress": "\"Boss, The\" <boss@mail.example>", "displayName": "The Boss"},
            "recipientEmailAddress": "Ida Sund <ida.sund@fabrikam.example>",
        }],
    });
    // A serializer may escape the marks.
    let body = body.to_string().replace('<', "\\u003C").replace('>', "\\u003E");
    let document = ecs(GraphAlert, &body);
    assert_eq!(document["email"]["from"]["address"], json!(["boss@mail.example"]));
    assert_eq!(document["email"]["sender"]["address"], "bounce@mail.example");
    assert_eq!(document["email"]["to"]["address"], json!(["ida.sund@fabrikam.example"]));
    let users = document["related"]["user"].as_array().expect("a list");
    for address in ["boss@mail.example", "bounce@mail.example", "ida.sund@fabrikam.example"] {
        assert!(users.contains(&json!(address)), "{users:?}");
    }

    let event = ocsf(GraphAlert, &body);
    let email = &event["evidences"][0]["email"];
    assert_eq!(email["from"], "boss@mail.example");
    assert_eq!(email["to"], json!(["ida.sund@fabrikam.example"]));
    assert_eq!(email["return_path"], "bounce@mail.example");
    let observed: Vec<_> = event["observables"].as_array().expect("a list").iter().collect();
    let addresses: Vec<_> = observed
        .iter()
        .filter(|one| one["type_id"] == 5)
        .map(|one| one["value"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(addresses, ["ida.sund@fabrikam.example", "bounce@mail.example", "boss@mail.example"]);

    for format in ["cef", "leef"] {
        let fields = line(format, GraphAlert, &body);
        let text = |key: &str| fields.get(key).cloned().unwrap_or_default();
        let (recipient, senders) =
            if format == "cef" { ("duser", "muSenders") } else { ("recipient", "senders") };
        assert_eq!(text(recipient), "ida.sund@fabrikam.example", "{fields:?}");
        assert_eq!(text(senders), "bounce@mail.example; boss@mail.example", "{fields:?}");
    }
}

#[test]
fn address_fields_of_rows_and_entities_hold_bare_addresses() {
    let body = json!({
        "Timestamp": "2026-03-02T08:15:30Z", "NetworkMessageId": "n1", "EmailDirection": "Inbound",
        "SenderFromAddress": "The Boss <boss@mail.example>", "SenderMailFromAddress": "<bounce@mail.example>",
        "RecipientEmailAddress": "Ida Sund <ida.sund@fabrikam.example>", "Subject": "x", "SenderIPv4": "203.0.113.7",
    })
    .to_string();
    let document = ecs(HuntingRow, &body);
    assert_eq!(document["email"]["from"]["address"], json!(["boss@mail.example"]));
    assert_eq!(document["email"]["sender"]["address"], "bounce@mail.example");
    assert_eq!(document["email"]["to"]["address"], json!(["ida.sund@fabrikam.example"]));
    let event = ocsf(HuntingRow, &body);
    assert_eq!(
        (&event["email"]["from"], &event["email"]["to"]),
        (&json!("boss@mail.example"), &json!(["ida.sund@fabrikam.example"]))
    );
    let fields = line("cef", HuntingRow, &body);
    assert_eq!(fields["duser"], "ida.sund@fabrikam.example");
    // The name is not lost.
    assert_eq!(fields["muRecipientEmailAddress"], "Ida Sund <ida.sund@fabrikam.example>");

    let body = json!({
        "incidentId": 1, "incidentName": "x", "createdTime": "2026-03-02T08:15:30Z",
        "alerts": [{"alertId": "a", "title": "x", "devices": [], "entities": [
            {"entityType": "MailMessage", "sender": "The Boss <boss@mail.example>", "recipient": "Ida <ida.sund@fabrikam.example>"},
        ]}],
    });
    let document = ecs(XdrIncident, &body.to_string());
    assert_eq!(document["email"]["from"]["address"], json!(["boss@mail.example"]));
    assert_eq!(document["email"]["to"]["address"], json!(["ida.sund@fabrikam.example"]));
}

#[test]
fn a_sender_without_an_address_is_related_by_its_name_and_domain() {
    let body = json!({
        "id": "1", "title": "x", "createdDateTime": "2026-03-02T08:15:30Z",
        "evidence": [{
            "@odata.type": "#microsoft.graph.security.analyzedMessageEvidence", "networkMessageId": "n1",
            "p1Sender": {"emailAddress": "bounce@mail.example", "displayName": "b", "domainName": "other.example"},
            "p2Sender": {"emailAddress": null, "displayName": "The Boss", "domainName": "mail.example"},
        }],
    });
    let document = ecs(GraphAlert, &body.to_string());
    assert_eq!(document["related"]["user"], json!(["The Boss", "bounce@mail.example"]));
    assert_eq!(document["related"]["hosts"], json!(["mail.example"]));
}
