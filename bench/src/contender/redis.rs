//! Redis: one server, or one with replicas.

use super::{Store, find, scratch};
use crate::process::{Process, free_ports, listens};
use anyhow::Context;
use std::path::Path;
use std::process::Command;

pub(super) const NEEDS: (&str, &[&str]) = ("redis-server", &["redis-server"]);

/// Redis's `appendfsync`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sync {
    Everysec,
    Always,
}

/// Starts the server and its replicas, and returns once they follow.
pub(super) async fn start(sync: Sync, replicas: usize) -> anyhow::Result<Store> {
    let dir = scratch()?;
    let ports = free_ports::<3>()?;
    let address = format!("127.0.0.1:{}", ports[0]);
    let mut processes = Vec::new();
    for (number, port) in ports.into_iter().take(1 + replicas).enumerate() {
        let leader = (number > 0).then_some(ports[0]);
        let mut process = server(dir.path(), port, sync, leader)?;
        let own = format!("127.0.0.1:{port}");
        process.wait_until(|| listens(&own)).await?;
        processes.push(process);
    }
    let url = format!("redis://{address}/");
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let first = processes.first_mut().context("no server")?;
    first
        .wait_until(|| {
            let mut connection = connection.clone();
            async move { online(&mut connection).await >= replicas }
        })
        .await?;
    let () = redis::cmd("PING").exec_async(&mut connection).await?;
    Ok(Store { address, processes, _dir: dir })
}

fn server(dir: &Path, port: u16, sync: Sync, leader: Option<u16>) -> anyhow::Result<Process> {
    let name = format!("redis-{port}");
    let data = dir.join(&name);
    std::fs::create_dir(&data)?;
    let sync = match sync {
        Sync::Everysec => "everysec",
        Sync::Always => "always",
    };
    let mut command = Command::new(find("redis-server").context("no redis-server")?);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", sync]).arg("--dir").arg(&data);
    // A replica follows at once, not after waiting for more of them.
    command.args(["--repl-diskless-sync-delay", "0"]);
    if let Some(leader) = leader {
        command.args(["--replicaof", &format!("127.0.0.1 {leader}")]);
    }
    Process::start(&name, &mut command, dir)
}

/// How many replicas have what the server has; none when it does not say.
async fn online(connection: &mut redis::aio::MultiplexedConnection) -> usize {
    let told: redis::RedisResult<String> =
        redis::cmd("INFO").arg("replication").query_async(connection).await;
    told.map_or(0, |told| told.matches("state=online").count())
}
