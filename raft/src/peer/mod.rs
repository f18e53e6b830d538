//! How nodes speak to each other: bincode frames, on a listener of their own. What is said for
//! every batch goes over lines (`frames`, `line`, `desk`), everything else over HTTP.
//!
//! Every request carries an envelope (format version, cluster, who speaks and to which directory),
//! and a node answers only what is addressed to its own incarnation. So a node whose directory was
//! wiped can neither vote nor acknowledge for the directory that it replaced.

mod body;
mod clicks;
mod desk;
mod frames;
mod line;
mod lines;
mod link;
mod listener;
mod network;
mod server;
#[cfg(test)]
mod tests;
mod wire;

pub use clicks::{
    Allowance, Click, ClickAnswer, ClickFrame, ClickOutcome, ClicksAnswer, Limit, Limited, Room,
};
pub(crate) use link::{Call, Links, PeerError, wall_clock_ms};
pub(crate) use listener::listen;
pub(crate) use network::Network;
pub use wire::ForwardAnswer;
pub(crate) use wire::{
    ClockAnswer, FenceRequest, FormatAnswer, Hello, JoinAnswer, JoinRequest, PeerRefusal,
    ReadIndexAnswer,
};
