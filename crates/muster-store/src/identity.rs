//! What is remembered of identity: invitations, sign-ins under way, people's grants, the credentials that Muster made
//! itself, and what checks found.

use jiff::Timestamp;
use muster_model::{Secret, TenantId};
use serde::Serialize;
use uuid::Uuid;

/// An invitation that is to be sent to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvitation {
    /// Random; part of the link.
    pub id: Uuid,
    /// Who is invited.
    pub tenant: TenantId,
    /// The language of the page, as a tag such as `de`.
    pub language: String,
    /// The link works until then.
    pub expires_at: Timestamp,
}

/// An invitation of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invitation {
    /// Random; part of the link.
    pub id: Uuid,
    /// Who is invited.
    pub tenant: TenantId,
    /// The language of the page.
    pub language: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The link works until then.
    pub expires_at: Timestamp,
    /// When its page was opened the first time.
    pub opened_at: Option<Timestamp>,
    /// When it led to a consent.
    pub used_at: Option<Timestamp>,
    /// When it was called back, also by a newer invitation of the tenant.
    pub revoked_at: Option<Timestamp>,
}

impl Invitation {
    /// Whether its link still leads anywhere at `now`.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.used_at.is_none() && self.revoked_at.is_none() && now < self.expires_at
    }
}

/// What happens to an invitation. Each happens at most once, nothing after it was revoked, and nothing but that after it
/// was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvitationChange {
    /// Its page was opened. Refused after its end.
    Opened,
    /// It led to a consent. Refused after its end.
    Used,
    /// It was called back, used or not.
    Revoked,
}

/// What a sign-in is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SignInKind {
    /// An administrator consents for the tenant.
    Consent,
    /// A person lets Muster act for them.
    Delegated,
}

impl SignInKind {
    /// The word in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Delegated => "delegated",
        }
    }
}

/// A sign-in that was begun and whose answer is awaited. Its id is the OAuth `state`, good for one answer.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Random.
    pub id: Uuid,
    /// Whose directory is expected to answer.
    pub tenant: TenantId,
    /// The app of the settings that asks.
    pub app: String,
    /// What for.
    pub kind: SignInKind,
    /// The invitation that led here.
    pub invitation: Option<Uuid>,
    /// Where the answer goes, exactly as it was asked for.
    pub redirect_uri: String,
    /// The resource that a token is wanted for.
    pub resource: String,
    /// The OpenID Connect `nonce`.
    pub nonce: String,
    /// The PKCE verifier.
    pub verifier: Secret<String>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// No answer is taken from then on.
    pub expires_at: Timestamp,
}

/// A person's grant that is to be kept.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// The tenant that the person acts in.
    pub tenant: TenantId,
    /// The app of the settings that they let act for them.
    pub app: String,
    /// Who they are, as their directory names them.
    pub account: String,
    /// The resource that was asked for.
    pub resource: String,
    /// What the grant is kept by.
    pub refresh_token: Secret<String>,
    /// When it dies unless it is renewed before, where that is known.
    pub expires_at: Option<Timestamp>,
}

/// A person's grant: what is known of it besides its refresh token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The tenant that the person acts in.
    pub tenant: TenantId,
    /// The app of the settings that they let act for them.
    pub app: String,
    /// Who they are, as their directory names them.
    pub account: String,
    /// The resource that was asked for.
    pub resource: String,
    /// When they signed in.
    pub granted_at: Timestamp,
    /// When it was last renewed.
    pub renewed_at: Timestamp,
    /// When it dies unless it is renewed before, where that is known.
    pub expires_at: Option<Timestamp>,
    /// What went wrong at the last attempt to renew it.
    pub last_error: Option<String>,
    /// When it was found to be dead. Only a new sign-in helps then.
    pub revoked_at: Option<Timestamp>,
}

/// What came of the wish to use a grant.
#[derive(Debug)]
pub enum GrantLease {
    /// Nobody else uses it until the lease ends.
    Leased {
        /// What it is renewed with.
        refresh_token: Secret<String>,
        /// The fencing token.
        fence: u64,
        /// The grant.
        grant: Grant,
    },
    /// Another worker renews it, until then at most.
    Busy {
        /// When the other's lease ends.
        until: Timestamp,
    },
    /// It is dead: somebody must sign in again. `last_error` says why.
    Dead {
        /// The grant.
        grant: Grant,
    },
    /// Nobody has signed in.
    None,
}

/// Which of an app's stored credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialSlot {
    /// The one in use.
    Current,
    /// Made, and not proven yet.
    Next,
    /// In use before, and not withdrawn yet.
    Previous,
}

impl CredentialSlot {
    /// The word in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Next => "next",
            Self::Previous => "previous",
        }
    }
}

/// How a stored credential proves the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialKind {
    /// A client secret.
    Secret,
    /// A certificate with its private key.
    Certificate,
}

impl CredentialKind {
    /// The word in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Certificate => "certificate",
        }
    }
}

/// A credential that Muster made for one of its apps.
#[derive(Debug, Clone)]
pub struct StoredCredential {
    /// The app of the settings.
    pub app: String,
    /// Which of the app's.
    pub slot: CredentialSlot,
    /// What it is.
    pub kind: CredentialKind,
    /// The id by which the app registration knows it.
    pub key_id: String,
    /// The secret, or the certificate with its private key.
    pub value: Secret<Vec<u8>>,
    /// When it ends, where that is known.
    pub not_after: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// All is well.
    Good,
    /// It works, and will not for long.
    Warning,
    /// It does not work.
    Failing,
}

impl CheckOutcome {
    /// The word in commands, tables and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Failing => "failing",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked, such as `token`, `source graph_alerts` or `secret expiry`.
    pub name: String,
    /// How it ended.
    pub outcome: CheckOutcome,
    /// A stable word for the finding, such as `lost_consent`.
    pub code: String,
    /// The finding in words.
    pub detail: String,
    /// What to do about it.
    pub remedy: String,
    /// When it was checked.
    pub checked_at: Timestamp,
    /// When what was checked ends, where it does.
    pub expires_at: Option<Timestamp>,
}
