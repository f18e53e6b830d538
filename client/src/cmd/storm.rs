//! `flashctl storm`: many buyers, a report, an audit.

mod watch;

use super::{Exit, Failure, Global, interrupted};
use crate::cmd::terms;
use crate::out::{self, Paint};
use client::audit;
use client::storm::{self, Latency, Mix, Plan, Progress, Report, Share, Tally, grouped};
use client::{Client, ClientError};
use std::num::NonZeroUsize;
use std::sync::Arc;
use stock::{HoldTtl, Quantity, Sku};
use watch::Watch;

/// Buyers under way at a time, and calls of batches, when nobody says.
const CONCURRENCY: u64 = 64;
const CALLS: u64 = 6;
/// More buyers under way would run out of sockets before anything else.
const CONCURRENCY_MAX: u64 = 16_384;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flashctl storm --product sneaker --buyers 30000 --concurrency 128
  flashctl storm --product sneaker --buyers 5000 --rate 1000     they come on their own time
  flashctl storm --product sneaker --node 2 --quantity 3 --json  all at the second of --nodes
  flashctl storm --product sneaker --holds 50% --abandon 20%     half of them hold first
  flashctl storm --product sneaker --buyers 300000 --batch 1000  a thousand buyers a call

Exits with 4 when the cluster does not hold what the buyers were told, with 3 when nobody was
there to tell them anything.")]
pub(crate) struct Args {
    /// The product that everyone wants
    #[arg(long, value_parser = super::in_url::<Sku>)]
    product: Sku,
    /// Buyers, each with a user id of its own
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    buyers: u64,
    /// Buyers under way at a time; with --batch calls [default: 64; with --batch 6]
    #[arg(long)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=CONCURRENCY_MAX))]
    concurrency: Option<u64>,
    /// Buyers per second; without it the next comes when one is done
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// Ask only the K-th of --nodes
    #[arg(long, value_name = "K")]
    node: Option<usize>,
    /// Units that each buyer wants
    #[arg(long, value_name = "Q", default_value = "1", value_parser = super::product::quantity)]
    quantity: Quantity,
    #[command(flatten)]
    holds: Holding,
    /// Send so many buyers in each call
    #[arg(long, value_name = "N", conflicts_with_all = ["rate", "holds"])]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=client::batch::CALL_BUYS_MAX as u64))]
    batch: Option<u64>,
}

/// Who holds first, and what comes of it.
#[derive(Debug, clap::Args)]
struct Holding {
    /// The share of buyers who hold first and then confirm, such as 50%
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    holds: Share,
    /// The share of those who then walk away, so that their holds run out
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    #[arg(requires = "holds")]
    abandon: Share,
    /// The share of those who then give their holds up
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    #[arg(requires = "holds")]
    release: Share,
    /// How long each hold lasts; the audit waits for those that run out
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = terms::hold_ttl)]
    #[arg(requires = "holds")]
    hold_ttl: HoldTtl,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.001 => Ok(rate),
        _ => Err("use a number of buyers per second, such as 500".into()),
    }
}

fn share(text: &str) -> Result<Share, String> {
    let percent = text.strip_suffix('%').and_then(|digits| digits.parse().ok());
    let share = percent.and_then(Share::percent);
    share.ok_or_else(|| "use a share of them in whole percents, 0% to 100%, such as 20%".into())
}

impl Args {
    fn plan(&self, client: &Client) -> Result<Plan, Failure> {
        let Holding { holds, abandon, release, hold_ttl } = self.holds;
        if abandon.plus(release).is_none() {
            let why =
                format!("--abandon {abandon} and --release {release} are more than all holds");
            return Err(Failure::Usage(why));
        }
        let default = if self.batch.is_some() { CALLS } else { CONCURRENCY };
        let concurrency = self.concurrency.unwrap_or(default) as usize;
        let position = |k| super::product::position(k, client.nodes_count());
        Ok(Plan {
            rate: self.rate,
            only: self.node.map(position).transpose()?,
            quantity: self.quantity,
            mix: Mix { holds, abandon, release, ttl: hold_ttl },
            batch: self.batch.and_then(|size| NonZeroUsize::new(size as usize)),
            ..Plan::new(self.product.clone(), self.buyers, concurrency)
        })
    }
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let client = Arc::new(global.client()?);
    let plan = args.plan(&client)?;
    if let Some(node) = plan.only {
        // Nobody else may be asked, so nobody would be served.
        client.alive(node).await?;
    }
    let before = client.product(&plan.product).await?;

    let progress = Arc::new(Progress::default());
    let mut watch = Watch::new(&plan, &client, global.json);
    let tally = tokio::select! {
        tally = with_interrupt(&client, &plan, &progress) => tally,
        () = watch.follow(&progress) => unreachable!("it watches for as long as it is asked"),
    };
    let stalled = watch.finish();

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
    Ok(exit(&tally, &report, unread.as_ref(), stalled))
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

fn exit(
    tally: &Tally,
    report: &Report,
    unread: Option<&ClientError>,
    stalled: watch::Stalled,
) -> Exit {
    if let Some(error) = unread {
        eprintln!("flashctl: the audit could not read the cluster: {error}");
        return Exit::Unavailable;
    }
    if report.verdict != "ok" {
        return Exit::Violated;
    }
    let unavailable = tally.refused.get("unavailable").copied().unwrap_or_default();
    let unserved = unavailable + report.unknown == report.buyers && report.buyers > 0;
    if unserved || stalled == watch::Stalled::Yes { Exit::Unavailable } else { Exit::Ok }
}

fn in_words(report: &Report, paint: Paint) -> String {
    let verdict = match report.verdict.as_str() {
        "ok" => paint.green("ok"),
        other => paint.red(other),
    };
    let at_a_time = match (report.rate, report.batch) {
        (Some(rate), _) => format!("{rate} a second"),
        (None, Some(size)) => {
            format!("{} a call, {} calls at a time", grouped(size as u64), report.concurrency)
        }
        (None, None) => format!("{} at a time", grouped(report.concurrency as u64)),
    };
    let bars = match (report.bars.is_empty(), report.latency_ms == Latency::default()) {
        (true, _) => String::new(),
        (false, true) => format!("\nhow long a hold took, up to\n{}", report.bars),
        (false, false) if report.batch.is_some() => {
            format!("\nhow long a call took, up to\n{}", report.bars)
        }
        (false, false) => format!("\nhow long an answer took, up to\n{}", report.bars),
    };
    format!(
        "{} buyers of {}, {at_a_time}\n{report}  {:<18} {verdict}\n{bars}",
        grouped(report.buyers),
        report.product,
        "verdict"
    )
}
