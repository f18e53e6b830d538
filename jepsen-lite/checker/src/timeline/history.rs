//! The page of a history that was checked.
//!
//! Owns: which call becomes which bar. Called by `jepsen-lite check`.

use super::{Kind, Operation, Page, Unit, choose, faults_of};
use crate::explain::Explanation;
use crate::search::Verdict;
use crate::{Call, Ending, History, Malformed, Model, Process, Reading};
use std::collections::BTreeSet;

/// What to say of a checked history.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The heading, such as the file's name.
    pub title: &'a str,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is illegal, if it is.
    pub explanations: &'a [Explanation],
}

/// The page of a history, told in the words of its model.
///
/// # Errors
/// [`Malformed`], as of [`History::calls`].
pub fn page_of<M: Model>(model: &M, history: &History, told: Told<'_>) -> Result<Page, Malformed> {
    let calls = history.calls()?;
    let timed = history.events.iter().all(|event| event.time_ns.is_some());
    let unit = if timed { Unit::Nanoseconds } else { Unit::Events };
    let at = |position: usize| match history.events[position].time_ns {
        Some(time_ns) if timed => time_ns,
        _ => position as u64,
    };
    let stuck: BTreeSet<usize> =
        told.explanations.iter().map(|illegal| illegal.operation.invoked).collect();
    let is_stuck = |at: &usize| stuck.contains(&calls[*at].invoked);
    let marked: Vec<usize> = (0..calls.len()).filter(is_stuck).collect();
    let choice = choose(calls.len(), &marked);
    let bar = |call: &Call| Operation {
        process: match history.events[call.invoked].process {
            Process::Client(process) => process,
            Process::Nemesis => -1,
        },
        label: label(model, history, call),
        detail: detail(history, call),
        begin: at(call.invoked),
        end: match call.ending {
            Ending::Ok(end) | Ending::Fail(end) => Some(at(end)),
            Ending::Open(_) => None,
        },
        kind: match call.ending {
            Ending::Ok(_) => Kind::Ok,
            Ending::Fail(_) => Kind::Fail,
            Ending::Open(_) => Kind::Info,
        },
        marked: stuck.contains(&call.invoked),
    };
    let shown = calls.iter().enumerate().filter(|(position, _)| choice.shows(*position));
    Ok(Page {
        title: told.title.to_owned(),
        verdict: told.verdict,
        words: told.explanations.first().map(Explanation::words).unwrap_or_default(),
        note: choice.note(calls.len()),
        unit,
        operations: shown.map(|(_, call)| bar(call)).collect(),
        faults: faults_of(history, at),
        window: told.explanations.first().and_then(|illegal| window(illegal, at)),
    })
}

/// In the model's words; of a call that says nothing to it, as the history has it.
fn label<M: Model>(model: &M, history: &History, call: &Call) -> String {
    match model.read(history, call) {
        Ok(Reading::Known(op) | Reading::Unknown(op)) => model.describe(&op),
        Ok(Reading::Nothing) | Err(_) => {
            let invoked = &history.events[call.invoked];
            if invoked.value.is_nil() {
                invoked.f.to_string()
            } else {
                format!("{} {}", invoked.f, invoked.value)
            }
        }
    }
}

fn detail(history: &History, call: &Call) -> String {
    let line = |position: usize| history.events[position].line;
    let from = line(call.invoked);
    let Some(completed) = call.completed() else { return format!("line {from}") };
    let lines = format!("lines {from} and {}", line(completed));
    match &history.events[completed].error {
        Some(error) => format!("{lines}\nerror {error}"),
        None => lines,
    }
}

/// From the first invocation of the minimal window to its last completion.
fn window(illegal: &Explanation, at: impl Fn(usize) -> u64) -> Option<(u64, u64)> {
    let begin = illegal.window.iter().map(|told| told.invoked).min()?;
    let end = illegal.window.iter().filter_map(|told| told.returned).max()?;
    Some((at(begin), at(end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::CasRegister;
    use crate::search::{self, Budget};
    use crate::{explain, format};
    use std::time::Duration;

    #[test]
    fn a_stale_read_is_marked_among_all_calls() {
        let text = "{:process 0 :type :invoke :f :write :value 1}\n\
                    {:process 0 :type :ok :f :write :value 1}\n\
                    {:process 1 :type :invoke :f :read :value nil}\n\
                    {:process 1 :type :ok :f :read :value nil}\n\
                    {:process 2 :type :invoke :f :write :value 2}\n\
                    {:process 2 :type :info :f :write :value 2 :error :timeout}\n\
                    {:process 3 :type :invoke :f :write :value 3}\n\
                    {:process 3 :type :fail :f :write :value 3}\n";
        let (model, history) = (CasRegister::default(), format::read(text).unwrap());
        let operations = history.operations(&model).unwrap();
        let budget = Budget { time: Duration::from_secs(9), memory_bytes: 1 << 20 };
        let report = search::check(&model, &operations, budget);
        let explanations = explain::explain(&model, &operations, &report, Some(&history), budget);
        let (title, verdict, explanations) = ("a file", report.verdict, &explanations[..]);
        let page = page_of(&model, &history, Told { title, verdict, explanations }).unwrap();
        let seen: Vec<_> =
            page.operations.iter().map(|op| (&*op.label, op.end, op.kind, op.marked)).collect();
        assert_eq!(
            seen,
            [
                ("write 1", Some(1), Kind::Ok, false),
                ("read → nil", Some(3), Kind::Ok, true),
                ("write 2", None, Kind::Info, false),
                ("write 3", Some(7), Kind::Fail, false),
            ]
        );
        assert_eq!((page.unit, page.window), (Unit::Events, Some((2, 3))));
        assert!(page.words.contains("read → nil") && page.operations[2].detail.contains("timeout"));
    }
}
