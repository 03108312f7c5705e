//! How an app's secret or certificate is replaced while everything goes on, so that at every moment one that works is in
//! use, and none is left behind.
//!
//! 1. *Made*: the new one is added to the app registration and kept, sealed, in the store's slot `Next`. A secret is made
//!    by Microsoft and then stored; when it cannot be stored it is removed again. A certificate is made here and stored
//!    before Microsoft hears of it.
//! 2. *Proven*: a token is asked for with it, for as long as Microsoft needs to make it known everywhere.
//! 3. *Installed*: the store's slots change places in one transaction; where the settings name a file or a Key Vault, it is
//!    written there first.
//! 4. *Withdrawn*: the old one is removed from the registration, at once or later.
//!
//! Killed between any two of these, the same command goes on from there: the store's slots and the registration say
//! where it was. A secret that Microsoft made and nobody stored carries this store's mark in its name, is found by it and
//! removed.

mod check;
mod error;
mod file;
mod lease;
mod make;
mod place;
mod proof;
mod request;
mod run;
mod withdraw;

pub use check::{ROTATION, check};
pub use error::RotationError;
pub use lease::exclusively;
pub use place::CredentialPlace;
pub use request::{Rotated, Rotation, RotationRequest, mark};
