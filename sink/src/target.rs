//! What a sink asks of the system that it writes to.
//!
//! Owns: the promise that makes a kill at any moment harmless. A target is asked where it stands
//! before anything is written; what it is then given begins right after that; and when
//! [`Target::apply`] has returned, the changes *and* the new position are durable. Whatever fails
//! or dies in between, the next runner asks again.

use crate::pace::Pages;
use crate::source::{SourceError, State};
use stock::Seq;
use stock::api::EventView;

/// A system that changes are written to.
pub trait Target: Send {
    /// Connects anew, makes what is missing, and says after which change it stands; 0 is before
    /// the first. Also called to recover from any failure, and to look at another runner's work.
    ///
    /// # Errors
    /// [`TargetError::Taken`] while another runner keeps it, [`TargetError::Lost`], or
    /// [`TargetError::Refused`] when it holds another cluster's changes.
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
    /// state's `seq` then. It keeps no more of it in memory than a page of [`Pages::rows_max`], and
    /// calls [`Pages::wrote`] after each.
    ///
    /// # Errors
    /// As [`Target::apply`]; [`TargetError::Source`] when the state was cut off.
    fn rebase<S: State>(
        &mut self,
        from: Seq,
        state: &mut S,
        pages: &mut Pages<'_>,
    ) -> impl Future<Output = Result<Applied, TargetError>> + Send;

    /// What whoever runs it should know of the connection that [`Target::open`] made.
    fn warning(&self) -> Option<String> {
        None
    }
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
    /// Another runner keeps it for as long as that one lives; it stands here.
    #[error("another runner keeps it, at {0}")]
    Taken(Seq),
    /// It will not take it later either.
    #[error("{0}")]
    Refused(String),
    /// The state that it was given was cut off.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Adds to the reason of a failed connection what to do about it, where that is known. What the
/// TLS library says comes through three client libraries, each of which wraps it in another way.
#[cfg(any(feature = "nats", feature = "postgres", feature = "webhook"))]
pub(crate) fn explained(why: &dyn std::fmt::Display) -> String {
    let why = why.to_string();
    // The second is of one whose name the roots have, with another key.
    let advice = if ["UnknownIssuer", "BadSignature"].iter().any(|told| why.contains(told)) {
        "; name whoever vouches for the server with --tls-roots (tls_roots in a node)"
    } else if why.contains("InvalidContentType") {
        "; the server does not speak TLS there"
    } else {
        ""
    };
    format!("{why}{advice}")
}
