//! Microsoft's identity platform, in both its versions: the directory, sign-in and consent, tokens, discovery, keys, and
//! managed identities.
//!
//! | file | holds |
//! |---|---|
//! | `endpoints` | its addresses |
//! | `authorize`, `consent`, `pages`, `flow` | what a browser sees, and what is remembered between two pages |
//! | `token`, `token_request`, `redeem`, `issue` | the token endpoint: what is asked for, what each grant gives, what tokens say |
//! | `scopes`, `client` | what is asked of which API; how clients prove themselves |
//! | `device`, `managed`, `discovery` | the endpoints of these names |
//! | `platform` | all it knows, and how tokens are checked |
//! | `directory`, `application`, `principal` | accounts; apps; what tenants have consented to |
//! | `resources` | Microsoft's APIs and their permissions |
//! | `change` | what tests change in it while it runs |
//! | `grants`, `claims`, `keys` | what was handed out, what it says, and what it is signed with |
//! | `error` | every code (`codes.tsv`), and how it is written |
//! | `traffic`, `walk` | who asked for tokens; a person's walk through the pages |

pub(crate) mod application;
mod authorize;
pub(crate) mod certificate;
pub(crate) mod change;
pub(crate) mod claims;
pub(crate) mod client;
mod consent;
mod device;
pub(crate) mod directory;
mod discovery;
pub(crate) mod endpoints;
pub(crate) mod error;
mod flow;
mod grants;
mod issue;
mod keys;
mod managed;
mod pages;
pub(crate) mod platform;
pub(crate) mod principal;
mod redeem;
pub(crate) mod resources;
mod scopes;
mod token;
mod token_request;
pub(crate) mod traffic;
pub(crate) mod walk;
