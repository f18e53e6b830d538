//! How many operations ended a second, by function and outcome.

use super::axes::{Plot, Scale, round_step, seconds};
use crate::recorder::Function;
use crate::run::Evidence;
use checker::flashnode::{Ended, Outcome};
use std::time::Duration;

/// The most points of a line; longer runs are counted over longer slots.
const POINTS_MAX: f64 = 300.0;

pub(super) fn plot(evidence: &Evidence) -> String {
    let asked = evidence.log.briefs().filter(|brief| brief.function != Function::Expire);
    let span_ns = asked.map(|brief| brief.ended_ns).max().unwrap_or(0);
    let slot = round_step((seconds(span_ns) / POINTS_MAX).max(0.2));
    let slot_ns = Duration::from_secs_f64(slot).as_nanos() as u64;
    let slots = (span_ns / slot_ns) as usize + 1;
    let mut counts = [(); 4].map(|()| vec![0_u32; slots]);
    for brief in evidence.log.briefs() {
        let line = match brief.ended {
            _ if brief.function == Function::Expire => 3,
            Ended::Unknown => 2,
            Ended::Decided { answer, .. } if !matches!(answer.outcome, Outcome::Refused { .. }) => {
                0
            }
            _ => 1,
        };
        // What ran out after the last answer is counted in the tally alone.
        if let Some(count) = counts[line].get_mut((brief.ended_ns / slot_ns) as usize) {
            *count += 1;
        }
    }
    let rates = counts.map(|line| {
        let rate = |(slot_no, count): (usize, u32)| {
            ((slot_no as f64 + 0.5) * slot, f64::from(count) / slot)
        };
        line.into_iter().enumerate().map(rate).collect::<Vec<(f64, f64)>>()
    });
    let most = rates.iter().flatten().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let title = format!("Operations ended per second, counted over {slot} s");
    let unit = |rate: f64| format!("{rate}/s");
    let mut plot = Plot::new(&title, seconds(span_ns), Scale::Linear(most * 1.05), unit);
    plot.shade(&evidence.faults);
    let mut legend =
        vec![("--ok", "ok"), ("--fail", "fail: refused, or not done"), ("--info", "info: unknown")];
    // Most workloads make no holds.
    if rates[3].iter().any(|(_, rate)| *rate > 0.0) {
        legend.push(("--expired", "holds that ran out"));
    }
    for ((colour, _), line) in legend.iter().zip(&rates) {
        plot.line(colour, line);
    }
    plot.finish(&legend)
}
