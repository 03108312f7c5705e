//! The steps around a customer that only people can do, filled in with the customer's ids and links, and how far each
//! is as far as that can be told from here.
//!
//! Source: Microsoft "Fetch alerts from MSSP customer tenant", "Grant managed security service provider (MSSP) access",
//! "Access the MSSP customer portal", "Configure alert notifications that are sent to MSSPs", and Graph's "delegated
//! admin relationships".

use muster_microsoft::entra::credential::Access;
use muster_microsoft::{Cloud, Fault};
use muster_model::{Tenant, TenantId, TenantState};
use muster_store::{Check, CheckOutcome, Grant};
use serde::Serialize;

use super::progress::CONSENT;
use crate::access::checks;
use crate::shown::output::plain;

/// All steps for a tenant.
#[derive(Debug, Clone, Serialize)]
pub struct Guide {
    pub tenant: Tenant,
    pub steps: Vec<GuideStep>,
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
    fn in_words(self) -> &'static str {
        match self {
            Self::Customer => "the customer's administrator",
            Self::Provider => "you",
            Self::Both => "you and the customer's administrator",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Done, as was seen.
    Done,
    /// Not done, as was seen.
    ToDo,
    /// Cannot be seen from here.
    NotSeen,
    /// Done only where it is agreed on or needed.
    IfWanted,
}

impl StepState {
    /// In words, for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::ToDo => "to do",
            Self::NotSeen => "cannot be seen from here",
            Self::IfWanted => "if wanted",
        }
    }
}

/// What a guide is written from.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    pub tenant: &'a Tenant,
    /// The app's client id, and whether it acts for a person.
    pub app: Option<(String, Access)>,
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

impl Guide {
    pub fn write(known: &Known<'_>) -> Self {
        let mut steps = vec![consent(known), sources(known)];
        steps.push(connector(known));
        steps.extend([access_packages(known), delegated_admin(known), portal(known), notifications(known)]);
        Self { tenant: known.tenant.clone(), steps }
    }

    /// As Markdown, to be mailed or put into a wiki. Names come from outside; what would be markup is escaped.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# {}\n\nTenant `{}`{}, state: {}\n",
            markdown(&self.tenant.name),
            self.tenant.id,
            self.tenant.domain.as_ref().map(|domain| format!(", `{domain}`")).unwrap_or_default(),
            self.tenant.state
        );
        for (number, step) in self.steps.iter().enumerate() {
            text.push_str(&format!(
                "\n## {}. {}\n\nBy: {}. State: {}",
                number + 1,
                step.title,
                step.who.in_words(),
                step.state.in_words()
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
        let mut text = format!("{}  {}  {}  {}\n", tenant.slug, plain(&tenant.name), tenant.id, tenant.state);
        for (number, step) in self.steps.iter().enumerate() {
            text.push_str(&format!("\n{}. {}  [{}]\n", number + 1, step.title, step.state.in_words()));
            text.push_str(&format!("   by {}", step.who.in_words()));
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

fn consent(known: &Known<'_>) -> GuideStep {
    let tenant = known.tenant;
    let check = find(known.checks, CONSENT).or_else(|| find(known.checks, checks::TOKEN));
    let (state, finding) = match check {
        Some(check) if check.outcome == CheckOutcome::Good => (StepState::Done, Some(told(check))),
        Some(check) => (StepState::ToDo, Some(told(check))),
        None if tenant.state == TenantState::Active => {
            (StepState::NotSeen, Some("not checked yet".to_owned()))
        }
        None => (StepState::ToDo, Some("nobody has consented yet".to_owned())),
    };
    let mut links = Vec::new();
    if let Some((client_id, _)) = &known.app {
        links.push(link("The app in the customer's tenant", known.cloud.enterprise_application(client_id)));
    }
    GuideStep {
        title: "Consent of the customer".to_owned(),
        who: Who::Customer,
        state,
        finding,
        todo: vec![
            format!(
                "make the link with `muster tenant invite {}` and mail it; a Global Administrator or Privileged Role Administrator opens it",
                tenant.slug
            ),
            format!("the permissions asked for: {}", wanted(known)),
        ],
        links,
    }
}

fn sources(known: &Known<'_>) -> GuideStep {
    let mut todo = Vec::new();
    let mut state = StepState::Done;
    for source in &known.tenant.sources {
        match find(known.checks, &checks::source_name(*source)) {
            Some(check) if check.outcome == CheckOutcome::Good => {
                todo.push(format!("`{source}` can be read ({:.0})", check.checked_at));
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
                todo.push(format!("`{source}` was not tried yet"));
            }
        }
    }
    GuideStep {
        title: "Every source can be read".to_owned(),
        who: Who::Provider,
        state,
        finding: None,
        todo,
        links: Vec::new(),
    }
}

/// Seed 001: an app in our tenant is allowed in the customer's portal, and a person of the customer's tenant signs in.
fn connector(known: &Known<'_>) -> GuideStep {
    let tenant = known.tenant;
    let delegated = matches!(known.app, Some((_, Access::Delegated)));
    let grant = known.grants.iter().find(|grant| grant.tenant == tenant.id && grant.revoked_at.is_none());
    let (state, finding) = match (delegated, grant) {
        (_, Some(grant)) => (StepState::Done, Some(format!("{} has signed in", plain(&grant.account)))),
        (true, None) => (StepState::ToDo, Some("nobody has signed in yet".to_owned())),
        (false, None) => (
            StepState::IfWanted,
            Some("only for an app that acts for a person, and the old SIEM feed".to_owned()),
        ),
    };
    let client_id = known.app.as_ref().map_or("the app's client id", |(client_id, _)| client_id.as_str());
    let home = known.home.map_or_else(
        || "your own tenant's id (set `tenant` in the app's section to see it here)".to_owned(),
        |home| format!("`{home}`"),
    );
    let mut todo = vec![
        "in the customer's Defender portal: Settings > Endpoints > APIs > SIEM > MSSP tab".to_owned(),
        format!(
            "enter the application id `{client_id}` and the tenant id {home}, then choose Authorize application"
        ),
        "it needs the permission “Manage portal system settings” there".to_owned(),
    ];
    if let Some(redirect) = &known.connector_redirect_uri {
        todo.push(format!("the app registration needs the redirect URI `{redirect}`"));
    }
    todo.push(format!(
        "then somebody with an account in the customer's tenant signs in: `muster token acquire --tenant {}`",
        tenant.slug
    ));
    GuideStep {
        title: "SIEM connector authorised in the customer's portal".to_owned(),
        who: Who::Both,
        state,
        finding,
        todo,
        links: defender(known),
    }
}

fn access_packages(known: &Known<'_>) -> GuideStep {
    let portals = known.cloud.portals();
    let mut links = vec![
        link(
            "Connected organizations, in the customer's tenant",
            format!("{}/#view/Microsoft_AAD_ERM/DashboardBlade/~/elmConnectedOrganizations", portals.entra),
        ),
        link(
            "Catalogs and access packages, in the customer's tenant",
            format!("{}/#view/Microsoft_AAD_ERM/DashboardBlade/~/elmCatalog", portals.entra),
        ),
    ];
    let domain =
        known.tenant.domain.as_ref().map_or_else(|| known.tenant.id.to_string(), ToString::to_string);
    links.push(link("My Access, where your analysts ask", format!("{}/@{domain}", portals.my_access)));
    GuideStep {
        title: "Portal access for your analysts by access packages".to_owned(),
        who: Who::Both,
        state: StepState::IfWanted,
        finding: Some("Microsoft tells nobody from outside whether it is set up".to_owned()),
        todo: vec![
            "in your own tenant, once: the Entra groups `Tier 1 Analyst`, `Tier 2 Analyst` and `MSSP Analyst Approvers`".to_owned(),
            "customer: Defender roles for the two tiers (Settings > Endpoints > Permissions > Roles); tier 1 without live response and without managing security settings, tier 2 with live response".to_owned(),
            "customer, Identity Governance: add your organization as a connected organization".to_owned(),
            "customer: make a catalog `MSSP Accesses` and in it one access package per tier: requests from the connected organization only, approval by your approvers, yearly review, end after 365 days".to_owned(),
            "customer: send you the My Access link of each package; you approve your analysts' requests there".to_owned(),
        ],
        links,
    }
}

fn delegated_admin(known: &Known<'_>) -> GuideStep {
    GuideStep {
        title: "Portal access for your analysts by GDAP, for partners in the CSP programme".to_owned(),
        who: Who::Both,
        state: StepState::IfWanted,
        finding: None,
        todo: vec![
            format!("you: create a granular delegated admin relationship with tenant `{}` in Partner Center, with the least roles that do (Security Reader, Security Operator), and lock it for approval", known.tenant.id),
            "customer: a Global Administrator approves it with the link below, completed with the relationship's id".to_owned(),
            "you: assign your security groups to the roles of the relationship".to_owned(),
            "it does not replace the consent: an app without its own consent is refused (AADSTS90099)".to_owned(),
        ],
        links: vec![link(
            "Approval, in the customer's tenant",
            format!("{}/AdminPortal/Home#/partners/invitation/granularAdminRelationships/", known.cloud.portals().admin),
        )],
    }
}

fn portal(known: &Known<'_>) -> GuideStep {
    let mut links = defender(known);
    if let Some(many) = known.cloud.portals().many_tenants {
        links.push(link("All your customers at once", many.to_owned()));
    }
    GuideStep {
        title: "Open the customer's portal".to_owned(),
        who: Who::Provider,
        state: StepState::NotSeen,
        finding: None,
        todo: vec![format!(
            "add `tid={}` to any link of the portal, and it opens in this tenant; the links in alerts have it already",
            known.tenant.id
        )],
        links,
    }
}

fn notifications(known: &Known<'_>) -> GuideStep {
    GuideStep {
        title: "Mail on new alerts, beside the SIEM".to_owned(),
        who: Who::Customer,
        state: StepState::IfWanted,
        finding: None,
        todo: vec![
            "in the customer's Defender portal: Settings > Endpoints > Email notifications > Add notification rule".to_owned(),
            "switch on “Include organization name” and “Include tenant-specific portal link”, so that mails of several customers can be told apart".to_owned(),
            "it needs the permission “Manage security settings”; recipients get only alerts from then on".to_owned(),
        ],
        links: defender(known),
    }
}

fn defender(known: &Known<'_>) -> Vec<Link> {
    let portal = known.cloud.portals().defender;
    portal
        .map(|portal| link("The customer's Defender portal", format!("{portal}/?tid={}", known.tenant.id)))
        .into_iter()
        .collect()
}

/// The permissions that the tenant's sources need, by Microsoft's names.
fn wanted(known: &Known<'_>) -> String {
    let delegated = matches!(known.app, Some((_, Access::Delegated)));
    let mut names: Vec<&str> = Vec::new();
    for source in &known.tenant.sources {
        let least = muster_microsoft::sources::permissions(*source).first();
        let name = least.and_then(|permission| if delegated { permission.scope } else { permission.role });
        if let Some((name, _)) = name
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

fn link(name: &str, url: String) -> Link {
    Link { name: name.to_owned(), url }
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
    fn names_make_no_markup() {
        assert_eq!(markdown("[a](http://evil)\n# x"), "\\[a\\]\\(http\\:\\/\\/evil\\)\u{fffd}\\# x");
    }
}
