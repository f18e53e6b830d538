//! What a person sees of a storm that goes on: its bar, and what is wrong with the nodes.
//!
//! Owns: the end of a storm that nobody answers: buyers who wait for dead nodes one after the
//! other would take hours to say so. Called by `flashctl storm`.

use client::Client;
use client::storm::{Plan, Progress, grouped};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// How often the bar is moved, and the nodes are looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// When nobody was told anything for so long, no more buyers come: many times what a failover
/// takes, and more than a node takes to say that it cannot decide.
const STALL_MAX: Duration = Duration::from_secs(12);

/// Whether a storm was ended because nobody answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stalled {
    No,
    Yes,
}

/// See the module.
pub(super) struct Watch<'a> {
    client: &'a Client,
    only: Option<usize>,
    bar: ProgressBar,
    silent: Vec<usize>,
    decided: u64,
    decided_at: Instant,
    stalled: Stalled,
}

impl<'a> Watch<'a> {
    pub(super) fn new(plan: &Plan, client: &'a Client, json: bool) -> Self {
        // indicatif itself hides a bar whose target is not a terminal.
        let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template("  {wide_bar} {percent:>3} %  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("█▉▊▋▌▍▎▏░");
        let bar = ProgressBar::with_draw_target(Some(plan.buyers), target).with_style(style);
        let (silent, decided, decided_at) = (Vec::new(), 0, Instant::now());
        Self { client, only: plan.only, bar, silent, decided, decided_at, stalled: Stalled::No }
    }

    /// Watches until it is dropped; the storm is another's.
    pub(super) async fn follow(&mut self, progress: &Progress) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            self.draw(progress);
            self.look_at_nodes();
            self.look_for_stall(progress);
        }
    }

    /// Says what the last look has missed, as in a storm that was over before it; takes the bar
    /// away; tells whether the storm was ended early.
    pub(super) fn finish(mut self) -> Stalled {
        self.look_at_nodes();
        self.bar.finish_and_clear();
        self.stalled
    }

    fn draw(&self, progress: &Progress) {
        self.bar.set_position(progress.finished_count());
        let left = progress
            .remaining_min()
            .map_or(String::new(), |left| format!(", {} left", grouped(left)));
        self.bar.set_message(format!(
            "{} accepted, {} sold out{left}",
            grouped(progress.accepted_count()),
            grouped(progress.sold_out_count()),
        ));
    }

    /// Says which nodes fall silent, and which answer again.
    fn look_at_nodes(&mut self) {
        let silent = self.client.silent_nodes();
        let others = if self.only.is_some() { "" } else { "; its buyers go to the others" };
        for node in silent.iter().filter(|node| !self.silent.contains(node)) {
            self.say(&format!("{} does not answer{others}", self.client.address(*node)));
        }
        for node in self.silent.iter().filter(|node| !silent.contains(node)) {
            self.say(&format!("{} answers again", self.client.address(*node)));
        }
        self.silent = silent;
    }

    fn look_for_stall(&mut self, progress: &Progress) {
        let decided = progress.decided_count();
        if decided != self.decided {
            (self.decided, self.decided_at) = (decided, Instant::now());
        }
        if self.stalled == Stalled::No && self.decided_at.elapsed() > STALL_MAX {
            self.stalled = Stalled::Yes;
            progress.stop();
            let began = grouped(progress.finished_count());
            self.say(&format!(
                "nobody was told anything for {} s: no more buyers come after {began}, and those \
                 under way are waited for; look at `flashctl status`",
                STALL_MAX.as_secs()
            ));
        }
    }

    fn say(&self, words: &str) {
        self.bar.suspend(|| eprintln!("flashctl: {words}"));
    }
}
