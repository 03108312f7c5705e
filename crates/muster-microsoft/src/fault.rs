//! What kind of trouble a failure is, so that a lost consent is told apart from a quiet hour and a busy API.

use std::fmt;

/// The kind of trouble. A closed list with stable names, for checks, metrics and alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The app has no consent in the tenant, or no longer has.
    LostConsent,
    /// There is consent, but not to a permission that is needed.
    MissingRole,
    /// The client secret is wrong.
    WrongSecret,
    /// The client secret has expired.
    SecretExpired,
    /// The certificate, the assertion or the federated token was not accepted, or is past its time.
    CertificateRejected,
    /// The app is disabled in the tenant.
    AppDisabled,
    /// The app is not known in the tenant.
    AppUnknown,
    /// A person's grant was not used for too long, or is past a rule's time.
    GrantExpired,
    /// A person's grant was revoked: a password reset, a sign-out everywhere, a disabled account.
    GrantRevoked,
    /// A conditional-access rule blocks the sign-in.
    ConditionalAccess,
    /// A person must prove who they are once more.
    MultifactorNeeded,
    /// The tenant has no licence for the API.
    NoLicence,
    /// Microsoft refuses tokens that it has just issued.
    AccessRefused,
    /// The person in whose name the app reads has no role that lets them see the data.
    PersonLacksRole,
    /// There is no such tenant in this cloud.
    TenantUnknown,
    /// Microsoft asks to wait.
    Throttled,
    /// Microsoft's service has trouble of its own.
    ApiDown,
    /// No connection to Microsoft.
    Unreachable,
    /// Something on our side is set wrongly.
    Misconfigured,
    /// None of these.
    Other,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::LostConsent,
        Self::MissingRole,
        Self::WrongSecret,
        Self::SecretExpired,
        Self::CertificateRejected,
        Self::AppDisabled,
        Self::AppUnknown,
        Self::GrantExpired,
        Self::GrantRevoked,
        Self::ConditionalAccess,
        Self::MultifactorNeeded,
        Self::NoLicence,
        Self::AccessRefused,
        Self::PersonLacksRole,
        Self::TenantUnknown,
        Self::Throttled,
        Self::ApiDown,
        Self::Unreachable,
        Self::Misconfigured,
        Self::Other,
    ];

    /// The stable word for checks, metrics and scripts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LostConsent => "lost_consent",
            Self::MissingRole => "missing_role",
            Self::WrongSecret => "wrong_secret",
            Self::SecretExpired => "secret_expired",
            Self::CertificateRejected => "certificate_rejected",
            Self::AppDisabled => "app_disabled",
            Self::AppUnknown => "app_unknown",
            Self::GrantExpired => "grant_expired",
            Self::GrantRevoked => "grant_revoked",
            Self::ConditionalAccess => "conditional_access",
            Self::MultifactorNeeded => "multifactor_needed",
            Self::NoLicence => "no_licence",
            Self::AccessRefused => "access_refused",
            Self::PersonLacksRole => "person_lacks_role",
            Self::TenantUnknown => "tenant_unknown",
            Self::Throttled => "throttled",
            Self::ApiDown => "api_down",
            Self::Unreachable => "unreachable",
            Self::Misconfigured => "misconfigured",
            Self::Other => "other",
        }
    }

    /// The kind of trouble that has this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == word)
    }

    /// Whether Microsoft does not take what proves the app. It may have been replaced by another process.
    #[must_use]
    pub fn is_of_the_credential(self) -> bool {
        matches!(self, Self::WrongSecret | Self::SecretExpired | Self::CertificateRejected)
    }

    /// Whether waiting does not help: a person has to act.
    #[must_use]
    pub fn needs_a_person(self) -> bool {
        !matches!(self, Self::Throttled | Self::ApiDown | Self::Unreachable | Self::Other)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Fault;

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        let words: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
        assert_eq!(words.len(), Fault::ALL.len());
        assert!(Fault::ALL.into_iter().all(|fault| Fault::named(fault.as_str()) == Some(fault)));
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }
}
