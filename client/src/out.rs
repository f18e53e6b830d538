//! What goes to the terminal: colours where they are wanted, JSON where it was asked for.
//!
//! Owns: when to colour (a terminal, and no `NO_COLOR`), and how failures are printed. Called by
//! `main` and `cmd`.

use crate::cmd::Failure;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use tokio::sync::oneshot;

/// Colours, or the lack of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Self { on: io::stdout().is_terminal() && wanted() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.code("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.code("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.code("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.code("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.code("33", text)
    }

    fn code(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether the environment lets colours be: <https://no-color.org>, any non-empty value means none.
pub(crate) fn wanted() -> bool {
    let unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
    unset("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A text by others, as it can be printed: what would steer the terminal, or turn the text around
/// it, is written as its number. A node refuses such names, and may hold older ones.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if stock::is_control(char) {
            shown.extend(char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// Prints text; a reader that has gone away (`| head`) is no error.
pub(crate) fn text(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints a line of an endless output. False when its reader has gone away.
pub(crate) fn line(line: &str) -> bool {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_ok()
}

/// Waits until nobody can read any more of what is printed: a pipe's reader has gone. Never returns
/// where that cannot be, as with a file.
pub(crate) async fn unread() {
    let (gone, wait) = oneshot::channel();
    // A thread of its own: the runtime would wait for the end of a blocking task.
    std::thread::spawn(move || {
        let stdout = io::stdout();
        // Nothing is asked for, so only what is always told ends it: an error or a hangup.
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        while let Err(Errno::INTR) = poll(&mut polled, None) {}
        // Whoever waited may have gone on to end.
        let _ = gone.send(());
    });
    if wait.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Prints one JSON document.
pub(crate) fn json<T: Serialize>(value: &T) {
    let document = serde_json::to_string_pretty(value);
    let document =
        document.unwrap_or_else(|error| unreachable!("our own types are always JSON: {error}"));
    text(&format!("{document}\n"));
}

/// Prints why a command failed: to standard error, or as the JSON answer.
pub(crate) fn failure(failure: &Failure, as_json: bool) {
    if as_json {
        json(&serde_json::json!({
            "error": failure.to_string(),
            "exit": failure.exit() as u8,
            "problem": failure.problem(),
        }));
    } else {
        eprintln!("flashctl: {failure}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_as_its_number() {
        for (text, printed) in [
            ("Tee, \"red\" für Zoë", "Tee, \"red\" für Zoë"),
            ("a\u{202e}b\u{2066}c\u{2069}", "a\\u{202e}b\\u{2066}c\\u{2069}"),
            ("\u{200e}\u{200f}\u{61c}", "\\u{200e}\\u{200f}\\u{61c}"),
            ("\u{1b}[31m\n\u{9b}", "\\u{1b}[31m\\u{a}\\u{9b}"),
        ] {
            assert_eq!(shown(text), printed);
        }
    }
}
