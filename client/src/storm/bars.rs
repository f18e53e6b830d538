//! How long the answers of a storm took, as bars of text.
//!
//! Owns: the buckets, whose bounds grow as 1, 2, 5, 10, so that a stall of seconds and an answer
//! within a millisecond are on one page; no line is wider than 80 columns. Never does: the
//! percentiles' values, which are `report`'s. Called by `report`.

use super::grouped;
use std::fmt;

/// The first bucket is of what took at most this.
const FIRST_US: u64 = 100;
/// The last bucket holds the longest time that is kept, `u32::MAX` microseconds.
const BUCKETS_MAX: usize = 24;
/// Columns of the longest bar.
const BAR_COLUMNS: usize = 26;
/// A column is filled by eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/// What stands beside the bar that it is in: per mille of the answers that took no longer.
const MARKS: [(u64, &str); 4] = [(500, "p50"), (900, "p90"), (990, "p99"), (999, "p99.9")];

/// Answers by how long they took, from the fastest bucket with any to the slowest.
#[derive(Debug, Clone, Default)]
pub struct Bars {
    buckets: Vec<Bucket>,
}

/// Answers that took at most `upto_us`, and longer than the bucket before allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    upto_us: u64,
    count: u64,
}

impl Bars {
    /// The bars of these microseconds; no line where there are none.
    pub(super) fn of_us(latencies_us: &[u32]) -> Self {
        let mut buckets = Vec::new();
        for latency_us in latencies_us {
            let holds = |at: &usize| bound_us(*at) >= u64::from(*latency_us);
            let at = (0..BUCKETS_MAX).find(holds).unwrap_or(BUCKETS_MAX - 1);
            while buckets.len() <= at {
                buckets.push(Bucket { upto_us: bound_us(buckets.len()), count: 0 });
            }
            buckets[at].count += 1;
        }
        let empty = buckets.iter().take_while(|bucket| bucket.count == 0).count();
        Self { buckets: buckets.split_off(empty) }
    }

    /// Whether there was any answer.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

/// 1, 2, 5, 10, 20, 50, … times the first.
fn bound_us(bucket: usize) -> u64 {
    let decade = 10_u64.pow(u32::try_from(bucket / 3).unwrap_or(u32::MAX));
    FIRST_US * decade * [1, 2, 5][bucket % 3]
}

impl fmt::Display for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: u64 = self.buckets.iter().map(|bucket| bucket.count).sum();
        let most = self.buckets.iter().map(|bucket| bucket.count).max().unwrap_or_default();
        let mut upto = 0;
        for Bucket { upto_us, count } in &self.buckets {
            let before = upto;
            upto += count;
            let here =
                |per_mille: u64| (before * 1000 + 1..=upto * 1000).contains(&(per_mille * all));
            let mut marks: Vec<&str> =
                MARKS.iter().filter(|(part, _)| here(*part)).map(|(_, name)| *name).collect();
            if upto == all && *count > 0 {
                marks.push("max");
            }
            let line = format!(
                "  {:>9} ms  {:<BAR_COLUMNS$} {:>10}  {}",
                ms(*upto_us),
                bar(*count, most),
                grouped(*count),
                marks.join(" "),
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// What is there is seen, however little it is.
fn bar(count: u64, most: u64) -> String {
    let eighths = (count * BAR_COLUMNS as u64 * 8).div_ceil(most.max(1));
    let (whole, part) = ((eighths / 8) as usize, (eighths % 8) as usize);
    "█".repeat(whole) + EIGHTHS[part]
}

fn ms(us: u64) -> String {
    if us < 1000 { format!("0.{}", us / 100) } else { grouped(us / 1000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_in_the_bar_of_its_time() {
        let mut latencies_us = vec![900, 1000, 1001, 1999, 2000];
        latencies_us.extend([3000; 93]);
        latencies_us.extend([20_001, 1_400_000]);
        let bars = Bars::of_us(&latencies_us).to_string();
        let expected = "
          1 ms  ▋                                   2
          2 ms  ▉                                   3
          5 ms  ██████████████████████████         93  p50 p90
         10 ms                                      0
         20 ms                                      0
         50 ms  ▍                                   1  p99
        100 ms                                      0
        200 ms                                      0
        500 ms                                      0
      1,000 ms                                      0
      2,000 ms  ▍                                   1  p99.9 max
";
        assert_eq!(format!("\n{bars}"), expected, "\n{bars}");
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_and_they_are_few() {
        assert!(Bars::of_us(&[]).is_empty() && Bars::of_us(&[]).to_string().is_empty());
        let latencies_us: Vec<u32> = (0..=31).map(|bit| u32::MAX >> bit).collect();
        let mut bars = Bars::of_us(&latencies_us);
        bars.buckets[0].count = 1_000_000_000;
        let text = bars.to_string();
        assert!(text.lines().count() <= 24, "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
        assert!(text.lines().next().is_some_and(|line| line.ends_with("p50 p90 p99 p99.9")));
        assert!(text.lines().last().is_some_and(|line| line.ends_with("max")), "{text}");
    }
}
