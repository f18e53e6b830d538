//! Three etcd members on this machine, each with a directory of its own.

use super::{Store, find, scratch};
use crate::process::{Process, free_ports};
use anyhow::Context;
use std::process::Command;

pub(super) const NEEDS: (&str, &[&str]) = ("etcd-server", &["etcd"]);

/// Starts the members, and returns once they have a leader.
pub(super) async fn start() -> anyhow::Result<Store> {
    let dir = scratch()?;
    let [client_1, client_2, client_3, peer_1, peer_2, peer_3] = free_ports::<6>()?;
    let members = [(1, client_1, peer_1), (2, client_2, peer_2), (3, client_3, peer_3)];
    let cluster = members.map(|(id, _, peer)| format!("m{id}=http://127.0.0.1:{peer}")).join(",");
    let program = find("etcd").context("no etcd")?;
    let mut processes = Vec::new();
    for (id, client, peer) in members {
        let name = format!("m{id}");
        let (client, peer) =
            (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new(&program);
        command.args(["--name", &name, "--initial-cluster", &cluster]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.arg("--data-dir").arg(dir.path().join(&name));
        // The machine's own settings are not for this cluster.
        command.env_clear();
        processes.push(Process::start(&name, &mut command, dir.path())?);
    }
    let address = format!("127.0.0.1:{client_1}");
    let health = format!("http://{address}/health");
    let http = reqwest::Client::new();
    let first = processes.first_mut().context("no member")?;
    first
        .wait_until(|| async {
            let answer = http.get(&health).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await?;
    Ok(Store { address, processes, _dir: dir })
}
