//! Values over time as lines, one panel below the other, in one self-contained SVG.

use std::fmt::Write;
use std::time::Duration;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const HEIGHT: f64 = 130.0;
const TOP: f64 = 34.0;
const GAP: f64 = 30.0;
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2933}.t{font-weight:600}\
    .n{fill:#52606d}polyline{fill:none;stroke:#0b7285;stroke-width:1.5}line{stroke:#d9dee3}";

/// A panel.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// One for each span of time.
    pub(crate) values: Vec<f64>,
}

/// Draws them over the same time and to the same height.
pub(crate) fn lines(label: &str, span: Duration, lines: &[Line]) -> String {
    let spans = lines.iter().map(|line| line.values.len()).max().unwrap_or(0).max(2);
    let most = lines.iter().flat_map(|line| &line.values).copied().fold(1.0, f64::max);
    let height = (TOP + HEIGHT + GAP) * lines.len() as f64;
    let mut body = String::new();
    for (nth, line) in lines.iter().enumerate() {
        let top = (TOP + HEIGHT + GAP) * nth as f64 + TOP;
        draw(&mut body, line, top, span, Scale { spans, most });
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{label}\"><style>{STYLE}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>{body}</svg>\n"
    )
}

#[derive(Debug, Clone, Copy)]
struct Scale {
    spans: usize,
    most: f64,
}

fn draw(out: &mut String, line: &Line, top: f64, span: Duration, scale: Scale) {
    let x = |at: f64| LEFT + at / (scale.spans - 1) as f64 * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| top + HEIGHT - value / scale.most * HEIGHT;
    // Writing to a string does not fail.
    let _written = write!(
        out,
        "<text class=\"t\" x=\"12\" y=\"{:.0}\">{}</text>\
         <text class=\"n\" x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{:.0}</text>\
         <text class=\"n\" x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">0</text>",
        top - 12.0,
        line.name,
        LEFT - 8.0,
        top + 10.0,
        scale.most,
        LEFT - 8.0,
        top + HEIGHT,
    );
    let seconds = scale.spans as u128 * span.as_millis() / 1_000;
    for second in 0..=seconds {
        let at = x(second as f64 / span.as_secs_f64());
        let _written = write!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top:.1}\" y2=\"{:.1}\"/>\
             <text class=\"n\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{second} s</text>",
            top + HEIGHT,
            top + HEIGHT + 16.0
        );
    }
    let points: Vec<String> = (0..)
        .zip(&line.values)
        .map(|(at, value)| (f64::from(at), value))
        .map(|(at, value)| format!("{:.1},{:.1}", x(at), y(*value)))
        .collect();
    let _written = write!(out, "<polyline points=\"{}\"/>", points.join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_panel_and_every_value_its_point() {
        let line = |name: &str, values: &[f64]| Line { name: name.into(), values: values.into() };
        let drawn = lines(
            "two",
            Duration::from_millis(500),
            &[line("one", &[1.0, 2.0, 0.0]), line("other", &[4.0, 4.0])],
        );
        assert_eq!(drawn.matches("<polyline").count(), 2);
        let points = drawn.split("points=\"").nth(1).and_then(|rest| rest.split('"').next());
        assert_eq!(points.map(|points| points.split(' ').count()), Some(3));
        assert!(drawn.contains(">1 s<"), "{drawn}");
    }
}
