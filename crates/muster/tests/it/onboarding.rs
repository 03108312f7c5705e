//! Onboarding: from an invitation to a tenant that is read, and everything that may come in at its doors instead.
//!
//! Muster's pages are served on a real socket, Microsoft's by the emulator; the clock is the test's. The person in front
//! of the browser is `Handle::sign_in`, or the test itself where it plays somebody hostile.

use rustix::process::Signal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster::access::apps::Apps;
use muster::access::checks;
use muster::access::onboard::{self, CONSENT, Connected, Invited, Onboarding};
use muster::access::sign_in::{self, Returned, SignInRequest};
use muster::config::Settings;
use muster::web::language::Language;
use muster::web::listener::{self, Bounds, Visitors};
use muster::web::onboarding::{OnboardingHandle, routes};
use muster::wiring;
use muster_emulator::{Config, DirectoryChange, Handle};
use muster_microsoft::entra::consent::ConsentForm;
use muster_microsoft::entra::delegated::{AuthorizeRequest, Pkce, ResponseMode};
use muster_model::{Clock, ManualClock, Source, SystemClock, TenantId, TenantState};
use muster_store::{
    CheckOutcome, InstanceId, InvitationChange, NewTenant, OpenMode, SignInKind, Store, StoreError,
    TenantChange, TenantKey,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Setup, config, eventually, signal};

/// Everything for one test.
pub(crate) struct House {
    pub(crate) emulator: Handle,
    pub(crate) folder: TempDir,
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) onboarding: Arc<Onboarding>,
    pub(crate) address: SocketAddr,
    _server: JoinSet<()>,
}

/// An answer of Muster's pages.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Page {
    fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{}: ", name.to_ascii_lowercase());
        self.headers
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with(&start))
            .map(|line| &line[start.len()..])
    }

    fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{self:?}");
        self.header("location").expect("a redirect says where to")
    }

    fn assert_says(&self, status: u16, words: &str) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.body.contains(words), "{words:?} is missing in {}", self.body);
        self
    }
}

impl House {
    pub(crate) async fn open(configuration: Config, form: ConsentForm) -> Self {
        Self::named(configuration, form, "Northwind Security").await
    }

    pub(crate) async fn named(configuration: Config, form: ConsentForm, provider: &str) -> Self {
        Self::set_up(configuration, form, provider, "").await
    }

    /// With more lines of the app's section.
    async fn set_up(configuration: Config, form: ConsentForm, provider: &str, app_lines: &str) -> Self {
        let emulator = muster_emulator::start(configuration).await.expect("the emulator starts");
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        for path in ["onboard/callback", "SiemMsspConnector"] {
            let uri = format!("http://{address}/{path}");
            let change = DirectoryChange::AddRedirectUri { app: None, uri, public: false };
            emulator.change(change).expect("a redirect URI");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let made = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"))
            .args(["init", folder.path().to_str().expect("UTF-8")])
            .output()
            .await
            .expect("muster starts");
        assert!(made.status.success(), "{made:?}");
        let text = format!(
            r#"[apps.main]
client_id = "{app}"
secret = {{ file = "main.secret" }}
tenant = "{home}"
{app_lines}

[cloud]
name = "custom"
login = "{base}"
graph = "{base}"

[network]
proxy = ""

[onboarding]
listen = "{address}"
public_url = "http://{address}"
provider_name = {provider}
contact = "soc@northwind.example"
consent = "{form}"
"#,
            app = emulator.app_id(),
            home = emulator.provider().id,
            base = emulator.base_url(),
            provider = serde_json::Value::from(provider),
            form = form.as_str(),
        );
        std::fs::write(folder.path().join("muster.toml"), &text).expect("written");
        std::fs::write(folder.path().join("main.secret"), emulator.secret()).expect("written");
        let settings = Settings::read(&folder.path().join("muster.toml")).expect("right settings");
        let opened = wiring::open_store(&settings, OpenMode::Shared).await;
        let store = opened.map_err(|failed| failed.error).expect("a store");
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let onboarding = onboarding(&settings, &store, clock.clone()).await;
        let door = OnboardingHandle::default();
        door.set(Some(Arc::clone(&onboarding)));
        let mut server = JoinSet::new();
        server.spawn(async move {
            // One address plays everybody here.
            let bounds = Bounds { per_address_max: 200, burst: 3_000.0, ..Bounds::public(1_024) };
            let visitors = Visitors::new("public", bounds, Vec::new());
            listener::serve(socket, None, routes(door), visitors, CancellationToken::new()).await;
        });
        Self { emulator, folder, settings, store, clock, onboarding, address, _server: server }
    }

    /// The first tenant's id.
    fn tenant(&self) -> TenantId {
        self.emulator.tenants()[0].id.parse().expect("a tenant id")
    }

    fn admin(&self) -> String {
        format!("admin@{}", self.emulator.tenants()[0].domain)
    }

    async fn invite(&self, name: &str, language: Option<Language>) -> Invited {
        self.invite_tenant(0, name, language).await
    }

    /// Invites one of the emulator's tenants.
    pub(crate) async fn invite_tenant(
        &self,
        index: usize,
        name: &str,
        language: Option<Language>,
    ) -> Invited {
        let facts = &self.emulator.tenants()[index];
        let id: TenantId = facts.id.parse().expect("a tenant id");
        let now = self.clock.now();
        let new = NewTenant {
            id,
            slug: format!("contoso-{index}").parse().expect("a slug"),
            name: name.to_owned(),
            domain: facts.domain.parse().ok(),
            app: "main".to_owned(),
            sources: muster_model::Source::DEFAULT.into(),
            tags: Default::default(),
            since: now,
            state: TenantState::Invited,
        };
        let tenant = match self.store.add_tenant(new, "test", now).await {
            Ok(tenant) => tenant,
            Err(StoreError::TenantExists { .. }) => {
                self.store.tenant(TenantKey::Id(id)).await.expect("it is there")
            }
            Err(error) => panic!("{error}"),
        };
        let settings = self.settings.onboarding.as_ref().expect("settings");
        onboard::invite(self.store.as_ref(), settings, tenant, language, "test", now).await.expect("invited")
    }

    async fn state(&self) -> TenantState {
        self.store.tenant(TenantKey::Id(self.tenant())).await.expect("it is there").state
    }

    /// A request as a browser sends it; redirects are not followed.
    async fn send(&self, method: &str, target: &str, more: &str, body: &str) -> Page {
        send(self.address, method, target, more, body).await
    }

    pub(crate) async fn get(&self, target: &str) -> Page {
        self.send("GET", target, "", "").await
    }

    /// Presses the button of an invitation's page; the address at Microsoft.
    async fn go_on(&self, link: &str) -> String {
        let page = self.send("POST", &format!("{link}/continue?lang=en"), "", "").await;
        page.location().to_owned()
    }

    /// Presses the button and gives the `state` that goes out.
    async fn state_of(&self, link: &str) -> String {
        let address = url::Url::parse(&self.go_on(link).await).expect("an address");
        let found =
            address.query_pairs().find(|(name, _)| name == "state").map(|(_, value)| value.into_owned());
        found.expect("a state")
    }

    /// Comes back from Microsoft with these parameters.
    async fn come_back(&self, parameters: &[(&str, &str)]) -> Page {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        self.get(&format!("/onboard/callback?{query}")).await
    }

    /// Proves and checks once.
    async fn attempt(&self) {
        self.onboarding.attempt(self.tenant(), self.clock.now()).await.expect("the store answers");
    }

    async fn check(&self, name: &str) -> Option<muster_store::Check> {
        let checks = self.store.checks(Some(self.tenant())).await.expect("the store answers");
        checks.into_iter().map(|(_, check)| check).find(|check| check.name == name)
    }

    /// Stops looking after consents, as at the end of the program.
    async fn stop(&self) {
        let stop = CancellationToken::new();
        stop.cancel();
        Arc::clone(&self.onboarding).run(stop).await;
    }

    /// What the audit log says was done.
    async fn deeds(&self) -> Vec<String> {
        let events = self.store.audit(0, 1_000).await.expect("the store answers");
        events.into_iter().map(|event| event.action).collect()
    }
}

/// What an address that Microsoft sends the browser back to holds.
fn returned(back: &str) -> Returned {
    Returned::from_query(back.split_once('?').expect("a query").1)
}

/// A request as a browser sends it; redirects are not followed.
async fn send(address: SocketAddr, method: &str, target: &str, more: &str, body: &str) -> Page {
    let target = target.strip_prefix(&format!("http://{address}")).unwrap_or(target);
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n{body}",
        address,
        body.len()
    );
    socket.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = Vec::new();
    // A server that has seen enough of a body closes the connection; what it said before counts.
    socket.read_to_end(&mut answer).await.ok();
    let answer = String::from_utf8(answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Page { status, headers: head.to_owned(), body: body.to_owned() }
}

async fn onboarding(settings: &Settings, store: &Arc<dyn Store>, clock: Arc<ManualClock>) -> Arc<Onboarding> {
    let clock: Arc<dyn Clock> = clock;
    let grants = muster::access::grants::StoreGrants::new(
        Arc::clone(store),
        InstanceId(uuid::Uuid::from_u128(1)),
        Arc::clone(&clock),
    );
    let microsoft = wiring::microsoft(settings, Arc::clone(&clock), Some(Arc::new(grants)));
    let apps = Apps::load(settings, store).await.expect("the app");
    let pages = settings.onboarding.clone().expect("settings");
    Arc::new(Onboarding::new(Arc::clone(store), Arc::new(microsoft.expect("a way")), apps, pages, clock))
}

pub(crate) fn empty() -> Config {
    Config { tenants: 2, alerts: Some(20), consented: false, ..config() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_leads_to_green_checks_with_every_consent_form() {
    for form in ConsentForm::ALL {
        let house = House::open(empty(), form).await;
        let invited = house.invite("Contoso GmbH", None).await;
        house
            .get(&invited.link)
            .await
            .assert_says(200, "Northwind Security asks to read the security alerts of Contoso GmbH")
            .assert_says(200, "SecurityAlert.Read.All")
            .assert_says(200, house.emulator.app_id());
        let address = house.go_on(&invited.link).await;
        let back = house.emulator.sign_in(&address, &house.admin(), true);
        let back = back.unwrap_or_else(|error| panic!("{form:?}: {error}"));
        let page = house.get(&back).await;
        assert!(
            invited.link.ends_with(page.location().split('?').next().expect("a path")),
            "{form:?}: {page:?}"
        );
        assert_eq!(house.state().await, TenantState::Invited, "{form:?}: nothing is proven by a redirect");
        house.get(page.location()).await.assert_says(200, "The connection is being checked");
        house.attempt().await;
        let page = house.get(page.location()).await;
        page.assert_says(200, "Everything works").assert_says(200, "Security incidents can be read");
        assert!(!page.body.contains("http-equiv=\"refresh\""), "what is done is not asked for again");
        assert_eq!(house.state().await, TenantState::Active, "{form:?}");
        for (name, wanted) in [(CONSENT, "ok"), (checks::TOKEN, "ok"), ("source graph_alerts", "ok")] {
            assert_eq!(house.check(name).await.expect("checked").code, wanted, "{form:?} {name}");
        }
        let deeds = house.deeds().await;
        for deed in ["tenant.invited", "invitation.opened", "consent.asked", "consent.told", "consent.given"]
        {
            assert!(deeds.iter().any(|done| done == deed), "{form:?}: {deed} is missing in {deeds:?}");
        }
        let invitation = house.store.invitations(house.tenant()).await.expect("it answers").remove(0);
        assert!(invitation.opened_at.is_some() && invitation.used_at.is_some());
        // Whoever presses the button now wins nothing, and goes nowhere.
        let again = house.send("POST", &format!("{}/continue", invited.link), "", "").await;
        assert!(again.location().starts_with("/onboard/"), "{form:?}");
    }
}

/// An app that reads in a person's name needs both: the administrator is led through consent and sign-in, and ends where
/// everything works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_of_an_app_for_a_person_leads_through_consent_and_sign_in() {
    for form in ConsentForm::ALL {
        let house = House::set_up(empty(), form, "Northwind Security", "access = \"delegated\"").await;
        let invited = house.invite("Contoso", Some(Language::English)).await;
        let domain = house.emulator.tenants()[0].domain.clone();
        house
            .get(&invited.link)
            .await
            .assert_says(200, "Delegated permission of Microsoft Graph")
            .assert_says(200, "Then a person of Contoso signs in once");
        let sign_in = format!("{}/sign-in?lang=en", invited.link);
        let early = house.send("POST", &sign_in, "", "").await;
        assert!(early.location().starts_with("/onboard/"), "{form:?}: consent comes first: {early:?}");
        let address = house.go_on(&invited.link).await;
        let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
        let at = house.get(&back).await.location().to_owned();
        house.attempt().await;
        let page = house.get(&at).await;
        page.assert_says(200, "One more step: a sign-in").assert_says(200, "Sign in at Microsoft");
        assert!(!page.body.contains("Something still needs attention"), "{form:?}: {page:?}");
        assert_eq!(house.state().await, TenantState::Invited, "{form:?}: a browser's word proves nothing");
        // The sign-in that is cut short says why, and may be begun anew.
        let go = house.send("POST", &sign_in, "", "").await.location().to_owned();
        let parameters = url::Url::parse(&go).expect("an address");
        let state =
            parameters.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
        let refused = house
            .get(&format!(
                "/SiemMsspConnector?error=interaction_required&error_description=AADSTS50078%3A+x&state={state}"
            ))
            .await;
        assert!(refused.location().contains("notice=AADSTS50078"), "{form:?}: {refused:?}");
        house.get(refused.location()).await.assert_says(200, "prove once more that it is you");
        // A person who may see nothing is told from one who may. This one form asks for the administrator's own consent.
        let accounts = match form {
            ConsentForm::V1PromptConsent => &[("admin", true)][..],
            _ => &[("user", false), ("analyst", true)],
        };
        for (account, works) in accounts.iter().copied() {
            let go = house.send("POST", &sign_in, "", "").await.location().to_owned();
            let back = house.emulator.sign_in(&go, &format!("{account}@{domain}"), true);
            let back = back.unwrap_or_else(|error| panic!("{form:?} {account}: {error}"));
            let page = house.get(&back).await;
            assert!(page.location().starts_with("/onboard/"), "{form:?}: {page:?}");
            house.attempt().await;
            let page = house.get(page.location()).await;
            let grant = house.check(checks::GRANT).await.expect("looked at");
            assert_eq!(grant.code, "ok", "{form:?}: what was refused before is over");
            if works {
                page.assert_says(200, "Everything works")
                    .assert_says(200, "A person of your organization has signed in");
                assert_eq!(house.state().await, TenantState::Active, "{form:?}");
            } else {
                page.assert_says(200, "Sign in at Microsoft").assert_says(200, "has no role in your tenant");
            }
        }
        let deeds = house.deeds().await;
        for deed in ["sign_in.asked", "sign_in.refused", "sign_in.done", "grant.kept", "consent.given"] {
            assert!(deeds.iter().any(|done| done == deed), "{form:?}: {deed} is missing in {deeds:?}");
        }
        // It is done: nobody is sent to sign in any more.
        let again = house.send("POST", &sign_in, "", "").await;
        assert!(again.location().starts_with("/onboard/"), "{form:?}: {again:?}");
    }
}

/// Found by walking the partner page: an app without permissions of Graph was refused with AADSTS650057.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consent_is_asked_for_an_api_that_the_tenant_is_read_through() {
    for form in [ConsentForm::V2AdminConsent, ConsentForm::V1PromptConsent] {
        let house = House::open(empty(), form).await;
        let invited = house.invite("Contoso", None).await;
        let only_xdr = TenantChange::Sources([Source::XdrIncidents].into());
        let now = house.clock.now();
        house.store.change_tenant(house.tenant(), only_xdr, "test", now).await.expect("changed");
        let address = house.go_on(&invited.link).await;
        assert!(address.contains("https%3A%2F%2Fapi.security.microsoft.com"), "{form:?}: {address}");
        assert!(!address.contains("graph.microsoft.com"), "{form:?}: {address}");
    }
}

/// What the app asks for besides stands on the page, and the page promises no more than is true then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_to_act_is_named_and_nothing_false_is_promised() {
    let more =
        "permissions = [\"WindowsDefenderATP/Machine.Isolate\", \"Microsoft Graph/ThreatHunting.Read.All\"]";
    let house = House::set_up(empty(), ConsentForm::default(), "Northwind Security", more).await;
    let invited = house.invite("Contoso", None).await;
    let page = house.get(&format!("{}?lang=en", invited.link)).await;
    page.assert_says(200, "Machine.Isolate")
        .assert_says(200, "Act in WindowsDefenderATP")
        .assert_says(200, "ThreatHunting.Read.All")
        .assert_says(200, "4 permissions, of which at least one allows more than reading");
    for false_now in ["for reading only", "Nothing can be changed or deleted", "Nobody can read your e-mails"]
    {
        assert!(!page.body.contains(false_now), "{false_now}");
    }
    for language in Language::ALL {
        let page = house.get(&format!("{}?lang={}", invited.link, language.tag())).await;
        page.assert_says(200, "Machine.Isolate").assert_says(200, "WindowsDefenderATP");
    }
    let plain = House::open(empty(), ConsentForm::default()).await;
    let invited = plain.invite("Contoso", None).await;
    let page = plain.get(&format!("{}?lang=en", invited.link)).await;
    page.assert_says(200, "for reading only").assert_says(200, "Nothing can be changed or deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_declines_is_told_so_and_may_start_again() {
    for form in ConsentForm::ALL {
        let house = House::open(empty(), form).await;
        let invited = house.invite("Contoso", None).await;
        let address = house.go_on(&invited.link).await;
        let back = house.emulator.sign_in(&address, &house.admin(), false).expect("a way back");
        assert!(back.contains("error="), "{form:?}: {back}");
        let page = house.get(&back).await;
        assert!(page.location().contains("notice=declined"), "{form:?}: {page:?}");
        house.get(page.location()).await.assert_says(200, "You did not give consent");
        assert!(house.check(CONSENT).await.is_none(), "{form:?}");
        assert_eq!(house.state().await, TenantState::Invited);
        assert!(house.deeds().await.iter().any(|deed| deed == "consent.refused"));
        let address = house.go_on(&invited.link).await;
        let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
        house.get(&back).await;
        house.attempt().await;
        assert_eq!(house.state().await, TenantState::Active, "{form:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_counts_before_any_word_of_success() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    let tenant = house.tenant().to_string();
    for (error, description, words) in [
        ("consent_required", "AADSTS65004: declined", "You did not give consent"),
        ("access_denied", "AADSTS90094: an administrator", "may not consent for the whole organization"),
        ("invalid_request", "AADSTS50020: elsewhere", "does not belong to Contoso"),
        ("access_denied", "AADSTS53003: blocked", "Conditional Access policy"),
        ("access_denied", "AADSTS530004: a guest's device", "Conditional Access policy"),
        ("server_error", "AADSTS90033: trouble", "Microsoft reported a problem (AADSTS90033). Nothing"),
        ("invalid_resource", "AADSTS500014: off", "no active subscription"),
        ("invalid_request", "AADSTS650051: not yet", "still setting up the application"),
        ("invalid_request", "AADSTS90038: elsewhere", "another national cloud"),
        ("unauthorized_client", "AADSTS700016: unknown", "lies with Northwind Security"),
        ("<script>alert(1)</script>", "<script>alert(2)</script>", "Microsoft reported a problem (unknown)"),
    ] {
        let state = house.state_of(&invited.link).await;
        let page = house
            .come_back(&[
                ("admin_consent", "True"),
                ("tenant", &tenant),
                ("code", "abc"),
                ("state", &state),
                ("error", error),
                ("error_description", description),
            ])
            .await;
        let page = house.get(page.location()).await;
        page.assert_says(200, words);
        assert!(!page.body.contains("<script"), "{page:?}");
        assert!(house.check(CONSENT).await.is_none(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_alone_proves_nothing() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", Some(Language::German)).await;
    let state = house.state_of(&invited.link).await;
    let tenant = house.tenant().to_string();
    let page = house.come_back(&[("admin_consent", "True"), ("tenant", &tenant), ("state", &state)]).await;
    let at = page.location().to_owned();
    house.attempt().await;
    assert_eq!(house.state().await, TenantState::Invited);
    // Just after a consent, Microsoft may not know of it yet.
    let page = house.get(&at).await;
    page.assert_says(200, "The connection is being checked")
        .assert_says(200, "http-equiv=\"refresh\" content=\"3\"");
    house.clock.advance(Duration::from_secs(600));
    house.attempt().await;
    assert_eq!(house.state().await, TenantState::Invited);
    let consent = house.check(CONSENT).await.expect("checked");
    assert_eq!(consent.outcome, CheckOutcome::Failing, "{consent:?}");
    assert!(matches!(consent.code.as_str(), "lost_consent" | "app_unknown"), "{consent:?}");
    house
        .get(&invited.link)
        .await
        .assert_says(200, "Etwas ist noch zu klären")
        .assert_says(200, "Zustimmung erneut erteilen")
        .assert_says(200, "keine Zustimmung von Contoso bekannt");
    let invitation = house.store.invitations(house.tenant()).await.expect("it answers").remove(0);
    assert!(invitation.used_at.is_none(), "nothing came of it");
    // The same link is good for a consent that is one.
    let address = house.go_on(&invited.link).await;
    let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
    house.get(&back).await;
    house.attempt().await;
    assert_eq!(house.state().await, TenantState::Active);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_of_another_tenant_is_told_with_both() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    let other = house.emulator.tenants()[1].clone();
    let change = DirectoryChange::Consent { tenant: other.id.clone(), app: None };
    house.emulator.change(change).expect("consented there");
    let state = house.state_of(&invited.link).await;
    let back = [("admin_consent", "True"), ("tenant", other.id.as_str()), ("state", state.as_str())];
    let page = house.come_back(&back).await;
    page.assert_says(403, "The consent came from a different organization")
        .assert_says(403, &house.tenant().to_string())
        .assert_says(403, &other.id)
        .assert_says(403, "Contoso");
    assert!(!page.body.contains(&other.name), "names of other customers are nobody's business: {page:?}");
    assert!(house.check(CONSENT).await.is_none());
    assert_eq!(house.state().await, TenantState::Invited);
    assert!(house.deeds().await.iter().any(|deed| deed == "consent.other_tenant"));
    // Sent again, it is used.
    house.come_back(&back).await.assert_says(400, "Please open your link once more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_are_good_once_for_their_own_invitation_and_only_if_made_here() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    let tenant = house.tenant().to_string();
    let state = house.state_of(&invited.link).await;
    let changed = |index: usize| {
        // The id's digits are the same in both cases: `A` in place of `a` would change nothing.
        let other = if state[index..=index].eq_ignore_ascii_case("A") { "B" } else { "A" };
        format!("{}{other}{}", &state[..index], &state[index + 1..])
    };
    let (id, tag) = state.split_once('.').expect("two parts");
    let forged = [
        String::new(),
        ".".to_owned(),
        id.to_owned(),
        format!("{id}."),
        format!(".{tag}"),
        format!("{}.{tag}", uuid::Uuid::new_v4().simple()),
        format!("{state}{state}"),
        changed(0),
        changed(40),
        changed(state.len() - 1),
        "x".repeat(20_000),
        "../../etc/passwd".to_owned(),
        "' OR 1=1 --".to_owned(),
    ];
    for forged in &forged {
        let page =
            house.come_back(&[("admin_consent", "True"), ("tenant", &tenant), ("state", forged)]).await;
        page.assert_says(400, "Please open your link once more");
    }
    house.get("/onboard/callback").await.assert_says(400, "Please open your link once more");
    house
        .get("/onboard/callback?admin_consent=True")
        .await
        .assert_says(400, "Please open your link once more");
    assert!(house.check(CONSENT).await.is_none());

    // Hostile tenants with a good state: each uses the state up and proves nothing.
    for hostile in ["common", "<script>", "' OR 1=1", "..", "00000000-0000-0000-0000-000000000000", ""] {
        let state = house.state_of(&invited.link).await;
        let page =
            house.come_back(&[("admin_consent", "True"), ("tenant", hostile), ("state", &state)]).await;
        assert!(page.location().contains("notice=incomplete"), "{hostile}: {page:?}");
        assert!(house.check(CONSENT).await.is_none(), "{hostile}");
    }
    // Neither success nor error.
    let other = house.state_of(&invited.link).await;
    let page = house.come_back(&[("state", &other)]).await;
    assert!(page.location().contains("notice=incomplete"), "{page:?}");

    // The first state is still good, once; the same answer twice at a time counts once.
    let query = [("admin_consent", "True"), ("tenant", tenant.as_str()), ("state", state.as_str())];
    let (one, two) = tokio::join!(house.come_back(&query), house.come_back(&query));
    let late: Vec<_> = [&one, &two].into_iter().filter(|page| page.status == 400).collect();
    assert_eq!(late.len(), 1, "{one:?} {two:?}");
    // A used state, found in a log or a history, tells nobody the link.
    let link = invited.link.rsplit('/').next().expect("a link");
    for page in [late[0], &house.come_back(&query).await] {
        page.assert_says(400, "Please open your link once more");
        assert!(!page.headers.contains(link) && !page.body.contains(link), "{page:?}");
    }
    let told = house.deeds().await.iter().filter(|deed| *deed == "consent.told").count();
    assert_eq!(told, 1);

    // Too late.
    let state = house.state_of(&invited.link).await;
    house.clock.advance(sign_in::CONSENT_LIFETIME + Duration::from_secs(1));
    let page = house.come_back(&[("admin_consent", "True"), ("tenant", &tenant), ("state", &state)]).await;
    page.assert_says(400, "Please open your link once more");

    // A state of a person's sign-in is none for a consent.
    let wanted = SignInRequest {
        tenant: house.tenant(),
        app: "main".to_owned(),
        kind: SignInKind::Delegated,
        invitation: None,
        redirect_uri: "http://localhost/".to_owned(),
        resource: "x".to_owned(),
    };
    let (_, state) = sign_in::begin(house.store.as_ref(), wanted, house.clock.now()).await.expect("begun");
    house
        .come_back(&[("admin_consent", "True"), ("tenant", &tenant), ("state", &state)])
        .await
        .assert_says(400, "Please open your link once more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_lead_nowhere_say_so_kindly() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let first = house.invite("Contoso", None).await;
    let second = house.invite("Contoso", Some(Language::Dutch)).await;
    house
        .get(&first.link)
        .await
        .assert_says(410, "This link is no longer valid")
        .assert_says(410, "mailto:soc@northwind.example");
    house.get(&second.link).await.assert_says(200, "lang=\"nl\"");
    let link = second.link.rsplit('/').next().expect("a link").to_owned();
    let parts: Vec<&str> = link.split('.').collect();
    for forged in [
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(43)),
        format!("{}.{}.{}", parts[0], "9999999999", parts[2]),
        format!("{}.{}.{}", uuid::Uuid::new_v4().simple(), parts[1], parts[2]),
        link[..link.len() - 1].to_owned(),
        "%3Cscript%3E".to_owned(),
        "x".repeat(5_000),
        "a%2f..%2f..%2fetc%2fpasswd".to_owned(),
        "callback%00".to_owned(),
    ] {
        let page = house.get(&format!("/onboard/{forged}")).await;
        page.assert_says(404, "This link is not valid");
        assert!(!page.body.contains("<script"), "{page:?}");
        let page = house.send("POST", &format!("/onboard/{forged}/continue"), "", "").await;
        page.assert_says(404, "This link is not valid");
    }
    for nowhere in ["/onboard/", "/onboard/a/b", "/onboard/a/b/c", "/onboard"] {
        assert_eq!(house.get(nowhere).await.status, 404, "{nowhere}");
    }
    let invitation = house.store.invitations(house.tenant()).await.expect("it answers").remove(0);
    let revoked = house.store.change_invitation(invitation.id, InvitationChange::Revoked, house.clock.now());
    assert!(revoked.await.expect("it answers"));
    house.get(&second.link).await.assert_says(410, "This link is no longer valid");
    let page = house.send("POST", &format!("{}/continue", second.link), "", "").await;
    page.assert_says(410, "This link is no longer valid");

    let third = house.invite("Contoso", None).await;
    house.get(&third.link).await.assert_says(200, "Contoso");
    let state = house.state_of(&third.link).await;
    house.clock.advance(Duration::from_secs(8 * 86_400));
    house.get(&third.link).await.assert_says(410, "This link has expired");

    let fourth = house.invite("Contoso", None).await;
    let later = house.state_of(&fourth.link).await;
    house.store.remove_tenant(house.tenant(), "test", house.clock.now()).await.expect("removed");
    house.get(&fourth.link).await.assert_says(410, "This link is no longer valid");
    let tenant = house.tenant().to_string();
    for state in [state, later] {
        let page =
            house.come_back(&[("admin_consent", "True"), ("tenant", &tenant), ("state", &state)]).await;
        assert!(matches!(page.status, 303 | 400), "{page:?}");
    }
    assert!(house.store.tenants().await.expect("it answers").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_named_and_turns_green_when_it_is_there() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    let address = house.go_on(&invited.link).await;
    let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
    let (tenant, role) =
        (house.tenant().to_string(), "https://graph.microsoft.com/SecurityIncident.Read.All".to_owned());
    let change = DirectoryChange::RemoveRole { tenant: tenant.clone(), app: None, role: role.clone() };
    house.emulator.change(change).expect("removed");
    let page = house.get(&back).await;
    let at = page.location().to_owned();
    house.attempt().await;
    let page = house.get(&at).await;
    page.assert_says(200, "The connection is being checked").assert_says(200, "Works");
    assert_eq!(house.state().await, TenantState::Verifying, "the consent is proven, a source is not");
    house.clock.advance(Duration::from_secs(600));
    // What the token says was asked for before the clock went on.
    house
        .onboarding
        .attempt(house.tenant(), house.clock.now() - Duration::from_secs(500))
        .await
        .expect("it answers");
    let page = house.get(&at).await;
    page.assert_says(200, "Something still needs attention")
        .assert_says(200, "The permission SecurityIncident.Read.All is missing from the consent")
        .assert_says(200, "Give consent again")
        .assert_says(200, "http-equiv=\"refresh\" content=\"30\"");
    let shown = house.check("source graph_incidents").await.expect("checked");
    assert_eq!((shown.code.as_str(), shown.outcome), ("missing_role", CheckOutcome::Failing));
    house.emulator.change(DirectoryChange::GrantRole { tenant, app: None, role }).expect("granted");
    house.attempt().await;
    house.get(&at).await.assert_says(200, "Everything works");
    assert_eq!(house.state().await, TenantState::Active);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_app_and_a_wrong_secret_are_told_to_whom_they_concern() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    let address = house.go_on(&invited.link).await;
    let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
    house.get(&back).await;
    let tenant = Some(house.tenant().to_string());
    let enable = |enabled| DirectoryChange::EnableApp { app: None, tenant: tenant.clone(), enabled };
    house.emulator.change(enable(false)).expect("disabled");
    house.attempt().await;
    house.get(&invited.link).await.assert_says(200, "The application is disabled in your tenant");
    house.emulator.change(enable(true)).expect("enabled");
    house.emulator.change(DirectoryChange::RemoveSecrets { app: None }).expect("removed");
    house.attempt().await;
    let page = house.get(&invited.link).await;
    page.assert_says(200, "The problem is on the side of Northwind Security, not yours");
    assert!(!page.body.contains("AADSTS"), "what our secret lacks is not the customer's business: {page:?}");
    assert_eq!(house.state().await, TenantState::Invited);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_active_tenant_that_is_invited_again_stays_active() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    house.invite("Contoso", None).await;
    let change = muster_store::TenantChange::State(TenantState::Active);
    let now = house.clock.now();
    house.store.change_tenant(house.tenant(), change, "test", now).await.expect("changed");
    let again = house.invite("Contoso", None).await;
    assert_eq!(again.tenant.state, TenantState::Active);
    house.get(&again.link).await.assert_says(200, "What you are asked to allow");
    let address = house.go_on(&again.link).await;
    let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
    house.get(&back).await;
    assert_eq!(house.state().await, TenantState::Active);
    house.attempt().await;
    assert_eq!(house.state().await, TenantState::Active);
    house.get(&again.link).await.assert_says(200, "Everything works");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_from_outside_becomes_markup() {
    let hostile = "<img src=x onerror=alert(1)>\"'&{{ 7*7 }}";
    let house = House::named(empty(), ConsentForm::V2AdminConsent, hostile).await;
    let invited = house.invite(&format!("{hostile}\u{202e}"), None).await;
    let escaped = "&lt;img src=x onerror=alert(1)&gt;";
    let attacks = "lang=%22%3E%3Cscript%3E&notice=%3Cscript%3Ealert(1)%3C/script%3E&x=%3Csvg%3E";
    let check = |page: &Page| {
        assert!(!page.body.contains("<img") && !page.body.contains("<script") && !page.body.contains("<svg"));
        assert!(!page.body.contains("49") || page.body.contains("7*7"), "no template in a name is run");
        assert!(!page.body.contains('\u{202e}'), "no name turns the text");
        assert!(page.body.contains(escaped), "{page:?}");
    };
    check(&house.get(&format!("{}?{attacks}", invited.link)).await);
    let state = house.state_of(&invited.link).await;
    let other = house.emulator.tenants()[1].id.clone();
    check(&house.come_back(&[("admin_consent", "True"), ("tenant", &other), ("state", &state)]).await);
    let state = house.state_of(&invited.link).await;
    let tenant = house.tenant().to_string();
    let page = house.come_back(&[("admin_consent", "True"), ("tenant", &tenant), ("state", &state)]).await;
    check(&house.get(page.location()).await);
    check(&house.get(&format!("/onboard/nonsense?{attacks}")).await);
    let browser =
        "Accept-Language: \"><script>alert(1)</script>\r\nUser-Agent: <script>\r\nReferer: <script>\r\n";
    check(&house.send("GET", &invited.link, browser, "").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_forbids_what_a_page_does_not_need() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    let state = house.state_of(&invited.link).await;
    let pages = [
        house.get(&invited.link).await,
        house.get("/onboard/nonsense").await,
        house.get("/onboard/callback").await,
        house.get("/SiemMsspConnector").await,
        house.send("POST", &format!("{}/continue", invited.link), "", "").await,
        house.come_back(&[("state", &state)]).await,
    ];
    for page in &pages {
        for (name, value) in [
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "same-origin"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
        ] {
            assert_eq!(page.header(name), Some(value), "{name}: {page:?}");
        }
        let policy = page.header("Content-Security-Policy").expect("a policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'sha256-"]
        {
            assert!(policy.contains(part), "{part}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
        for outside in ["src=\"http", "<script", "@import", "<link", "<iframe", "<img"] {
            assert!(!page.body.contains(outside), "{outside}: {page:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_language_is_the_one_that_was_picked_then_the_invitation_s_then_the_browser_s() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let browser = "Accept-Language: sv-SE,sv;q=0.9,en;q=0.5\r\n";
    let open = house.invite("Contoso", None).await;
    house.send("GET", &open.link, browser, "").await.assert_says(200, "<html lang=\"sv\"");
    let german = house.invite("Contoso", Some(Language::German)).await;
    house.send("GET", &german.link, browser, "").await.assert_says(200, "<html lang=\"de\"");
    for language in Language::ALL {
        let page = house.send("GET", &format!("{}?lang={language}", german.link), browser, "").await;
        page.assert_says(200, &format!("<html lang=\"{language}\""));
        assert_eq!(page.header("content-language"), Some(language.tag()));
        for other in Language::ALL {
            page.assert_says(200, other.own_name());
        }
    }
    house.get(&format!("{}?lang=xx", german.link)).await.assert_says(200, "<html lang=\"de\"");
    // What was picked before Microsoft is still picked after it.
    let page = house.send("POST", &format!("{}/continue?lang=zh-CN", german.link), browser, "").await;
    let back = house.emulator.sign_in(page.location(), &house.admin(), true).expect("a way back");
    let page = house.get(&back).await;
    house.send("GET", page.location(), browser, "").await.assert_says(200, "正在检查连接");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_starts_only_so_many_visits_and_bodies_have_an_end() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    for _ in 0..20 {
        house.go_on(&invited.link).await;
    }
    let page = house.send("POST", &format!("{}/continue", invited.link), "", "").await;
    page.assert_says(429, "Too many attempts");
    assert_eq!(page.header("retry-after"), Some("3600"));
    house.get(&invited.link).await.assert_says(200, "Contoso");
    house.clock.advance(Duration::from_secs(3_601));
    house.go_on(&invited.link).await;

    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let large = format!("state={}", "x".repeat(200_000));
    assert_eq!(house.send("POST", "/onboard/callback", form, &large).await.status, 413);
    let long = format!("/onboard/callback?state={}", "x".repeat(40_000));
    assert!(matches!(house.get(&long).await.status, 414 | 431));
    let nonsense = house.send("POST", "/onboard/callback", form, "%ff%fe=%00&&&=").await;
    nonsense.assert_says(400, "Please open your link once more");
    for method in ["PUT", "DELETE", "PATCH"] {
        assert_eq!(house.send(method, &invited.link, "", "").await.status, 405, "{method}");
    }
}

/// A form of another site, which a browser sends with what it knows of it, only leads to the page of the invitation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_page_itself_sends_an_administrator_on() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    let continued = format!("{}/continue?lang=de", invited.link);
    let own = format!("Origin: http://{}\r\n", house.address);
    let other_port = "Origin: http://127.0.0.1:1\r\n";
    for (from, goes) in [
        ("Sec-Fetch-Site: same-origin\r\n", true),
        ("Sec-Fetch-Site: cross-site\r\n", false),
        ("Sec-Fetch-Site: same-site\r\n", false),
        ("Sec-Fetch-Site: none\r\n", false),
        ("Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n", false),
        ("Sec-Fetch-Site: cross-site\r\nOrigin: null\r\n", false),
        (own.as_str(), true),
        (other_port, false),
        ("Origin: https://evil.example\r\n", false),
        ("Origin: null\r\n", false),
        // No browser that a page could use.
        ("", true),
    ] {
        let page = house.send("POST", &continued, from, "").await;
        let went = page.location().starts_with(&house.emulator.base_url());
        assert_eq!(went, goes, "{from:?}: {page:?}");
        assert!(went || page.location().ends_with("?lang=de"), "{page:?}");
    }
    // A link in a mail opens the page wherever it is clicked.
    for from in
        ["Sec-Fetch-Site: none\r\n", "Sec-Fetch-Site: cross-site\r\nReferer: https://mail.example/\r\n"]
    {
        house.send("GET", &invited.link, from, "").await.assert_says(200, "Contoso");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsoft_may_post_the_answer_as_a_form() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    let address = house.go_on(&invited.link).await;
    let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
    let (_, query) = back.split_once('?').expect("a query");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let page = house.send("POST", "/onboard/callback", form, query).await;
    assert!(page.location().starts_with("/onboard/"));
    house.attempt().await;
    assert_eq!(house.state().await, TenantState::Active);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_finished_is_finished_after_a_restart() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    let address = house.go_on(&invited.link).await;
    let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
    // The process that took the answer ends before it has proven anything.
    house.get(&back).await;
    let next = onboarding(&house.settings, &house.store, house.clock.clone()).await;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(next.run(stop.clone()));
    eventually("the tenant is active", async || house.state().await == TenantState::Active).await;
    stop.cancel();
    tasks.join_next().await.expect("it ends").expect("without a panic");
    house.get(&invited.link).await.assert_says(200, "Everything works");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_for_the_connector_at_the_registered_address() {
    let house = House::open(Config { consented: true, ..empty() }, ConsentForm::V2AdminConsent).await;
    house.invite("Contoso", None).await;
    let settings = house.settings.onboarding.clone().expect("settings");
    let microsoft = house.onboarding.microsoft();
    let apps = Apps::load(&house.settings, &house.store).await.expect("the app");
    let app = apps.get("main").expect("the app");
    let resource = microsoft.cloud().graph_resource().to_owned();
    let begin = async || {
        let wanted = SignInRequest {
            tenant: house.tenant(),
            app: "main".to_owned(),
            kind: SignInKind::Delegated,
            invitation: None,
            redirect_uri: settings.connector_redirect_uri(),
            resource: resource.clone(),
        };
        let begun = sign_in::begin(house.store.as_ref(), wanted, house.clock.now()).await;
        let (sign_in, state) = begun.expect("begun");
        let challenge = Pkce::from_verifier(sign_in.verifier.clone()).challenge();
        let request = AuthorizeRequest {
            app: &app,
            tenant: Some(house.tenant()),
            resource: &resource,
            redirect_uri: &sign_in.redirect_uri,
            state: &state,
            nonce: &sign_in.nonce,
            challenge: &challenge,
            login_hint: None,
            prompt: None,
            response_mode: ResponseMode::Query,
        };
        (microsoft.authorize_url(&request).await.expect("an address").to_string(), state)
    };
    // The browser goes away before anything is answered: the code works once, so it is redeemed all the same.
    let (address, _) = begin().await;
    let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
    let left = tokio::time::timeout(Duration::ZERO, house.onboarding.connect(returned(&back))).await;
    assert!(left.is_err(), "nobody waited for it");
    eventually("the grant is kept", async || {
        house.store.grants(Some(house.tenant())).await.expect("it answers").len() == 1
    })
    .await;
    house.get(&back).await.assert_says(400, "Please open your link once more");
    let (address, _) = begin().await;
    let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
    assert!(back.contains("/SiemMsspConnector?"), "{back}");
    let page = house.get(&back).await;
    page.assert_says(200, "The sign-in worked").assert_says(200, &house.admin());
    let grants = house.store.grants(Some(house.tenant())).await.expect("it answers");
    assert_eq!(grants.len(), 1);
    assert!(house.deeds().await.iter().any(|deed| deed == "grant.kept"));
    // Used once; a code of nobody; a refusal.
    house.get(&back).await.assert_says(400, "Please open your link once more");
    let (_, state) = begin().await;
    house
        .get(&format!("/SiemMsspConnector?code=%3Cscript%3E&state={state}"))
        .await
        .assert_says(400, "The sign-in did not work");
    let (_, state) = begin().await;
    let refused =
        format!("/SiemMsspConnector?error=access_denied&error_description=AADSTS65004&code=x&state={state}");
    house.get(&refused).await.assert_says(400, "AADSTS65004");
    assert_eq!(house.store.grants(None).await.expect("it answers").len(), 1);
    // What is stopping takes nothing: the same address works after the restart.
    let (address, _) = begin().await;
    let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
    house.stop().await;
    house.get(&back).await.assert_says(503, "");
    let next = onboarding(&house.settings, &house.store, house.clock.clone()).await;
    let connected = next.connect(returned(&back)).await.expect("it is running").expect("a grant");
    let Connected::Done { account, .. } = connected else { panic!("{connected:?}") };
    assert_eq!(account, house.admin());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_taken_even_when_the_browser_goes_away() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    let address = house.go_on(&invited.link).await;
    let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
    let left = tokio::time::timeout(Duration::ZERO, house.onboarding.answer(returned(&back))).await;
    assert!(left.is_err(), "nobody waited for it");
    eventually("the consent was told", async || house.check(CONSENT).await.is_some()).await;
    house.attempt().await;
    assert_eq!(house.state().await, TenantState::Active);
    house.stop().await;
    house.get(&back).await.assert_says(503, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_link_is_no_longer_good_after_a_newer_one_or_a_revocation() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let first = house.invite("Contoso", None).await;
    let consent = async |link: &str| {
        let address = house.go_on(link).await;
        let back = house.emulator.sign_in(&address, &house.admin(), true).expect("a way back");
        house.get(&back).await;
        house.attempt().await;
        house.get(link).await.assert_says(200, "Everything works");
    };
    consent(&first.link).await;
    house.clock.advance(Duration::from_secs(60));
    let second = house.invite("Contoso", None).await;
    house.get(&first.link).await.assert_says(410, "This link is no longer valid");
    let page = house.send("POST", &format!("{}/continue", first.link), "", "").await;
    page.assert_says(410, "This link is no longer valid");
    house.clock.advance(Duration::from_secs(60));
    consent(&second.link).await;
    let newest = house.store.invitations(house.tenant()).await.expect("it answers").remove(0);
    assert!(newest.used_at.is_some());
    let revoked = house.store.change_invitation(newest.id, InvitationChange::Revoked, house.clock.now());
    assert!(revoked.await.expect("it answers"), "though it was used");
    house.get(&second.link).await.assert_says(410, "This link is no longer valid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_slowly_takes_no_place_from_others_and_is_not_waited_for() {
    let house = House::open(empty(), ConsentForm::V2AdminConsent).await;
    let invited = house.invite("Contoso", None).await;
    let mut slow = Vec::new();
    for _ in 0..80 {
        let mut socket = TcpStream::connect(house.address).await.expect("it listens");
        let head = "POST /onboard/callback HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
                    Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nsta";
        socket.write_all(head.as_bytes()).await.expect("it reads");
        slow.push(socket);
    }
    // Time for all of them to be looked at.
    tokio::time::sleep(Duration::from_millis(500)).await;
    house.get(&invited.link).await.assert_says(200, "Contoso");
    let mut answer = String::new();
    let last = slow.last_mut().expect("a socket").read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(30), last).await.expect("not for ever").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_invite_guide_and_offboard() {
    let house = House::open(Config { consented: true, ..empty() }, ConsentForm::V2AdminConsent).await;
    let muster = async |arguments: &[&str]| {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"))
            .arg("--config")
            .arg(house.folder.path().join("muster.toml"))
            .args(arguments)
            .output()
            .await
            .expect("muster starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().expect("a code"), text(&output.stdout), text(&output.stderr))
    };
    let domain = house.emulator.tenants()[0].domain.clone();
    let (code, out, err) =
        muster(&["--output", "json", "tenant", "invite", &domain, "--name", "Contoso", "--lang", "sv"]).await;
    assert_eq!(code, 0, "{err}");
    let invited: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (invited["tenant"]["state"].as_str(), invited["language"].as_str()),
        (Some("invited"), Some("sv"))
    );
    let link = invited["link"].as_str().expect("a link");
    house.get(link).await.assert_says(200, "<html lang=\"sv\"");
    // Again, by its id: the same tenant, another link.
    let id = house.tenant().to_string();
    let (code, out, err) = muster(&["tenant", "invite", &id]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("http://") && !out.contains(link), "{out}");
    house.get(link).await.assert_says(410, "");
    let (code, _, err) = muster(&["tenant", "invite", &domain, "--lang", "tlh"]).await;
    assert!(code == 2 && err.contains("en, de, sv, nl or zh-CN"), "{err}");

    let (code, guide, _) = muster(&["tenant", "guide", &domain]).await;
    assert_eq!(code, 0);
    for words in [
        &id,
        house.emulator.app_id(),
        &house.emulator.provider().id,
        "MSSP tab",
        "nobody has consented yet",
        &format!("myaccess.microsoft.com/@{domain}"),
    ] {
        assert!(guide.contains(words), "{words} is missing in {guide}");
    }
    let (_, guide, err) = muster(&["--output", "json", "tenant", "guide", &domain, "--check"]).await;
    let guide: serde_json::Value =
        serde_json::from_str(&guide).unwrap_or_else(|error| panic!("{error}: {err}"));
    assert_eq!(
        (guide["steps"][0]["state"].as_str(), guide["steps"][1]["state"].as_str()),
        (Some("done"), Some("done"))
    );
    let (_, guide, _) = muster(&["tenant", "guide", &domain, "--markdown"]).await;
    assert!(guide.starts_with("# Contoso\n"), "{guide}");

    let (code, _, err) = muster(&["tenant", "offboard", &domain]).await;
    assert!(code == 2 && err.contains("--yes"), "{err}");
    let (code, out, err) = muster(&["tenant", "offboard", &domain, "--yes"]).await;
    assert_eq!(code, 0, "{err}");
    for words in ["Enterprise applications", house.emulator.app_id(), "MSSP tab", "granular delegated admin"]
    {
        assert!(out.contains(words), "{words} is missing in {out}");
    }
    assert_eq!(house.state().await, TenantState::Offboarded);
    assert!(house.store.checks(Some(house.tenant())).await.expect("it answers").is_empty());
    let (code, _, err) = muster(&["tenant", "guide", &domain]).await;
    assert!(code != 0 && err.contains("offboarded"), "{err}");
    // A customer that comes back begins anew.
    let (code, out, err) = muster(&["tenant", "invite", &domain]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("State: invited"), "{out}");
    let deeds = house.deeds().await;
    assert!(deeds.iter().filter(|deed| *deed == "tenant.invited").count() >= 3, "{deeds:?}");
}

/// A port that is free now.
async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_running_program_serves_the_pages_and_onboards_by_itself() {
    let address = free_address().await;
    let extra = format!(
        "[onboarding]\nlisten = \"{address}\"\npublic_url = \"http://{address}\"\n\
         provider_name = \"Northwind Security\"\ncontact = \"soc@northwind.example\"\n"
    );
    let setup = Setup::start(Config { tenants: 2, ..empty() }, &extra).await;
    let uri = format!("http://{address}/onboard/callback");
    let change = DirectoryChange::AddRedirectUri { app: None, uri, public: false };
    setup.emulator.change(change).expect("a redirect URI");
    let facts = setup.emulator.tenants()[0].clone();
    assert!(setup.muster(&["tenant", "remove", &facts.id, "--yes"]).await.status.success());
    let mut child = setup.run();
    eventually("it listens", async || TcpStream::connect(address).await.is_ok()).await;
    let invited = setup.muster(&["--output", "json", "tenant", "invite", &facts.domain]).await;
    let invited: serde_json::Value = serde_json::from_slice(&invited.stdout).expect("JSON");
    let link = invited["link"].as_str().expect("a link").to_owned();
    eventually("the page is there", async || send(address, "GET", &link, "", "").await.status == 200).await;
    // The settings are read again, and the pages go on.
    signal(&child, Signal::HUP);
    let log = || std::fs::read_to_string(setup.path().join("muster.log")).unwrap_or_default();
    eventually("the settings are read again", async || log().contains("running with the new settings")).await;
    let page = send(address, "POST", &format!("{link}/continue"), "", "").await;
    let admin = format!("admin@{}", facts.domain);
    let back = setup.emulator.sign_in(page.location(), &admin, true).expect("a way back");
    let page = send(address, "GET", &back, "", "").await;
    let at = page.location().to_owned();
    eventually("everything works", async || {
        send(address, "GET", &at, "", "").await.body.contains("Everything works")
    })
    .await;
    let shown = setup.muster(&["--output", "json", "tenant", "show", &facts.domain]).await;
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["state"], "active", "{shown}");
    let id: TenantId = facts.id.parse().expect("an id");
    let store = setup.store().await;
    eventually("its alerts are read", async || {
        let states = store.source_states().await.expect("the store answers");
        states.iter().any(|state| state.tenant == id && state.last_success_at.is_some())
    })
    .await;
    signal(&child, Signal::TERM);
    assert!(child.wait().await.expect("it ends").success(), "{}", log());
}
