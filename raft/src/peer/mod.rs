//! How nodes speak to each other: bincode frames over HTTP, on a listener of their own.
//!
//! Every request carries an envelope (format version, cluster, who speaks and to which directory),
//! and a node answers only what is addressed to its own incarnation. So a node whose directory was
//! wiped can neither vote nor acknowledge for the directory that it replaced.

mod clicks;
mod link;
mod network;
mod server;
mod wire;

pub use clicks::{
    Allowance, Click, ClickAnswer, ClickFrame, ClickOutcome, ClicksAnswer, Limit, Limited, Room,
};
pub(crate) use link::{Call, Links, PeerError, wall_clock_ms};
pub(crate) use network::Network;
pub(crate) use server::router;
pub use wire::ForwardAnswer;
pub(crate) use wire::{
    ClockAnswer, FenceRequest, FormatAnswer, Hello, JoinAnswer, JoinRequest, PeerRefusal,
    ReadIndexAnswer,
};
