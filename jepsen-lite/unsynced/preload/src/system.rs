//! The real system calls, errors in `errno` as libc's own functions leave them.

use libc::{c_int, c_long};

/// Makes a system call.
macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        libc::syscall($number $(, $argument)*)
    };
}
pub(crate) use call;

/// `errno` of this thread.
pub(crate) fn errno() -> c_int {
    // SAFETY: it returns the address of a thread-local that is always valid.
    unsafe { *libc::__errno_location() }
}

/// Sets `errno` of this thread.
pub(crate) fn set_errno(errno: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno }
}

/// Refuses as libc does.
pub(crate) fn refuse<T: From<i8>>(errno: c_int) -> T {
    set_errno(errno);
    T::from(-1)
}

/// Runs `act`, and leaves `errno` as it was before.
pub(crate) fn keeping_errno<T>(act: impl FnOnce() -> T) -> T {
    let before = errno();
    let result = act();
    set_errno(before);
    result
}

/// A result that fits its C type: the kernel says so.
pub(crate) fn int(result: c_long) -> c_int {
    result as c_int
}
