//! The pages that customers' administrators see: templates, words and headers. Everything that is put into a page is
//! escaped by the templates' engine; nothing on a page comes from another address, and no page runs a script.

use std::sync::Arc;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value, context};
use muster_model::text::plain;

use crate::config::OnboardingSettings;
use crate::web::language::{Language, Variable, Words};

const STYLE: &str = include_str!("templates/style.css");
const TEMPLATES: [(&str, &str); 7] = [
    ("base.html", include_str!("templates/base.html")),
    ("landing.html", include_str!("templates/landing.html")),
    ("organization.html", include_str!("templates/organization.html")),
    ("revoke.html", include_str!("templates/revoke.html")),
    ("status.html", include_str!("templates/status.html")),
    ("message.html", include_str!("templates/message.html")),
    ("other_tenant.html", include_str!("templates/other_tenant.html")),
];

/// Variables of a page that every message may use.
const EVERYWHERE: [&str; 3] = ["provider", "customer", "app_id"];

pub(super) struct Pages {
    templates: Environment<'static>,
    words: Arc<Words>,
    provider: String,
    contact: Contact,
    policy: HeaderValue,
    https: bool,
}

/// What every page is written with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) language: Language,
    pub(super) status: StatusCode,
    /// Whether the languages can be picked: only where the page's address leads back to it.
    pub(super) picker: bool,
    /// Seconds after which the browser asks again.
    pub(super) refresh: Option<u32>,
}

impl Frame {
    /// A page that is what was asked for, and is asked for once.
    pub(super) fn new(language: Language) -> Self {
        Self { language, status: StatusCode::OK, picker: true, refresh: None }
    }

    /// An answer that its address does not lead back to.
    pub(super) fn once(language: Language, status: StatusCode) -> Self {
        Self { status, picker: false, ..Self::new(language) }
    }
}

#[derive(Debug, Clone)]
struct Contact {
    text: String,
    href: Option<String>,
}

impl Contact {
    /// A link where the contact is a mail or web address; text otherwise.
    fn of(text: &str) -> Self {
        let is_mail = text.split_once('@').is_some_and(|(name, host)| {
            let plain = |part: &str| {
                !part.is_empty()
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
            };
            plain(name) && plain(host) && host.contains('.')
        });
        let href = match text {
            _ if is_mail => Some(format!("mailto:{text}")),
            _ if text.starts_with("https://") => url::Url::parse(text).ok().map(String::from),
            _ => None,
        };
        Self { text: text.to_owned(), href }
    }
}

impl Pages {
    /// Pages for these settings. `login_origin` is where forms may lead besides these pages.
    ///
    /// # Panics
    /// Never: the built-in templates are well formed, and a test writes each page.
    pub(super) fn new(settings: &OnboardingSettings, login_origin: &str) -> Self {
        let words = Arc::new(Words::load());
        let mut templates = Environment::new();
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        for (name, source) in TEMPLATES {
            templates.add_template(name, source).expect("the built-in templates are well formed");
        }
        let said = Arc::clone(&words);
        templates.add_function("t", move |state: &State<'_, '_>, key: &str, values: Kwargs| {
            say(&said, state, key, &values)
        });
        let hash = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes()));
        // A browser holds a form's redirects to `form-action` too, and from Microsoft's page an organisation's own sign-in
        // may come next, at an address that nobody knows here: any https will do.
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self' https: {login_origin}; base-uri 'none'; frame-ancestors 'none'"
        );
        Self {
            templates,
            words,
            provider: settings.provider_name.clone(),
            contact: Contact::of(&settings.contact),
            policy: HeaderValue::from_str(&policy).expect("an origin has no control characters"),
            https: settings.public_url.scheme() == "https",
        }
    }

    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    pub(super) fn answer(&self, frame: Frame, template: &str, values: Value) -> Response {
        let languages: Vec<_> = Language::ALL
            .iter()
            .map(|language| context! { tag => language.tag(), name => language.own_name() })
            .collect();
        let page = self.templates.get_template(template).and_then(|template| {
            template.render(context! {
                lang => frame.language.tag(),
                languages,
                picker => frame.picker,
                refresh => frame.refresh,
                style => STYLE,
                provider => plain(&self.provider),
                contact => context! { text => plain(&self.contact.text), href => self.contact.href.clone() },
                ..values
            })
        });
        match page {
            Ok(page) => {
                let mut answer = (frame.status, page).into_response();
                self.put_headers(answer.headers_mut());
                answer.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static(frame.language.tag()));
                answer
            }
            Err(error) => {
                tracing::error!(error = %format!("{error:#}"), template, "a page cannot be written");
                let mut answer =
                    (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong. Please try again later.\n")
                        .into_response();
                self.put_headers(answer.headers_mut());
                answer
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                answer
            }
        }
    }

    /// Sends the browser on with a GET.
    pub(super) fn redirect(&self, to: &str) -> Response {
        let Ok(location) = HeaderValue::from_str(to) else {
            tracing::error!("an address to send the browser to has control characters in it");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let mut answer = StatusCode::SEE_OTHER.into_response();
        self.put_headers(answer.headers_mut());
        answer.headers_mut().insert(axum::http::header::LOCATION, location);
        answer
    }

    fn put_headers(&self, headers: &mut HeaderMap) {
        let fixed = [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CACHE_CONTROL, "no-store"),
            // Other sites learn nothing; without it, browsers would say `Origin: null` with forms to ourselves.
            (REFERRER_POLICY, "same-origin"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
            (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        if self.https {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
    }
}

/// The template function `t(key, variable=…)`: the words of the page's language.
fn say(words: &Words, state: &State<'_, '_>, key: &str, values: &Kwargs) -> Result<String, Error> {
    let language = state.lookup("lang").and_then(|tag| tag.as_str().and_then(|tag| tag.parse().ok()));
    let everywhere = EVERYWHERE.iter().filter_map(|name| Some((*name, state.lookup(name)?)));
    let given = values.args().map(|name| Ok((name, values.get::<Value>(name)?)));
    let given: Vec<(&str, Value)> = given.collect::<Result<_, Error>>()?;
    let variables = everywhere.chain(given).filter_map(|(name, value)| {
        let variable = match value.as_i64() {
            Some(number) => Variable::Count(number),
            None => Variable::Text(value.as_str()?.to_owned().into()),
        };
        Some((name, variable))
    });
    let variables: Vec<_> = variables.collect();
    words
        .say(language.unwrap_or_default(), key, variables.iter().map(|(name, value)| (*name, value.clone())))
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error))
}

/// The keys that templates name themselves, for the test that no message is unused.
#[cfg(test)]
pub(super) fn keys_in_templates() -> std::collections::BTreeSet<String> {
    let mut keys = std::collections::BTreeSet::new();
    for (_, source) in TEMPLATES {
        for part in source.split("t(\"").skip(1) {
            keys.extend(part.split('"').next().map(str::to_owned));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_becomes_a_link_only_where_it_is_an_address() {
        let href = |text: &str| Contact::of(text).href;
        assert_eq!(href("soc@northwind.example").as_deref(), Some("mailto:soc@northwind.example"));
        assert_eq!(href("https://northwind.example/help").as_deref(), Some("https://northwind.example/help"));
        for plain in ["+49 30 123", "javascript:alert(1)", "a@b.c?subject=x", "http://x.example", "@", "a@b"]
        {
            assert_eq!(href(plain), None, "{plain}");
        }
    }
}
