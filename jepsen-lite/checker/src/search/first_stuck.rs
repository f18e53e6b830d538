//! Where a history of a ranked model becomes illegal.
//!
//! Owns: finding the first completion with which it does. Never does: decide that it is. Called by
//! `search`.
//!
//! Ranks cut an order as soon as it passes what must still come, be that far later. So a search
//! with them knows that there is none, and of the place only that it is not before where it came
//! to. From there on prefixes are searched, twice as far each time, then by halves.

use super::schedule::{Due, Schedule};
use super::{Budget, Finding, Operation, Stuck, run};
use crate::Model;
use std::time::Instant;

/// The first operation that makes the history illegal. `stuck` is of a search of all of it, which
/// the ranks may have cut before that.
///
/// # Panics
/// When the history is legal.
pub(super) fn find<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    members: &[usize],
    (start, stuck): (M::State, Stuck<M::State>),
    budget: Budget,
) -> Stuck<M::State> {
    let began = Instant::now();
    // In the order of a schedule's events.
    let mut completions: Vec<Completion> = members
        .iter()
        .filter_map(|&operation| Some((operations[operation].returned?, operation)))
        .collect();
    completions.sort_unstable();
    let search = |place: usize| {
        let time = budget.time.saturating_sub(began.elapsed());
        let (start, budget) = (start.clone(), Budget { time, ..budget });
        up_to(model, operations, members, completions[place], (start, budget))
    };
    // Up to before this one, there is an order.
    let reached = completions.iter().position(|(_, operation)| *operation == stuck.operation);
    let Some(reached) = reached else { panic!("{} never returned", stuck.operation) };
    let (mut legal_before, mut place, mut step) = (reached, reached, 1);
    let mut is_illegal_at_place = false;
    loop {
        let middle = if is_illegal_at_place { usize::midpoint(legal_before, place) } else { place };
        match search(middle) {
            // An order came as far as this completion, and not past it: it is the first.
            Finding::Stuck(found) if found.operation == completions[middle].1 => return found,
            Finding::Stuck(found) => {
                assert!(legal_before < middle, "{found:?}, where all before {middle} is legal");
                (place, is_illegal_at_place) = (middle, true);
            }
            Finding::Linearizable { .. } => {
                legal_before = middle + 1;
                assert!(legal_before < completions.len(), "every prefix is legal");
                if !is_illegal_at_place {
                    place = (middle + step).min(completions.len() - 1);
                    step *= 2;
                }
            }
            Finding::RanOut(_) => return Stuck { is_first: false, ..stuck },
        }
    }
}

/// Where an operation completes, and which.
type Completion = (usize, usize);

/// Searches the history up to this completion.
fn up_to<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    members: &[usize],
    last: Completion,
    (start, budget): (M::State, Budget),
) -> Finding<M::State> {
    let began = |member: &usize| operations[*member].invoked <= last.0;
    let members: Vec<usize> = members.iter().copied().filter(began).collect();
    let due = |member: usize| match operations[member].returned.map(|at| (at, member)) {
        Some(completion) if completion < last => Due::Binding,
        // It is to bind no other: so orders come as far as its completion.
        Some(completion) if completion == last => Due::Required,
        _ => Due::Optional,
    };
    let schedule = Schedule::new(model, operations, &members, due);
    run(model, operations, &schedule, start, budget).0
}
