//! The frame of a plot: time along, something up, faults shaded behind.
//!
//! Owns: scales, grid, labels, colours of the frame. Never does: choose what is plotted. Called by
//! `latency` and `rate`. The plots are SVG, readable in light and in dark.

use crate::nemesis::{Effect, Fault};
use checker::timeline::escape;
use std::fmt::Write as _;

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 44.0;
/// A character of a fault's label is about this wide; labels that would overlap move down.
const LABEL_CHARACTER: f64 = 6.6;
const LABEL_ROWS: usize = 3;
const LABEL_ROW: f64 = 13.0;
/// About how many marks the time axis has.
const TIME_MARKS: f64 = 10.0;

const STYLE: &str = "\
.plot{--ink:#1d2430;--dim:#68717f;--line:#e3e6eb;--fault:#495a75;--ground:#ffffff;
--ok:#1971c2;--fail:#e8890c;--info:#7048e8;
--expired:#0c8599}
@media (prefers-color-scheme:dark){.plot{--ink:#e6e9ee;--dim:#98a2b0;--line:#2c333d;
--fault:#9fb1cc;--ground:#14181e;--ok:#5aa9f0;--fail:#f5b041;--info:#a18bff;--expired:#3bc9db}}
.plot text{font:12px system-ui,sans-serif;fill:var(--dim)}
.plot .title{font-size:14px;font-weight:600;fill:var(--ink)}
.plot .fault{fill:var(--fault);opacity:.13}.plot .fault-name{fill:var(--fault);font-size:11px}
.plot .grid{stroke:var(--line)}.plot .ground{fill:var(--ground)}";

/// What goes up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    /// From 0 to this.
    Linear(f64),
    /// From the first to the second, both above 0.
    Log(f64, f64),
}

/// A plot under construction.
pub(super) struct Plot {
    svg: String,
    seconds: f64,
    scale: Scale,
}

impl Plot {
    /// A plot with its frame, over so many seconds.
    pub(super) fn new(title: &str, seconds: f64, scale: Scale, unit: fn(f64) -> String) -> Self {
        let seconds = seconds.max(f64::MIN_POSITIVE);
        let mut plot = Self { svg: String::new(), seconds, scale };
        let title = escape(title);
        plot.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" role=\"img\" \
             aria-label=\"{title}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\"><style>{STYLE}</style>\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\
             <text class=\"title\" x=\"{LEFT}\" y=\"18\">{title}</text>\n"
        ));
        plot.time_axis();
        for value in marks(scale) {
            let (y, text) = (plot.y(value), unit(value));
            plot.grid((LEFT, y), (WIDTH - RIGHT, y));
            plot.text((LEFT - 8.0, y + 4.0), "end", &text);
        }
        plot
    }

    /// Shades the time of each fault that took hold, with its kind above it.
    pub(super) fn shade(&mut self, faults: &[Fault]) {
        let mut free = [0.0_f64; LABEL_ROWS];
        for fault in faults.iter().filter(|fault| fault.effect != Effect::Skipped) {
            let from = self.x(seconds(fault.began_ns));
            let to = fault.ended_ns.map_or(WIDTH - RIGHT, |ended| self.x(seconds(ended)));
            let (width, height) = ((to - from).max(1.0), HEIGHT - TOP - BOTTOM);
            let what = escape(&format!("{}: {}", fault.kind, fault.what));
            self.add(format_args!(
                "<rect class=\"fault\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" \
                 height=\"{height}\"><title>{what}</title></rect>"
            ));
            // In a crowd a label is left out rather than written over another.
            if let Some(row) = free.iter().position(|free| *free <= from) {
                free[row] = from + fault.kind.len() as f64 * LABEL_CHARACTER + 8.0;
                let y = TOP - 4.0 - row as f64 * LABEL_ROW;
                self.add(format_args!(
                    "<text class=\"fault-name\" x=\"{from:.1}\" y=\"{y:.1}\">{}</text>\n",
                    escape(fault.kind)
                ));
            }
        }
    }

    /// Dots of one colour, each `(seconds, value)`.
    pub(super) fn dots(&mut self, colour: &str, dots: &[(f64, f64)]) {
        if dots.is_empty() {
            return;
        }
        // One path of round-capped strokes without length: a tenth of the size of circles.
        self.add(format_args!(
            "<path fill=\"none\" stroke=\"var({colour})\" stroke-width=\"3\" opacity=\".55\" \
             stroke-linecap=\"round\" d=\""
        ));
        for (at, value) in dots {
            let (x, y) = (self.x(*at), self.y(*value));
            self.add(format_args!("M{x:.1} {y:.1}h0"));
        }
        self.add(format_args!("\"/>\n"));
    }

    /// A line through these.
    pub(super) fn line(&mut self, colour: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points
            .iter()
            .map(|(at, value)| format!("{:.1},{:.1}", self.x(*at), self.y(*value)))
            .collect();
        self.add(format_args!(
            "<polyline fill=\"none\" stroke=\"var({colour})\" stroke-width=\"2\" \
             points=\"{}\"/>\n",
            points.join(" ")
        ));
    }

    /// Names for colours, and the end of the plot.
    pub(super) fn finish(mut self, names: &[(&str, &str)]) -> String {
        let mut x = WIDTH - RIGHT;
        for (colour, name) in names.iter().rev() {
            x -= name.len() as f64 * 7.0 + 26.0;
            self.add(format_args!(
                "<circle cx=\"{x:.0}\" cy=\"14\" r=\"5\" fill=\"var({colour})\"/>"
            ));
            self.text((x + 9.0, 18.0), "start", name);
        }
        self.svg.push_str("</svg>\n");
        self.svg
    }

    fn time_axis(&mut self) {
        let step = round_step(self.seconds / TIME_MARKS);
        let mut at = 0.0;
        while at <= self.seconds {
            let x = self.x(at);
            self.grid((x, TOP), (x, HEIGHT - BOTTOM));
            self.text((x, HEIGHT - BOTTOM + 18.0), "middle", &format!("{at} s"));
            at += step;
        }
    }

    /// A line of the grid between two points.
    fn grid(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.add(format_args!(
            "<line class=\"grid\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    fn text(&mut self, (x, y): (f64, f64), anchor: &str, text: &str) {
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
            escape(text)
        ));
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + (at / self.seconds).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear(most) => value / most,
            Scale::Log(least, most) => (value / least).ln() / (most / least).ln(),
        };
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.svg.write_fmt(text);
    }
}

/// Seconds of nanoseconds.
pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// 1, 2 or 5 times a power of ten, not below this.
pub(super) fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    let step = [1.0, 2.0, 5.0].map(|step| step * power).into_iter().find(|step| *step >= least);
    let step = step.unwrap_or(10.0 * power);
    if step >= 1.0 { step.round() } else { step }
}

fn marks(scale: Scale) -> Vec<f64> {
    match scale {
        Scale::Linear(most) => {
            let step = round_step(most / 5.0);
            (0..=5).map(|mark| f64::from(mark) * step).filter(|mark| *mark <= most).collect()
        }
        Scale::Log(least, most) => std::iter::successors(Some(least), |mark| Some(mark * 10.0))
            .take_while(|mark| *mark <= most * 1.001)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (least, step) in [(0.7, 1.0), (1.0, 1.0), (1.2, 2.0), (6.0, 10.0), (90.0, 100.0)] {
            assert!((round_step(least) - step).abs() < 1e-9, "{least}: {}", round_step(least));
        }
    }
}
