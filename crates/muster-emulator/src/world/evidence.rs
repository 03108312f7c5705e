//! Evidence of alerts, written from the templates of `evidence.json`: a type of evidence is a line there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::world::cast::{Cast, public_address};
use crate::world::dice::Dice;
use crate::world::json_text::JsonText;
use crate::world::template::{Branch, Piece, Template, Word};
use crate::world::ticks::Ticks;

/// What `evidence.json` holds.
#[derive(serde::Deserialize)]
struct Templates {
    /// Objects that several types contain.
    parts: BTreeMap<String, Template>,
    /// The types, by the tail of `@odata.type` without the word `Evidence`.
    types: BTreeMap<String, Template>,
}

static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| {
    serde_json::from_str(include_str!("evidence.json")).expect("the templates of evidence are right")
});

/// The types of evidence that there are, as templates name them.
#[cfg(test)]
pub(crate) fn types() -> impl Iterator<Item = &'static str> {
    TEMPLATES.types.keys().map(String::as_str)
}

/// Writes evidence of one alert.
pub(crate) struct EvidenceWriter<'a> {
    pub(crate) json: &'a mut JsonText,
    pub(crate) cast: &'a Cast<'a>,
    pub(crate) dice: &'a mut Dice,
    pub(crate) at: Ticks,
}

/// What one piece of evidence is about, and what its template has named.
#[derive(Default)]
struct Scope {
    pick: usize,
    named: Vec<(&'static str, Vec<String>)>,
}

impl EvidenceWriter<'_> {
    /// One element of `evidence`; `kind` is its type as templates name it.
    pub(crate) fn element(&mut self, kind: &str) {
        self.json.open();
        self.body(kind);
    }

    fn body(&mut self, kind: &str) {
        self.common(kind);
        let mut scope = Scope { pick: self.dice.index(3), named: Vec::new() };
        match TEMPLATES.types.get(kind) {
            Some(Template::Object(fields)) => self.fields(fields, &mut scope),
            _ => unreachable!("no template of evidence {kind:?}"),
        }
        self.json.close();
    }

    /// What all types have.
    fn common(&mut self, kind: &str) {
        self.json.string("@odata.type", &format!("#microsoft.graph.security.{kind}Evidence"));
        let created = self.at.plus_seconds(-self.dice.between(0, 90));
        self.json.time("createdDateTime", created);
        let verdict =
            self.dice.choose(&["unknown", "suspicious", "suspicious", "malicious", "noThreatsFound"]);
        self.json.string("verdict", verdict);
        let (status, hidden) = self.dice.choose(&[
            ("none", false),
            ("none", false),
            ("none", false),
            ("none", false),
            ("remediated", false),
            ("prevented", false),
            ("blocked", false),
            ("notFound", false),
            ("active", true),
            ("pendingApproval", true),
            ("unremediated", true),
            ("partiallyRemediated", true),
        ]);
        self.json.evolvable("remediationStatus", status, hidden);
        let details = match status {
            "remediated" => Some("Entity was remediated automatically"),
            "blocked" => Some("Entity was blocked by policy"),
            _ => None,
        };
        self.json.optional("remediationStatusDetails", details);
        const ROLES: &[&[&str]] = &[
            &[],
            &[],
            &["compromised"],
            &["attacked"],
            &["attacker"],
            &["source"],
            &["destination"],
            &["created"],
            &["added"],
            &["edited"],
            &["scanned"],
            &["contextual"],
            &["commandAndControl"],
            &["loaded"],
            &["suspicious"],
            &["policyViolator"],
            &["compromised", "source"],
        ];
        const DETAILED_ROLES: &[&[&str]] =
            &[&[], &[], &["Main device"], &["Referred in command line"], &["Primary device"]];
        const TAGS: &[&[&str]] = &[&[], &[], &[], &["Tier 0"], &["Test machine", "PCI"]];
        for (key, choices) in [("roles", ROLES), ("detailedRoles", DETAILED_ROLES), ("tags", TAGS)] {
            let chosen = self.dice.choose(choices);
            self.json.strings(key, chosen);
        }
    }

    fn fields(&mut self, fields: &'static [(String, Template)], scope: &mut Scope) {
        for (key, template) in fields {
            match key.strip_prefix('$') {
                Some(name) => {
                    let values = self.row(template, scope);
                    scope.named.push((name, values));
                }
                None => {
                    self.json.key(key);
                    self.value(template, scope);
                }
            }
        }
    }

    /// The texts that a variable stands for.
    fn row(&mut self, template: &'static Template, scope: &Scope) -> Vec<String> {
        match self.chosen(template, scope) {
            Template::List(texts) => texts.iter().map(|text| self.row(text, scope).concat()).collect(),
            Template::Text(pieces) => vec![self.text(pieces, scope).into_owned()],
            other => unreachable!("a variable is made of texts, not of {other:?}"),
        }
    }

    fn value(&mut self, template: &'static Template, scope: &mut Scope) {
        match self.chosen(template, scope) {
            Template::Text(pieces) => {
                let text = self.text(pieces, scope);
                self.json.text_value(&text);
            }
            Template::Literal(text) => self.json.raw_value(text),
            Template::Number(pieces) => {
                let text = self.text(pieces, scope);
                self.json.raw_value(&text);
            }
            Template::Optional(pieces) => {
                let text = self.text(pieces, scope);
                if text.is_empty() { self.json.raw_value("null") } else { self.json.text_value(&text) }
            }
            Template::Time(seconds) => self.json.time_value(self.at.plus_seconds(*seconds)),
            Template::Object(fields) => {
                self.json.open_value('{');
                let outer = scope.named.len();
                self.fields(fields, scope);
                scope.named.truncate(outer);
                self.json.close();
            }
            Template::List(elements) => {
                self.json.open_value('[');
                for element in elements {
                    self.json.separate();
                    self.value(element, scope);
                }
                self.json.close_array();
            }
            Template::Repeat(element, count, most) => {
                let count = self.text(count, scope).parse().unwrap_or(0).min(*most);
                self.json.open_value('[');
                for _ in 0..count {
                    self.json.separate();
                    self.value(element, scope);
                }
                self.json.close_array();
            }
            Template::Evidence(kind) => {
                self.json.open_value('{');
                self.body(kind);
            }
            Template::Part(name) => match TEMPLATES.parts.get(name) {
                Some(part) => self.value(part, scope),
                None => unreachable!("no part {name:?} of evidence"),
            },
            Template::One(_) | Template::Pick(_) | Template::On(_) => unreachable!("these are chosen from"),
        }
    }

    /// What is left when all that is to be chosen is chosen.
    fn chosen(&mut self, template: &'static Template, scope: &Scope) -> &'static Template {
        let next = match template {
            Template::One(choices) => &choices[self.dice.index(choices.len())],
            Template::Pick(choices) => &choices[scope.pick],
            Template::On(branches) => {
                let platform = self.cast.hosts[scope.pick.min(1)].platform;
                let own = match platform {
                    "Linux" | "macOS" => Branch::Unix,
                    server if server.starts_with("WindowsServer") => Branch::Server,
                    _ => Branch::Other,
                };
                let of = |wanted| branches.iter().find(|branch| branch.0 == wanted).map(|branch| &branch.1);
                of(own).or_else(|| of(Branch::Other)).expect("every template has a branch for others")
            }
            settled => return settled,
        };
        self.chosen(next, scope)
    }

    fn text<'t>(&mut self, pieces: &'t [Piece], scope: &Scope) -> Cow<'t, str> {
        if let [Piece::Plain(text)] = pieces {
            return Cow::Borrowed(text);
        }
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Plain(plain) => text.push_str(plain),
                Piece::Word(word) => self.push_word(&mut text, word, scope),
            }
        }
        Cow::Owned(text)
    }

    fn push_word(&mut self, text: &mut String, word: &Word, scope: &Scope) {
        match word {
            Word::Guid => text.push_str(&self.dice.guid()),
            Word::Hex(digits) => text.push_str(&self.dice.hex(*digits)),
            Word::UpperHex(digits) => text.push_str(&self.dice.hex(*digits).to_uppercase()),
            Word::Between(from, to) => text.push_str(&self.dice.between(*from, *to).to_string()),
            Word::Base64(bytes) => {
                let bytes = bytes.parse().ok().or_else(|| named(scope, bytes, 0)?.parse().ok()).unwrap_or(0);
                text.push_str(&self.dice.base64(bytes));
            }
            Word::Mac => {
                let digits = self.dice.hex(12).to_uppercase();
                let pairs: Vec<&str> = (0..6).map(|pair| &digits[pair * 2..pair * 2 + 2]).collect();
                text.push_str(&pairs.join("-"));
            }
            Word::Public => text.push_str(&public_address(self.dice)),
            Word::Named(name, place) => match named(scope, name, *place) {
                Some(value) => text.push_str(value),
                None => text.push_str(&known(self.cast, scope.pick, name)),
            },
        }
    }
}

fn named<'s>(scope: &'s Scope, name: &str, place: usize) -> Option<&'s str> {
    let row = &scope.named.iter().rev().find(|named| named.0 == name)?.1;
    row.get(place).map(String::as_str)
}

/// What the cast knows under a name.
fn known<'c>(cast: &'c Cast<'_>, pick: usize, name: &str) -> Cow<'c, str> {
    let (host, user, tenant) = (&cast.hosts[pick.min(1)], &cast.users[pick], cast.tenant);
    Cow::Borrowed(match name {
        "domain" => &tenant.domain,
        "company" => tenant.domain.trim_end_matches(".example"),
        "netbios" => &tenant.netbios,
        "netbios.lower" => return Cow::Owned(tenant.netbios.to_lowercase()),
        "tenant" => &tenant.id,
        "tenant.name" => &tenant.name,
        "attacker.domain" => &cast.attacker_domain,
        "attacker.address" => &cast.attacker_address,
        "mail.subject" => cast.mail_subject,
        "malware" => cast.malware.2,
        "file" => &cast.file,
        "file.escaped" => return Cow::Owned(cast.file.replace(' ', "%20")),
        "file.sha1" => &cast.sha1,
        "file.sha256" => &cast.sha256,
        "host.name" => &host.name,
        "host.device" => &host.device_id,
        "host.id" => host.entra_id.as_deref().unwrap_or(""),
        "host.address" => &host.address,
        "host.platform" => host.platform,
        "host.build" => return Cow::Owned(host.build.to_string()),
        "host.version" => host.version,
        "host.group" => return Cow::Owned(host.group.0.to_string()),
        "host.groupName" => host.group.1,
        "host0.name" => &cast.hosts[0].name,
        "host1.name" => &cast.hosts[1].name,
        "user.account" => &user.account,
        "user.login" => return Cow::Owned(user.account.replace('.', "-")),
        "user.mail" => return Cow::Owned(format!("{}@{}", user.account, tenant.domain)),
        "user.name" => &user.display,
        "user.id" => &user.entra_id,
        "user.sid" => &user.sid,
        "user.sidDomain" => user.sid.rsplit_once('-').map_or("S-1-5-21", |parts| parts.0),
        "user0.account" => &cast.users[0].account,
        other => unreachable!("nobody knows {other:?} of evidence"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::cast;

    #[test]
    fn every_type_is_a_readable_object_of_life_like_size() {
        assert_eq!(types().count(), 48, "schema v1.0 has 48 types");
        let tenant = cast::tenant(7, 0);
        for kind in types() {
            for incident in 0..20 {
                let cast = Cast::of_incident(&tenant, incident);
                let mut json = JsonText::default();
                EvidenceWriter {
                    json: &mut json,
                    cast: &cast,
                    dice: &mut Dice::new(incident),
                    at: Ticks::parse("2026-11-21T03:46:39Z").unwrap(),
                }
                .element(kind);
                let (text, masks) = json.finish();
                let value: serde_json::Value = serde_json::from_str(&text).expect(kind);
                assert_eq!(value["@odata.type"], format!("#microsoft.graph.security.{kind}Evidence"));
                assert!(value["roles"].is_array() && value["verdict"].is_string());
                assert!((200..12_000).contains(&text.len()), "{kind}: {}", text.len());
                for (start, length) in masks {
                    assert!(text.get(start as usize..(start + length) as usize).is_some());
                }
            }
        }
    }
}
