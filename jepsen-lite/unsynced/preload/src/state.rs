//! Whether the library is at work in this process, and its lock.
//!
//! Owns: the settings from the environment, the tracker, and the guard against the library's own
//! calls. Called by every function that stands in for one of libc's.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use unsynced::tracker::{Clock, Moment, Tracker};

/// What this process was told.
pub(crate) struct State {
    /// Without symbolic links.
    pub(crate) dir: PathBuf,
    journal: PathBuf,
    clock: Arc<Clock>,
    /// Opened at the first change: a shell that only starts the program must not take the lock.
    tracker: Mutex<Option<Tracker>>,
}

static STATE: OnceLock<Option<State>> = OnceLock::new();

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs when the library is loaded, so that a journal shows that it was.
extern "C" fn load() {
    drop(enter());
}

#[used]
// SAFETY: `.init_array` holds pointers to functions that the loader calls without arguments that
// this one needs, once, before `main`.
#[unsafe(link_section = ".init_array")]
static LOAD: extern "C" fn() = load;

/// While it lives, calls of this thread pass through.
pub(crate) struct Inside(&'static State);

impl std::ops::Deref for Inside {
    type Target = State;

    fn deref(&self) -> &State {
        self.0
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        IS_INSIDE.set(false);
    }
}

/// `None` when the library has nothing to do here: it is not set up, or calls itself.
pub(crate) fn enter() -> Option<Inside> {
    if IS_INSIDE.get() {
        return None;
    }
    IS_INSIDE.set(true);
    let inside = STATE.get_or_init(State::from_environment).as_ref().map(Inside);
    if inside.is_none() {
        IS_INSIDE.set(false);
    }
    inside
}

/// Ends the process: to go on would lose what must be kept, or keep what must be lost.
pub(crate) fn give_up(what: &str) -> ! {
    // There is nobody to tell when this fails, too.
    drop(io::stderr().write_all(format!("unsynced: {what}\n").as_bytes()));
    std::process::abort()
}

/// The value, or the end.
pub(crate) fn must<T>(result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| give_up(&error.to_string()))
}

impl State {
    fn from_environment() -> Option<Self> {
        let dir = PathBuf::from(std::env::var_os(unsynced::DIR)?);
        let Some(journal) = std::env::var_os(unsynced::JOURNAL).map(PathBuf::from) else {
            give_up("UNSYNCED_DIR is set, but UNSYNCED_JOURNAL is not: name a file outside of it");
        };
        let absolute = |path: &Path| must(std::path::absolute(path));
        let (dir, journal) = (resolve(&absolute(&dir)), resolve(&absolute(&journal)));
        if journal.starts_with(&dir) {
            give_up("UNSYNCED_JOURNAL must lie outside of UNSYNCED_DIR");
        }
        // Empty until the first change; `undo` tells it from a library that was never loaded.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        must(options.open(&journal).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", journal.display()))
        }));
        Some(Self { dir, journal, clock: Arc::default(), tracker: Mutex::new(None) })
    }

    /// Takes the lock, and calls `act` with the tracker.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Tracker) -> T) -> T {
        let mut tracker: MutexGuard<'_, Option<Tracker>> =
            self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || must(Tracker::open(&self.journal, &self.dir, Arc::clone(&self.clock)));
        act(tracker.get_or_insert_with(open))
    }

    /// The moment at which a sync begins.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Whether this path, without symbolic links, is below the directory.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        path != self.dir && path.starts_with(&self.dir)
    }
}

/// Resolves symbolic links as far as the path exists.
fn resolve(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(real), _, _) => real,
        (Err(_), Some(parent), Some(name)) => resolve(parent).join(name),
        (Err(_), _, _) => path.to_owned(),
    }
}
