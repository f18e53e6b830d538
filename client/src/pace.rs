//! Pauses between rounds of attempts, in each of which every node gets its chance.
//!
//! Called by `settle` and `batch`.

use std::time::Duration;

/// The pause after the first round in which no node decided; it doubles with each round.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause between rounds, also when a node asks for more.
const PAUSE_MAX: Duration = Duration::from_millis(320);

/// How far through its rounds a command is.
#[derive(Debug)]
pub(crate) struct Pace {
    attempts: u32,
    round: usize,
    pause: Duration,
}

impl Pace {
    /// With so many nodes in a round.
    pub(crate) fn new(round: usize) -> Self {
        Self { attempts: 0, round, pause: PAUSE_MIN }
    }

    /// Attempts counted so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts an attempt; returns how long to wait before the next one, should there be one: not
    /// at all within a round, and after it as long as the node asked to, within bounds.
    pub(crate) fn after(&mut self, asked_to_wait: Option<Duration>) -> Duration {
        self.attempts += 1;
        if !(self.attempts as usize).is_multiple_of(self.round) {
            return Duration::ZERO;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        asked_to_wait.map_or(pause, |asked| asked.clamp(pause, PAUSE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_rounds_are_followed_by_a_pause_that_grows() {
        let mut pace = Pace::new(2);
        let ms = |wait: Duration| wait.as_millis();
        let waits: Vec<u128> = (0..6).map(|_| ms(pace.after(None))).collect();
        assert_eq!(waits, [0, 20, 0, 40, 0, 80]);
        let mut pace = Pace::new(1);
        assert_eq!(ms(pace.after(Some(Duration::from_millis(5)))), 20);
        assert_eq!(ms(pace.after(Some(Duration::from_millis(55)))), 55);
        assert_eq!(ms(pace.after(Some(Duration::from_secs(9)))), 320);
        assert_eq!(pace.attempts(), 3);
    }
}
