//! How long each operation took, over time: one dot an operation.

use super::axes::{Plot, Scale, seconds};
use crate::recorder::Function;
use crate::run::Evidence;
use checker::flashnode::{Ended, Outcome};

/// The most dots; of more operations every n-th is drawn, and all unknown ones.
const DOTS_MAX: usize = 12_000;

pub(super) fn plot(evidence: &Evidence) -> String {
    // Nobody waits for a hold to run out.
    let asked = || evidence.log.briefs().filter(|brief| brief.function != Function::Expire);
    let span = asked().map(|brief| brief.ended_ns).max().unwrap_or(0);
    let every = evidence.log.len().div_ceil(DOTS_MAX).max(1);
    let (mut ok, mut fail, mut info) = (Vec::new(), Vec::new(), Vec::new());
    for (rank, brief) in asked().enumerate() {
        let took_ms = brief.ended_ns.saturating_sub(brief.invoked_ns) as f64 / 1e6;
        let dot = (seconds(brief.invoked_ns), took_ms);
        let dots = match brief.ended {
            Ended::Unknown => {
                info.push(dot);
                continue;
            }
            Ended::Decided { answer, .. } if !matches!(answer.outcome, Outcome::Refused { .. }) => {
                &mut ok
            }
            _ => &mut fail,
        };
        if rank.is_multiple_of(every) {
            dots.push(dot);
        }
    }
    let drawn = if every == 1 {
        "Latency of every operation".to_owned()
    } else {
        format!("Latency of one operation of {every}, and of all unknown ones")
    };
    let unit = |ms: f64| if ms < 1000.0 { format!("{ms} ms") } else { format!("{} s", ms / 1e3) };
    let mut plot = Plot::new(&drawn, seconds(span), Scale::Log(0.1, 10_000.0), unit);
    plot.shade(&evidence.faults);
    plot.dots("--ok", &ok);
    plot.dots("--fail", &fail);
    plot.dots("--info", &info);
    plot.finish(&[
        ("--ok", "ok"),
        ("--fail", "fail: refused, or not done"),
        ("--info", "info: unknown"),
    ])
}
