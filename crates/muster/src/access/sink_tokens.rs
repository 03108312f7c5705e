//! Bearer tokens for sinks whose receiver wants Entra's: those of an app of the settings, by the code that gets tokens for
//! customers' tenants.

use std::sync::Arc;

use muster_http::{NoToken, TokenSource};
use muster_microsoft::Microsoft;
use muster_microsoft::entra::credential::App;
use muster_microsoft::entra::error::TokenError;
use muster_model::{Secret, TenantId};
use muster_siem::sinks::{BearerTokens, TokenApi, WantedTokens};
use muster_store::Store;

use super::apps::{self, AppsError};
use crate::config::{AppSettings, Settings};

/// The way to the tokens that a sink wants; or why there is none, and what to do. Nobody is asked yet.
pub(crate) fn open(
    wanted: &WantedTokens<'_>,
    settings: &Settings,
    store: Option<Arc<dyn Store>>,
    microsoft: impl FnOnce() -> Result<Microsoft, String>,
) -> Result<BearerTokens, String> {
    let name = wanted.app;
    let app = settings.apps.get(name).ok_or_else(|| {
        let meant = muster_model::text::did_you_mean(name, settings.apps.keys().map(String::as_str));
        format!("app `{name}` is not in the settings{meant}: add [apps.{name}], or name another in `app`")
    })?;
    let tenant = wanted.tenant.or(app.tenant).ok_or_else(|| {
        format!(
            "neither the sink nor [apps.{name}] names the Entra tenant that issues its tokens: set `tenant`"
        )
    })?;
    let cloud = settings.cloud.cloud().map_err(|error| error.to_string())?;
    let resource = match wanted.api {
        TokenApi::LogIngestion if !cloud.is_log_ingestion(wanted.receiver) => {
            return Err(format!(
                "its endpoint is no data collection endpoint of this cloud, and a token is not sent elsewhere: it must be like \
                 https://NAME.REGION.ingest.{}, over HTTPS",
                cloud.monitor_resource().trim_start_matches("https://")
            ));
        }
        TokenApi::LogIngestion => cloud.monitor_resource().to_owned(),
    };
    let source = SinkTokens {
        name: name.to_owned(),
        settings: app.clone(),
        folder: settings.folder.clone(),
        tenant,
        store,
        microsoft: microsoft()?,
        in_hand: tokio::sync::Mutex::default(),
    };
    Ok(BearerTokens { source: Arc::new(source), resource })
}

/// The tokens of one app in one tenant.
struct SinkTokens {
    name: String,
    settings: AppSettings,
    folder: std::path::PathBuf,
    tenant: TenantId,
    /// Where a credential lies that Muster keeps by itself.
    store: Option<Arc<dyn Store>>,
    microsoft: Microsoft,
    /// The app with its credential, until Microsoft refuses that.
    in_hand: tokio::sync::Mutex<Option<App>>,
}

impl std::fmt::Debug for SinkTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SinkTokens")
            .field("app", &self.name)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl TokenSource for SinkTokens {
    async fn token(&self, resource: &str) -> Result<Secret<String>, NoToken> {
        let app = self.app().await;
        let app = app.map_err(|error| NoToken { reason: error.to_string(), retry_after: None })?;
        match self.microsoft.access_token(&app, self.tenant, resource).await {
            Ok(token) => Ok(token.secret),
            Err(error) => {
                // It may have been renewed at its place; no other trouble is over when it is read again.
                if error.fault().is_of_the_credential() {
                    *self.in_hand.lock().await = None;
                }
                let retry_after = match &error {
                    TokenError::Busy { retry_after, .. } => *retry_after,
                    _ => None,
                };
                Err(NoToken { reason: error.to_string(), retry_after })
            }
        }
    }

    async fn refused(&self, resource: &str, token: &Secret<String>) {
        let app = self.in_hand.lock().await.clone();
        if let Some(app) = app {
            self.microsoft.forget_token(&app, self.tenant, resource, token).await;
        }
    }
}

impl SinkTokens {
    /// The app, with its credential read from its place where none is in hand.
    async fn app(&self) -> Result<App, AppsError> {
        let mut in_hand = self.in_hand.lock().await;
        if let Some(app) = &*in_hand {
            return Ok(app.clone());
        }
        let app = apps::read_app(&self.name, &self.settings, &self.folder, self.store.as_ref()).await?;
        *in_hand = Some(app.clone());
        Ok(app)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn opened(text: &str, endpoint: &str, app: &str) -> Result<String, String> {
        let settings = Settings::parse(Path::new("."), &[(PathBuf::from("muster.toml"), text.to_owned())]);
        let settings = settings.expect("settings");
        let receiver = endpoint.parse().expect("a URL");
        let wanted = WantedTokens { api: TokenApi::LogIngestion, app, tenant: None, receiver: &receiver };
        let microsoft = || {
            crate::wiring::microsoft(&settings, Arc::new(muster_model::SystemClock), None)
                .map_err(|error| format!("{error:#}"))
        };
        open(&wanted, &settings, None, microsoft).map(|tokens| tokens.resource)
    }

    /// A credential is read again when Microsoft refuses it, and for no other trouble.
    #[tokio::test]
    async fn a_credential_stays_in_hand_until_it_is_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let login = listener.local_addr().expect("an address");
        let busy = "HTTP/1.1 503 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned();
        let said =
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: no","error_codes":[7000215]}"#;
        let refused = format!(
            "HTTP/1.1 401 x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{said}",
            said.len()
        );
        let now = Arc::new(std::sync::Mutex::new(busy));
        let answers = Arc::clone(&now);
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                drop(stream.read(&mut [0; 8_192]).await);
                let answer = answers.lock().expect("a lock").clone();
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("s"), "a-secret").expect("written");
        let text = format!(
            "[apps.main]\nclient_id = \"11111111-2222-3333-4444-555555555555\"\nsecret = {{ file = \"s\" }}\n\
             [cloud]\nname = \"custom\"\nlogin = \"http://{login}\"\ngraph = \"http://{login}\"\n"
        );
        let settings = Settings::parse(folder.path(), &[(PathBuf::from("muster.toml"), text)]);
        let settings = settings.expect("settings");
        let clock = Arc::new(muster_model::SystemClock);
        let tokens = SinkTokens {
            name: "main".to_owned(),
            settings: settings.apps["main"].clone(),
            folder: folder.path().to_owned(),
            tenant: "99999999-2222-3333-4444-555555555555".parse().expect("a tenant"),
            store: None,
            microsoft: crate::wiring::microsoft(&settings, clock, None).expect("a way"),
            in_hand: tokio::sync::Mutex::default(),
        };
        let resource = "https://monitor.azure.com";
        tokens.token(resource).await.expect_err("busy");
        tokens.refused(resource, &"a-token".into()).await;
        assert!(tokens.in_hand.lock().await.is_some());
        *now.lock().expect("a lock") = refused;
        let why = tokens.token(resource).await.expect_err("refused").reason;
        assert!(tokens.in_hand.lock().await.is_none(), "{why}");
    }

    #[test]
    fn tokens_are_for_a_known_app_and_an_endpoint_of_the_cloud_only() {
        let app =
            "[apps.main]\nclient_id = \"11111111-2222-3333-4444-555555555555\"\nsecret = { file = \"s\" }\n";
        let own = format!("{app}tenant = \"99999999-2222-3333-4444-555555555555\"\n");
        let endpoint = "https://a-b.westeurope-1.ingest.monitor.azure.com";
        assert_eq!(opened(&own, endpoint, "main").as_deref(), Ok("https://monitor.azure.com"));
        let said = |text: &str, endpoint: &str, app: &str| opened(text, endpoint, app).expect_err("refused");
        assert!(said(&own, endpoint, "mian").contains("did you mean"), "{}", said(&own, endpoint, "mian"));
        assert!(said(app, endpoint, "main").contains("set `tenant`"));
        assert!(said(&own, "https://evil.example", "main").contains("a token is not sent elsewhere"));
        let government = format!("{own}[cloud]\nname = \"gcc_high\"\n");
        assert!(said(&government, endpoint, "main").contains("ingest.monitor.azure.us"));
    }
}
