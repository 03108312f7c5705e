//! A notice as a mail: plain text and HTML. No word of a stranger becomes a header, a tag or a link.

use std::time::SystemTime;

use lettre::Message;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use uuid::Uuid;

use super::conditions::Urgency;
use super::escape::{defanged, html};
use super::message::{Event, Notice};
use super::templates::parts::{SAID_MAX, headline, more};

/// A subject of more is cut by those who show it.
const SUBJECT_MAX: usize = 150;

/// `Auto-Submitted` (RFC 3834): nobody's absence notice answers it.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// The mail that tells one recipient of these notices. `id` makes it the same mail however often it is sent.
///
/// # Errors
/// When no mail can be made of it, in words.
pub fn compose(notices: &[Notice], from: &Mailbox, to: &Mailbox, id: Uuid) -> Result<Message, String> {
    let Some(first) = notices.first() else { return Err("there is nothing to tell".to_owned()) };
    let domain = from.email.domain();
    let mut mail = Message::builder()
        .from(from.clone())
        .to(to.clone())
        .subject(subject(notices))
        .date(SystemTime::from(first.at))
        .message_id(Some(format!("<{id}@{domain}>")))
        .header(AutoSubmitted);
    // What is told of one thing is one conversation.
    if notices.len() == 1 {
        let thread = format!("<{}@{domain}>", first.dedup_key());
        mail = mail.references(thread.clone()).in_reply_to(thread);
    }
    let parts = MultiPart::alternative()
        .boundary(format!("muster-{}", id.simple()))
        .singlepart(SinglePart::plain(plain(notices)))
        .singlepart(SinglePart::html(as_html(notices)));
    mail.multipart(parts).map_err(|error| error.to_string())
}

fn subject(notices: &[Notice]) -> String {
    let text = match notices {
        [one] => {
            let mark = match (one.event, one.level) {
                (Event::Ended, _) => "[over] ",
                (Event::Test | Event::Untold, _) => "",
                (Event::Alert, _) => "[alert] ",
                (_, Urgency::Critical) => "[critical] ",
                (_, Urgency::Warning) => "[warning] ",
            };
            format!("Muster: {mark}{}", one.title)
        }
        several => headline(several),
    };
    // A line of its own, whatever somebody wrote.
    super::escape::cut(&muster_model::text::shown(&defanged(&text), 1_000), SUBJECT_MAX)
}

fn plain(notices: &[Notice]) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    if notices.len() > 1 {
        line(&headline(notices));
        line("");
    }
    for notice in notices.iter().take(SAID_MAX) {
        line(&defanged(&notice.title));
        if !notice.what.is_empty() {
            line(&defanged(&notice.what));
        }
        for (label, value) in &notice.facts {
            line(&format!("  {label}: {}", defanged(value)));
        }
        if let (Some(since), None) = (notice.since, notice.lasted_seconds) {
            line(&format!("  Since: {since:.0}"));
        }
        if !notice.remedy.is_empty() {
            line(&format!("What to do: {}", notice.remedy));
        }
        if let Some(link) = &notice.link {
            line(&format!("Open in Defender: {link}"));
        }
        line("");
    }
    if let Some(more) = more(notices) {
        line(&more);
    }
    text
}

fn as_html(notices: &[Notice]) -> String {
    let safe = |text: &str| html(&defanged(text));
    let mut body = String::new();
    if notices.len() > 1 {
        body.push_str(&format!("<p><strong>{}</strong></p>\n", safe(&headline(notices))));
    }
    for notice in notices.iter().take(SAID_MAX) {
        let colour = match (notice.event, notice.level) {
            (Event::Ended, _) => "#0b6a0b",
            (Event::Test | Event::Untold, _) => "#333333",
            (_, Urgency::Critical) => "#a4262c",
            (_, Urgency::Warning) => "#8a5a00",
        };
        body.push_str(&format!("<h3 style=\"color:{colour}\">{}</h3>\n", safe(&notice.title)));
        if !notice.what.is_empty() {
            body.push_str(&format!("<p>{}</p>\n", safe(&notice.what)));
        }
        let mut rows: Vec<(String, String)> =
            notice.facts.iter().map(|(label, value)| (safe(label), safe(value))).collect();
        if let (Some(since), None) = (notice.since, notice.lasted_seconds) {
            rows.push(("Since".to_owned(), format!("{since:.0}")));
        }
        if !rows.is_empty() {
            body.push_str("<table>\n");
            for (label, value) in rows {
                body.push_str(&format!(
                    "<tr><td style=\"padding-right:1em\">{label}</td><td>{value}</td></tr>\n"
                ));
            }
            body.push_str("</table>\n");
        }
        if !notice.remedy.is_empty() {
            body.push_str(&format!("<p><strong>What to do:</strong> {}</p>\n", html(&notice.remedy)));
        }
        if let Some(link) = &notice.link {
            body.push_str(&format!("<p><a href=\"{}\">Open in Defender</a></p>\n", html(link)));
        }
    }
    if let Some(more) = more(notices) {
        body.push_str(&format!("<p>{}</p>\n", safe(&more)));
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><body style=\"font-family:sans-serif\">\n{body}</body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile() -> Notice {
        Notice {
            event: Event::Alert,
            title: muster_model::text::shown(
                "Contoso: x\r\nBcc: evil@example.com\r\n\r\n<script>alert(1)</script> https://evil.example ünï",
                300,
            ),
            what: "<img src=x onerror=alert(1)>".to_owned(),
            facts: vec![("Device".to_owned(), "\"><a href='http://evil.example'>".to_owned())],
            link: Some("https://security.microsoft.com/alerts/x?tid=1&y=2".to_owned()),
            ..Notice::test("ops", jiff::Timestamp::UNIX_EPOCH)
        }
    }

    fn composed(notices: &[Notice]) -> String {
        let (from, to) = ("Muster <muster@northwind.example>", "soc@northwind.example");
        let mail = compose(
            notices,
            &from.parse().expect("an address"),
            &to.parse().expect("an address"),
            Uuid::nil(),
        );
        String::from_utf8(mail.expect("a mail").formatted()).expect("ASCII")
    }

    #[test]
    fn no_title_becomes_a_header_a_tag_or_a_link() {
        let mail = composed(&[hostile()]);
        assert!(mail.is_ascii());
        let (head, _) = mail.split_once("\r\n\r\n").expect("a head");
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .filter_map(|line| line.split(':').next())
            .collect();
        let own = [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "References",
            "In-Reply-To",
            "MIME-Version",
            "Content-Type",
        ];
        assert!(names.iter().all(|name| own.contains(name)), "{names:?}");
        let html = as_html(&[hostile()]);
        assert!(
            !html.contains("<script") && !html.contains("<img") && !html.contains("evil.example'"),
            "{html}"
        );
        assert_eq!(html.matches("href=").count(), 2, "one of them as text: {html}");
        assert!(html.contains("href=\"https://security.microsoft.com/alerts/x?tid=1&amp;y=2\""));
        assert!(!plain(&[hostile()]).contains("://evil"));
    }

    #[test]
    fn many_are_one_mail_with_a_number() {
        let many: Vec<Notice> = (0..100).map(|_| hostile()).collect();
        let text = plain(&many);
        assert!(text.starts_with("Muster: 100 alerts") && text.contains("and 70 more"), "{text}");
        assert!(composed(&many).contains("Subject: Muster: 100 alerts"));
    }
}
