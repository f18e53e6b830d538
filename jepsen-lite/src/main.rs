//! `jepsen-lite`: the command line. Owns: parsing and the exit code. Never does: the work; each
//! subcommand is one file in `cmd/`.

mod cmd;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// How it ends when nobody reads its output any more: as shells tell of a program that SIGPIPE
/// ended.
const CLOSED_PIPE: u8 = 141;

#[derive(Debug, Parser)]
#[command(name = "jepsen-lite", version)]
/// Runs a flashnode cluster under faults and decides whether what its clients saw is linearizable.
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Decide whether recorded histories are linearizable
    Check(cmd::check::Args),
    /// Run a cluster under faults, record what its clients see, and check it
    Run(cmd::run::Args),
    /// Plant bugs in histories, and count which check finds which
    Bugs(cmd::bugs::Args),
    /// Plant bugs in the server, and run each until it is caught
    Mutants(cmd::mutants::Args),
    /// Time the checkers on clean histories that grow
    Bench(cmd::bench::Args),
    /// End what runs left behind that were killed; each run does so first, too
    Sweep(cmd::sweep::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = match &cli.command {
        Command::Check(args) => cmd::check::run(args),
        Command::Run(args) => cmd::run::run(args),
        Command::Bugs(args) => cmd::bugs::run(args),
        Command::Mutants(args) => cmd::mutants::run(args),
        Command::Bench(args) => cmd::bench::run(args),
        Command::Sweep(args) => cmd::sweep::run(args),
    };
    match exit {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) if is_closed_pipe(&error) => ExitCode::from(CLOSED_PIPE),
        Err(error) => {
            jepsen_lite::aside::say(format_args!("jepsen-lite: {error:#}"));
            ExitCode::from(cmd::Exit::Unusable as u8)
        }
    }
}

/// Whether whoever read the output has enough, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
