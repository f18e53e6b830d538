//! The control room as a picture: where everything stands, in 80 by 24 and in more.
//!
//! A pure function of the room and an instant. Called by the loop, and by tests on a backend of
//! memory.

use super::lists;
use super::room::{Room, Standing};
use super::series::{Column, Series, column_ms};
use super::sheet::{Boxed, Chart, Sheet, bar};
use client::storm::grouped;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use stock::api::{ClusterView, ProductView, Timestamp};

/// Below this nothing can be shown that could be read.
const COLUMNS_MIN: u16 = 50;
const ROWS_MIN: u16 = 16;
/// From here on parts are boxes, and charts have several rows.
const ROOMY_COLUMNS: u16 = 110;
const ROOMY_ROWS: u16 = 34;
/// Columns of a product's name, bar and count.
const NAME_COLUMNS: usize = 16;
const COUNT_COLUMNS: usize = 19;
/// Columns of what stands before a chart.
const LABEL_COLUMNS: u16 = 18;
/// A chart of rates is filled by at least so many a second, one of latencies by so many ms.
const TOP_MIN: f64 = 10.0;
/// What lies beyond the nodes' last bound, in a chart.
const BEYOND_MS: f64 = 5_000.0;

/// What all parts need.
#[derive(Clone, Copy)]
struct Brush<'a> {
    room: &'a Room,
    cluster: Option<&'a ClusterView>,
    sheet: Sheet,
    boxed: Boxed,
    now_ms: u64,
}

/// Draws the room as it is now.
pub(super) fn draw(frame: &mut Frame<'_>, room: &mut Room, sheet: Sheet, now_ms: u64) {
    let area = frame.area();
    if area.width < COLUMNS_MIN || area.height < ROWS_MIN {
        let words = format!(
            "top needs {COLUMNS_MIN}x{ROWS_MIN},\nthis has {}x{}.\nMake it larger, or\n\
             end it by q and use\nflashctl status.",
            area.width, area.height
        );
        frame.render_widget(Paragraph::new(words), area);
        return;
    }
    let roomy = area.width >= ROOMY_COLUMNS && area.height >= ROOMY_ROWS;
    let boxed = if roomy { Boxed::Whole } else { Boxed::Rule };
    let cluster = room.cluster(now_ms);
    let nodes = cluster.as_ref().map_or(3, |view| view.nodes.len()).max(1) as u16;
    let edge = if roomy { 2 } else { 1 };
    let (line, flow) = if roomy { (2, 9) } else { (1, 3) };
    // The header, the figures, the keys; then what the nodes and the flow take is given.
    let others = 3 + (flow + edge) + (nodes + 1 + edge) + edge;
    let spare = area.height.saturating_sub(others + edge);
    let wanted = (room.products.len().max(1) as u16).saturating_mul(line);
    let lists_min = if roomy { 6 } else { 3 };
    let products = wanted.min(spare.saturating_sub(lists_min)).max(line);
    let shown = usize::from(products / line);
    room.first = room.first.min(room.products.len().saturating_sub(shown));
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(products + edge),
        Constraint::Length(flow + edge),
        Constraint::Length(nodes + 1 + edge),
        Constraint::Fill(1),
        Constraint::Length(1),
    ]);
    let [head, figures, stock, flow, table, rest, keys] = rows.areas(area);
    let brush = Brush { room, cluster: cluster.as_ref(), sheet, boxed, now_ms };
    brush.head(frame, head);
    brush.figures(frame, figures);
    brush.products(frame, stock, line);
    brush.flow(frame, flow);
    lists::nodes(frame, table, room, brush.cluster, (sheet, boxed, now_ms));
    lists::rest(frame, rest, room, (sheet, boxed, now_ms));
    brush.keys(frame, keys);
}

impl Brush<'_> {
    /// Who leads, or what is wrong.
    fn head(&self, frame: &mut Frame<'_>, area: Rect) {
        let sheet = self.sheet;
        let mut words = vec![Span::styled(" flashnode ", sheet.title())];
        let (text, style) = match self.room.standing(self.cluster) {
            Standing::Asking => ("asking the nodes…".to_owned(), sheet.soft()),
            Standing::Silence(why) => (format!(" no node answers: {why} "), sheet.alarm()),
            Standing::Led { leader, term } => {
                (format!("node {leader} leads, term {term}"), sheet.good())
            }
            Standing::NoQuorum => {
                (" no leader has a quorum: nothing is sold ".to_owned(), sheet.alarm())
            }
        };
        words.push(Span::styled(text, style));
        if let Some(cluster) = self.cluster {
            let (up, all) = (self.room.answering(self.now_ms), cluster.nodes.len());
            let style = if up < all { sheet.warn() } else { sheet.soft() };
            words.push(Span::raw("   "));
            words.push(Span::styled(format!("{up} of {all} nodes answer"), style));
        }
        let left = Rect { width: area.width - right(area).width, ..area };
        frame.render_widget(Paragraph::new(Line::from(words)), left);
        let time = format!("{} UTC ", clock(self.now_ms));
        let style = sheet.soft();
        frame.render_widget(Paragraph::new(Line::styled(time, style).right_aligned()), right(area));
    }

    fn figures(&self, frame: &mut Frame<'_>, area: Rect) {
        let sum = |field: fn(&ProductView) -> u64| {
            grouped(self.room.products.iter().map(field).sum::<u64>())
        };
        let rate = self.room.rates.accepted.lately().map_or("–".into(), a_second);
        let p99 = self.room.latencies.p99.last().map_or("–".into(), ms);
        let mut words = Vec::new();
        let figures = [
            ("left", sum(|product| product.available)),
            ("sold", sum(|product| product.sold)),
            ("on hold", sum(|product| product.held)),
            ("accepted", format!("{rate}/s")),
            ("p99", p99),
            ("seq", grouped(self.room.seq().0)),
        ];
        // The last one only where there is room for it.
        let shown = if area.width < ROOMY_COLUMNS { figures.len() - 1 } else { figures.len() };
        for (name, value) in figures.into_iter().take(shown) {
            words.push(Span::styled(format!(" {name} "), self.sheet.soft()));
            words.push(Span::styled(value, self.sheet.strong()));
            words.push(Span::raw("  "));
        }
        frame.render_widget(Paragraph::new(Line::from(words)), area);
    }

    /// A product: its name, what is left of it, and how that was.
    fn products(&self, frame: &mut Frame<'_>, area: Rect, line: u16) {
        let (room, sheet) = (self.room, self.sheet);
        let shown = usize::from(area.height.saturating_sub(1) / line);
        let (first, all) = (room.first, room.products.len());
        let last = (first + shown).min(all);
        let more = match all {
            _ if first == 0 && last == all && !room.products_cut => String::new(),
            _ => {
                let cut = if room.products_cut { " and more" } else { "" };
                format!("{} to {last} of {all}{cut}, ↑ ↓", first + 1)
            }
        };
        let block = sheet.block("Stock", &more, self.boxed);
        let inside = block.inner(area);
        frame.render_widget(block, area);
        if all == 0 {
            let words = match room.standing(self.cluster) {
                Standing::Asking | Standing::Silence(_) => "Asking the nodes…",
                Standing::Led { .. } | Standing::NoQuorum => {
                    "Nothing is on sale: flashctl product create sneaker --stock 10000"
                }
            };
            frame.render_widget(Paragraph::new(Line::styled(words, sheet.soft())), inside);
            return;
        }
        let rows = inside.rows().step_by(usize::from(line));
        for (row, product) in rows.zip(&room.products[first..last]) {
            let row = Rect { height: line.min(inside.bottom() - row.y), ..row };
            self.product(frame, row, product);
        }
    }

    fn product(&self, frame: &mut Frame<'_>, row: Rect, product: &ProductView) {
        let sheet = self.sheet;
        let columns = usize::from(row.width).saturating_sub(NAME_COLUMNS + COUNT_COLUMNS + 3);
        // The bar and the chart share what is left; a chart needs no more than a column a slot.
        let bar_columns = (columns * 2 / 5).min(40);
        let (left, all) = (product.available, product.stocked);
        let style = match left {
            0 => sheet.bad(),
            _ if left.saturating_mul(10) < all => sheet.warn(),
            _ => sheet.good(),
        };
        let count = match left {
            0 if product.held == 0 => "sold out".to_owned(),
            _ => format!("{} of {}", grouped(left), grouped(all)),
        };
        // Of a product by the million only what is left has room.
        let count = if count.len() < COUNT_COLUMNS { count } else { grouped(left) };
        let name = cut(&crate::out::shown(&product.name), NAME_COLUMNS - 1);
        let mut words = vec![Span::styled(pad(&name, NAME_COLUMNS), sheet.strong())];
        words.extend(bar(sheet, (left, product.held, all), bar_columns));
        words.push(Span::styled(format!("{count:>COUNT_COLUMNS$}"), style));
        let mut lines = vec![Line::from(words)];
        if row.height > 1 {
            let sold = format!("{} sold", grouped(product.sold));
            let held = format!("{} on hold", grouped(product.held));
            let indent = " ".repeat(NAME_COLUMNS);
            lines.push(Line::styled(format!("{indent}{sold}, {held}"), sheet.soft()));
        }
        frame.render_widget(Paragraph::new(lines), row);
        let taken = (NAME_COLUMNS + bar_columns + COUNT_COLUMNS + 2) as u16;
        let place = Rect { x: row.x + taken, width: row.width.saturating_sub(taken), ..row };
        if let Some(series) = self.room.stock.get(&product.id) {
            self.chart(frame, place, series, Drawing { how: Column::Last, top: all as f64, style });
        }
    }

    /// Rates on the left, latencies on the right.
    fn flow(&self, frame: &mut Frame<'_>, area: Rect) {
        let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
        let (rates, sheet) = (&self.room.rates, self.sheet);
        let rate = |series: &Series| series.lately().map_or("–".into(), a_second);
        let inside = self.open(frame, left, "Buys per second");
        self.rows(
            frame,
            inside,
            [
                ("accepted", rate(&rates.accepted), &rates.accepted, sheet.good()),
                ("refused", rate(&rates.refused), &rates.refused, sheet.calm()),
                ("failed", rate(&rates.failed), &rates.failed, sheet.bad()),
            ],
            (Column::Mean, true),
        );
        let latencies = &self.room.latencies;
        let time = |series: &Series| series.last().map_or("–".into(), ms);
        let inside = self.open(frame, right, "Latency of a buy");
        self.rows(
            frame,
            inside,
            [
                ("p50", time(&latencies.p50), &latencies.p50, sheet.good()),
                ("p95", time(&latencies.p95), &latencies.p95, sheet.warn()),
                ("p99", time(&latencies.p99), &latencies.p99, sheet.bad()),
            ],
            (Column::Max, false),
        );
    }

    fn open(&self, frame: &mut Frame<'_>, area: Rect, title: &str) -> Rect {
        let block = self.sheet.block(title, "", self.boxed);
        let inside = block.inner(area);
        frame.render_widget(block, area);
        inside
    }

    /// Three series, each with its name, its value and its chart; all drawn to one measure, or
    /// each to its own.
    fn rows(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        rows: [(&str, String, &Series, Style); 3],
        (how, own): (Column, bool),
    ) {
        let width = area.width.saturating_sub(LABEL_COLUMNS);
        let height = (area.height / 3).max(1);
        let most = |series: &Series| {
            let columns = series.columns(self.now_ms, usize::from(width), how);
            let bounded = |value: f64| if value.is_finite() { value } else { BEYOND_MS };
            columns.into_iter().flatten().map(bounded).fold(TOP_MIN, f64::max)
        };
        let all = rows.iter().map(|(_, _, series, _)| most(series)).fold(TOP_MIN, f64::max);
        for (n, (name, value, series, style)) in (0..).zip(rows) {
            let row = Rect { y: area.y + n * height, height, ..area };
            if row.bottom() > area.bottom() {
                break;
            }
            let words = [
                Span::styled(format!("{name:<9}"), self.sheet.soft()),
                Span::styled(format!("{value:>8}"), style),
            ];
            frame.render_widget(Paragraph::new(Line::from_iter(words)), row);
            let place = Rect { x: row.x + LABEL_COLUMNS, width, ..row };
            let top = if own { most(series) } else { all };
            self.chart(frame, place, series, Drawing { how, top, style });
        }
    }

    fn chart(&self, frame: &mut Frame<'_>, place: Rect, series: &Series, drawing: Drawing) {
        let Drawing { how, top, style } = drawing;
        let width = usize::from(place.width);
        let columns = series.columns(self.now_ms, width, how);
        let column_ms = column_ms(width);
        let end = self.now_ms / column_ms;
        let mut marks = vec![false; width];
        for election in self.room.elections() {
            let back = end.saturating_sub(election.at_ms / column_ms);
            // What was before this room was entered is on no chart.
            let here = self.now_ms.saturating_sub(election.at_ms) <= self.room.age_ms(self.now_ms);
            if let Some(mark) = width.checked_sub(back as usize + 1).filter(|_| here) {
                marks[mark] = true;
            }
        }
        let mark = self.sheet.mark();
        Chart { columns: &columns, top, marks: &marks, style, mark }
            .draw(place, frame.buffer_mut());
    }

    fn keys(&self, frame: &mut Frame<'_>, area: Rect) {
        let sheet = self.sheet;
        let words = [
            Span::styled(" q", sheet.strong()),
            Span::styled(" end   ", sheet.soft()),
            Span::styled("↑ ↓", sheet.strong()),
            Span::styled(" products   ", sheet.soft()),
            Span::styled("┊", sheet.mark()),
            Span::styled(" the leader changed   ", sheet.soft()),
            Span::styled("charts go back a minute", sheet.soft()),
        ];
        frame.render_widget(Paragraph::new(Line::from_iter(words)), area);
    }
}

/// How a series is drawn.
#[derive(Clone, Copy)]
struct Drawing {
    how: Column,
    top: f64,
    style: Style,
}

/// The time of day.
pub(super) fn clock(at_ms: u64) -> String {
    let text = Timestamp::at_most(at_ms).to_string();
    text.get(11..19).unwrap_or_default().to_owned()
}

/// As many columns of a text as there are, or an ellipsis at its end.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if Span::raw(text).width() <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    for letter in text.chars() {
        if Span::raw(format!("{short}{letter}…")).width() > columns {
            break;
        }
        short.push(letter);
    }
    short + "…"
}

/// A text in so many columns, however many bytes it has.
pub(super) fn pad(text: &str, columns: usize) -> String {
    let width = Span::raw(text).width();
    format!("{text}{}", " ".repeat(columns.saturating_sub(width)))
}

fn right(area: Rect) -> Rect {
    let width = area.width.min(13);
    Rect { x: area.right() - width, width, ..area }
}

#[allow(clippy::cast_sign_loss, reason = "no rate is below zero")]
fn a_second(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 { format!("{rate:.1}") } else { grouped(rate.round() as u64) }
}

fn ms(value: f64) -> String {
    if value.is_infinite() {
        format!("> {BEYOND_MS:.0} ms")
    } else if value < 9.95 {
        format!("{value:.1} ms")
    } else {
        format!("{value:.0} ms")
    }
}
