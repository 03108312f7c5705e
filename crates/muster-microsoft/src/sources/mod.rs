//! One file per source.
//!
//! To add a source: add a variant to `muster_model::Source`, copy a file here, add its line to [`declaration`], and follow
//! the compiler. A file declares where its source is read, what may be asked, and which permissions that needs. Paging, tokens, throttling and cursors are common to all: `plan.rs` says what is asked next
//! and what a failure means.

mod count;
mod declaration;
mod endpoint_alerts;
mod graph_alerts;
mod graph_hunting;
mod graph_incidents;
mod plan;
mod siem_feed;
mod streaming;
mod xdr_hunting;
mod xdr_incidents;

use muster_model::Source;

use crate::entra::permissions::Permission;

pub use crate::api::family::Api;
pub use count::{count, read_count};
pub use declaration::{AnnouncedEnd, Declaration, Dialect, Field, Rung};
pub use plan::{
    AfterFailure, PageRequest, Target, after_bare, after_failure, after_unreadable, belongings, glance,
    is_bare, one, request,
};
pub use siem_feed::SiemFeed;

/// What `source` needs: any one of these will do, the first is the least.
#[must_use]
pub fn permissions(source: Source) -> &'static [&'static Permission] {
    declaration(source).permissions
}

/// What a token must hold for `source`: any one of these. None: its tokens do not say whether it may be read.
#[must_use]
pub fn in_tokens(source: Source) -> &'static [&'static Permission] {
    let Declaration { permissions, tokens_tell, .. } = declaration(source);
    if *tokens_tell { permissions } else { &[] }
}

/// The API that `source` is read by.
///
/// # Panics
/// For a stream, of which Microsoft is not asked.
pub(crate) fn api(source: Source) -> Api {
    declaration(source).api.expect("a stream is read where it lies, and not asked of Microsoft")
}

/// What a source declares.
#[must_use]
pub fn declaration(source: Source) -> &'static Declaration {
    match source {
        Source::GraphAlerts => &graph_alerts::DECLARATION,
        Source::GraphIncidents => &graph_incidents::DECLARATION,
        Source::EndpointAlerts => &endpoint_alerts::DECLARATION,
        Source::XdrIncidents => &xdr_incidents::DECLARATION,
        Source::SiemFeed => &siem_feed::DECLARATION,
        Source::GraphHunting(_) => &graph_hunting::DECLARATION,
        Source::XdrHunting(_) => &xdr_hunting::DECLARATION,
        Source::Streaming(_) => &streaming::DECLARATION,
    }
}
