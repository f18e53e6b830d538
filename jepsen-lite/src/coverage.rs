//! Whether a run covered what it was to cover. An ok that never saw a fault is no ok.
//!
//! Owns: the rules. Never does: judge the history. Called by `run`.

use crate::nemesis::{Effect, Fault};
use crate::recorder::Function;
use checker::flashnode::judge::Counted;
use std::collections::BTreeMap;

/// What there was to cover, and what happened.
#[derive(Debug, Clone, Copy)]
pub struct Covered<'a> {
    /// Names of the kinds of fault that were chosen.
    pub kinds: &'a [&'a str],
    /// What became of each fault.
    pub faults: &'a [Fault],
    /// What the workload asks.
    pub functions: &'a [Function],
    /// How what the workload asked ended, and the holds that ran out, by function. The opening of
    /// the sale and the final reads are not in it: they are asked in peace, of every server.
    pub asked: &'a BTreeMap<&'static str, Counted>,
    /// Why the cluster did not come back, if it did not.
    pub not_recovered: Option<&'a str>,
    /// What of the final state could not be read, if anything.
    pub unread: Option<&'a str>,
    /// Why nobody knows which holds ran out, if that was not read.
    pub unread_feed: Option<&'a str>,
    /// Processes that ended though no fault called for it, each in words.
    pub deaths: &'a [String],
    /// Answers that the contract does not have.
    pub unexpected: &'a [String],
    /// What the server lacks of what the workload needs.
    pub lacking: Option<&'a str>,
}

/// Every reason why this run cannot count as ok, in sentences; none when it covered everything.
pub fn gaps(covered: &Covered<'_>) -> Vec<String> {
    let mut gaps: Vec<String> = covered.lacking.into_iter().map(str::to_owned).collect();
    if let Some(why) = covered.not_recovered {
        gaps.push(format!("the cluster did not recover: {why}"));
    }
    if let Some(what) = covered.unread {
        gaps.push(format!("the final state was not read: {what}"));
    }
    if let Some(why) = covered.unread_feed {
        gaps.push(format!("nobody knows which holds ran out: {why}"));
    }
    if covered.asked.is_empty() {
        gaps.push("no client asked for anything".into());
    }
    // A node that was started again hides that it fell over; whoever kills it next would, too.
    gaps.extend(covered.deaths.iter().cloned());
    let unhealed = covered.faults.iter().filter(|fault| fault.ended_ns.is_none());
    gaps.extend(unhealed.map(|fault| format!("not healed: {}: {}", fault.kind, fault.what)));
    gaps.extend(covered.kinds.iter().filter_map(|kind| never_took_effect(kind, covered.faults)));
    for function in covered.functions {
        let name = function.name();
        if covered.asked.get(name).is_none_or(|counted| counted.ok == 0) {
            gaps.push(match function {
                Function::Expire => "no hold ran out".to_owned(),
                _ => format!("no {name} ever succeeded"),
            });
        }
    }
    if let Some(first) = covered.unexpected.first() {
        let count = covered.unexpected.len();
        gaps.push(format!("{count} answers were none that the contract has, such as: {first}"));
    }
    gaps
}

fn never_took_effect(kind: &str, faults: &[Fault]) -> Option<String> {
    let of_kind: Vec<&Fault> = faults.iter().filter(|fault| fault.kind == kind).collect();
    if of_kind.iter().any(|fault| fault.effect == Effect::Installed) {
        return None;
    }
    Some(match of_kind.first() {
        None => format!("the fault {kind} never had its turn; run for longer"),
        Some(fault) if fault.effect == Effect::Skipped => {
            format!("the fault {kind} was skipped: {}", fault.what)
        }
        Some(fault) => format!("the fault {kind} was never seen to take hold: {}", fault.what),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: &'static str, effect: Effect) -> Fault {
        Fault { kind, what: "node 1".into(), effect, began_ns: 1, ended_ns: Some(2) }
    }

    fn operations(reads: u64) -> BTreeMap<&'static str, Counted> {
        BTreeMap::from([("read", Counted { ok: reads, unknown: 3, ..Counted::default() })])
    }

    fn covered<'a>(
        kinds: &'a [&'a str],
        faults: &'a [Fault],
        operations: &'a BTreeMap<&'static str, Counted>,
    ) -> Covered<'a> {
        Covered {
            kinds,
            faults,
            functions: &[Function::Read],
            asked: operations,
            not_recovered: None,
            unread: None,
            unread_feed: None,
            deaths: &[],
            unexpected: &[],
            lacking: None,
        }
    }

    #[test]
    fn all_covered() {
        let faults = [
            fault("kill", Effect::Indeterminate),
            fault("kill", Effect::Installed),
            fault("pause", Effect::Installed),
        ];
        assert_eq!(gaps(&covered(&["kill", "pause"], &faults, &operations(1))), [""; 0]);
    }

    #[test]
    fn a_chosen_fault_must_have_taken_effect() {
        let cases = [
            (vec![], "never had its turn"),
            (vec![fault("pause", Effect::Installed)], "never had its turn"),
            (vec![fault("kill", Effect::Skipped)], "was skipped: node 1"),
            (vec![fault("kill", Effect::Indeterminate)], "never seen to take hold"),
        ];
        for (faults, words) in cases {
            let gaps = gaps(&covered(&["kill"], &faults, &operations(1)));
            assert!(matches!(&gaps[..], [only] if only.contains(words)), "{gaps:?}");
        }
    }

    #[test]
    fn each_kind_of_several_is_looked_at() {
        let kinds = ["kill", "pause", "partition"];
        for missing in kinds {
            let others = kinds.iter().filter(|kind| **kind != missing);
            let faults: Vec<Fault> = others.map(|kind| fault(kind, Effect::Installed)).collect();
            let gaps = gaps(&covered(&kinds, &faults, &operations(1)));
            assert!(matches!(&gaps[..], [only] if only.contains(missing)), "{gaps:?}");
        }
    }

    #[test]
    fn every_function_must_have_succeeded() {
        assert_eq!(gaps(&covered(&[], &[], &operations(0))), ["no read ever succeeded"]);
        let nothing = BTreeMap::new();
        let gaps = gaps(&covered(&[], &[], &nothing));
        assert_eq!(gaps, ["no client asked for anything", "no read ever succeeded"]);
    }

    #[test]
    fn a_history_without_an_operation_is_never_ok() {
        let nothing = BTreeMap::new();
        let covered = Covered { functions: &[], ..covered(&[], &[], &nothing) };
        assert_eq!(gaps(&covered), ["no client asked for anything"]);
    }

    #[test]
    fn the_final_state_must_have_been_read() {
        let operations = operations(1);
        let covered = covered(&[], &[], &operations);
        let gap = gaps(&Covered { unread: Some("product p-0 at node 2"), ..covered });
        assert!(matches!(&gap[..], [only] if only.contains("p-0 at node 2")), "{gap:?}");
    }

    #[test]
    fn no_node_may_fall_over_by_itself_and_no_fault_stay() {
        let operations = operations(1);
        let healed = [fault("kill", Effect::Installed)];
        let mut covered = covered(&["kill"], &healed, &operations);
        let deaths = ["node 2 ended by itself (exit status: 101)".to_owned()];
        covered.deaths = &deaths;
        assert_eq!(gaps(&covered), deaths);
        let unhealed = healed.clone().map(|fault| Fault { ended_ns: None, ..fault });
        (covered.deaths, covered.faults) = (&[], &unhealed);
        assert_eq!(gaps(&covered), ["not healed: kill: node 1"]);
    }

    #[test]
    fn the_cluster_must_have_recovered_and_spoken_the_contract() {
        let operations = operations(1);
        let mut covered = covered(&[], &[], &operations);
        covered.not_recovered = Some("node 2 is down");
        assert!(gaps(&covered)[0].contains("did not recover: node 2 is down"));
        covered.not_recovered = None;
        let unexpected = ["418 teapot".to_owned()];
        covered.unexpected = &unexpected;
        assert!(gaps(&covered)[0].contains("418 teapot"));
    }
}
