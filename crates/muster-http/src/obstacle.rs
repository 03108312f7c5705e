//! What stands in the way of a connection, told as what it is: libraries say "received corrupt message" where a port
//! does not speak TLS.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{CertificateError, InvalidMessage};

use crate::causes::with_causes;

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The name has no address.
    NoName,
    /// Nobody listens at the port.
    Refused,
    /// No network leads there.
    Unreachable,
    /// TLS was spoken to a port that does not.
    NoTls,
    /// A port that speaks TLS was spoken to without.
    WantsTls,
    /// Nobody who is trusted vouches for the certificate.
    UnknownIssuer,
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not come.
    NotYetValid,
    /// The certificate is another host's.
    WrongName,
    /// This proxy cannot be reached.
    ProxyDown(String),
    /// This proxy wants a user and a password, or others.
    ProxyWantsLogin(String),
    /// This proxy does not let anybody through to the host.
    ProxyRefuses(String),
}

impl Obstacle {
    /// What kept a connection from being made. `proxy`: the host and port of the proxy on the way.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static), proxy: Option<&str>) -> Option<Self> {
        let causes = with_causes(error);
        if let Some(proxy) = proxy {
            if causes.contains("proxy authorization required") {
                return Some(Self::ProxyWantsLogin(proxy.to_owned()));
            }
            if causes.contains("tunnel error: unsuccessful") {
                return Some(Self::ProxyRefuses(proxy.to_owned()));
            }
        }
        let found = chain(error).find_map(of_one).or_else(|| of_words(&causes))?;
        Some(match (found, proxy) {
            // Behind a proxy, nothing else is connected to.
            (Self::NoName | Self::Refused | Self::Unreachable, Some(proxy)) => {
                Self::ProxyDown(proxy.to_owned())
            }
            (found, _) => found,
        })
    }

    /// What a receiver that was spoken to without TLS says before it closes the connection, if it wants TLS: an alert of
    /// TLS (RFC 8446 section 5.1).
    #[must_use]
    pub fn is_tls_alert(heard: &[u8]) -> bool {
        matches!(heard, [0x15, 0x03, ..])
    }

    /// What to do about it.
    #[must_use]
    pub fn cure(&self) -> &'static str {
        match self {
            Self::NoName => "check the host's name for a misspelling, and DNS with `getent hosts NAME`",
            Self::Refused => "check that it runs and listens on this port, and the port itself",
            Self::Unreachable => "check the network, its routes and the firewall",
            Self::NoTls => "name the port that speaks TLS, or write the address without TLS",
            Self::WantsTls => "write the address with TLS (such as https://), or name a port without",
            Self::UnknownIssuer => {
                "name the CA that issued it in `ca_file`, or have the host send its intermediate certificates"
            }
            Self::Expired => "renew the host's certificate; if it is valid still, set this machine's clock",
            Self::NotYetValid => "set this machine's clock; if it is right, look at the host's certificate",
            Self::WrongName => {
                "write the address with a name that the certificate has, or have the host get one for this name"
            }
            Self::ProxyDown(_) => {
                "check `proxy` in [network] or the variable HTTPS_PROXY, and that the proxy runs"
            }
            Self::ProxyWantsLogin(_) => {
                "write user and password into the proxy's address, in `proxy` of [network] or HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT"
            }
            Self::ProxyRefuses(_) => {
                "have the proxy let this host through, or name it in `no_proxy` of [network]"
            }
        }
    }

    /// What happened, what the system said, and what to do.
    #[must_use]
    pub fn told(&self, said: &str) -> String {
        match said.is_empty() {
            true => format!("{self}: {}", self.cure()),
            false => format!("{self} ({said}): {}", self.cure()),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("its name is not known to DNS"),
            Self::Refused => f.write_str("it refuses the connection: nobody listens there"),
            Self::Unreachable => f.write_str("no network leads there"),
            Self::NoTls => f.write_str("its port does not speak TLS"),
            Self::WantsTls => f.write_str("it does not answer in the clear: its port speaks TLS"),
            Self::UnknownIssuer => f.write_str("its certificate comes from a CA that is not trusted"),
            Self::Expired => f.write_str("its certificate has expired"),
            Self::NotYetValid => f.write_str("its certificate is not valid yet"),
            Self::WrongName => f.write_str("its certificate is for another name"),
            Self::ProxyDown(proxy) => write!(f, "the proxy {proxy} cannot be reached"),
            Self::ProxyWantsLogin(proxy) => {
                write!(f, "the proxy {proxy} wants a user and password, or does not take those it was given")
            }
            Self::ProxyRefuses(proxy) => write!(f, "the proxy {proxy} does not let it through"),
        }
    }
}

/// An error and its causes. An I/O error hides the one that it was made of from its `source`.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| below(*error))
}

fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn of_one(error: &(dyn Error + 'static)) -> Option<Obstacle> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return of_tls(error);
    }
    match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some(Obstacle::Refused),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Some(Obstacle::Unreachable),
        _ => None,
    }
}

fn of_tls(error: &rustls::Error) -> Option<Obstacle> {
    match error {
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Some(Obstacle::NoTls),
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Some(Obstacle::Expired),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Some(Obstacle::NotYetValid)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Some(Obstacle::WrongName)
            }
            CertificateError::UnknownIssuer => Some(Obstacle::UnknownIssuer),
            _ => None,
        },
        _ => None,
    }
}

/// What libraries say in words only.
fn of_words(causes: &str) -> Option<Obstacle> {
    if causes.contains("failed to lookup address information") || causes.contains("dns error") {
        return Some(Obstacle::NoName);
    }
    // How hyper tells that the first byte of an answer is none of HTTP's.
    causes.contains("invalid HTTP version parsed").then_some(Obstacle::WantsTls)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn an_error_is_found_below_others() {
        let of = |error: io::Error| Obstacle::of(&error, None);
        let tls = |error: rustls::Error| of(io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(tls(InvalidMessage::InvalidContentType.into()), Some(Obstacle::NoTls));
        assert_eq!(tls(CertificateError::UnknownIssuer.into()), Some(Obstacle::UnknownIssuer));
        assert_eq!(tls(CertificateError::BadSignature.into()), None);
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(of(io::Error::other(refused())), Some(Obstacle::Refused));
        assert_eq!(
            Obstacle::of(&refused(), Some("proxy.example:3128")),
            Some(Obstacle::ProxyDown("proxy.example:3128".to_owned()))
        );
        // What is not known is told as the system tells it.
        assert_eq!(of(io::Error::other("something")), None);
    }

    /// Listens, and answers whatever is said with `answer`.
    async fn listener(answer: &'static [u8]) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        let _served = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut heard = [0; 1024];
                if stream.read(&mut heard).await.unwrap_or(0) > 0 {
                    stream.write_all(answer).await.ok();
                }
            }
        });
        address
    }

    /// What is said of a call; by way of a proxy where there is one.
    async fn said(url: &str, proxy: Option<&str>) -> String {
        let proxy = proxy.map(|url| crate::Proxy { url: url.parse().expect("a URL"), no_proxy: None });
        let ca = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let extra_roots_pem = Some(ca.cert.pem().into_bytes());
        let options = crate::ClientOptions { proxy, extra_roots_pem, ..crate::ClientOptions::default() };
        let client = crate::Client::new(&options).expect("a client");
        client.send(client.get(url, None)).await.expect_err("no answer").to_string()
    }

    /// The libraries' own words, as they come from the network: when they change, this notices.
    #[tokio::test]
    async fn what_is_met_on_the_network_is_told_as_what_it_is() {
        let (plain, tls) =
            (listener(b"HTTP/1.1 200 OK\r\n\r\n").await, listener(b"\x15\x03\x03\0\x02\x02\x32").await);
        let wants_login =
            listener(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
        let refuses = listener(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
        let nobody = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address")
        };
        let at = |scheme: &str, to: std::net::SocketAddr| format!("{scheme}://{to}/");
        for (url, proxy, wanted) in [
            (at("https", plain), None, "its port does not speak TLS"),
            (at("http", tls), None, "its port speaks TLS"),
            (at("https", nobody), None, "it refuses the connection"),
            ("https://nobody.invalid/".to_owned(), None, "its name is not known to DNS"),
            ("https://a.example/".to_owned(), Some(nobody), "check `proxy` in [network]"),
            ("http://a.example/".to_owned(), Some(nobody), "check `proxy` in [network]"),
            ("https://a.example/".to_owned(), Some(wants_login), "wants a user and password"),
            ("http://a.example/".to_owned(), Some(wants_login), "wants a user and password"),
            ("https://a.example/".to_owned(), Some(refuses), "does not let it through"),
        ] {
            let proxy = proxy.map(|proxy| format!("http://me:hunter2@{proxy}"));
            let said = said(&url, proxy.as_deref()).await;
            assert!(said.contains(wanted), "{url} {proxy:?}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn every_obstacle_is_told_with_its_cure() {
        let told = Obstacle::NoTls.told("received corrupt message");
        assert_eq!(
            told,
            "its port does not speak TLS (received corrupt message): name the port that speaks TLS, or write the address without TLS"
        );
    }
}
