//! Servers of others, from Debian's packages: each in a temporary directory, on a free port, ended
//! with its test.

use super::certificates::Certificate;
use super::scene::{PATIENCE, until};
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;
use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};

/// Where Debian puts what is not on everybody's path.
const DIRS: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/lib/rabbitmq/bin"];

/// Finds a program; none, said aloud, where it is missing.
pub(crate) fn find(program: &str, package: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = versions.map(|version| version.path().join("bin"));
    let path = versions.chain(DIRS.map(PathBuf::from)).map(|dir| dir.join(program));
    let found = path.into_iter().find(|path| path.is_file());
    if found.is_none() {
        let why = format!("there is no {program} here (Debian package {package})");
        assert!(std::env::var_os("FLASHNODE_NO_SKIPS").is_none(), "{why}");
        eprintln!("skipped: {why}");
    }
    found
}

/// A server that a test kills, and starts again on what it had.
pub(crate) trait Server {
    /// SIGKILL to all of it.
    fn kill(&mut self);

    async fn start_again(&mut self);
}

/// Of targets that have none: nothing is killed.
pub(crate) struct NoServer;

impl Server for NoServer {
    fn kill(&mut self) {}

    async fn start_again(&mut self) {}
}

/// A port that is free now, and below those that the system gives to connections: while a server
/// is down, nobody's connection may take it.
pub(crate) fn free_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 5_000) as u16;
    loop {
        let port = first + GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(port < 20_000, "no free port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// PostgreSQL with its own defaults, as a user that is not root.
pub(crate) struct Postgres {
    dir: TempDir,
    port: u16,
    user: Option<u32>,
    program: PathBuf,
    settings: Vec<String>,
    child: Option<Child>,
}

impl Postgres {
    /// Starts one; none, said aloud, where it is missing.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(None).await
    }

    /// As [`Postgres::start`], with TLS where there is a certificate.
    pub(crate) async fn start_with(certificate: Option<&Certificate>) -> Option<Self> {
        let program = find("postgres", "postgresql")?;
        let initdb = find("initdb", "postgresql")?;
        let dir = tempfile::Builder::new().prefix("flashnode-postgres-").tempdir().unwrap();
        let user = unprivileged();
        if let Some(user) = user {
            chown(dir.path(), Some(user), None).unwrap();
        }
        let mut made = command(&initdb, user, dir.path());
        made.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "-D"]);
        let made = made.arg(dir.path().join("data")).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut settings = vec![format!("unix_socket_directories={}", dir.path().display())];
        if let Some(certificate) = certificate {
            let (file, key) = certificate.write(dir.path(), user);
            settings.push("ssl=on".to_owned());
            settings.push(format!("ssl_cert_file={}", file.display()));
            settings.push(format!("ssl_key_file={}", key.display()));
        }
        let mut server = Self { dir, port: free_port(), user, program, settings, child: None };
        server.start_again().await;
        Some(server)
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").dbname("postgres");
        config
    }

    /// Where its Unix socket is.
    pub(crate) fn sockets(&self) -> String {
        self.dir.path().display().to_string()
    }

    /// The database over its Unix socket, as libpq has it.
    pub(crate) fn url_of_socket(&self) -> String {
        format!("host={} port={} user=postgres dbname=postgres", self.sockets(), self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = self.config().connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Server for Postgres {
    /// On the data and the port that it had.
    async fn start_again(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let started = Instant::now();
        // After a kill its children may still be about to end, and then it does not start yet.
        while started.elapsed() < PATIENCE {
            let mut server = command(&self.program, self.user, self.dir.path());
            server.arg("-D").arg(self.dir.path().join("data"));
            server.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
            server.args(self.settings.iter().flat_map(|setting| ["-c", setting]));
            server.stdout(log.try_clone().unwrap()).stderr(log.try_clone().unwrap());
            let mut child = server.spawn().unwrap();
            let ready = until("PostgreSQL to answer or to end", async || {
                if self.config().connect(NoTls).await.is_ok() {
                    return Some(true);
                }
                child.try_wait().unwrap().map(|_ended| false)
            })
            .await;
            if ready {
                self.child = Some(child);
                return;
            }
        }
        panic!("PostgreSQL does not start: {}", std::fs::read_to_string(self.log()).unwrap());
    }

    /// SIGKILL to the server: its other processes then end by themselves.
    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// RabbitMQ with an Erlang node, a port and files of its own.
pub(crate) struct RabbitMq {
    dir: TempDir,
    port: u16,
    name: String,
    dist_port: u16,
    epmd_port: u16,
    child: Option<Child>,
}

impl RabbitMq {
    /// Starts one; none, said aloud, where it is missing.
    pub(crate) async fn start() -> Option<Self> {
        find("rabbitmq-server", "rabbitmq-server")?;
        let dir = tempfile::Builder::new().prefix("flashnode-rabbitmq-").tempdir().unwrap();
        let [port, dist_port, epmd_port] = [0; 3].map(|_| free_port());
        let name = format!("flashnode-{port}@localhost");
        let mut server = Self { dir, port, name, dist_port, epmd_port, child: None };
        server.start_again().await;
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("amqp://127.0.0.1:{}/%2f", self.port)
    }
}

impl Server for RabbitMq {
    async fn start_again(&mut self) {
        let log = self.dir.path().join("out");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let dir = self.dir.path();
        // Debian's script under /usr/sbin changes to the user rabbitmq, who has no part here.
        let mut server = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        server
            .env("HOME", dir)
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", dir.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", dir.join("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", dir.join("none"))
            .env("RABBITMQ_CONFIG_FILE", dir.join("none"))
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            // A group of its own: the script's child is the server, and is ended with it.
            .process_group(0)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(server.spawn().unwrap());
        until("RabbitMQ to answer", async || {
            let connected =
                lapin::Connection::connect(&self.url(), lapin::ConnectionProperties::default())
                    .await;
            connected.is_ok().then_some(())
        })
        .await;
    }

    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        let group = rustix::process::Pid::from_child(&child);
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        child.wait().unwrap();
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        // Erlang's name server outlives whoever started it, and does not end before it has noticed
        // that the node has gone.
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let mut epmd = Command::new("epmd");
            let ended = epmd.arg("-kill").env("ERL_EPMD_PORT", self.epmd_port.to_string()).output();
            let said = ended.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
            if !said.is_ok_and(|said| said.contains("living nodes")) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// NATS with JetStream, in files of its own.
pub(crate) struct Nats {
    dir: TempDir,
    port: u16,
    program: PathBuf,
    child: Option<Child>,
}

impl Nats {
    /// Starts one; none, said aloud, where it is missing.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(None).await
    }

    /// As [`Nats::start`], with TLS where there is a certificate.
    pub(crate) async fn start_with(certificate: Option<&Certificate>) -> Option<Self> {
        let program = find("nats-server", "nats-server")?;
        let dir = tempfile::Builder::new().prefix("flashnode-nats-").tempdir().unwrap();
        let mut config = String::new();
        if let Some(certificate) = certificate {
            let (file, key) = certificate.write(dir.path(), None);
            let (file, key) = (file.display(), key.display());
            config = format!("tls {{ cert_file: \"{file}\", key_file: \"{key}\" }}\n");
        }
        std::fs::write(dir.path().join("config"), config).unwrap();
        let mut server = Self { dir, port: free_port(), program, child: None };
        server.start_again().await;
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Server for Nats {
    async fn start_again(&mut self) {
        let log = self.dir.path().join("out");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut server = command(&self.program, None, self.dir.path());
        server.args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"]);
        server.arg(self.dir.path().join("store"));
        server.arg("-c").arg(self.dir.path().join("config"));
        server.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(server.spawn().unwrap());
        until("NATS to answer", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.ok()
        })
        .await;
    }

    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

fn command(program: &Path, user: Option<u32>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user);
    }
    command
}

/// The user to run as: PostgreSQL refuses root, and Debian's package has made a user for it.
fn unprivileged() -> Option<u32> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).unwrap();
    Some(line.split(':').nth(2).unwrap().parse().unwrap())
}
