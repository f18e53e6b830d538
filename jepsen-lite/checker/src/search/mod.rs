//! The exact checker: decides whether operations are linearizable.
//!
//! Owns: the question, the budget, the verdict, and the split into partitions. Never does: read
//! files, or know what an operation means. Called by `jepsen-lite check`, by `explain`, and by
//! the witness check to arbitrate what it rejects.
//!
//! The search is Wing & Gong's, with Lowe's memo ("Testing for linearizability", 2017), and six
//! things of its own:
//!
//! - **The window.** A set of linearized operations is a position in the order of completions
//!   (all that completed before it are in) and one bit for each operation then pending. So a
//!   memo entry is as large as the concurrency, not as the run; see `schedule`.
//! - **Observations first.** An operation that never changes a state, and is legal now, can be
//!   put here in any linearization that goes on from here. It is taken at once, and nothing
//!   branches. (That a write leaves *this* state as it is does not suffice: it may be needed
//!   later, after another write.)
//! - **Unseen writes.** A write that another one follows at once need have no place of its own. So
//!   the search branches over the writes whose value something needs; see `placed`.
//! - **Equals.** Of pending operations that do the same to every state, the one that completes
//!   first comes first: in any other order the two can change places.
//! - **Ranks.** Where answers carry a number that no legal order lets fall, such as a version, what
//!   ranks above something that must still come is not tried. This is a theorem of the model
//!   ([`Model::rank`]), not a belief in the server: an order against the ranks has no legal step.
//! - **Unknown outcomes** are counted by shape, the earliest first, and tried last. A
//!   configuration that is equal but for having used fewer of them can do all that one with more
//!   can; so only the least that was spent is remembered; see `memo` and `usage`.
//!
//! | module | what it owns |
//! |---|---|
//! | `schedule` | one partition's operations as events, slots and queues of unknowns |
//! | `placed` | which of the pending ones are linearized, and which are hidden by a later write |
//! | `slots` | bit sets over slots: 64, 128, or any number |
//! | `states`, `usage` | each state, and each count of used unknowns, under a small number |
//! | `memo` | what was visited |
//! | `depth_first` | the search itself |
//! | `first_stuck` | where a ranked history becomes illegal |

mod depth_first;
mod first_stuck;
mod memo;
mod placed;
mod schedule;
mod slots;
mod states;
mod usage;

use crate::Model;
use schedule::Due;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// One operation as the search sees it.
#[derive(Debug, Clone)]
pub struct Operation<Op> {
    /// What it is to the model.
    pub op: Op,
    /// Position of the invocation in the total order of events.
    pub invoked: usize,
    /// Position of the completion; `None` for an unknown outcome. At one position, invocations
    /// come before completions.
    pub returned: Option<usize>,
}

/// How much a search may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Time for all partitions together.
    pub time: Duration,
    /// Bytes of memo and stack, about.
    pub memory_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), memory_bytes: 2 << 30 }
    }
}

/// The three-way verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is a linearization.
    Ok,
    /// There is none.
    Illegal,
    /// Neither was shown within the budget.
    Unknown,
}

impl Verdict {
    /// `ok`, `illegal` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Illegal => "illegal",
            Self::Unknown => "unknown",
        }
    }

    /// Of two parts of one history: illegal if one is, else unknown if one is.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Illegal, _) | (_, Self::Illegal) => Self::Illegal,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Ok, Self::Ok) => Self::Ok,
        }
    }
}

/// Which part of the budget ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RanOut {
    /// The time.
    Time,
    /// The memory.
    Memory,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Report<Key, State> {
    /// Of all partitions together.
    pub verdict: Verdict,
    /// In the order of their keys.
    pub partitions: Vec<Partition<Key, State>>,
}

/// [`Report`] of a model.
pub type ReportOf<M> = Report<<M as Model>::Key, <M as Model>::State>;

/// What was found of one partition. Operations are named by their index in the slice given.
#[derive(Debug, Clone)]
pub struct Partition<Key, State> {
    /// Its name.
    pub key: Key,
    /// Its operations, in the order given.
    pub members: Vec<usize>,
    /// What was found.
    pub finding: Finding<State>,
    /// What it took.
    pub statistics: Statistics,
}

impl<Key, State> Partition<Key, State> {
    /// The verdict of its finding.
    pub fn verdict(&self) -> Verdict {
        match self.finding {
            Finding::Linearizable { .. } => Verdict::Ok,
            Finding::Stuck(_) => Verdict::Illegal,
            Finding::RanOut(_) => Verdict::Unknown,
        }
    }
}

/// What a search found.
#[derive(Debug, Clone)]
pub enum Finding<State> {
    /// A linearization.
    Linearizable {
        /// The operations in its order. Unknown ones that it does not need are not in it.
        order: Vec<usize>,
    },
    /// There is none.
    Stuck(Stuck<State>),
    /// Neither was shown.
    RanOut(RanOut),
}

/// Where every order fails. The history up to just before `operation` completed, with what was
/// then pending taken as unknown, is linearizable; with that completion it is not.
#[derive(Debug, Clone)]
pub struct Stuck<State> {
    /// The operation that cannot be placed.
    pub operation: usize,
    /// Whether that is so. False where the budget ended before the first such operation was
    /// found: then what follows is of an earlier one, and a later one makes it illegal.
    pub is_first: bool,
    /// A longest order: everything that completed before `operation` did, and what it took.
    pub order: Vec<usize>,
    /// The states in which some order arrives there: `operation` is legal in none of them. At
    /// most [`STUCK_STATES_MAX`].
    pub states: Vec<State>,
}

/// The most states that [`Stuck`] lists.
pub const STUCK_STATES_MAX: usize = 64;

/// What a search took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Operations with a known place.
    pub known: usize,
    /// Operations of unknown outcome.
    pub unknown: usize,
    /// The most known ones pending at once.
    pub concurrency: usize,
    /// Calls of the model's `step`.
    pub steps: u64,
    /// Configurations remembered.
    pub configurations: usize,
    /// Distinct states seen.
    pub states: usize,
    /// Bytes of memo, states and stack, about.
    pub memory_bytes: usize,
}

/// Decides whether these operations, in any order given, are linearizable. Partitions are
/// searched one by one, the smallest first, each with an equal share of the time that is left.
///
/// # Panics
/// When an operation returned before it was invoked, or there are 2^31 operations or more.
pub fn check<M: Model>(model: &M, operations: &[Operation<M::Op>], budget: Budget) -> ReportOf<M> {
    let began = Instant::now();
    let mut groups: HashMap<M::Key, Vec<usize>> = HashMap::new();
    for (index, operation) in operations.iter().enumerate() {
        groups.entry(model.partition(&operation.op)).or_default().push(index);
    }
    let mut groups: Vec<(M::Key, Vec<usize>)> = groups.into_iter().collect();
    groups.sort_by(|(a, some), (b, others)| some.len().cmp(&others.len()).then(a.cmp(b)));
    let count = groups.len();
    let mut partitions = Vec::with_capacity(count);
    for (done, (key, members)) in groups.into_iter().enumerate() {
        let left = budget.time.saturating_sub(began.elapsed());
        let share = left / u32::try_from(count - done).unwrap_or(u32::MAX);
        let budget = Budget { time: share, ..budget };
        let start = model.init(&key);
        let (finding, statistics) = search(model, operations, &members, start, budget);
        partitions.push(Partition { key, members, finding, statistics });
    }
    partitions.sort_by(|a, b| a.key.cmp(&b.key));
    let verdict = partitions.iter().fold(Verdict::Ok, |so_far, it| so_far.and(it.verdict()));
    Report { verdict, partitions }
}

/// Decides whether operations of one partition are linearizable from this state.
///
/// # Panics
/// As of [`check`].
pub fn check_from<M: Model>(
    model: &M,
    start: M::State,
    operations: &[Operation<M::Op>],
    budget: Budget,
) -> (Finding<M::State>, Statistics) {
    let members: Vec<usize> = (0..operations.len()).collect();
    search(model, operations, &members, start, budget)
}

/// Whether some order of these operations exists in which those that are not required may be
/// missing: each of them takes place by its completion, or never. Used to explain: the fewer are
/// required, the less there is to understand.
///
/// # Panics
/// As of [`check`], and when `required` does not say it of each.
pub fn check_required<M: Model>(
    model: &M,
    start: M::State,
    operations: &[Operation<M::Op>],
    required: &[bool],
    budget: Budget,
) -> Verdict {
    assert_eq!(required.len(), operations.len(), "what is required of each operation");
    let members: Vec<usize> = (0..operations.len()).collect();
    let due = |member: usize| if required[member] { Due::Binding } else { Due::Optional };
    let schedule = schedule::Schedule::new(model, operations, &members, due);
    match run(model, operations, &schedule, start, budget).0 {
        Finding::Linearizable { .. } => Verdict::Ok,
        Finding::Stuck(_) => Verdict::Illegal,
        Finding::RanOut(_) => Verdict::Unknown,
    }
}

/// The states in which operations of one partition may leave it, in the order found. Unknown
/// ones may also take effect later, so whoever goes on from here must still allow them.
///
/// # Errors
/// [`RanOut`] of the budget.
///
/// # Panics
/// As of [`check`].
pub fn reach<M: Model>(
    model: &M,
    start: M::State,
    operations: &[Operation<M::Op>],
    budget: Budget,
) -> Result<Vec<M::State>, RanOut> {
    let members: Vec<usize> = (0..operations.len()).collect();
    let schedule = schedule::Schedule::new(model, operations, &members, |_| Due::Binding);
    match schedule.slots {
        0..=64 => depth_first::reach::<M, u64>(model, operations, &schedule, start, budget),
        65..=128 => depth_first::reach::<M, u128>(model, operations, &schedule, start, budget),
        _ => depth_first::reach::<M, slots::Wide>(model, operations, &schedule, start, budget),
    }
}

/// The verdict is known by then; this long is looked for the words to it.
const FIRST_STUCK_TIME_MAX: Duration = Duration::from_secs(2);

fn search<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    members: &[usize],
    start: M::State,
    budget: Budget,
) -> (Finding<M::State>, Statistics) {
    let began = Instant::now();
    let schedule = schedule::Schedule::new(model, operations, members, |_| Due::Binding);
    let (finding, statistics) = run(model, operations, &schedule, start.clone(), budget);
    let Finding::Stuck(stuck) = finding else { return (finding, statistics) };
    if !M::RANKED {
        return (Finding::Stuck(stuck), statistics);
    }
    let left = budget.time.saturating_sub(began.elapsed());
    let budget = Budget { time: left.min(FIRST_STUCK_TIME_MAX), ..budget };
    let stuck = first_stuck::find(model, operations, members, (start, stuck), budget);
    (Finding::Stuck(stuck), statistics)
}

fn run<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    schedule: &schedule::Schedule,
    start: M::State,
    budget: Budget,
) -> (Finding<M::State>, Statistics) {
    match schedule.slots {
        0..=64 => depth_first::run::<M, u64>(model, operations, schedule, start, budget),
        65..=128 => depth_first::run::<M, u128>(model, operations, schedule, start, budget),
        _ => depth_first::run::<M, slots::Wide>(model, operations, schedule, start, budget),
    }
}
