//! One history against one of the general models.
//!
//! Owns: what is told of it. Never does: decide; the search does. Called by `check`.

use super::{Checked, NOTHING, NOTHING_TOLD, Question, draw};
use checker::format::FormatError;
use checker::search::{self, Budget, Finding, RanOut, Report, Statistics, Verdict};
use checker::timeline::{self, Told};
use checker::{History, Model, Process, explain};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

/// The most illegal partitions of a file that are told of in words.
const EXPLAINED_MAX: usize = 3;

/// Searches a history, and draws it where that is asked for.
pub(super) fn check<M: Model>(
    model: &M,
    history: &History,
    (file, question): (&Path, Question<'_>),
) -> anyhow::Result<Checked> {
    let (began, budget) = (Instant::now(), question.budget);
    let operations = history.operations(model).map_err(|malformed| FormatError::of(&malformed))?;
    let report = search::check(model, &operations, budget);
    let left = Budget { time: budget.time.saturating_sub(began.elapsed()), ..budget };
    let explanations = explain::explain(model, &operations, &report, Some(history), left);
    let is_empty = history.events.iter().all(|event| event.process == Process::Nemesis);
    let verdict = if is_empty { Verdict::Unknown } else { report.verdict };
    if let Some(path) = question.timeline {
        let title = file.display().to_string();
        let told = Told { title: &title, verdict, explanations: &explanations };
        let page = timeline::page_of(model, history, told);
        draw(&page.map_err(|malformed| FormatError::of(&malformed))?, path)?;
    }
    let mut words = Vec::new();
    if operations.is_empty() {
        words.push(if is_empty { NOTHING } else { NOTHING_TOLD }.to_owned());
    }
    for explanation in explanations.iter().take(EXPLAINED_MAX) {
        if report.partitions.len() > 1 {
            words.push(format!("partition {}:", explanation.partition));
        }
        words.push(explanation.words());
    }
    if explanations.len() > EXPLAINED_MAX {
        let more = explanations.len() - EXPLAINED_MAX;
        words.push(format!("and {more} more partitions; --json tells of all"));
    }
    for partition in &report.partitions {
        if let Finding::RanOut(what) = partition.finding {
            let (what, flag) = match what {
                RanOut::Time => ("time", "--time-limit"),
                RanOut::Memory => ("memory", "--memory-limit"),
            };
            let key = &partition.key;
            words.push(format!("partition {key} ran out of {what}; see {flag}"));
        }
    }
    let total = total(&report);
    let json = json!({
        "verdict": verdict.name(),
        "why": words,
        "model": model.name(),
        "events": history.events.len(),
        "operations": operations.len(),
        "unknown_operations": total.unknown,
        "partitions": report.partitions.len(),
        "steps": total.steps,
        "configurations": total.configurations,
        "explanations": explanations,
    });
    Ok(Checked { verdict, words, json })
}

fn total<Key, State>(report: &Report<Key, State>) -> Statistics {
    let mut total = Statistics::default();
    for partition in &report.partitions {
        total.unknown += partition.statistics.unknown;
        total.steps += partition.statistics.steps;
        total.configurations += partition.statistics.configurations;
    }
    total
}
