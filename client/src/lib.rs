//! The typed client of a flashnode cluster, and what is built from it: the storm of buyers, the
//! audit of what they were told, and a harness of real `flashnode` processes.
//!
//! Owns: the client's half of the HTTP contract, above all that a buy's three outcomes stay
//! apart. A buy is *decided* (yes or no), *surely not proposed* (try again as if nothing had
//! been), or *unknown* (it may be in the log; only a later attempt under the same request id can
//! tell). Never does: decide anything about stock; it has no copy of the machine, so that its
//! audit is an outsider's. Called by `flashctl`, by the tests of `node`, and by testers.
//!
//! | module | what it owns |
//! |---|---|
//! | [`answer`] | what one attempt came to |
//! | [`api`] | [`Client`]: one method a call of the contract, in files by what they are about |
//! | [`once`] | one attempt at one node, for recorders that number attempts themselves |
//! | [`settle`] | numbered attempts under one request id, until the buy is settled |
//! | [`batch`] | many buys in one call, each settled for itself |
//! | [`reads`] | how current the reads of a client are |
//! | [`events`] | the change feed, followed from node to node |
//! | [`levels`] | stock levels over a WebSocket, followed from node to node |
//! | [`control`] | what the control room shows besides |
//! | [`export`] | the whole state at one `seq`, line by line |
//! | [`health`] | what a node says of itself: alive, ready, its metrics |
//! | [`storm`] | many buyers at once, and the report |
//! | [`audit`] | what the buyers were told against what the cluster holds |
//! | [`verify`] | the chain of receipts over all orders, recomputed |
//! | [`cluster`] | real node processes: start, kill, pause, wipe |

pub mod answer;
pub mod api;
pub mod audit;
pub mod batch;
mod call;
pub mod cluster;
pub mod control;
mod cursors;
mod error;
pub mod events;
pub mod export;
pub mod health;
mod holds;
pub mod levels;
mod lines;
mod nodes;
pub mod once;
mod orders;
mod pace;
mod products;
pub mod reads;
pub mod settle;
pub mod storm;
mod stream;
pub mod verify;

pub use answer::{Answer, BuyAnswer, RefusedKind};
pub use api::{Client, Timeouts, new_request_id};
pub use error::ClientError;
pub use nodes::is_path_segment;
pub use settle::{BuyOutcome, Settled};
