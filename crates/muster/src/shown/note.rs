//! Lines for a person that are not the result of a command. A terminal or pipe that is closed is no reason to fail, and
//! even less to panic, which `println!` and `eprintln!` would do.

use std::fmt::Arguments;
use std::io::Write;

/// Writes a line to standard error; where that is closed there is nobody to tell.
macro_rules! note {
    ($($words:tt)*) => { $crate::shown::note::to_stderr(format_args!($($words)*)) };
}

/// Writes a line to standard output, and gives the error of that back.
macro_rules! said {
    ($($words:tt)*) => { $crate::shown::note::to_stdout(format_args!($($words)*)) };
}

pub(crate) use {note, said};

#[doc(hidden)]
pub(crate) fn to_stderr(words: Arguments<'_>) {
    writeln!(std::io::stderr().lock(), "{words}").ok();
}

#[doc(hidden)]
pub(crate) fn to_stdout(words: Arguments<'_>) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{words}")
}
