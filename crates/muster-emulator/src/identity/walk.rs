//! A person's walk through the sign-in pages, in-process: the same pages that a browser is served, without one.

use bytes::Bytes;
use hyper::header::{COOKIE, HeaderMap, HeaderValue, LOCATION, SET_COOKIE};
use hyper::{Method, StatusCode};

use crate::errors::RequestError;
use crate::faults::active::Faults;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::world::tenants::World;

use super::platform::Identity;

/// No honest walk has more pages.
const PAGES_MAX: usize = 8;

/// What a walk goes through.
pub(crate) struct Platform<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) world: &'a World,
    pub(crate) faults: &'a Faults,
}

/// Signs in and consents or declines; gives where the browser is sent in the end.
pub(crate) fn walk(
    platform: &Platform<'_>,
    address: &str,
    account: &str,
    password: &str,
    consent: bool,
) -> Result<String, RequestError> {
    let address = url::Url::parse(address).map_err(|error| RequestError::SignIn(error.to_string()))?;
    let base = address.origin().ascii_serialization();
    let mut headers = HeaderMap::new();
    let query = address.query().unwrap_or("");
    let user_code = address.query_pairs().find(|pair| pair.0 == "otc").map(|pair| pair.1.into_owned());
    let mut answer = ask(platform, &base, Method::GET, address.path(), query, &headers, String::new());
    for _ in 0..PAGES_MAX {
        if answer.status == StatusCode::FOUND {
            let location = answer.headers.iter().find(|header| header.0 == LOCATION);
            return Ok(location.map(|header| header.1.clone()).unwrap_or_default());
        }
        let page = String::from_utf8_lossy(&answer.body).into_owned();
        let (Some(flow), Some(action)) =
            (between(&page, "name=\"flowToken\" value=\"", "\""), between(&page, "action=\"", "\""))
        else {
            return Err(RequestError::SignIn(text_of(&page)));
        };
        if page.contains("id=\"problem\"") {
            return Err(RequestError::SignIn(text_of(&page)));
        }
        for (_, cookie) in answer.headers.iter().filter(|header| header.0 == SET_COOKIE) {
            if let Ok(cookie) = HeaderValue::from_str(cookie.split(';').next().unwrap_or("")) {
                headers.insert(COOKIE, cookie);
            }
        }
        let decision = if consent { "accept" } else { "cancel" };
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("flowToken", flow).append_pair("loginfmt", account).append_pair("passwd", password);
        form.append_pair("choice", "other").append_pair("decision", decision);
        form.append_pair("otc", user_code.as_deref().unwrap_or(""));
        answer = ask(platform, &base, Method::POST, action, "", &headers, form.finish());
    }
    Err(RequestError::SignIn("the pages have no end".to_owned()))
}

fn ask(
    platform: &Platform<'_>,
    base: &str,
    method: Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: String,
) -> Answer {
    let call = Call { method: &method, path, query, headers, body: Bytes::from(body), base };
    platform.identity.answer(platform.world, platform.faults, &call, None)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|parts| parts.0)
}

/// What a page says, without its tags.
fn text_of(page: &str) -> String {
    let body = page.split_once("<main>").map_or(page, |parts| parts.1);
    let mut text = String::new();
    let mut inside = false;
    for letter in body.chars() {
        match letter {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            letter if !inside => text.push(letter),
            _ => {}
        }
    }
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
