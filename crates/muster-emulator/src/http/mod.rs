//! HTTP: what comes in, what goes out, and how both travel.

pub(crate) mod answer;
pub(crate) mod call;
pub(crate) mod hosts;
pub(crate) mod listener;
pub(crate) mod tls;
