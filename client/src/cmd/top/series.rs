//! What a value was over time, in the columns of a chart.
//!
//! Owns: the slots of time. A value has one sample a slot, and a column of a chart is as many
//! slots as it takes to show a minute; columns begin at round instants, so that what was drawn
//! moves to the left and does not change.

use std::collections::VecDeque;

/// A slot of time.
pub(super) const SAMPLE_MS: u64 = 500;
/// What a chart shows at least, if it is not wider than a column a slot.
pub(super) const WINDOW_MS: u64 = 60_000;
/// Slots that are kept: also the widest terminals show no more.
const SLOTS_MAX: usize = 400;
/// A look that came late leaves no gap, if it came within so many slots.
const LATE_MAX: u64 = 8;

/// How the slots of a column become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// The last one.
    Last,
    /// Their mean.
    Mean,
    /// The largest.
    Max,
}

/// A value over time.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    /// The slot of the newest sample.
    newest: u64,
    samples: VecDeque<Option<f64>>,
}

impl Series {
    /// The value at this instant; none where there is nothing to be measured.
    pub(super) fn push(&mut self, now_ms: u64, value: Option<f64>) {
        let slot = now_ms / SAMPLE_MS;
        if self.samples.is_empty() {
            self.newest = slot.saturating_sub(1);
        }
        let missed = slot.saturating_sub(self.newest);
        match missed {
            0 => {
                self.samples.pop_back();
            }
            more => {
                let filler = if more <= LATE_MAX { self.last() } else { None };
                let gap = (more - 1).min(SLOTS_MAX as u64) as usize;
                self.samples.extend(std::iter::repeat_n(filler, gap));
                self.newest = slot;
            }
        }
        self.samples.push_back(value);
        while self.samples.len() > SLOTS_MAX {
            self.samples.pop_front();
        }
    }

    /// The newest value.
    pub(super) fn last(&self) -> Option<f64> {
        self.samples.back().copied().flatten()
    }

    /// The mean of the last second: a single look is restless.
    pub(super) fn lately(&self) -> Option<f64> {
        mean(self.samples.iter().rev().take(2).copied())
    }

    /// So many columns, the newest last.
    pub(super) fn columns(&self, now_ms: u64, width: usize, how: Column) -> Vec<Option<f64>> {
        let slots = column_ms(width) / SAMPLE_MS;
        let end = now_ms / SAMPLE_MS / slots;
        let column = |back: u64| {
            let first = end.checked_sub(back)? * slots;
            let values = (first..first + slots).map(|slot| self.at(slot));
            match how {
                Column::Last => values.flatten().next_back(),
                Column::Mean => mean(values),
                Column::Max => values.flatten().reduce(f64::max),
            }
        };
        (0..width as u64).rev().map(column).collect()
    }

    fn at(&self, slot: u64) -> Option<f64> {
        let back = usize::try_from(self.newest.checked_sub(slot)?).ok()?;
        let index = (self.samples.len().checked_sub(1)?).checked_sub(back)?;
        self.samples[index]
    }
}

/// How long one of so many columns is.
pub(super) fn column_ms(width: usize) -> u64 {
    let width = width.max(1) as u64;
    WINDOW_MS.div_ceil(width * SAMPLE_MS).max(1) * SAMPLE_MS
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) =
        values.flatten().fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_move_to_the_left_and_stay_the_same() {
        let mut series = Series::default();
        for slot in 0..120 {
            series.push(1_000_000 + slot * SAMPLE_MS, Some(slot as f64));
        }
        let now_ms = 1_000_000 + 119 * SAMPLE_MS;
        assert_eq!(column_ms(120), 500);
        assert_eq!(column_ms(60), 1000);
        assert_eq!(column_ms(7), 9000);
        let all = series.columns(now_ms, 120, Column::Last);
        assert_eq!(all.first().copied().flatten(), Some(0.0));
        assert_eq!(all.last().copied().flatten(), Some(119.0));
        let half = series.columns(now_ms, 60, Column::Max);
        assert_eq!(half[58..], [Some(117.0), Some(119.0)]);
        let mean = series.columns(now_ms, 60, Column::Mean);
        assert_eq!(mean[59], Some(118.5));
        series.push(now_ms + 2 * SAMPLE_MS, Some(7.0));
        let later = series.columns(now_ms + 2 * SAMPLE_MS, 60, Column::Max);
        // The new column has the late slot's filler and the new value.
        assert_eq!(later[57..], [Some(117.0), Some(119.0), Some(119.0)]);
    }

    #[test]
    fn a_long_pause_is_a_gap() {
        let mut series = Series::default();
        series.push(10_000, Some(1.0));
        series.push(20_000, Some(2.0));
        let columns = series.columns(20_000, 120, Column::Last);
        assert_eq!(columns[118..], [None, Some(2.0)]);
        assert_eq!(columns.iter().flatten().count(), 2);
        series.push(20_100, Some(3.0));
        assert_eq!(series.last(), Some(3.0), "one sample a slot");
        assert_eq!(series.columns(20_100, 120, Column::Last)[118..], [None, Some(3.0)]);
    }
}
