//! How far the sinks are: every one that has a cursor or reports where it stands, wherever it runs,
//! and those inside nodes.
//!
//! Owns: what two sources say, as one row a target. A cursor says where a sink stands; the metrics
//! of the node in which one runs say that it is at work there, or refused. Never does: ask a target.

use client::{Client, ClientError};
use futures_util::future::join_all;
use serde::Serialize;
use sink::report::REPORTED;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stock::api::{CursorList, CursorView};
use stock::{NodeId, Seq};
use tokio::time::timeout;

/// How long the cursors, and then the oldest change that a sink does not have, may be waited for.
const ANSWER_MAX: Duration = Duration::from_secs(5);

const HEAD: [&str; 6] = ["sink", "at work", "position", "behind", "oldest", "target"];
/// Columns that are numbers, to the right.
const NUMBERS: [usize; 3] = [2, 3, 4];

/// One target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SinkView {
    /// What its cursor is called, or the sink in a node.
    name: String,
    /// What it is, and where, without what is secret; none where that was never said.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// How the position is known.
    known_by: KnownBy,
    /// The last change that the target has.
    position: u64,
    /// Changes that it does not have.
    lag_events: u64,
    /// How long ago the oldest of them was made, by this machine's clock; none when there is none,
    /// or no node tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_ms: Option<u64>,
    /// The node in which it runs, if it runs in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeId>,
    /// Whether its target refuses it; known of a sink in a node.
    refused: bool,
    /// How late the target got changes, 99 of 100; known of a sink in a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    late_p99_seconds: Option<f64>,
}

/// How it is known where a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum KnownBy {
    /// The sink begins from it.
    Cursor,
    /// The sink has said so, a second ago or more; the target knows better.
    Report,
    /// The node in which it runs.
    Node,
}

/// A sink as one node's metrics show it.
#[derive(Debug, Clone, PartialEq)]
struct InNode {
    node: NodeId,
    name: String,
    target: String,
    refused: bool,
    position: u64,
    lag_events: u64,
    late_p99_seconds: f64,
}

/// Asks for all of them.
///
/// # Errors
/// When no node tells of the cursors in time.
pub(super) async fn look(client: &Client) -> Result<Vec<SinkView>, ClientError> {
    let late = || ClientError::Unavailable { why: format!("no answer in {ANSWER_MAX:?}") };
    let cursors = async { timeout(ANSWER_MAX, client.cursors()).await.map_err(|_| late())? };
    let (cursors, in_nodes) = tokio::join!(cursors, in_nodes(client));
    let mut sinks = merged(cursors?, in_nodes);
    let ages = sinks.iter().map(|sink| oldest_ms(client, sink));
    for (age, sink) in join_all(ages).await.into_iter().zip(&mut sinks) {
        sink.lag_ms = age;
    }
    Ok(sinks)
}

/// Asks every node which sinks run there; who does not answer has none.
async fn in_nodes(client: &Client) -> Vec<InNode> {
    let asked = (0..client.nodes_count()).map(|node| async move {
        let view = client.cluster(node).await.ok()?;
        Some(read(view.node, &client.metrics(node).await.ok()?))
    });
    join_all(asked).await.into_iter().flatten().flatten().collect()
}

/// The sinks that run, or are refused, on this node.
fn read(node: NodeId, metrics: &str) -> Vec<InNode> {
    let value = |name: &str, sink: &str| {
        let series = format!("flashnode_sink_{name}{{sink=\"{sink}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series))
    };
    let sink = |line: &str| {
        let labels = line.strip_prefix("flashnode_sink_info{sink=\"")?.strip_suffix("\"} 1")?;
        let (name, target) = labels.split_once("\",target=\"")?;
        let refused = value("refused", name)? == "1";
        (refused || value("running", name)? == "1").then_some(())?;
        Some(InNode {
            node,
            name: name.to_owned(),
            target: target.replace("\\\"", "\"").replace("\\\\", "\\"),
            refused,
            position: value("position", name)?.parse().ok()?,
            lag_events: value("lag_events", name)?.parse().ok()?,
            late_p99_seconds: value("late_p99_seconds", name)?.parse().ok()?,
        })
    };
    metrics.lines().filter_map(sink).collect()
}

/// One row a target: a sink in a node and its cursor, or its report, are one.
fn merged(cursors: CursorList, in_nodes: Vec<InNode>) -> Vec<SinkView> {
    let mut sinks: Vec<SinkView> =
        cursors.cursors.into_iter().map(|cursor| of_cursor(cursor, cursors.seq)).collect();
    for found in in_nodes {
        let InNode { node, name, target, refused, position, lag_events, late_p99_seconds } = found;
        let (node, late_p99_seconds) = (Some(node), Some(late_p99_seconds));
        // Two cursors may be for one target; a report is for it, whatever the sink is called.
        let known = sinks.iter_mut().find(|sink| {
            let is_its = sink.name == name || sink.known_by == KnownBy::Report;
            is_its && sink.target.as_ref() == Some(&target)
        });
        if let Some(known) = known {
            (known.node, known.refused, known.late_p99_seconds) = (node, refused, late_p99_seconds);
            if known.known_by == KnownBy::Report {
                // The node has asked the target.
                (known.name, known.known_by) = (name, KnownBy::Node);
                (known.position, known.lag_events) = (position, lag_events);
            }
        } else {
            let (target, known_by, lag_ms) = (Some(target), KnownBy::Node, None);
            sinks.push(SinkView {
                name,
                target,
                known_by,
                position,
                lag_events,
                lag_ms,
                node,
                refused,
                late_p99_seconds,
            });
        }
    }
    sinks
}

fn of_cursor(cursor: CursorView, newest: Seq) -> SinkView {
    let CursorView { name, position, target, .. } = cursor;
    let is_report = name.as_str().starts_with(REPORTED);
    SinkView {
        name: name.to_string(),
        target: target.map(|target| target.to_string()),
        known_by: if is_report { KnownBy::Report } else { KnownBy::Cursor },
        position,
        lag_events: newest.0.saturating_sub(position),
        lag_ms: None,
        node: None,
        refused: false,
        late_p99_seconds: None,
    }
}

/// How long ago the first change was made that the target does not have.
async fn oldest_ms(client: &Client, sink: &SinkView) -> Option<u64> {
    if sink.lag_events == 0 {
        return None;
    }
    let mut events = client.events(Some(Seq(sink.position)));
    let oldest = timeout(ANSWER_MAX, events.next()).await.ok()?.ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_sub(oldest.at_ms))
}

/// As a table, after an empty line; nothing when there are none.
pub(super) fn in_words(sinks: &[SinkView]) -> String {
    if sinks.is_empty() {
        return String::new();
    }
    let rows: Vec<[String; 6]> = sinks.iter().map(row).collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = "\n".to_owned();
    for cells in std::iter::once(HEAD.map(str::to_owned)).chain(rows) {
        let cells = cells.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if NUMBERS.contains(&column) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

fn row(sink: &SinkView) -> [String; 6] {
    let at_work = match (sink.node, sink.refused) {
        (Some(node), false) => format!("node {node}"),
        (Some(node), true) => format!("node {node}, refused"),
        (None, _) if sink.known_by == KnownBy::Report => "reported".to_owned(),
        (None, _) => "-".to_owned(),
    };
    let oldest = match sink.lag_ms {
        Some(ms) => format!("{:.1} s", ms as f64 / 1000.0),
        None if sink.lag_events > 0 => "?".to_owned(),
        None => "-".to_owned(),
    };
    let target = sink.target.clone().unwrap_or_else(|| "-".to_owned());
    let (position, behind) = (sink.position.to_string(), sink.lag_events.to_string());
    [sink.name.clone(), at_work, position, behind, oldest, target]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(running: u8, refused: u8) -> String {
        [("postgres", "postgres://db:5432/shop/flashnode", 17), ("hook", "http://a:80/\\\"h", 20)]
            .map(|(sink, target, position)| {
                let lag = 20 - position;
                format!(
                    "# TYPE flashnode_sink_running gauge\n\
                     flashnode_sink_info{{sink=\"{sink}\",target=\"{target}\"}} 1\n\
                     flashnode_sink_running{{sink=\"{sink}\"}} {running}\n\
                     flashnode_sink_refused{{sink=\"{sink}\"}} {refused}\n\
                     flashnode_sink_position{{sink=\"{sink}\"}} {position}\n\
                     flashnode_sink_lag_events{{sink=\"{sink}\"}} {lag}\n\
                     flashnode_sink_late_p99_seconds{{sink=\"{sink}\"}} 0.25\n"
                )
            })
            .concat()
    }

    fn cursor(name: &str, position: u64, target: Option<&str>) -> CursorView {
        let target = target.map(|target| target.parse().unwrap());
        CursorView { name: name.parse().unwrap(), position, target, seq: Seq(20) }
    }

    fn list(cursors: Vec<CursorView>) -> CursorList {
        CursorList { cursors, seq: Seq(20) }
    }

    #[test]
    fn a_sink_is_shown_by_the_node_where_it_is_at_work_or_refused() {
        let node = NodeId(2);
        assert_eq!(read(node, ""), []);
        assert_eq!(read(node, &metrics(0, 0)), []);
        let found = read(node, &metrics(0, 1));
        assert_eq!((found.len(), found[0].refused, found[0].lag_events), (2, true, 3));
        assert_eq!(found[1].target, "http://a:80/\"h");
    }

    #[test]
    fn a_target_is_one_row_whoever_knows_of_it() {
        let cursors = || {
            list(vec![
                cursor("elsewhere", 3, Some("nats://b:4222/S/s")),
                cursor("former", 1, Some("http://a:80/\"h")),
                cursor("hook", 19, Some("http://a:80/\"h")),
                cursor("old", 25, None),
                cursor("reported.postgres-0a", 12, Some("postgres://db:5432/shop/flashnode")),
            ])
        };
        let sinks = merged(cursors(), read(NodeId(2), &metrics(1, 0)));
        let seen: Vec<_> = sinks
            .iter()
            .map(|sink| (sink.name.as_str(), sink.known_by, sink.position, sink.lag_events))
            .collect();
        assert_eq!(
            seen,
            [
                ("elsewhere", KnownBy::Cursor, 3, 17),
                ("former", KnownBy::Cursor, 1, 19),
                ("hook", KnownBy::Cursor, 19, 1),
                ("old", KnownBy::Cursor, 25, 0),
                ("postgres", KnownBy::Node, 17, 3),
            ]
        );
        let text = in_words(&sinks);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "",
                "sink       at work  position  behind  oldest  target",
                "elsewhere  -               3      17       ?  nats://b:4222/S/s",
                "former     -               1      19       ?  http://a:80/\"h",
                "hook       node 2         19       1       ?  http://a:80/\"h",
                "old        -              25       0       -  -",
                "postgres   node 2         17       3       ?  postgres://db:5432/shop/flashnode",
            ]
        );
        // Nobody runs it in a node: what it said itself.
        let sinks = merged(cursors(), Vec::new());
        assert_eq!((sinks[4].known_by, sinks[4].lag_events), (KnownBy::Report, 8));
        assert!(in_words(&sinks).contains("reported.postgres-0a  reported"), "{sinks:?}");
        assert_eq!(in_words(&[]), "");
    }
}
