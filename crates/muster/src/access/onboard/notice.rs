//! What is said to a person whom Microsoft sent back without consent.

use muster_microsoft::Fault;
use muster_microsoft::entra::aadsts;

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
            code if is_code(code) => Self::Failed(code.to_owned()),
            _ => return None,
        })
    }

    /// What an error on the redirect means for the person in front of it.
    pub(super) fn of(error: &str, description: &str) -> Self {
        let code = aadsts::code_in(description);
        match code {
            Some(65004 | 65001) => Self::Declined,
            Some(90_093..=90_095) => Self::NotAdministrator,
            Some(50020 | 50034 | 90072 | 50177 | 51004 | 16000) => Self::WrongAccount,
            Some(50105) => Self::Blocked,
            Some(code) if fault_of(code) == Some(Fault::ConditionalAccess) => Self::Blocked,
            Some(code) => Self::Failed(format!("AADSTS{code}")),
            None => match error {
                "access_denied" | "permission_denied" | "consent_required" => Self::Declined,
                error if is_code(error) => Self::Failed(error.to_owned()),
                _ => Self::Failed("unknown".to_owned()),
            },
        }
    }
}

fn fault_of(code: u32) -> Option<Fault> {
    aadsts::explain(code).map(|known| known.fault)
}

/// What a code means for the person in front of the page, as the table of codes has it; `None` where it says nothing that
/// helps them.
pub fn meaning(code: &str) -> Option<Hint> {
    let code = aadsts::code_in(code)?;
    Some(match (code, fault_of(code)?) {
        (650_051, _) => Hint::SettingUp,
        (90_038 | 900_382 | 900_432, _) => Hint::OtherCloud,
        (_, Fault::NoLicence) => Hint::NoLicence,
        (_, Fault::MultifactorNeeded) => Hint::SecondFactor,
        (_, Fault::AppDisabled) => Hint::AppDisabled,
        // A wrong password is the person's own.
        (50_126, _) => return None,
        (
            _,
            Fault::WrongSecret
            | Fault::SecretExpired
            | Fault::CertificateRejected
            | Fault::Misconfigured
            | Fault::AppUnknown
            | Fault::TenantUnknown,
        ) => Hint::OurSide,
        _ => return None,
    })
}

/// What a code of Microsoft's means for the person in front of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The tenant has no subscription for the API.
    NoLicence,
    /// Microsoft wants a second factor.
    SecondFactor,
    /// Microsoft has not finished with the app.
    SettingUp,
    /// The tenant is in another national cloud.
    OtherCloud,
    /// The app is switched off in the tenant.
    AppDisabled,
    /// The provider has to act.
    OurSide,
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
    fn a_code_says_who_can_do_what() {
        for (code, hint) in [
            ("AADSTS500014", Some(Hint::NoLicence)),
            ("AADSTS650052", Some(Hint::NoLicence)),
            ("AADSTS50078", Some(Hint::SecondFactor)),
            ("AADSTS650051", Some(Hint::SettingUp)),
            ("AADSTS90038", Some(Hint::OtherCloud)),
            ("AADSTS7000112", Some(Hint::AppDisabled)),
            ("AADSTS7000222", Some(Hint::OurSide)),
            ("AADSTS50011", Some(Hint::OurSide)),
            ("AADSTS50126", None),
            ("AADSTS90033", None),
            ("server_error", None),
        ] {
            assert_eq!(meaning(code), hint, "{code}");
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
            ("access_denied", "AADSTS530004: guests need a compliant device", Notice::Blocked),
            ("access_denied", "AADSTS53011: the account is blocked", Notice::Blocked),
            ("x", "AADSTS700016: unknown app", Notice::Failed("AADSTS700016".to_owned())),
            ("server_error", "", Notice::Failed("server_error".to_owned())),
            ("<b>evil</b>", "<script>", Notice::Failed("unknown".to_owned())),
        ] {
            assert_eq!(Notice::of(error, description), notice, "{error} {description}");
        }
    }
}
