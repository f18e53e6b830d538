//! The network between the nodes: one TCP proxy for each ordered pair of them.
//!
//! Owns: what becomes of bytes that one node sends another. Never does: choose a fault, or know
//! what the bytes mean. Called by `cluster` and, through it, by the nemeses.
//!
//! | module | what it owns |
//! |---|---|
//! | `network` | all proxies of a cluster; which links are cut, slow or lossy |
//! | `link` | one proxy: it listens, and joins two sockets for each connection |
//! | `pump` | one direction of one connection |
//!
//! What a cut is here, and what it is in a real network:
//! - Bytes are held where they are, as TCP holds what was not acknowledged. When the link passes
//!   again they arrive, as after a retransmission; a peer that has given up meanwhile has closed
//!   its socket, and what it had sent before still arrives, late. No RST is made up.
//! - The system completes the handshake with the proxy, so that a connect over a cut link succeeds
//!   and stays silent, where a lost SYN would let it time out. That is the harder case: the caller
//!   cannot conclude that nothing was sent. A connection that was opened over a cut link and given
//!   up before it passed again never reaches the other side, as in a real network.
//! - A connect to a node that is down is accepted and then reset, for the same reason.

mod link;
mod network;
mod pump;
#[cfg(test)]
mod tests;

pub use link::{Link, Way};
pub use network::Network;
pub use pump::{Delay, Flow, Loss, Traffic};
