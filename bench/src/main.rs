//! `bench`: flashnode beside what people use today, measured in one run with one client.
//!
//! Starts every server itself, on loopback and free ports, and ends it. Prints a table whose
//! figures are ratios to a handler that does nothing, and writes the samples as JSON and a plot.
//! `bench/README.md` tells how to read them.

mod contender;
mod front;
mod load;
mod machine;
mod process;
mod report;
mod sale;
mod samples;
mod usage;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(about = "Measures flashnode side by side with what people use today")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Accepted buys a second and their latency, over HTTP, all contenders in alternation
    Buys(sale::Options),
    /// The HTTP front of one contender, in a process of its own
    #[command(hide = true)]
    Front(front::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Buys(options) => sale::run(options).await,
        Command::Front(options) => front::serve(options).await,
    }
}
