//! Why a call gave no result: one enum for the whole library.
//!
//! Owns: the messages, each of which says what to do. Never does: turn a refused or unknown *buy*
//! into an error; those are answers (see `answer`). Called by every module here; `flashctl` maps
//! the variants to exit codes.

use stock::api::Problem;

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A node's address cannot be used.
    #[error("{address:?} is not a node's address: {problem}; write HOST:PORT or http://HOST:PORT")]
    BadAddress {
        /// The address as it was given.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No address was given.
    #[error("no node to talk to; give at least one address, such as 127.0.0.1:8101")]
    NoNodes,
    /// The HTTP client could not be built.
    #[error("the HTTP client could not start: {0}")]
    Http(reqwest::Error),
    /// The cluster decided against it.
    #[error("{}: {}", .0.title, .0.detail)]
    Refused(Box<Problem>),
    /// Nothing was changed, and no node could decide in time.
    #[error(
        "no node could answer in time, and nothing was changed ({why}); look at `flashctl status` \
         and try again"
    )]
    Unavailable {
        /// What the last attempt met.
        why: String,
    },
    /// It may or may not have been done.
    #[error("the outcome is unknown ({why}); {advice}")]
    Unknown {
        /// What the last attempt met.
        why: String,
        /// How to find out.
        advice: &'static str,
    },
}

impl ClientError {
    /// True when trying again later may help.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown { .. })
    }
}
