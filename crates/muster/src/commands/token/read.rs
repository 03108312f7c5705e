//! A token, given to a command.

use std::io::{self, Read};

use muster_model::Secret;

use crate::exit_code::{Exit, Failed};
use crate::read_file;

/// A token longer than this is none.
const TOKEN_BYTES_MAX: u64 = 1 << 20;

/// From the command line, a file, or standard input.
pub(super) fn read_token(token: Option<&str>) -> Result<Secret<String>, Failed> {
    let text = match token {
        Some("-") | None => {
            let mut text = String::new();
            let read = io::stdin().lock().take(TOKEN_BYTES_MAX).read_to_string(&mut text);
            read.map_err(|error| Failed::unreadable(std::path::Path::new("standard input"), &error))?;
            Secret::new(text)
        }
        Some(path) if path.starts_with('@') => {
            let path = std::path::Path::new(&path[1..]);
            let text = read_file::text(path, TOKEN_BYTES_MAX);
            Secret::new(text.map_err(|error| Failed::unreadable(path, &error))?)
        }
        Some(token) => Secret::from(token),
    };
    let text = text.expose().trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    if text.is_empty() {
        return Err(Failed::say(Exit::Usage, "there is no token: give it by standard input, or @FILE"));
    }
    Ok(Secret::from(text))
}
