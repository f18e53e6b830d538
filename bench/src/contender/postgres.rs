//! PostgreSQL with its own defaults: every commit is on the disk before it is answered.

use super::{Store, find, scratch};
use crate::process::{Process, free_ports};
use anyhow::{Context, ensure};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use tokio_postgres::NoTls;

pub(super) const NEEDS: (&str, &[&str]) = ("postgresql", &["initdb", "postgres"]);

/// Makes a database and starts its server, on TCP alone.
pub(super) async fn start() -> anyhow::Result<Store> {
    let dir = scratch()?;
    let user = unprivileged()?;
    if let Some(user) = user {
        chown(dir.path(), Some(user), None)?;
    }
    let data = dir.path().join("data");
    let mut initdb = program("initdb", user)?;
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
    let made = initdb.arg("-D").arg(&data).current_dir(dir.path()).output()?;
    ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let [port] = free_ports::<1>()?;
    let mut command = program("postgres", user)?;
    command.arg("-D").arg(&data).current_dir(dir.path());
    command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "unix_socket_directories="]);
    let mut process = Process::start("postgres", &mut command, dir.path())?;
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user("postgres").dbname("postgres");
    process.wait_until(|| async { config.connect(NoTls).await.is_ok() }).await?;
    Ok(Store { address: format!("127.0.0.1:{port}"), processes: vec![process], _dir: dir })
}

fn program(name: &str, user: Option<u32>) -> anyhow::Result<Command> {
    let mut command = Command::new(find(name).with_context(|| format!("no {name}"))?);
    if let Some(user) = user {
        command.uid(user);
    }
    Ok(command)
}

/// The user to run as: PostgreSQL refuses root, and Debian's package has made a user for it.
fn unprivileged() -> anyhow::Result<Option<u32>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string(Path::new("/etc/passwd"))?;
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let id = line.and_then(|line| line.split(':').nth(2)).and_then(|id| id.parse().ok());
    Ok(Some(id.context("root, and no user `postgres` to run PostgreSQL as")?))
}
