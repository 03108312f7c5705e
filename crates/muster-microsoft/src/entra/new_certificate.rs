//! Makes a self-signed certificate with an RSA key, by which an app can prove itself.
//!
//! Nobody has to sign it: the identity platform only compares it with the one that was put into the app registration.

use std::time::Duration;

use jiff::Timestamp;
use muster_model::Secret;
use rsa::pkcs8::EncodePrivateKey;
use zeroize::{Zeroize, Zeroizing};

/// Bits of the key: what Microsoft documents for certificates of apps.
const KEY_BITS: usize = 2048;
/// It works from a little before it was made on, since clocks differ.
const BEFORE_SECONDS: i64 = 300;

/// Why no certificate could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no certificate could be made: {0}")]
pub struct NewCertificateError(String);

/// A certificate for `common_name` that is valid from `now` until `not_after`, with its new private key: PEM, the key
/// first. Takes about a second of computing; call it where that disturbs nobody.
///
/// # Errors
/// When `not_after` is not after `now`.
pub fn self_signed(
    common_name: &str,
    now: Timestamp,
    not_after: Timestamp,
) -> Result<Secret<Vec<u8>>, NewCertificateError> {
    let wrong = |error: &dyn std::fmt::Display| NewCertificateError(error.to_string());
    if not_after <= now {
        return Err(NewCertificateError("its end lies in the past".to_owned()));
    }
    // The key wipes itself, and so does its encoding.
    let private =
        rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, KEY_BITS).map_err(|error| wrong(&error))?;
    let encoded = private.to_pkcs8_der().map_err(|error| wrong(&error))?;
    let mut pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
        &rustls::pki_types::PrivatePkcs8KeyDer::from(encoded.as_bytes()),
        &rcgen::PKCS_RSA_SHA256,
    )
    .map_err(|error| wrong(&error))?;
    let mut params = rcgen::CertificateParams::new(Vec::new()).map_err(|error| wrong(&error))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // Both lie before the year 10000, as every `Timestamp` does.
    let since_epoch = |second: i64| Duration::from_secs(u64::try_from(second).unwrap_or_default());
    params.not_before = epoch + since_epoch(now.as_second() - BEFORE_SECONDS);
    params.not_after = epoch + since_epoch(not_after.as_second());
    let certificate = params.self_signed(&pair).map_err(|error| wrong(&error));
    let key = Zeroizing::new(pair.serialize_pem());
    pair.zeroize();
    let pem = [key.as_bytes(), certificate?.pem().as_bytes()].concat();
    Ok(Secret::new(pem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_a_certificate_with_its_key() {
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().expect("a time");
        let end: Timestamp = "2027-11-21T08:00:00Z".parse().expect("a time");
        let pem = self_signed("Muster main", now, end).expect("a certificate");
        let text = std::str::from_utf8(pem.expose()).expect("PEM");
        assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(text.matches("-----BEGIN CERTIFICATE-----").count(), 1);
        assert!(self_signed("Muster main", end, now).is_err());
        let other = self_signed("Muster main", now, end).expect("a certificate");
        assert_ne!(pem.expose(), other.expose());
    }
}
