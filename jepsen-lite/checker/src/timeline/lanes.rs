//! Which process is shown in which lane.
//!
//! Owns: the packing. Jepsen replaces a process whose operation never ended by a new one, so that a
//! long run has hundreds of them: a lane that is over is taken by the next process to begin.

use super::Operation;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// The most processes that a lane's name tells.
const NAMED_MAX: usize = 2;

pub(super) struct Lanes {
    pub(super) names: Vec<String>,
    pub(super) of: BTreeMap<i64, usize>,
}

/// Lanes for all processes of these operations, which are ordered by their begin.
pub(super) fn pack(operations: &[&Operation]) -> Lanes {
    let mut spans: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    for op in operations {
        // What never ended is seen to begin, and fades.
        let end = op.end.unwrap_or(op.begin);
        let span = spans.entry(op.process).or_insert((op.begin, end));
        span.1 = span.1.max(end);
    }
    let mut by_begin: Vec<(u64, i64, u64)> =
        spans.into_iter().map(|(process, (begin, end))| (begin, process, end)).collect();
    by_begin.sort_unstable();
    let mut members: Vec<Vec<i64>> = Vec::new();
    let mut taken: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut free: BinaryHeap<Reverse<usize>> = BinaryHeap::new();
    let mut of = BTreeMap::new();
    for (begin, process, end) in by_begin {
        while let Some(Reverse((end, lane))) = taken.peek().copied()
            && end <= begin
        {
            taken.pop();
            free.push(Reverse(lane));
        }
        let lane = free.pop().map_or(members.len(), |Reverse(lane)| lane);
        if lane == members.len() {
            members.push(Vec::new());
        }
        members[lane].push(process);
        taken.push(Reverse((end, lane)));
    }
    // A thread's place is known by its first process.
    members.sort_by_key(|members| members[0]);
    for (lane, members) in members.iter().enumerate() {
        of.extend(members.iter().map(|process| (*process, lane)));
    }
    Lanes { names: members.iter().map(|members| name(members)).collect(), of }
}

fn name(members: &[i64]) -> String {
    let first: Vec<String> = members.iter().take(NAMED_MAX).map(i64::to_string).collect();
    let more = if members.len() > NAMED_MAX { ", …" } else { "" };
    format!("{}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn op(process: i64, begin: u64, end: Option<u64>) -> Operation {
        let (label, detail) = (String::new(), String::new());
        Operation { process, label, detail, begin, end, kind: Kind::Ok, marked: false }
    }

    #[test]
    fn a_lane_that_is_over_is_taken_by_the_next_process() {
        // 0 crashes at 5 and is replaced by 10; 1 goes on all the time; 11 comes beside both.
        let ops = [
            op(0, 0, Some(4)),
            op(1, 1, Some(20)),
            op(0, 5, None),
            op(10, 6, Some(9)),
            op(11, 7, Some(8)),
            op(10, 10, Some(12)),
        ];
        let lanes = pack(&ops.iter().collect::<Vec<_>>());
        assert_eq!(lanes.names, ["0, 10", "1", "11"]);
        assert_eq!((lanes.of[&10], lanes.of[&11]), (0, 2));
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(name(&[3]), "3");
        assert_eq!(name(&[3, 19, 35]), "3, 19, …");
    }
}
