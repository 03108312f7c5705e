//! A request as the parts of the outside world see it.

use std::collections::HashMap;

use bytes::Bytes;
use hyper::Method;
use hyper::header::HeaderMap;

/// A request, read whole.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
    /// Scheme and host as the client wrote them.
    pub(crate) base: &'a str,
}

/// The fields of a query or a form; of a repeated one the first counts.
pub(crate) fn fields_of(text: &[u8]) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    for (name, value) in url::form_urlencoded::parse(text) {
        fields.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    fields.retain(|_, value: &mut String| !value.is_empty());
    fields
}
