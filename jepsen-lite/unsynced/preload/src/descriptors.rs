//! Which descriptors lead to files and directories below the chosen directory.
//!
//! Owns: a table by descriptor, read without a lock, since every `write` to a socket asks it. An
//! entry is the inode, and is believed only while the descriptor still has it: descriptors are
//! also closed in ways that nobody sees here.

use crate::state::State;
use crate::system;
use libc::{c_int, c_uint};
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Higher descriptors are looked up in `/proc` each time.
const TABLE: usize = 65_536;
/// No file has this inode number.
const NONE: u64 = 0;

static INODES: [AtomicU64; TABLE] = [const { AtomicU64::new(NONE) }; TABLE];

fn slot(fd: c_int) -> Option<&'static AtomicU64> {
    usize::try_from(fd).ok().and_then(|fd| INODES.get(fd))
}

/// Notes a descriptor that was just opened.
pub(crate) fn adopt(state: &State, fd: c_int) {
    if let Some(slot) = slot(fd) {
        let inode = system::keeping_errno(|| look(state, fd).map_or(NONE, |found| found.ino()));
        slot.store(inode, Ordering::Release);
    }
}

/// A descriptor is about to be closed.
pub(crate) fn forget(fd: c_int) {
    if let Some(slot) = slot(fd) {
        slot.store(NONE, Ordering::Release);
    }
}

/// These are about to be closed.
pub(crate) fn forget_range(first: c_uint, last: c_uint) {
    let slots = INODES.iter().skip(first as usize);
    slots
        .take((last - first.min(last)) as usize + 1)
        .for_each(|s| s.store(NONE, Ordering::Release));
}

/// `to` is what `from` is.
pub(crate) fn copy(from: c_int, to: c_int) {
    if let (Some(from), Some(to)) = (slot(from), slot(to)) {
        to.store(from.load(Ordering::Acquire), Ordering::Release);
    }
}

/// Whether a descriptor may lead below the directory; quick, and never a wrong no.
pub(crate) fn may_be_ours(fd: c_int) -> bool {
    slot(fd).map_or(fd >= 0, |slot| slot.load(Ordering::Acquire) != NONE)
}

/// The inode of a descriptor that leads below the directory.
pub(crate) fn inode(state: &State, fd: c_int) -> Option<u64> {
    reader(state, fd).and_then(|file| file.metadata().ok()).map(|found| found.ino())
}

/// A descriptor of our own to read what this one leads to, which may be open for writing only.
pub(crate) fn reader(state: &State, fd: c_int) -> Option<File> {
    let file = File::open(link(fd)).ok()?;
    let Some(slot) = slot(fd) else {
        return look(state, fd).and(Some(file));
    };
    let known = slot.load(Ordering::Acquire);
    let found = file.metadata().ok()?.ino();
    if found != known {
        slot.store(NONE, Ordering::Release);
        return None;
    }
    Some(file)
}

fn look(state: &State, fd: c_int) -> Option<Metadata> {
    let path = link(fd).read_link().ok()?;
    // The directory itself counts: a sync of it makes the names in it durable.
    let is_ours = path.starts_with(&state.dir);
    let found = is_ours.then(|| link(fd).metadata().ok()).flatten()?;
    (found.is_file() || found.is_dir()).then_some(found)
}

fn link(fd: c_int) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{fd}"))
}
