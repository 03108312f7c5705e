//! Which words of the pages' language say what: permissions, steps, troubles, notices.

use minijinja::{Value, context};
use muster_microsoft::entra::permissions::{Permission, ResourceApp};
use muster_microsoft::{Fault, SourceWord, sources};
use muster_model::{RecordKind, Source};

use crate::access::onboard::{Guest, Hint, Notice, StepKind, StepStanding, meaning};

/// The permissions that are asked for, the least for each source, each once.
pub(super) fn asked(guest: &Guest) -> Vec<Value> {
    let mut names: Vec<(ResourceApp, &str)> = Vec::new();
    let mut asked = Vec::new();
    let kind = if guest.delegated { "permission-of-person" } else { "permission-of" };
    for source in &guest.tenant.sources {
        let Some(permission) = muster_microsoft::sources::permissions(*source).first() else { continue };
        let named = if guest.delegated { permission.scope } else { permission.role };
        // Tokens of the old SIEM feed hold nothing of the kind for an app: there is nothing to ask for.
        let named = match muster_microsoft::sources::in_tokens(*source).is_empty() {
            true => named,
            false => named.or(permission.role).or(permission.scope),
        };
        let Some((name, _)) = named else { continue };
        if names.contains(&(permission.resource, name)) {
            continue;
        }
        names.push((permission.resource, name));
        let key = permission_key(source.kind());
        let product = sources::declaration(*source).product;
        asked.push(context! { key, kind, name, source => source.as_str(), product, api => permission.resource.name() });
    }
    for permission in &guest.further {
        let named = if guest.delegated { permission.scope } else { permission.role };
        let Some((name, _)) = named else { continue };
        if names.contains(&(permission.resource, name)) {
            continue;
        }
        names.push((permission.resource, name));
        let (key, api) = (further_key(permission, name), permission.resource.name());
        asked.push(context! { key, kind, name, source => "another", product => api, api });
    }
    asked
}

/// The message that explains a permission that no source needs. What each of Microsoft's permissions allows stands on its
/// own consent page; here it counts whether something can be done with it.
fn further_key(permission: &Permission, name: &str) -> &'static str {
    match permission.only_reads() {
        true if name.contains("Hunting") || name.contains("AdvancedQuery") => "permission-threat-hunting",
        true => "permission-reading",
        false => "permission-acting",
    }
}

/// Whether something can be changed or done with what is asked for.
pub(super) fn acts(guest: &Guest) -> bool {
    guest.further.iter().any(|permission| !permission.only_reads())
}

/// The message that explains the permission to read records of this kind.
fn permission_key(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::GraphAlert | RecordKind::EndpointAlert | RecordKind::SiemDetection => {
            "permission-security-alert"
        }
        RecordKind::GraphIncident | RecordKind::XdrIncident => "permission-security-incident",
        RecordKind::HuntingRow => "permission-threat-hunting",
    }
}

/// The least permission that a source needs, by Microsoft's name.
fn least_permission(source: Source) -> Option<&'static str> {
    let permission = muster_microsoft::sources::permissions(source).first()?;
    permission.role.or(permission.scope).map(|(name, _)| name)
}

pub(super) fn shown_step(what: StepKind, standing: &StepStanding) -> Value {
    let (class, mark, word) = match standing {
        StepStanding::Good => ("good", "✓", "state-good"),
        StepStanding::Waiting => ("waiting", "", "state-waiting"),
        StepStanding::Checking => ("checking", "", "state-checking"),
        StepStanding::YourTurn => ("attention", "→", "state-your-turn"),
        StepStanding::Attention { code } => ("attention", "!", attention(code)),
    };
    let fix = match standing {
        StepStanding::Attention { code } => Some(fix(code)),
        StepStanding::YourTurn => Some("fix-sign-in"),
        _ => None,
    };
    let source = match what {
        StepKind::Consent | StepKind::SignIn => None,
        StepKind::Source(source) => Some(source),
    };
    context! {
        key => step_key(what), class, mark, word, fix,
        source => source.map(Source::as_str),
        product => source.map(|source| sources::declaration(source).product),
        permission => source.and_then(least_permission),
    }
}

fn step_key(what: StepKind) -> &'static str {
    match what {
        StepKind::Consent => "step-consent",
        StepKind::SignIn => "step-sign-in",
        StepKind::Source(source) => match source.kind() {
            RecordKind::GraphAlert | RecordKind::EndpointAlert | RecordKind::SiemDetection => "step-alerts",
            RecordKind::GraphIncident | RecordKind::XdrIncident => "step-incidents",
            RecordKind::HuntingRow => "step-hunting",
        },
    }
}

/// The state of a source with this trouble, in the word that `muster status` has for it.
fn attention(code: &str) -> &'static str {
    match Fault::named(code).map(|fault| fault.meaning().state) {
        Some(SourceWord::ConsentLost) => "state-consent-lost",
        Some(SourceWord::NoLicence) => "state-no-licence",
        Some(SourceWord::NoToken) => "state-no-token",
        Some(SourceWord::Throttled) => "state-throttled",
        Some(SourceWord::ApiDown) => "state-api-down",
        _ => "state-attention",
    }
}

/// What the customer can do about a kind of trouble. What is not theirs says so; the details stay in our own log.
fn fix(code: &str) -> &'static str {
    match code {
        "lost_consent" | "app_unknown" => "fix-consent",
        "missing_role" | "access_refused" => "fix-permission",
        "app_disabled" => "fix-app-disabled",
        "conditional_access" => "fix-conditional-access",
        "no_licence" => "fix-licence",
        "person_lacks_role" => "fix-person",
        "throttled" | "api_down" | "unreachable" => "fix-microsoft",
        "wrong_secret" | "secret_expired" | "certificate_rejected" | "misconfigured" | "tenant_unknown" => {
            "fix-provider"
        }
        "grant_expired" | "grant_revoked" | "multifactor_needed" => "fix-sign-in",
        _ => "fix-other",
    }
}

/// What is said of a code of Microsoft's.
fn failed(code: &str) -> &'static str {
    match meaning(code) {
        Some(Hint::NoLicence) => "notice-licence",
        Some(Hint::SecondFactor) => "notice-second-factor",
        Some(Hint::SettingUp) => "notice-setting-up",
        Some(Hint::OtherCloud) => "notice-other-cloud",
        Some(Hint::AppDisabled) => "fix-app-disabled",
        Some(Hint::OurSide) => "notice-provider",
        None => "notice-failed",
    }
}

/// What a page says first, by the word in its address.
pub(super) fn notice(word: &str) -> Option<Value> {
    let (key, code) = match Notice::read(word)? {
        Notice::Declined => ("notice-declined", None),
        Notice::NotAdministrator => ("notice-not-administrator", None),
        Notice::WrongAccount => ("notice-wrong-account", None),
        Notice::Blocked => ("notice-blocked", None),
        Notice::Failed(code) => (failed(&code), Some(code)),
    };
    Some(context! { key, code })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::web::language::{Language, Variable, Words};
    use crate::web::page::keys_in_templates;

    /// Every key that is named in the code.
    fn keys_in_code() -> BTreeSet<String> {
        let code = |source: &'static str| source.split("#[cfg(test)]").next().expect("the code").split('"');
        let texts = [include_str!("onboarding.rs"), include_str!("wording.rs")].map(code);
        let mut keys: BTreeSet<String> = texts
            .into_iter()
            .flat_map(|texts| texts.skip(1).step_by(2))
            .filter(|text| text.contains('-') || ["busy", "many", "trouble"].contains(text))
            .map(str::to_owned)
            .collect();
        for what in ["unknown", "expired", "revoked", "busy", "many", "trouble"] {
            keys.extend([format!("{what}-title"), format!("{what}-text")]);
        }
        keys
    }

    #[test]
    fn no_message_is_unused_and_none_is_missing() {
        let words = include_str!("../../locales/en/onboarding.ftl");
        let there: BTreeSet<&str> = words
            .lines()
            .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
            .filter_map(|line| line.split_once(" =").map(|(key, _)| key))
            .collect();
        let mut used = keys_in_templates();
        used.extend(keys_in_code());
        used.insert("date-time".to_owned());
        for key in &there {
            assert!(used.contains(*key), "`{key}` is used nowhere");
        }
        for key in keys_in_templates() {
            assert!(there.contains(key.as_str()), "`{key}` is in no language");
        }
        let codes = Fault::ALL.iter().map(|fault| fix(fault.as_str()));
        let permissions = RecordKind::ALL.into_iter().map(permission_key);
        let steps = Source::ALL.iter().map(|source| step_key(StepKind::Source(*source)));
        let states = Fault::ALL.iter().map(|fault| attention(fault.as_str()));
        assert!(states.clone().all(|key| key != "state-attention"), "each kind of trouble has its word");
        for key in codes.chain(permissions).chain(steps).chain(states) {
            assert!(there.contains(key), "`{key}` is in no language");
        }
    }

    #[test]
    fn every_fault_has_words_that_fit_who_can_end_it() {
        for fault in Fault::ALL {
            let key = fix(fault.as_str());
            let waits = matches!(fault, Fault::Throttled | Fault::ApiDown | Fault::Unreachable);
            assert_eq!(key == "fix-microsoft", waits, "{fault}");
            assert_eq!(
                key == "fix-other",
                fault == Fault::Other,
                "{fault}: the list of codes is not complete"
            );
        }
    }

    #[test]
    fn a_source_beside_graph_s_is_told_apart_by_its_product_in_every_language() {
        let words = Words::load();
        let product = "Microsoft Defender XDR";
        let said = |language, key, source: &'static str| {
            let variables = [("source", source), ("product", product), ("provider", "P"), ("customer", "C")];
            words.say(language, key, variables.map(|(name, value)| (name, Variable::Text(value.into()))))
        };
        for language in Language::ALL {
            for (key, graph) in [
                ("step-alerts", "graph_alerts"),
                ("step-incidents", "graph_incidents"),
                ("permission-security-alert.allows", "graph_alerts"),
            ] {
                let named = |source| said(language, key, source).expect("the words").contains(product);
                assert!(named("another") && !named(graph), "{key} in {language}");
            }
        }
    }
}
