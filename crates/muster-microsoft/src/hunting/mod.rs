//! Advanced hunting: a query in KQL, asked of one tenant, and the rows that answer it.

mod answer;
mod api;
mod run;

pub use answer::{Cell, Column, HuntingAnswer, Unreadable, put_right};
pub use api::{HuntingApi, HuntingQuery};
pub use run::HuntError;
