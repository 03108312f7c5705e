//! What a sign-in is for: what the platform remembers between two pages, and puts into the codes that it hands out.

use std::collections::BTreeSet;

use crate::world::ticks::Ticks;

use super::application::Platform;
use super::claims::Version;
use super::pages::ResponseMode;
use super::resources::Resource;

/// A page that a browser is on.
pub(crate) struct OpenPage {
    pub(crate) purpose: Purpose,
    pub(crate) step: PageStep,
    pub(crate) since: Ticks,
}

/// What a person is to do on a page.
#[derive(Clone)]
pub(crate) enum PageStep {
    SignIn,
    PickAccount(Person),
    Consent(Person),
    NeedsAdministrator(Person),
    ConfirmDevice(Person),
    EnterCode,
}

/// Why somebody signs in.
#[derive(Clone)]
pub(crate) enum Purpose {
    Authorize(Box<Authorize>),
    AdminConsent(Box<AdminConsent>),
    Device(DevicePurpose),
}

/// A sign-in for another device.
#[derive(Clone, Default)]
pub(crate) struct DevicePurpose {
    /// Its device code; empty before a user code was entered.
    pub(crate) key: String,
    pub(crate) hint: String,
}

/// What the application wants of the person, before anything is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prompt {
    Unless,
    Login,
    SelectAccount,
    Consent,
    AdminConsent,
    None,
}

/// A request that was found right.
#[derive(Clone)]
pub(crate) struct Authorize {
    pub(crate) version: Version,
    /// `None`: whatever tenant the person is of.
    pub(crate) tenant: Option<u32>,
    pub(crate) app_id: String,
    pub(crate) redirect: String,
    pub(crate) platform: Platform,
    pub(crate) mode: ResponseMode,
    pub(crate) state: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) wanted: Option<RequestedAccess>,
    pub(crate) prompt: Prompt,
    pub(crate) login_hint: String,
    pub(crate) challenge: Option<Challenge>,
}

/// An admin-consent request that was found right.
#[derive(Clone)]
pub(crate) struct AdminConsent {
    pub(crate) version: Version,
    /// `None`: whatever tenant the person is of.
    pub(crate) tenant: Option<u32>,
    pub(crate) app_id: String,
    pub(crate) redirect: String,
    pub(crate) state: Option<String>,
    /// The single permissions that are asked for; `None`: all that the app is registered with.
    pub(crate) scopes: Option<(&'static Resource, Vec<String>)>,
    pub(crate) login_hint: String,
}

/// Who has signed in, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) tenant: u32,
    pub(crate) object_id: String,
}

/// What a sign-in is to give.
#[derive(Debug, Clone)]
pub(crate) struct RequestedAccess {
    /// The API; `None` where only the person's identity is asked for.
    pub(crate) resource: &'static Resource,
    /// The API as the client wrote it, which becomes the audience.
    pub(crate) audience: String,
    /// The permissions on it; empty: all that the app asks for (`.default`, and always in v1).
    pub(crate) scopes: BTreeSet<String>,
    /// `openid`, `profile`, `offline_access`, `email`.
    pub(crate) oidc: BTreeSet<String>,
}

/// What the verifier of a code must fit (RFC 7636).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Plain(String),
    Sha256(String),
}
