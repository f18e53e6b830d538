//! Loses what was not synced: after a kill, a directory is rolled back to what a power cut might
//! have left.
//!
//! A killed process loses nothing that it wrote, since the page cache outlives it; so kills alone
//! never catch a missing `fsync`. Here the process runs under a preloaded library (the package
//! `unsynced-preload`), which writes to a journal, before each change of a file below a chosen
//! directory, what the change replaces. After the kill [`undo()`] takes back what no sync covers,
//! or a seeded part of it. The idea is that of ALICE and of LazyFS (Pillai et al., OSDI 2014; Ramos
//! et al., VLDB 2023), without a file system of its own and without root.
//!
//! Owns: the rules of what is durable, the journal, the undoing. Never does: stand in for libc,
//! which the preloaded library does by these rules. Called by that library and by the harness:
//!
//! ```no_run
//! # use std::{path::Path, process::Command};
//! let (dir, journal) = (Path::new("node/data"), Path::new("node/unsynced.journal"));
//! let library = unsynced::library()?;
//! let mut node = Command::new("flashnode")
//!     .envs(unsynced::environment(&library, dir, journal))
//!     .spawn()?;
//! node.kill()?;
//! node.wait()?;
//! println!("{}", unsynced::undo(journal, unsynced::Loss::Subset, 7)?);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What it does not see: changes that bypass libc's functions (raw system calls, io_uring, stdio's
//! `FILE`, writes through a mapping, which are refused), modes, owners, times and attributes of
//! files, and files that were changed before the library was loaded.
//!
//! | module | what it owns |
//! |---|---|
//! | `record` | what the journal says |
//! | `journal` | its file |
//! | [`tracker`] | what is durable, and what must be journaled |
//! | `undo` | what is lost, and the losing |
//! | `waiting` | whether there is anything to lose |
//! | `library` | where the preloaded library is |

mod journal;
mod library;
mod record;
pub mod tracker;
mod undo;
mod waiting;

pub use library::{DIR, JOURNAL, environment, library};
pub use undo::{Loss, SECTOR_BYTES, Undone, undo};
pub use waiting::waiting;
