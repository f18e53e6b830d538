//! Functions that change bytes and lengths.

use crate::state::{Inside, enter, give_up, must};
use crate::system::{call, errno, int, keeping_errno, refuse};
use crate::{descriptors, sync};
use libc::{c_char, c_int, c_long, c_void, iovec, off_t, size_t, ssize_t};
use std::fs::File;
use std::io;
use unsynced::tracker::{Outcome, Started, Tracker};

/// The most that one call of `copy_file_range` or `sendfile` copies here; callers go on.
const COPY_BYTES_MAX: usize = 256 * 1024;

/// Where a write goes.
#[derive(Clone, Copy)]
enum At {
    /// Where the descriptor stands, or the end if it was opened to append.
    Position,
    Offset(off_t),
}

/// Journals what `begin` says of a descriptor's file, then makes the change; otherwise only makes
/// it. The change says how it went by its sign, as libc does.
fn change(
    fd: c_int,
    begin: impl FnOnce(&mut Tracker, &File) -> io::Result<Started>,
    make: impl FnOnce() -> c_long,
) -> c_long {
    let ours: Option<(Inside, File)> = descriptors::may_be_ours(fd)
        .then(enter)
        .flatten()
        .and_then(|state| keeping_errno(|| descriptors::reader(&state, fd)).map(|f| (state, f)));
    let Some((state, reader)) = ours else {
        return make();
    };
    state.with(|tracker| {
        let started = keeping_errno(|| must(begin(tracker, &reader)));
        let result = make();
        let outcome = if result < 0 { Outcome::Refused } else { Outcome::Made };
        keeping_errno(|| must(tracker.ended(started, outcome)));
        result
    })
}

fn write_at(fd: c_int, place: At, len: usize, make: impl FnOnce() -> c_long) -> ssize_t {
    let begin = |tracker: &mut Tracker, reader: &File| {
        let at = match place {
            At::Offset(offset) => u64::try_from(offset).unwrap_or(0),
            At::Position => position(fd, reader)?,
        };
        tracker.write_begins(reader, at, len as u64)
    };
    let result = change(fd, begin, make) as ssize_t;
    if result > 0 && descriptors::may_be_ours(fd) && is_synchronous(fd) {
        let outcome = keeping_errno(|| sync::sync(fd, libc::SYS_fdatasync));
        if outcome != 0 {
            give_up("the sync of a write to a file opened with O_SYNC or O_DSYNC failed");
        }
    }
    result
}

fn flags(fd: c_int) -> c_int {
    // SAFETY: `F_GETFL` takes no argument.
    keeping_errno(|| int(unsafe { call!(libc::SYS_fcntl, fd, libc::F_GETFL) }))
}

/// `O_SYNC` includes `O_DSYNC`.
fn is_synchronous(fd: c_int) -> bool {
    let flags = flags(fd);
    flags >= 0 && flags & libc::O_DSYNC != 0
}

fn position(fd: c_int, reader: &File) -> io::Result<u64> {
    if flags(fd) & libc::O_APPEND != 0 {
        return reader.metadata().map(|found| found.len());
    }
    // SAFETY: it only reads the position of a descriptor.
    let position = unsafe { call!(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) };
    u64::try_from(position).map_err(|_| io::Error::last_os_error())
}

/// # Safety
/// `parts` must be an array of `count` valid entries, as libc's functions demand.
unsafe fn total(parts: *const iovec, count: c_int) -> usize {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller's promise.
    (0..count).map(|part| unsafe { (*parts.add(part)).iov_len }).sum()
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: the caller's promise is the kernel's.
    write_at(fd, At::Position, len, || unsafe { call!(libc::SYS_write, fd, bytes, len) })
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwrite(
    fd: c_int,
    bytes: *const c_void,
    len: size_t,
    offset: off_t,
) -> ssize_t {
    let make = || {
        // SAFETY: the caller's promise is the kernel's.
        unsafe { call!(libc::SYS_pwrite64, fd, bytes, len, offset) }
    };
    write_at(fd, At::Offset(offset), len, make)
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwrite64(
    fd: c_int,
    bytes: *const c_void,
    len: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the same function on a 64-bit machine.
    unsafe { pwrite(fd, bytes, len, offset) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    if !descriptors::may_be_ours(fd) {
        // SAFETY: the caller's promise is the kernel's.
        return unsafe { call!(libc::SYS_writev, fd, parts, count) as ssize_t };
    }
    // SAFETY: the caller's promise.
    let len = unsafe { total(parts, count) };
    // SAFETY: the caller's promise is the kernel's.
    write_at(fd, At::Position, len, || unsafe { call!(libc::SYS_writev, fd, parts, count) })
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwritev(
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the same without flags.
    unsafe { pwritev2(fd, parts, count, offset, 0) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwritev64(
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the same without flags.
    unsafe { pwritev2(fd, parts, count, offset, 0) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwritev64v2(
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    offset: off_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the same function on a 64-bit machine.
    unsafe { pwritev2(fd, parts, count, offset, flags) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwritev2(
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    offset: off_t,
    flags: c_int,
) -> ssize_t {
    let make = || {
        // SAFETY: the caller's promise is the kernel's; the offset's upper half is unused.
        unsafe { call!(libc::SYS_pwritev2, fd, parts, count, offset, 0, flags) }
    };
    if !descriptors::may_be_ours(fd) {
        return make() as ssize_t;
    }
    if flags & (libc::RWF_APPEND | libc::RWF_DSYNC | libc::RWF_SYNC) != 0 {
        return refuse::<ssize_t>(libc::EOPNOTSUPP);
    }
    let place = if offset == -1 { At::Position } else { At::Offset(offset) };
    // SAFETY: the caller's promise.
    let len = unsafe { total(parts, count) };
    write_at(fd, place, len, make)
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn ftruncate(fd: c_int, len: off_t) -> c_int {
    let to = u64::try_from(len).unwrap_or(0);
    let begin = |tracker: &mut Tracker, reader: &File| tracker.resize_begins(reader, to);
    // SAFETY: it takes a descriptor, good or bad.
    int(change(fd, begin, || unsafe { call!(libc::SYS_ftruncate, fd, len) }))
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn ftruncate64(fd: c_int, len: off_t) -> c_int {
    ftruncate(fd, len)
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn truncate(path: *const c_char, len: off_t) -> c_int {
    // SAFETY: the caller's path.
    let fd = unsafe { crate::opening::open(path, libc::O_WRONLY | libc::O_CLOEXEC, 0) };
    if fd < 0 {
        return -1;
    }
    let result = ftruncate(fd, len);
    keeping_errno(|| crate::opening::close(fd));
    result
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn truncate64(path: *const c_char, len: off_t) -> c_int {
    // SAFETY: the same function on a 64-bit machine.
    unsafe { truncate(path, len) }
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fallocate(fd: c_int, mode: c_int, offset: off_t, len: off_t) -> c_int {
    // SAFETY: it takes a descriptor, good or bad.
    let make = || unsafe { call!(libc::SYS_fallocate, fd, mode, offset, len) };
    let (at, bytes) = (u64::try_from(offset).unwrap_or(0), u64::try_from(len).unwrap_or(0));
    let grow = |tracker: &mut Tracker, reader: &File| {
        let to = at.saturating_add(bytes).max(reader.metadata()?.len());
        tracker.resize_begins(reader, to)
    };
    let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    match mode {
        // It only reserves blocks.
        libc::FALLOC_FL_KEEP_SIZE => int(make()),
        0 => int(change(fd, grow, make)),
        _ if mode == hole => {
            int(change(fd, |tracker, reader| tracker.write_begins(reader, at, bytes), make))
        }
        _ if descriptors::may_be_ours(fd) => refuse(libc::EOPNOTSUPP),
        _ => int(make()),
    }
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off_t, len: off_t) -> c_int {
    fallocate(fd, mode, offset, len)
}

/// As libc's: it returns the error.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn posix_fallocate(fd: c_int, offset: off_t, len: off_t) -> c_int {
    let result = keeping_errno(|| (fallocate(fd, 0, offset, len) != 0).then(errno));
    result.unwrap_or(0)
}

/// As libc's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn posix_fallocate64(fd: c_int, offset: off_t, len: off_t) -> c_int {
    posix_fallocate(fd, offset, len)
}

/// Copies through a buffer, with `read` and `write_at` of this file; both may be short.
fn copied(len: size_t, read: impl FnOnce(&mut [u8]) -> c_long, out: (c_int, At)) -> ssize_t {
    let mut buffer = vec![0; len.min(COPY_BYTES_MAX)];
    let Ok(found) = usize::try_from(read(&mut buffer)) else {
        return -1;
    };
    let (fd, place) = out;
    let bytes = buffer.as_ptr();
    write_at(fd, place, found, || match place {
        // SAFETY: `found` bytes of the buffer were read.
        At::Position => unsafe { call!(libc::SYS_write, fd, bytes, found) },
        // SAFETY: as above.
        At::Offset(offset) => unsafe { call!(libc::SYS_pwrite64, fd, bytes, found, offset) },
    })
}

/// Reads from a descriptor where it stands, or at `*offset`.
///
/// # Safety
/// `offset` must be null or valid.
unsafe fn read_from(fd: c_int, offset: *mut off_t, buffer: &mut [u8]) -> c_long {
    let (bytes, len) = (buffer.as_mut_ptr(), buffer.len());
    if offset.is_null() {
        // SAFETY: the buffer has this length.
        return unsafe { call!(libc::SYS_read, fd, bytes, len) };
    }
    // SAFETY: the buffer has this length, and the offset is the caller's promise.
    unsafe { call!(libc::SYS_pread64, fd, bytes, len, *offset) }
}

/// Takes back how much more was read than written, or moves the caller's offset.
///
/// # Safety
/// `offset` must be null or valid.
unsafe fn advance(fd: c_int, offset: *mut off_t, read: c_long, written: ssize_t) {
    if !offset.is_null() {
        // SAFETY: the caller's promise.
        unsafe { *offset += written.max(0) as off_t };
    } else if read > written as c_long {
        let back = written.max(0) as c_long - read;
        // SAFETY: it moves the position of a descriptor.
        keeping_errno(|| unsafe { call!(libc::SYS_lseek, fd, back, libc::SEEK_CUR) });
    }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_offset: *mut off_t,
    to: c_int,
    to_offset: *mut off_t,
    len: size_t,
    flags: libc::c_uint,
) -> ssize_t {
    if !descriptors::may_be_ours(to) {
        let number = libc::SYS_copy_file_range;
        // SAFETY: the caller's promise is the kernel's.
        let copied = unsafe { call!(number, from, from_offset, to, to_offset, len, flags) };
        return copied as ssize_t;
    }
    let mut found = 0;
    let read = |buffer: &mut [u8]| {
        // SAFETY: the caller's promise.
        found = unsafe { read_from(from, from_offset, buffer) };
        found
    };
    let place = if to_offset.is_null() {
        At::Position
    } else {
        // SAFETY: the caller's promise.
        At::Offset(unsafe { *to_offset })
    };
    let written = copied(len, read, (to, place));
    // SAFETY: the caller's promise.
    unsafe {
        advance(from, from_offset, found, written);
        if !to_offset.is_null() {
            *to_offset += written.max(0) as off_t;
        }
    }
    written
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sendfile(
    to: c_int,
    from: c_int,
    offset: *mut off_t,
    len: size_t,
) -> ssize_t {
    if !descriptors::may_be_ours(to) {
        // SAFETY: the caller's promise is the kernel's.
        return unsafe { call!(libc::SYS_sendfile, to, from, offset, len) as ssize_t };
    }
    let mut found = 0;
    let read = |buffer: &mut [u8]| {
        // SAFETY: the caller's promise.
        found = unsafe { read_from(from, offset, buffer) };
        found
    };
    let written = copied(len, read, (to, At::Position));
    // SAFETY: the caller's promise.
    unsafe { advance(from, offset, found, written) };
    written
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sendfile64(
    to: c_int,
    from: c_int,
    offset: *mut off_t,
    len: size_t,
) -> ssize_t {
    // SAFETY: the same function on a 64-bit machine.
    unsafe { sendfile(to, from, offset, len) }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn splice(
    from: c_int,
    from_offset: *mut off_t,
    to: c_int,
    to_offset: *mut off_t,
    len: size_t,
    flags: libc::c_uint,
) -> ssize_t {
    if descriptors::may_be_ours(to) {
        return refuse::<ssize_t>(libc::EINVAL);
    }
    let number = libc::SYS_splice;
    // SAFETY: the caller's promise is the kernel's.
    unsafe { call!(number, from, from_offset, to, to_offset, len, flags) as ssize_t }
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mmap(
    address: *mut c_void,
    len: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    let is_anonymous = flags & libc::MAP_ANONYMOUS != 0;
    // `MAP_SHARED_VALIDATE` has the bit of `MAP_SHARED`.
    let is_shared = flags & libc::MAP_SHARED != 0 && protection & libc::PROT_WRITE != 0;
    if is_shared && !is_anonymous && descriptors::may_be_ours(fd) {
        give_up("a writable shared mapping of a file below UNSYNCED_DIR cannot be followed");
    }
    let number = libc::SYS_mmap;
    // SAFETY: the caller's promise is the kernel's.
    let mapped = unsafe { call!(number, address, len, protection, flags, fd, offset) };
    mapped as *mut c_void
}

/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mmap64(
    address: *mut c_void,
    len: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    // SAFETY: the same function on a 64-bit machine.
    unsafe { mmap(address, len, protection, flags, fd, offset) }
}
