//! Keeps work going whose failure must not be the node's.
//!
//! A panic elsewhere in the node ends the process (`node::abort_on_panic`): a broken invariant may
//! be one of the stock. What runs here reads it alone, so a panic is logged, counted, and the work
//! begun anew after a pause that doubles. Owns: the thread and the runtime that nothing else runs
//! on, so that neither a panic nor a loop without an end holds up a buy.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

/// What the threads here are called, those for blocking work too.
const NAME: &str = "sink";
/// Before the work is begun again for the first time.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause; work that went on for longer than this begins with [`FIRST`] again.
const LONGEST: Duration = Duration::from_secs(60);

/// And that of RabbitMQ's client, which makes its own.
const OF_CLIENT: &str = "lapin-io-loop";

/// Whether this thread is one of those whose panics end nothing but the work.
pub(crate) fn covers_this_thread() -> bool {
    matches!(thread::current().name(), Some(NAME | OF_CLIENT))
}

/// Runs the work of this sink on a thread of its own until it ends by itself.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn spawn<F, W>(sink: String, work: W) -> io::Result<()>
where
    F: Future<Output = ()>,
    W: Fn() -> F + Send + 'static,
{
    let thread = thread::Builder::new().name(NAME.to_owned());
    thread.spawn(move || keep_up(&sink, work, thread::sleep)).map(drop)
}

fn keep_up<F: Future<Output = ()>>(sink: &str, work: impl Fn() -> F, wait: impl Fn(Duration)) {
    let mut pause = FIRST;
    loop {
        let began = Instant::now();
        // What a panic leaves behind is dropped with the runtime, and the target knows the rest.
        let why = match catch_unwind(AssertUnwindSafe(|| once(work()))) {
            Ok(Ok(())) => return,
            Ok(Err(why)) => format!("its runtime does not start: {why}"),
            Err(panic) => format!("it panicked: {}", in_words(panic.as_ref())),
        };
        if began.elapsed() > LONGEST {
            pause = FIRST;
        }
        tracing::error!(
            "the sink {sink} ended and begins anew in {pause:?}; the node goes on: {why}"
        );
        wait(pause);
        pause = (2 * pause).min(LONGEST);
    }
}

fn once(work: impl Future<Output = ()>) -> io::Result<()> {
    Builder::new_current_thread().enable_all().thread_name(NAME).build()?.block_on(work);
    Ok(())
}

fn in_words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is what this is about")]

    use super::*;
    use crate::metrics::Metrics;
    use crate::node::abort_on_panic;
    use std::cell::{Cell, RefCell};
    use std::path::Path;
    use std::process::Command;
    use std::sync::mpsc;

    #[test]
    fn what_panics_is_begun_again_after_longer_and_longer_pauses() {
        let (lives, pauses) = (Cell::new(0), RefCell::new(Vec::new()));
        let work = || {
            lives.set(lives.get() + 1);
            let life = lives.get();
            async move {
                match life {
                    // A task of it that panics is an error to whoever waits for it, and no more.
                    1 => assert!(tokio::spawn(async { panic!("planted") }).await.is_err()),
                    2..10 => panic!("planted {life}"),
                    _ => {}
                }
                assert!(life > 1, "planted");
            }
        };
        keep_up("planted", work, |pause| pauses.borrow_mut().push(pause));
        let expected_ms = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
        assert_eq!(*pauses.borrow(), expected_ms.map(Duration::from_millis));
    }

    const PLANT: &str = "FLASHNODE_PLANTED_PANIC";

    /// Not a test of its own: the process that the next one runs.
    #[test]
    fn child() {
        let Ok(place) = std::env::var(PLANT) else { return };
        let metrics = Metrics::new(Path::new("/")).unwrap();
        abort_on_panic(metrics.clone());
        let (done, lives) = mpsc::channel();
        let work = move || {
            let (place, done) = (place.clone(), done.clone());
            async move {
                let first = done.send(()).is_ok() && place == "elsewhere";
                if first {
                    // As in the node's own runtime.
                    let _joined = thread::spawn(|| panic!("planted elsewhere")).join();
                }
                tokio::task::spawn_blocking(|| panic!("planted in blocking work")).await.ok();
                let of_client = thread::Builder::new().name(OF_CLIENT.to_owned());
                let of_client = of_client.spawn(|| panic!("planted in a client's thread"));
                let _joined = of_client.map(thread::JoinHandle::join);
                panic!("planted");
            }
        };
        spawn("planted".to_owned(), work).unwrap();
        // Begun twice: the first panics have ended nothing.
        for _life in 0..2 {
            lives.recv().unwrap();
        }
        assert!(metrics.sink_panics() >= 2, "{}", metrics.sink_panics());
    }

    #[test]
    fn a_panic_of_the_sink_ends_no_node_and_any_other_does() {
        let ends_well = |place: &str| {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "bridge::supervise::tests::child"]).env(PLANT, place);
            let output = child.output().unwrap();
            (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let (well, told) = ends_well("sink");
        assert!(well, "{told}");
        let (well, told) = ends_well("elsewhere");
        assert!(!well, "{told}");
    }
}
