//! The ratios as bars, in one self-contained SVG: a panel for each number of connections, a bar
//! for each contender's median, a whisker from its least to its most.

use crate::contender::Contender;
use crate::samples::Row;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 70.0;
const BAR: f64 = 16.0;
const PITCH: f64 = 26.0;
const PANEL_TOP: f64 = 34.0;
const PANEL_GAP: f64 = 18.0;
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2933}.t{font-weight:600}\
    .n{fill:#52606d}.b{fill:#9aa5b1}.f{fill:#0b7285}line{stroke:#1f2933}.g{stroke:#d9dee3}";

/// Draws the rows, which are sorted by connections.
pub(crate) fn plot(rows: &[Row]) -> String {
    let mut body = String::new();
    let mut top = 0.0;
    for panel in rows.chunk_by(|row, next| row.connections == next.connections) {
        top = draw(&mut body, panel, top) + PANEL_GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" role=\"img\" \
         aria-label=\"Accepted buys, as ratios to a handler that does nothing\">\
         <style>{STYLE}</style><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>{body}</svg>\n"
    )
}

/// Draws one panel below `top`, and returns where it ends.
fn draw(out: &mut String, panel: &[Row], top: f64) -> f64 {
    let most = panel.iter().map(|row| row.ratio.most).fold(1.0, f64::max);
    let x = |ratio: f64| LEFT + ratio / most * (WIDTH - LEFT - RIGHT);
    let first = top + PANEL_TOP;
    let end = first + PITCH * panel.len() as f64;
    let connections = panel.first().map_or(0, |row| row.connections);
    let plural = if connections == 1 { "" } else { "s" };
    // Writing to a string does not fail.
    let _written = write!(
        out,
        "<text class=\"t\" x=\"12\" y=\"{:.0}\">{connections} connection{plural}: accepted buys, \
         of a no-op's</text>",
        top + 22.0
    );
    for tenths in (0..=10).step_by(2) {
        let at = x(f64::from(tenths) / 10.0);
        let _written = write!(
            out,
            "<line class=\"g\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{first:.1}\" y2=\"{end:.1}\"/>"
        );
    }
    for (position, row) in panel.iter().enumerate() {
        bar(out, row, first + PITCH * position as f64, x);
    }
    end
}

fn bar(out: &mut String, row: &Row, y: f64, x: impl Fn(f64) -> f64) {
    let ours = matches!(row.contender, Contender::Flashnode | Contender::FlashnodeFollower);
    let (class, middle, base) = (if ours { "f" } else { "b" }, y + BAR / 2.0 + 2.0, y + BAR - 1.0);
    let (left, right) = (x(row.ratio.least), x(row.ratio.most));
    let length = (x(row.ratio.median) - LEFT).max(0.0);
    let _written = write!(
        out,
        "<text x=\"{:.0}\" y=\"{base:.0}\" text-anchor=\"end\">{}</text>\
         <rect class=\"{class}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{BAR}\"/>\
         <line x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\
         <text class=\"n\" x=\"{:.1}\" y=\"{base:.0}\">{:.2}</text>",
        LEFT - 8.0,
        row.contender.name(),
        y + 2.0,
        right + 6.0,
        row.ratio.median
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Spread;

    fn row(contender: Contender, connections: usize, ratio: f64) -> Row {
        let one = |median| Spread { median, least: median, most: median };
        Row {
            contender,
            connections,
            buys_a_second: one(1.0),
            ratio: one(ratio),
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
}
