//! `[onboarding]`: the pages on which customers' administrators consent, and the listener that serves them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use muster_microsoft::entra::consent::ConsentForm;
use muster_model::Span;
use serde::Deserialize;
use url::Url;

use super::address_range::AddressRange;
use super::public_address::{self, PublicAddress};
use crate::web::language::Language;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnboardingSettings {
    /// Where the pages are served: strangers come in here, and only here.
    pub listen: SocketAddr,
    /// The certificate of the pages with its chain, PEM. Without it the pages are served in the clear, for a proxy.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The proxies whose `X-Forwarded-For` and `X-Forwarded-Host` are believed.
    #[serde(default)]
    pub trusted_proxies: Vec<AddressRange>,
    /// Where the pages are reached from outside, such as `https://muster.mssp.example`. `/onboard/callback` and
    /// `/SiemMsspConnector` below it are the redirect URIs of the apps.
    #[serde(deserialize_with = "public_url")]
    pub public_url: Url,
    /// Who asks, as the customer knows the provider.
    #[serde(deserialize_with = "words")]
    pub provider_name: String,
    /// Whom the customer can ask: a mail address, a web address or a phone number.
    #[serde(deserialize_with = "words")]
    pub contact: String,
    /// How long the link of an invitation works.
    #[serde(default = "link_lifetime", deserialize_with = "lifetime")]
    pub link_lifetime: Span,
    /// The language of pages for browsers that ask for none that we speak.
    #[serde(default)]
    pub language: Language,
    /// Which of Microsoft's consent pages is used.
    #[serde(default, deserialize_with = "consent_form")]
    pub consent: ConsentForm,
}

impl OnboardingSettings {
    /// Mistakes that no key shows alone.
    pub(super) fn contradictions(&self) -> Vec<(&'static str, String)> {
        let address = PublicAddress {
            what: "the pages are",
            listen: self.listen,
            certificate_file: self.certificate_file.as_ref(),
            key_file: self.key_file.as_ref(),
            trusted_proxies: &self.trusted_proxies,
            public_url: &self.public_url,
        };
        address.contradictions()
    }

    /// An address below [`public_url`](Self::public_url), which `path` is written behind as it is.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }

    /// Where Microsoft sends an administrator back to after consent.
    pub fn consent_redirect_uri(&self) -> String {
        self.address("/onboard/callback")
    }

    /// Where Microsoft sends a person back to who signs in for the connector.
    pub fn connector_redirect_uri(&self) -> String {
        self.address("/SiemMsspConnector")
    }
}

fn link_lifetime() -> Span {
    Span(Duration::from_secs(7 * 86_400))
}

fn lifetime<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    let allowed = Duration::from_secs(600)..=Duration::from_secs(90 * 86_400);
    if allowed.contains(&span.0) {
        Ok(span)
    } else {
        Err(serde::de::Error::custom(format!("`{span}` is not between 10m and 90d")))
    }
}

fn words<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?.trim().to_owned();
    let fits =
        !text.is_empty() && text.chars().count() <= 200 && !text.chars().any(muster_model::text::is_harmful);
    if fits {
        Ok(text)
    } else {
        Err(serde::de::Error::custom("one line of at most 200 characters is wanted"))
    }
}

fn public_url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    let url = public_address::public_url(&text, "Microsoft redirects to https only");
    url.map_err(serde::de::Error::custom)
}

fn consent_form<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ConsentForm, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &str) -> Result<OnboardingSettings, String> {
        let text = format!(
            "listen = \"127.0.0.1:9811\"\nprovider_name = \"Northwind\"\ncontact = \"soc@northwind.example\"\n{more}"
        );
        toml::from_str(&text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn what_is_left_out_has_a_sensible_value() {
        let settings = parse("public_url = \"https://muster.northwind.example/\"").expect("right");
        assert_eq!(settings.link_lifetime.to_string(), "7d");
        assert_eq!(settings.language, Language::English);
        assert_eq!(settings.consent, ConsentForm::V2AdminConsent);
        assert_eq!(settings.consent_redirect_uri(), "https://muster.northwind.example/onboard/callback");
        assert_eq!(settings.connector_redirect_uri(), "https://muster.northwind.example/SiemMsspConnector");
    }

    #[test]
    fn a_public_address_may_have_a_path() {
        let settings = parse("public_url = \"https://northwind.example/muster\"").expect("right");
        assert_eq!(settings.consent_redirect_uri(), "https://northwind.example/muster/onboard/callback");
    }

    #[test]
    fn wrong_values_are_told() {
        for (text, words) in [
            ("public_url = \"http://muster.example\"", "https only"),
            ("public_url = \"https://a:b@muster.example\"", "user or password"),
            ("public_url = \"https://muster.example/?a=b\"", "before any ?"),
            ("public_url = \"muster.example\"", "not a URL"),
            ("public_url = \"https://m.example\"\nlink_lifetime = \"1m\"", "between 10m and 90d"),
            ("public_url = \"https://m.example\"\nlanguage = \"fr\"", "en, de, sv, nl or zh-CN"),
            ("public_url = \"https://m.example\"\nconsent = \"v3\"", "not a consent form"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(toml::from_str::<OnboardingSettings>("provider_name = \" \"").is_err());
    }

    #[test]
    fn nobody_is_served_in_the_clear_by_mistake() {
        let url = "public_url = \"https://muster.example\"\n";
        let with = |listen: &str, more: &str| {
            let text = format!(
                "listen = \"{listen}\"\nprovider_name = \"Northwind\"\ncontact = \"+49 30 123\"\n{more}"
            );
            toml::from_str::<OnboardingSettings>(&text).expect("right keys").contradictions()
        };
        let files = "certificate_file = \"a.pem\"\nkey_file = \"a.key\"\n";
        for (listen, more, words) in [
            ("127.0.0.1:9811", url.to_owned(), ""),
            ("0.0.0.0:443", format!("{url}{files}"), ""),
            ("0.0.0.0:9811", format!("{url}trusted_proxies = [\"10.0.0.0/8\"]"), ""),
            ("0.0.0.0:443", url.to_owned(), "to everybody at 0.0.0.0:443 without TLS"),
            ("[::]:443", format!("{url}key_file = \"a.key\""), "belong together"),
            ("[::]:443", format!("public_url = \"http://localhost\"\n{files}"), "with https://"),
        ] {
            let mistakes: Vec<String> = with(listen, &more).into_iter().map(|(_, message)| message).collect();
            let mistakes = mistakes.join("\n");
            assert!(
                mistakes.contains(words) && mistakes.is_empty() == words.is_empty(),
                "{more}: {mistakes}"
            );
        }
    }
}
