//! The flags, and the `FLASHNODE_*` variables, which take the same values.

use super::{ConfigError, mutant};
use crate::logging::LogFormat;
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLE: &str = "\
Examples:
  A cluster of three on one machine, one command in each of three terminals:
    flashnode --id 1 --peers 1=127.0.0.1:7101,2=127.0.0.1:7102,3=127.0.0.1:7103
    flashnode --id 2 --peers 1=127.0.0.1:7101,2=127.0.0.1:7102,3=127.0.0.1:7103
    flashnode --id 3 --peers 1=127.0.0.1:7101,2=127.0.0.1:7102,3=127.0.0.1:7103

  The same from a file:
    flashnode --id 1 --config cluster.toml

  The same command starts a node the first time and every later time.
  Flags go before variables, variables before the file, the file before defaults.";

/// One node of a replicated flash-sale stock.
///
/// Three or five of these hold the stock together; buyers may ask any of them.
#[derive(Debug, Default, Parser)]
#[command(name = "flashnode", version = mutant::VERSION, after_help = EXAMPLE, after_long_help = EXAMPLE)]
pub(super) struct Flags {
    /// Which node of the cluster this is: 1, 2, 3, … [env: FLASHNODE_ID]
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<u64>,

    /// Every node's peer listener, this one's too: where it binds, and how it reaches the others
    /// [env: FLASHNODE_PEERS]
    #[arg(long, value_name = "ID=HOST:PORT,…")]
    pub(super) peers: Option<String>,

    /// A file with the cluster's nodes and settings, such as cluster.toml [env: FLASHNODE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Where the public listener binds [default: 127.0.0.1:8100+ID] [env: FLASHNODE_HTTP]
    #[arg(long, value_name = "IP:PORT")]
    pub(super) http: Option<String>,

    /// The public listener's address as clients reach it [default: --http]
    /// [env: FLASHNODE_ADVERTISE_HTTP]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) advertise_http: Option<String>,

    /// Where a listener of the Redis protocol binds; it trusts whoever reaches it [default: none]
    /// [env: FLASHNODE_RESP]
    #[arg(long, value_name = "IP:PORT")]
    pub(super) resp: Option<String>,

    /// Whether a DECR below zero there makes debt instead of an error; all nodes should do alike
    /// [default: false] [env: FLASHNODE_RESP_DEBT]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true)]
    pub(super) resp_debt: Option<bool>,

    /// The most connections there, besides those of HTTP; further ones are refused [default: 10000]
    /// [env: FLASHNODE_RESP_MAX_CONNECTIONS]
    #[arg(long, value_name = "N")]
    pub(super) resp_max_connections: Option<u64>,

    /// The node's own directory [default: ./data/node-ID] [env: FLASHNODE_DATA]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,

    /// How long a request may wait for its answer, in ms [default: 5000]
    /// [env: FLASHNODE_DEADLINE_MS]
    #[arg(long, value_name = "MS")]
    pub(super) deadline_ms: Option<u64>,

    /// How long a buy may wait for its turn where more comes than can be done, in ms; one that
    /// would wait longer gets a 503 at once [default: 2500] [env: FLASHNODE_WAIT_MAX_MS]
    #[arg(long, value_name = "MS")]
    pub(super) wait_max_ms: Option<u64>,

    /// The most connections of the public listener; further ones get a 503 [default: 20000]
    /// [env: FLASHNODE_MAX_CONNECTIONS]
    #[arg(long, value_name = "N")]
    pub(super) max_connections: Option<u64>,

    /// Threads that answer and replicate, besides those of the disk [default: half of the cores]
    /// [env: FLASHNODE_WORKER_THREADS]
    #[arg(long, value_name = "N")]
    pub(super) worker_threads: Option<u64>,

    /// Time between a leader's heartbeats, in ms [default: 40] [env: FLASHNODE_HEARTBEAT_MS]
    #[arg(long, value_name = "MS")]
    pub(super) heartbeat_ms: Option<u64>,

    /// The least silence after which a follower campaigns, in ms [default: 120]
    /// [env: FLASHNODE_ELECTION_MIN_MS]
    #[arg(long, value_name = "MS")]
    pub(super) election_min_ms: Option<u64>,

    /// The most silence after which a follower campaigns, in ms [default: 240]
    /// [env: FLASHNODE_ELECTION_MAX_MS]
    #[arg(long, value_name = "MS")]
    pub(super) election_max_ms: Option<u64>,

    /// Log entries between snapshots [default: 10000] [env: FLASHNODE_SNAPSHOT_ENTRIES]
    #[arg(long, value_name = "N")]
    pub(super) snapshot_entries: Option<u64>,

    /// Log entries kept behind a snapshot, so that a node that lags by less needs none
    /// [default: 2000] [env: FLASHNODE_KEEP_ENTRIES]
    #[arg(long, value_name = "N")]
    pub(super) keep_entries: Option<u64>,

    /// Events of at most so many MiB are given one by one, besides those in memory
    /// [default: all] [env: FLASHNODE_EVENTS_MIB]
    #[arg(long, value_name = "MIB")]
    pub(super) events_mib: Option<u64>,

    /// Events of at most so many hours are given one by one, besides those in memory
    /// [default: all] [env: FLASHNODE_EVENTS_HOURS]
    #[arg(long, value_name = "HOURS")]
    pub(super) events_hours: Option<u64>,

    /// The product that POST /beli sells and POST /reset restocks [default: none]
    /// [env: FLASHNODE_DROP_IN_PRODUCT]
    #[arg(long, value_name = "ID")]
    pub(super) drop_in_product: Option<String>,

    /// Whether there is a POST /reset, for demonstrations [default: false]
    /// [env: FLASHNODE_DROP_IN_RESET]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true)]
    pub(super) drop_in_reset: Option<bool>,

    /// Whether the control room at /control may storm this cluster [default: false]
    /// [env: FLASHNODE_DEMO]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true)]
    pub(super) demo: Option<bool>,

    /// How many clicks (buys and holds) a user has, such as 3/min: so many at once, and evenly so
    /// many more in each s, min or hour [default: off] [env: FLASHNODE_RATE_LIMIT_PER_USER]
    #[arg(long, value_name = "N/UNIT")]
    pub(super) rate_limit_per_user: Option<String>,

    /// How many clicks may come from one client address; an IPv6 one counts with its /64
    /// [default: off] [env: FLASHNODE_RATE_LIMIT_PER_IP]
    #[arg(long, value_name = "N/UNIT")]
    pub(super) rate_limit_per_ip: Option<String>,

    /// Whose X-Forwarded-For is believed: addresses and CIDR blocks [default: nobody's]
    /// [env: FLASHNODE_TRUSTED_PROXIES]
    #[arg(long, value_name = "ADDRESS,…")]
    pub(super) trusted_proxies: Option<String>,

    /// How log lines look [default: human] [env: FLASHNODE_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,

    /// A level, or directives such as warn,flashnode=debug [default: info] [env: FLASHNODE_LOG]
    #[arg(long, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,

    /// A collector that takes the spans of each request over OTLP/HTTP, such as
    /// http://127.0.0.1:4318; in a build with the feature otlp [default: none]
    /// [env: FLASHNODE_OTLP_ENDPOINT]
    #[arg(long, value_name = "URL")]
    pub(super) otlp_endpoint: Option<String>,
}

/// Each variable and the flag that it stands for.
pub(super) const VARIABLES: [(&str, &str); 29] = [
    ("FLASHNODE_ID", "--id"),
    ("FLASHNODE_PEERS", "--peers"),
    ("FLASHNODE_CONFIG", "--config"),
    ("FLASHNODE_HTTP", "--http"),
    ("FLASHNODE_ADVERTISE_HTTP", "--advertise-http"),
    ("FLASHNODE_RESP", "--resp"),
    ("FLASHNODE_RESP_DEBT", "--resp-debt"),
    ("FLASHNODE_RESP_MAX_CONNECTIONS", "--resp-max-connections"),
    ("FLASHNODE_DATA", "--data"),
    ("FLASHNODE_DEADLINE_MS", "--deadline-ms"),
    ("FLASHNODE_WAIT_MAX_MS", "--wait-max-ms"),
    ("FLASHNODE_MAX_CONNECTIONS", "--max-connections"),
    ("FLASHNODE_WORKER_THREADS", "--worker-threads"),
    ("FLASHNODE_HEARTBEAT_MS", "--heartbeat-ms"),
    ("FLASHNODE_ELECTION_MIN_MS", "--election-min-ms"),
    ("FLASHNODE_ELECTION_MAX_MS", "--election-max-ms"),
    ("FLASHNODE_SNAPSHOT_ENTRIES", "--snapshot-entries"),
    ("FLASHNODE_KEEP_ENTRIES", "--keep-entries"),
    ("FLASHNODE_EVENTS_MIB", "--events-mib"),
    ("FLASHNODE_EVENTS_HOURS", "--events-hours"),
    ("FLASHNODE_DROP_IN_PRODUCT", "--drop-in-product"),
    ("FLASHNODE_DROP_IN_RESET", "--drop-in-reset"),
    ("FLASHNODE_DEMO", "--demo"),
    ("FLASHNODE_RATE_LIMIT_PER_USER", "--rate-limit-per-user"),
    ("FLASHNODE_RATE_LIMIT_PER_IP", "--rate-limit-per-ip"),
    ("FLASHNODE_TRUSTED_PROXIES", "--trusted-proxies"),
    ("FLASHNODE_LOG_FORMAT", "--log-format"),
    ("FLASHNODE_LOG", "--log-level"),
    ("FLASHNODE_OTLP_ENDPOINT", "--otlp-endpoint"),
];

impl Flags {
    /// Parses the program's arguments, its name first.
    ///
    /// # Errors
    /// [`ConfigError::Usage`], also for `--help` and `--version`.
    pub(super) fn parse_args(
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, ConfigError> {
        Ok(Self::try_parse_from(args)?)
    }

    /// Parses each variable as its flag would be. An empty one counts as absent, and one that is
    /// not in [`VARIABLES`] as none of ours: schedulers put names of their own there.
    ///
    /// # Errors
    /// [`ConfigError::Environment`] naming the variable.
    pub(super) fn parse_environment(
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut flags = Self::default();
        for (variable, flag) in VARIABLES {
            let Some(value) = environment(variable).filter(|value| !value.is_empty()) else {
                continue;
            };
            let args = ["flashnode".to_owned(), format!("{flag}={value}")];
            let one = Self::try_parse_from(args).map_err(|error| {
                let text = error.to_string();
                let why = text.lines().next().unwrap_or_default();
                let why = why.strip_prefix("error: ").unwrap_or(why).to_owned();
                ConfigError::Environment { variable, why }
            })?;
            flags = flags.or(one);
        }
        Ok(flags)
    }

    /// These flags, and where they say nothing, the others.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            id: self.id.or(other.id),
            peers: self.peers.or(other.peers),
            config: self.config.or(other.config),
            http: self.http.or(other.http),
            advertise_http: self.advertise_http.or(other.advertise_http),
            resp: self.resp.or(other.resp),
            resp_debt: self.resp_debt.or(other.resp_debt),
            resp_max_connections: self.resp_max_connections.or(other.resp_max_connections),
            data: self.data.or(other.data),
            deadline_ms: self.deadline_ms.or(other.deadline_ms),
            wait_max_ms: self.wait_max_ms.or(other.wait_max_ms),
            max_connections: self.max_connections.or(other.max_connections),
            worker_threads: self.worker_threads.or(other.worker_threads),
            heartbeat_ms: self.heartbeat_ms.or(other.heartbeat_ms),
            election_min_ms: self.election_min_ms.or(other.election_min_ms),
            election_max_ms: self.election_max_ms.or(other.election_max_ms),
            snapshot_entries: self.snapshot_entries.or(other.snapshot_entries),
            keep_entries: self.keep_entries.or(other.keep_entries),
            events_mib: self.events_mib.or(other.events_mib),
            events_hours: self.events_hours.or(other.events_hours),
            drop_in_product: self.drop_in_product.or(other.drop_in_product),
            drop_in_reset: self.drop_in_reset.or(other.drop_in_reset),
            demo: self.demo.or(other.demo),
            rate_limit_per_user: self.rate_limit_per_user.or(other.rate_limit_per_user),
            rate_limit_per_ip: self.rate_limit_per_ip.or(other.rate_limit_per_ip),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            log_format: self.log_format.or(other.log_format),
            log_level: self.log_level.or(other.log_level),
            otlp_endpoint: self.otlp_endpoint.or(other.otlp_endpoint),
        }
    }
}
