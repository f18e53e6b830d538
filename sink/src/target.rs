//! What a sink asks of the system that it writes to.
//!
//! Owns: the promise that makes a kill at any moment harmless. A target is asked where it stands
//! before anything is written; what it is then given begins right after that; and when
//! [`Target::apply`] has returned, the changes *and* the new position are durable. Whatever fails
//! or dies in between, the next runner asks again.

use crate::source::{SourceError, State};
use stock::Seq;
use stock::api::EventView;

/// A system that changes are written to.
pub trait Target: Send {
    /// Connects anew, makes what is missing, and says after which change it stands; 0 is before
    /// the first. Also called to recover from any failure, and to look at another runner's work.
    ///
    /// # Errors
    /// [`TargetError::Lost`], or [`TargetError::Refused`] when it holds another cluster's changes.
    fn open(&mut self, cluster_id: &str) -> impl Future<Output = Result<Seq, TargetError>> + Send;

    /// Writes the changes after `from`, all of them and in order, and its new position.
    ///
    /// # Errors
    /// [`TargetError::Lost`] when it may or may not have been done: [`Target::open`] tells.
    /// [`TargetError::Moved`] when it does not stand at `from`; nothing lasting was done then.
    fn apply(
        &mut self,
        from: Seq,
        batch: &[EventView],
    ) -> impl Future<Output = Result<Applied, TargetError>> + Send;

    /// Takes the whole state in place of changes that the feed no longer tells, and stands at the
    /// state's `seq` then.
    ///
    /// # Errors
    /// As [`Target::apply`]; [`TargetError::Source`] when the state was cut off.
    fn rebase<S: State>(
        &mut self,
        from: Seq,
        state: &mut S,
    ) -> impl Future<Output = Result<Applied, TargetError>> + Send;
}

/// What a write came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows, messages or lines written.
    pub rows: u64,
}

/// Why nothing, or nobody knows what, was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The connection broke, or it could not be made: later it may.
    #[error("{0}")]
    Lost(String),
    /// It stands elsewhere: another runner writes to it.
    #[error("another runner has moved the position")]
    Moved,
    /// It will not take it later either.
    #[error("{0}")]
    Refused(String),
    /// The state that it was given was cut off.
    #[error(transparent)]
    Source(#[from] SourceError),
}
