//! The target webhook: each batch of changes as one HTTP POST, signed.
//!
//! **At least once, in order, under an id that never changes.** The next POST is sent once the one
//! before was answered with a 2xx and the cursor moved, so the receiver sees no change before the
//! one that came first. A receiver that does not answer, or answers 5xx, 408 or 429, is asked again
//! for ever; one that refuses (any other 4xx) too, unless there is a file for dead letters, where
//! the batch goes after so many tries.
//!
//! The body is a CloudEvents batch, `application/cloudevents-batch+json`. The header
//! `Flashnode-Signature: t=SECONDS,v1=HEX` is HMAC-SHA256, under the shared secret, over the
//! seconds since the Unix epoch, a full stop, and the body: a receiver that compares both knows who
//! sent it and that nobody sends it again later.
//!
//! Owns: one kept connection over hyper, with rustls for https. Never does: follow a redirect.

use crate::cursor::Delivery;
use crate::durable::{sync_dir, unsynced};
use crate::message::Message;
use crate::target::{TargetError, explained};
use crate::tls;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::json;
use sha2::Sha256;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The header that says who sent it.
pub const SIGNATURE: &str = "flashnode-signature";
/// How long the receiver may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How much of an answer is read, to be shown.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// Events in a POST, unless told otherwise; of usual ones some 200 KiB.
pub const BATCH: usize = 500;
/// The most KiB of a body, unless told otherwise.
pub const BODY_KIB_MAX: usize = 256;
/// Bytes of a KiB.
pub const KIB: usize = 1024;

/// Where to, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The receiver: an http or https URL.
    pub url: String,
    /// What the signature is made with.
    pub secret: Option<Vec<u8>>,
    /// Where batches go that the receiver refuses, and after how many tries.
    pub dead_letters: Option<(PathBuf, u32)>,
    /// Who may vouch for an https receiver, as PEM; the system's unless told otherwise.
    pub tls_roots: Option<PathBuf>,
    /// The most bytes of a body; a message that is longer goes alone.
    pub body_bytes_max: usize,
}

/// See the module.
pub struct Webhook {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    settings: Settings,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// The id of the first message of the batch that was refused last, and how often.
    refused: Option<(String, u32)>,
}

impl Webhook {
    /// A receiver; nothing is connected yet.
    ///
    /// # Errors
    /// In words, when the URL or the roots cannot be used.
    pub fn new(settings: Settings) -> Result<Self, String> {
        // Never with the URL, which may have a password or a key.
        let bad = |why: &str| format!("the URL is no receiver: {why}; use https://HOST/PATH");
        let uri: Uri = settings.url.parse().map_err(|_| bad("it is no URL"))?;
        let host = uri.host().ok_or_else(|| bad("it has no host"))?.to_owned();
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(tls::connector(settings.tls_roots.as_deref())?), 443),
            _ => return Err(bad("it is neither http:// nor https://")),
        };
        let port = uri.port_u16().unwrap_or(port);
        Ok(Self { uri, host, port, tls, settings, sender: None, refused: None })
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, TargetError> {
        let lost = |why: &dyn std::fmt::Display| {
            TargetError::Lost(format!("{}:{}: {}", self.host, self.port, explained(why)))
        };
        // A literal IPv6 address has brackets in a URL and none in a socket's.
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await.map_err(|why| lost(&why))?;
        stream.set_nodelay(true).map_err(|why| lost(&why))?;
        match &self.tls {
            None => {
                let (sender, connection) =
                    handshake(TokioIo::new(stream)).await.map_err(|why| lost(&why))?;
                // It ends with the sender, and its failure is the failure of what is sent.
                tokio::spawn(connection);
                Ok(sender)
            }
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|why| lost(&why))?;
                let stream = tls.connect(name, stream).await.map_err(|why| lost(&why))?;
                let (sender, connection) =
                    handshake(TokioIo::new(stream)).await.map_err(|why| lost(&why))?;
                tokio::spawn(connection);
                Ok(sender)
            }
        }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, TargetError> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or(self.host.as_str(), |host| host.as_str());
        // What stands before an @ is for this side alone.
        let host = host.rsplit('@').next().unwrap_or(host);
        let mut request = Request::post(path)
            .header(HOST, host)
            .header(USER_AGENT, "flashnode")
            .header(CONTENT_TYPE, "application/cloudevents-batch+json");
        if let Some(secret) = &self.settings.secret {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            request = request.header(SIGNATURE, signature(secret, now, &body));
        }
        let request = request.body(Full::new(body));
        request.map_err(|why| TargetError::Refused(format!("the request: {why}")))
    }

    /// Sends one body, and says what came back.
    async fn post(&mut self, body: Bytes) -> Result<(StatusCode, String), TargetError> {
        let request = self.request(body)?;
        let lost = |why: &dyn std::fmt::Display| TargetError::Lost(format!("the receiver: {why}"));
        let mut kept = self.sender.take();
        if let Some(sender) = &mut kept
            && sender.ready().await.is_err()
        {
            kept = None;
        }
        let mut sender = match kept {
            Some(sender) => sender,
            None => timeout(CONNECT_MAX, self.connection())
                .await
                .map_err(|_| lost(&"no connection in time"))??,
        };
        let answered = async {
            let answer = sender.send_request(request).await.map_err(|why| lost(&why))?;
            let status = answer.status();
            let words = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok::<_, TargetError>((status, words.ok().map(Collected::to_bytes)))
        };
        let answered = timeout(ANSWER_MAX, answered).await;
        let (status, words) = answered.map_err(|_| lost(&"no answer in time"))??;
        // Kept when the answer was read to its end.
        let text = match words {
            Some(words) => {
                self.sender = Some(sender);
                String::from_utf8_lossy(&words).into_owned()
            }
            None => String::new(),
        };
        Ok((status, text))
    }

    /// Puts what was refused aside, if it was often enough.
    fn refuse(&mut self, messages: &[Message], why: String) -> Result<(), TargetError> {
        let Some(((path, tries), first)) = self.settings.dead_letters.clone().zip(messages.first())
        else {
            return Err(TargetError::Lost(why));
        };
        let count = match &self.refused {
            Some((id, count)) if *id == first.id => count + 1,
            _ => 1,
        };
        self.refused = Some((first.id.clone(), count));
        if count < tries {
            return Err(TargetError::Lost(why));
        }
        tracing::error!(
            "{} messages from {} on become dead letters: {why}",
            messages.len(),
            first.id
        );
        let mut lines = String::new();
        for message in messages {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{{\"why\":{},\"message\":{}}}", json!(why), message.json);
        }
        put_aside(&path, lines.as_bytes())?;
        self.refused = None;
        Ok(())
    }
}

/// Adds lines to a file, durably, as is the file's name. What was cut off before stays a line.
fn put_aside(path: &Path, lines: &[u8]) -> Result<(), TargetError> {
    let written = || -> io::Result<File> {
        let mut file = File::options().read(true).create(true).append(true).open(path)?;
        let mut last = [b'\n'];
        // An empty file has no last byte.
        if file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        file.write_all(lines)?;
        Ok(file)
    };
    let file = written().map_err(|why| TargetError::Lost(format!("{}: {why}", path.display())))?;
    file.sync_all().map_err(|why| unsynced(path, &why))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    sync_dir(dir.unwrap_or(Path::new(".")))
}

impl Delivery for Webhook {
    /// The URL without its user and its query, where people put what is secret.
    fn identity(&self) -> String {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        format!("{scheme}://{}:{}{}", self.host, self.port, self.uri.path())
    }

    async fn connect(&mut self) -> Result<(), TargetError> {
        // Connected when there is something to say: receivers close what is idle.
        self.sender = None;
        Ok(())
    }

    fn fitting(&self, messages: &[Message]) -> usize {
        // Each with what stands before it, and one that stands behind the last.
        let ends = messages.iter().scan(1, |bytes, message| {
            *bytes += message.json.len() + 1;
            Some(*bytes)
        });
        ends.take_while(|bytes| *bytes <= self.settings.body_bytes_max).count().max(1)
    }

    async fn deliver(&mut self, messages: &[Message]) -> Result<(), TargetError> {
        let (status, words) = self.post(body_of(messages)).await?;
        let asks_again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        let why = || format!("the receiver answered {status}: {}", words.trim());
        if status.is_success() {
            self.refused = None;
            Ok(())
        } else if status.is_client_error() && !asks_again.contains(&status) {
            self.refuse(messages, why())
        } else {
            Err(TargetError::Lost(why()))
        }
    }
}

/// All of them, as a list.
fn body_of(messages: &[Message]) -> Bytes {
    let bytes = messages.iter().map(|message| message.json.len() + 1).sum::<usize>() + 1;
    let mut body = Vec::with_capacity(bytes.max(2));
    for message in messages {
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.extend_from_slice(message.json.as_bytes());
    }
    body.push(b']');
    body.into()
}

/// What [`SIGNATURE`] holds for this body at this time.
pub fn signature(secret: &[u8], at_s: u64, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret);
    let mut mac = mac.unwrap_or_else(|why| unreachable!("a key of any length: {why}"));
    mac.update(format!("{at_s}.").as_bytes());
    mac.update(body);
    let mut text = format!("t={at_s},v1=");
    for byte in mac.finalize().into_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

    use super::*;

    /// As `printf '1700000000.[]' | openssl dgst -sha256 -hmac secret` has it.
    #[test]
    fn a_signature_is_the_hmac_of_time_and_body() {
        let expected = "74f76d8933679a54d6be8c7560a5233b124658241ca5a3b0f09af80d3ea60d78";
        assert_eq!(
            signature(b"secret", 1_700_000_000, b"[]"),
            format!("t=1700000000,v1={expected}")
        );
    }

    fn to(url: &str, body_bytes_max: usize) -> Result<Webhook, String> {
        let (secret, dead_letters, tls_roots) = (None, None, None);
        let url = url.to_owned();
        Webhook::new(Settings { url, secret, dead_letters, tls_roots, body_bytes_max })
    }

    #[test]
    fn a_receiver_is_a_url() {
        assert!(to("http://127.0.0.1:9/hook?a=b", 1_000).is_ok());
        for bad in ["", "127.0.0.1", "ftp://a/b", "http://"] {
            assert!(to(bad, 1_000).is_err(), "{bad}");
        }
        let identity = to("https://u:pw@a.b/hook?key=secret", 1_000).unwrap().identity();
        assert_eq!(identity, "https://a.b:443/hook");
    }

    #[test]
    fn a_body_has_at_most_so_many_bytes_but_at_least_one_message() {
        let message = |length: usize| Message {
            id: String::new(),
            kind: String::new(),
            json: format!("\"{}\"", "a".repeat(length - 2)),
        };
        for (body_bytes_max, lengths, fitting) in [
            (23, &[10, 10, 10][..], 2),
            (22, &[10, 10, 10], 1),
            (1_000, &[10, 10, 10], 3),
            (5, &[10, 10], 1),
        ] {
            let messages: Vec<Message> = lengths.iter().map(|length| message(*length)).collect();
            let webhook = to("http://a", body_bytes_max).unwrap();
            assert_eq!(webhook.fitting(&messages), fitting, "{body_bytes_max} {lengths:?}");
            let body = body_of(&messages[..fitting]);
            assert!(fitting == 1 || body.len() <= body_bytes_max, "{body:?}");
            let list: Vec<String> = serde_json::from_slice(&body).unwrap();
            assert_eq!(list.len(), fitting);
        }
    }
}
