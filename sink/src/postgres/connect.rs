//! A connection to PostgreSQL, with TLS where it is asked for.
//!
//! Owns: what a connection string means here. `sslmode=disable` is plain; `require` is TLS with a
//! certificate that one of the roots vouches for, and nothing else; the default, `prefer`, goes on
//! without TLS where the server has none or a certificate that nobody vouches for, and says so. A
//! Unix socket never has TLS, as with libpq. TLS is rustls with ring (`tls.rs`), joined to
//! tokio-postgres here by a few lines, without a crate of its own.

use crate::target::TargetError;
use crate::tls;
use rustls::pki_types::ServerName;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, NoTls};
use tokio_rustls::{TlsConnector, client};

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// PostgreSQL's port unless one is told.
const PORT_DEFAULT: u16 = 5432;
/// The longest name that PostgreSQL takes whole.
const NAME_BYTES_MAX: usize = 63;

/// Which database, and which schema of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    config: Config,
    schema: String,
    roots: Option<PathBuf>,
}

impl Database {
    /// Reads a connection string: a URL or `key=value` pairs, as libpq takes them.
    ///
    /// # Errors
    /// In words, when it or the schema's name cannot be used.
    pub fn new(connection: &str, schema: &str, roots: Option<PathBuf>) -> Result<Self, String> {
        // As key=value it would be cut at the first =, and shown up to there with its password.
        let kind = connection.split_once("://").map(|(kind, _)| kind);
        let is_other =
            |kind: &str| !kind.contains('=') && !["postgres", "postgresql"].contains(&kind);
        if kind.is_some_and(is_other) {
            return Err("the connection string: it is a URL of another kind; use \
                        postgres://USER@HOST/DATABASE"
                .to_owned());
        }
        let mut config: Config = connection.parse().map_err(|why| {
            let why = in_words(&why);
            let advice = if why.contains("sslmode") {
                "; use sslmode=require, which checks the certificate and its name, or disable"
            } else {
                ""
            };
            format!("the connection string: {why}{advice}")
        })?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let starts = schema.bytes().next().is_some_and(|first| !first.is_ascii_digit());
        if !starts || schema.len() > NAME_BYTES_MAX || !schema.bytes().all(plain) {
            let rule = "use a-z, 0-9 and _, not a digit first, at most 63 characters";
            return Err(format!("the schema {schema:?} is none; {rule}"));
        }
        let sockets =
            config.get_hosts().iter().filter(|host| !matches!(host, Host::Tcp(_))).count();
        if sockets > 0 && sockets < config.get_hosts().len() {
            return Err("the connection string: use Unix sockets or host names, not both".into());
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        if config.get_application_name().is_none() {
            config.application_name("flashnode sink");
        }
        Ok(Self { config, schema: schema.to_owned(), roots })
    }

    /// Which database and schema, as a URL without user and password.
    pub fn identity(&self) -> String {
        let ports = self.config.get_ports();
        let host = |(at, host): (usize, &Host)| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(PORT_DEFAULT);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        };
        let hosts: Vec<String> = self.config.get_hosts().iter().enumerate().map(host).collect();
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or(user);
        format!("postgres://{}/{database}/{}", hosts.join(","), self.schema)
    }

    /// The schema's name: plain characters that need no quotes.
    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// Connects, to this schema.
    pub(super) async fn connect(&self) -> Result<Connected, TargetError> {
        let (client, why_clear) = match self.config.get_ssl_mode() {
            SslMode::Disable => (self.plain().await?, None),
            _ if self.is_local() => (self.plain().await?, None),
            SslMode::Prefer => self.prefer_tls().await?,
            _ => {
                let tls = self.tls().map_err(TargetError::Refused)?;
                (self.with(tls).await.map_err(super::lost)?, None)
            }
        };
        let warning = why_clear.map(|why| {
            format!(
                "PostgreSQL is spoken to in clear text, for {why}; sslmode=require would refuse \
                 that, sslmode=disable says that it is meant"
            )
        });
        // The schema alone, so that no name of ours can mean a table of somebody else's. A writer
        // that is gone without a word must not hold the position's row for hours, nor may those
        // who wait for it.
        let settings = format!(
            "SET search_path TO {}; SET synchronous_commit TO on; \
             SET idle_in_transaction_session_timeout TO '30s'; SET lock_timeout TO '10s'; \
             SET tcp_keepalives_idle TO 10; SET tcp_keepalives_interval TO 5; \
             SET tcp_keepalives_count TO 4",
            self.schema
        );
        client.batch_execute(&settings).await.map_err(super::lost)?;
        Ok(Connected { client, warning })
    }

    /// Whether it is reached by a socket of this machine alone, where nobody listens in.
    fn is_local(&self) -> bool {
        let hosts = self.config.get_hosts();
        !hosts.is_empty() && hosts.iter().all(|host| !matches!(host, Host::Tcp(_)))
    }

    /// With TLS, or without it and why.
    async fn prefer_tls(&self) -> Result<(Client, Option<String>), TargetError> {
        let tls = match self.tls() {
            Ok(tls) => tls,
            Err(why) => return Ok((self.plain().await?, Some(why))),
        };
        let spoken = Arc::clone(&tls.spoken);
        match self.with(tls).await {
            Err(error) if tls_failed(&error) => Ok((self.plain().await?, Some(in_words(&error)))),
            connected => {
                let client = connected.map_err(super::lost)?;
                let none = || "the server has no TLS".to_owned();
                Ok((client, (!spoken.load(Ordering::Relaxed)).then(none)))
            }
        }
    }

    async fn plain(&self) -> Result<Client, TargetError> {
        let mut config = self.config.clone();
        config.ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect(NoTls).await.map_err(super::lost)?;
        // It ends with the client, and its failure is the failure of whatever the client asks.
        tokio::spawn(connection);
        Ok(client)
    }

    async fn with(&self, tls: Tls) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(tls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn tls(&self) -> Result<Tls, String> {
        let connector = tls::connector(self.roots.as_deref())?;
        Ok(Tls { connector, spoken: Arc::default() })
    }
}

/// A connection, and what is not as it should be about it.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) warning: Option<String>,
}

fn tls_failed(error: &tokio_postgres::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        let told = inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.is::<rustls::Error>() || matches!(told, Some(told) if told.is::<rustls::Error>()) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// The innermost cause, which is what a person can act on.
pub(super) fn in_words(error: &tokio_postgres::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// rustls, as tokio-postgres asks for it.
#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    /// Whether a handshake was completed.
    spoken: Arc<AtomicBool>,
}

type Handshake<S> = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Stream<S>;
    type TlsConnect = Peer;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Peer> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Peer { tls: self.clone(), name })
    }
}

struct Peer {
    tls: Tls,
    name: ServerName<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Peer {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Handshake<S>;

    fn connect(self, stream: S) -> Handshake<S> {
        Box::pin(async move {
            let Tls { connector, spoken } = self.tls;
            let stream = connector.connect(self.name, stream).await?;
            spoken.store(true, Ordering::Relaxed);
            Ok(Stream(stream))
        })
    }
}

struct Stream<S>(client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> tokio_postgres::tls::TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_no_password() {
        for (connection, identity) in [
            ("postgres://u:pw@a.b/shop", "postgres://a.b:5432/shop/flashnode"),
            ("host=a,b port=1,2 user=u password=pw", "postgres://a:1,b:2/u/flashnode"),
            ("host=/run/postgresql user=u dbname=d", "postgres:///run/postgresql:5432/d/flashnode"),
        ] {
            let database = Database::new(connection, "flashnode", None);
            assert_eq!(database.map(|database| database.identity()), Ok(identity.to_owned()));
        }
    }

    #[test]
    fn a_schema_is_a_plain_name() {
        let of = |schema: &str| Database::new("host=a user=b", schema, None);
        for good in ["flashnode", "_a1", &"s".repeat(63)] {
            assert!(of(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "A", "a-b", "a\"b", "a;b", &"s".repeat(64)] {
            assert!(of(bad).is_err(), "{bad}");
        }
        let mixed = Database::new("host=a,/run/postgresql user=b", "flashnode", None);
        assert!(mixed.unwrap_err().contains("not both"));
        assert!(Database::new("what=ever", "flashnode", None).unwrap_err().contains("string"));
        let mode = Database::new("postgres://a@b/c?sslmode=verify-full", "flashnode", None);
        assert!(mode.unwrap_err().contains("use sslmode=require"));
    }
}
