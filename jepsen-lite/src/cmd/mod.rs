//! The subcommands, one file each, and their exit codes.

pub(crate) mod bench;
pub(crate) mod bugs;
pub(crate) mod check;
pub(crate) mod mutants;
pub(crate) mod run;
pub(crate) mod sweep;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Every verdict is ok.
    Ok = 0,
    /// Something could not be read or started; nothing was decided. Also clap's.
    Unusable = 2,
    /// Some verdict is illegal.
    Illegal = 4,
    /// None is illegal, and some verdict is unknown.
    Unknown = 5,
}
