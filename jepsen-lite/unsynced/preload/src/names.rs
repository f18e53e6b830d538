//! Functions that change names: rename, unlink, mkdir, rmdir, link, symlink.

use crate::state::{Inside, State, enter, give_up, must};
use crate::system::{call, int, keeping_errno, refuse};
use libc::{AT_FDCWD, c_char, c_int, c_uint, mode_t};
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use unsynced::tracker::{IsNew, Outcome, Started, Tracker};

/// Where a name is, its directory without symbolic links; `None` when it is not below ours.
///
/// # Safety
/// `path` must be null or end with a zero byte.
pub(crate) unsafe fn place(state: &State, at: c_int, path: *const c_char) -> Option<PathBuf> {
    if path.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    let from = if path.is_absolute() {
        PathBuf::new()
    } else if at == AT_FDCWD {
        std::env::current_dir().ok()?
    } else {
        PathBuf::from(format!("/proc/self/fd/{at}")).read_link().ok()?
    };
    let path = from.join(path);
    let place = path.parent()?.canonicalize().ok()?.join(path.file_name()?);
    state.holds(&place).then_some(place)
}

/// Journals what `begin` says, then makes the change.
fn change(
    state: &Inside,
    begin: impl FnOnce(&mut Tracker) -> io::Result<Started>,
    make: impl FnOnce() -> c_int,
    created: Option<(&Path, IsNew)>,
) -> c_int {
    state.with(|tracker| {
        let started = keeping_errno(|| must(begin(tracker)));
        let result = make();
        keeping_errno(|| match created {
            Some((path, is_new)) if result == 0 => {
                let found = must(path.symlink_metadata());
                must(tracker.created(started, is_new, &found));
            }
            _ => {
                let outcome = if result == 0 { Outcome::Made } else { Outcome::Refused };
                must(tracker.ended(started, outcome));
            }
        });
        result
    })
}

/// # Safety
/// `path` must be valid for `make`.
unsafe fn create(
    at: c_int,
    path: *const c_char,
    is_new: IsNew,
    make: impl FnOnce() -> c_int,
) -> c_int {
    let Some(state) = enter() else {
        return make();
    };
    // SAFETY: the caller's promise.
    match keeping_errno(|| unsafe { place(&state, at, path) }) {
        // What is there already is no creation, and must not be taken for one.
        Some(place) if keeping_errno(|| place.symlink_metadata()).is_err() => {
            change(&state, |tracker| tracker.create_begins(&place), make, Some((&place, is_new)))
        }
        Some(_) | None => make(),
    }
}

/// # Safety
/// `path` must be valid for `make`.
unsafe fn remove_at(at: c_int, path: *const c_char, make: impl FnOnce() -> c_int) -> c_int {
    let Some(state) = enter() else {
        return make();
    };
    // SAFETY: the caller's promise.
    match keeping_errno(|| unsafe { place(&state, at, path) }) {
        Some(place) => change(&state, |tracker| tracker.remove_begins(&place), make, None),
        None => make(),
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn renameat2(
    from_at: c_int,
    from: *const c_char,
    to_at: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    let number = libc::SYS_renameat2;
    // SAFETY: the caller's promise is the kernel's.
    let make = || int(unsafe { call!(number, from_at, from, to_at, to, flags) });
    let Some(state) = enter() else {
        return make();
    };
    // SAFETY: the caller's paths.
    let places =
        keeping_errno(|| unsafe { (place(&state, from_at, from), place(&state, to_at, to)) });
    if flags & !libc::RENAME_NOREPLACE != 0 && places != (None, None) {
        return refuse(libc::EINVAL);
    }
    match places {
        (None, None) => make(),
        (Some(from), Some(to)) => {
            let is_refused = flags != 0 && keeping_errno(|| to.symlink_metadata()).is_ok();
            if is_refused {
                return make();
            }
            change(&state, |tracker| tracker.rename_begins(&from, &to), make, None)
        }
        (Some(from), None) => {
            refuse_directory(&from);
            change(&state, |tracker| tracker.remove_begins(&from), make, None)
        }
        (None, Some(to)) => {
            if keeping_errno(|| to.symlink_metadata()).is_ok() {
                give_up("a file from outside of UNSYNCED_DIR replaces one below it: not supported");
            }
            let begin = |tracker: &mut Tracker| tracker.create_begins(&to);
            change(&state, begin, make, Some((&to, IsNew::Linked)))
        }
    }
}

fn refuse_directory(path: &Path) {
    if keeping_errno(|| path.is_dir()) {
        give_up("a directory is moved out of UNSYNCED_DIR: not supported");
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { renameat2(AT_FDCWD, from, AT_FDCWD, to, 0) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn renameat(
    from_at: c_int,
    from: *const c_char,
    to_at: c_int,
    to: *const c_char,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { renameat2(from_at, from, to_at, to, 0) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn unlinkat(at: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's promise, here and of the kernel.
    unsafe { remove_at(at, path, || int(call!(libc::SYS_unlinkat, at, path, flags))) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { unlinkat(AT_FDCWD, path, 0) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { unlinkat(AT_FDCWD, path, libc::AT_REMOVEDIR) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn remove(path: *const c_char) -> c_int {
    // SAFETY: the caller's promise; a directory is known by the first call's error.
    unsafe {
        let result = unlink(path);
        if result == 0 || crate::system::errno() != libc::EISDIR { result } else { rmdir(path) }
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mkdirat(at: c_int, path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's promise, here and of the kernel.
    unsafe { create(at, path, IsNew::New, || int(call!(libc::SYS_mkdirat, at, path, mode))) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { mkdirat(AT_FDCWD, path, mode) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn linkat(
    from_at: c_int,
    from: *const c_char,
    to_at: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    let number = libc::SYS_linkat;
    // SAFETY: the caller's promise is the kernel's.
    let make = || int(unsafe { call!(number, from_at, from, to_at, to, flags) });
    // SAFETY: the caller's promise.
    unsafe { create(to_at, to, IsNew::Linked, make) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn link(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { linkat(AT_FDCWD, from, AT_FDCWD, to, 0) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn symlinkat(
    target: *const c_char,
    at: c_int,
    path: *const c_char,
) -> c_int {
    let make = || {
        // SAFETY: the caller's promise is the kernel's.
        int(unsafe { call!(libc::SYS_symlinkat, target, at, path) })
    };
    // SAFETY: the caller's promise.
    unsafe { create(at, path, IsNew::New, make) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn symlink(target: *const c_char, path: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { symlinkat(target, AT_FDCWD, path) }
}
