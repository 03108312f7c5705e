//! The Defender for Endpoint and Defender XDR APIs: other hosts, tokens, words and rules than Graph's, over the same world.

pub(crate) mod detection;
pub(crate) mod devices;
pub(crate) mod feed;
pub(crate) mod service;
pub(crate) mod translate;
pub(crate) mod words;
