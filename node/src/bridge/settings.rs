//! What a `[sink]` says, checked. What is secret of it is never shown.

use sink::Options;
use sink::cursor::Delivery;
use sink::files::Files;
use sink::nats::Nats;
use sink::postgres::Database;
use sink::rabbitmq::RabbitMq;
use sink::webhook::{self, Settings, Webhook};
use std::fmt;
use std::path::PathBuf;
use stock::CursorName;

/// One sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SinkConfig {
    /// What it is called in metrics and logs; the name of its cursor, if it has one.
    pub(crate) name: CursorName,
    /// Where to.
    pub(crate) to: SinkTo,
    /// The most changes written at once.
    pub(crate) batch_max: Option<usize>,
    /// The most rows, messages or lines written in a second.
    pub(crate) max_rows_per_second: Option<u32>,
}

/// Where a sink writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SinkTo {
    Postgres(Box<Database>),
    RabbitMq { to: Secret, queue: String },
    Nats { to: Secret, stream: String, subject: String, tls_roots: Option<PathBuf> },
    Webhook(WebhookTo),
    Files { dir: PathBuf, rotate_bytes: u64 },
}

/// A receiver, as [`Settings`] has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookTo {
    pub(crate) url: Secret,
    pub(crate) secret: Option<Secret>,
    pub(crate) dead_letters: Option<(PathBuf, u32)>,
    pub(crate) tls_roots: Option<PathBuf>,
    pub(crate) body_bytes_max: usize,
}

impl SinkConfig {
    /// The most changes written at once.
    pub(super) fn batch_max(&self, defaults: &Options) -> usize {
        let of_kind = match self.to {
            SinkTo::Webhook(_) => webhook::BATCH,
            _ => defaults.batch_max,
        };
        self.batch_max.unwrap_or(of_kind)
    }
}

impl SinkTo {
    /// Which system, and where in it, without what is secret.
    ///
    /// # Errors
    /// In words, when a file that it names cannot be used any more.
    pub(crate) fn identity(&self) -> Result<String, String> {
        Ok(match self {
            Self::Postgres(database) => database.identity(),
            Self::RabbitMq { to, queue } => RabbitMq::new(to.reveal(), queue)?.identity(),
            Self::Nats { to, stream, subject, tls_roots } => {
                Nats::new(to.reveal(), (stream, subject), tls_roots.clone())?.identity()
            }
            Self::Webhook(to) => Webhook::new(to.settings())?.identity(),
            Self::Files { dir, rotate_bytes } => Files::new(dir.clone(), *rotate_bytes).identity(),
        })
    }
}

impl WebhookTo {
    /// As the target takes them.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            url: self.url.reveal().to_owned(),
            secret: self.secret.as_ref().map(|secret| secret.reveal().as_bytes().to_vec()),
            dead_letters: self.dead_letters.clone(),
            tls_roots: self.tls_roots.clone(),
            body_bytes_max: self.body_bytes_max,
        }
    }
}

/// A text that may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl Secret {
    /// The text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<not shown>")
    }
}
