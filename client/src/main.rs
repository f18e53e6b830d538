//! `flashctl`: the operator's and the tester's tool for a flashnode cluster.
//!
//! Owns: the command line and the exit code. Never does: the work; each subcommand is one file in
//! `cmd/`, on top of the library.

mod cmd;
mod out;

use clap::{CommandFactory, Parser, Subcommand};
use cmd::{Exit, Global};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  flashctl demo                                   three nodes, a storm, a kill: watch it
  flashctl product create sneaker --stock 10000   put a product on sale
  flashctl buy sneaker --user alice               buy one
  flashctl hold sneaker --user alice --ttl 90s    set one aside; then confirm or release it
  flashctl order list --user alice                what she has
  flashctl order verify                           recompute every receipt
  flashctl watch                                  every change as it happens
  flashctl top                                    the control room in this terminal
  flashctl storm --product sneaker --buyers 30000 --concurrency 128
  flashctl storm --product sneaker --holds 50% --abandon 20%
  flashctl sink postgres --to postgres://shop@db/shop
  flashctl status --nodes 127.0.0.1:8101,127.0.0.1:8102,127.0.0.1:8103

Exit codes: 0 ok, 1 failed (refused), 2 usage, 3 unavailable, 4 an invariant was violated.";

#[derive(Debug, Parser)]
#[command(name = "flashctl", version, after_help = EXAMPLES)]
/// Talks to a flashnode cluster: sells, storms, audits, shows.
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create, change, show, list and restock products
    Product(cmd::product::Args),
    /// Put the products of a CSV file on sale
    Import(cmd::import::Args),
    /// Buy, and stay with it until the outcome is known
    Buy(cmd::buy::Args),
    /// Set units aside for a while
    Hold(cmd::hold::Args),
    /// Make a hold an order
    Confirm(cmd::hold::ConfirmArgs),
    /// Give a hold up
    Release(cmd::hold::ReleaseArgs),
    /// Show, list, explain and cancel orders, and verify their receipts
    #[command(visible_alias = "orders")]
    Order(cmd::order::Args),
    /// Show the committed changes as they happen
    Watch(cmd::watch::Args),
    /// Show and remove cursors: how far sinks have come
    Cursor(cmd::cursor::Args),
    /// Write the whole state at one seq, a JSON object a line
    Export(cmd::export::Args),
    /// Show every node: role, term, commit, applied, lag
    Status(cmd::status::Args),
    /// Show the control room in this terminal: stock, rates, latency, nodes, elections
    Top(cmd::top::Args),
    /// Tell whether nodes are ready to serve, for probes
    Ready(cmd::ready::Args),
    /// Let many buyers loose on a product, then audit what they were told
    Storm(cmd::storm::Args),
    /// Start a cluster of real processes, storm it, kill its leader, and audit it
    Demo(cmd::demo::Args),
    /// Carry the committed changes into PostgreSQL, files and other systems
    Sink(cmd::sink::Args),
    /// Print what a shell needs to complete this command line
    Completions(cmd::completions::Args),
}

fn main() -> ExitCode {
    // A usage error ends here, with code 2 and a message of clap's.
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(&cli)),
        Err(error) => Err(cmd::Failure::Failed(format!("no runtime could be started: {error}"))),
    };
    let exit = result.unwrap_or_else(|failure| {
        out::failure(&failure, cli.global.json);
        failure.exit()
    });
    ExitCode::from(exit as u8)
}

async fn run(cli: &Cli) -> Result<Exit, cmd::Failure> {
    match &cli.command {
        Command::Product(args) => cmd::product::run(args, &cli.global).await,
        Command::Buy(args) => cmd::buy::run(args, &cli.global).await,
        Command::Import(args) => cmd::import::run(args, &cli.global).await,
        Command::Hold(args) => cmd::hold::run(args, &cli.global).await,
        Command::Confirm(args) => cmd::hold::confirm(args, &cli.global).await,
        Command::Release(args) => cmd::hold::release(args, &cli.global).await,
        Command::Order(args) => cmd::order::run(args, &cli.global).await,
        Command::Watch(args) => cmd::watch::run(args, &cli.global).await,
        Command::Cursor(args) => cmd::cursor::run(args, &cli.global).await,
        Command::Export(args) => cmd::export::run(args, &cli.global).await,
        Command::Status(args) => cmd::status::run(args, &cli.global).await,
        Command::Top(args) => cmd::top::run(args, &cli.global).await,
        Command::Ready(args) => cmd::ready::run(args, &cli.global).await,
        Command::Storm(args) => cmd::storm::run(args, &cli.global).await,
        Command::Demo(args) => cmd::demo::run(args, &cli.global).await,
        Command::Sink(args) => Box::pin(cmd::sink::run(args, &cli.global)).await,
        Command::Completions(args) => Ok(cmd::completions::run(args, Cli::command())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
