//! One recorded run of a flash sale: every layer that `run` asks, on its files.
//!
//! Owns: what is told of it. Never does: decide; `checker::flashnode` does. Called by `check`.
//!
//! Of a run's own files, the verdict is that of the run's checks. What the run knew besides, such
//! as that a fault never took hold, is not in them.

use super::{Checked, NOTHING, NOTHING_TOLD, Question, draw};
use checker::explain::Explanation;
use checker::flashnode::{
    Began, Ended, Finding, Judgement, Layer, Ledgers, Record, Recorded, Violation, exact, judge,
    recorded,
};
use checker::search::{Budget, Verdict};
use checker::timeline::{RunTold, Unit, faults_of, page_of_run};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

/// The most violations of a layer that are told of in words.
const TOLD_MAX: usize = 3;

/// Judges a run by its history and, where they are given, the ledgers beside it.
pub(super) fn check(
    text: &str,
    (file, question): (&Path, Question<'_>),
) -> Result<Checked, anyhow::Error> {
    let (began, budget) = (Instant::now(), question.budget);
    let recorded: Recorded = recorded::read(text)?;
    let none = Ledgers::default();
    let ledgers = question.ledgers.unwrap_or(&none);
    let judged = judge(&recorded.records, ledgers, budget);
    let is_empty = recorded.records.is_empty();
    let verdict = if is_empty { Verdict::Unknown } else { judged.verdict };
    let is_stuck =
        |layer: &Finding| layer.layer == Layer::Exact && layer.verdict == Verdict::Illegal;
    let explanations = if judged.layers.iter().any(is_stuck) {
        let left = Budget { time: budget.time.saturating_sub(began.elapsed()), ..budget };
        exact::explained(&recorded, ledgers, left)
    } else {
        Vec::new()
    };
    let mut words = Vec::new();
    if recorded.records.iter().all(|record| record.answer().is_none()) {
        words.push(if is_empty { NOTHING } else { NOTHING_TOLD }.to_owned());
    }
    words.extend(in_words(&recorded, &judged, &explanations));
    if let Some(path) = question.timeline {
        draw(&page(&recorded, &judged, (file, &words)), path)?;
    }
    let unknown = recorded.records.iter().filter(|record| record.ended == Ended::Unknown).count();
    let json = json!({
        "verdict": verdict.name(),
        "why": words,
        "model": "flashnode",
        "events": recorded.lines.len() + recorded.nemesis.events.len(),
        "operations": recorded.records.len(),
        "unknown_operations": unknown,
        "from_the_beginning": ledgers.began == Began::Empty,
        "replicas": ledgers.replicas.len(),
        "judgement": judged,
        "explanations": explanations,
    });
    Ok(Checked { verdict, words, json })
}

/// Each layer's verdict, and of those that have one to give, why the run is not ok.
fn in_words(recorded: &Recorded, judged: &Judgement, explanations: &[Explanation]) -> Vec<String> {
    let mut words = Vec::new();
    for found in &judged.layers {
        let notes = found.notes.iter().map(String::as_str);
        let verdict: Vec<&str> = std::iter::once(found.verdict.name()).chain(notes).collect();
        words.push(format!("{:<8} {}", name(found.layer), verdict.join("; ")));
        // Where all together are content, a layer's doubts have been settled by another.
        if judged.verdict == Verdict::Ok || found.verdict != judged.verdict {
            continue;
        }
        if found.layer == Layer::Exact && !explanations.is_empty() {
            let told = explanations.iter().take(TOLD_MAX);
            words.extend(told.map(|why| format!("  {}: {}", why.partition, why.words())));
        } else {
            let told = found.violations.iter().take(TOLD_MAX);
            words.extend(told.map(|broken| format!("  {}", violation(recorded, broken))));
        }
        if found.violations.len() > TOLD_MAX {
            let more = found.violations.len() - TOLD_MAX;
            words.push(format!("  and {more} more; --json tells of all"));
        }
    }
    words
}

fn name(layer: Layer) -> &'static str {
    match layer {
        Layer::Witness => "witness",
        Layer::Ledger => "ledger",
        Layer::Exact => "exact",
    }
}

/// A rule that is broken, and the lines of the operations concerned.
fn violation(recorded: &Recorded, broken: &Violation) -> String {
    let line = |record: &Record| {
        let from = recorded.line(record.invoked);
        match record.completed {
            Some(to) => format!("{from}-{}", recorded.line(to)),
            None => from.to_string(),
        }
    };
    let Violation { rule, words, records } = broken;
    let lines: Vec<String> = records.iter().map(|index| line(&recorded.records[*index])).collect();
    match &lines[..] {
        [] => format!("{rule}: {words}"),
        lines => format!("{rule}: {words} (lines {})", lines.join(", ")),
    }
}

fn page(
    recorded: &Recorded,
    judged: &Judgement,
    (file, words): (&Path, &[String]),
) -> checker::timeline::Page {
    let marked = if judged.verdict == Verdict::Illegal { judged.marked() } else { Vec::new() };
    let nemesis = &recorded.nemesis;
    let timed = recorded.records.iter().any(|record| record.ended_ns > 0);
    let faults = if timed {
        faults_of(nemesis, |position| nemesis.events[position].time_ns.unwrap_or(0))
    } else {
        Vec::new()
    };
    let told = RunTold {
        title: file.display().to_string(),
        verdict: judged.verdict,
        words: words.join("\n"),
        marked: &marked,
        unit: if timed { Unit::Nanoseconds } else { Unit::Events },
        faults,
    };
    let records = &recorded.records;
    page_of_run(records.len(), |rank| records[rank].clone(), told)
}
