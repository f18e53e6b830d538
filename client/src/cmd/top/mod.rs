//! `flashctl top`: the control room in a terminal.
//!
//! Owns: the loop that takes what the nodes tell and what the user types, and draws. What is shown
//! is a function of a [`Room`] and an instant (`draw`), so that it is tested without a terminal.
//! Never does: change anything in the cluster.

mod ask;
mod draw;
mod gauges;
mod lists;
mod room;
mod screen;
mod series;
mod sheet;
#[cfg(test)]
mod tests;

use super::{Exit, Failure, Global, interrupted};
use crate::out;
use ask::Pollers;
use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use room::Room;
use screen::Screen;
use series::SAMPLE_MS;
use sheet::Sheet;
use std::io::{self, IsTerminal};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// How often it is drawn when nobody types.
const DRAW_INTERVAL: Duration = Duration::from_millis(SAMPLE_MS / 2);
/// Answers of nodes that may wait to be shown.
const ANSWERS_MAX: usize = 64;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: flashctl top --nodes 127.0.0.1:8101,127.0.0.1:8102,127.0.0.1:8103

Keys: q or Ctrl-C ends it, up and down move through the products, Ctrl-Z sets it aside.
One node is enough to name: the others are learned from it. Colours are the terminal's own 16, and
none with NO_COLOR set.")]
pub(crate) struct Args {}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Draw,
    SetAside,
    End,
    Nothing,
}

pub(crate) async fn run(_: &Args, global: &Global) -> Result<Exit, Failure> {
    fit_for_drawing(global)?;
    let addresses = global.addresses();
    // Wrong addresses are told before the screen is taken.
    let _ = global.client()?;
    let (tell, mut told) = mpsc::channel(ANSWERS_MAX);
    let mut pollers = Pollers::new(tell);
    for address in &addresses {
        pollers.follow(address)?;
    }
    let mut room = Room::new(&addresses, now_ms());
    let mut screen = Screen::enter().map_err(|error| unusable(&error))?;
    let mut keys = screen::keys();
    let mut ended = std::pin::pin!(interrupted());
    let mut ticks = tokio::time::interval(DRAW_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let sheet = Sheet { colors: out::wanted() };
    loop {
        let wish = tokio::select! {
            _ = ticks.tick() => {
                room.sample(now_ms());
                Wish::Draw
            }
            Some(report) = told.recv() => {
                room.take(report);
                for address in room.learned() {
                    pollers.follow(&address)?;
                }
                Wish::Nothing
            }
            key = keys.recv() => match key {
                Some(event) => wish(&event, &mut room),
                // The terminal is gone.
                None => Wish::End,
            },
            panicked = pollers.panicked() => std::panic::resume_unwind(panicked),
            () = &mut ended => Wish::End,
        };
        let done = match wish {
            Wish::Nothing => Ok(()),
            Wish::Draw => screen.draw(|frame| draw::draw(frame, &mut room, sheet, now_ms())),
            Wish::SetAside => screen.set_aside(),
            Wish::End => return Ok(Exit::Ok),
        };
        if done.is_err() {
            // Nobody is there any more to be told: a hangup, or the terminal's other end is closed.
            return Ok(Exit::Ok);
        }
    }
}

/// # Errors
/// What to use instead where nothing can be drawn.
fn fit_for_drawing(global: &Global) -> Result<(), Failure> {
    let instead = "use `flashctl status` for one look, `flashctl watch` for every change, each \
                   with `--json` for programs";
    if global.json {
        return Err(Failure::Usage(format!("top draws on a terminal and has no JSON: {instead}")));
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let why = "top needs a terminal as its input and output";
        return Err(Failure::Usage(format!("{why}: {instead}")));
    }
    if std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
        let why = "this terminal cannot be drawn on (TERM is not set, or dumb)";
        return Err(Failure::Usage(format!("{why}: {instead}")));
    }
    Ok(())
}

fn unusable(error: &io::Error) -> Failure {
    Failure::Failed(format!(
        "this terminal cannot be drawn on: {error}; use `flashctl status` or `flashctl watch`"
    ))
}

fn wish(event: &Event, room: &mut Room) -> Wish {
    let Event::Key(key) = event else { return Wish::Draw };
    if key.kind == KeyEventKind::Release {
        return Wish::Nothing;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if control => return Wish::End,
        KeyCode::Char('z') if control => return Wish::SetAside,
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => return Wish::End,
        KeyCode::Down | KeyCode::Char('j') => room.scroll(1),
        KeyCode::Up | KeyCode::Char('k') => room.scroll(-1),
        KeyCode::Home => room.scroll(isize::MIN),
        _ => return Wish::Nothing,
    }
    Wish::Draw
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
