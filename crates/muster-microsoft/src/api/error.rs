//! The error body that Microsoft Graph and Azure Key Vault share: `{"error":{"code","message"}}`.
//!
//! Source: Microsoft Graph "error responses and resource types"; Azure Key Vault "Authentication, requests and responses".

use muster_http::{Response, shown};
use serde::Deserialize;

#[derive(Deserialize)]
struct Body {
    error: Detail,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The code and message of an error body, fit for a message; `None` when it is none.
pub(crate) fn read(body: &[u8]) -> Option<(String, String)> {
    let Body { error } = muster_model::json::from_answer(body).ok()?;
    Some((shown(&error.code), shown(&error.message)))
}

/// The same of an answer of Graph, with the request's id for Microsoft's support; in place of a body that is none, how it
/// begins.
pub(crate) fn of_graph(answer: &Response) -> (String, String) {
    let (code, mut message) = read(&answer.body).unwrap_or_else(|| {
        let beginning = String::from_utf8_lossy(&answer.body[..answer.body.len().min(120)]);
        ("no code".to_owned(), shown(&beginning))
    });
    if let Some(id) = answer.header("request-id").or_else(|| answer.header("x-ms-request-id")) {
        message.push_str(&format!(" (request-id {id})"));
    }
    (code, message)
}
