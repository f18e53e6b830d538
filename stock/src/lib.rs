//! The stock of a flash sale as a pure, deterministic state machine, and the types it speaks.
//!
//! Owns: products, orders' identities, the request table, log time, the state hash. Never does:
//! IO, clocks, randomness, async, logging. Called by `raft` (apply, snapshots) and, for its types
//! only, by `node` and `client`.

pub mod api;
pub mod codec;
mod command;
mod cursors;
mod digest;
mod done;
mod event;
mod hash;
mod hold_tally;
mod hold_ttl;
mod holds;
mod ids;
mod items;
mod keys;
mod machine;
#[cfg(feature = "openapi")]
mod openapi;
mod order_index;
mod paged;
mod past;
mod price;
mod product;
mod quota;
mod receipt;
mod reply;
mod requests;
mod rows;
mod rules;
mod stored;
mod terms;
mod timestamp;
mod traces;

pub use command::{Attempt, Batch, Cancel, Command, Envelope, Requester};
pub use cursors::{CURSORS_MAX, CursorMove, CursorMoveFor, CursorRemoval};
pub use digest::{DIGEST_FORMAT, Digest, Digester, Undigested};
pub use done::DONE_MAX;
pub use event::{By, Change, Event, Order, OrderContent};
pub use hold_tally::HoldTally;
pub use hold_ttl::HoldTtl;
pub use holds::{Hold, HoldState, OPEN_HOLDS_MAX, SETTLED_MAX, Settlement, USER_HOLDS_MAX};
pub use ids::{CursorName, CursorTarget, InvalidId, NodeId, Quantity, RequestId, Seq, Sku, UserId};
pub use items::{InvalidItems, Item, Items, Line};
pub use keys::{DEBT_MAX, Debt, SetIf};
pub use machine::{
    Applied, Assembly, EXPIRIES_PER_APPLY_MAX, HotCopy, HotState, MAX_PRODUCTS, Machine, Restore,
    RestoreError,
};
pub use order_index::MARK_EVENTS;
pub use price::{Currency, Price};
pub use product::Product;
pub use receipt::{Chain, Receipt};
pub use reply::{Outcome, Refusal, Reply};
pub use requests::OUTCOME_RETENTION_MS;
pub use rules::{Bounds, Rules};
pub use stored::{COUNTER_STORED_MAX, OPERATOR_STORED_MAX, STORED_MAX};
pub use terms::{AT_MS_MAX, Edit, ProductUpdate, Terms, is_control};
pub use traces::Traces;
