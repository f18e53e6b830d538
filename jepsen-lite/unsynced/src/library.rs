//! Finds the library to preload, and says how a child is told of it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The file that the package `unsynced-preload` is built as.
const LIBRARY: &str = "libunsynced_preload.so";
/// The directory whose files are journaled.
pub const DIR: &str = "UNSYNCED_DIR";
/// The journal, a file outside of that directory.
pub const JOURNAL: &str = "UNSYNCED_JOURNAL";

/// The newest build of the library beside the running program: in its directory, in `deps/` of
/// it, or, for a test or an example, in the directory above and its `deps/`.
///
/// # Errors
/// `NotFound`, saying what to build and where it was looked for.
pub fn library() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let beside = program.parent().unwrap_or(Path::new("."));
    let mut places = vec![beside.to_owned(), beside.join("deps")];
    if let Some(above) = beside.parent() {
        places.extend([above.to_owned(), above.join("deps")]);
    }
    let built = |place: &PathBuf| {
        let path = place.join(LIBRARY);
        let modified = path.metadata().and_then(|found| found.modified()).ok()?;
        Some((modified, path))
    };
    // cargo leaves what it built for a dependent in deps/, and an older copy may lie beside it.
    let newest = places.iter().filter_map(built).max();
    newest.map(|(_, path)| path).ok_or_else(|| {
        let (beside, deps) = (beside.display(), beside.join("deps"));
        let what = format!(
            "{LIBRARY} is neither in {beside} nor in {}: build it with `cargo build -p \
             unsynced-preload`, in the profile of this program; it exists on Linux with glibc only",
            deps.display()
        );
        io::Error::new(io::ErrorKind::NotFound, what)
    })
}

/// What to add to a child's environment, so that its unsynced changes below `dir` can be undone.
/// A child that also preloads other libraries must name them in the same `LD_PRELOAD`.
pub fn environment(library: &Path, dir: &Path, journal: &Path) -> Vec<(String, OsString)> {
    vec![
        ("LD_PRELOAD".into(), library.into()),
        (DIR.into(), dir.into()),
        (JOURNAL.into(), journal.into()),
    ]
}
