//! The faults that a history's nemesis tells of.
//!
//! Owns: the pairing of its events into spans. Jepsen has no one form for them: most nemeses tell
//! `:start…` and `:stop…`, each once when it is asked for and once when it is done, all as `:info`.
//! Ours tells a fault by its kind, with `:phase` in the value: `:begins`, `:ends`.

use super::Fault;
use crate::{Event, History, Process, Value};

/// Words with which the `:f` of an event begins that ends a fault.
const ENDS: [&str; 6] = ["stop", "heal", "end", "resume", "restore", "recover"];

/// Every fault, from the first event that tells of it to the last one that ends it. `at` gives the
/// moment of the event at a position.
pub fn faults_of(history: &History, at: impl Fn(usize) -> u64) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let mut ended = true;
    for (position, event) in history.events.iter().enumerate() {
        if event.process != Process::Nemesis {
            continue;
        }
        if let Some(phase) = event.value.get("phase").and_then(Value::as_text) {
            let fault = faults.iter_mut().rfind(|fault| fault.end.is_none() && of(fault, &event.f));
            match (phase, fault) {
                ("ends", Some(fault)) => fault.end = Some(at(position)),
                _ => faults.push(Fault { label: ours(event), begin: at(position), end: None }),
            }
            continue;
        }
        let ends = ENDS.iter().any(|word| event.f.starts_with(word));
        let open = faults.last_mut().filter(|fault| ends || (!ended && of(fault, &event.f)));
        if let Some(fault) = open {
            // The event that tells that it took hold says more than the one that asked for it.
            if ends {
                fault.end = Some(at(position));
            } else if !event.value.is_nil() {
                fault.label = label(&event.f, &event.value.to_string());
            }
        } else if !ends {
            let label = label(&event.f, &event.value.to_string());
            faults.push(Fault { label, begin: at(position), end: None });
        }
        ended = ends;
    }
    faults
}

fn label(f: &str, value: &str) -> String {
    if matches!(value, "nil" | "") { f.to_owned() } else { format!("{f} {value}") }
}

fn ours(event: &Event) -> String {
    // A fault that says no more than its name is labelled with that.
    let what = event.value.get("what").and_then(Value::as_text).unwrap_or_default();
    format!("{}: {what}", event.f)
}

fn of(fault: &Fault, f: &str) -> bool {
    fault.label.split([' ', ':']).next() == Some(f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format;

    #[test]
    fn starts_and_stops_are_paired() {
        let text = "{:process :nemesis :type :info :f :start-partition :value nil}\n\
                    {:process 0 :type :invoke :f :read :value nil}\n\
                    {:process :nemesis :type :info :f :start-partition :value \"n1\"}\n\
                    {:process :nemesis :type :info :f :stop-partition :value nil}\n\
                    {:process :nemesis :type :info :f :stop-partition :value :healed}\n\
                    {:process :nemesis :type :info :f :kill :value nil}\n";
        let history = format::read(text).unwrap();
        let faults = faults_of(&history, |position| position as u64);
        let told = |label: &str, begin, end| Fault { label: label.into(), begin, end };
        let partition = told("start-partition \"n1\"", 0, Some(4));
        assert_eq!(faults, [partition, told("kill", 5, None)]);
    }

    #[test]
    fn our_own_faults_have_phases() {
        let kill = |phase: &str| {
            format!(
                "{{:process :nemesis :type :info :f :kill \
                 :value {{:phase :{phase}, :what \"node 2\"}}}}\n"
            )
        };
        let text = [kill("begins"), kill("ends"), kill("begins")].concat();
        let faults = faults_of(&format::read(&text).unwrap(), |position| position as u64);
        let told = |begin, end| Fault { label: "kill: node 2".into(), begin, end };
        assert_eq!(faults, [told(0, Some(1)), told(2, None)]);
    }
}
