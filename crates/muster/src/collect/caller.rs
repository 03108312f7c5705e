//! Who asks Microsoft for a page: one turn of one source, from its place.

use muster_microsoft::entra::credential::App;
use muster_microsoft::sources::Target;
use muster_microsoft::{FetchError, FetchedPage, Microsoft};
use muster_model::{Purpose, Source, TenantId};

use super::place::Place;

/// What a turn needs to ask.
pub(crate) struct Caller<'a> {
    pub(crate) microsoft: &'a Microsoft,
    pub(crate) app: &'a App,
    pub(crate) tenant: TenantId,
    pub(crate) source: Source,
    pub(crate) purpose: Purpose,
    pub(crate) place: &'a Place,
}

impl Caller<'_> {
    /// Asks for a page. A long wait is waited without a place.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(crate) async fn fetch(&self, target: &Target) -> Result<FetchedPage, FetchError> {
        let Self { microsoft, app, tenant, source, purpose, place } = *self;
        let page = place.waiting(microsoft.fetch(app, tenant, source, purpose, target)).await;
        let result = page.as_ref().map_or_else(FetchError::kind, |_| "ok");
        metrics::counter!(
            "muster_requests_total",
            "source" => source.as_str(), "purpose" => purpose.as_str(), "result" => result
        )
        .increment(1);
        page
    }
}
