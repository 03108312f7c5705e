//! What happens in the tenants: alerts and incidents, made from a seed or read from files.

pub(crate) mod appear;
pub(crate) mod cast;
pub(crate) mod changes;
pub(crate) mod clock;
pub(crate) mod dice;
pub(crate) mod evidence;
pub(crate) mod generate;
pub(crate) mod hostile;
pub(crate) mod json_text;
pub(crate) mod production;
pub(crate) mod query;
pub(crate) mod records;
pub(crate) mod story;
pub(crate) mod table;
pub(crate) mod template;
pub(crate) mod tenants;
pub(crate) mod ticks;
pub(crate) mod truth;
pub(crate) mod view;
