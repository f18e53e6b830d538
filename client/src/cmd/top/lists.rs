//! The tables of the control room: nodes, elections, holds, the last orders.

use super::draw::{clock, cut, pad};
use super::room::Room;
use super::sheet::{Boxed, Sheet};
use client::storm::grouped;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use stock::api::{ClusterView, NodeView};

/// The columns of the nodes' table: their names and widths. Text stands left, numbers right.
const COLUMNS: [(&str, usize); 8] = [
    ("node", 4),
    ("role", 10),
    ("term", 5),
    ("commit", 9),
    ("applied", 9),
    ("lag", 5),
    ("seq", 9),
    ("http", 22),
];
/// The column of a role, and that of an address.
const ROLE: usize = 1;
const HTTP: usize = 7;

/// How it looks, and when.
type Look = (Sheet, Boxed, u64);

/// A row a node, as the one has it that reaches most.
pub(super) fn nodes(
    frame: &mut Frame<'_>,
    area: Rect,
    room: &Room,
    cluster: Option<&ClusterView>,
    (sheet, boxed, now_ms): Look,
) {
    let seen = cluster.map_or(String::new(), |view| format!("as node {} sees them", view.node));
    let block = sheet.block("Nodes", &seen, boxed);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let names = COLUMNS.map(|(name, _)| name.to_owned());
    let mut lines = vec![Line::styled(line(&names), sheet.soft())];
    for node in cluster.iter().flat_map(|view| &view.nodes) {
        let mut cells = cells(node);
        if node.reachable && !room.hears(node.id, now_ms) {
            cells[HTTP].push_str(", not from here");
        }
        let style = match node.role.as_str() {
            "leader" => sheet.good().patch(sheet.strong()),
            "follower" => Style::new(),
            "unreachable" => sheet.bad(),
            _ => sheet.warn(),
        };
        lines.push(Line::styled(line(&cells), style));
    }
    frame.render_widget(Paragraph::new(lines), inside);
}

fn cells(node: &NodeView) -> [String; 8] {
    let number = |value: u64| if node.reachable { grouped(value) } else { "–".to_owned() };
    let role = match node.role.as_str() {
        "unreachable" => "down",
        other => other,
    };
    [
        node.id.to_string(),
        role.to_owned(),
        number(node.term),
        number(node.committed),
        number(node.applied),
        number(node.lag),
        number(node.seq.0),
        node.http.clone().unwrap_or_else(|| "–".to_owned()),
    ]
}

fn line(cells: &[String; 8]) -> String {
    let cell = |(n, (text, (_, width))): (usize, (&String, (&str, usize)))| match n {
        ROLE => format!(" {}", pad(text, width)),
        HTTP => format!("  {text}"),
        _ => format!("{text:>width$}"),
    };
    cells.iter().zip(COLUMNS).enumerate().map(cell).collect::<Vec<_>>().join(" ")
}

/// Elections, holds and orders, side by side.
pub(super) fn rest(frame: &mut Frame<'_>, area: Rect, room: &Room, look: Look) {
    let parts = [Constraint::Length(28), Constraint::Fill(2), Constraint::Fill(3)];
    let [left, middle, right] = Layout::horizontal(parts).areas(area);
    elections(frame, left, room, look);
    holds(frame, middle, room, look);
    orders(frame, right, room, look);
}

fn list(
    frame: &mut Frame<'_>,
    area: Rect,
    (title, more): (&str, &str),
    (sheet, boxed, _): Look,
    rows: impl FnOnce(usize) -> Vec<Line<'static>>,
    none: &'static str,
) {
    let block = sheet.block(title, more, boxed);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let mut lines = rows(usize::from(inside.width));
    lines.truncate(usize::from(inside.height));
    if lines.is_empty() {
        lines.push(Line::styled(none, sheet.soft()));
    }
    frame.render_widget(Paragraph::new(lines), inside);
}

fn elections(frame: &mut Frame<'_>, area: Rect, room: &Room, look: Look) {
    let sheet = look.0;
    let rows = |columns: usize| {
        let row = |election: client::control::Election| {
            let (words, style) = match election.leader {
                Some(leader) => (format!("node {leader}, term {}", election.term), Style::new()),
                None => ("no leader".to_owned(), sheet.bad()),
            };
            Line::from_iter([
                Span::styled(format!("{} ", clock(election.at_ms)), sheet.soft()),
                Span::styled(cut(&words, columns.saturating_sub(9)), style),
            ])
        };
        room.elections().into_iter().map(row).collect()
    };
    list(frame, area, ("Elections", ""), look, rows, "None seen yet.");
}

fn holds(frame: &mut Frame<'_>, area: Rect, room: &Room, look: Look) {
    let (sheet, _, now_ms) = look;
    let rows = |columns: usize| {
        let row = |hold: &client::control::OpenHold| {
            let left_s = hold.expires_at.ms().saturating_sub(now_ms).div_ceil(1000);
            let left = format!("{}:{:02}", left_s / 60, left_s % 60);
            let items = hold.items.iter().map(|item| (item.quantity, &item.product_id));
            let what = format!("{} {}", hold.hold_id, in_words(items));
            let columns = columns.saturating_sub(left.len() + 1);
            Line::from_iter([
                Span::raw(pad(&cut(&what, columns), columns)),
                Span::styled(format!(" {left}"), sheet.warn()),
            ])
        };
        room.holds.oldest.iter().map(row).collect()
    };
    let open = match room.holds.open {
        0 => String::new(),
        open => format!("{} open", grouped(open)),
    };
    list(frame, area, ("Holds", &open), look, rows, "Nothing is on hold.");
}

fn orders(frame: &mut Frame<'_>, area: Rect, room: &Room, look: Look) {
    let sheet = look.0;
    let rows = |columns: usize| {
        let row = |order: &stock::api::OrderView| {
            let items = order.items.iter().map(|item| (item.quantity, &item.product_id));
            let number = grouped(order.order_id.0);
            let what = format!("{} {}", order.user_id, in_words(items));
            let style = if order.cancelled { sheet.soft() } else { Style::new() };
            let columns = columns.saturating_sub(9 + number.len() + 1);
            Line::from_iter([
                Span::styled(format!("{} ", clock(order.at_ms)), sheet.soft()),
                Span::styled(number, sheet.strong()),
                Span::styled(format!(" {}", cut(&what, columns)), style),
            ])
        };
        room.orders.iter().rev().map(row).collect()
    };
    list(frame, area, ("Last orders", ""), look, rows, "No orders yet.");
}

fn in_words<'a>(items: impl Iterator<Item = (stock::Quantity, &'a stock::Sku)>) -> String {
    let one = |(quantity, sku): (stock::Quantity, &stock::Sku)| format!("{quantity} × {sku}");
    items.map(one).collect::<Vec<_>>().join(", ")
}
