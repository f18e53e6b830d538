//! The stock of a flash sale as a pure, deterministic state machine, and the types it speaks.
//!
//! Owns: products, orders' identities, the request table, log time, the state hash. Never does:
//! IO, clocks, randomness, async, logging. Called by `raft` (apply, snapshots) and, for its types
//! only, by `node` and `client`.

pub mod api;
pub mod codec;
mod command;
mod event;
mod hash;
mod ids;
mod machine;
mod quota;
mod reply;
mod requests;

pub use command::{Attempt, Batch, Command, CreateProduct, Envelope, Requester};
pub use event::{Change, Event, Order};
pub use ids::{InvalidId, NodeId, Quantity, RequestId, Seq, Sku, UserId};
pub use machine::{Applied, HotState, MAX_PRODUCTS, Machine, Restore, RestoreError};
pub use reply::{Outcome, Product, Refusal, Reply};
pub use requests::OUTCOME_RETENTION_MS;
