//! `flashctl sink postgres` and `flashctl sink verify`.

use super::cluster::Cluster;
use super::{Running, carry};
use crate::cmd::{Exit, Failure, Global};
use crate::out;
use client::storm::grouped;
use serde_json::json;
use sink::postgres::verify::{Compared, VerifyError};
use sink::postgres::{Database, Postgres};
use sink::{SourceError, TargetError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flashctl sink postgres --to postgres://shop@db.internal/shop
  flashctl sink postgres --to postgres://shop@db.internal/shop --max-rows-per-second 5000
  flashctl sink verify --to postgres://shop@db.internal/shop

It makes the schema and its tables by itself, and goes on from where the database says that it
stands. Any number may run at once: one writes, the others stand by.")]
pub(super) struct Args {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    running: Running,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: flashctl sink verify --to postgres://shop@db.internal/shop

Waits until the database has what the cluster had when it was asked. Exits with 4 when they differ,
with 3 when the database does not come so far.")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    to: To,
    /// How long the database may take to come as far as the cluster, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

/// Which database.
#[derive(Debug, clap::Args)]
struct To {
    /// The database: a connection string as libpq takes it. sslmode=require checks the certificate
    #[arg(long = "to", value_name = "URL", env = "FLASHCTL_SINK_TO", hide_env_values = true)]
    url: String,
    /// The schema that has the tables, and nothing else
    #[arg(long, value_name = "NAME", default_value = "flashnode")]
    schema: String,
    /// Certificates of those who may vouch for the server's, as PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    tls_roots: Option<PathBuf>,
}

impl To {
    fn database(&self) -> Result<Database, Failure> {
        Database::new(&self.url, &self.schema, self.tls_roots.clone()).map_err(Failure::Usage)
    }
}

pub(super) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let database = args.to.database()?;
    let identity = database.identity();
    carry(("postgres", &identity), Postgres::new(database), &args.running, global).await
}

pub(super) async fn verify(args: &VerifyArgs, global: &Global) -> Result<Exit, Failure> {
    let source = Arc::new(Cluster::new(global.client()?));
    let mut differences = Vec::new();
    let tell = |difference: &dyn std::fmt::Display| {
        if global.json {
            differences.push(difference.to_string());
        } else {
            out::line(&difference.to_string());
        }
    };
    let patience = Duration::from_secs(args.wait);
    let database = args.to.database()?;
    let compared = sink::postgres::verify::verify(&source, &database, patience, tell).await;
    let compared = match compared {
        Ok(compared) => compared,
        Err(error) => return unable(&error, global),
    };
    let Compared { seq, orders, products, holds, changes_from, warning, differences: count } =
        compared;
    if let Some(why) = warning {
        eprintln!("flashctl: warning: {why}");
    }
    if global.json {
        out::json(&json!({
            "seq": seq,
            "orders": orders,
            "products": products,
            "open_holds": holds,
            "changes_from": changes_from,
            "differences": differences,
        }));
    } else {
        let changes = match changes_from.0 {
            1 => "all changes".to_owned(),
            from => format!("the changes from {} on", grouped(from)),
        };
        out::text(&format!(
            "{} differences at seq {seq}: {} orders, {} products, {} open holds, {changes}\n",
            grouped(count),
            grouped(orders),
            grouped(products),
            grouped(holds)
        ));
    }
    Ok(if count == 0 { Exit::Ok } else { Exit::Violated })
}

fn unable(error: &VerifyError, global: &Global) -> Result<Exit, Failure> {
    match error {
        VerifyError::Target(TargetError::Refused(_))
        | VerifyError::Source(SourceError::Refused(_)) => Err(Failure::Failed(error.to_string())),
        _ => {
            if global.json {
                out::json(&json!({ "error": error.to_string(), "exit": Exit::Unavailable as u8 }));
            } else {
                eprintln!("flashctl: {error}");
            }
            Ok(Exit::Unavailable)
        }
    }
}
