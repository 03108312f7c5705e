//! Who did something, for the audit log.

/// The person or program that acts: the user of the operating system, and how Muster was called.
pub fn actor() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(crate::config::environment);
    let uid = rustix::process::getuid().as_raw();
    match user {
        Some(user) => {
            let user = muster_model::text::shown(&user, 64);
            format!("{user} (uid {uid})")
        }
        None => format!("uid {uid}"),
    }
}
