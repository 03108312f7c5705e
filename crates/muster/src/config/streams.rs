//! `[streams.NAME]`: Defender's streaming tables, read out of a storage container or a folder of blobs. Streams are sources
//! with a name.

use std::path::PathBuf;
use std::time::Duration;

use muster_model::{HuntName, SecretReference, Source, Span, TenantLabel};
use muster_siem::formats::Template;
use muster_siem::sinks::{ObjectPlace, ObjectUrl};
use serde::Deserialize;
use url::Url;

use super::RouteSettings;

/// All that lies there is listed each time.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// `[streams.NAME]`, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSettings {
    /// Where the blobs lie, with `{{ tenant.id }}` and `{{ tenant.slug }}`.
    pub url: Template,
    /// Azure: the storage account, with the same.
    #[serde(default)]
    pub account: Option<Template>,
    /// The region of an S3 bucket.
    #[serde(default)]
    pub region: Option<String>,
    /// Where the service is, where that is not the cloud's own address.
    #[serde(default, deserialize_with = "muster_siem::sinks::endpoint")]
    pub endpoint: Option<Url>,
    /// S3: the id of an access key.
    #[serde(default)]
    pub access_key_id: Option<SecretReference>,
    /// S3: the access key.
    #[serde(default)]
    pub secret_access_key: Option<SecretReference>,
    /// S3: the session token of a temporary access key.
    #[serde(default)]
    pub session_token: Option<SecretReference>,
    /// Azure: a key of the account.
    #[serde(default)]
    pub account_key: Option<SecretReference>,
    /// Azure: a shared access signature of the container.
    #[serde(default)]
    pub sas: Option<SecretReference>,
    /// Azure: the Entra tenant of an app that may read.
    #[serde(default)]
    pub entra_tenant: Option<String>,
    /// Azure: the app's client id.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Azure: the app's client secret.
    #[serde(default)]
    pub client_secret: Option<SecretReference>,
    /// Google: the key of a service account.
    #[serde(default)]
    pub service_account: Option<SecretReference>,
    /// How often it is looked for news.
    #[serde(default = "minute")]
    pub every: Span,
    /// How old a blob may be to be read when the stream is read first.
    #[serde(default = "week")]
    pub look_back: Span,
    /// Slugs or ids of the tenants that have it; `*` stands for any letters.
    #[serde(default = "super::routes::everyone")]
    pub tenants: Vec<String>,
    /// How long each request may take.
    #[serde(default = "minute")]
    pub timeout: Span,
    /// PEM certificates trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

fn minute() -> Span {
    Span(Duration::from_secs(60))
}

fn week() -> Span {
    Span(Duration::from_secs(7 * 86_400))
}

/// A stream that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub source: Source,
    settings: StreamSettings,
}

impl StreamSettings {
    /// The stream of this name.
    ///
    /// # Errors
    /// All that is wrong with it: the key, where one can be named, and why.
    pub(super) fn stream(&self, name: &str) -> Result<Stream, Vec<(&'static str, String)>> {
        let mut mistakes = Vec::new();
        let named = name.parse::<HuntName>().map_err(|error| mistakes.push(("", error.to_string())));
        for (key, template) in [("url", Some(&self.url)), ("account", self.account.as_ref())] {
            if template.is_some_and(Template::has_names) {
                let message = "tenant.name may hold anything: use tenant.slug or tenant.id";
                mistakes.push((key, message.to_owned()));
            }
        }
        // A tenant's own is letters, digits and hyphens, whatever it is.
        let sample = |template: &Template| template.pattern().replace('*', "x");
        match self.place(sample(&self.url), self.account.as_ref().map(sample)) {
            Ok(place) => mistakes.extend(place.mistakes().into_iter().map(|why| ("", why))),
            Err(why) => mistakes.push(("url", why)),
        }
        if self.every.0 < EVERY_MIN {
            mistakes.push((
                "every",
                "all that lies there is listed each time: give it a second at least".to_owned(),
            ));
        }
        if self.timeout.0.is_zero() {
            mistakes.push(("timeout", "no request can be that quick: give it a second at least".to_owned()));
        }
        match named {
            Ok(name) if mistakes.is_empty() => {
                Ok(Stream { source: Source::Streaming(name), settings: self.clone() })
            }
            _ => Err(mistakes),
        }
    }

    /// Every place that a secret is kept in.
    pub(super) fn secrets(&self) -> Vec<&SecretReference> {
        let all = [
            &self.access_key_id,
            &self.secret_access_key,
            &self.session_token,
            &self.account_key,
            &self.sas,
            &self.client_secret,
            &self.service_account,
        ];
        all.into_iter().flatten().collect()
    }

    fn place(&self, url: String, account: Option<String>) -> Result<ObjectPlace, String> {
        Ok(ObjectPlace {
            url: ObjectUrl::try_from(url)?,
            account,
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: self.session_token.clone(),
            account_key: self.account_key.clone(),
            sas: self.sas.clone(),
            entra_tenant: self.entra_tenant.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            service_account: self.service_account.clone(),
            timeout: self.timeout,
            ca_file: self.ca_file.clone(),
        })
    }
}

impl Stream {
    /// Whether a tenant has it.
    pub fn is_of(&self, tenant: &TenantLabel) -> bool {
        let fits = |pattern: &String| RouteSettings::names(pattern, (&tenant.slug, tenant.id));
        self.settings.tenants.iter().any(fits)
    }

    /// Where a tenant's blobs lie.
    ///
    /// # Errors
    /// Why that cannot be said, in words for the operator.
    pub fn place_of(&self, tenant: &TenantLabel) -> Result<ObjectPlace, String> {
        let expand = |template: &Template| template.expand(tenant);
        self.settings.place(expand(&self.settings.url), self.settings.account.as_ref().map(expand))
    }

    /// How often it is looked for news.
    pub fn every(&self) -> Duration {
        self.settings.every.0
    }

    /// How old a blob may be to be read when the stream is read first.
    pub fn look_back(&self) -> Duration {
        self.settings.look_back.0
    }

    /// When it was last read to its end before that, it is late.
    pub(crate) fn late_after(&self) -> Duration {
        self.every() * 3
    }

    /// Every place that a secret is kept in.
    pub(crate) fn secrets(&self) -> Vec<&SecretReference> {
        self.settings.secrets()
    }

    /// Whether all tenants' rows lie in one place.
    pub(crate) fn is_shared(&self) -> bool {
        let has_places = |template: &Template| template.pattern().contains('*');
        !has_places(&self.settings.url) && !self.settings.account.as_ref().is_some_and(has_places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(text: &str) -> Result<Stream, String> {
        let settings: StreamSettings = toml::from_str(text).expect("a section");
        let said = |mistakes: Vec<(&str, String)>| -> String {
            mistakes.iter().map(|(key, why)| format!("{key}: {why}\n")).collect()
        };
        settings.stream("test").map_err(said)
    }

    #[test]
    fn a_place_may_be_each_tenants_own() {
        let stream = stream(
            "url = 'az://insights/tenantId={{ tenant.id }}'\naccount = 'logs{{ tenant.slug }}'\nsas = { env = 'SAS' }\n\
             tenants = ['con*']",
        )
        .expect("right");
        let label = |slug: &str| TenantLabel {
            id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
            slug: slug.parse().expect("a slug"),
            name: String::new(),
        };
        let place = stream.place_of(&label("contoso")).expect("a place");
        assert_eq!(place.url.to_string(), "az://insights/tenantId=5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d");
        assert_eq!(place.account.as_deref(), Some("logscontoso"));
        assert!(stream.is_of(&label("contoso")) && !stream.is_of(&label("fabrikam")) && !stream.is_shared());
        assert_eq!((stream.every().as_secs(), stream.look_back().as_secs()), (60, 7 * 86_400));
        assert_eq!(stream.source.as_str(), "streaming/test");
        assert!(self::stream("url = 'file:///var/blobs'").expect("right").is_shared());
    }

    #[test]
    fn every_mistake_is_told() {
        for (text, said) in [
            ("url = 'http://x'", "url: it must be s3://BUCKET"),
            (
                "url = 'az://c/{{ tenant.name }}'\naccount = 'a'\nsas = { env = 'S' }",
                "url: tenant.name may hold",
            ),
            ("url = 'az://c'\naccount = 'a'", "az needs one of"),
            ("url = 's3://b'\nregion = 'eu-west-1'", "s3 needs access_key_id"),
            ("url = 'file:///a'\nsas = { env = 'S' }", "sas means nothing"),
            ("url = 'file:///a'\nevery = '1ms'", "every: all that lies there"),
            ("url = 'file:///a'\ntimeout = '0s'", "timeout: no request"),
        ] {
            let told = stream(text).expect_err(text);
            assert!(told.contains(said), "{text}: {told}");
        }
        assert!(toml::from_str::<StreamSettings>("url = 'file:///a'\ncolour = 'red'").is_err());
        let named =
            toml::from_str::<StreamSettings>("url = 'file:///a'").expect("a section").stream("No Name");
        assert_eq!(named.expect_err("no name")[0].0, "");
    }
}
