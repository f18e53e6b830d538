//! Log lines, on stderr: short ones for people, JSON for machines.
//!
//! By default our own crates say what happens at level info, and the libraries only warn.

use crate::config::Config;
use clap::ValueEnum;
use serde::Deserialize;
use std::fmt;
use std::io::IsTerminal;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::Subscriber;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// The level when none is said.
pub(crate) const LEVEL_DEFAULT: &str = "info";

/// The targets that are ours; a bare level is meant for them.
const OURS: [&str; 4] = ["flashnode", "raft", "sink", "stock"];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Short lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Makes the filter of a level (ours at that level, libraries at warn) or of directives (as they
/// are).
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, String> {
    let level = level.trim();
    if level.contains(['=', ',']) {
        return EnvFilter::try_new(level).map_err(|error| error.to_string());
    }
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    let level = level.to_ascii_lowercase();
    if !known.contains(&level.as_str()) {
        return Err("there is no such level".to_owned());
    }
    // openraft warns at every try to reach a peer that is down; our own lines say that once.
    let libraries = match level.as_str() {
        "off" | "error" => &level,
        _ => "warn,openraft=error",
    };
    let ours = OURS.map(|target| format!("{target}={level}")).join(",");
    EnvFilter::try_new(format!("{libraries},{ours}")).map_err(|error| error.to_string())
}

/// Whatever must be held until the process ends, so that nothing of it is lost.
pub(crate) struct Logging {
    #[cfg(feature = "otlp")]
    _flush: Option<crate::trace::otlp::Flush>,
}

/// A layer that exports spans.
type Export = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging as configured, once for the process.
#[must_use]
pub(crate) fn start(config: &Config) -> Logging {
    let (export, logging, problem) = export(config);
    let installed = filter(&config.log_level).and_then(|filter| {
        install(config.log_format, filter, export).map_err(|error| error.to_string())
    });
    if let Err(why) = installed {
        // The config was checked, so only a second start comes here. Silence would be worse.
        eprintln!("flashnode: logs go elsewhere: {why}");
    }
    if let Some(why) = problem {
        tracing::warn!("no spans are exported: {why}");
    }
    logging
}

#[cfg(feature = "otlp")]
fn export(config: &Config) -> (Option<Export>, Logging, Option<String>) {
    match crate::trace::otlp::layer(config.id, config.otlp_endpoint.as_deref()) {
        Ok(Some((layer, flush))) => (Some(layer.boxed()), Logging { _flush: Some(flush) }, None),
        Ok(None) => (None, Logging { _flush: None }, None),
        Err(why) => (None, Logging { _flush: None }, Some(why)),
    }
}

#[cfg(not(feature = "otlp"))]
fn export(_: &Config) -> (Option<Export>, Logging, Option<String>) {
    (None, Logging {}, None)
}

fn install(
    format: LogFormat,
    filter: EnvFilter,
    export: Option<Export>,
) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry();
    match export {
        None => registry.with(lines(format)).with(filter).try_init(),
        // What is exported is no matter of the log's filter.
        Some(export) => registry.with(export).with(lines(format).with_filter(filter)).try_init(),
    }
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'l> LookupSpan<'l> + Send + Sync,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Human => {
            let terminal = std::io::stderr().is_terminal();
            let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let lines = lines.compact().with_target(false).with_ansi(terminal && !no_color);
            if terminal { lines.with_timer(TimeOfDay).boxed() } else { lines.boxed() }
        }
    }
}

/// The time of day in UTC, to the millisecond. Whoever watches knows the date.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        write_time_of_day(writer, since.as_millis())
    }
}

fn write_time_of_day(writer: &mut impl fmt::Write, unix_ms: u128) -> fmt::Result {
    let (seconds, ms) = (unix_ms / 1000 % 86_400, unix_ms % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    write!(writer, "{hours:02}:{minutes:02}:{:02}.{ms:03}Z", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_ours_and_directives_are_as_they_are() {
        for (level, want) in [
            ("info", "warn,openraft=error,flashnode=info,raft=info,sink=info,stock=info"),
            (" DEBUG ", "warn,openraft=error,flashnode=debug,raft=debug,sink=debug,stock=debug"),
            ("off", "off,flashnode=off,raft=off,sink=off,stock=off"),
            ("warn,openraft=debug", "warn,openraft=debug"),
        ] {
            let mut got: Vec<String> =
                filter(level).unwrap().to_string().split(',').map(str::to_owned).collect();
            let mut want: Vec<String> = want.split(',').map(str::to_owned).collect();
            got.sort();
            want.sort();
            assert_eq!(got, want, "{level}");
        }
        for wrong in ["", "loud", "flashnode=loud", "=,="] {
            assert!(filter(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_time_of_day() {
        let mut text = String::new();
        write_time_of_day(&mut text, 1_700_000_000_042).unwrap();
        assert_eq!(text, "22:13:20.042Z");
    }
}
