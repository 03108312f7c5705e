//! The pages on which a customer's administrator consents to our app.
//!
//! Source: Microsoft "Admin consent on the Microsoft identity platform" and the v1 "authorization code grant".

use muster_model::TenantId;
use url::Url;

use super::credential::App;
use super::form::scope;
use crate::Cloud;

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
            .ok_or_else(|| ParseConsentFormError(muster_http::shown(value)))
    }
}

/// The page on which an administrator of `tenant` consents to `app`.
pub(crate) fn consent_url(
    cloud: &Cloud,
    form: ConsentForm,
    app: &App,
    tenant: TenantId,
    redirect_uri: &str,
    state: &str,
    resource: &str,
) -> Url {
    let path = match form {
        ConsentForm::V2AdminConsent => "v2.0/adminconsent",
        ConsentForm::V1AdminConsent => "adminconsent",
        ConsentForm::V1PromptAdminConsent | ConsentForm::V1PromptConsent => "oauth2/authorize",
    };
    let page = cloud.login(&format!("/{tenant}/{path}"));
    let mut url = Url::parse(&page).expect("the cloud's address is a URL, and the path is plain");
    let mut query = url.query_pairs_mut();
    query
        .append_pair("client_id", &app.client_id)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("state", state);
    match form {
        ConsentForm::V2AdminConsent => {
            query.append_pair("scope", &scope(resource, false));
        }
        ConsentForm::V1AdminConsent => {}
        ConsentForm::V1PromptAdminConsent => {
            query
                .append_pair("response_type", "code")
                .append_pair("resource", resource)
                .append_pair("prompt", "admin_consent");
        }
        ConsentForm::V1PromptConsent => {
            query
                .append_pair("response_type", "code")
                .append_pair("resource", resource)
                .append_pair("prompt", "consent")
                .append_pair("sso_reload", "true");
        }
    }
    drop(query);
    url
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::NationalCloud;
    use crate::entra::credential::Credential;

    #[test]
    fn each_form_asks_as_its_page_wants() {
        let app = App::new("main", "11111111-2222-3333-4444-555555555555", Credential::None);
        let tenant = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID");
        let cloud = Cloud::national(NationalCloud::Global);
        let resource = "https://graph.microsoft.com";
        let back = "https://muster.example/onboard/callback?x=1&y=2";
        for (form, path, mine) in [
            (
                ConsentForm::V2AdminConsent,
                "/v2.0/adminconsent",
                ("scope", "https://graph.microsoft.com/.default"),
            ),
            (ConsentForm::V1AdminConsent, "/adminconsent", ("state", "a&b=c#d")),
            (ConsentForm::V1PromptAdminConsent, "/oauth2/authorize", ("prompt", "admin_consent")),
            (ConsentForm::V1PromptConsent, "/oauth2/authorize", ("sso_reload", "true")),
        ] {
            let url = consent_url(&cloud, form, &app, tenant, back, "a&b=c#d", resource);
            assert_eq!(url.path(), format!("/{tenant}{path}"));
            let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
            assert_eq!(query["redirect_uri"], back);
            assert_eq!(query["state"], "a&b=c#d");
            assert_eq!(query[mine.0], mine.1, "{form:?}");
            assert_eq!(query.contains_key("response_type"), form.brings_a_code());
            assert_eq!(form.as_str().parse(), Ok(form));
        }
    }
}
