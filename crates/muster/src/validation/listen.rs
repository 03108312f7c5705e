//! The addresses that health and metrics, customers' pages and the pull API are served at, and their certificates.

use std::io::ErrorKind;
use std::net::TcpListener;

use super::at_start::AtStart;
use super::subject::Subject;
use crate::config::{Mistake, listen_trouble};
use crate::web::listener::CertificateFiles;
use crate::web::listener::certificate::{self, CertificateError};
use crate::web::public::{certificate_files, pull_certificate_files};

/// Addresses in use, or not of this machine.
pub(super) fn listen(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    let server = subject.settings.server.listen.map(|address| ("server", address));
    let pages = subject.settings.onboarding.as_ref().map(|onboarding| ("onboarding", onboarding.listen));
    let pull_api = subject.settings.pull_api.as_ref().map(|pull_api| ("pull_api", pull_api.listen));
    for (section, address) in server.into_iter().chain(pages).chain(pull_api) {
        let Err(error) = TcpListener::bind(address) else { continue };
        let message = listen_trouble(section, address, &error);
        if error.kind() == ErrorKind::AddrInUse && subject.is_running() {
            match AtStart::running_listens_at(subject, section) {
                // Who listens there is the one that is at work.
                Some(listens) if listens == address.to_string() => continue,
                Some(_) => {}
                None => {
                    let message =
                        format!("{message}; if that is the `muster run` that is at work, all is well");
                    mistakes.push(subject.advice(section, "listen", &message));
                    continue;
                }
            }
        }
        mistakes.push(subject.settings.mistake(section, "listen", &message));
    }
}

/// Without a certificate that can be used, the pages or the pull API are down, and nothing else is.
pub(super) fn certificate(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    certificate_of("onboarding", certificate_files(subject.settings), subject, mistakes);
    certificate_of("pull_api", pull_certificate_files(subject.settings), subject, mistakes);
}

fn certificate_of(
    section: &str,
    files: Option<CertificateFiles>,
    subject: &Subject<'_>,
    mistakes: &mut Vec<Mistake>,
) {
    let Some(files) = files else { return };
    let Err(error) = certificate::check(&files) else { return };
    let key = match &error {
        CertificateError::Open { .. } | CertificateError::NoKey { .. } | CertificateError::Apart { .. } => {
            "key_file"
        }
        CertificateError::Unreadable { path, .. } | CertificateError::TooLarge(path)
            if *path == files.key =>
        {
            "key_file"
        }
        _ => "certificate_file",
    };
    mistakes.push(subject.down(section, key, &error.to_string()));
}
