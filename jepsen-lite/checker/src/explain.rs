//! Why a history is illegal, in words.
//!
//! Owns: the operation that cannot be placed, the states before it, and the minimal window: the
//! fewest operations that cannot all have happened as answered, whatever the others did. Never
//! does: decide; the search did. Called by `jepsen-lite check` and the timeline.

use crate::search::{self, Budget, Finding, Operation, RanOut, ReportOf, Stuck, Verdict};
use crate::{History, Model};
use serde::Serialize;
use std::time::{Duration, Instant};

/// The most operations of a window that are shrunk one by one; each costs a search.
const WINDOW_MAX: usize = 400;

/// The most states that are told.
const STATES_TOLD_MAX: usize = 8;

/// Why a partition is illegal. Operations are named by their index in the slice checked.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The partition's key.
    pub partition: String,
    /// The operation that cannot be placed.
    pub operation: Told,
    /// Whether the history is linearizable up to that operation's completion. False when time ran
    /// out while the first such operation was looked for: it is then this one or a later one.
    pub is_first: bool,
    /// How many operations the longest linearizable prefix has: all that completed before the
    /// completion of `operation` did, and what they need.
    pub prefix_operations: usize,
    /// The operation that left the state as it is before `operation`, in one of the orders.
    pub last_change: Option<Told>,
    /// The states in which `operation` would have to take place, one for each way to order what
    /// came before; at most [`search::STUCK_STATES_MAX`].
    pub states: Vec<String>,
    /// The minimal window: these cannot all have happened as answered, from the states possible
    /// when the window begins, whatever the others did.
    pub window: Vec<Told>,
    /// Whether the window was shrunk as far as it goes. If it was too large, the budget ended it,
    /// or an operation in doubt may have taken effect on either side of where it begins, `window`
    /// only has what overlaps `operation`, and may be possible by itself.
    ///
    /// With such an operation in doubt a window that was shrunk is illegal, but may have more than
    /// it takes.
    pub window_is_minimal: bool,
}

/// An operation, as it is told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Its index in the slice checked.
    pub index: usize,
    /// Position of its invocation.
    pub invoked: usize,
    /// Position of its completion.
    pub returned: Option<usize>,
    /// Its invocation's line of the file; 0 when it came from no file.
    pub invoked_line: u32,
    /// Its completion's.
    pub returned_line: Option<u32>,
    /// What it is, in words.
    pub what: String,
}

/// Explains each illegal partition of a report; what the budget leaves no time for is told without
/// its minimal window. `history` gives the lines, where there is one
/// whose positions the operations have.
pub fn explain<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    report: &ReportOf<M>,
    history: Option<&History>,
    budget: Budget,
) -> Vec<Explanation> {
    let began = Instant::now();
    let mut explanations = Vec::new();
    for partition in &report.partitions {
        let Finding::Stuck(stuck) = &partition.finding else { continue };
        let told = |index: usize| tell(model, operations, history, index);
        let left = Budget { time: budget.time.saturating_sub(began.elapsed()), ..budget };
        let start = model.init(&partition.key);
        let window =
            Window::of(model, operations, &partition.members, stuck.operation, start, left);
        let states = stuck.states.iter().map(|state| model.describe_state(state)).collect();
        explanations.push(Explanation {
            partition: partition.key.to_string(),
            operation: told(stuck.operation),
            is_first: stuck.is_first,
            prefix_operations: stuck.order.len(),
            last_change: last_change(model, operations, stuck, &partition.key).map(told),
            states,
            window: window.members.iter().map(|index| told(*index)).collect(),
            window_is_minimal: window.is_minimal,
        });
    }
    explanations
}

fn tell<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    history: Option<&History>,
    index: usize,
) -> Told {
    let Operation { op, invoked, returned } = &operations[index];
    let line = |at: usize| {
        history.and_then(|history| history.events.get(at)).map_or(0, |event| event.line)
    };
    Told {
        index,
        invoked: *invoked,
        returned: *returned,
        invoked_line: line(*invoked),
        returned_line: returned.map(line),
        what: model.describe(op),
    }
}

/// The last operation of the longest order that changed the state.
fn last_change<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    stuck: &Stuck<M::State>,
    key: &M::Key,
) -> Option<usize> {
    let mut state = model.init(key);
    let mut last = None;
    for &index in &stuck.order {
        let next = model.step(&state, &operations[index].op)?;
        if next != state {
            last = Some(index);
            state = next;
        }
    }
    last
}

struct Window {
    members: Vec<usize>,
    is_minimal: bool,
}

impl Window {
    /// Cuts the history at the last moment before `stuck` was invoked at which nothing known was
    /// pending, carries the states possible there over, and then leaves out what it can.
    fn of<M: Model>(
        model: &M,
        operations: &[Operation<M::Op>],
        members: &[usize],
        stuck: usize,
        start: M::State,
        budget: Budget,
    ) -> Self {
        let began = Instant::now();
        let end = operations[stuck].returned.unwrap_or(usize::MAX);
        let cut = quiescent_cut(operations, members, operations[stuck].invoked);
        let of = |belongs: &dyn Fn(&Operation<M::Op>) -> bool| -> Vec<usize> {
            members.iter().copied().filter(|member| belongs(&operations[*member])).collect()
        };
        let is_before =
            |it: &Operation<M::Op>| it.invoked < cut && it.returned.is_none_or(|at| at < cut);
        let before: Vec<Operation<M::Op>> =
            of(&is_before).into_iter().map(|index| operations[index].clone()).collect();
        // Unknown ones from before the cut may take effect in the window.
        let inside = of(&|it| it.invoked < end && it.returned.is_none_or(|at| at >= cut));
        let window: Vec<Operation<M::Op>> =
            inside.iter().map(|index| operations[*index].clone()).collect();
        let mut required: Vec<bool> =
            window.iter().map(|it| it.returned.is_some_and(|at| at <= end)).collect();
        let is_minimal = window.len() <= WINDOW_MAX
            && match search::reach(model, start, &before, budget) {
                Ok(starts) => {
                    // All of it ended before `stuck` was invoked, and up to there it is fine.
                    assert!(!starts.is_empty(), "no order of the {} before {cut}", before.len());
                    let time = budget.time.saturating_sub(began.elapsed());
                    let left = Budget { time, ..budget };
                    shrink(model, &starts, &window, &mut required, left)
                }
                // Where the window begins is not known, so nothing can be left out.
                Err(RanOut::Time | RanOut::Memory) => false,
            };
        let overlaps = |index: usize| {
            let returned = operations[index].returned;
            returned.is_none_or(|at| at >= operations[stuck].invoked)
        };
        let kept = inside
            .iter()
            .zip(&required)
            .filter(|(index, required)| **required && (is_minimal || overlaps(**index)));
        Self { members: kept.map(|(index, _)| *index).collect(), is_minimal }
    }
}

/// Leaves out one required operation after the other, the earliest first, as long as the rest is
/// illegal from every start. False when the budget ended it, or when not even the whole window
/// contradicts itself: an operation in doubt from before it may be used on both sides of the cut.
fn shrink<M: Model>(
    model: &M,
    starts: &[M::State],
    window: &[Operation<M::Op>],
    required: &mut [bool],
    budget: Budget,
) -> bool {
    let began = Instant::now();
    // None once the budget is gone.
    let is_illegal = |required: &[bool]| {
        for start in starts {
            let left = budget.time.saturating_sub(began.elapsed());
            if left == Duration::ZERO {
                return None;
            }
            let budget = Budget { time: left, ..budget };
            match search::check_required(model, start.clone(), window, required, budget) {
                Verdict::Illegal => {}
                Verdict::Ok => return Some(false),
                Verdict::Unknown => return None,
            }
        }
        Some(true)
    };
    if is_illegal(required) != Some(true) {
        return false;
    }
    for index in 0..window.len() {
        if !required[index] {
            continue;
        }
        required[index] = false;
        match is_illegal(required) {
            Some(true) => {}
            Some(false) => required[index] = true,
            None => {
                required[index] = true;
                return false;
            }
        }
    }
    true
}

/// The last position, at most `before`, at which no known operation was pending.
fn quiescent_cut<Op>(operations: &[Operation<Op>], members: &[usize], before: usize) -> usize {
    let mut spans: Vec<(usize, usize)> = members
        .iter()
        .filter_map(|member| Some((operations[*member].invoked, operations[*member].returned?)))
        .filter(|(invoked, _)| *invoked <= before)
        .collect();
    spans.sort_unstable();
    let mut cut = 0;
    let mut busy_until = None;
    for (invoked, returned) in spans {
        if busy_until.is_none_or(|until| until < invoked) {
            cut = invoked;
        }
        busy_until = busy_until.max(Some(returned));
    }
    cut
}

impl Explanation {
    /// In sentences, each on a line, the last without its end.
    pub fn words(&self) -> String {
        let states: Vec<&str> =
            self.states.iter().take(STATES_TOLD_MAX).map(String::as_str).collect();
        let more = if self.states.len() > states.len() { ", or others" } else { "" };
        let no_place = if self.is_first {
            format!("{} has no place in any order.", self.operation.words())
        } else {
            format!(
                "{}, or one that completes later, has no place in any order; there was no time to \
                 find which.",
                self.operation.words()
            )
        };
        let mut lines = vec![
            no_place,
            format!(
                "Up to its completion the history is linearizable, with {} operations in order; \
                 then the state can only be {}{more}.",
                self.prefix_operations,
                states.join(" or ")
            ),
        ];
        if let Some(last) = &self.last_change {
            lines.push(format!("In one such order that is the doing of {}.", last.words()));
        }
        if self.window_is_minimal && self.window.len() == 1 {
            lines.push("It alone contradicts what came before, whatever overlaps it.".to_owned());
        } else if self.window.len() > 1 || self.window_is_minimal {
            lines.push(if self.window_is_minimal {
                "These cannot all have happened as answered, whatever the others did:".to_owned()
            } else {
                "These overlap. None could be left out: what is in doubt from before may explain \
                 each of them, or there was no time to tell."
                    .to_owned()
            });
            lines.extend(self.window.iter().map(|told| format!("  {}", told.words())));
        }
        lines.join("\n")
    }
}

impl Told {
    /// Such as `read → 3 (lines 4-7)`.
    pub fn words(&self) -> String {
        let what = &self.what;
        match (self.invoked_line, self.returned_line) {
            (0, _) => format!("{what} (operation {})", self.index),
            (line, Some(to)) => format!("{what} (lines {line}-{to})"),
            (line, None) => format!("{what} (line {line}, outcome unknown)"),
        }
    }
}
