//! The pages on which a customer's administrator consents to our app.
//!
//! Source: Microsoft "Admin consent on the Microsoft identity platform" and the v1 "authorization code grant".

/// Which of Microsoft's consent pages is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ConsentForm {
    /// `/{tenant}/v2.0/adminconsent`, with `scope`.
    #[default]
    V2AdminConsent,
    /// `/{tenant}/adminconsent`: all permissions that the app's registration names.
    V1AdminConsent,
    /// `/{tenant}/oauth2/authorize?prompt=admin_consent`: a sign-in and consent for everybody in the tenant.
    V1PromptAdminConsent,
    /// `/{tenant}/oauth2/authorize?prompt=consent`: a sign-in, and consent by whoever signs in.
    V1PromptConsent,
}

impl ConsentForm {
    /// Every form.
    pub const ALL: [Self; 4] =
        [Self::V2AdminConsent, Self::V1AdminConsent, Self::V1PromptAdminConsent, Self::V1PromptConsent];

    /// The word in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2AdminConsent => "v2_admin_consent",
            Self::V1AdminConsent => "v1_admin_consent",
            Self::V1PromptAdminConsent => "v1_prompt_admin_consent",
            Self::V1PromptConsent => "v1_prompt_consent",
        }
    }

    /// Whether the page sends a `code` back that has to be redeemed or thrown away.
    #[must_use]
    pub fn brings_a_code(self) -> bool {
        matches!(self, Self::V1PromptAdminConsent | Self::V1PromptConsent)
    }
}

/// A word that is no consent form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a consent form: use v2_admin_consent, v1_admin_consent, v1_prompt_admin_consent or v1_prompt_consent"
)]
pub struct ParseConsentFormError(String);

impl std::str::FromStr for ConsentForm {
    type Err = ParseConsentFormError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|form| form.as_str() == value)
            .ok_or_else(|| ParseConsentFormError(crate::api::client::shown(value)))
    }
}
