//! A connection to PostgreSQL, with TLS where it is asked for.
//!
//! Owns: what a connection string means here. `sslmode=disable` is plain; `require` is TLS with a
//! certificate that one of the roots vouches for, and nothing else; the default, `prefer`, goes on
//! without TLS where the server has none or a certificate that nobody vouches for. TLS is rustls
//! with ring (`tls.rs`), joined to tokio-postgres here by a few lines, without a crate of its own.

use crate::target::TargetError;
use crate::tls;
use rustls::pki_types::ServerName;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, NoTls};
use tokio_rustls::{TlsConnector, client};

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);
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
        let mut config: Config = connection
            .parse()
            .map_err(|why| format!("the connection string: {}", in_words(&why)))?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let starts = schema.bytes().next().is_some_and(|first| !first.is_ascii_digit());
        if !starts || schema.len() > NAME_BYTES_MAX || !schema.bytes().all(plain) {
            let rule = "use a-z, 0-9 and _, not a digit first, at most 63 characters";
            return Err(format!("the schema {schema:?} is none; {rule}"));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        if config.get_application_name().is_none() {
            config.application_name("flashnode sink");
        }
        Ok(Self { config, schema: schema.to_owned(), roots })
    }

    /// The schema's name: plain characters that need no quotes.
    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// Connects, to this schema.
    pub(super) async fn connect(&self) -> Result<Client, TargetError> {
        let client = match self.config.get_ssl_mode() {
            SslMode::Disable => self.plain().await?,
            SslMode::Prefer => match self.tls() {
                // No roots: as without TLS.
                Err(_) => self.plain().await?,
                Ok(tls) => match self.with(tls).await {
                    Err(error) if tls_failed(&error) => self.plain().await?,
                    connected => connected.map_err(super::lost)?,
                },
            },
            _ => {
                let tls = self.tls().map_err(TargetError::Refused)?;
                self.with(tls).await.map_err(super::lost)?
            }
        };
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
        Ok(client)
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
        tls::connector(self.roots.as_deref()).map(Tls)
    }
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
struct Tls(TlsConnector);

type Handshake<S> = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Stream<S>;
    type TlsConnect = Host;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Host> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Host { tls: self.0.clone(), name })
    }
}

struct Host {
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Host {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Handshake<S>;

    fn connect(self, stream: S) -> Handshake<S> {
        Box::pin(async move { Ok(Stream(self.tls.connect(self.name, stream).await?)) })
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
    fn a_schema_is_a_plain_name() {
        let of = |schema: &str| Database::new("host=a user=b", schema, None);
        for good in ["flashnode", "_a1", &"s".repeat(63)] {
            assert!(of(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "A", "a-b", "a\"b", "a;b", &"s".repeat(64)] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert!(Database::new("what=ever", "flashnode", None).unwrap_err().contains("string"));
    }
}
