//! `flashctl status`: a table of the nodes, as the first one that answers sees them.

use super::{Exit, Failure, Global};
use crate::out::{self, Paint};
use stock::api::{ClusterView, NodeView};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: flashctl status --nodes 127.0.0.1:8101,127.0.0.1:8102,127.0.0.1:8103

Exits with 3 when no node answers, or when the one that does knows no leader.")]
pub(crate) struct Args {}

const HEAD: [&str; 8] = ["node", "http", "role", "term", "commit", "applied", "lag", "seq"];
/// Columns that are text; the others are numbers, to the right.
const TEXT: [usize; 2] = [1, 2];

pub(crate) async fn run(_: &Args, global: &Global) -> Result<Exit, Failure> {
    let view = global.client()?.cluster_any().await?;
    if global.json {
        out::json(&view);
    } else {
        out::text(&in_words(&view, Paint::stdout()));
    }
    Ok(if view.leader.is_some() { Exit::Ok } else { Exit::Unavailable })
}

fn in_words(view: &ClusterView, paint: Paint) -> String {
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
            "leader" => paint.green(&cells),
            "follower" => cells,
            "unreachable" => paint.red(&cells),
            _ => paint.yellow(&cells),
        };
        text.push_str(painted.trim_end());
        text.push('\n');
    }
    if view.leader.is_none() {
        text.push_str("\nno leader: buys wait; start more nodes if fewer than a majority answer\n");
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
    use stock::{NodeId, Seq};

    #[test]
    fn the_table_lines_up() {
        let node = |id, role: &str, term| NodeView {
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
        };
        let view = ClusterView {
            cluster_id: Some("ab".into()),
            node: NodeId(1),
            leader: None,
            nodes: vec![node(1, "follower", 12), node(2, "unreachable", 0)],
        };
        let text = in_words(&view, Paint::stdout());
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
}
