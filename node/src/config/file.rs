//! The shape of `cluster.toml`: one file for all nodes, each of which finds its own entry by id.

use super::ConfigError;
use super::sinks::SinkEntries;
use crate::logging::LogFormat;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The file. A key that is not here is refused, or a misspelt one would seem to work.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterFile {
    #[serde(default)]
    pub(super) node: Vec<NodeEntry>,
    pub(super) resp_debt: Option<bool>,
    pub(super) resp_max_connections: Option<u64>,
    pub(super) deadline_ms: Option<u64>,
    pub(super) wait_max_ms: Option<u64>,
    pub(super) max_connections: Option<u64>,
    pub(super) worker_threads: Option<u64>,
    pub(super) heartbeat_ms: Option<u64>,
    pub(super) election_min_ms: Option<u64>,
    pub(super) election_max_ms: Option<u64>,
    pub(super) snapshot_entries: Option<u64>,
    pub(super) keep_entries: Option<u64>,
    pub(super) events_mib: Option<u64>,
    pub(super) events_hours: Option<u64>,
    pub(super) drop_in_product: Option<String>,
    pub(super) drop_in_reset: Option<bool>,
    pub(super) demo: Option<bool>,
    pub(super) rate_limit: Option<RateLimitEntry>,
    pub(super) trusted_proxies: Option<Vec<String>>,
    #[serde(default)]
    pub(super) sink: SinkEntries,
    pub(super) log_format: Option<LogFormat>,
    pub(super) log_level: Option<String>,
}

/// `rate_limit`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitEntry {
    pub(super) per_user: Option<String>,
    pub(super) per_ip: Option<String>,
}

/// One `[[node]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeEntry {
    pub(super) id: u64,
    pub(super) peer: String,
    pub(super) http: Option<String>,
    pub(super) advertise_http: Option<String>,
    pub(super) resp: Option<String>,
    pub(super) data: Option<PathBuf>,
}

/// Reads a file.
///
/// # Errors
/// [`ConfigError::FileUnreadable`]; [`ConfigError::FileInvalid`] with line and column.
pub(super) fn read(path: &Path) -> Result<ClusterFile, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::FileUnreadable { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| ConfigError::FileInvalid {
        path: path.to_owned(),
        why: in_words(&error, &text),
    })
}

/// What is wrong, and where. Never with the line, which may have a password.
fn in_words(error: &toml::de::Error, text: &str) -> String {
    let place = error.span().and_then(|span| text.get(..span.start)).map(|before| {
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("line {}, column {column}: ", before.matches('\n').count() + 1)
    });
    format!("{}{}", place.unwrap_or_default(), error.message())
}
