//! Words for people, on standard error.
//!
//! Owns: that nobody has to read them. `eprintln!` panics when whoever read has closed the pipe, as
//! `head` does once it has enough; what is said aside is said or lost. Called where no result is.

use std::fmt::Display;
use std::io::{self, Write};

/// Says a line; gives why nobody can have heard it, for whoever wants to know.
///
/// # Errors
/// Standard error's, such as `BrokenPipe`.
pub fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stderr(), "{text}")
}

/// Says a line, heard or not.
pub fn say(text: impl Display) {
    let _ = line(text);
}
