//! The bytes of a page.

use std::ops::Deref;
use std::sync::Arc;

use super::{List, NotAPage, Page, split_text};
use crate::RecordKind;

/// The bytes of a page: text, which whatever is made of it may hold as well, unless it is not all UTF-8.
#[derive(Debug, Clone)]
pub enum Body {
    /// UTF-8.
    Text(Arc<String>),
    /// Something in it is not UTF-8.
    Bytes(Vec<u8>),
}

impl Body {
    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&Arc<String>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(_) => None,
        }
    }

    /// Takes it apart as [`super::split`] does.
    ///
    /// # Errors
    /// Those of [`super::split`].
    pub fn split(&self, kind: RecordKind, list: List, items_max: usize) -> Result<Page<'_>, NotAPage> {
        split_text((self, self.text().map(|text| text.as_str())), kind, list, items_max)
    }

    /// Its bytes; copied only where somebody else holds them as well.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => Arc::unwrap_or_clone(text).into_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(Arc::new(text)),
            Err(error) => Self::Bytes(error.into_bytes()),
        }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}
