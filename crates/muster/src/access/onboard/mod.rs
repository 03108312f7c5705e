//! How a customer becomes a tenant that is read: invitation, consent, proof, checks. The one place of it; its doors are
//! `commands/tenant.rs` and `web/onboarding.rs`.
//!
//! The states: `invited` when the link is made; `consented` when a token was had there, which is the proof, never what
//! the browser says; `verifying` while the sources are tried; `active` when each can be read. A tenant that is active or
//! paused already and is invited again stays so all the way: collecting goes on.
//!
//! What is known lies in the store's checks ([`CONSENT`], and those of the sources), so that the page and `muster tenant
//! show` say the same and a restart forgets nothing. [`Onboarding::run`] looks at them; it takes no input but a poke.

mod answer;
pub mod guide;
mod invitation;
pub mod link;
mod notice;
mod onboarding;
mod progress;
mod queue;
mod verify;
mod visit;

pub use answer::{Answered, Connected};
pub use invitation::{Invited, invite, link_of, offboard};
pub use notice::{Hint, Notice, meaning};
pub use onboarding::{Guest, Onboarding};
pub use progress::{CONSENT, Progress, ProgressStep, SIGN_IN, SPREADING, StepKind, StepStanding};
pub use verify::Verified;
pub use visit::{Start, Visit};
