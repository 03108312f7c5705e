//! A person of the provider signs in for one command, to change app registrations in their name. The token is used by
//! that command and kept nowhere; no refresh token is asked for again.

use muster_microsoft::Microsoft;
use muster_microsoft::entra::applications::OPERATOR_SCOPES;
use muster_microsoft::entra::credential::{Access, App, Credential};
use muster_microsoft::entra::delegated::{AuthorizeRequest, Granted, Pkce, Prompt, ResponseMode};
use muster_model::{Clock, TenantId};
use muster_store::Store;
use uuid::Uuid;

use crate::access::person::{self, Loopback, SignInFlow};
use crate::access::sign_in::{self, Returned};
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;

/// "Microsoft Graph Command Line Tools": a public client of Microsoft's own, known in every tenant.
pub const GRAPH_COMMAND_LINE_TOOLS: Uuid = Uuid::from_u128(0x14d8_2eec_204b_4c2f_b7e8_296a_70da_b67e);
/// Where a pasted address ends: nobody listens there, and need not.
const PASTE_REDIRECT: &str = "http://localhost";
/// What the tag over our own `state` is for. It only serves to compare in constant time.
const PURPOSE: &str = "operator state";

/// Who is to sign in, and how.
pub struct Operator<'a> {
    pub microsoft: &'a Microsoft,
    /// The store, whose key compares the `state`.
    pub store: &'a dyn Store,
    pub clock: &'a dyn Clock,
    pub tenant: TenantId,
    /// The public client that the person signs in to.
    pub client_id: Uuid,
    pub flow: SignInFlow,
    /// Only show the address, open no browser.
    pub no_open: bool,
}

impl Operator<'_> {
    /// Lets the person sign in. Instructions go to standard error.
    ///
    /// # Errors
    /// When nobody signs in in time, the person says no, or Microsoft does.
    pub async fn sign_in(&self) -> Result<Granted, Failed> {
        let app = App {
            access: Access::Delegated,
            ..App::new("the operator's sign-in", self.client_id.to_string(), Credential::None)
        };
        let granted = match self.flow {
            SignInFlow::Device => self.by_device(&app).await?,
            SignInFlow::Browser => self.by_browser(&app).await?,
            SignInFlow::Paste => self.by_paste(&app).await?,
        };
        if granted.tenant.is_some_and(|tenant| tenant != self.tenant) {
            return Err(Failed::say(
                Exit::Microsoft,
                format!("the person who signed in belongs to another tenant than {}", self.tenant),
            ));
        }
        Ok(granted)
    }

    /// The permissions, each spelled out: a public client that everybody shares has none of its own to ask for by default.
    fn wanted(&self) -> String {
        let resource = self.microsoft.cloud().graph_resource();
        OPERATOR_SCOPES.map(|scope| format!("{resource}/{scope}")).join(" ")
    }

    fn whom(&self) -> String {
        format!("a person of tenant {} who may change app registrations", self.tenant)
    }

    async fn by_device(&self, app: &App) -> Result<Granted, Failed> {
        let (wanted, now) = (self.wanted(), self.clock.now());
        person::by_device(self.microsoft, app, self.tenant, &wanted, &self.whom(), now).await
    }

    async fn by_browser(&self, app: &App) -> Result<Granted, Failed> {
        let loopback = Loopback::bind(None).await?;
        let redirect = loopback.redirect().to_owned();
        let attempt = Attempt::new();
        let url = self.authorize_url(app, &redirect, &attempt).await?;
        person::open_browser(&url, &self.whom(), self.no_open);
        loopback
            .answer(async |returned| {
                if !self.is_ours(&returned, &attempt) {
                    return Ok(None);
                }
                self.redeem(app, &redirect, &attempt, &returned).await.map(Some)
            })
            .await
    }

    async fn by_paste(&self, app: &App) -> Result<Granted, Failed> {
        let attempt = Attempt::new();
        let url = self.authorize_url(app, PASTE_REDIRECT, &attempt).await?;
        note!(
            "1. Open this address and sign in as {}:\n\n{url}\n\n2. The browser ends at {PASTE_REDIRECT}, which shows an error. Copy the whole address from its bar and paste it here:",
            self.whom()
        );
        let returned = person::pasted().await?;
        if !self.is_ours(&returned, &attempt) {
            return Err(Failed::say(Exit::Failure, "this address belongs to another sign-in: start again"));
        }
        self.redeem(app, PASTE_REDIRECT, &attempt, &returned).await
    }

    async fn authorize_url(&self, app: &App, redirect: &str, attempt: &Attempt) -> Result<String, Failed> {
        let request = AuthorizeRequest {
            app,
            tenant: Some(self.tenant),
            resource: &self.wanted(),
            redirect_uri: redirect,
            state: &attempt.state,
            nonce: &attempt.nonce,
            challenge: &attempt.pkce.challenge(),
            login_hint: None,
            prompt: Some(Prompt::SelectAccount),
            response_mode: ResponseMode::Query,
        };
        self.microsoft.authorize_url(&request).await.map(|url| url.to_string()).map_err(microsoft)
    }

    fn is_ours(&self, returned: &Returned, attempt: &Attempt) -> bool {
        let key = self.store.signing_key();
        let tag = key.sign(PURPOSE, attempt.state.as_bytes());
        returned.state.as_ref().is_some_and(|state| key.verify(PURPOSE, state.as_bytes(), &tag))
    }

    async fn redeem(
        &self,
        app: &App,
        redirect: &str,
        attempt: &Attempt,
        returned: &Returned,
    ) -> Result<Granted, Failed> {
        returned.refused().map_err(|error| Failed::new(Exit::Microsoft, error))?;
        let incomplete = || Failed::new(Exit::Failure, sign_in::SignInError::Incomplete);
        let code = returned.code.as_ref().ok_or_else(incomplete)?;
        let verifier = attempt.pkce.verifier();
        let granted = self
            .microsoft
            .redeem_code(app, self.tenant, code, redirect, verifier, &self.wanted())
            .await
            .map_err(microsoft)?;
        if granted.nonce.as_ref().is_some_and(|nonce| *nonce != attempt.nonce) {
            return Err(Failed::say(Exit::Microsoft, "the answer belongs to another sign-in: start again"));
        }
        Ok(granted)
    }
}

/// What ties an answer to its question.
struct Attempt {
    state: String,
    nonce: String,
    pkce: Pkce,
}

impl Attempt {
    fn new() -> Self {
        let mut verifier = [0; 32];
        getrandom::fill(&mut verifier).expect("the operating system gives random bytes");
        Self {
            state: Uuid::new_v4().simple().to_string(),
            nonce: Uuid::new_v4().simple().to_string(),
            pkce: Pkce::generate(verifier),
        }
    }
}

fn microsoft(error: muster_microsoft::entra::error::TokenError) -> Failed {
    Failed::new(Exit::Microsoft, error)
}
