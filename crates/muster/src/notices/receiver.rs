//! A receiver of notices, ready to be sent to.

use lettre::message::Mailbox;
use muster_model::{Secret, SecretReference};
use muster_siem::sinks::{HeaderSource, Hook, HookUrl, Surroundings};
use uuid::Uuid;

use super::mail;
use super::message::Notice;
use super::smtp::Smtp;
use super::templates;
use super::trouble::{About, Trouble};
use crate::config::{NoticeSettings, NoticeWay, TemplateName};

/// A receiver.
#[derive(Debug)]
pub enum Receiver {
    Mail { smtp: Smtp, from: Mailbox, to: Vec<Mailbox> },
    Hook { hook: Box<Hook>, url: HookUrl, template: TemplateName, secret: Secret<String> },
}

impl Receiver {
    /// Makes it; nothing is connected yet, and secrets are read.
    ///
    /// # Errors
    /// What of the settings cannot work, in words for the operator.
    pub fn build(settings: &NoticeSettings, around: &Surroundings<'_>) -> Result<Self, String> {
        let secret = |place: &SecretReference| (around.secret)(place).map_err(|no_secret| no_secret.reason);
        match &settings.way {
            NoticeWay::Mail(mail) => {
                let password = mail.password.as_ref().map(secret).transpose()?;
                let ca_file = mail.ca_file.as_ref().map(|file| around.folder.join(file));
                let smtp = Smtp::new(mail, password, ca_file.as_deref())?;
                Ok(Self::Mail { smtp, from: mail.from.clone(), to: mail.to.clone() })
            }
            NoticeWay::Webhook(hook) => {
                let url = match &hook.url {
                    HeaderSource::Text(text) => HookUrl::parse(text),
                    HeaderSource::Secret(place) => {
                        let text = secret(place)?;
                        HookUrl::parse(text.expose()).map_err(|why| format!("the url in {place}: {why}"))
                    }
                }?;
                let key = hook.routing_key.as_ref().map(secret).transpose()?;
                let of = hook.hook(url.clone());
                if let Some(mistake) = of.mistakes().into_iter().next() {
                    return Err(mistake);
                }
                let made = Hook::build(&of, around, 2)?;
                let secret = key.unwrap_or_else(|| Secret::new(String::new()));
                Ok(Self::Hook { hook: Box::new(made), url, template: hook.template, secret })
            }
        }
    }

    /// Where it is, where that may be a secret; never to be shown.
    pub(super) fn address(&self) -> Option<String> {
        match self {
            Self::Mail { .. } => None,
            Self::Hook { url, .. } => Some(url.expose().to_string()),
        }
    }

    /// Whether many notices may come as one.
    #[must_use]
    pub fn is_for_people(&self) -> bool {
        match self {
            Self::Mail { .. } => true,
            Self::Hook { template, .. } => template.is_for_people(),
        }
    }

    /// Sends; what the receiver answered. `id` is the same however often the message is sent.
    ///
    /// # Errors
    /// Why it did not take it.
    pub async fn send(&self, notices: &[Notice], target: &str, id: Uuid) -> Result<String, Trouble> {
        match self {
            Self::Mail { smtp, from, to } => {
                let Some(to) = to.iter().find(|to| to.email.to_string() == target) else {
                    let reason = format!("{target} is not among the recipients of the settings any more");
                    return Err(Trouble::of_the_message(reason));
                };
                let mail = mail::compose(notices, from, to, id).map_err(Trouble::of_the_message)?;
                smtp.send(&mail).await
            }
            Self::Hook { hook, url, template, secret } => {
                let posted = templates::write(*template, notices, url.expose(), secret.expose());
                let sent = hook
                    .post(
                        posted.to.as_ref(),
                        &format!("msg_{}", id.simple()),
                        "application/json",
                        posted.body.into(),
                    )
                    .await;
                // The sink, which posts by the same way, is what it is about elsewhere.
                let response =
                    sent.map_err(|reason| Trouble::of_the_way(reason.replace("the sink's", "its")))?;
                let said = hook.words(&response);
                let wait = Hook::asked_wait(&response);
                let trouble = |reason: String, what| Err(Trouble { reason, what });
                match response.status {
                    200..=299 => Ok(said),
                    410 => trouble(
                        format!(
                            "the receiver wants no more ({said}): nothing is sent to it until its section in the settings changes; \
                             what waits for it stays"
                        ),
                        About::Gone,
                    ),
                    400 | 413 | 422 => trouble(format!("the receiver refuses it ({said})"), About::Message),
                    401 | 403 => trouble(
                        format!(
                            "the receiver does not let it in ({said}): check url, headers and signing_secrets, and the clock of this machine"
                        ),
                        About::Way(wait),
                    ),
                    404 | 405 => trouble(
                        format!("there is no receiver at this address ({said}): check its url"),
                        About::Way(wait),
                    ),
                    _ => trouble(
                        format!("the receiver is busy or down ({said}); tried again later, by itself"),
                        About::Way(wait),
                    ),
                }
            }
        }
    }

    /// Tries the way there without sending anything, and says in a sentence what was found.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn look(&self) -> Result<String, String> {
        match self {
            Self::Mail { smtp, .. } => smtp.look().await.map_err(|trouble| trouble.reason),
            Self::Hook { hook, url, .. } => {
                let response = hook.look().await?;
                let said = hook.words(&response);
                match response.status {
                    410 | 502..=504 => Err(format!("{} does not take anything ({said})", url.origin())),
                    status => Ok(format!(
                        "{} answers (HTTP {status} to HEAD); whether it takes notices, `muster notice test` shows",
                        url.origin()
                    )),
                }
            }
        }
    }
}
