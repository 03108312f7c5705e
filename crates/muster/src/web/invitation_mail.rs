//! The mail by which a customer's administrator is asked for consent, or reminded, as a message that any mail program sends.
//!
//! What is in it comes from lists that people keep: names are stripped of what turns or hides text, escaped in the part that is
//! HTML, and encoded in headers (RFC 2047), where they can begin no other (RFC 5322).

use jiff::Timestamp;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use minijinja::{AutoEscape, Environment, context};
use uuid::Uuid;

use super::language::{Language, Variable, Words};

const TEMPLATE: &str = "mail.html";

/// A mail that is to be written.
#[derive(Debug, Clone)]
pub(crate) struct InvitationMail<'a> {
    pub(crate) language: Language,
    /// Who asks, and whom the customer can ask.
    pub(crate) provider: &'a str,
    pub(crate) contact: &'a str,
    pub(crate) customer: &'a str,
    pub(crate) tenant_id: String,
    pub(crate) from: &'a Address,
    pub(crate) to: &'a Address,
    pub(crate) link: &'a str,
    pub(crate) expires_at: Timestamp,
    /// When they were invited, of a reminder.
    pub(crate) reminds_of: Option<Timestamp>,
    /// When it is written, and what it is known by.
    pub(crate) at: Timestamp,
    pub(crate) id: Uuid,
}

impl InvitationMail<'_> {
    /// The message as its bytes; in words why there is none.
    pub(crate) fn write(&self, words: &Words) -> Result<Vec<u8>, String> {
        let until = words.date_time(self.language, self.expires_at)?;
        let invited = self.reminds_of.map(|at| words.date_time(self.language, at)).transpose()?;
        let say = |key: &str| {
            let variables = [
                ("provider", self.provider),
                ("customer", self.customer),
                ("contact", self.contact),
                ("tenant", self.tenant_id.as_str()),
                ("until", until.as_str()),
                ("invited", invited.as_deref().unwrap_or_default()),
            ];
            let variables = variables.map(|(name, value)| (name, Variable::Text(value.into())));
            words.say(self.language, key, variables)
        };
        let (subject, lead) = match self.reminds_of {
            None => (say("mail-invite-subject")?, say("mail-invite-lead")?),
            Some(_) => (say("mail-remind-subject")?, say("mail-remind-lead")?),
        };
        let [greeting, who, button, until, tenant, doubt] =
            ["greeting", "who", "button", "until", "tenant", "doubt"].map(|key| say(&format!("mail-{key}")));
        let (greeting, who, until, tenant, doubt) = (greeting?, who?, until?, tenant?, doubt?);
        let link = self.link;
        let plain = [&greeting, &lead, &who, link, &until, &tenant, &doubt, self.provider].join("\n\n");
        let mut templates = Environment::new();
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates
            .add_template(TEMPLATE, include_str!("templates/mail.html"))
            .map_err(|error| error.to_string())?;
        let html = templates.get_template(TEMPLATE).and_then(|template| {
            template.render(context! {
                language => self.language.tag(), subject => subject.as_str(), greeting, lead, who, link, button => button.clone().unwrap_or_default(),
                until, tenant, doubt, provider => self.provider,
            })
        });
        let html = html.map_err(|error| error.to_string())?;
        button?;
        let part = |kind: ContentType, text: String| SinglePart::builder().header(kind).body(text);
        let both = MultiPart::alternative()
            .boundary(format!("part-{}", self.id.simple()))
            .singlepart(part(ContentType::TEXT_PLAIN, plain + "\n"))
            .singlepart(part(ContentType::TEXT_HTML, html));
        let domain = self.from.domain();
        let mut message = Message::builder()
            .from(Mailbox::new(Some(self.provider.to_owned()), self.from.clone()))
            .to(Mailbox::new(None, self.to.clone()))
            .subject(subject)
            .date(self.at.into())
            .message_id(Some(format!("<{}@{domain}>", self.id)))
            .multipart(both)
            .map_err(|error| error.to_string())?;
        for (name, value) in [
            ("Content-Language", self.language.tag()),
            // Outlook opens such a file as a mail that is ready to be sent.
            ("X-Unsent", "1"),
        ] {
            let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|error| error.to_string())?;
            message.headers_mut().insert_raw(HeaderValue::new(name, value.to_owned()));
        }
        Ok(message.formatted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(language: Language, customer: &str, reminds_of: Option<Timestamp>) -> String {
        let at = |text: &str| text.parse().expect("a time");
        let mail = InvitationMail {
            language,
            provider: "Nordlicht Sicherheit – \u{30b}& Co.",
            contact: "soc@mssp.example",
            customer,
            tenant_id: "00000000-0000-0000-0000-000000000002".to_owned(),
            from: &"soc@mssp.example".parse().expect("an address"),
            to: &"admin@contoso.example".parse().expect("an address"),
            link: "https://muster.mssp.example/onboard/abc.1.x?a=1&b=2",
            expires_at: at("2026-12-07T12:00:00Z"),
            reminds_of,
            at: at("2026-11-30T12:00:00Z"),
            id: Uuid::from_u128(7),
        };
        String::from_utf8(mail.write(&Words::load()).expect("a mail")).expect("ASCII")
    }

    #[test]
    fn a_mail_is_ascii_in_lines_that_every_server_takes() {
        for language in Language::ALL {
            for reminds_of in [None, Some("2026-11-01T00:00:00Z".parse().expect("a time"))] {
                let mail = mail(language, "Müller & Söhne <b>", reminds_of);
                assert!(mail.is_ascii(), "{mail}");
                assert!(
                    mail.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])),
                    "{mail}"
                );
                assert!(mail.contains(&format!("Content-Language: {language}\r\n")), "{mail}");
                assert!(mail.contains("Date: Mon, 30 Nov 2026 12:00:00 +0000\r\n"), "{mail}");
            }
        }
    }

    #[test]
    fn no_name_begins_a_header() {
        let mail = mail(Language::English, "Contoso\r\nBcc: evil@evil.example\r\n\r\n<script>", None);
        let (head, _) = mail.split_once("\r\n\r\n").expect("a head");
        assert!(!head.contains("\r\nBcc"), "{head}");
        // In plain text it is a word like any other.
        let (_, html) = mail.split_once("Content-Type: text/html").expect("a part for browsers");
        assert!(!html.contains("<script>"), "{mail}");
    }
}
