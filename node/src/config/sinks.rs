//! `[sink]`, or a `[[sink]]` for each of several: the settings of `flashctl sink`, by kind.
//!
//! A URL with a password, and the secret of a webhook, may be in a file or in the environment in
//! place of `cluster.toml`: `to_file`, `to_env`. What is not of its kind is refused. Never connects.

use super::ConfigError;
use crate::bridge::{Secret, SinkConfig, SinkTo, WebhookTo};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use sink::nats::Nats;
use sink::postgres::Database;
use sink::rabbitmq::RabbitMq;
use sink::report::{REPORTED, is_report};
use sink::webhook::{self, Webhook};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use stock::CursorName;
use toml::{Table, Value};

/// The most sinks of a node: each is a thread, and reads all changes.
const SINKS_MAX: usize = 8;
const MIB: u64 = 1024 * 1024;
/// What every kind takes besides its own.
const COMMON: [&str; 3] = ["name", "batch", "max_rows_per_second"];

/// All of them, as the file has them.
#[derive(Debug, Default)]
pub(super) struct SinkEntries(Vec<(Common, Entry)>);

impl<'de> Deserialize<'de> for SinkEntries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let tables = match Value::deserialize(from)? {
            Value::Table(table) => vec![table],
            Value::Array(values) => values
                .into_iter()
                .map(|value| value.try_into::<Table>().map_err(D::Error::custom))
                .collect::<Result<_, _>>()?,
            _ => return Err(D::Error::custom("a sink is a table: [sink], or [[sink]]")),
        };
        let entries = tables.into_iter().map(|table| entry(table).map_err(D::Error::custom));
        entries.collect::<Result<_, _>>().map(Self)
    }
}

/// What every kind takes.
#[derive(Debug, Deserialize)]
struct Common {
    name: Option<String>,
    batch: Option<u64>,
    max_rows_per_second: Option<u32>,
}

/// What a kind takes.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Entry {
    Postgres(PostgresEntry),
    Rabbitmq(RabbitMqEntry),
    Nats(NatsEntry),
    Webhook(WebhookEntry),
    Files(FilesEntry),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PostgresEntry {
    to: Option<String>,
    to_env: Option<String>,
    to_file: Option<PathBuf>,
    schema: Option<String>,
    tls_roots: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RabbitMqEntry {
    to: Option<String>,
    to_env: Option<String>,
    to_file: Option<PathBuf>,
    queue: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NatsEntry {
    to: Option<String>,
    to_env: Option<String>,
    to_file: Option<PathBuf>,
    stream: Option<String>,
    subject: Option<String>,
    tls_roots: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookEntry {
    url: Option<String>,
    url_env: Option<String>,
    url_file: Option<PathBuf>,
    secret_env: Option<String>,
    secret_file: Option<PathBuf>,
    dead_letters: Option<PathBuf>,
    tries: Option<u32>,
    max_body_kib: Option<usize>,
    tls_roots: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilesEntry {
    dir: PathBuf,
    rotate_mib: Option<u64>,
}

/// One table.
///
/// # Errors
/// In words, as what reads the file has them.
fn entry(mut table: Table) -> Result<(Common, Entry), String> {
    let take = |name: &str| table.remove(name).map(|value| (name.to_owned(), value));
    let common: Table = COMMON.map(take).into_iter().flatten().collect();
    let common = common.try_into().map_err(|why: toml::de::Error| told(&why))?;
    // As it was written when there was one kind: the URL under the kind's name.
    if !table.contains_key("kind")
        && let Some(url) = table.remove("postgres")
    {
        table.insert("kind".to_owned(), Value::String("postgres".to_owned()));
        if table.insert("to".to_owned(), url).is_some() {
            return Err("`postgres` and `to` are the same; leave one out".to_owned());
        }
    }
    if !table.contains_key("kind") {
        let kinds = r#""postgres", "rabbitmq", "nats", "webhook" or "files""#;
        return Err(format!("a sink has a kind: {kinds}"));
    }
    let entry = table.try_into().map_err(|why: toml::de::Error| {
        format!("{}; a sink of any kind also takes {}", told(&why), COMMON.join(", "))
    })?;
    Ok((common, entry))
}

fn told(why: &toml::de::Error) -> String {
    why.message().trim_end().to_owned()
}

impl SinkEntries {
    /// The settings, of an environment.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`], which names the sink.
    pub(super) fn check(
        self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<SinkConfig>, ConfigError> {
        let wrong = |why: String| ConfigError::OutOfRange(why);
        if self.0.len() > SINKS_MAX {
            return Err(wrong(format!("there are {} sinks; at most {SINKS_MAX}", self.0.len())));
        }
        let (mut sinks, mut names, mut targets) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for (common, entry) in self.0 {
            let (kind, to) = entry.check(&environment);
            let name = common.name.as_deref().unwrap_or(kind);
            let sink = to.and_then(|to| common.check(name, to));
            let sink = sink.map_err(|why| wrong(format!("[[sink]] {name}: {why}")))?;
            if !names.insert(sink.name.clone()) {
                let why = format!("two sinks are called {name}; give each a `name` of its own");
                return Err(wrong(why));
            }
            let identity = sink.to.identity().map_err(wrong)?;
            if !targets.insert(identity) {
                let why = format!("[[sink]] {name}: another one writes to the same target");
                return Err(wrong(why));
            }
            sinks.push(sink);
        }
        Ok(sinks)
    }
}

impl Common {
    fn check(&self, name: &str, to: SinkTo) -> Result<SinkConfig, String> {
        let Self { batch, max_rows_per_second, .. } = *self;
        let name = CursorName::new(name).map_err(|why| format!("its name: {why}"))?;
        if is_report(&name) {
            return Err(format!("its name: what begins with {REPORTED} is a report; use another"));
        }
        if max_rows_per_second == Some(0) {
            let why = "max_rows_per_second is 0, which writes nothing; leave it out for no limit";
            return Err(why.to_owned());
        }
        if batch.is_some_and(|batch| !(1..=50_000).contains(&batch)) {
            return Err("batch is out of range; use 1 to 50000".to_owned());
        }
        let batch_max = batch.and_then(|batch| usize::try_from(batch).ok());
        Ok(SinkConfig { name, to, batch_max, max_rows_per_second })
    }
}

impl Entry {
    /// Its kind, and where to.
    fn check(
        self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> (&'static str, Result<SinkTo, String>) {
        match self {
            Self::Postgres(entry) => ("postgres", entry.check(environment)),
            Self::Rabbitmq(entry) => ("rabbitmq", entry.check(environment)),
            Self::Nats(entry) => ("nats", entry.check(environment)),
            Self::Webhook(entry) => ("webhook", entry.check(environment)),
            Self::Files(entry) => ("files", entry.check()),
        }
    }
}

impl PostgresEntry {
    fn check(self, environment: impl Fn(&str) -> Option<String>) -> Result<SinkTo, String> {
        let to = Given { name: "to", here: self.to, env: self.to_env, file: self.to_file };
        let to = to.needed(environment)?;
        let schema = self.schema.as_deref().unwrap_or("flashnode");
        let database = Database::new(to.reveal(), schema, self.tls_roots)?;
        Ok(SinkTo::Postgres(Box::new(database)))
    }
}

impl RabbitMqEntry {
    fn check(self, environment: impl Fn(&str) -> Option<String>) -> Result<SinkTo, String> {
        let to = Given { name: "to", here: self.to, env: self.to_env, file: self.to_file };
        let to = to.needed(environment)?;
        let queue = self.queue.unwrap_or_else(|| "flashnode.events".to_owned());
        // What cannot be used is said now.
        RabbitMq::new(to.reveal(), &queue)?;
        Ok(SinkTo::RabbitMq { to, queue })
    }
}

impl NatsEntry {
    fn check(self, environment: impl Fn(&str) -> Option<String>) -> Result<SinkTo, String> {
        let to = Given { name: "to", here: self.to, env: self.to_env, file: self.to_file };
        let to = to.needed(environment)?;
        let stream = self.stream.unwrap_or_else(|| "FLASHNODE".to_owned());
        let subject = self.subject.unwrap_or_else(|| "flashnode".to_owned());
        // As above.
        Nats::new(to.reveal(), (&stream, &subject), self.tls_roots.clone())?;
        Ok(SinkTo::Nats { to, stream, subject, tls_roots: self.tls_roots })
    }
}

impl WebhookEntry {
    fn check(self, environment: impl Fn(&str) -> Option<String>) -> Result<SinkTo, String> {
        let url = Given { name: "url", here: self.url, env: self.url_env, file: self.url_file };
        let url = url.needed(&environment)?;
        let (env, file) = (self.secret_env, self.secret_file);
        let secret = Given { name: "secret", here: None, env, file }.told(&environment)?;
        let tries = match (self.tries, &self.dead_letters) {
            (Some(0), _) => return Err("tries is 0; use 1 or more".to_owned()),
            (Some(_), None) => return Err("tries needs dead_letters: a file".to_owned()),
            (tries, _) => tries.unwrap_or(5),
        };
        let dead_letters = self.dead_letters.map(|file| (file, tries));
        let body_kib_max = self.max_body_kib.unwrap_or(webhook::BODY_KIB_MAX);
        if !(1..=65_536).contains(&body_kib_max) {
            return Err("max_body_kib is out of range; use 1 to 65536".to_owned());
        }
        let body_bytes_max = body_kib_max * webhook::KIB;
        let to = WebhookTo { url, secret, dead_letters, tls_roots: self.tls_roots, body_bytes_max };
        // As above.
        Webhook::new(to.settings())?;
        Ok(SinkTo::Webhook(to))
    }
}

impl FilesEntry {
    fn check(self) -> Result<SinkTo, String> {
        let rotate_mib = self.rotate_mib.unwrap_or(64);
        if !(1..=65_536).contains(&rotate_mib) {
            return Err("rotate_mib is out of range; use 1 to 65536".to_owned());
        }
        Ok(SinkTo::Files { dir: self.dir, rotate_bytes: rotate_mib * MIB })
    }
}

/// A text that is here, in a variable, or in a file.
struct Given {
    name: &'static str,
    here: Option<String>,
    env: Option<String>,
    file: Option<PathBuf>,
}

impl Given {
    fn needed(self, environment: impl Fn(&str) -> Option<String>) -> Result<Secret, String> {
        let name = self.name;
        let told = self.told(environment)?;
        told.ok_or_else(|| format!("say where to: `{name}`, `{name}_env` or `{name}_file`"))
    }

    fn told(self, environment: impl Fn(&str) -> Option<String>) -> Result<Option<Secret>, String> {
        let Self { name, here, env, file } = self;
        let text = match (here, env, file) {
            (None, None, None) => return Ok(None),
            (Some(here), None, None) => here,
            (None, Some(variable), None) => {
                let unset = || format!("{name}_env: the variable {variable} is not set");
                environment(&variable).ok_or_else(unset)?
            }
            (None, None, Some(path)) => of_file(name, &path)?,
            _ => return Err(format!("`{name}` is said more than once; leave all but one out")),
        };
        if text.is_empty() {
            return Err(format!("`{name}` is empty"));
        }
        Ok(Some(Secret(text)))
    }
}

/// What a file says, without the end of its line.
fn of_file(name: &str, path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|why| format!("{name}_file {}: {why}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
