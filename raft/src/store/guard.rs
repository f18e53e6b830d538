//! A guard around sled's recovery, which panics on some damaged files instead of failing.
//!
//! The panic is caught and becomes [`StoreError::Corrupt`]. `flashnode` aborts on a panic only
//! once its store is open. Where a build aborts at once (`panic = "abort"`) nothing can be caught,
//! so a panic hook, which runs before either, says which directory is damaged and what to do.

use super::error::StoreError;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

thread_local! {
    /// The directory that this thread is opening.
    static OPENING: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs `open`, which reads sled's files in `dir`.
///
/// # Errors
/// Those of `open`, and [`StoreError::Corrupt`] when it panics in a build that unwinds.
pub(super) fn catch<T>(
    dir: &Path,
    open: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    HOOK.call_once(install_hook);
    OPENING.set(Some(dir.to_owned()));
    // What `open` leaves behind is dropped, never used again.
    let result = catch_unwind(AssertUnwindSafe(open));
    OPENING.set(None);
    result.unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("sled panicked while it read its files");
        Err(StoreError::corrupt(dir, what))
    })
}

fn install_hook() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some(dir) = OPENING.with_borrow(Clone::clone) {
            let error = StoreError::corrupt(&dir, panic.to_string());
            tracing::error!("{error}");
        }
        previous(panic);
    }));
}
