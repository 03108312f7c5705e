//! Advanced hunting: a query in KQL, asked of one tenant, and the rows that answer it.

mod answer;
mod api;
mod kql;
mod run;
mod saved;

pub use answer::{Cell, Column, HuntingAnswer, Unreadable, put_right};
pub use api::{HuntingApi, HuntingQuery, ROWS_MAX};
pub(crate) use api::{patient, roomy};
pub use run::HuntError;
pub use saved::{HuntTrouble, SavedHunt};
