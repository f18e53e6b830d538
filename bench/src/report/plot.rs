//! Figures as bars, in one self-contained SVG: a panel for each thing that is compared, a bar for
//! each median, a whisker from its least to its most.

use crate::contender::Contender;
use crate::samples::{Row, Spread};
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 206.0;
const RIGHT: f64 = 70.0;
const BAR: f64 = 16.0;
const PITCH: f64 = 26.0;
const PANEL_TOP: f64 = 34.0;
const PANEL_GAP: f64 = 18.0;
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2933}.t{font-weight:600}\
    .n{fill:#52606d}.b{fill:#9aa5b1}.f{fill:#0b7285}line{stroke:#1f2933}.g{stroke:#d9dee3}\
    .m{stroke:#c92a2a;stroke-dasharray:4 3}";

/// Bars of one scale, below a title.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    pub(crate) title: String,
    /// Where a line stands behind the bars.
    pub(crate) grid: Vec<f64>,
    /// What the bars should reach, or not pass.
    pub(crate) mark: Option<f64>,
    pub(crate) bars: Vec<Bar>,
}

/// One bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: Spread,
    pub(crate) is_ours: bool,
}

/// Draws the rows, which are sorted by connections: a panel for each number of those.
pub(crate) fn plot(rows: &[Row]) -> String {
    let panels: Vec<Panel> = rows
        .chunk_by(|row, next| row.connections == next.connections)
        .map(|rows| {
            let connections = rows.first().map_or(0, |row| row.connections);
            let plural = if connections == 1 { "" } else { "s" };
            Panel {
                title: format!("{connections} connection{plural}: accepted buys, of a no-op's"),
                grid: (0..=10).step_by(2).map(|tenths| f64::from(tenths) / 10.0).collect(),
                mark: None,
                bars: rows.iter().map(bar_of).collect(),
            }
        })
        .collect();
    draw_all("Accepted buys, as ratios to a handler that does nothing", &panels)
}

fn bar_of(row: &Row) -> Bar {
    let is_ours = matches!(row.contender, Contender::Flashnode | Contender::FlashnodeFollower);
    Bar { name: row.contender.name(), value: row.ratio, is_ours }
}

/// Draws the panels, one below the other.
pub(crate) fn draw_all(label: &str, panels: &[Panel]) -> String {
    let mut body = String::new();
    let mut top = 0.0;
    for panel in panels {
        top = draw(&mut body, panel, top) + PANEL_GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" role=\"img\" \
         aria-label=\"{label}\">\
         <style>{STYLE}</style><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>{body}</svg>\n"
    )
}

/// Draws one panel below `top`, and returns where it ends.
fn draw(out: &mut String, panel: &Panel, top: f64) -> f64 {
    let lines = panel.grid.iter().chain(&panel.mark).copied();
    let most =
        panel.bars.iter().map(|bar| bar.value.most).chain(lines).fold(f64::EPSILON, f64::max);
    let x = |value: f64| LEFT + value / most * (WIDTH - LEFT - RIGHT);
    let first = top + PANEL_TOP;
    let end = first + PITCH * panel.bars.len() as f64;
    // Writing to a string does not fail.
    let _written =
        write!(out, "<text class=\"t\" x=\"12\" y=\"{:.0}\">{}</text>", top + 22.0, panel.title);
    let mut line = |class: char, value: f64| {
        let at = x(value);
        let _written = write!(
            out,
            "<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{first:.1}\" y2=\"{end:.1}\"/>"
        );
    };
    panel.grid.iter().for_each(|value| line('g', *value));
    panel.mark.iter().for_each(|value| line('m', *value));
    for (position, bar) in panel.bars.iter().enumerate() {
        draw_bar(out, bar, first + PITCH * position as f64, x);
    }
    end
}

fn draw_bar(out: &mut String, bar: &Bar, y: f64, x: impl Fn(f64) -> f64) {
    let (class, middle, base) =
        (if bar.is_ours { "f" } else { "b" }, y + BAR / 2.0 + 2.0, y + BAR - 1.0);
    let (left, right) = (x(bar.value.least), x(bar.value.most));
    let length = (x(bar.value.median) - LEFT).max(0.0);
    let places = if bar.value.median < 10.0 { 2 } else { 0 };
    let _written = write!(
        out,
        "<text x=\"{:.0}\" y=\"{base:.0}\" text-anchor=\"end\">{}</text>\
         <rect class=\"{class}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{BAR}\"/>\
         <line x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\
         <text class=\"n\" x=\"{:.1}\" y=\"{base:.0}\">{:.places$}</text>",
        LEFT - 8.0,
        bar.name,
        y + 2.0,
        right + 6.0,
        bar.value.median
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(median: f64) -> Spread {
        Spread { median, least: median, most: median }
    }

    fn row(contender: Contender, connections: usize, ratio: f64) -> Row {
        Row {
            contender,
            connections,
            buys_a_second: one(1.0),
            ratio: one(ratio),
            p99_ratio: one(1.0),
            p50_us: one(1.0),
            p99_us: one(1.0),
            clients_cores: one(1.0),
            servers_cores: one(1.0),
            servers_peak_mib: one(1.0),
            errors: 0,
        }
    }

    #[test]
    fn every_row_has_its_bar_and_every_number_of_connections_its_panel() {
        let rows = [
            row(Contender::Noop, 1, 1.0),
            row(Contender::Flashnode, 1, 0.5),
            row(Contender::Noop, 64, 1.0),
        ];
        let drawn = plot(&rows);
        assert_eq!(drawn.matches("class=\"b\"").count(), 2);
        assert_eq!(drawn.matches("class=\"f\"").count(), 1);
        assert!(drawn.contains(">1 connection:") && drawn.contains(">64 connections:"));
    }

    #[test]
    fn a_mark_beyond_all_bars_is_within_the_panel() {
        let bar = Bar { name: "few".into(), value: one(1.0), is_ours: true };
        let title = "seconds".into();
        let panel = Panel { title, grid: vec![0.0], mark: Some(4.0), bars: vec![bar] };
        let drawn = draw_all("two", &[panel]);
        let quarter = LEFT + (WIDTH - LEFT - RIGHT) / 4.0;
        assert!(drawn.contains(&format!("width=\"{:.1}\"", quarter - LEFT)), "{drawn}");
        let end = format!("class=\"m\" x1=\"{:.1}\"", WIDTH - RIGHT);
        assert!(drawn.contains(&end), "{drawn}");
    }
}
