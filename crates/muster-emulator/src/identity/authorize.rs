//! The authorize endpoints and the pages behind them: sign-in, consent, and the way back to the application.
//!
//! A page is one entry of `Grants::pages`, named by the hidden field `flowToken`. Sending the page takes the entry out,
//! so that nothing can be sent twice; the entry, not the browser, holds what was asked for.

use std::collections::HashMap;

use hyper::header::{COOKIE, SET_COOKIE};
use hyper::{Method, StatusCode};

use crate::faults::kind::Area;
use crate::http::answer::Answer;
use crate::http::call::fields_of;
use crate::world::tenants::World;

use super::application::{Application, Platform};
use super::claims::Version;
use super::consent::Asked;
use super::directory::{User, is_any_tenant};
use super::error::{AadError, Trace, aad, refused, unknown_app, unknown_tenant};
use super::flow::{Authorize, Challenge, DevicePurpose, OpenPage, PageStep, Person, Prompt, Purpose};
use super::grants::{Code, DeviceOutcome, PAGE_SECONDS, Session};
use super::pages::{self, ResponseMode};
use super::platform::{Identity, Scene, State};
use super::scopes;

/// The cookie of somebody who has signed in.
const SESSION_COOKIE: &str = "ESTSAUTH";

fn session_id<'a>(scene: &'a Scene<'_>) -> Option<&'a str> {
    let cookies = scene.call.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|pair| pair.0 == SESSION_COOKIE)
        .map(|pair| pair.1)
}

impl Identity {
    /// `GET …/authorize`.
    pub(crate) fn authorize(&self, scene: &Scene<'_>, tenant_name: &str, version: Version) -> Answer {
        let fields = match *scene.call.method {
            Method::GET => fields_of(scene.call.query.as_bytes()),
            Method::POST => fields_of(&scene.call.body),
            _ => return self.refusal_page(scene, &aad(900_561)),
        };
        let request = match self.read_authorize(scene, tenant_name, version, &fields) {
            Ok(request) => request,
            Err(Unfit::Page(error)) => return self.refusal_page(scene, &error),
            Err(Unfit::Redirect(unfit)) => return self.error_back(scene, &unfit.0, &unfit.1),
        };
        let session = self.session(scene);
        self.begin(scene, Purpose::Authorize(Box::new(request)), session)
    }

    /// Checks the client and where the answer goes; nothing is redirected before both are known.
    pub(crate) fn read_client(
        &self,
        scene: &Scene<'_>,
        tenant_name: &str,
        fields: &HashMap<String, String>,
    ) -> Result<(Option<u32>, Application, String, Platform), AadError> {
        let missing = |name: &str| {
            aad(900_144).text(format!("The request body must contain the following parameter: '{name}'."))
        };
        let tenant = if is_any_tenant(tenant_name) {
            None
        } else {
            Some(scene.world.find_tenant(tenant_name).ok_or_else(|| unknown_tenant(tenant_name))?)
        };
        let client = fields.get("client_id").ok_or_else(|| missing("client_id"))?;
        let directory = tenant.map_or("Microsoft Accounts", |tenant| scene.world.facts(tenant).name.as_str());
        let state = self.lock();
        let app = state.directory.app(client).cloned().ok_or_else(|| unknown_app(client, directory))?;
        drop(state);
        match tenant {
            None if !app.multitenant() => {
                return Err(aad(50_194).text(format!(
                    "Application '{}'({}) is not configured as a multi-tenant application. Usage of the /{tenant_name} \
                     endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint \
                     or configure the application to be multi-tenant.",
                    app.app_id, app.name
                )));
            }
            Some(tenant) if !app.reaches(tenant) => return Err(unknown_app(client, directory)),
            _ => {}
        }
        let (platform, redirect) = match fields.get("redirect_uri") {
            Some(redirect) => (
                app.platform_of(redirect).ok_or_else(|| {
                    aad(50_011).text(format!(
                        "The redirect URI '{redirect}' specified in the request does not match the redirect URIs \
                         configured for the application '{}'. Make sure the redirect URI sent in the request matches \
                         one added to your application in the Azure portal.",
                        app.app_id
                    ))
                })?,
                redirect.clone(),
            ),
            None => app.redirects.first().cloned().ok_or_else(|| {
                aad(500_113)
                    .text(format!("No reply address is registered for the application '{}'.", app.app_id))
            })?,
        };
        Ok((tenant, app, redirect, platform))
    }

    fn read_authorize(
        &self,
        scene: &Scene<'_>,
        tenant_name: &str,
        version: Version,
        fields: &HashMap<String, String>,
    ) -> Result<Authorize, Unfit> {
        let (tenant, app, redirect, platform) =
            self.read_client(scene, tenant_name, fields).map_err(Unfit::Page)?;
        let mut back = Back { redirect, mode: ResponseMode::Query, state: fields.get("state").cloned() };
        back.mode = match fields.get("response_mode").map(String::as_str) {
            None | Some("query") => ResponseMode::Query,
            Some("fragment") => ResponseMode::Fragment,
            Some("form_post") => ResponseMode::FormPost,
            Some(mode) => {
                let text = format!("The 'response_mode' value '{mode}' is not supported.");
                return Err(Unfit::Page(aad(90_023).text(text)));
            }
        };
        let unfit = |error| Unfit::Redirect(Box::new((back.clone(), error)));
        let missing = |name: &str| {
            let text = format!("The request body must contain the following parameter: '{name}'.");
            unfit(aad(900_144).text(text))
        };
        match fields.get("response_type").map(String::as_str) {
            None => return Err(missing("response_type")),
            Some("code") => {}
            Some(kind) => {
                let text = format!("The app requested the unsupported response type '{kind}'.");
                return Err(unfit(aad(70_005).text(text)));
            }
        }
        let prompt = match (fields.get("prompt").map(String::as_str), version) {
            (None, _) => Prompt::Unless,
            (Some("login"), _) => Prompt::Login,
            (Some("select_account"), _) => Prompt::SelectAccount,
            (Some("consent"), _) => Prompt::Consent,
            (Some("none"), _) => Prompt::None,
            (Some("admin_consent"), Version::V1) => Prompt::AdminConsent,
            (Some(prompt), _) => {
                return Err(unfit(aad(90_023).text(format!("Unsupported 'prompt' value '{prompt}'."))));
            }
        };
        let directory = scene.world.facts(tenant.unwrap_or(scene.world.provider())).name.as_str();
        let wanted = match version {
            Version::V1 => Some(
                scopes::delegated_resource(
                    fields.get("resource").map(String::as_str),
                    &app,
                    directory,
                    scene.call,
                )
                .map_err(unfit)?,
            ),
            Version::V2 => {
                if fields.contains_key("resource") {
                    return Err(unfit(aad(901_002)));
                }
                let scope = fields.get("scope").ok_or_else(|| missing("scope"))?;
                let scope = scopes::delegated_scope(scope, directory, scene.call).map_err(unfit)?;
                Some(scope.wanted.unwrap_or_else(|| scopes::profile_only(&scope.oidc)))
            }
        };
        let challenge = match (
            fields.get("code_challenge"),
            fields.get("code_challenge_method").map_or("plain", String::as_str),
        ) {
            (None, _) => None,
            (Some(text), _) if !(43..=128).contains(&text.len()) => {
                let text = "The size of the Code_Challenge parameter is not valid.";
                return Err(unfit(aad(90_023).text(text)));
            }
            (Some(text), "S256") => Some(Challenge::Sha256(text.clone())),
            (Some(text), "plain") => Some(Challenge::Plain(text.clone())),
            (Some(_), method) => {
                let text = format!("The 'code_challenge_method' value '{method}' is not supported.");
                return Err(unfit(aad(90_023).text(text)));
            }
        };
        Ok(Authorize {
            version,
            tenant,
            app_id: app.app_id.clone(),
            platform,
            prompt,
            wanted,
            challenge,
            nonce: fields.get("nonce").cloned(),
            login_hint: fields.get("login_hint").cloned().unwrap_or_default(),
            redirect: back.redirect.clone(),
            mode: back.mode,
            state: back.state.clone(),
        })
    }

    /// The person whose session the browser shows.
    pub(crate) fn session(&self, scene: &Scene<'_>) -> Option<Person> {
        let id = session_id(scene)?;
        let state = &mut *self.lock();
        let session = state.grants.sessions.get(id)?;
        let (person, since) = (session.person.clone(), session.since);
        let user = state.directory.tenant(scene.world, person.tenant).user_of(&person.object_id)?;
        (user.enabled && since >= user.sessions_from).then_some(person)
    }

    /// The first page of a purpose, or its end when nothing is to be asked.
    pub(crate) fn begin(&self, scene: &Scene<'_>, purpose: Purpose, session: Option<Person>) -> Answer {
        let hint = purpose.login_hint();
        let (silent, fresh, pick) = match purpose.prompt() {
            Prompt::None => (true, false, false),
            Prompt::Login => (false, true, false),
            Prompt::SelectAccount => (false, false, true),
            _ => (false, false, false),
        };
        // Another account than the one hinted at, or of another tenant, has to sign in.
        let session = session.filter(|person| {
            let state = &mut *self.lock();
            let directory = state.directory.tenant(scene.world, person.tenant);
            let account = directory.user_of(&person.object_id).map(|user| user.account.clone());
            let hinted = hint.is_empty() || account.is_some_and(|account| account.eq_ignore_ascii_case(hint));
            hinted && purpose.tenant(state).is_none_or(|tenant| tenant == person.tenant)
        });
        match session {
            None if silent => self.end_with_error(scene, &purpose, &aad(50_058)),
            Some(person) if !fresh && !pick => self.signed_in(scene, purpose, person),
            Some(person) if pick => self.show(scene, purpose, PageStep::PickAccount(person), None),
            _ => self.show(scene, purpose, PageStep::SignIn, None),
        }
    }

    /// Opens a page.
    fn show(&self, scene: &Scene<'_>, purpose: Purpose, step: PageStep, problem: Option<&str>) -> Answer {
        let state = &mut *self.lock();
        let flow = format!("AQ{}", state.token(48));
        let app = purpose.app(state);
        let name = app.as_ref().map_or("an app", |app| app.name.as_str()).to_owned();
        let answer = match &step {
            PageStep::SignIn => pages::sign_in(&flow, &name, purpose.login_hint(), problem),
            PageStep::EnterCode => pages::enter_code(&flow, purpose.login_hint(), problem),
            PageStep::PickAccount(person) => {
                pages::pick_account(&flow, &name, &state.account(scene.world, person))
            }
            PageStep::ConfirmDevice(person) => {
                pages::confirm_device(&flow, &name, &state.account(scene.world, person))
            }
            PageStep::NeedsAdministrator(person) => pages::needs_administrator(
                &flow,
                &name,
                &state.account(scene.world, person),
                &aad(90_094).line(),
            ),
            PageStep::Consent(person) => {
                let Some(app) = &app else { return pages::refusal(StatusCode::OK, &aad(70_001).line()) };
                let asked = Asked::of(state, scene.world, &purpose, app, person);
                asked.page(state, scene.world, &flow, app, person, purpose.redirect())
            }
        };
        state.grants.pages.insert(flow, OpenPage { purpose, step, since: scene.world.now() });
        answer
    }

    /// A page that was sent back: its entry is taken out, so that it works once.
    fn take_page(&self, scene: &Scene<'_>, fields: &HashMap<String, String>) -> Result<OpenPage, Answer> {
        let stale = || {
            let text = "Invalid Request: the request tokens do not match the user context. The page was sent twice or \
                        is too old. Go back to the application and begin again.";
            self.refusal_page(scene, &aad(90_023).text(text))
        };
        if *scene.call.method != Method::POST {
            return Err(stale());
        }
        let page = fields.get("flowToken").and_then(|flow| self.lock().grants.pages.remove(flow));
        let page = page.ok_or_else(stale)?;
        if scene.world.now() > page.since.plus_seconds(PAGE_SECONDS) {
            return Err(stale());
        }
        Ok(page)
    }

    /// `POST /common/login`, `/common/pick`, `/common/consent`, `/common/deviceauth`: what a page sends.
    pub(crate) fn page_sent(&self, scene: &Scene<'_>) -> Answer {
        let fields = fields_of(&scene.call.body);
        let page = match self.take_page(scene, &fields) {
            Ok(page) => page,
            Err(answer) => return answer,
        };
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        let OpenPage { purpose, step, .. } = page;
        match step {
            PageStep::SignIn => self.credentials_sent(scene, purpose, field("loginfmt"), field("passwd")),
            PageStep::PickAccount(person) if field("choice") == "same" => {
                self.signed_in(scene, purpose, person)
            }
            PageStep::PickAccount(_) => self.show(scene, purpose.without_hint(), PageStep::SignIn, None),
            PageStep::EnterCode => self.code_entered(scene, field("otc")),
            PageStep::ConfirmDevice(person) => match field("decision") {
                "accept" => self.end_device(scene, &purpose, DeviceOutcome::Approved(person)),
                _ => self.end_device(scene, &purpose, DeviceOutcome::Declined),
            },
            PageStep::NeedsAdministrator(_) if field("decision") == "other" => {
                self.show(scene, purpose.without_hint(), PageStep::SignIn, None)
            }
            PageStep::NeedsAdministrator(_) => self.end_with_error(scene, &purpose, &aad(90_094)),
            PageStep::Consent(person) if field("decision") == "accept" => {
                let organisation = field("organisation") == "yes";
                self.consented(scene, purpose, person, organisation)
            }
            PageStep::Consent(_) => self.end_with_error(scene, &purpose, &aad(65_004)),
        }
    }

    fn credentials_sent(&self, scene: &Scene<'_>, purpose: Purpose, account: &str, password: &str) -> Answer {
        let signed_in = self.check_password(scene, account, password);
        let person = match signed_in {
            Ok(person) => person,
            Err(error) => {
                let purpose = purpose.with_hint(account);
                return self.show(scene, purpose, PageStep::SignIn, Some(&error.line()));
            }
        };
        let cookie = {
            let state = &mut *self.lock();
            if let Some(tenant) = purpose.tenant(state).filter(|&tenant| tenant != person.tenant) {
                let error = aad(50_020).text(format!(
                    "User account '{account}' from identity provider 'https://sts.windows.net/{}/' does not exist in \
                     tenant '{}' and cannot access the application '{}' in that tenant. The account needs to be added \
                     as an external user in the tenant first. Sign out and sign in again with a different account.",
                    scene.world.facts(person.tenant).id,
                    scene.world.facts(tenant).name,
                    purpose.app_id(state).unwrap_or_default(),
                ));
                return refused(scene, &error, || state.dice.guid());
            }
            let id = format!("0.{}", state.token(48));
            let since = scene.world.now();
            state.grants.sessions.insert(id.clone(), Session { person: person.clone(), since });
            let secure = if scene.call.base.starts_with("https:") { "; Secure" } else { "" };
            format!("{SESSION_COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax{secure}")
        };
        self.signed_in(scene, purpose, person).with(SET_COOKIE, cookie)
    }

    /// Finds an account and checks its password.
    pub(crate) fn check_password(
        &self,
        scene: &Scene<'_>,
        account: &str,
        password: &str,
    ) -> Result<Person, AadError> {
        let unknown = || {
            aad(50_034).text(format!(
                "The user account {{EUII Hidden}} does not exist in the directory of '{}'. To sign into this \
                 application, the account must be added to the directory.",
                account.rsplit_once('@').map_or("", |parts| parts.1)
            ))
        };
        let (_, domain) = account.rsplit_once('@').ok_or_else(unknown)?;
        let tenant = scene.world.find_tenant(domain).ok_or_else(unknown)?;
        let state = &mut *self.lock();
        let user = state.directory.tenant(scene.world, tenant).user(account).ok_or_else(unknown)?;
        if user.password != password {
            return Err(aad(50_126));
        }
        if !user.enabled {
            return Err(aad(50_057));
        }
        Ok(Person { tenant, object_id: user.object_id.clone() })
    }

    /// Goes on with somebody who has signed in.
    fn signed_in(&self, scene: &Scene<'_>, purpose: Purpose, person: Person) -> Answer {
        let refusal = {
            let state = self.lock();
            scene.faults.refusal(Area::Authorize, Some(person.tenant), purpose.app_id(&state))
        };
        if let Some(code) = refusal {
            return self.end_with_error(scene, &purpose, &aad(code));
        }
        let step = {
            let state = &mut *self.lock();
            let Some(app) = purpose.app(state) else {
                return refused(scene, &aad(70_001), || state.dice.guid());
            };
            let principal = state.directory.tenant(scene.world, person.tenant).principal(&app.app_id);
            if !app.enabled || principal.is_some_and(|principal| !principal.enabled) {
                let text = format!("Application '{}'({}) is disabled.", app.app_id, app.name);
                return refused(scene, &aad(7_000_112).text(text), || state.dice.guid());
            }
            let asked = Asked::of(state, scene.world, &purpose, &app, &person);
            if !asked.needed {
                None
            } else if asked.needs_administrator && !state.is_administrator(scene.world, &person) {
                Some(PageStep::NeedsAdministrator(person.clone()))
            } else {
                Some(PageStep::Consent(person.clone()))
            }
        };
        match step {
            Some(_) if purpose.prompt() == Prompt::None => {
                self.end_with_error(scene, &purpose, &aad(65_001).error("interaction_required"))
            }
            Some(step) => self.show(scene, purpose, step, None),
            None => self.end(scene, purpose, person),
        }
    }

    fn consented(&self, scene: &Scene<'_>, purpose: Purpose, person: Person, organisation: bool) -> Answer {
        {
            let state = &mut *self.lock();
            let Some(app) = purpose.app(state) else {
                return refused(scene, &aad(70_001), || state.dice.guid());
            };
            let asked = Asked::of(state, scene.world, &purpose, &app, &person);
            let administrator = state.is_administrator(scene.world, &person);
            if asked.needs_administrator && !administrator {
                return refused(scene, &aad(90_094), || state.dice.guid());
            }
            asked.grant(state, scene.world, &app, &person, organisation && administrator);
        }
        self.end(scene, purpose, person)
    }

    /// Nothing more is to be asked.
    fn end(&self, scene: &Scene<'_>, purpose: Purpose, person: Person) -> Answer {
        match purpose {
            Purpose::Authorize(request) => self.send_code(scene, *request, person),
            Purpose::AdminConsent(request) => self.send_admin_consent(scene, &request, &person),
            Purpose::Device(_) => self.show(scene, purpose, PageStep::ConfirmDevice(person), None),
        }
    }

    fn send_code(&self, scene: &Scene<'_>, request: Authorize, person: Person) -> Answer {
        let state = &mut *self.lock();
        let code = format!("0.A{}.AgABBA{}", state.token(20), state.token(90));
        let session = state.dice.guid();
        let mut fields = vec![("code", code.as_str())];
        if let Some(state) = &request.state {
            fields.push(("state", state));
        }
        fields.push(("session_state", &session));
        if request.prompt == Prompt::AdminConsent {
            fields.push(("admin_consent", "True"));
        }
        let answer = pages::back(&request.redirect, request.mode, &fields);
        state.grants.note_issued(&code);
        state.grants.codes.insert(
            code,
            Code {
                app_id: request.app_id,
                person,
                wanted: request.wanted,
                version: request.version,
                redirect: request.redirect,
                platform: request.platform,
                challenge: request.challenge,
                nonce: request.nonce,
                issued: scene.world.now(),
                used: false,
            },
        );
        answer
    }

    /// The purpose has failed: the application is told, if it may be, else the person.
    fn end_with_error(&self, scene: &Scene<'_>, purpose: &Purpose, error: &AadError) -> Answer {
        match purpose {
            Purpose::Authorize(request) => {
                // Blocks are shown to the person; the application learns of what it can act on.
                let told = [16_000, 50_058, 65_001, 65_004, 90_033, 90_055, 90_094];
                if !told.contains(&error.code()) {
                    return self.refusal_page(scene, error);
                }
                let back = Back {
                    redirect: request.redirect.clone(),
                    mode: request.mode,
                    state: request.state.clone(),
                };
                self.error_back(scene, &back, error)
            }
            Purpose::AdminConsent(request) => self.admin_consent_failed(scene, request, error),
            Purpose::Device(_) if matches!(error.code(), 65_004 | 90_094) => {
                self.end_device(scene, purpose, DeviceOutcome::Declined)
            }
            Purpose::Device(_) => self.refusal_page(scene, error),
        }
    }

    /// `GET /devicelogin`: where a person enters the code.
    pub(crate) fn device_page(&self, scene: &Scene<'_>) -> Answer {
        let fields = fields_of(scene.call.query.as_bytes());
        let hint = fields.get("otc").map_or("", String::as_str);
        self.show(scene, Purpose::Device(DevicePurpose::default()).with_hint(hint), PageStep::EnterCode, None)
    }

    fn code_entered(&self, scene: &Scene<'_>, code: &str) -> Answer {
        let code = code.trim().replace([' ', '-'], "").to_uppercase();
        match self.find_device(scene, &code) {
            Some(key) => {
                let purpose = Purpose::Device(DevicePurpose { key, hint: String::new() });
                self.begin(scene, purpose, self.session(scene))
            }
            None => {
                let text = "That code didn't work. Check the code and try again.";
                self.show(scene, Purpose::Device(DevicePurpose::default()), PageStep::EnterCode, Some(text))
            }
        }
    }

    fn end_device(&self, _scene: &Scene<'_>, purpose: &Purpose, outcome: DeviceOutcome) -> Answer {
        let Purpose::Device(DevicePurpose { key, .. }) = purpose else {
            return pages::refusal(StatusCode::BAD_REQUEST, &aad(90_023).line());
        };
        let approved = matches!(outcome, DeviceOutcome::Approved(_));
        let state = &mut *self.lock();
        let Some(device) = state.grants.devices.get_mut(key) else {
            return pages::refusal(StatusCode::BAD_REQUEST, &aad(70_019).line());
        };
        if device.outcome == DeviceOutcome::Pending {
            device.outcome = outcome;
        }
        if approved {
            return pages::note(
                "You're signed in",
                "You have signed in to the application on your device. You may now close this window.",
            );
        }
        pages::note("Sign-in was cancelled", "Nothing was allowed. You may now close this window.")
    }

    /// `GET …/logout`: ends the browser's session.
    pub(crate) fn log_out(&self, scene: &Scene<'_>) -> Answer {
        if let Some(id) = session_id(scene) {
            self.lock().grants.sessions.remove(id);
        }
        pages::note("You signed out of your account", "It's a good idea to close all browser windows.")
            .with(SET_COOKIE, format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"))
    }

    /// A refusal that stays with the person.
    pub(crate) fn refusal_page(&self, scene: &Scene<'_>, error: &AadError) -> Answer {
        refused(scene, error, || self.guid())
    }

    pub(crate) fn error_back(&self, scene: &Scene<'_>, back: &Back, error: &AadError) -> Answer {
        let trace = Trace::of(scene.world, scene.call, || self.guid());
        let description = trace.describe(error);
        let uri = format!("{}/error?code={}", scene.call.base, error.code());
        let mut fields =
            vec![("error", error.error), ("error_description", &description), ("error_uri", &uri)];
        if error.code() == 65_004 {
            fields.push(("error_subcode", "cancel"));
        }
        if let Some(state) = &back.state {
            fields.push(("state", state));
        }
        pages::back(&back.redirect, back.mode, &fields)
    }
}

/// Where an application hears of a refusal.
#[derive(Clone)]
pub(crate) struct Back {
    pub(crate) redirect: String,
    pub(crate) mode: ResponseMode,
    pub(crate) state: Option<String>,
}

/// Why a request is not begun.
enum Unfit {
    Page(AadError),
    Redirect(Box<(Back, AadError)>),
}

impl Purpose {
    fn tenant(&self, state: &State) -> Option<u32> {
        match self {
            Self::Authorize(request) => request.tenant,
            Self::AdminConsent(request) => request.tenant,
            Self::Device(device) => state.grants.devices.get(&device.key)?.tenant,
        }
    }

    pub(crate) fn app_id<'a>(&'a self, state: &'a State) -> Option<&'a str> {
        match self {
            Self::Authorize(request) => Some(&request.app_id),
            Self::AdminConsent(request) => Some(&request.app_id),
            Self::Device(device) => {
                state.grants.devices.get(&device.key).map(|device| device.app_id.as_str())
            }
        }
    }

    fn app(&self, state: &State) -> Option<Application> {
        state.directory.app(self.app_id(state)?).cloned()
    }

    pub(crate) fn prompt(&self) -> Prompt {
        match self {
            Self::Authorize(request) => request.prompt,
            Self::AdminConsent(_) => Prompt::AdminConsent,
            Self::Device(_) => Prompt::Unless,
        }
    }

    fn login_hint(&self) -> &str {
        match self {
            Self::Authorize(request) => &request.login_hint,
            Self::AdminConsent(request) => &request.login_hint,
            Self::Device(device) => &device.hint,
        }
    }

    fn redirect(&self) -> &str {
        match self {
            Self::Authorize(request) => &request.redirect,
            Self::AdminConsent(request) => &request.redirect,
            Self::Device(_) => "",
        }
    }

    fn with_hint(mut self, hint: &str) -> Self {
        match &mut self {
            Self::Authorize(request) => request.login_hint = hint.to_owned(),
            Self::AdminConsent(request) => request.login_hint = hint.to_owned(),
            Self::Device(device) => device.hint = hint.to_owned(),
        }
        self
    }

    fn without_hint(self) -> Self {
        self.with_hint("")
    }
}

/// The administrator's rights that consent for an organisation takes.
impl State {
    pub(crate) fn is_administrator(&mut self, world: &World, person: &Person) -> bool {
        self.user(world, person).is_some_and(User::is_global_administrator)
    }

    pub(crate) fn user(&mut self, world: &World, person: &Person) -> Option<&User> {
        self.directory.tenant(world, person.tenant).user_of(&person.object_id)
    }

    pub(crate) fn account(&mut self, world: &World, person: &Person) -> String {
        self.user(world, person).map_or_else(String::new, |user| user.account.clone())
    }
}
