//! A request about the directory: who asks, for what, and how answers and refusals are written.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::graph::service::{Caller, Refusal, refusal};
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::identity::directory::directory_role;
use crate::identity::platform::Identity;
use crate::world::tenants::World;

pub(super) const CONTEXT: &str = "https://graph.microsoft.com/v1.0/$metadata#";

const APPLICATION_WRITERS: &[&str] = &["Application.ReadWrite.All"];
pub(super) const APPLICATION_READERS: &[&str] = &[
    "Application.ReadWrite.All",
    "Application.ReadWrite.OwnedBy",
    "Application.Read.All",
    "Directory.Read.All",
];

pub(super) type Answered = Result<Answer, Refusal>;

/// One request about the directory.
pub(super) struct Request<'a> {
    pub(super) world: &'a World,
    pub(super) identity: &'a Identity,
    pub(super) call: &'a Call<'a>,
    pub(super) caller: &'a Caller,
}

/// How a single object is named: by its object id, or by the id of its app.
pub(super) enum Key<'a> {
    Object(&'a str),
    App(String),
}

impl Request<'_> {
    pub(super) fn tenant(&self) -> u32 {
        self.caller.tenant
    }

    /// The caller needs one of the permissions; on behalf of a person it takes the person's role, too.
    pub(super) fn may(&self, permissions: &[&str], roles: &[&str]) -> Result<(), Refusal> {
        let claims = self.caller.claims();
        let person = claims.scp.is_none()
            || roles.is_empty()
            || roles
                .iter()
                .filter_map(|role| directory_role(role))
                .any(|id| claims.wids.iter().any(|own| own == id));
        if claims.allows(permissions) && person { Ok(()) } else { Err(denied()) }
    }

    pub(super) fn may_write_applications(&self) -> Result<(), Refusal> {
        self.may(
            APPLICATION_WRITERS,
            &["Global Administrator", "Application Administrator", "Cloud Application Administrator"],
        )
    }

    pub(super) fn may_assign(&self, permission: &str) -> Result<(), Refusal> {
        self.may(&[permission], &["Global Administrator", "Privileged Role Administrator"])
    }

    pub(super) fn body(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(&self.call.body).ok().filter(Value::is_object).ok_or_else(|| {
            refusal(
                StatusCode::BAD_REQUEST,
                "BadRequest",
                "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid \
                 JSON format.",
            )
        })
    }

    pub(super) fn no_such_call(&self) -> Refusal {
        refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        )
    }

    /// The equalities of `$filter`.
    pub(super) fn filter(&self) -> Result<BTreeMap<String, String>, Refusal> {
        let filter = url::form_urlencoded::parse(self.call.query.as_bytes())
            .find(|pair| pair.0 == "$filter")
            .map(|pair| pair.1.into_owned());
        let Some(filter) = filter else { return Ok(BTreeMap::new()) };
        filter
            .split(" and ")
            .map(|part| {
                let (field, value) = part.trim().split_once(" eq ")?;
                let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
                Some((field.trim().to_owned(), value.replace("''", "'")))
            })
            .collect::<Option<_>>()
            .ok_or_else(|| {
                refusal(
                    StatusCode::BAD_REQUEST,
                    "Request_UnsupportedQuery",
                    "Unsupported or invalid query filter clause specified.",
                )
            })
    }

    pub(super) fn selects(&self, property: &str) -> bool {
        url::form_urlencoded::parse(self.call.query.as_bytes())
            .any(|pair| pair.0 == "$select" && pair.1.split(',').any(|own| own.trim() == property))
    }
}

pub(super) fn denied() -> Refusal {
    refusal(
        StatusCode::FORBIDDEN,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
}

pub(super) fn bad(text: impl Into<String>) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, "Request_BadRequest", text)
}

pub(super) fn not_found(id: &str) -> Refusal {
    let text = format!(
        "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
    );
    refusal(StatusCode::NOT_FOUND, "Request_ResourceNotFound", text)
}

pub(super) fn no_content() -> Answer {
    Answer::empty(StatusCode::NO_CONTENT)
}

pub(super) fn with_context(name: &str, mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        let mut all = serde_json::Map::new();
        all.insert("@odata.context".to_owned(), Value::from(format!("{CONTEXT}{name}/$entity")));
        all.append(fields);
        return Value::Object(all);
    }
    value
}

pub(super) fn one(status: StatusCode, name: &str, value: Value) -> Answer {
    Answer::json(status, with_context(name, value).to_string())
}

pub(super) fn many(name: &str, values: Vec<Value>) -> Answer {
    let body = json!({"@odata.context": format!("{CONTEXT}{name}"), "value": values});
    Answer::json(StatusCode::OK, body.to_string())
}
