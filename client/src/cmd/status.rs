//! `flashctl status`: a table of the nodes, as the one sees them that reaches most, and one of the
//! sinks.
//!
//! A leader that was cut off says of itself that it leads, until it hears of another. So whether
//! anything can be sold is decided by who follows: a leader has a quorum when a majority of the
//! nodes, itself among them, is in its term.

mod sinks;

use super::{Exit, Failure, Global};
use crate::out::{self, Paint};
use client::ClientError;
use futures_util::future::join_all;
use serde::Serialize;
use sinks::SinkView;
use std::fmt::Write as _;
use stock::NodeId;
use stock::api::{ClusterView, NodeView};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: flashctl status --nodes 127.0.0.1:8101,127.0.0.1:8102,127.0.0.1:8103

Exits with 3 when no node answers, or when no leader has a quorum: then nothing is sold.")]
pub(crate) struct Args {}

const HEAD: [&str; 8] = ["node", "http", "role", "term", "commit", "applied", "lag", "seq"];
/// Columns that are text; the others are numbers, to the right.
const TEXT: [usize; 2] = [1, 2];

pub(crate) async fn run(_: &Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let nodes = 0..client.nodes_count();
    let views = join_all(nodes.map(|node| client.cluster(node))).await;
    let view = best(views)?;
    let quorum = quorum(&view);
    let has_quorum = matches!(quorum, Quorum::Of(_));
    // Without one nobody can say how far anything is, and no sink inside a node runs.
    let sinks = if has_quorum { Some(sinks::look(&client).await) } else { None };
    let (sinks, why) = match sinks {
        Some(Ok(sinks)) => (Some(sinks), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    if global.json {
        out::json(&Shown { view: &view, quorum: has_quorum, sinks });
    } else {
        out::text(&in_words(&view, &quorum, Paint::stdout()));
        out::text(&sinks::in_words(sinks.as_deref().unwrap_or_default()));
    }
    if let Some(why) = why {
        eprintln!("flashctl: how far the sinks are is not known: {why}");
    }
    Ok(if has_quorum { Exit::Ok } else { Exit::Unavailable })
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    view: &'a ClusterView,
    /// Whether a leader has a majority behind it.
    quorum: bool,
    /// How far each sink is; absent when nobody can say.
    #[serde(skip_serializing_if = "Option::is_none")]
    sinks: Option<Vec<SinkView>>,
}

/// The view of the node that reaches most of the others; of several, one with a quorum, then the
/// newest. The failure of the last when there is none.
pub(super) fn best(
    views: Vec<Result<ClusterView, ClientError>>,
) -> Result<ClusterView, ClientError> {
    let (mut best, mut last) = (None, ClientError::NoNodes);
    let worth = |view: &ClusterView| {
        let reached = view.nodes.iter().filter(|node| node.reachable).count();
        let newest = view.nodes.iter().map(|node| node.term).max();
        (matches!(quorum(view), Quorum::Of(_)), reached, newest)
    };
    for view in views {
        match view {
            Ok(view) if best.as_ref().is_none_or(|best| worth(&view) > worth(best)) => {
                best = Some(view);
            }
            Ok(_) => {}
            Err(error) => last = error,
        }
    }
    best.ok_or(last)
}

/// Who decides, if anybody can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quorum {
    /// This leader.
    Of(NodeId),
    /// Nobody: this one says that it leads, and so few follow.
    Alone { leader: NodeId, followers: usize },
    /// Nobody says that they lead.
    Nobody,
}

pub(super) fn quorum(view: &ClusterView) -> Quorum {
    let leads = |node: &&NodeView| node.reachable && node.role == "leader";
    let Some(leader) = view.nodes.iter().filter(leads).max_by_key(|node| node.term) else {
        return Quorum::Nobody;
    };
    let follows =
        |node: &&NodeView| node.reachable && node.role == "follower" && node.term == leader.term;
    let followers = view.nodes.iter().filter(follows).count();
    if (followers + 1) * 2 > view.nodes.len() {
        Quorum::Of(leader.id)
    } else {
        Quorum::Alone { leader: leader.id, followers }
    }
}

fn in_words(view: &ClusterView, quorum: &Quorum, paint: Paint) -> String {
    let rows: Vec<[String; 8]> = view.nodes.iter().map(row).collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let line = |cells: [&str; 8]| {
        let cells = cells.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if TEXT.contains(&column) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    let id = view.cluster_id.as_deref().unwrap_or("not formed yet");
    let mut text = format!("cluster {id}, as node {} sees it\n\n", view.node);
    text.push_str(&paint.bold(&line(HEAD)));
    text.push('\n');
    for (row, node) in rows.iter().zip(&view.nodes) {
        let cells = line(row.each_ref().map(String::as_str));
        let painted = match node.role.as_str() {
            "leader" if *quorum == Quorum::Of(node.id) => paint.green(&cells),
            "follower" => cells,
            "unreachable" => paint.red(&cells),
            _ => paint.yellow(&cells),
        };
        text.push_str(painted.trim_end());
        text.push('\n');
    }
    match quorum {
        Quorum::Of(_) => {}
        Quorum::Alone { leader, followers } => {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "\nno leader has a quorum: node {leader} says that it leads, and {followers} of {} \
                 others follow;\nnothing is sold until a majority of the nodes is back",
                view.nodes.len() - 1
            );
        }
        Quorum::Nobody => text.push_str(
            "\nno leader: nothing is sold; start more nodes if fewer than a majority answer\n",
        ),
    }
    text
}

fn row(node: &NodeView) -> [String; 8] {
    let http = node.http.clone().unwrap_or_else(|| "-".into());
    let number = |value: u64| {
        if node.reachable { value.to_string() } else { "-".into() }
    };
    [
        node.id.to_string(),
        http,
        node.role.clone(),
        number(node.term),
        number(node.committed),
        number(node.applied),
        number(node.lag),
        number(node.seq.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use stock::Seq;

    fn node(id: u64, role: &str, term: u64) -> NodeView {
        NodeView {
            id: NodeId(id),
            http: Some(format!("127.0.0.1:810{id}")),
            reachable: role != "unreachable",
            role: role.into(),
            term,
            last_log: 9,
            purged: None,
            committed: 1234,
            applied: 9,
            lag: 0,
            seq: Seq(7),
            state_hash: "00".into(),
            clock_off_ms: None,
        }
    }

    /// As a node sees three: their roles and terms.
    fn view(seen: [(&str, u64); 3]) -> ClusterView {
        let nodes = (1..).zip(seen).map(|(id, (role, term))| node(id, role, term)).collect();
        let leader = Some(NodeId(1));
        ClusterView { cluster_id: Some("ab".into()), node: NodeId(1), leader, nodes }
    }

    #[test]
    fn the_table_lines_up() {
        let view = ClusterView {
            leader: None,
            nodes: vec![node(1, "follower", 12), node(2, "unreachable", 0)],
            ..view([("follower", 12); 3])
        };
        let text = in_words(&view, &quorum(&view), Paint::stdout());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            &lines[2..5],
            [
                "node  http            role         term  commit  applied  lag  seq",
                "   1  127.0.0.1:8101  follower       12    1234        9    0    7",
                "   2  127.0.0.1:8102  unreachable     -       -        -    -    -",
            ]
        );
        assert!(text.contains("no leader"));
    }

    #[test]
    fn a_leader_needs_followers_in_its_term() {
        let (one, leader) = (NodeId(1), ("leader", 3));
        for (others, expected) in [
            ([("follower", 3), ("follower", 3)], Quorum::Of(one)),
            ([("unreachable", 0), ("follower", 3)], Quorum::Of(one)),
            ([("unreachable", 0); 2], Quorum::Alone { leader: one, followers: 0 }),
            ([("fenced", 3), ("forming", 3)], Quorum::Alone { leader: one, followers: 0 }),
            ([("follower", 4), ("candidate", 4)], Quorum::Alone { leader: one, followers: 0 }),
            ([("leader", 4), ("follower", 4)], Quorum::Of(NodeId(2))),
        ] {
            let view = view([leader, others[0], others[1]]);
            let found = quorum(&view);
            assert_eq!(found, expected, "{others:?}");
            let alone = in_words(&view, &found, Paint::stdout()).contains("no leader has a quorum");
            assert_eq!(alone, matches!(expected, Quorum::Alone { .. }));
        }
        assert_eq!(quorum(&view([("candidate", 3); 3])), Quorum::Nobody);
    }

    #[test]
    fn the_view_with_a_quorum_is_the_one_that_counts() {
        let old = view([("leader", 3), ("unreachable", 0), ("unreachable", 0)]);
        let new = view([("unreachable", 0), ("leader", 4), ("follower", 4)]);
        for order in [[&old, &new], [&new, &old]] {
            assert_eq!(best(order.map(|view| Ok(view.clone())).into()).unwrap(), new);
        }
        assert!(best(vec![Err(ClientError::NoNodes)]).is_err());
    }
}
