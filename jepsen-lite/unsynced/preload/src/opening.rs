//! Functions that open, copy and close descriptors; opening may create a file or cut it to nothing.
//!
//! C declares `open`, `openat` and `fcntl` with a variable argument at the end. On the machines
//! that this is built for it is passed where a fixed one would be.

use crate::state::{Inside, enter, must};
use crate::system::{call, int, keeping_errno, refuse};
use crate::{descriptors, names};
use libc::{c_char, c_int, c_uint, c_ulong, mode_t};
use std::fs::File;
use std::io;
use std::path::Path;
use unsynced::tracker::{IsNew, Outcome, Started};

/// # Safety
/// As libc's.
unsafe fn open_at(at: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's promise is the kernel's.
    let open = || int(unsafe { call!(libc::SYS_openat, at, path, flags, mode) });
    let Some(state) = enter() else {
        return open();
    };
    let may_change = flags & (libc::O_CREAT | libc::O_TRUNC) != 0;
    let is_nameless = flags & libc::O_TMPFILE == libc::O_TMPFILE;
    // SAFETY: the caller's path.
    let place = (may_change || is_nameless)
        .then(|| keeping_errno(|| unsafe { names::place(&state, at, path) }))
        .flatten();
    let fd = match place {
        Some(_) if is_nameless => return refuse(libc::EOPNOTSUPP),
        Some(place) => open_and_change(&state, &place, flags, open),
        None => open(),
    };
    if fd >= 0 {
        descriptors::adopt(&state, fd);
    }
    fd
}

/// Opens a path below the directory, which creates the file or empties it.
fn open_and_change(
    state: &Inside,
    place: &Path,
    flags: c_int,
    open: impl FnOnce() -> c_int,
) -> c_int {
    let real = keeping_errno(|| place.canonicalize());
    state.with(|tracker| {
        let (started, is_new) = match real {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if flags & libc::O_CREAT == 0 {
                    return open();
                }
                (keeping_errno(|| must(tracker.create_begins(place))), true)
            }
            Ok(real) if flags & libc::O_TRUNC != 0 && real.is_file() && state.holds(&real) => {
                let mut emptied = || tracker.resize_begins(&File::open(&real)?, 0);
                (keeping_errno(|| must(emptied())), false)
            }
            Ok(_) | Err(_) => return open(),
        };
        let fd = open();
        keeping_errno(|| match (fd >= 0, is_new) {
            (false, _) => must(tracker.ended(started, Outcome::Refused)),
            (true, false) => must(tracker.ended(started, Outcome::Made)),
            (true, true) => must(name_created(tracker, started, place)),
        });
        fd
    })
}

fn name_created(
    tracker: &mut unsynced::tracker::Tracker,
    started: Started,
    place: &Path,
) -> io::Result<()> {
    let made = place.symlink_metadata()?;
    tracker.created(started, IsNew::New, &made)
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { open_at(libc::AT_FDCWD, path, flags, mode) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { open_at(libc::AT_FDCWD, path, flags, mode) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn openat(
    at: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { open_at(at, path, flags, mode) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn openat64(
    at: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { open_at(at, path, flags, mode) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn creat(path: *const c_char, mode: mode_t) -> c_int {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    // SAFETY: the caller's promise.
    unsafe { open_at(libc::AT_FDCWD, path, flags, mode) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn creat64(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { creat(path, mode) }
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn close(fd: c_int) -> c_int {
    // Before, since another thread may be given the number at once.
    descriptors::forget(fd);
    // SAFETY: it takes a descriptor, good or bad.
    int(unsafe { call!(libc::SYS_close, fd) })
}

fn copied(from: c_int, to: c_int) -> c_int {
    if to >= 0 {
        descriptors::copy(from, to);
    }
    to
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn dup(fd: c_int) -> c_int {
    // SAFETY: it takes a descriptor, good or bad.
    copied(fd, int(unsafe { call!(libc::SYS_dup, fd) }))
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn dup2(from: c_int, to: c_int) -> c_int {
    if from == to {
        // SAFETY: `F_GETFD` takes no argument; it fails when the descriptor is not open.
        let is_open = unsafe { call!(libc::SYS_fcntl, from, libc::F_GETFD) } >= 0;
        return if is_open { to } else { -1 };
    }
    dup3(from, to, 0)
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int {
    // SAFETY: it takes descriptors, good or bad.
    copied(from, int(unsafe { call!(libc::SYS_dup3, from, to, flags) }))
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int {
    // SAFETY: the caller's promise is the kernel's.
    let result = int(unsafe { call!(libc::SYS_fcntl, fd, command, argument) });
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => copied(fd, result),
        _ => result,
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: c_ulong) -> c_int {
    // SAFETY: the same function on a 64-bit machine.
    unsafe { fcntl(fd, command, argument) }
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    const CLOSE_RANGE_CLOEXEC: c_int = 4;
    if flags & CLOSE_RANGE_CLOEXEC == 0 {
        descriptors::forget_range(first, last);
    }
    // SAFETY: it takes descriptors, good or bad.
    int(unsafe { call!(libc::SYS_close_range, first, last, flags) })
}
