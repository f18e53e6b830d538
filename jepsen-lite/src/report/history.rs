//! `history.jsonl` and `history.edn`: what clients saw and what the nemesis did, one event a line,
//! in Jepsen's words.
//!
//! Owns: streaming, and the shape of the nemesis's events. An event is made, written and dropped,
//! so that a run of millions of operations needs no second copy. The shape of a client's value is
//! the codec's.
//!
//! A fault is two events of the process `nemesis`, both `:info`, as in Jepsen: `:f` is its kind
//! and `:value` says whether it begins or ends, what exactly it is, and whether it was seen to
//! take hold. They stand where they belong by time; a client's order does not depend on them.

use crate::nemesis::{Effect, Fault};
use crate::recorder::Log;
use checker::flashnode::codec;
use checker::format::{edn, jsonl};
use checker::{Event, Phase, Process, Value};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object a line.
    Jsonl,
    /// One EDN map a line.
    Edn,
}

/// Writes all events: the clients' in the order of their positions, the faults' in between.
pub(super) fn write(path: &Path, log: &Log, faults: &[Fault], form: Form) -> io::Result<()> {
    let mut lines = Lines { file: BufWriter::new(File::create(path)?), form, index: 0 };
    let mut of_nemesis = of_nemesis(faults).into_iter().peekable();
    for place in log.places() {
        let record = log.record(place.rank);
        let event = if place.begins {
            let request = record.request.as_deref();
            codec::invocation(record.process, &record.input, request, record.invoked_ns)
        } else {
            codec::completion(&record)
        };
        while let Some(earlier) = of_nemesis.next_if(|fault| fault.time_ns < event.time_ns) {
            lines.put(&earlier)?;
        }
        lines.put(&event)?;
    }
    of_nemesis.try_for_each(|event| lines.put(&event))?;
    lines.file.flush()
}

/// A file to which events are written.
struct Lines {
    file: BufWriter<File>,
    form: Form,
    index: usize,
}

impl Lines {
    fn put(&mut self, event: &Event) -> io::Result<()> {
        let mut line = String::new();
        match self.form {
            Form::Edn => edn::write_event(&mut line, self.index, event),
            Form::Jsonl => line.push_str(&jsonl::event(self.index, event).to_string()),
        }
        line.push('\n');
        self.index += 1;
        self.file.write_all(line.as_bytes())
    }
}

/// The beginning and the end of each fault that was not skipped, by time.
fn of_nemesis(faults: &[Fault]) -> Vec<Event> {
    let installed = faults.iter().filter(|fault| fault.effect != Effect::Skipped);
    let mut events: Vec<Event> = installed
        .flat_map(|fault| {
            let begins = nemesis_event(fault, "begins", fault.began_ns);
            let ends = fault.ended_ns.map(|at_ns| nemesis_event(fault, "ends", at_ns));
            std::iter::once(begins).chain(ends)
        })
        .collect();
    events.sort_by_key(|event| event.time_ns);
    events
}

fn nemesis_event(fault: &Fault, phase: &str, at_ns: u64) -> Event {
    let effect = match fault.effect {
        Effect::Installed => "installed",
        Effect::Skipped => "skipped",
        Effect::Indeterminate => "indeterminate",
    };
    let keyword = |name: &str| Value::Keyword(name.to_owned());
    let value = vec![
        (keyword("phase"), keyword(phase)),
        (keyword("what"), Value::Text(fault.what.clone())),
        (keyword("effect"), keyword(effect)),
    ];
    Event {
        process: Process::Nemesis,
        phase: Phase::Info,
        f: fault.kind.into(),
        value: Value::Map(value),
        key: None,
        error: None,
        time_ns: Some(at_ns),
        line: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::{Asked, Lane, ProductNo, Recorder, Sent, UserNo};
    use checker::flashnode::{Answer, Ended, Outcome, Record, RefusedFor};
    use std::time::Instant;

    /// Three processes at once: one decided at the end only, one refused, one never settled.
    fn recorded() -> Log {
        let recorder = Recorder::new(Instant::now());
        let mut lane = Lane::default();
        let buy = Asked::Buy { product: ProductNo(1), user: UserNo(2), quantity: 3 };
        let mut retried = recorder.invoke(0, buy);
        let refused = recorder.invoke(1, buy);
        let unknown = recorder.invoke(2, buy);
        let said = "lost: \"reset\"\n".into();
        retried.attempted(Sent { number: 1, node: 2, sent_ns: 3, ended_ns: 4, said });
        lane.leave_unknown(&recorder, unknown);
        let outcome = Outcome::Refused { reason: RefusedFor::Insufficient, remaining: Some(2) };
        let answered =
            |seq, outcome, replayed| Ended::Decided { answer: Answer { seq, outcome }, replayed };
        lane.complete(&recorder, refused, answered(7, outcome, false));
        let outcome = Outcome::Ordered { remaining: 0 };
        lane.complete(&recorder, retried, answered(9, outcome, true));
        let read = recorder.invoke(1, Asked::Read { product: ProductNo(1) });
        lane.complete(&recorder, read, Ended::NotDone);
        Log::merge(vec![lane])
    }

    #[test]
    fn what_is_written_is_read_back_whole() {
        let (dir, log) = (tempfile::tempdir().unwrap(), recorded());
        let written: Vec<Record> = log.records().collect();
        for form in [Form::Edn, Form::Jsonl] {
            let path = dir.path().join("history");
            write(&path, &log, &[], form).unwrap();
            let history = checker::format::read(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(codec::records(&history).unwrap(), written, "{form:?}");
        }
    }

    #[test]
    fn faults_stand_where_they_belong_and_change_no_record() {
        let (dir, log) = (tempfile::tempdir().unwrap(), recorded());
        let written: Vec<Record> = log.records().collect();
        let (first_ns, last_ns) = (written[0].invoked_ns, written[2].ended_ns);
        let fault = |effect, began_ns, ended_ns| {
            let what = "node 2, \"the leader\"".to_owned();
            Fault { kind: "kill", what, effect, began_ns, ended_ns }
        };
        let faults = [
            fault(Effect::Installed, first_ns + 1, Some(last_ns + 1_000_000_000)),
            fault(Effect::Skipped, 0, Some(0)),
            fault(Effect::Indeterminate, last_ns + 2_000_000_000, None),
        ];
        for form in [Form::Edn, Form::Jsonl] {
            let path = dir.path().join("history");
            write(&path, &log, &faults, form).unwrap();
            let history = checker::format::read(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(codec::records(&history).unwrap(), written, "{form:?}");
            let of_nemesis: Vec<(usize, &Event)> = history
                .events
                .iter()
                .enumerate()
                .filter(|(_, event)| event.process == Process::Nemesis)
                .collect();
            let [(begins_at, begins), (ends_at, ends), (last_at, last)] = of_nemesis[..] else {
                panic!("{of_nemesis:?}")
            };
            assert!(
                begins_at > 0 && ends_at > begins_at + 1 && last_at + 1 == history.events.len()
            );
            assert_eq!((&*begins.f, begins.phase), ("kill", Phase::Info));
            let said = |event: &Event, name| {
                let value = event.value.get(name).unwrap();
                value.as_text().unwrap().to_owned()
            };
            assert_eq!([said(begins, "phase"), said(ends, "phase")], ["begins", "ends"]);
            assert_eq!(said(begins, "what"), faults[0].what);
            assert_eq!(said(last, "effect"), "indeterminate");
            assert!(history.events.windows(2).all(|pair| pair[0].time_ns <= pair[1].time_ns));
        }
    }
}
