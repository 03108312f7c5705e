//! The parts of a URL as ECS names them. Microsoft's URLs come with and without a scheme, and from attackers; what
//! has no parts is kept as a whole.

use muster_model::json::Text;

use super::document::{Document, field};
use crate::formats::view::bare_url;

/// Adds a URL and its parts, and its host to `related.hosts`.
pub(super) fn add<'a>(document: &mut Document<'a>, text: Text<'a>) {
    if text.is_blank() {
        return;
    }
    let text = bare_url(text);
    let text_of = text.decoded();
    document.add(field!("url.original"), text);
    if let Some(parts) = Parts::of(&text_of) {
        document.add(field!("url.full"), text);
        document.plain(field!("url.scheme"), parts.scheme.to_lowercase());
        let host = parts.host.to_lowercase();
        if !host.is_empty() {
            // ECS wants the brackets of an IPv6 address here.
            document.plain(field!("url.domain"), host.clone());
            add_related(document, &host);
        }
        if let Some(port) = parts.port.and_then(|port| port.parse::<u16>().ok()) {
            document.number(field!("url.port"), i64::from(port));
        }
        for (field, part) in [
            (field!("url.username"), parts.username),
            (field!("url.password"), parts.password),
            (field!("url.path"), parts.path),
            (field!("url.query"), parts.query),
            (field!("url.fragment"), parts.fragment),
        ] {
            document.plain(field, part.to_owned());
        }
        let name = parts.path.rsplit('/').next().unwrap_or_default();
        if let Some((stem, extension)) = name.rsplit_once('.')
            && !stem.is_empty()
        {
            document.plain(field!("url.extension"), extension.to_owned());
        }
    } else if !text_of.contains('/') && text_of.contains('.') {
        let host = text_of.trim().to_lowercase();
        document.plain(field!("url.domain"), host.clone());
        document.plain(field!("related.hosts"), host);
    }
}

/// Adds the host of a URL, or a bare host, to what is related.
pub(super) fn add_host<'a>(document: &mut Document<'a>, text: Text<'a>) {
    let text = bare_url(text).decoded();
    let host = match Parts::of(&text) {
        Some(parts) => parts.host.to_lowercase(),
        None if !text.contains('/') && text.contains('.') => text.trim().to_lowercase(),
        None => return,
    };
    add_related(document, &host);
}

/// A host is among the addresses or among the hosts.
fn add_related(document: &mut Document<'_>, host: &str) {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // The zone of an address is no part of it.
    let address = bare.split('%').next().unwrap_or_default();
    if address.parse::<std::net::IpAddr>().is_ok() {
        document.plain(field!("related.ip"), address.to_owned());
    } else {
        document.plain(field!("related.hosts"), host.to_owned());
    }
}

/// The parts of a URL with a scheme, as they stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'u> {
    pub(super) scheme: &'u str,
    pub(super) username: &'u str,
    pub(super) password: &'u str,
    /// With the brackets of an IPv6 address.
    pub(super) host: &'u str,
    pub(super) port: Option<&'u str>,
    pub(super) path: &'u str,
    pub(super) query: &'u str,
    pub(super) fragment: &'u str,
}

impl<'u> Parts<'u> {
    pub(super) fn of(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.trim().split_once("://")?;
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(letters) {
            return None;
        }
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let slash = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(slash);
        let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (username, password) = user.split_once(':').unwrap_or((user, ""));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (host, Some(port))
            }
            _ => (place, None),
        };
        Some(Self { scheme, username, password, host, port, path, query, fragment })
    }
}

#[cfg(test)]
mod tests {
    use super::Parts;

    #[test]
    fn urls_are_taken_apart() {
        let parts = Parts::of("HTTP://me:secret@[2001:db8::1]:8080/a/b.gif?k=v#there").expect("a URL");
        assert_eq!(
            (parts.scheme, parts.username, parts.host, parts.port),
            ("HTTP", "me", "[2001:db8::1]", Some("8080"))
        );
        assert_eq!((parts.path, parts.query, parts.fragment), ("/a/b.gif", "k=v", "there"));
        let parts = Parts::of("http://[2001:db8::1]/a").expect("a URL");
        assert_eq!((parts.host, parts.port), ("[2001:db8::1]", None));
        assert_eq!(Parts::of("https://x.example").expect("a URL").path, "");
        assert_eq!(Parts::of("x.example/a"), None);
        assert_eq!(Parts::of("not a url://x"), None);
    }
}
