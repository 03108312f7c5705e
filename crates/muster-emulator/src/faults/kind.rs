//! What the emulator does wrong on purpose.
//!
//! A fault is asked for over the control API or the handle. It concerns an area, one tenant or all, a number of requests
//! or all until it is cleared, one request in so many, and some time. There are three classes:
//!
//! - An *answer* replaces a request's answer. A request suffers at most one: the oldest that fits.
//! - A *quirk* is how a service is. All that fit are met at once.
//! - A *state* (consent, roles, lateness) is no single request's: it holds while it is in force, lateness until cleared.
//!
//! | answer | token | API | what a client sees |
//! |---|---|---|---|
//! | `throttle`, `throttle_with` | x | x | 429 with `Retry-After` in seconds; with any text in it, or without it |
//! | `status` | x | x | that status with the documented error body |
//! | `error`, `html_status` | | x | that status with any code and message; with a web page |
//! | `unauthorized` | | x | 401, with a claims challenge if asked for |
//! | `stall` | x | x | headers and a part of the body, then nothing; without `after_bytes` not even headers |
//! | `cut`, `reset` | x | x | a part of the promised body, or nothing at all, then the connection is closed |
//! | `trickle` | x | x | the right answer without `Content-Length`, a few bytes a second |
//! | `truncate`, `empty_body` | x | x | half the body, or none, in well-formed HTTP |
//! | `slow` | x | x | the right answer, late |
//! | `html` | x | x | status 200 and a web page, as captive portals and proxies answer |
//! | `garbage` | x | x | status 200 and text that begins like JSON |
//! | `invalid_utf8` | x | x | bytes that are no UTF-8 inside a string |
//! | `oversized`, `bomb` | x | x | a body of many megabytes, as it is or packed by gzip |
//! | `redirect` | x | x | 302 to another host |
//! | `wrong_tenant_token` | x | | a valid token of another tenant |
//! | `refuse` | x | | the refusal of an AADSTS code, also on the sign-in pages (area `authorize`) |
//!
//! The lists of Graph (areas `graph`, `graph_alerts`, `graph_incidents`) and of the Defender APIs (`defender`,
//! `endpoint_alerts`, `xdr_incidents`, `siem_feed`) have the same quirks, as far as they make sense there.
//!
//! Hunting queries (areas `graph_hunting`, `xdr_hunting`, `endpoint_hunting`) suffer the answers and the states, and of the quirks
//! those that are no list's.
//!
//! | quirk of lists | what a client sees |
//! |---|---|
//! | `ignore_orderby`, `refuse_orderby` | the default order whatever was asked for; 400 |
//! | `shuffled_order` | no order; the first `ascending_pages` pages ascend each in itself all the same |
//! | `skip_limit`, `top_limit` | 400 above a `$skip`; a larger `$top` refused, or cut down without a link |
//! | `refuse_filter` | 400 for a property, an operator or `count` |
//! | `skip_token` | links with an opaque `$skiptoken` |
//! | `small_pages` | fewer records than `$top`, by chance if `ragged`, and links |
//! | `empty_pages` | so many empty pages with links before each page |
//! | `link_on_last_page` | a link on the last page, which leads to an empty one |
//! | `missing_next_link`, `next_link_loop`, `next_link_elsewhere` | no link though more follows; one to itself; one to another host |
//! | `refuse_expand` | an error where `$expand` meets an incident of more than so many alerts, or an alert of so much evidence; 206 and none of it |
//! | `poisoned` | 500 for every answer that would hold the record |
//! | `partial` | 206, `Warning: 199`, and nothing of a product |
//! | `warning`, `date_header` | a `Warning` that means nothing; a wrong, malformed or missing `Date` |
//! | `rewritten` | other whitespace and order of keys: equal as JSON |
//! | `update_while_paged` | alerts change after each page |
//! | `lying_count` | an `@odata.count` that is not the number of records, or no number |
//! | `without_length` | no `Content-Length` |
//! | `byte_order_mark`, `control_character`, `unreadable_record`, `deep_nesting` | flaws in a page |
//! | `junk_items` | so many items that are no records, of four kinds or all `different` |
//!
//! | state | what a client sees |
//! |---|---|
//! | `revoke_tenant` | no token (700016 unless told); tokens issued before get 401 |
//! | `remove_role` | tokens without the role, and 403 |
//! | `claims_challenge` | 401 with `insufficient_claims` until a token answers the challenge |
//! | `late_visibility` | new versions become visible later than their update time |
//! | `hostile` (at once) | records with control characters, wrong types and missing ids |
//!
//! `down` and `never_acknowledge` are for the areas `hec`, `syslog` and `ingest` only, with `status`, `throttle`, `stall`, `cut` and
//! `slow`.

use serde::{Deserialize, Serialize};

use crate::receivers::{ReceiverFault, ReceiverName};
use crate::world::query::List;

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// The token endpoints.
    Token,
    /// Sign-in and consent pages; takes `refuse` only.
    Authorize,
    /// Discovery documents and keys.
    Discovery,
    /// Managed identities.
    ManagedIdentity,
    /// Key vaults.
    KeyVault,
    /// Graph's calls about applications and the directory.
    Applications,
    /// All of Graph.
    Graph,
    /// Graph's alerts only.
    GraphAlerts,
    /// Graph's incidents only.
    GraphIncidents,
    /// Graph's hunting queries only.
    GraphHunting,
    /// All of the Defender APIs.
    Defender,
    /// Alerts of Defender for Endpoint only.
    EndpointAlerts,
    /// Incidents of Defender XDR only.
    XdrIncidents,
    /// Detections of the retired SIEM API only.
    SiemFeed,
    /// Hunting queries of Defender XDR only.
    XdrHunting,
    /// Hunting queries of Defender for Endpoint only.
    EndpointHunting,
    /// The Splunk receiver.
    Hec,
    /// The syslog receivers.
    Syslog,
    /// The data collection rule of Azure Monitor.
    Ingest,
}

impl Area {
    /// Where a list is asked for.
    pub(crate) fn of(list: List) -> Self {
        match list {
            List::Alerts => Self::GraphAlerts,
            List::Incidents => Self::GraphIncidents,
        }
    }
}

/// What goes wrong; the module's documentation tells how it looks from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// 429.
    Throttle {
        /// The `Retry-After` header, in seconds.
        retry_after_seconds: u32,
    },
    /// 429 with any text as `Retry-After`.
    ThrottleWith {
        /// The header; absent: none.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// A status with any error in the documented shape.
    Error {
        /// The HTTP status.
        status: u16,
        /// The code of the error.
        code: String,
        /// Its message.
        #[serde(default)]
        message: String,
    },
    /// A status with a web page.
    HtmlStatus {
        /// The HTTP status.
        status: u16,
    },
    /// 401.
    Unauthorized {
        /// Whether it asks for claims.
        #[serde(default)]
        challenge: bool,
    },
    /// The connection is closed before any answer.
    Reset,
    /// The right answer, without `Content-Length`, drop by drop.
    Trickle {
        /// How fast.
        bytes_per_second: u32,
    },
    /// No body.
    EmptyBody,
    /// A body that gzip makes small.
    Bomb {
        /// How large it is unpacked.
        megabytes: u32,
    },
    /// Another status.
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// No answer, or half an answer that never goes on.
    Stall {
        /// How much of the body is sent before; absent: not even the headers.
        #[serde(default)]
        after_bytes: Option<u64>,
    },
    /// The connection closed in the middle of the body.
    Cut {
        /// How much of the body is sent before.
        #[serde(default)]
        after_bytes: u64,
    },
    /// Half the body in well-formed HTTP.
    Truncate,
    /// The right answer, late.
    Slow {
        /// How late, in milliseconds.
        milliseconds: u64,
    },
    /// A web page with status 200.
    Html,
    /// Malformed JSON with status 200.
    Garbage,
    /// Bytes that are no UTF-8.
    InvalidUtf8,
    /// A body of many megabytes.
    Oversized {
        /// How many.
        megabytes: u32,
    },
    /// 302 to another host.
    Redirect {
        /// Where to.
        location: String,
    },
    /// The tenant's consent is withdrawn.
    RevokeTenant {
        /// The AADSTS code of the token endpoint: 700016 (app unknown in the tenant) when absent, or 7000112.
        #[serde(default)]
        code: Option<u32>,
    },
    /// The app lost a role in the tenant.
    RemoveRole {
        /// The role, for example `SecurityAlert.Read.All`.
        role: String,
    },
    /// The refusal of an AADSTS code.
    Refuse {
        /// The code, for example 53003.
        code: u32,
        /// For this app only; absent: for all.
        #[serde(default)]
        app: Option<String>,
    },
    /// Tokens are refused until one is shown that was asked for with these claims.
    ClaimsChallenge {
        /// The claims, as JSON; absent: that the token is newer than a moment long ago.
        #[serde(default)]
        claims: Option<String>,
    },
    /// A token of another tenant.
    WrongTenantToken,
    /// A record nested deep.
    DeepNesting {
        /// How many levels.
        depth: u32,
    },
    /// Hostile records are added to the tenant (all tenants when none is named) at once.
    Hostile,
    /// A `nextLink` to another host.
    NextLinkElsewhere {
        /// Scheme, host and port of the link.
        origin: String,
    },
    /// A `nextLink` to the same page, for ever.
    NextLinkLoop,
    /// No `nextLink` on a full page.
    MissingNextLink,
    /// `$orderby` is not obeyed.
    IgnoreOrderby,
    /// `$orderby` is refused.
    RefuseOrderby,
    /// There is no order.
    ShuffledOrder {
        /// So many pages, the first ones, ascend in themselves.
        #[serde(default)]
        ascending_pages: u32,
    },
    /// A `$skip` above this is refused.
    SkipLimit {
        /// The largest `$skip`.
        most: u32,
    },
    /// A `$top` above this is not obeyed.
    TopLimit {
        /// The largest `$top`.
        most: u32,
        /// Whether a larger one gives a page of this size, without a link; else it is refused.
        #[serde(default)]
        clamp: bool,
    },
    /// A property or an operator (`lt`, `severity`) is refused in `$filter`; `count` refuses `$count`.
    RefuseFilter {
        /// Which.
        word: String,
    },
    /// Links are opaque.
    SkipToken,
    /// Pages hold fewer records than asked for.
    SmallPages {
        /// The most that they hold.
        most: u32,
        /// Whether they hold fewer than that by chance.
        #[serde(default)]
        ragged: bool,
    },
    /// Empty pages with links stand before each page.
    EmptyPages {
        /// How many.
        pages: u32,
    },
    /// The last page has a link too.
    LinkOnLastPage,
    /// `$expand=alerts` fails.
    RefuseExpand {
        /// The status; 206: the incidents come without their alerts.
        status: u16,
        /// Where an incident of the page has more alerts than this.
        #[serde(default)]
        above: u32,
    },
    /// Every answer that would hold a record is 500.
    Poisoned {
        /// The record; absent: chance chooses.
        #[serde(default)]
        id: Option<String>,
        /// One record in so many.
        #[serde(default)]
        one_record_in: u32,
    },
    /// A product does not answer.
    Partial {
        /// Its `serviceSource`.
        provider: String,
    },
    /// A `Warning` header that means nothing.
    Warning {
        /// Its code, for example 110.
        code: u16,
        /// What it says.
        text: String,
    },
    /// The `Date` header is not the present.
    DateHeader {
        /// How far it is wrong, in seconds; 0 with no text: there is none.
        #[serde(default)]
        seconds: i64,
        /// What it says in place of a time.
        #[serde(default)]
        text: Option<String>,
    },
    /// Records are written anew: equal as JSON, other bytes.
    Rewritten,
    /// Alerts of the tenant change after each page.
    UpdateWhilePaged {
        /// How many.
        alerts: u32,
    },
    /// `$count` is answered wrongly.
    LyingCount {
        /// By how many it is wrong.
        #[serde(default)]
        by: i64,
        /// What stands in place of a number, as JSON.
        #[serde(default)]
        json: Option<String>,
    },
    /// No `Content-Length`.
    WithoutLength,
    /// A byte-order mark before the body.
    ByteOrderMark,
    /// A raw control character in the first title.
    ControlCharacter,
    /// One record of the page is broken JSON.
    UnreadableRecord {
        /// Its place in the page.
        #[serde(default)]
        place: u32,
    },
    /// Pieces that are no records.
    JunkItems {
        /// How many.
        items: u32,
        /// Whether no two of them are alike.
        #[serde(default)]
        different: bool,
    },
    /// New versions are visible later than they were made.
    LateVisibility {
        /// At least so many seconds.
        from_seconds: u64,
        /// At most so many.
        to_seconds: u64,
        /// One version in so many; absent: all.
        #[serde(default = "one")]
        one_version_in: u32,
    },
    /// A receiver refuses connections.
    Down,
    /// A receiver takes events and never acknowledges them.
    NeverAcknowledge,
    /// The Splunk receiver answers some requests with 503, and loses others that it has answered as ever.
    Unreliable {
        /// One request in so many is answered with 503; 0 for none.
        busy_one_in: u32,
        /// One request in so many is lost; 0 for none.
        lost_one_in: u32,
    },
    /// A firewall before the Splunk receiver refuses some events with a page of its own.
    Firewall {
        /// The HTTP status of the page.
        status: u16,
        /// One event in so many is refused, by its id; 0 for every request with events.
        one_event_in: u32,
    },
    /// The Splunk receiver loses some events after it has acknowledged them.
    Forgets {
        /// One event in so many, by its id.
        one_event_in: u32,
    },
    /// The rule of Azure Monitor takes rows and closes the connection in place of an answer.
    LosesAnswers {
        /// One request in so many.
        one_in: u32,
    },
}

fn one() -> u32 {
    1
}

/// How long a fault holds and what it makes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultClass {
    /// Holds until cleared; no single request suffers it.
    State,
    /// How a service is: met together with others.
    Quirk,
    /// The answer itself: one for a request.
    Answer,
}

impl FaultKind {
    pub(crate) fn class(&self) -> FaultClass {
        match self {
            Self::RevokeTenant { .. }
            | Self::RemoveRole { .. }
            | Self::Refuse { .. }
            | Self::ClaimsChallenge { .. }
            | Self::Hostile
            | Self::LateVisibility { .. } => FaultClass::State,
            Self::IgnoreOrderby
            | Self::RefuseOrderby
            | Self::ShuffledOrder { .. }
            | Self::SkipLimit { .. }
            | Self::TopLimit { .. }
            | Self::RefuseFilter { .. }
            | Self::SkipToken
            | Self::SmallPages { .. }
            | Self::EmptyPages { .. }
            | Self::LinkOnLastPage
            | Self::MissingNextLink
            | Self::NextLinkLoop
            | Self::NextLinkElsewhere { .. }
            | Self::RefuseExpand { .. }
            | Self::Poisoned { .. }
            | Self::Partial { .. }
            | Self::Warning { .. }
            | Self::DateHeader { .. }
            | Self::Rewritten
            | Self::UpdateWhilePaged { .. }
            | Self::LyingCount { .. }
            | Self::WithoutLength
            | Self::ByteOrderMark
            | Self::ControlCharacter
            | Self::UnreadableRecord { .. }
            | Self::DeepNesting { .. }
            | Self::JunkItems { .. } => FaultClass::Quirk,
            _ => FaultClass::Answer,
        }
    }
}

/// A fault as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Where.
    pub area: Area,
    /// For which tenant (GUID or domain); absent: for all. Receivers know no tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// For how many requests; absent: until cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// One request in so many, by chance; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_in: Option<u32>,
    /// How long after it was asked for it begins, in seconds of the emulator's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_seconds: Option<u64>,
    /// How long it lasts then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    /// How often it begins anew, counted from its first beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_seconds: Option<u64>,
    /// What.
    #[serde(flatten)]
    pub kind: FaultKind,
}

impl Fault {
    /// A fault of all tenants until it is cleared.
    pub fn new(area: Area, kind: FaultKind) -> Self {
        Self {
            area,
            tenant: None,
            count: None,
            one_in: None,
            after_seconds: None,
            for_seconds: None,
            every_seconds: None,
            kind,
        }
    }

    /// The same for one tenant only.
    #[must_use]
    pub fn for_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// The same for some requests only.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// The same for one request in so many.
    #[must_use]
    pub fn one_in(mut self, requests: u32) -> Self {
        self.one_in = Some(requests);
        self
    }

    /// The same some time from now, for some time.
    #[must_use]
    pub fn during(mut self, after_seconds: u64, for_seconds: u64) -> Self {
        (self.after_seconds, self.for_seconds) = (Some(after_seconds), Some(for_seconds));
        self
    }

    /// The same again and again, each time for as long as it lasts.
    #[must_use]
    pub fn every(mut self, seconds: u64) -> Self {
        self.every_seconds = Some(seconds);
        self
    }

    /// Whether it is in force so many seconds after it was asked for.
    pub(crate) fn is_due(&self, elapsed_seconds: i64) -> bool {
        let elapsed = elapsed_seconds.max(0).unsigned_abs();
        let Some(since) = elapsed.checked_sub(self.after_seconds.unwrap_or(0)) else { return false };
        let within = self.every_seconds.filter(|every| *every > 0).map_or(since, |every| since % every);
        self.for_seconds.is_none_or(|lasting| within < lasting)
    }

    /// What a receiver is to do, for the areas of receivers; `None` also for what such a receiver cannot do.
    pub(crate) fn for_receivers(&self) -> Option<(&'static [ReceiverName], ReceiverFault)> {
        let receivers: &[ReceiverName] = match self.area {
            Area::Hec => &[ReceiverName::Hec],
            Area::Ingest => &[ReceiverName::Ingest],
            Area::Syslog => &[ReceiverName::SyslogUdp, ReceiverName::SyslogTcp, ReceiverName::SyslogTls],
            _ => return None,
        };
        let (is_hec, is_ingest) = (self.area == Area::Hec, self.area == Area::Ingest);
        let is_possible = match self.kind {
            FaultKind::Forgets { .. } => is_hec,
            FaultKind::LosesAnswers { .. } => is_ingest,
            FaultKind::NeverAcknowledge => !is_ingest,
            // Only the collector acknowledges later, so that it can lose what it has answered.
            FaultKind::Unreliable { lost_one_in, .. } => is_hec || is_ingest && lost_one_in == 0,
            FaultKind::Firewall { .. } | FaultKind::Status { .. } | FaultKind::Throttle { .. } => {
                is_hec || is_ingest
            }
            _ => true,
        };
        if !is_possible {
            return None;
        }
        let fault = match self.kind {
            FaultKind::Down => ReceiverFault::Down,
            FaultKind::NeverAcknowledge => ReceiverFault::NeverAcknowledge,
            FaultKind::Unreliable { busy_one_in, lost_one_in } => {
                ReceiverFault::Unreliable { busy_one_in, lost_one_in }
            }
            FaultKind::Firewall { status, one_event_in } => ReceiverFault::Firewall { status, one_event_in },
            FaultKind::Forgets { one_event_in } => ReceiverFault::Forgets { one_event_in },
            FaultKind::LosesAnswers { one_in } => ReceiverFault::LosesAnswers { one_in },
            FaultKind::Status { status } => ReceiverFault::Status { status, retry_after_seconds: None },
            FaultKind::Throttle { retry_after_seconds } => {
                ReceiverFault::Status { status: 429, retry_after_seconds: Some(retry_after_seconds) }
            }
            FaultKind::Stall { .. } => ReceiverFault::Stall,
            FaultKind::Cut { after_bytes } => ReceiverFault::CutAfterBytes(after_bytes),
            FaultKind::Slow { milliseconds } => ReceiverFault::Slow { milliseconds },
            _ => return None,
        };
        Some((receivers, fault))
    }
}
