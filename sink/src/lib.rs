//! Bridges out of a flashnode cluster: the committed changes, carried in order into the systems
//! that a shop already has.
//!
//! Owns: the way of each change from the feed into a target, exactly once where the target keeps
//! the position itself, at least once under a stable id where it cannot. Never does: talk to a
//! cluster by itself. A [`Source`] does that, so that the same loop runs inside a node on what the
//! node has applied, and in `flashctl` over HTTP. It imports `stock` alone, for the contract's
//! types. Called by `flashctl sink` and by `node/src/bridge`.
//!
//! | module | what it owns |
//! |---|---|
//! | [`source`] | what a sink asks of a cluster: the feed, the state export, how far it is |
//! | [`target`] | what a sink asks of the system that it writes to |
//! | [`run`](mod@run) | the loop: read, write, retry, stand by, stop |
//! | `feed` | the bounded queue between reading and writing |
//! | `retry` | how long to wait before the next attempt |
//! | [`pace`] | how many rows at once, and in a second |
//! | [`progress`] | how far it is, how late, as a metric and in words |
//! | [`changes`] | what a run of events does to orders, holds and products |
//! | [`report`] | where a target stands that keeps its position itself, told to the cluster |
//! | [`message`] | a change as a message: CloudEvents under an id that never changes |
//! | [`cursor`] | targets whose position is a cursor kept by the cluster |
//! | [`files`] | the target files: a line a change, rotated |
//! | [`webhook`] | the target webhook: signed POSTs |
//! | [`rabbitmq`] | the target RabbitMQ: a durable queue, publisher confirms |
//! | [`nats`] | the target NATS JetStream: a stream, message ids |
//! | [`postgres`] | the target PostgreSQL, and its comparison with the cluster |

pub mod changes;
pub mod cursor;
#[cfg(any(feature = "files", feature = "webhook"))]
mod durable;
mod feed;
#[cfg(feature = "files")]
pub mod files;
pub mod message;
#[cfg(feature = "nats")]
pub mod nats;
pub mod pace;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod progress;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
pub mod report;
mod retry;
pub mod run;
pub mod source;
pub mod target;
#[cfg(any(feature = "postgres", feature = "webhook"))]
mod tls;
#[cfg(feature = "webhook")]
pub mod webhook;

pub use pace::Pages;
pub use progress::Progress;
pub use run::{Options, SinkError, run};
pub use source::{Source, SourceError, Standing, State};
pub use target::{Applied, Target, TargetError};
