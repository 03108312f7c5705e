//! An answer, and what its headers say.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{self, HeaderMap, HeaderName};

use crate::error::shown;
use crate::memory::Held;

/// An answer, read whole.
#[derive(Debug, Default)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Vec<u8>,
    /// What the body holds of the pool of memory; given back when it is dropped.
    pub held: Held,
}

impl Response {
    /// A header's value, fit for a message.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(shown)
    }

    /// The id under which the server's support finds the call, fit for a message: the server's own (`request-id`), or
    /// the one that came with the request and is said back (`client-request-id`).
    #[must_use]
    pub fn request_id(&self) -> Option<String> {
        let of = |name| self.header(name).filter(|id| !id.is_empty());
        of("request-id").or_else(|| of("client-request-id"))
    }

    /// How the server wants its callers to prove themselves: all its `WWW-Authenticate` headers, as one list.
    #[must_use]
    pub fn www_authenticate(&self) -> Option<String> {
        let values = self.headers.get_all(header::WWW_AUTHENTICATE).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The server's clock.
    #[must_use]
    pub fn date(&self) -> Option<Timestamp> {
        http_date(self.text(header::DATE)?)
    }

    /// How long the server asks to wait: `Retry-After` in seconds, or as a date beside the answer's own `Date`, so that
    /// no clock is needed. At most an hour is believed. RFC 9110 section 10.2.3.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        const MOST: Duration = Duration::from_secs(3600);
        let value = self.text(header::RETRY_AFTER)?;
        let wait = match value.trim().parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
            Err(_) => Duration::try_from(http_date(value)?.duration_since(self.date()?)).unwrap_or_default(),
        };
        Some(wait.min(MOST))
    }

    /// How long the answer may be kept: `Cache-Control: max-age`. RFC 9111 section 5.2.2.1.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        let mut directives = self.text(header::CACHE_CONTROL)?.split(',').map(str::trim);
        let seconds = directives.find_map(|directive| directive.strip_prefix("max-age="))?;
        Some(Duration::from_secs(seconds.trim_matches('"').parse().ok()?))
    }

    fn text(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// RFC 9110 section 5.6.7.
fn http_date(value: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(value).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn response(headers: &[(&'static str, &'static str)]) -> Response {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut response = Response::default();
        for (name, value) in headers {
            response.headers.append(name, value);
        }
        response
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        const NOW: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(response(&[NOW]).date().expect("a date").to_string(), "1994-11-06T08:49:37Z");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (value, wanted) in [
            ("7", seconds(7)),
            ("0", seconds(0)),
            ("0.5", Some(Duration::from_millis(500))),
            ("999999999", seconds(3_600)),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
            ("", None),
            ("Sun, 06 Nov 1994 08:50:00 GMT", seconds(23)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", seconds(0)),
        ] {
            assert_eq!(response(&[NOW, ("retry-after", value)]).retry_after(), wanted, "{value}");
        }
        // Without the server's own clock a date says nothing.
        assert_eq!(response(&[("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT")]).retry_after(), None);
        assert_eq!(response(&[]).retry_after(), None);
    }

    #[test]
    fn headers_are_read() {
        let told = response(&[
            ("cache-control", "public, max-age=\"60\""),
            ("www-authenticate", "Basic"),
            ("www-authenticate", "Bearer x"),
            ("warning", "part\tmissing"),
        ]);
        assert_eq!(told.max_age(), Some(Duration::from_secs(60)));
        assert_eq!(told.www_authenticate().as_deref(), Some("Basic, Bearer x"));
        assert_eq!(told.header("warning").as_deref(), Some("part missing"));
        assert_eq!(told.header("request-id"), None);
        assert_eq!(told.request_id(), None);
        let own = ("request-id", "4\t2");
        let sent = ("client-request-id", "7");
        assert_eq!(response(&[sent, own]).request_id().as_deref(), Some("4 2"));
        assert_eq!(response(&[sent, ("request-id", "")]).request_id().as_deref(), Some("7"));
    }
}
