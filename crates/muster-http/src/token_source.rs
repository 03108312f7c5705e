//! The door through which bearer tokens come to those who only know that they need one.

use std::time::Duration;

use muster_model::Secret;

/// Whoever has bearer tokens. A caller asks for one before each request and keeps none; remembering and renewing is the
/// source's work. What a 401 means is the caller's: it says [`TokenSource::refused`], asks for another token, and gives
/// up when that is refused too.
#[async_trait::async_trait]
pub trait TokenSource: std::fmt::Debug + Send + Sync {
    /// A token for `resource`, such as `https://monitor.azure.com`, that lives long enough for a request.
    async fn token(&self, resource: &str) -> Result<Secret<String>, NoToken>;

    /// The receiver refused `token` before its time: it is forgotten, unless another has taken its place already.
    async fn refused(&self, resource: &str, token: &Secret<String>);
}

/// Why there is no token now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NoToken {
    /// In words for the operator: why, and what to do.
    pub reason: String,
    /// How long the issuer asks to wait, if it does.
    pub retry_after: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Numbers its tokens and counts on when one is refused.
    #[derive(Debug, Default)]
    struct Numbered(Mutex<u32>);

    #[async_trait::async_trait]
    impl TokenSource for Numbered {
        async fn token(&self, resource: &str) -> Result<Secret<String>, NoToken> {
            Ok(Secret::new(format!("{resource} {}", self.0.lock().expect("a lock"))))
        }

        async fn refused(&self, resource: &str, token: &Secret<String>) {
            let mut number = self.0.lock().expect("a lock");
            if *token.expose() == format!("{resource} {number}") {
                *number += 1;
            }
        }
    }

    #[tokio::test]
    async fn a_refused_token_is_replaced_once() {
        let source: &dyn TokenSource = &Numbered::default();
        let first = source.token("api").await.expect("a token");
        assert_eq!(source.token("api").await.expect("the same").expose(), first.expose());
        source.refused("api", &first).await;
        source.refused("api", &first).await;
        assert_eq!(source.token("api").await.expect("another").expose(), "api 1");
    }
}
