//! `flashctl storm`: many buyers, a report, an audit.

use super::{Exit, Failure, Global, interrupted};
use crate::out::{self, Paint};
use client::audit;
use client::storm::{self, Plan, Progress, Report, Tally, grouped};
use client::{Client, ClientError};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Arc;
use std::time::Duration;
use stock::{Quantity, Sku};

/// How often the bar is moved.
const BAR_INTERVAL: Duration = Duration::from_millis(100);
/// More buyers under way would run out of sockets before anything else.
const CONCURRENCY_MAX: u64 = 16_384;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flashctl storm --product sneaker --buyers 30000 --concurrency 128
  flashctl storm --product sneaker --buyers 5000 --rate 1000     they come on their own time
  flashctl storm --product sneaker --node 2 --quantity 3 --json  all at the second of --nodes

Exits with 4 when the cluster does not hold what the buyers were told.")]
pub(crate) struct Args {
    /// The product that everyone wants
    #[arg(long)]
    product: Sku,
    /// Buyers, each with a user id of its own
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    buyers: u64,
    /// Buyers under way at a time
    #[arg(long, default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=CONCURRENCY_MAX))]
    concurrency: u64,
    /// Buyers per second; without it the next comes when one is done
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// Ask only the K-th of --nodes
    #[arg(long, value_name = "K")]
    node: Option<usize>,
    /// Units that each buyer wants
    #[arg(long, value_name = "Q", default_value = "1", value_parser = super::product::quantity)]
    quantity: Quantity,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.001 => Ok(rate),
        _ => Err("use a number of buyers per second, such as 500".into()),
    }
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let client = Arc::new(global.client()?);
    let only = args.node.map(|k| super::product::position(k, client.nodes_count())).transpose()?;
    let mut plan = Plan::new(args.product.clone(), args.buyers, args.concurrency as usize);
    (plan.rate, plan.only, plan.quantity) = (args.rate, only, args.quantity);
    let before = client.product(&plan.product).await?;

    let progress = Arc::new(Progress::default());
    let bar = bar(&plan, global);
    let tally = tokio::select! {
        tally = with_interrupt(&client, &plan, &progress) => tally,
        () = show(&bar, &progress) => unreachable!("the bar moves for as long as it is asked"),
    };
    bar.finish_and_clear();

    let audited = audit::audit(&client, &plan, &before, &tally).await;
    let (audit, unread) = match audited {
        Ok(audit) => (Some(audit), None),
        Err(error) => (None, Some(error)),
    };
    let report = Report::new(&client, &plan, &tally, audit);
    if global.json {
        out::json(&report);
    } else {
        out::text(&in_words(&report, Paint::stdout()));
    }
    Ok(exit(&tally, &report, unread.as_ref()))
}

/// Runs the storm; the first interrupt lets no more buyers begin, and the report follows.
async fn with_interrupt(client: &Arc<Client>, plan: &Plan, progress: &Arc<Progress>) -> Tally {
    let mut storm = std::pin::pin!(storm::run(client, plan, progress));
    tokio::select! {
        tally = &mut storm => tally,
        () = interrupted() => {
            progress.stop();
            eprintln!("interrupted: waiting for the buyers under way, then the audit");
            tokio::select! {
                tally = storm => tally,
                () = interrupted() => std::process::exit(Exit::Interrupted as i32),
            }
        }
    }
}

fn exit(tally: &Tally, report: &Report, unread: Option<&ClientError>) -> Exit {
    if let Some(error) = unread {
        eprintln!("flashctl: the audit could not read the cluster: {error}");
        return Exit::Unavailable;
    }
    if report.verdict != "ok" {
        return Exit::Violated;
    }
    let unavailable = tally.refused.get("unavailable").copied().unwrap_or_default();
    if unavailable + report.unknown == report.buyers && report.buyers > 0 {
        return Exit::Unavailable;
    }
    Exit::Ok
}

fn bar(plan: &Plan, global: &Global) -> ProgressBar {
    // indicatif itself hides a bar whose target is not a terminal.
    let target =
        if global.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let template = "  {wide_bar} {percent:>3} %  {msg}";
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▉▊▋▌▍▎▏░");
    ProgressBar::with_draw_target(Some(plan.buyers), target).with_style(style)
}

async fn show(bar: &ProgressBar, progress: &Progress) {
    let mut ticks = tokio::time::interval(BAR_INTERVAL);
    loop {
        ticks.tick().await;
        bar.set_position(progress.finished_count());
        let left = progress
            .remaining_min()
            .map_or(String::new(), |left| format!(", {} left", grouped(left)));
        bar.set_message(format!(
            "{} accepted, {} sold out{left}",
            grouped(progress.accepted_count()),
            grouped(progress.sold_out_count()),
        ));
    }
}

fn in_words(report: &Report, paint: Paint) -> String {
    let verdict = match report.verdict.as_str() {
        "ok" => paint.green("ok"),
        other => paint.red(other),
    };
    let at_a_time = match report.rate {
        Some(rate) => format!("{rate} a second"),
        None => format!("{} at a time", grouped(report.concurrency as u64)),
    };
    format!(
        "{} buyers of {}, {at_a_time}\n{report}  {:<18} {verdict}\n",
        grouped(report.buyers),
        report.product,
        "verdict"
    )
}
