//! Which operations are shown when there are more than a page can show.
//!
//! Owns: the choice. Where something is marked, it is what happened around it, without a gap, or
//! the reader could not tell what overlaps what. Else it is a sample of the whole.

use super::OPERATIONS_MAX;
use std::ops::Range;

/// The operations to show, as positions in the order of their begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// All of them.
    All,
    /// What happened around the first marked one.
    Around(Range<usize>),
    /// Every n-th.
    Sample(usize),
}

/// Chooses among so many operations. `marked` are positions, in order.
pub fn choose(operations: usize, marked: &[usize]) -> Choice {
    if operations <= OPERATIONS_MAX {
        return Choice::All;
    }
    let Some(first) = marked.first() else {
        return Choice::Sample(operations.div_ceil(OPERATIONS_MAX));
    };
    let begin = first.saturating_sub(OPERATIONS_MAX / 2).min(operations - OPERATIONS_MAX);
    Choice::Around(begin..begin + OPERATIONS_MAX)
}

impl Choice {
    /// Whether the operation at this position is shown.
    pub fn shows(&self, position: usize) -> bool {
        match self {
            Self::All => true,
            Self::Around(shown) => shown.contains(&position),
            Self::Sample(every) => position.is_multiple_of(*every),
        }
    }

    /// What to tell the reader, of so many operations; empty when all are shown.
    pub fn note(&self, operations: usize) -> String {
        match self {
            Self::All => String::new(),
            Self::Around(shown) => format!(
                "{} of {operations} operations are shown: those around the first one that cannot \
                 be placed. The history has all.",
                shown.len()
            ),
            Self::Sample(every) => {
                format!("One operation of {every} is shown, of {operations}. The history has all.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_shown_whole() {
        let choice = choose(OPERATIONS_MAX, &[3]);
        assert_eq!((choice.note(OPERATIONS_MAX).as_str(), choice), ("", Choice::All));
    }

    #[test]
    fn a_problem_is_shown_with_what_is_around_it() {
        let most = OPERATIONS_MAX;
        for (marked, range) in
            [(10, 0..most), (most, most / 2..most + most / 2), (3 * most - 1, 2 * most..3 * most)]
        {
            let choice = choose(3 * most, &[marked]);
            assert!(choice.shows(marked));
            assert_eq!(choice, Choice::Around(range));
        }
    }

    #[test]
    fn a_sample_never_has_more_than_a_page_shows() {
        for operations in [OPERATIONS_MAX + 1, 7 * OPERATIONS_MAX, 7 * OPERATIONS_MAX + 1] {
            let choice = choose(operations, &[]);
            let shown = (0..operations).filter(|position| choice.shows(*position)).count();
            assert!((1..=OPERATIONS_MAX).contains(&shown), "{shown} of {operations}");
        }
    }
}
