//! Stands in for libc's functions that change files, so that what was not synced can be lost.
//!
//! Owns: the functions, and which descriptors lead below the chosen directory. Never does: decide
//! what is durable; `unsynced::tracker` does. Loaded into a program by `LD_PRELOAD`; does nothing
//! unless `UNSYNCED_DIR` and `UNSYNCED_JOURNAL` are set.
//!
//! Each function makes the real system call itself. One lock is held over the saving of the old
//! bytes and the change, so the journal has the order of the changes. A sync takes the moment of
//! its beginning without the lock: a change that is under way then is not covered by it.
//!
//! What cannot be followed is refused: a writable shared mapping of a file ends the process with
//! a message; `splice` into a file, `O_TMPFILE`, and renames that exchange are refused with the
//! errors by which file systems refuse them. `copy_file_range` and `sendfile` are done as writes.

#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

mod content;
mod descriptors;
mod names;
mod opening;
mod state;
mod sync;
mod system;
