//! The terminal: taken, drawn on, and given back as it was, however the program ends.
//!
//! Owns: raw mode, the alternate screen, the cursor, and the thread that reads keys. It is given
//! back when a [`Screen`] is dropped, and before a panic says what it has to say.

use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::io::{self, Stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Keys that may wait; who types faster is not listened to.
const KEYS_MAX: usize = 64;
/// How often the thread that reads keys looks whether it is still needed.
const KEY_WAIT: Duration = Duration::from_millis(250);

/// See the module.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When it is none; it is as it was then.
    pub(super) fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // On the alternate screen its words would vanish with it.
                give_back();
                before(panic);
            }));
        });
        take().and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout()))).map_or_else(
            |error| {
                give_back();
                Err(error)
            },
            |terminal| Ok(Self { terminal }),
        )
    }

    /// Draws; only what has changed is sent.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(|_| ())
    }

    /// Gives the terminal back to the shell, stops this process as Ctrl-Z does, and takes the
    /// terminal again when it is continued.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn set_aside(&mut self) -> io::Result<()> {
        give_back();
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::TSTP)?;
        take()?;
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether the terminal is taken. Given back twice, it would go back to where its cursor was
/// before, over the words of a panic.
static TAKEN: AtomicBool = AtomicBool::new(false);

fn take() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Hide)
}

/// A terminal that is gone needs nothing back.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// Keys, and that the terminal's size has changed; closed when nothing can be read any more.
pub(super) fn keys() -> mpsc::Receiver<Event> {
    let (tell, keys) = mpsc::channel(KEYS_MAX);
    // A thread of its own: the runtime would wait for the end of a blocking task.
    std::thread::spawn(move || {
        while !tell.is_closed() {
            match event::poll(KEY_WAIT) {
                Ok(false) => {}
                Ok(true) => match event::read() {
                    Ok(event) => {
                        let _full = tell.try_send(event);
                    }
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    });
    keys
}
