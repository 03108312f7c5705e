//! The table of answers: for each that may come when a page is asked for, what is asked next, when, and how often.
//!
//! The code goes by this table: [`FetchError::case`] says which row an answer is, `sources::after_failure` obeys its
//! [`Next`], the collector its [`Wait`], and [`FetchError::fault`] its [`Row::fault`], from which `meaning.rs` goes on to the state
//! that a source is shown in. `docs/answers.md` shows the same table, and a test compares the two. Answers of another API are
//! further rows.

use std::time::Duration;

use muster_http::TransportError;

use super::failure::FetchError;
use crate::entra::error::TokenError;
use crate::{Fault, SourceWord};

/// How many tokens are shown for one question: a token may have been revoked before its time.
pub const TOKENS_MAX: u32 = 2;
/// Pages that one source may read before others have their turn.
pub const PAGES_PER_TURN: u32 = 8;
/// The longest wait that a server is granted.
pub const ASKED_WAIT_MAX: Duration = Duration::from_secs(3_600);
/// The longest wait of our own, or one interval of polling where that is longer.
pub const OWN_WAIT_MAX: Duration = Duration::from_secs(300);
/// The wait while less and less is asked for, to find what gets no answer.
pub const SEARCH_WAIT: Duration = Duration::from_secs(1);

/// An answer, or what came in place of one: a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Case {
    /// 429 that says for how long.
    Throttled,
    /// 429 that does not.
    ThrottledUntold,
    /// 401 for the first token.
    Unauthorized,
    /// 401 again, or 403 from Microsoft.
    Denied,
    /// 403 from Microsoft, although the token has the permission.
    Withheld,
    /// 401 again, although the token has the permission.
    NotKnownYet,
    /// 401 or 403 from somebody else.
    Blocked,
    /// The tenant has no licence.
    NoLicence,
    /// The token lacks a permission.
    MissingRole,
    /// No token.
    NoToken,
    /// 400, and whatever else says that the question is wrong.
    BadRequest,
    /// 500 and 504: the question may be too much.
    Failed,
    /// The other 5xx, and 408: the service is in trouble.
    Unavailable,
    /// 200 with something that is no page of records.
    NotAPage,
    /// 200 with an empty page that has a link.
    EmptyPage,
    /// 206, or a `Warning` of code 199.
    Partial,
    /// No answer in time, or too slowly.
    Timeout,
    /// The connection broke.
    Broken,
    /// No connection.
    Unreachable,
    /// An answer of more than is taken.
    TooLarge,
    /// A redirect.
    Redirect,
    /// A link to another host.
    ForeignLink,
    /// Our own budget is used up.
    OverBudget,
    /// Our own memory is full.
    MemoryFull,
}

/// What is asked next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The same again, after the wait.
    Same,
    /// The same at once with another token; after that it is a refusal.
    NewToken,
    /// What follows, at once, while the turn lasts.
    Onward,
    /// What is asked in another way at once, where there is one; else the same, after the wait.
    Otherwise,
    /// The same without the link, at once; else the same, after the wait.
    WithoutLink,
    /// Less at once; then less and less.
    Less,
    /// The same the first time; from the second time in a row on less and less.
    LessWhenLasting,
}

/// How long is waited before the same is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The first wait; it doubles with each failure in a row, up to [`OWN_WAIT_MAX`].
    pub first: Duration,
    /// Whether the server is asked how long: then at least as above, and at most [`ASKED_WAIT_MAX`].
    pub as_told: bool,
    /// Whether it counts as a failure of the source.
    pub counts: bool,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub case: Case,
    /// The answer, in words.
    pub answer: &'static str,
    /// What it is taken for, in words.
    pub meaning: &'static str,
    /// Which kind of trouble it is, where that is always the same.
    pub fault: Option<Fault>,
    /// What is asked next.
    pub next: Next,
    /// When; nothing where what follows is asked at once.
    pub wait: Option<Wait>,
}

const fn wait(first_seconds: u64) -> Option<Wait> {
    Some(Wait { first: Duration::from_secs(first_seconds), as_told: false, counts: true })
}

const fn told(first_seconds: u64) -> Option<Wait> {
    Some(Wait { first: Duration::from_secs(first_seconds), as_told: true, counts: true })
}

const fn ours(first_seconds: u64) -> Option<Wait> {
    Some(Wait { first: Duration::from_secs(first_seconds), as_told: true, counts: false })
}

const fn row(
    case: Case,
    answer: &'static str,
    meaning: &'static str,
    fault: Option<Fault>,
    next: Next,
    wait: Option<Wait>,
) -> Row {
    Row { case, answer, meaning, fault, next, wait }
}

/// The table.
#[rustfmt::skip]
pub const TABLE: [Row; 24] = [
    row(Case::Throttled, "429 with `Retry-After` in seconds (0 too) or as a date",
        "throttled: no request of the same API, tenant and app goes out before", Some(Fault::Throttled), Next::Same, told(1)),
    row(Case::ThrottledUntold, "429 without `Retry-After`, or with a negative one or words",
        "throttled, likewise", Some(Fault::Throttled), Next::Same, wait(30)),
    row(Case::Unauthorized, "401, with a claims challenge or without",
        "the token has ended before its time", None, Next::NewToken, None),
    row(Case::Denied, "403 with Microsoft's JSON that speaks of a permission, or for a token that cannot be read; 401 for the new token too, likewise; either from the old SIEM feed",
        "access is refused; a person has to act", Some(Fault::AccessRefused), Next::Same, wait(2)),
    row(Case::Withheld, "403 with Microsoft's JSON, although the token has the permission",
        "consent is not missing: the tenant is not set up for the product or has no licence for it, or the person who signed in has no role for it", Some(Fault::NoLicence), Next::Same, wait(2)),
    row(Case::NotKnownYet, "401 for the new token too, although it has the permission",
        "consent is not missing: the service does not know the app in this tenant yet", Some(Fault::Other), Next::Same, wait(2)),
    row(Case::Blocked, "401 or 403 with a web page or with `UnknownError`",
        "something in between answered, or a passing fault of Microsoft's front; nothing is known of the access", Some(Fault::ApiDown), Next::Same, told(2)),
    row(Case::NoLicence, "an error that speaks of a licence, `TenantDeploymentNotFound`, `HostNotFound`",
        "the tenant has no licence for the API", Some(Fault::NoLicence), Next::Same, wait(2)),
    row(Case::MissingRole, "a token without the permission",
        "no consent; nothing is asked of the API", Some(Fault::MissingRole), Next::Same, wait(2)),
    row(Case::NoToken, "no token",
        "as the identity platform says", None, Next::Same, told(2)),
    row(Case::BadRequest, "400, 404 and other 4xx",
        "the question is not taken: without the link, without order, in other parts, without `$expand`", Some(Fault::Other), Next::Otherwise, wait(2)),
    row(Case::Failed, "500, 504",
        "in passing, or the question is too much", Some(Fault::ApiDown), Next::LessWhenLasting, told(2)),
    row(Case::Unavailable, "502, 503, other 5xx, 408",
        "the service is in trouble", Some(Fault::ApiDown), Next::Same, told(2)),
    row(Case::NotAPage, "200 with a web page, other JSON, or nothing",
        "no page of records; its beginning is kept", Some(Fault::Other), Next::LessWhenLasting, wait(2)),
    row(Case::EmptyPage, "200 with no records and a link, hundreds of times",
        "ordinary; a link that was followed in this round already is not followed again", None, Next::Onward, None),
    row(Case::Partial, "206, or `Warning: 199` of a Microsoft product",
        "what is there is accepted, what is missing is shown", None, Next::Onward, None),
    row(Case::Timeout, "no answer in time, or less than 20 KiB of it in 20 s",
        "in passing, or the question is too much", Some(Fault::Unreachable), Next::LessWhenLasting, wait(2)),
    row(Case::Broken, "a reset, or a body that breaks off",
        "in passing, or the question is too much", Some(Fault::Unreachable), Next::LessWhenLasting, wait(2)),
    row(Case::Unreachable, "no connection",
        "the network, a proxy or DNS", Some(Fault::Unreachable), Next::Same, wait(2)),
    row(Case::TooLarge, "more than 32 MiB, unpacked",
        "the page is too large; what is too large by itself is kept as a dead letter with its beginning", Some(Fault::Other), Next::Less, wait(2)),
    row(Case::Redirect, "301 and other redirects",
        "something in between; never followed", Some(Fault::Misconfigured), Next::Same, wait(2)),
    row(Case::ForeignLink, "a link to another host",
        "never followed; what is behind it is asked for by time", Some(Fault::Other), Next::WithoutLink, wait(2)),
    row(Case::OverBudget, "none: our own budget is used up",
        "Microsoft was not asked", Some(Fault::Throttled), Next::Same, ours(1)),
    row(Case::MemoryFull, "none: other answers fill the memory",
        "nothing is known of the access", None, Next::Same, ours(2)),
];

/// The row of `case`.
#[must_use]
pub fn rule(case: Case) -> &'static Row {
    TABLE.iter().find(|row| row.case == case).expect("every case has its row: a test looks")
}

impl Row {
    /// What is asked next and when, in words.
    #[must_use]
    pub fn again(&self) -> String {
        let wait = self.wait.map(|wait| {
            let (first, own, asked) =
                (wait.first.as_secs(), OWN_WAIT_MAX.as_secs() / 60, ASKED_WAIT_MAX.as_secs() / 3_600);
            match wait {
                Wait { counts: false, .. } => {
                    format!("as soon as there is room, {first} s at least; no failure of the source")
                }
                Wait { as_told: true, .. } => format!(
                    "when it says, at most {asked} h; else, and at the soonest, after {first} s, doubled each time up to {own} min"
                ),
                Wait { .. } => format!("after {first} s, doubled each time up to {own} min"),
            }
        });
        let search = SEARCH_WAIT.as_secs();
        let wait = wait.unwrap_or_default();
        match self.next {
            Next::Same => wait,
            Next::NewToken => format!("at once with a new token; {TOKENS_MAX} tokens for one question"),
            Next::Onward => {
                format!("what follows, at once; {PAGES_PER_TURN} pages, then others have their turn")
            }
            Next::Otherwise => format!("in another way at once, each way once; else {wait}"),
            Next::WithoutLink => format!("at once without the link; else {wait}"),
            Next::Less => {
                format!("less at once, then half as much each {search} s; the smallest part {wait}")
            }
            Next::LessWhenLasting => format!("{wait}; from the second time on less, each {search} s"),
        }
    }

    /// In which state a source is shown after it, in words.
    #[must_use]
    pub fn shown(&self) -> String {
        match (self.fault, self.case) {
            (_, Case::OverBudget) => "`throttled` while a 429 blocks the budget; else as before".to_owned(),
            (Some(fault), _) => format!("`{}`", fault.meaning().state),
            (None, Case::NoToken) => "as [the kind of trouble says](states.md)".to_owned(),
            (None, Case::Partial) => format!("`{}`", SourceWord::Partial),
            (None, _) => "as before".to_owned(),
        }
    }

    /// The row as `docs/answers.md` shows it.
    #[must_use]
    pub fn in_markdown(&self) -> String {
        format!("| {} | {} | {} | {} |", self.answer, self.meaning, self.shown(), self.again())
    }
}

impl FetchError {
    /// Which row of the table it is.
    #[must_use]
    pub fn case(&self) -> Case {
        match self {
            Self::Throttled { told: true, .. } => Case::Throttled,
            Self::Throttled { .. } => Case::ThrottledUntold,
            Self::OverBudget { .. } => Case::OverBudget,
            Self::Denied { .. } | Self::NotAllowed { .. } => Case::Denied,
            Self::Withheld { status: 401, .. } => Case::NotKnownYet,
            Self::Withheld { .. } => Case::Withheld,
            Self::Blocked { .. } => Case::Blocked,
            Self::NoLicence { .. } => Case::NoLicence,
            Self::MissingRole { .. } => Case::MissingRole,
            Self::Token(TokenError::Transport(TransportError::MemoryFull { .. })) => Case::MemoryFull,
            Self::Token(_) => Case::NoToken,
            Self::BadRequest { .. } => Case::BadRequest,
            Self::Unavailable { status: 500 | 504, .. } => Case::Failed,
            Self::Unavailable { .. } => Case::Unavailable,
            Self::ForeignLink(_) => Case::ForeignLink,
            Self::Transport(error) => match error {
                TransportError::Connect { .. } => Case::Unreachable,
                TransportError::Timeout { .. } | TransportError::TooSlow { .. } => Case::Timeout,
                TransportError::Broken { .. } => Case::Broken,
                TransportError::TooLarge { .. } => Case::TooLarge,
                TransportError::Redirect { .. } => Case::Redirect,
                TransportError::MemoryFull { .. } => Case::MemoryFull,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_http::Response;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::api::failure;

    fn answer(status: u16, body: &str, retry_after: Option<&'static str>) -> Response {
        let mut answer = Response { status, body: body.as_bytes().to_vec(), ..Response::default() };
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        answer.headers.insert(HeaderName::from_static("date"), date);
        if let Some(wait) = retry_after {
            let wait = HeaderValue::from_static(wait);
            answer.headers.insert(HeaderName::from_static("retry-after"), wait);
        }
        answer
    }

    fn json(code: &str, message: &str) -> String {
        format!(r#"{{"error":{{"code":"{code}","message":"{message}"}}}}"#)
    }

    #[test]
    fn every_case_has_one_row() {
        for (place, row) in TABLE.iter().enumerate() {
            assert_eq!(rule(row.case), row, "one row only");
            assert!(TABLE[..place].iter().all(|other| other.answer != row.answer));
            assert!(!row.again().is_empty() && row.wait.is_none_or(|wait| wait.first >= SEARCH_WAIT));
        }
    }

    #[test]
    fn the_figures_in_words_are_those_of_the_client() {
        let options = muster_http::ClientOptions::default();
        assert!(rule(Case::TooLarge).answer.contains("32 MiB") && options.body_bytes_max == 32 << 20);
        let least = options.least_bytes_per_second * muster_http::RATE_WINDOW.as_secs() as usize;
        assert!(rule(Case::Timeout).answer.contains("20 KiB of it in 20 s") && least == 20 << 10);
    }

    #[test]
    fn refusals_find_their_rows() {
        let web_page = "<html><body>Access denied by policy</body></html>";
        for (status, body, case) in [
            (401, json("InvalidAuthenticationToken", "expired"), Case::Denied),
            (403, json("Forbidden", "no"), Case::Denied),
            (403, web_page.to_owned(), Case::Blocked),
            (401, web_page.to_owned(), Case::Blocked),
            (403, json("UnknownError", "<html>"), Case::Blocked),
            (403, json("Forbidden", "The tenant is not licensed"), Case::NoLicence),
            (404, json("TenantDeploymentNotFound", "none"), Case::NoLicence),
            (500, json("HostNotFound", "none"), Case::NoLicence),
            (400, json("BadRequest", "no"), Case::BadRequest),
            (404, json("ResourceNotFound", "no"), Case::BadRequest),
            (404, web_page.to_owned(), Case::BadRequest),
            (408, String::new(), Case::Unavailable),
            (500, json("InternalServerError", "oh"), Case::Failed),
            (504, web_page.to_owned(), Case::Failed),
            (502, web_page.to_owned(), Case::Unavailable),
            (503, json("ServiceUnavailable", "later"), Case::Unavailable),
        ] {
            let error = failure::of(&answer(status, &body, None));
            assert_eq!(error.case(), case, "{status} {body}: {error}");
        }
    }

    #[test]
    fn a_refusal_of_a_token_that_has_the_permission_is_about_something_else() {
        use crate::entra::credential::Access::{Application, Delegated};
        let of = |status, code: &str, message: &str, access| {
            let error = failure::of(&answer(status, &json(code, message), None)).for_permitted(access);
            (error.case(), error.fault())
        };
        let (withheld, lacking) = (Case::Withheld, crate::Fault::PersonLacksRole);
        assert_eq!(of(403, "Forbidden", "no", Application), (withheld, crate::Fault::NoLicence));
        assert_eq!(of(403, "Forbidden", "no", Delegated), (withheld, lacking));
        assert_eq!(of(401, "Unauthorized", "no", Application), (Case::NotKnownYet, crate::Fault::Other));
        // What the service says of permissions counts for more than what the token said.
        let denied = (Case::Denied, crate::Fault::MissingRole);
        assert_eq!(of(403, "InsufficientGraphPermissions", "", Application), denied);
        assert_eq!(
            of(403, "Forbidden", "Missing application roles. API required roles: X", Application),
            denied
        );
        let none = (Case::NoLicence, crate::Fault::NoLicence);
        assert_eq!(of(500, "HostNotFound", "", Application), none);
        assert_eq!(of(404, "TenantDeploymentNotFound", "", Application), none);
        let web_page = failure::of(&answer(403, "<html>", None)).for_permitted(Application);
        assert_eq!(web_page.case(), Case::Blocked);
    }

    #[test]
    fn what_a_server_asks_for_is_read_or_is_not() {
        let told = |value| answer(503, "", value).retry_after();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(told(Some("7")), seconds(7));
        assert_eq!(told(Some("0")), seconds(0));
        assert_eq!(told(Some("Sun, 06 Nov 1994 08:50:07 GMT")), seconds(30));
        assert_eq!(told(Some("99999")), seconds(3_600));
        assert_eq!(told(Some("Mon, 07 Nov 1994 08:50:07 GMT")), seconds(3_600));
        for no_time in [None, Some("-5"), Some("soon")] {
            assert_eq!(told(no_time), None);
        }
    }

    #[test]
    fn what_did_not_come_finds_its_row() {
        let host = || "graph.example".to_owned();
        let second = Duration::from_secs(1);
        for (error, case) in [
            (
                TransportError::Connect { host: host(), detail: String::new(), obstacle: None },
                Case::Unreachable,
            ),
            (TransportError::Timeout { host: host(), after: second }, Case::Timeout),
            (TransportError::TooSlow { host: host(), bytes: 7, after: second }, Case::Timeout),
            (TransportError::Broken { host: host(), detail: String::new(), obstacle: None }, Case::Broken),
            (TransportError::TooLarge { host: host(), limit_bytes: 1, beginning: vec![] }, Case::TooLarge),
            (TransportError::Redirect { host: host(), status: 302, to: host() }, Case::Redirect),
            (TransportError::MemoryFull { host: host() }, Case::MemoryFull),
        ] {
            assert_eq!(FetchError::from(error).case(), case);
        }
        assert_eq!(FetchError::OverBudget { wait: second, throttled: false }.case(), Case::OverBudget);
        assert_eq!(FetchError::ForeignLink(host()).case(), Case::ForeignLink);
        assert_eq!(FetchError::Throttled { wait: second, told: true }.case(), Case::Throttled);
        assert_eq!(FetchError::Throttled { wait: second, told: false }.case(), Case::ThrottledUntold);
        let token = TokenError::Busy { status: 503, retry_after: None };
        assert_eq!(FetchError::from(token).case(), Case::NoToken);
        // Neither is a failure of the source.
        for case in [Case::OverBudget, Case::MemoryFull] {
            assert!(rule(case).wait.is_some_and(|wait| !wait.counts));
        }
    }
}
