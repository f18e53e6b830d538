//! What `FLASHNODE_MUTANT` means to this build: one with seeded bugs needs it, any other refuses
//! it, so that nobody tests, or sells with, another build than they think.

use super::ConfigError;
use raft::mutant::VARIABLE;

/// What `flashnode --version` says.
#[cfg(not(feature = "mutants"))]
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What `flashnode --version` says.
#[cfg(feature = "mutants")]
pub(super) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " with seeded bugs, for testers: never sell with it");

/// Refuses a choice of bug: this build has none.
///
/// # Errors
/// [`ConfigError::Environment`] when there is a name.
#[cfg(not(feature = "mutants"))]
pub(super) fn plant(name: &str) -> Result<(), ConfigError> {
    if name.is_empty() {
        return Ok(());
    }
    let why = "this build has no seeded bugs; unset it, or for a test build one that has them: \
               cargo build -p node --features mutants";
    Err(ConfigError::Environment { variable: VARIABLE, why: why.to_owned() })
}

/// Plants the chosen bug, and says so loudly.
///
/// # Errors
/// [`ConfigError::Environment`] with all names, unless the name is one of them.
#[cfg(feature = "mutants")]
pub(super) fn plant(name: &str) -> Result<(), ConfigError> {
    raft::mutant::choose(name).map_err(|names| ConfigError::Environment {
        variable: VARIABLE,
        why: format!(
            "this build is for testers and runs with one seeded bug; {name:?} is none. Choose one \
             of: {names}"
        ),
    })?;
    // Before logging starts, and whatever its level: nobody may take this for a real node.
    eprintln!("flashnode: THIS NODE HAS THE SEEDED BUG {name}: for tests only, never sell with it");
    Ok(())
}
