//! `flashctl sink rabbitmq` and `flashctl sink nats`.

use super::{Running, carry_under};
use crate::cmd::{Exit, Failure, Global};
use sink::nats::Nats;
use sink::rabbitmq::RabbitMq;
use std::path::PathBuf;
use stock::CursorName;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: flashctl sink rabbitmq --to amqp://shop@mq.internal/%2f --queue flashnode.events

A message's message_id is the change's seq, so who gets one twice knows it.")]
pub(super) struct RabbitMqArgs {
    /// The broker
    #[arg(long, value_name = "URL", env = "FLASHCTL_SINK_TO", hide_env_values = true)]
    to: String,
    /// The durable queue, which is made
    #[arg(long, value_name = "NAME", default_value = "flashnode.events")]
    queue: String,
    /// The cursor that says where it stands, kept by the cluster
    #[arg(long, value_name = "NAME", default_value = "rabbitmq")]
    cursor: CursorName,
    #[command(flatten)]
    running: Running,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: flashctl sink nats --to nats://nats.internal:4222

A message's Nats-Msg-Id is the change's seq, so the server drops what comes again in time.")]
pub(super) struct NatsArgs {
    /// The server
    #[arg(long, value_name = "URL", env = "FLASHCTL_SINK_TO", hide_env_values = true)]
    to: String,
    /// The stream, which is made when it is not there, and nobody else's
    #[arg(long, value_name = "NAME", default_value = "FLASHNODE")]
    stream: String,
    /// What subjects begin with; the kind of change follows, as in flashnode.ordered
    #[arg(long, value_name = "SUBJECT", default_value = "flashnode")]
    subject: String,
    /// Certificates of those who may vouch for the server's, as PEM, and TLS in any case
    /// [default: the system's, and TLS with tls:// or where the server asks for it]
    #[arg(long, value_name = "FILE")]
    tls_roots: Option<PathBuf>,
    /// The cursor that says where it stands, kept by the cluster
    #[arg(long, value_name = "NAME", default_value = "nats")]
    cursor: CursorName,
    #[command(flatten)]
    running: Running,
}

pub(super) async fn rabbitmq(args: &RabbitMqArgs, global: &Global) -> Result<Exit, Failure> {
    let broker = RabbitMq::new(&args.to, &args.queue).map_err(Failure::Usage)?;
    carry_under(&args.cursor, broker, &args.running, global).await
}

pub(super) async fn nats(args: &NatsArgs, global: &Global) -> Result<Exit, Failure> {
    let names = (args.stream.as_str(), args.subject.as_str());
    let server = Nats::new(&args.to, names, args.tls_roots.clone()).map_err(Failure::Usage)?;
    Box::pin(carry_under(&args.cursor, server, &args.running, global)).await
}
