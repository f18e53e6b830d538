//! `flashctl sink webhook`.

use super::{Running, carry_under};
use crate::cmd::{Exit, Failure, Global};
use sink::webhook::{BATCH, BODY_KIB_MAX, KIB, Settings, Webhook};
use std::path::PathBuf;
use stock::CursorName;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: FLASHCTL_SINK_SECRET=… flashctl sink webhook --url https://shop.internal/flashnode

Each POST has a CloudEvents batch, in order; an event that comes twice has the same id. With a secret
it is signed: Flashnode-Signature: t=SECONDS,v1=HEX, where HEX is HMAC-SHA256 over SECONDS, a full
stop and the body.")]
pub(super) struct Args {
    /// The receiver
    #[arg(long, value_name = "URL")]
    url: String,
    /// What POSTs are signed with
    #[arg(long, value_name = "SECRET", env = "FLASHCTL_SINK_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// The most KiB of a POST, however many events --batch allows; an event that is larger goes alone
    #[arg(long, value_name = "KIB", default_value_t = BODY_KIB_MAX,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=65_536))]
    max_body_kib: usize,
    /// Where events go that the receiver refuses; without it they are sent again for ever
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// How often a receiver may refuse before that
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    tries: u32,
    /// Certificates of those who may vouch for the receiver's, as PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    tls_roots: Option<PathBuf>,
    /// The cursor that says where it stands, kept by the cluster
    #[arg(long, value_name = "NAME", default_value = "webhook")]
    cursor: CursorName,
    #[command(flatten)]
    running: Running,
}

pub(super) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let settings = Settings {
        url: args.url.clone(),
        secret: args.secret.as_ref().map(|secret| secret.clone().into_bytes()),
        dead_letters: args.dead_letters.clone().map(|file| (file, args.tries)),
        tls_roots: args.tls_roots.clone(),
        body_bytes_max: args.max_body_kib * KIB,
    };
    let webhook = Webhook::new(settings).map_err(Failure::Usage)?;
    let running = Running { batch: args.running.batch.or(Some(BATCH)), ..args.running.clone() };
    carry_under(&args.cursor, webhook, &running, global).await
}
