//! The demo's stage: time-stamped milestones, and one live line below them on a terminal.
//!
//! Owns: how the story is printed: live on a terminal, as plain lines elsewhere, not at all for
//! JSON. Never does: know what the story is. Called by `demo`.

use crate::out::{self, Paint};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Instant;

/// Cells of the stock bar.
const BAR_CELLS: u64 = 24;

/// What the live line shows.
pub(super) struct Scene<'a> {
    pub(super) stock: u64,
    pub(super) left: u64,
    pub(super) pulse: &'a str,
    pub(super) nodes: &'a [Actor],
}

/// A node as the audience sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    Follower,
    Leader,
    Dead,
    Returning,
}

/// Where the story is told.
pub(super) struct Stage {
    started: Instant,
    told: bool,
    live: Option<ProgressBar>,
    paint: Paint,
}

impl Stage {
    pub(super) fn new(json: bool) -> Self {
        let live = (!json && std::io::stdout().is_terminal()).then(|| {
            let target = ProgressDrawTarget::stdout();
            let style = ProgressStyle::with_template("{wide_msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::with_draw_target(None, target).with_style(style)
        });
        Self { started: Instant::now(), told: !json, live, paint: Paint::stdout() }
    }

    pub(super) fn paint(&self) -> Paint {
        self.paint
    }

    /// One event of the story, stamped with the time since it began.
    pub(super) fn milestone(&self, text: &str) {
        let at = format!("{:7.2} s", self.started.elapsed().as_secs_f64());
        self.line(&format!("{}  {text}", self.paint.dim(&at)));
    }

    /// A line as it is.
    pub(super) fn line(&self, text: &str) {
        match &self.live {
            _ if !self.told => {}
            Some(live) => live.println(text),
            None => out::text(&format!("{text}\n")),
        }
    }

    /// Redraws the live line.
    pub(super) fn show(&self, scene: &Scene<'_>) {
        let Some(live) = &self.live else { return };
        let cells = (scene.left * BAR_CELLS).div_ceil(scene.stock.max(1)).min(BAR_CELLS) as usize;
        let full = "█".repeat(cells);
        let empty = "░".repeat(BAR_CELLS as usize - cells);
        let nodes: Vec<String> =
            (1..).zip(scene.nodes).map(|(id, actor)| self.actor(id, *actor)).collect();
        live.set_message(format!(
            "           {}{}  {:>6} left  {}  {}",
            self.paint.green(&full),
            self.paint.dim(&empty),
            client::storm::grouped(scene.left),
            nodes.join(" "),
            scene.pulse,
        ));
    }

    /// Takes the live line away.
    pub(super) fn clear(&self) {
        if let Some(live) = &self.live {
            live.finish_and_clear();
        }
    }

    fn actor(&self, id: u64, actor: Actor) -> String {
        match actor {
            Actor::Follower => format!("{id}○"),
            Actor::Leader => self.paint.bold(&format!("{id}★")),
            Actor::Dead => self.paint.red(&format!("{id}✗")),
            Actor::Returning => self.paint.yellow(&format!("{id}↻")),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Also when interrupted: no half-drawn line stays behind.
        self.clear();
    }
}
