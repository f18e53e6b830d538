//! Who is measured: each contender's servers, started from nothing for every round.
//!
//! Owns the list, and what a running one is: addresses to load, processes to account. One file
//! each tells how its servers are started. Called by `sale` and, for
//! their servers alone, by `sinks`.

mod etcd;
mod flashnode;
mod postgres;
mod redis;

use crate::front::Kind;
use crate::process::Process;
use crate::usage::with_children;
use clap::ValueEnum;
use client::cluster::{NodeProcess, ProcessCluster};
use serde::Serialize;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Units on sale: more than any run sells.
pub(crate) const UNITS: u64 = 1_000_000_000;
/// Listeners of a front: as many as a cluster has nodes, so that clients are laid out alike.
const LISTENERS: usize = 3;

/// A way to sell. The order is the table's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// The front alone: what everything is a ratio to
    Noop,
    /// Redis and a Lua script, `appendfsync everysec`: the last second may be lost
    RedisEverysec,
    /// The same, `appendfsync always`: on one disk
    RedisAlways,
    /// The same with two replicas and `WAIT 1` for each buy
    RedisWait,
    /// The same, one `WAIT 1` for whatever waits
    RedisWaitBatched,
    /// A function in PostgreSQL
    Postgres,
    /// Three etcd members, one writer, 100 buys a transaction
    Etcd,
    /// Three flashnodes, clients on all
    Flashnode,
    /// Three flashnodes, all clients on one that follows
    FlashnodeFollower,
}

impl Contender {
    /// Its name, as it is chosen on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What a "yes" of it survives, in a few words.
    pub(crate) fn promise(self) -> &'static str {
        match self {
            Self::Noop => "nothing",
            Self::RedisEverysec => "1 copy, the last second may be lost",
            Self::RedisAlways | Self::Postgres => "1 copy on disk",
            Self::RedisWait | Self::RedisWaitBatched => "2 copies, no safe failover",
            Self::Etcd => "a majority's disks; one writer must live",
            Self::Flashnode | Self::FlashnodeFollower => "a majority's disks",
        }
    }

    /// The Debian package that has its server, and the programs looked for, in order; none when
    /// nothing is needed.
    fn needs(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Self::Noop | Self::Flashnode | Self::FlashnodeFollower => None,
            Self::RedisEverysec | Self::RedisAlways | Self::RedisWait | Self::RedisWaitBatched => {
                Some(redis::NEEDS)
            }
            Self::Postgres => Some(postgres::NEEDS),
            Self::Etcd => Some(etcd::NEEDS),
        }
    }

    /// Why it cannot be measured here, when it cannot.
    pub(crate) fn missing(self) -> Option<String> {
        let (package, programs) = self.needs()?;
        let absent = programs.iter().find(|program| find(program).is_none())?;
        Some(format!("{}: no {absent} (Debian's package {package})", self.name()))
    }

    /// Starts its servers, and returns once they answer.
    ///
    /// # Errors
    /// When one does not start; its log is in the message or named by it.
    pub(crate) async fn start(self, flashnode: Option<PathBuf>) -> anyhow::Result<Running> {
        match self {
            Self::Noop => Running::behind_front(Kind::Noop, Store::none()?),
            Self::RedisEverysec => {
                Running::behind_front(Kind::Redis, redis::start(redis::Sync::Everysec, 0).await?)
            }
            Self::RedisAlways => {
                Running::behind_front(Kind::Redis, redis::start(redis::Sync::Always, 0).await?)
            }
            Self::RedisWait => {
                Running::behind_front(Kind::RedisWait, redis::start(redis::Sync::Always, 2).await?)
            }
            Self::RedisWaitBatched => Running::behind_front(
                Kind::RedisWaitBatched,
                redis::start(redis::Sync::Always, 2).await?,
            ),
            Self::Postgres => Running::behind_front(Kind::Postgres, postgres::start().await?),
            Self::Etcd => Running::behind_front(Kind::Etcd, etcd::start().await?),
            Self::Flashnode => flashnode::start(flashnode, flashnode::Clients::Everywhere).await,
            Self::FlashnodeFollower => {
                flashnode::start(flashnode, flashnode::Clients::OnOneFollower).await
            }
        }
    }
}

/// A store behind a front: its processes and its files.
#[derive(Debug)]
pub(crate) struct Store {
    /// What the front is told.
    address: String,
    processes: Vec<Process>,
    /// Removed last, once nobody writes there.
    _dir: TempDir,
}

impl Store {
    /// Where it answers, as `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn none() -> anyhow::Result<Self> {
        Ok(Self { address: String::new(), processes: Vec::new(), _dir: scratch()? })
    }
}

/// A contender that answers. Dropping it ends its processes and removes its files.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) targets: Vec<String>,
    servers: Servers,
}

#[derive(Debug)]
enum Servers {
    /// The front goes first, or it would complain of its store.
    Front {
        front: Process,
        store: Store,
    },
    Cluster(Box<ProcessCluster>),
}

impl Running {
    fn behind_front(kind: Kind, store: Store) -> anyhow::Result<Self> {
        let backend = kind.to_possible_value();
        let backend = backend.as_ref().map_or("", |value| value.get_name());
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["front", "--backend", backend, "--store", &store.address]);
        command.args(["--listeners", &LISTENERS.to_string(), "--units", &UNITS.to_string()]);
        let (front, targets) = Process::start_front(&mut command)?;
        Ok(Self { targets, servers: Servers::Front { front, store } })
    }

    /// Every process that serves, the workers that a server forked among them.
    pub(crate) fn pids(&self) -> Vec<u32> {
        match &self.servers {
            Servers::Front { front, store } => std::iter::once(front)
                .chain(&store.processes)
                .flat_map(|process| with_children(process.pid()))
                .collect(),
            Servers::Cluster(cluster) => {
                cluster.nodes().iter().filter_map(NodeProcess::pid).collect()
            }
        }
    }
}

/// PostgreSQL as the contender has it, with nothing in front.
///
/// # Errors
/// When it does not start.
pub(crate) async fn postgres() -> anyhow::Result<Store> {
    postgres::start().await
}

/// A directory that goes with whoever holds it.
pub(crate) fn scratch() -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("flashnode-bench-").tempdir()?)
}

/// Where a program is: on the path, or where Debian keeps PostgreSQL's.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    std::env::split_paths(&path)
        .chain(debian.map(|version| version.path().join("bin")))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}
