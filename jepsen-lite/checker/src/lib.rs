//! Decides whether recorded histories are linearizable, and shows why not.
//!
//! Owns: what a history is, its file formats, the models, the exact search, the witness check of
//! whole runs, the ledger checks, and the explanation of an illegal history. Never does: run
//! anything, read a clock (but for a search's deadline), or know how flashnode works inside: the
//! model of it is written from its HTTP contract, never by calling `stock`, or the two would err
//! together. Called by `jepsen-lite`.
//!
//! | module | what it owns |
//! |---|---|
//! | [`value`] | a tree of EDN or JSON values |
//! | [`history`] | events, and their pairing into calls |
//! | [`mod@format`] | EDN, Jepsen's etcd log, JSONL |
//! | [`model`] | what a model is; `models` has the general ones |
//! | [`search`] | the exact checker |
//! | [`explain`] | why a history is illegal, in words |
//! | [`timeline`] | the same as one HTML file |
//! | [`flashnode`] | the model, witness and ledger of a flash sale; synthetic histories |

pub mod explain;
pub mod flashnode;
pub mod format;
pub mod history;
pub mod model;
pub mod models;
mod random;
pub mod search;
pub mod timeline;
pub mod value;

pub use history::{Call, Ending, Event, History, Malformed, Phase, Process};
pub use model::{Model, Reading};
pub use value::Value;
