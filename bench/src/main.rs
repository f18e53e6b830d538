//! `bench`: flashnode beside what people use today, measured in one run with one client.
//!
//! Starts every server itself, on loopback and free ports, and ends it. Prints a table whose
//! figures are ratios to a handler that does nothing, and writes the samples as JSON and a plot.
//! `bench/README.md` tells how to read them.

mod answers;
mod cluster;
mod contender;
mod failover;
mod front;
mod growth;
mod load;
mod machine;
mod overload;
mod paced;
mod process;
mod report;
mod sale;
mod samples;
mod sinks;
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
    /// Sold-out answers, linearizable reads and batches of three flashnodes
    Answers(answers::Options),
    /// What buys, starts and catching up cost at ten thousand orders, a million, ten million
    Growth(growth::Options),
    /// Accepted buys around the end of a leader, in spans of 50 ms
    Failover(failover::Options),
    /// Four times what the cluster can do, a shared sell-out, ten thousand connections
    Overload(overload::Options),
    /// What `flashctl sink` writes in a second, how late it is in a storm, and what memory it takes
    Sinks(sinks::Options),
    /// The HTTP front of one contender, in a process of its own
    #[command(hide = true)]
    Front(front::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Buys(options) => sale::run(options).await,
        Command::Answers(options) => answers::run(options).await,
        Command::Growth(options) => growth::run(options).await,
        Command::Failover(options) => failover::run(options).await,
        Command::Overload(options) => overload::run(options).await,
        Command::Sinks(options) => sinks::run(options).await,
        Command::Front(options) => front::serve(options).await,
    }
}
