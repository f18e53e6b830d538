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

// Buys allocate small and short-lived; the system's allocator costs more there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = match Config::load(std::env::args_os()) {
        Ok(config) => config,
        Err(error) => return error.exit(),
    };
    let _logging = logging::start(&config);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.worker_threads(config.worker_threads).enable_all().build() {
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
