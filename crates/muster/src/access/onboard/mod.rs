//! How a customer becomes a tenant that is read: invitation, consent, proof, checks. The one place of it; its doors are
//! `commands/tenant.rs` and `web/onboarding.rs`.
//!
//! The states: `invited` when the link is made; `consented` when a token was had there, which is the proof, never what
//! the browser says; `verifying` while the sources are tried; `active` when each can be read. A tenant that is active or
//! paused already and is invited again stays so all the way: collecting goes on.
//!
//! What is known lies in the store's checks ([`CONSENT`], and those of the sources), so that the page and `muster tenant
//! show` say the same and a restart forgets nothing. [`Onboarding::run`] looks at them; it takes no input but a poke.

pub mod guide;
pub mod link;
mod verify;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::Microsoft;
use muster_microsoft::entra::aadsts;
use muster_microsoft::entra::credential::Access;
use muster_model::{Clock, Source, Tenant, TenantId, TenantState};
use muster_store::{
    Check, CheckOutcome, Invitation, InvitationChange, NewAuditEvent, NewInvitation, SignInKind, Store,
    StoreError, TenantKey,
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::access::apps::Apps;
use crate::access::checks;
use crate::access::sign_in::{self, Returned, SignInError, SignInRequest};
use crate::config::OnboardingSettings;
use crate::web::language::Language;
use verify::Queue;

/// The name of the check that proves a consent.
pub const CONSENT: &str = "consent";
/// A consent was told by a browser and is not proven yet; or it takes its time to spread at Microsoft.
pub const SPREADING: &str = "spreading";
/// Visits to Microsoft that one link may start within [`STARTS_WITHIN`].
const STARTS_MAX: usize = 20;
const STARTS_WITHIN: Duration = Duration::from_secs(3_600);
/// Sign-ins whose link and language are remembered, for answers that come twice.
const BEGUN_MAX: usize = 2_000;

/// Leads customers from an invitation to a tenant that is read.
pub struct Onboarding {
    store: Arc<dyn Store>,
    microsoft: Arc<Microsoft>,
    apps: Apps,
    settings: OnboardingSettings,
    clock: Arc<dyn Clock>,
    /// Sign-ins that were begun here, newest last.
    begun: Mutex<VecDeque<Begun>>,
    /// When each link was last used to go to Microsoft.
    starts: Mutex<HashMap<Uuid, VecDeque<Timestamp>>>,
    queue: Mutex<Queue>,
    poke: Notify,
    /// Answers that are being taken, each to its end whether or not the browser waits for it; closed at the end.
    answers: TaskTracker,
}

struct Begun {
    sign_in: Uuid,
    invitation: Invitation,
    language: Option<Language>,
}

/// An invitation that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Invited {
    pub tenant: Tenant,
    pub link: String,
    /// Until when it works.
    pub expires_at: Timestamp,
    /// The language of the page; `None` for that of the browser.
    pub language: Option<Language>,
}

/// Makes the link on which `tenant`'s administrator consents. Earlier links of the tenant work no more.
///
/// # Errors
/// When the store fails.
pub async fn invite(
    store: &dyn Store,
    settings: &OnboardingSettings,
    tenant: Tenant,
    language: Option<Language>,
    actor: &str,
    now: Timestamp,
) -> Result<Invited, StoreError> {
    let until = now.checked_add(settings.link_lifetime.0).unwrap_or(Timestamp::MAX);
    // The link holds whole seconds.
    let until = Timestamp::from_second(until.as_second()).unwrap_or(until);
    let new = NewInvitation {
        id: Uuid::new_v4(),
        tenant: tenant.id,
        language: language.map(|language| language.tag().to_owned()).unwrap_or_default(),
        expires_at: until,
    };
    let invitation = store.add_invitation(new, now).await?;
    store.remove_checks(tenant.id, &[CONSENT.to_owned()]).await?;
    let event = NewAuditEvent {
        actor: actor.to_owned(),
        action: "tenant.invited".to_owned(),
        subject: tenant.id.to_string(),
        details: json!({
            "invitation": invitation.id, "expires_at": until, "language": language.map(Language::tag), "app": tenant.app,
        }),
    };
    store.append_audit(event, now).await?;
    let link =
        settings.address(&format!("/onboard/{}", link::seal(store.signing_key(), invitation.id, until)));
    Ok(Invited { tenant, link, expires_at: until, language })
}

/// Ends the work for a customer: everything kept of it goes, but its name.
///
/// # Errors
/// When the store fails.
pub async fn offboard(
    store: &dyn Store,
    microsoft: &Microsoft,
    tenant: TenantId,
    actor: &str,
    now: Timestamp,
) -> Result<Tenant, StoreError> {
    let left = store.offboard_tenant(tenant, actor, now).await?;
    microsoft.forget(tenant);
    Ok(left)
}

#[derive(Debug, Clone)]
pub enum Visit {
    /// Not a link that was made here.
    Unknown,
    Expired,
    /// Called back, replaced by a newer one, or of a tenant that is no longer looked after.
    Revoked,
    /// The administrator is asked.
    Asked(Guest),
    /// Consent was given, as the browser says; this is how far its proof and the checks are.
    Answered(Guest, Progress),
}

#[derive(Debug, Clone)]
pub struct Guest {
    pub invitation: Invitation,
    pub tenant: Tenant,
    /// The app's client id; `None` when the app is no longer in the settings.
    pub client_id: Option<String>,
    /// Whether the app reads in the name of a person, with that person's permissions.
    pub delegated: bool,
}

impl Guest {
    /// The language that the invitation was made in, where one was said.
    pub fn language(&self) -> Option<Language> {
        self.invitation.language.parse().ok()
    }
}

/// How far a tenant is after consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Each thing that is checked, in order.
    pub steps: Vec<ProgressStep>,
    /// When something was last checked.
    pub checked_at: Option<Timestamp>,
}

impl Progress {
    /// Whether everything works.
    pub fn is_good(&self) -> bool {
        self.steps.iter().all(|step| step.standing == StepStanding::Good)
    }

    /// What a person has to do something about.
    pub fn trouble(&self) -> impl Iterator<Item = (&ProgressStep, &str)> {
        self.steps.iter().filter_map(|step| match &step.standing {
            StepStanding::Attention { code } => Some((step, code.as_str())),
            _ => None,
        })
    }

    /// Whether another consent would help.
    pub fn wants_consent(&self) -> bool {
        self.trouble().any(|(_, code)| matches!(code, "lost_consent" | "missing_role" | "app_unknown"))
    }
}

/// One thing that is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressStep {
    pub what: StepKind,
    pub standing: StepStanding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// A token can be had in the tenant.
    Consent,
    /// A source can be read.
    Source(Source),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepStanding {
    /// An earlier step comes first.
    Waiting,
    /// It is being checked, or takes its time to spread at Microsoft.
    Checking,
    Good,
    /// Somebody has to do something, or Microsoft has trouble.
    Attention {
        /// The kind of trouble: a word of `Fault::as_str`.
        code: String,
    },
}

/// Where the browser goes after an answer.
#[derive(Debug)]
pub enum Answered {
    /// Back to the page of its invitation.
    Page {
        /// The path of the page, `/onboard/…`.
        path: String,
        /// What is said there first.
        notice: Option<Notice>,
        /// The language that was picked before.
        language: Option<Language>,
    },
    /// The consent came from somebody else's tenant.
    OtherTenant {
        /// Who was invited.
        guest: Box<Guest>,
        /// Who answered.
        found: TenantId,
        /// The path of the invitation's page.
        path: String,
        /// The language that was picked before.
        language: Option<Language>,
    },
    /// Nothing is known of it: forged, used, or too late.
    Unknown,
    /// The program is stopping. Nothing was taken: the same address works after the restart.
    Stopping,
}

/// What is said on the page of an invitation after Microsoft sent the browser back without consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    Declined,
    /// The account may not consent.
    NotAdministrator,
    /// The account belongs elsewhere.
    WrongAccount,
    /// A rule of the organisation blocked the sign-in.
    Blocked,
    /// The answer came too late or a second time.
    Late,
    /// Anything else; the code is Microsoft's, or a word of ours.
    Failed(String),
}

impl Notice {
    /// The word in the page's address.
    pub fn word(&self) -> String {
        match self {
            Self::Declined => "declined".to_owned(),
            Self::NotAdministrator => "not-administrator".to_owned(),
            Self::WrongAccount => "wrong-account".to_owned(),
            Self::Blocked => "blocked".to_owned(),
            Self::Late => "late".to_owned(),
            Self::Failed(code) => code.clone(),
        }
    }

    /// Reads the word in a page's address. Anybody can write one there, so it says nothing but one of our own sentences,
    /// with a code of a few letters and digits at most.
    pub fn read(word: &str) -> Option<Self> {
        Some(match word {
            "declined" => Self::Declined,
            "not-administrator" => Self::NotAdministrator,
            "wrong-account" => Self::WrongAccount,
            "blocked" => Self::Blocked,
            "late" => Self::Late,
            code if is_code(code) => Self::Failed(code.to_owned()),
            _ => return None,
        })
    }

    /// What an error on the redirect means for the person in front of it.
    fn of(error: &str, description: &str) -> Self {
        let code = aadsts::code_in(description);
        match code {
            Some(65004 | 65001) => Self::Declined,
            Some(90_093..=90_095) => Self::NotAdministrator,
            Some(50020 | 50034 | 90072 | 50177 | 51004 | 16000) => Self::WrongAccount,
            Some(53000 | 53001 | 53002 | 53003 | 53004 | 530_003 | 530_032 | 50105) => Self::Blocked,
            Some(code) => Self::Failed(format!("AADSTS{code}")),
            None => match error {
                "access_denied" | "permission_denied" | "consent_required" => Self::Declined,
                error if is_code(error) => Self::Failed(error.to_owned()),
                _ => Self::Failed("unknown".to_owned()),
            },
        }
    }
}

/// `AADSTS` and digits, or a word of OAuth.
fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix("AADSTS");
    let number = digits.is_some_and(|digits| {
        (4..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let words = [
        "invalid_request",
        "unauthorized_client",
        "unsupported_response_type",
        "server_error",
        "temporarily_unavailable",
        "invalid_resource",
        "login_required",
        "interaction_required",
        "invalid_client",
        "invalid_scope",
        "incomplete",
        "unknown",
    ];
    number || words.contains(&text)
}

/// What came of the wish to go on to Microsoft.
#[derive(Debug)]
pub enum Start {
    Go(String),
    /// The link does not lead there; show what it leads to.
    Show(Box<Visit>),
    /// The link was used too often.
    TooOften,
    /// Something is missing on our side; the log says what.
    Unready,
}

impl Onboarding {
    /// Onboarding for these settings.
    pub fn new(
        store: Arc<dyn Store>,
        microsoft: Arc<Microsoft>,
        apps: Apps,
        settings: OnboardingSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            microsoft,
            apps,
            settings,
            clock,
            begun: Mutex::default(),
            starts: Mutex::default(),
            queue: Mutex::default(),
            poke: Notify::new(),
            answers: TaskTracker::new(),
        }
    }

    pub fn settings(&self) -> &OnboardingSettings {
        &self.settings
    }

    pub fn microsoft(&self) -> &Microsoft {
        &self.microsoft
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What a link leads to.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn visit(&self, link: &str) -> Result<Visit, StoreError> {
        let now = self.clock.now();
        let Some((id, until)) = link::open(self.store.signing_key(), link) else { return Ok(Visit::Unknown) };
        if until <= now {
            return Ok(Visit::Expired);
        }
        let Some(guest) = self.guest(id).await? else { return Ok(Visit::Revoked) };
        if guest.invitation.revoked_at.is_some() || guest.invitation.expires_at != until {
            return Ok(Visit::Revoked);
        }
        match self.progress(&guest).await? {
            Some(progress) => {
                // After a restart, or after days: whoever looks wants to know how it is now.
                if !progress.is_good() && guest.tenant.state != TenantState::Active {
                    self.keep_looking_after(guest.tenant.id);
                }
                Ok(Visit::Answered(guest, progress))
            }
            None => Ok(Visit::Asked(guest)),
        }
    }

    /// Writes down that the page was opened, the first time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn opened(&self, guest: &Guest) -> Result<(), StoreError> {
        if guest.invitation.opened_at.is_some() {
            return Ok(());
        }
        let now = self.clock.now();
        if self.store.change_invitation(guest.invitation.id, InvitationChange::Opened, now).await? {
            self.write_down(&guest.invitation, "invitation.opened", json!({})).await?;
        }
        Ok(())
    }

    /// Goes on to Microsoft's consent page: begins a sign-in and tells its address.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start(&self, link: &str, language: Option<Language>) -> Result<Start, StoreError> {
        let guest = match self.visit(link).await? {
            Visit::Asked(guest) => guest,
            // Somebody may want to consent again; not when there is nothing to win.
            Visit::Answered(guest, progress) if !progress.is_good() => guest,
            other => return Ok(Start::Show(Box::new(other))),
        };
        let now = self.clock.now();
        if !self.may_start(guest.invitation.id, now) {
            tracing::warn!(tenant.id = %guest.tenant.id, "an invitation's link is used too often; it has to wait");
            return Ok(Start::TooOften);
        }
        let Some(app) = self.apps.get(&guest.tenant.app) else {
            tracing::error!(
                tenant.id = %guest.tenant.id, app = guest.tenant.app,
                "a customer wants to consent, but the tenant's app is not in the settings"
            );
            return Ok(Start::Unready);
        };
        let resource = self.microsoft.cloud().graph_resource().to_owned();
        let wanted = SignInRequest {
            tenant: guest.tenant.id,
            app: app.name.clone(),
            kind: SignInKind::Consent,
            invitation: Some(guest.invitation.id),
            redirect_uri: self.settings.consent_redirect_uri(),
            resource: resource.clone(),
        };
        let (begun, state) = sign_in::begin(self.store.as_ref(), wanted, now).await?;
        let url = self.microsoft.consent_url(
            self.settings.consent,
            &app,
            guest.tenant.id,
            &begun.redirect_uri,
            &state,
            &resource,
        );
        self.write_down(
            &guest.invitation,
            "consent.asked",
            json!({ "form": self.settings.consent.as_str() }),
        )
        .await?;
        let mut remembered = self.begun.lock().expect("no panic while the lock is held");
        remembered.push_back(Begun { sign_in: begun.id, invitation: guest.invitation, language });
        if remembered.len() > BEGUN_MAX {
            remembered.pop_front();
        }
        Ok(Start::Go(url.into()))
    }

    /// Takes what Microsoft sent the browser back with. Nothing in it is believed: an error is looked at first, then
    /// whether the tenant it names is another one, and what speaks of success only starts the proof.
    ///
    /// It is done to its end even when nobody waits for this any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn answer(self: &Arc<Self>, returned: Returned) -> Result<Answered, StoreError> {
        let this = Arc::clone(self);
        let taken = self.to_the_end(async move { this.take_answer(&returned).await });
        taken.await.unwrap_or(Ok(Answered::Stopping))
    }

    async fn take_answer(&self, returned: &Returned) -> Result<Answered, StoreError> {
        let now = self.clock.now();
        let sign_in = match sign_in::take(self.store.as_ref(), returned.state.as_deref(), now).await {
            Ok(sign_in) if sign_in.kind == SignInKind::Consent => sign_in,
            Ok(_) | Err(SignInError::Unknown) => return Ok(self.answered_before(returned)),
            Err(SignInError::Store(error)) => return Err(error),
            Err(_) => return Ok(Answered::Unknown),
        };
        let Some(guest) = self.guest(sign_in.invitation.unwrap_or_default()).await? else {
            return Ok(Answered::Unknown);
        };
        let (path, language) = (self.path(&guest.invitation), self.language_of(sign_in.id));
        let page = |notice: Option<Notice>| Answered::Page { path: path.clone(), notice, language };
        if guest.invitation.revoked_at.is_some() {
            return Ok(page(None));
        }
        if let Err(refused) = returned.refused() {
            let notice = Notice::of(
                returned.error.as_deref().unwrap_or_default(),
                returned.error_description.as_deref().unwrap_or_default(),
            );
            tracing::info!(tenant.id = %guest.tenant.id, tenant.slug = %guest.tenant.slug, reason = %refused, "a customer's administrator did not consent");
            self.write_down(
                &guest.invitation,
                "consent.refused",
                json!({ "outcome": notice.word(), "detail": refused.to_string() }),
            )
            .await?;
            return Ok(page(Some(notice)));
        }
        if !returned.admin_consent && returned.code.is_none() {
            return Ok(page(Some(Notice::Failed("incomplete".to_owned()))));
        }
        match returned.tenant.as_deref().map(str::parse::<TenantId>) {
            // What is no tenant id did not come from Microsoft.
            Some(Err(_)) => return Ok(page(Some(Notice::Failed("incomplete".to_owned())))),
            Some(Ok(found)) if found != guest.tenant.id => {
                tracing::warn!(
                    tenant.id = %guest.tenant.id, tenant.slug = %guest.tenant.slug, found = %found,
                    "the consent came from another tenant than the one invited; it is not used"
                );
                self.write_down(&guest.invitation, "consent.other_tenant", json!({ "found": found })).await?;
                return Ok(Answered::OtherTenant { guest: Box::new(guest), found, path, language });
            }
            // The v1 forms with `code` name no tenant. The code is not redeemed: it would bring a person's token, which
            // nobody needs, and it runs out by itself. The proof is the same for all forms.
            Some(Ok(_)) | None => {}
        }
        self.store.put_checks(guest.tenant.id, vec![spreading(now)]).await?;
        self.write_down(&guest.invitation, "consent.told", json!({ "form": self.settings.consent.as_str() }))
            .await?;
        self.look_after(guest.tenant.id);
        Ok(page(None))
    }

    /// Takes the answer to a sign-in for the connector and keeps its grant: whose it is, and for which tenant. `None` when
    /// the program is stopping: nothing was taken then, and the same address works after the restart.
    ///
    /// It is done to its end even when nobody waits for this any more: a code works once.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub async fn connect(
        self: &Arc<Self>,
        returned: Returned,
    ) -> Option<Result<(String, Tenant), SignInError>> {
        let this = Arc::clone(self);
        self.to_the_end(async move { this.take_connection(&returned).await }).await
    }

    /// Does `work` to its end, whether or not somebody waits for it; `None`, and nothing of it, when the program is stopping.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        // Held before looking: who closes waits for it, so that nothing begins after the wait.
        let place = self.answers.token();
        if self.answers.is_closed() {
            return None;
        }
        let task = self.answers.spawn(work);
        drop(place);
        match task.await {
            Ok(done) => Some(done),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is ending.
            Err(_) => None,
        }
    }

    async fn take_connection(&self, returned: &Returned) -> Result<(String, Tenant), SignInError> {
        let now = self.clock.now();
        let sign_in = sign_in::take(self.store.as_ref(), returned.state.as_deref(), now).await?;
        let tenant = self.store.tenant(TenantKey::Id(sign_in.tenant)).await?;
        let app = self.apps.get(&sign_in.app);
        let kept = sign_in::keep_grant(&self.store, &self.microsoft, app, &sign_in, returned, now).await;
        match kept {
            Ok(granted) => {
                tracing::info!(tenant.id = %tenant.id, tenant.slug = %tenant.slug, app = sign_in.app, "a person has signed in for the connector");
                self.look_after(tenant.id);
                Ok((granted.account, tenant))
            }
            Err(error) => {
                tracing::warn!(tenant.id = %tenant.id, tenant.slug = %tenant.slug, app = sign_in.app, error = %error, "a person's sign-in for the connector did not work");
                // Whoever waits for it at the command line is told why it is in vain.
                let check = checks::sign_in_refused(&error.to_string(), now);
                self.store.put_checks(tenant.id, vec![check]).await?;
                Err(error)
            }
        }
    }

    /// The path of an invitation's page.
    fn path(&self, invitation: &Invitation) -> String {
        format!("/onboard/{}", link::seal(self.store.signing_key(), invitation.id, invitation.expires_at))
    }

    async fn guest(&self, invitation: Uuid) -> Result<Option<Guest>, StoreError> {
        let Some(invitation) = self.store.invitation(invitation).await? else { return Ok(None) };
        let tenant = match self.store.tenant(TenantKey::Id(invitation.tenant)).await {
            Ok(tenant) if tenant.state != TenantState::Offboarded => tenant,
            Ok(_) | Err(StoreError::NoTenant(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let app = self.apps.get(&tenant.app);
        let delegated = app.as_ref().is_some_and(|app| app.access == Access::Delegated);
        Ok(Some(Guest { invitation, tenant, client_id: app.map(|app| app.client_id), delegated }))
    }

    /// How far it is since this invitation; `None` when nobody has answered it.
    async fn progress(&self, guest: &Guest) -> Result<Option<Progress>, StoreError> {
        let checks: BTreeMap<String, Check> = self
            .store
            .checks(Some(guest.tenant.id))
            .await?
            .into_iter()
            .map(|(_, check)| check)
            .filter(|check| check.checked_at >= guest.invitation.created_at)
            .map(|check| (check.name.clone(), check))
            .collect();
        Ok(checks.get(CONSENT).map(|consent| progress(&guest.tenant, consent, &checks)))
    }

    fn may_start(&self, invitation: Uuid, now: Timestamp) -> bool {
        let since = now.checked_sub(STARTS_WITHIN).unwrap_or(Timestamp::MIN);
        let mut starts = self.starts.lock().expect("no panic while the lock is held");
        starts.retain(|_, times| times.back().is_some_and(|last| *last > since));
        let times = starts.entry(invitation).or_default();
        while times.front().is_some_and(|first| *first <= since) {
            times.pop_front();
        }
        if times.len() >= STARTS_MAX {
            return false;
        }
        times.push_back(now);
        true
    }

    fn language_of(&self, sign_in: Uuid) -> Option<Language> {
        let begun = self.begun.lock().expect("no panic while the lock is held");
        begun.iter().rev().find(|begun| begun.sign_in == sign_in).and_then(|begun| begun.language)
    }

    /// Where an answer leads that was taken before, or came too late: the page of its invitation, which says how it
    /// stands.
    fn answered_before(&self, returned: &Returned) -> Answered {
        let id = sign_in::id_of(self.store.as_ref(), returned.state.as_deref());
        let begun = self.begun.lock().expect("no panic while the lock is held");
        match begun.iter().rev().find(|begun| Some(begun.sign_in) == id) {
            Some(begun) => Answered::Page {
                path: self.path(&begun.invitation),
                notice: Some(Notice::Late),
                language: begun.language,
            },
            None => Answered::Unknown,
        }
    }

    async fn write_down(
        &self,
        invitation: &Invitation,
        action: &str,
        mut details: serde_json::Value,
    ) -> Result<(), StoreError> {
        details["invitation"] = json!(invitation.id);
        let event = NewAuditEvent {
            actor: format!("invitation {}", invitation.id),
            action: action.to_owned(),
            subject: invitation.tenant.to_string(),
            details,
        };
        self.store.append_audit(event, self.clock.now()).await.map(drop)
    }
}

/// The consent as a browser tells it, before its proof.
fn spreading(now: Timestamp) -> Check {
    Check {
        name: CONSENT.to_owned(),
        outcome: CheckOutcome::Warning,
        code: SPREADING.to_owned(),
        detail: "consent was told and is not proven by a token yet".to_owned(),
        remedy: "nothing: it is tried again by itself".to_owned(),
        checked_at: now,
        expires_at: None,
    }
}

fn progress(tenant: &Tenant, consent: &Check, checks: &BTreeMap<String, Check>) -> Progress {
    let mut steps = vec![ProgressStep { what: StepKind::Consent, standing: standing(consent) }];
    let proven = consent.outcome == CheckOutcome::Good;
    let mut checked_at = (consent.code != SPREADING).then_some(consent.checked_at);
    for source in &tenant.sources {
        let check = checks.get(&checks::source_name(*source)).filter(|_| proven);
        checked_at = checked_at.max(check.map(|check| check.checked_at));
        let standing = match check {
            Some(check) => standing(check),
            None if proven => StepStanding::Checking,
            None => StepStanding::Waiting,
        };
        steps.push(ProgressStep { what: StepKind::Source(*source), standing });
    }
    Progress { steps, checked_at }
}

fn standing(check: &Check) -> StepStanding {
    match check.outcome {
        CheckOutcome::Good => StepStanding::Good,
        _ if check.code == SPREADING => StepStanding::Checking,
        _ => StepStanding::Attention { code: check.code.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_in_an_address_says_only_our_own_words() {
        for notice in [
            Notice::Declined,
            Notice::NotAdministrator,
            Notice::WrongAccount,
            Notice::Blocked,
            Notice::Late,
            Notice::Failed("AADSTS700016".to_owned()),
            Notice::Failed("server_error".to_owned()),
        ] {
            assert_eq!(Notice::read(&notice.word()), Some(notice));
        }
        for hostile in [
            "",
            "<script>",
            "AADSTS",
            "AADSTS1234567890",
            "AADSTS50020 call 555",
            "free_money",
            "AADSTS５００２０",
        ] {
            assert_eq!(Notice::read(hostile), None, "{hostile}");
        }
    }

    #[test]
    fn microsoft_s_reasons_are_told_apart() {
        for (error, description, notice) in [
            ("access_denied", "", Notice::Declined),
            ("permission_denied", "The admin canceled the request", Notice::Declined),
            ("consent_required", "AADSTS65004: User declined to consent", Notice::Declined),
            (
                "access_denied",
                "AADSTS90094: An administrator of x has set a policy",
                Notice::NotAdministrator,
            ),
            ("invalid_request", "AADSTS50020: User account does not exist", Notice::WrongAccount),
            ("access_denied", "AADSTS53003: Blocked by Conditional Access", Notice::Blocked),
            ("x", "AADSTS700016: unknown app", Notice::Failed("AADSTS700016".to_owned())),
            ("server_error", "", Notice::Failed("server_error".to_owned())),
            ("<b>evil</b>", "<script>", Notice::Failed("unknown".to_owned())),
        ] {
            assert_eq!(Notice::of(error, description), notice, "{error} {description}");
        }
    }
}
