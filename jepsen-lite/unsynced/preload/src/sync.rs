//! `fsync` and its kin. `sync_file_range` is not among them: it passes by unseen.

use crate::descriptors;
use crate::state::{enter, must};
use crate::system::{call, int, keeping_errno};
use libc::{c_int, c_long};

/// Makes the call `number` on a descriptor; what it covers is durable if it succeeds.
pub(crate) fn sync(fd: c_int, number: c_long) -> c_int {
    let state = descriptors::may_be_ours(fd).then(enter).flatten();
    let began = state.as_ref().map(|state| state.now());
    // SAFETY: `fsync` and `fdatasync` take a descriptor, good or bad.
    let result = int(unsafe { call!(number, fd) });
    if let (0, Some(state), Some(began)) = (result, state, began) {
        keeping_errno(|| {
            if let Some(inode) = descriptors::inode(&state, fd) {
                must(state.with(|tracker| tracker.synced(inode, began)));
            }
        });
    }
    result
}

fn sync_all(make: impl FnOnce() -> c_long) -> c_int {
    let state = enter();
    let began = state.as_ref().map(|state| state.now());
    let result = int(make());
    if let (0, Some(state), Some(began)) = (result, state, began) {
        keeping_errno(|| must(state.with(|tracker| tracker.all_synced(began))));
    }
    result
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fsync)
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fdatasync)
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn syncfs(fd: c_int) -> c_int {
    // SAFETY: it takes a descriptor, good or bad.
    sync_all(|| unsafe { call!(libc::SYS_syncfs, fd) })
}

/// `sync` of libc.
#[unsafe(export_name = "sync")]
pub(crate) extern "C" fn sync_everything() {
    // SAFETY: it takes nothing.
    sync_all(|| unsafe { call!(libc::SYS_sync) });
}
