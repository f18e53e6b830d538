//! The stages as a table and as a plot: what each figure is, and which mark it has.

use super::Stage;
use crate::report::{self, Bar, Panel};
use crate::samples::Spread;
use std::fmt::Write;

/// A figure of a stage, where it has one.
struct Figure {
    title: &'static str,
    mark: Option<f64>,
    of: fn(&Stage) -> Option<Spread>,
}

const fn one(value: f64) -> Spread {
    Spread { median: value, least: value, most: value }
}

const FIGURES: [Figure; 10] = [
    Figure {
        title: "accepted buys, of a fresh cluster\u{2019}s",
        mark: Some(0.9),
        of: |stage| Some(stage.ratio_to_fresh),
    },
    Figure {
        title: "p99, of a fresh cluster\u{2019}s",
        mark: Some(1.5),
        of: |stage| Some(stage.p99_ratio_to_fresh),
    },
    Figure { title: "p99, ms", mark: None, of: |stage| Some(stage.p99_ms) },
    Figure {
        title: "p99 while a snapshot is taken, of p99 otherwise",
        mark: Some(1.5),
        of: |stage| stage.during.ratio().map(one),
    },
    Figure { title: "a snapshot, ms", mark: None, of: |stage| stage.snapshot_ms },
    Figure {
        title: "memory, bytes an order",
        mark: Some(100.0),
        of: |stage| stage.bytes_an_order.map(|[memory, _]| one(memory)),
    },
    Figure {
        title: "disk, bytes an order",
        mark: Some(200.0),
        of: |stage| stage.bytes_an_order.map(|[_, disk]| one(disk)),
    },
    Figure {
        title: "log and snapshot, MiB of disk",
        mark: None,
        of: |stage| Some(one(stage.disk.reclaimed_mib)),
    },
    Figure { title: "a restart, s", mark: Some(3.0), of: |stage| Some(one(stage.restart_s)) },
    Figure { title: "an empty node, s", mark: None, of: |stage| Some(one(stage.catch_up_s)) },
];

fn name(stage: &Stage) -> String {
    let short = |number: u64| match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{} k", number / 1_000),
        _ => format!("{} M", number / 1_000_000),
    };
    let plural = if stage.products == 1 { "" } else { "s" };
    format!("{} orders, {} product{plural}", short(stage.orders), short(stage.products))
}

/// A panel for each figure, a bar for each stage that has it, a line at the mark.
pub(super) fn draw(stages: &[Stage]) -> String {
    let panels: Vec<Panel> = FIGURES
        .iter()
        .map(|figure| {
            let bar = |stage: &Stage| {
                Some(Bar { name: name(stage), value: (figure.of)(stage)?, is_ours: true })
            };
            let title = match figure.mark {
                Some(mark) => format!("{} (mark: {mark})", figure.title),
                None => figure.title.to_owned(),
            };
            let bars = stages.iter().filter_map(bar).collect();
            Panel { title, grid: vec![0.0], mark: figure.mark, bars }
        })
        .filter(|panel| !panel.bars.is_empty())
        .collect();
    report::draw_all("What growth costs", &panels)
}

/// A row for each figure, a column for each stage.
pub(super) fn table(stages: &[Stage]) -> String {
    let names: Vec<String> = stages.iter().map(name).collect();
    let mut out = format!("\n| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for figure in &FIGURES {
        let cell = |stage: &Stage| {
            (figure.of)(stage).map_or("\u{2013}".to_owned(), |Spread { median, least, most }| {
                let places = if most < 10.0 { 2 } else { 0 };
                if least < most {
                    format!("{median:.places$} ({least:.places$}\u{2013}{most:.places$})")
                } else {
                    format!("{median:.places$}")
                }
            })
        };
        let cells: Vec<String> = stages.iter().map(cell).collect();
        // Writing to a string does not fail.
        let _written = writeln!(out, "| {} | {} |", figure.title, cells.join(" | "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Disk, During};
    use super::*;

    #[test]
    fn a_figure_that_no_stage_has_is_no_panel() {
        let stage = Stage {
            products: 1,
            orders: 10_000,
            buys_a_second: one(9_000.0),
            ratio_to_fresh: Spread { median: 1.0, least: 0.8, most: 1.1 },
            p99_ratio_to_fresh: one(1.0),
            p50_ms: one(4.0),
            p99_ms: one(12.0),
            snapshots: 0,
            snapshot_ms: None,
            during: During {
                buys_in_snapshots: 0,
                p99_ms_in_snapshots: 0.0,
                p99_ms_otherwise: 3.0,
            },
            resident_mib: 100.0,
            disk: Disk::default(),
            reclaimed_mib_max: [0.0; 2],
            bytes_an_order: None,
            restart_s: 0.1,
            catch_up_s: 0.5,
        };
        let drawn = draw(std::slice::from_ref(&stage));
        assert_eq!(drawn.matches("class=\"f\"").count(), 6);
        assert!(drawn.contains(">10 k orders, 1 product<"), "{drawn}");
        assert!(!drawn.contains("a snapshot, ms"), "{drawn}");
        let table = table(&[stage]);
        assert!(table.contains("| 1.00 (0.80\u{2013}1.10) |"), "{table}");
        assert!(table.contains("| a snapshot, ms | \u{2013} |"), "{table}");
    }
}
