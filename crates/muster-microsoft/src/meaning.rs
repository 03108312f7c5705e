//! The table of meanings: each kind of trouble, what it means, in which state it shows a source, and what to do about it.
//!
//! `api/answers.rs` says which kind of trouble an answer is; from there on this table holds for every API. How a source's state
//! follows from the trouble and from what is known of its rounds is decided in `muster/src/shown/state.rs`. `docs/states.md` shows
//! both tables, and a test compares.

use std::fmt;

use serde::Serialize;

use crate::Fault;

/// The state of a source, in one word. The same words stand in commands, on customers' pages and in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceWord {
    /// It is read, and something new came of late.
    Reading,
    /// It is read, and nothing new comes.
    Quiet,
    /// It has not been read to its end for longer than it should, for a reason that none of the others is.
    Late,
    /// Microsoft asks to wait.
    Throttled,
    /// It is read, but for a part that cannot be had.
    Partial,
    /// The customer's tenant does not let the app in.
    ConsentLost,
    /// The tenant has no licence for the API.
    NoLicence,
    /// Muster cannot prove who it is.
    NoToken,
    /// The API, or the way to it, gives no answer that is of use.
    ApiDown,
    /// It is not read, because somebody said so.
    Paused,
    /// It has never been read to its end.
    NeverRead,
}

impl SourceWord {
    /// Every word.
    pub const ALL: [Self; 11] = [
        Self::Reading,
        Self::Quiet,
        Self::Late,
        Self::Throttled,
        Self::Partial,
        Self::ConsentLost,
        Self::NoLicence,
        Self::NoToken,
        Self::ApiDown,
        Self::Paused,
        Self::NeverRead,
    ];

    /// For people.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Quiet => "quiet",
            Self::Late => "late",
            Self::Throttled => "throttled",
            Self::Partial => "partial",
            Self::ConsentLost => "consent lost",
            Self::NoLicence => "no licence",
            Self::NoToken => "no token",
            Self::ApiDown => "API down",
            Self::Paused => "paused",
            Self::NeverRead => "never read",
        }
    }

    /// For programs: in JSON and in the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConsentLost => "consent_lost",
            Self::NoLicence => "no_licence",
            Self::NoToken => "no_token",
            Self::ApiDown => "api_down",
            Self::NeverRead => "never_read",
            other => other.in_words(),
        }
    }
}

impl fmt::Display for SourceWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.in_words())
    }
}

/// Whose trouble it is: what has it in common is one cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum About {
    /// The app's: all tenants that are read with it have it.
    App,
    /// The API's, or the way to it: all tenants may have it.
    Api,
    /// The tenant's own.
    Tenant,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The kind of trouble.
    pub fault: Fault,
    /// The state that it shows a source in.
    pub state: SourceWord,
    /// Whose trouble it is.
    pub about: About,
    /// What it means, in words that can follow the name of what it is about.
    pub meaning: &'static str,
    /// What a person can do about it.
    pub remedy: &'static str,
}

const fn row(
    fault: Fault,
    state: SourceWord,
    about: About,
    meaning: &'static str,
    remedy: &'static str,
) -> Meaning {
    Meaning { fault, state, about, meaning, remedy }
}

const CONSENT: &str = "have the customer's administrator consent: `muster tenant invite` makes the link";
const SECRET: &str = "put the app's current secret where the settings say, or run `muster app rotate-secret`";
const SIGN_IN: &str = "sign in again: `muster token acquire`";
const WAIT: &str = "nothing: it is tried again by itself";

/// The table.
#[rustfmt::skip]
pub const MEANINGS: [Meaning; 20] = [
    row(Fault::LostConsent, SourceWord::ConsentLost, About::Tenant, "the app has no consent", CONSENT),
    row(Fault::MissingRole, SourceWord::ConsentLost, About::Tenant, "a permission was not consented to", CONSENT),
    row(Fault::AppUnknown, SourceWord::ConsentLost, About::Tenant, "the app is not known in the tenant", CONSENT),
    row(Fault::AppDisabled, SourceWord::ConsentLost, About::Tenant, "the customer has disabled the app",
        "have the customer enable the app under Enterprise applications in their Entra admin centre"),
    row(Fault::ConditionalAccess, SourceWord::ConsentLost, About::Tenant, "a conditional-access rule blocks the app",
        "have the customer exclude the app in the conditional-access policy that blocks it"),
    row(Fault::AccessRefused, SourceWord::ConsentLost, About::Tenant, "the API refuses tokens that were just issued",
        "check consent, roles and licences of the tenant"),
    row(Fault::NoLicence, SourceWord::NoLicence, About::Tenant, "the tenant has no licence for the API",
        "the customer's tenant needs a Defender licence that has this API, or leave the source out"),
    row(Fault::PersonLacksRole, SourceWord::ConsentLost, About::Tenant, "the person who signed in has no role that shows them the data",
        "have the customer give that person a role such as Security Reader, and let them see all device groups"),
    row(Fault::WrongSecret, SourceWord::NoToken, About::App, "the secret is wrong", SECRET),
    row(Fault::SecretExpired, SourceWord::NoToken, About::App, "the secret has expired", SECRET),
    row(Fault::CertificateRejected, SourceWord::NoToken, About::App, "the certificate, assertion or federated token is not accepted",
        "upload the current certificate to the app registration, or run `muster app rotate-certificate`"),
    row(Fault::Misconfigured, SourceWord::NoToken, About::App, "the app or the cloud is set wrongly",
        "check the app and the cloud in the settings"),
    row(Fault::GrantExpired, SourceWord::NoToken, About::Tenant, "nobody is signed in for the tenant, or no longer", SIGN_IN),
    row(Fault::GrantRevoked, SourceWord::NoToken, About::Tenant, "the sign-in of the person was revoked", SIGN_IN),
    row(Fault::MultifactorNeeded, SourceWord::NoToken, About::Tenant, "the person must prove who they are once more", SIGN_IN),
    row(Fault::TenantUnknown, SourceWord::NoToken, About::Tenant, "there is no such tenant in this cloud",
        "check the tenant id, and the cloud in the settings"),
    row(Fault::Throttled, SourceWord::Throttled, About::Api, "Microsoft asks to wait", WAIT),
    row(Fault::ApiDown, SourceWord::ApiDown, About::Api, "the API is in trouble", WAIT),
    row(Fault::Unreachable, SourceWord::ApiDown, About::Api, "no answer comes",
        "nothing, if it passes; else check network, proxy and DNS"),
    row(Fault::Other, SourceWord::ApiDown, About::Tenant, "an answer that Muster cannot use",
        "see the message; it is tried again by itself"),
];

impl Fault {
    /// What it means, and for which state of a source.
    #[must_use]
    pub fn meaning(self) -> &'static Meaning {
        MEANINGS.iter().find(|row| row.fault == self).expect("every kind has its row: a test looks")
    }

    /// What a person can do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        self.meaning().remedy
    }
}

impl Meaning {
    /// The row as `docs/states.md` shows it.
    #[must_use]
    pub fn in_markdown(&self) -> String {
        let about = match self.about {
            About::App => "the app",
            About::Api => "the API",
            About::Tenant => "the tenant",
        };
        format!("| `{}` | {} | {} | {about} | {} |", self.fault, self.state, self.meaning, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_of_trouble_has_one_row() {
        assert!(Fault::ALL.into_iter().all(|fault| fault.meaning().fault == fault));
        let faults: BTreeSet<Fault> = MEANINGS.iter().map(|row| row.fault).collect();
        assert_eq!(faults.len(), MEANINGS.len());
    }

    #[test]
    fn trouble_never_shows_a_source_as_well() {
        use SourceWord::{NeverRead, Partial, Paused, Quiet, Reading};
        for row in MEANINGS {
            assert!(!matches!(row.state, Reading | Quiet | Partial | Paused | NeverRead), "{row:?}");
            let by_itself = matches!(row.state, SourceWord::Throttled | SourceWord::ApiDown);
            assert_eq!(by_itself, !row.fault.needs_a_person(), "{row:?}");
        }
    }

    #[test]
    fn words_for_programs_are_words() {
        for word in SourceWord::ALL {
            assert_eq!(word.as_str(), word.in_words().to_lowercase().replace(' ', "_"));
            assert_eq!(serde_json::to_value(word).expect("JSON"), word.as_str());
        }
    }
}
