//! The steps around a customer that only people can do, filled in with the customer's ids and links, and how far each
//! is as far as that was checked from here. The words lie in `locales/*/guide.ftl`; what checks found is told in the words of
//! the checks.
//!
//! Source: Microsoft "Fetch alerts from MSSP customer tenant", "Grant managed security service provider (MSSP) access",
//! "Access the MSSP customer portal", "Configure alert notifications that are sent to MSSPs", and Graph's "delegated
//! admin relationships".

use muster_microsoft::entra::credential::Access;
use muster_microsoft::entra::permissions::Permission;
use muster_microsoft::{Cloud, Fault};
use muster_model::{Tenant, TenantId, TenantState};
use muster_store::{Check, CheckOutcome, Grant};
use serde::Serialize;

use super::progress::CONSENT;
use crate::access::checks;
use crate::shown::output::plain;
use crate::web::language::{Language, Variable, Words};

/// All steps for a tenant.
#[derive(Debug, Clone, Serialize)]
pub struct Guide {
    pub tenant: Tenant,
    pub language: Language,
    pub steps: Vec<GuideStep>,
    /// The words around the steps: tenant, state, by.
    #[serde(skip)]
    heads: [String; 3],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuideStep {
    /// What is reached by it.
    pub title: String,
    pub who: Who,
    pub state: StepState,
    /// What that was concluded from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// What to do, one thing after the other.
    pub todo: Vec<String>,
    /// The pages it is done on.
    pub links: Vec<Link>,
    /// Who and state in words.
    #[serde(skip)]
    said: [String; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    pub name: String,
    pub url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// An administrator of the customer.
    Customer,
    /// We ourselves.
    Provider,
    /// Both, one after the other.
    Both,
}

impl Who {
    fn key(self) -> &'static str {
        match self {
            Self::Customer => "guide-who-customer",
            Self::Provider => "guide-who-provider",
            Self::Both => "guide-who-both",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Done, as was checked.
    Done,
    /// Not done, as was checked.
    ToDo,
    /// Cannot be seen from here, or was not looked at.
    NotSeen,
    /// Done only where it is agreed on or needed.
    IfWanted,
}

impl StepState {
    fn key(self) -> &'static str {
        match self {
            Self::Done => "guide-state-done",
            Self::ToDo => "guide-state-to-do",
            Self::NotSeen => "guide-state-not-seen",
            Self::IfWanted => "guide-state-if-wanted",
        }
    }
}

/// What a guide is written from.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    pub tenant: &'a Tenant,
    /// The app's client id, and whether it acts for a person.
    pub app: Option<(String, Access)>,
    /// What the app asks for besides what the sources need.
    pub further: &'a [&'static Permission],
    /// Our own tenant, where the settings name it.
    pub home: Option<TenantId>,
    /// What checks found.
    pub checks: &'a [Check],
    /// The people who signed in.
    pub grants: &'a [Grant],
    /// The redirect URI of the connector, where there are pages for customers.
    pub connector_redirect_uri: Option<String>,
    pub cloud: &'a Cloud,
}

/// The words of one language.
struct Speech {
    words: Words,
    language: Language,
}

impl Speech {
    fn say(&self, key: &str, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|(name, value)| (*name, Variable::Text((*value).into())));
        // A test says every message of every language; whatever goes wrong shows.
        self.words.say(self.language, key, variables).unwrap_or_else(|error| error)
    }

    fn step(&self, title: &str, who: Who, state: StepState, finding: Option<String>) -> GuideStep {
        GuideStep {
            title: self.say(title, &[]),
            who,
            state,
            finding,
            todo: Vec::new(),
            links: Vec::new(),
            said: [self.say(who.key(), &[]), self.say(state.key(), &[])],
        }
    }

    fn link(&self, key: &str, url: String) -> Link {
        Link { name: self.say(key, &[]), url }
    }
}

impl Guide {
    pub fn write(known: &Known<'_>, language: Language) -> Self {
        let speech = Speech { words: Words::load(), language };
        let steps = [consent, sources, connector, access_packages, delegated_admin, portal, notifications];
        Self {
            tenant: known.tenant.clone(),
            language,
            steps: steps.iter().map(|step| step(known, &speech)).collect(),
            heads: ["guide-tenant", "guide-state", "guide-by"].map(|key| speech.say(key, &[])),
        }
    }

    /// As Markdown, to be mailed or put into a wiki. Names come from outside; what would be markup is escaped.
    pub fn markdown(&self) -> String {
        let [tenant, state, by] = &self.heads;
        let mut text = format!(
            "# {}\n\n{tenant} `{}`{}, {state}: {}\n",
            markdown(&self.tenant.name),
            self.tenant.id,
            self.tenant.domain.as_ref().map(|domain| format!(", `{domain}`")).unwrap_or_default(),
            self.tenant.state
        );
        for (number, step) in self.steps.iter().enumerate() {
            let [who, standing] = &step.said;
            text.push_str(&format!(
                "\n## {}. {}\n\n{by}: {who}. {state}: {standing}",
                number + 1,
                step.title,
            ));
            if let Some(finding) = &step.finding {
                text.push_str(&format!(" ({})", markdown(finding)));
            }
            text.push_str("\n\n");
            for todo in &step.todo {
                text.push_str(&format!("- {todo}\n"));
            }
            for link in &step.links {
                text.push_str(&format!("- {}: <{}>\n", link.name, link.url));
            }
        }
        text
    }

    pub fn text(&self) -> String {
        let tenant = &self.tenant;
        let by = self.heads[2].to_lowercase();
        let mut text = format!("{}  {}  {}  {}\n", tenant.slug, plain(&tenant.name), tenant.id, tenant.state);
        for (number, step) in self.steps.iter().enumerate() {
            let [who, standing] = &step.said;
            text.push_str(&format!("\n{}. {}  [{standing}]\n", number + 1, step.title));
            text.push_str(&format!("   {by} {who}"));
            if let Some(finding) = &step.finding {
                text.push_str(&format!("; {}", plain(finding)));
            }
            text.push('\n');
            for todo in &step.todo {
                text.push_str(&format!("   - {}\n", plain(todo).replace('`', "")));
            }
            for link in &step.links {
                text.push_str(&format!("   {}\n     {}\n", link.name, link.url));
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

fn consent(known: &Known<'_>, speech: &Speech) -> GuideStep {
    let tenant = known.tenant;
    let check = find(known.checks, CONSENT).or_else(|| find(known.checks, checks::TOKEN));
    let (state, finding) = match check {
        Some(check) if check.outcome == CheckOutcome::Good => (StepState::Done, told(check)),
        Some(check) => (StepState::ToDo, told(check)),
        None if tenant.state == TenantState::Active => {
            (StepState::NotSeen, speech.say("guide-not-checked", &[]))
        }
        None => (StepState::ToDo, speech.say("guide-nobody-consented", &[])),
    };
    let mut step = speech.step("guide-consent", Who::Customer, state, Some(finding));
    if let Some((client_id, _)) = &known.app {
        step.links.push(speech.link("guide-consent-app", known.cloud.enterprise_application(client_id)));
    }
    let command = format!("muster tenant invite {}", tenant.slug);
    step.todo.push(speech.say("guide-consent-link", &[("command", &command)]));
    step.todo.push(speech.say("guide-consent-permissions", &[("permissions", &wanted(known))]));
    step
}

fn sources(known: &Known<'_>, speech: &Speech) -> GuideStep {
    let mut todo = Vec::new();
    let mut state = StepState::Done;
    for source in &known.tenant.sources {
        match find(known.checks, &checks::source_name(*source)) {
            Some(check) if check.outcome == CheckOutcome::Good => {
                let at = format!("{:.0}", check.checked_at);
                todo.push(speech.say("guide-source-good", &[("source", source.as_str()), ("at", &at)]));
            }
            Some(check) => {
                state = StepState::ToDo;
                let word = Fault::named(&check.code).map(|fault| format!("{}: ", fault.meaning().state));
                let word = word.unwrap_or_default();
                todo.push(format!("`{source}`: {word}{}; {}", plain(&check.detail), check.remedy));
            }
            None => {
                if state == StepState::Done {
                    state = StepState::NotSeen;
                }
                todo.push(speech.say("guide-source-not-tried", &[("source", source.as_str())]));
            }
        }
    }
    GuideStep { todo, ..speech.step("guide-sources", Who::Provider, state, None) }
}

/// Seed 001: an app in our tenant is allowed in the customer's portal, and a person of the customer's tenant signs in. Whether the
/// portal lets it read is seen by what it lets be read, and by nothing else.
fn connector(known: &Known<'_>, speech: &Speech) -> GuideStep {
    let tenant = known.tenant;
    let delegated = matches!(known.app, Some((_, Access::Delegated)));
    let grant = known
        .grants
        .iter()
        .find(|grant| grant.tenant == tenant.id && grant.app == tenant.app && grant.revoked_at.is_none());
    let (state, finding) = match (delegated, grant) {
        (true, Some(grant)) => {
            let account = [("account", grant.account.as_str())];
            let (state, key) = read_in_their_name(known, grant);
            (state, speech.say(key, &account))
        }
        (true, None) => (StepState::ToDo, speech.say("guide-connector-nobody", &[])),
        (false, _) => (StepState::IfWanted, speech.say("guide-connector-optional", &[])),
    };
    let mut step = speech.step("guide-connector", Who::Both, state, Some(finding));
    let app_unknown = speech.say("guide-connector-app-unknown", &[]);
    let client_id = known.app.as_ref().map_or(app_unknown.as_str(), |(client_id, _)| client_id.as_str());
    let home = known
        .home
        .map_or_else(|| speech.say("guide-connector-tenant-unknown", &[]), |home| format!("`{home}`"));
    step.todo = vec![
        speech.say("guide-connector-where", &[]),
        speech.say("guide-connector-enter", &[("app", client_id), ("tenant", &home)]),
        speech.say("guide-connector-permission", &[]),
    ];
    if let Some(redirect) = &known.connector_redirect_uri {
        step.todo.push(speech.say("guide-connector-redirect", &[("uri", redirect)]));
    }
    let command = format!("muster token acquire --tenant {}", tenant.slug);
    step.todo.push(speech.say("guide-connector-sign-in", &[("command", &command)]));
    step.links = defender(known, speech);
    step
}

/// What the checks since a person's sign-in say of what can be read in their name.
fn read_in_their_name(known: &Known<'_>, grant: &Grant) -> (StepState, &'static str) {
    let mut all = true;
    for source in known.tenant.asked() {
        let check = find(known.checks, &checks::source_name(source));
        match check.filter(|check| check.checked_at >= grant.granted_at).map(|check| check.outcome) {
            Some(CheckOutcome::Good) => {}
            Some(CheckOutcome::Failing) => return (StepState::ToDo, "guide-connector-failing"),
            Some(CheckOutcome::Warning) | None => all = false,
        }
    }
    match all && known.tenant.asked().next().is_some() {
        true => (StepState::Done, "guide-connector-read"),
        false => (StepState::NotSeen, "guide-connector-signed-in"),
    }
}

fn access_packages(known: &Known<'_>, speech: &Speech) -> GuideStep {
    let portals = known.cloud.portals();
    let unseen = speech.say("guide-packages-unseen", &[]);
    let mut step = speech.step("guide-packages", Who::Both, StepState::IfWanted, Some(unseen));
    let blade = |page: &str| format!("{}/#view/Microsoft_AAD_ERM/DashboardBlade/~/{page}", portals.entra);
    let domain =
        known.tenant.domain.as_ref().map_or_else(|| known.tenant.id.to_string(), ToString::to_string);
    step.links = vec![
        speech.link("guide-packages-organizations-page", blade("elmConnectedOrganizations")),
        speech.link("guide-packages-catalogs-page", blade("elmCatalog")),
        speech.link("guide-packages-access-page", format!("{}/@{domain}", portals.my_access)),
    ];
    let keys = [
        "guide-packages-groups",
        "guide-packages-roles",
        "guide-packages-organization",
        "guide-packages-catalog",
        "guide-packages-link",
    ];
    step.todo = keys.map(|key| speech.say(key, &[])).to_vec();
    step
}

fn delegated_admin(known: &Known<'_>, speech: &Speech) -> GuideStep {
    let mut step = speech.step("guide-gdap", Who::Both, StepState::IfWanted, None);
    step.todo.push(speech.say("guide-gdap-create", &[("tenant", &known.tenant.id.to_string())]));
    let keys = ["guide-gdap-approve", "guide-gdap-assign", "guide-gdap-no-consent"];
    step.todo.extend(keys.map(|key| speech.say(key, &[])));
    let page = "AdminPortal/Home#/partners/invitation/granularAdminRelationships/";
    step.links = vec![speech.link("guide-gdap-page", format!("{}/{page}", known.cloud.portals().admin))];
    step
}

fn portal(known: &Known<'_>, speech: &Speech) -> GuideStep {
    let mut step = speech.step("guide-portal", Who::Provider, StepState::NotSeen, None);
    step.todo.push(speech.say("guide-portal-tid", &[("tenant", &known.tenant.id.to_string())]));
    step.links = defender(known, speech);
    if let Some(many) = known.cloud.portals().many_tenants {
        step.links.push(speech.link("guide-portal-many", many.to_owned()));
    }
    step
}

fn notifications(known: &Known<'_>, speech: &Speech) -> GuideStep {
    let mut step = speech.step("guide-mail", Who::Customer, StepState::IfWanted, None);
    let keys = ["guide-mail-where", "guide-mail-options", "guide-mail-permission"];
    step.todo = keys.map(|key| speech.say(key, &[])).to_vec();
    step.links = defender(known, speech);
    step
}

fn defender(known: &Known<'_>, speech: &Speech) -> Vec<Link> {
    let portal = known.cloud.portals().defender;
    portal
        .map(|portal| speech.link("guide-portal-page", format!("{portal}/?tid={}", known.tenant.id)))
        .into_iter()
        .collect()
}

/// The permissions that the tenant's sources need, and what the app asks for besides, by Microsoft's names.
fn wanted(known: &Known<'_>) -> String {
    let delegated = matches!(known.app, Some((_, Access::Delegated)));
    let least = known
        .tenant
        .sources
        .iter()
        .filter_map(|source| muster_microsoft::sources::permissions(*source).first().copied());
    let mut names: Vec<&str> = Vec::new();
    for permission in least.chain(known.further.iter().copied()) {
        let named = if delegated { permission.scope } else { permission.role };
        if let Some((name, _)) = named
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names.join(", ")
}

fn find<'a>(checks: &'a [Check], name: &str) -> Option<&'a Check> {
    checks.iter().find(|check| check.name == name)
}

fn told(check: &Check) -> String {
    format!("{} at {:.0}", check.detail, check.checked_at)
}

/// Text without Markdown's own characters and without line ends.
fn markdown(text: &str) -> String {
    let mut escaped = String::new();
    for character in plain(text).chars() {
        if character.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_the_guide_is_used_and_there() {
        let code = include_str!("guide.rs").split("#[cfg(test)]").next().expect("the code");
        let words = include_str!("../../../locales/en/guide.ftl");
        let there = words.lines().filter_map(|line| line.split_once(" =").map(|(key, _)| key));
        let there: Vec<&str> = there.filter(|key| key.starts_with("guide-")).collect();
        for key in &there {
            assert!(code.contains(&format!("\"{key}\"")), "`{key}` is used nowhere");
        }
        let named = code.split('"').skip(1).step_by(2).filter(|text| text.starts_with("guide-"));
        for key in named {
            assert!(there.contains(&key), "`{key}` is in no language");
        }
    }

    #[test]
    fn names_make_no_markup() {
        assert_eq!(markdown("[a](http://evil)\n# x"), "\\[a\\]\\(http\\:\\/\\/evil\\)\u{fffd}\\# x");
    }
}
