//! The targets: each server in a directory of its own, on a free port, ended with its measure.

use crate::contender::{self, Contender, Store, find, scratch};
use crate::process::{Process, free_ports, listens};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long a server's end may take.
const END_MAX: Duration = Duration::from_secs(10);

/// Of which kind one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Postgres,
    Files,
    /// A receiver within this program, which reads each body and says yes
    Webhook,
    Rabbitmq,
    Nats,
}

impl Kind {
    pub(super) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Why it cannot be measured here, when it cannot.
    pub(super) fn missing(self) -> Option<String> {
        let server = match self {
            Self::Files | Self::Webhook => return None,
            Self::Postgres => return Contender::Postgres.missing(),
            Self::Rabbitmq => "rabbitmq-server",
            Self::Nats => "nats-server",
        };
        let missing = || format!("{}: no {server} (Debian's package {server})", self.name());
        find(server).is_none().then(missing)
    }
}

/// One that can be written to. Dropping it ends its server and removes its files.
pub(super) struct Target {
    /// Of `flashctl sink`.
    pub(super) args: Vec<String>,
    _server: Server,
}

/// What has to live for as long as the target.
#[allow(dead_code, reason = "they are ended and removed with it, and not looked at")]
enum Server {
    Postgres(Store),
    Files(TempDir),
    Webhook(Receiver),
    Nats(Process, TempDir),
    Rabbitmq(RabbitMq),
}

impl Target {
    /// Starts its server, and returns once it answers.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn start(kind: Kind) -> anyhow::Result<Self> {
        let (option, to, server) = match kind {
            Kind::Postgres => {
                let store = contender::postgres().await?;
                let to =
                    format!("postgres://postgres@{}/postgres?sslmode=disable", store.address());
                ("--to", to, Server::Postgres(store))
            }
            Kind::Files => {
                let dir = scratch()?;
                ("--dir", dir.path().display().to_string(), Server::Files(dir))
            }
            Kind::Webhook => {
                let (url, receiver) = Receiver::start().await?;
                ("--url", url, Server::Webhook(receiver))
            }
            Kind::Nats => {
                let (dir, [port]) = (scratch()?, free_ports::<1>()?);
                let mut command = Command::new("nats-server");
                command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]);
                command.arg(dir.path().join("store"));
                let mut process = Process::start("nats", &mut command, dir.path())?;
                let address = format!("127.0.0.1:{port}");
                process.wait_until(|| listens(&address)).await?;
                ("--to", format!("nats://{address}"), Server::Nats(process, dir))
            }
            Kind::Rabbitmq => {
                let (url, server) = RabbitMq::start().await?;
                ("--to", url, Server::Rabbitmq(server))
            }
        };
        Ok(Self { args: vec![kind.name(), option.to_owned(), to], _server: server })
    }
}

/// Takes whatever is sent to it, until it is dropped.
struct Receiver(JoinHandle<()>);

impl Receiver {
    async fn start() -> anyhow::Result<(String, Self)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let take = post(|_: Bytes| async { StatusCode::NO_CONTENT });
        let app = Router::new().route("/", take).layer(DefaultBodyLimit::disable());
        let serve = async move {
            // Its end is that of the measure, which then fails by itself.
            let _ended = axum::serve(listener, app).await;
        };
        Ok((url, Self(tokio::spawn(serve))))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// RabbitMQ with an Erlang node, and a name server for it, of its own.
struct RabbitMq {
    process: Process,
    epmd_port: u16,
    /// Removed last, once nobody writes there.
    _dir: TempDir,
}

impl RabbitMq {
    async fn start() -> anyhow::Result<(String, Self)> {
        let (dir, [port, dist_port, epmd_port]) = (scratch()?, free_ports::<3>()?);
        let path = dir.path();
        // Debian's script on the path changes to the user rabbitmq, who has no part here.
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        command
            .env("HOME", path)
            .env("RABBITMQ_NODENAME", format!("flashnode-{port}@localhost"))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_DIST_PORT", dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", path.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", path.join("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path.join("plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", path.join("none"))
            .env("RABBITMQ_CONFIG_FILE", path.join("none"))
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", epmd_port.to_string())
            // A group of its own: the script's child is the server, and is ended with it.
            .process_group(0)
            .current_dir(path);
        let process = Process::start("rabbitmq", &mut command, path)?;
        let mut server = Self { process, epmd_port, _dir: dir };
        let address = format!("127.0.0.1:{port}");
        server.process.wait_until(|| listens(&address)).await?;
        Ok((format!("amqp://{address}/%2f"), server))
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // Whatever of it has ended is as it should be; the name server outlives whoever started it.
        if let Some(group) = Pid::from_raw(self.process.pid().cast_signed()) {
            let _ended = kill_process_group(group, Signal::KILL);
        }
        // It does not end before it has noticed that the node has gone.
        let began = Instant::now();
        while began.elapsed() < END_MAX {
            let mut epmd = Command::new("epmd");
            let ended = epmd.arg("-kill").env("ERL_EPMD_PORT", self.epmd_port.to_string()).output();
            let said = ended.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
            if !said.is_ok_and(|said| said.contains("living nodes")) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
