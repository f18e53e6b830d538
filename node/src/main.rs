//! `flashnode`: one node of a cluster that keeps the stock of a flash sale true.

mod actor;
mod bridge;
mod config;
mod front;
mod listener;
mod logging;
mod metrics;
#[cfg(feature = "mutants")]
mod mutant;
mod node;
mod problem;
mod rate;
mod resp;
mod trace;

use config::Config;
use std::process::ExitCode;
use tokio::runtime::Builder;

// Buys allocate small and short-lived; the system's allocator costs more there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = match Config::load(std::env::args_os()) {
        Ok(config) => config,
        Err(error) => return error.exit(),
    };
    let _logging = logging::start(&config);
    let runtime = match runtime(config.worker_threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the async runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(node::run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One worker needs no scheduler for several: its tasks wake one another without a look across
/// threads, and more of them are ready when a batch is cut (measured: `bench/README.md`).
fn runtime(worker_threads: usize) -> Builder {
    match worker_threads {
        1 => Builder::new_current_thread(),
        several => {
            let mut runtime = Builder::new_multi_thread();
            runtime.worker_threads(several);
            runtime
        }
    }
}
