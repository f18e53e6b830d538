//! `results.json`: the whole outcome, for programs.

use crate::run::{Evidence, Plan, RunReport};
use checker::flashnode::judge::name;

pub(super) fn json(
    plan: &Plan,
    evidence: &Evidence,
    report: &RunReport,
) -> Result<String, serde_json::Error> {
    let replicas: Vec<serde_json::Value> = evidence
        .ledgers
        .replicas
        .iter()
        .map(|replica| {
            serde_json::json!({
                "node": replica.node,
                "seq": replica.seq,
                "orders": replica.orders.len(),
                "state_hash": replica.state_hash,
            })
        })
        .collect();
    serde_json::to_string_pretty(&serde_json::json!({
        "verdict": name(report.verdict),
        "why": report.why,
        "notes": report.notes,
        "plan": {
            "nodes": plan.nodes,
            "time_s": plan.time.as_secs_f64(),
            "workload": plan.workload.name(),
            "nemesis": plan.nemeses.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
            "concurrency": plan.concurrency,
            "rate": plan.rate,
            "seed": plan.seed,
            "args": plan.args,
        },
        "repeat": super::page::repeat(plan),
        "operations": evidence.log.len(),
        "operations_per_second": report.rate,
        "tally": report.tally,
        "recovered": evidence.not_recovered.is_none(),
        "faults": report.faults,
        "judgement": report.judgement,
        "replicas": replicas,
    }))
}
