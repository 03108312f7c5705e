//! Where a secret is: only in a vault of this cloud.

use std::fmt;

use muster_http::shown;
use url::Url;

use super::error::KeyVaultError;
use crate::Cloud;

const API_VERSION: &str = "7.4";

/// The address of a secret: `https://NAME.vault.azure.net/secrets/SECRET`, with or without a version behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultAddress {
    /// Up to and with `/secrets/`.
    pub(super) base: String,
    pub(super) name: String,
    version: Option<String>,
}

impl VaultAddress {
    /// Takes an address apart and checks that it lies in a vault of this cloud.
    ///
    /// # Errors
    /// When it does not, or is not the address of a secret.
    pub fn parse(address: &str, cloud: &Cloud) -> Result<Self, KeyVaultError> {
        let wrong = |why: &'static str| KeyVaultError::Address {
            address: shown(address),
            why,
            form: cloud.key_vault_form(),
        };
        let url = Url::parse(address).map_err(|_| wrong("it is not a URL"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("nothing belongs behind the secret's name and version"));
        }
        if !cloud.is_key_vault(&url) {
            return Err(wrong("it is not a Key Vault of this cloud, and a token is not sent elsewhere"));
        }
        let (vault, rest) = url.path().split_once("/secrets/").ok_or_else(|| wrong("it names no secret"))?;
        let (name, version) = match rest.trim_end_matches('/').split_once('/') {
            Some((name, version)) => (name, Some(version)),
            None => (rest.trim_end_matches('/'), None),
        };
        let plain = |text: &str, most: usize| {
            (1..=most).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !plain(name, 127) || version.is_some_and(|version| !plain(version, 32)) {
            return Err(wrong("a secret's name consists of letters, digits and hyphens"));
        }
        // Elsewhere than in a custom cloud the vault is the host's name, and nothing stands before `/secrets/`.
        let in_path = vault.strip_prefix("/vault/").is_some_and(|vault| plain(vault, 24));
        if !vault.is_empty() && !in_path {
            return Err(wrong("nothing belongs between the vault's host and `/secrets/`"));
        }
        let base = format!("{}{vault}/secrets/", url.origin().ascii_serialization());
        Ok(Self { base, name: name.to_owned(), version: version.map(str::to_owned) })
    }

    /// Whether it names one version, which never changes.
    #[must_use]
    pub fn is_one_version(&self) -> bool {
        self.version.is_some()
    }

    pub(super) fn url(&self) -> String {
        let version = self.version.iter().map(|version| format!("/{version}")).collect::<String>();
        format!("{}{}{version}?api-version={API_VERSION}", self.base, self.name)
    }
}

impl fmt::Display for VaultAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.base, self.name)?;
        self.version.iter().try_for_each(|version| write!(f, "/{version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NationalCloud;

    fn global() -> Cloud {
        Cloud::national(NationalCloud::Global)
    }

    #[test]
    fn only_a_secret_in_a_vault_is_one() {
        let secret = VaultAddress::parse("https://mssp.vault.azure.net/secrets/main-app/", &global());
        let secret = secret.expect("a secret");
        assert_eq!(secret.url(), "https://mssp.vault.azure.net/secrets/main-app?api-version=7.4");
        let one =
            VaultAddress::parse("https://mssp.vault.azure.net/secrets/main/0123456789abcdef", &global());
        assert!(one.expect("a version").is_one_version());
        for wrong in [
            "mssp",
            "https://mssp.vault.azure.net/keys/main",
            "https://mssp.vault.azure.net/secrets/",
            "https://mssp.vault.azure.net/secrets/a b",
            "https://mssp.vault.azure.net/secrets/a%2f..%2fb",
            "https://mssp.vault.azure.net/secrets/a/b/c",
            "https://mssp.vault.azure.net/secrets/a?x=1",
            "https://mssp.vault.azure.net.evil.example/secrets/a",
            "http://169.254.169.254/secrets/a",
        ] {
            assert!(VaultAddress::parse(wrong, &global()).is_err(), "{wrong}");
        }
        let custom = Cloud::custom("http://127.0.0.1:9800", "http://127.0.0.1:9800", None).expect("a cloud");
        let secret = VaultAddress::parse("http://127.0.0.1:9800/vault/mssp/secrets/main", &custom);
        let secret = secret.expect("a secret");
        assert_eq!(secret.url(), "http://127.0.0.1:9800/vault/mssp/secrets/main?api-version=7.4");
        assert!(VaultAddress::parse("http://127.0.0.1:9800/vault/../x/secrets/main", &custom).is_err());
    }
}
