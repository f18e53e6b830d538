//! One client: reads requests, has them answered in order, and tells it the levels it listens to.
//!
//! Owns the session, and how long a client may take nothing of its answers; what it sent and was
//! not answered yet is the inbox's. What is no request ends the connection, with a word.

use super::Resp;
use super::command::{self, Asked, CHANNELS_MAX};
use super::inbox::Inbox;
use super::pipeline::Pipeline;
use super::wire::{Reply, Request, Version};
use bytes::BufMut;
use rustix::net::sockopt::set_socket_keepalive;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use stock::{Seq, Sku, UserId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Read at first, and what an idle connection may keep.
pub(super) const READ_BYTES: usize = 4 * 1024;
/// Read at once of what is here besides.
const READ_MORE_BYTES: usize = 32 * 1024;
/// Bytes that were not answered yet when no more are read: a pipeline up to here is one batch.
const UNREAD_BYTES_MAX: usize = 256 * 1024;
/// How long a client may take nothing of its answers.
const WRITE_STALL_MAX: Duration = Duration::from_secs(10);
/// How long, and how much of, a closed connection is still read.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// Between two looks at the levels that a client listens to.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Between two looks whether the node is fenced, while nothing changes: a fence is no change.
const FENCE_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Whose orders these are, unless AUTH or HELLO says otherwise.
const USER: &str = "redis";

/// To MULTI, and to whatever comes before its EXEC.
const NO_TRANSACTIONS: &str = "ERR MULTI is not supported here, so nothing was done";

/// What a connection has said of itself.
pub(super) struct Session {
    pub(super) id: u64,
    pub(super) version: Version,
    /// Whose orders its decrements are.
    pub(super) user: UserId,
    pub(super) name: Vec<u8>,
    /// What it listens to, and the level that it was told last.
    pub(super) channels: BTreeMap<Sku, Option<u64>>,
    /// Between a MULTI, which is refused, and its EXEC. A library sends both with all commands
    /// between them, and takes an error of one for: nothing was done. So nothing is.
    pub(super) in_multi: bool,
    pub(super) quits: bool,
}

/// See the module.
pub(super) struct Connection {
    tcp: TcpStream,
    resp: Arc<Resp>,
    session: Session,
    inbox: Inbox,
}

impl Connection {
    pub(super) fn new(tcp: TcpStream, id: u64, resp: Arc<Resp>) -> Self {
        let user = UserId::new(USER).unwrap_or_else(|why| unreachable!("{USER}: {why}"));
        let (version, name, channels) = (Version::Two, Vec::new(), BTreeMap::new());
        let (in_multi, quits) = (false, false);
        let session = Session { id, version, user, name, channels, in_multi, quits };
        Self { tcp, resp, session, inbox: Inbox::default() }
    }

    /// Serves it to its end.
    ///
    /// # Errors
    /// What ended it, other than the client or the node.
    pub(super) async fn run(mut self, mut closing: watch::Receiver<bool>) -> io::Result<()> {
        self.tcp.set_nodelay(true)?;
        // Idle connections are kept, as Redis does; those whose client is gone are not.
        set_socket_keepalive(&self.tcp, true)?;
        let mut feed = self.resp.replica.feed_watch();
        let (mut seen, mut rests_until) = (Seq(0), Instant::now());
        let mut is_last = false;
        loop {
            let (requests, end) = self.inbox.take(Instant::now());
            let idle = requests.is_empty();
            let mut out = self.answer(requests).await;
            if let Some(malformed) = end {
                Reply::error(format!("ERR Protocol error: {malformed}"))
                    .write(self.session.version, &mut out);
            }
            self.write(&out).await?;
            if end.is_some() || self.session.quits {
                return self.end().await;
            }
            if !idle {
                // Perhaps more requests are here already. When the node closes, what has come by
                // then is answered, and nothing that comes after it.
                if *closing.borrow() {
                    if is_last {
                        return self.end().await;
                    }
                    is_last = true;
                }
                continue;
            }
            let listens = !self.session.channels.is_empty();
            let untold = self.session.channels.values().any(Option::is_none);
            let changed = async {
                sleep_until(rests_until).await;
                if untold {
                    return Some(seen);
                }
                timeout(FENCE_LOOK_INTERVAL, feed.after(seen)).await.unwrap_or(Some(seen))
            };
            tokio::select! {
                // What is here already when the node closes is answered first.
                biased;
                read = read(&mut self.tcp, &mut self.inbox) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                newest = changed, if listens => {
                    let Some(newest) = newest else { return Ok(()) };
                    // It answers nothing about the stock any more.
                    if self.resp.replica.fenced().is_some() {
                        return self.end().await;
                    }
                    (seen, rests_until) = (newest, Instant::now() + LOOK_INTERVAL);
                    let out = self.levels();
                    self.write(&out).await?;
                }
                () = closed(&mut closing) => return self.end().await,
            }
        }
    }

    /// The answers to a pipeline, as bytes.
    async fn answer(&mut self, requests: Vec<Request>) -> Vec<u8> {
        let mut out = Vec::new();
        if requests.is_empty() {
            return out;
        }
        let mut pipeline = Pipeline::new(&self.resp, requests.len());
        for request in requests {
            let asked = command::asked(request);
            pipeline.add(asked, &mut self.session).await;
            if self.session.quits {
                break;
            }
        }
        for (reply, version) in pipeline.finish().await {
            reply.write(version, &mut out);
        }
        out
    }

    /// The levels that have changed since they were told last.
    fn levels(&mut self) -> Vec<u8> {
        let channels = &mut self.session.channels;
        let changed: Vec<(Sku, u64)> = self.resp.replica.read(|machine| {
            let level = |(sku, told): (&Sku, &mut Option<u64>)| {
                let level = machine.product(sku).map_or(0, |product| product.available);
                (told.replace(level) != Some(level)).then(|| (sku.clone(), level))
            };
            channels.iter_mut().filter_map(level).collect()
        });
        let mut out = Vec::new();
        for (sku, level) in changed {
            let message = vec![
                Reply::Bulk("message".to_owned()),
                Reply::Bulk(command::channel_of(&sku)),
                Reply::Bulk(level.to_string()),
            ];
            Reply::Push(message).write(self.session.version, &mut out);
        }
        out
    }

    /// Closes so that the last answer arrives: unread bytes would reset the connection, and a reset
    /// may overtake it.
    async fn end(mut self) -> io::Result<()> {
        self.tcp.shutdown().await?;
        let mut rest = vec![0; READ_BYTES];
        let linger = async {
            let mut left = LINGER_BYTES_MAX;
            while left > 0 {
                match self.tcp.read(&mut rest).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => left = left.saturating_sub(read),
                }
            }
        };
        let _late = timeout(LINGER_TIME_MAX, linger).await;
        Ok(())
    }

    async fn write(&mut self, out: &[u8]) -> io::Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let Ok(written) = timeout(WRITE_STALL_MAX, self.tcp.write_all(out)).await else {
            let why = "the client does not read its answers";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        };
        written
    }
}

/// Waits until the node closes.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // Without a sender nobody is left to keep the node open.
    let _closed = closing.wait_for(|closing| *closing).await;
}

/// Reads what comes next, and all that is here with it: a pipeline cut into many reads would be as
/// many batches. A request that has begun has to end in time.
async fn read(tcp: &mut TcpStream, inbox: &mut Inbox) -> io::Result<usize> {
    let deadline = inbox.deadline();
    let read = tcp.read_buf(inbox.room(READ_BYTES));
    let count = match deadline {
        None => read.await?,
        Some(deadline) => timeout_at(deadline, read).await.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, "a request does not come to its end")
        })??,
    };
    // Of an end or a failure the next read tells, once what came before it was answered.
    while count > 0 && inbox.unread() < UNREAD_BYTES_MAX {
        match tcp.try_read_buf(&mut inbox.room(READ_MORE_BYTES).limit(READ_MORE_BYTES)) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    inbox.arrived(Instant::now());
    Ok(count)
}

impl Session {
    /// What it becomes by a command that is about the connection alone; none of others.
    pub(super) fn apply(&mut self, asked: &Asked) -> Option<Reply> {
        if let Asked::Hello { .. } = asked {
            self.in_multi = false;
        }
        if self.in_multi && !matches!(asked, Asked::Exec { .. } | Asked::Quit) {
            return Some(Reply::error(NO_TRANSACTIONS));
        }
        Some(match asked {
            Asked::Multi => {
                self.in_multi = true;
                Reply::error(NO_TRANSACTIONS)
            }
            Asked::Exec { refusal } => {
                self.in_multi = false;
                Reply::error(refusal.as_str())
            }
            Asked::Told(reply) => reply.clone(),
            Asked::Ping(text) if self.listens_in_two() => Reply::Array(vec![
                Reply::Bulk("pong".to_owned()),
                Reply::Raw(text.clone().unwrap_or_default()),
            ]),
            Asked::Ping(None) => Reply::Simple("PONG"),
            Asked::Ping(Some(text)) => Reply::Raw(text.clone()),
            Asked::Hello { version, user, name } => {
                self.version = version.unwrap_or(self.version);
                if let Some(user) = user {
                    self.user = user.clone();
                }
                if let Some(name) = name {
                    self.name.clone_from(name);
                }
                self.hello()
            }
            Asked::Auth(user) => {
                self.user = user.clone();
                Reply::OK
            }
            Asked::SetName(name) => {
                self.name.clone_from(name);
                Reply::OK
            }
            Asked::GetName if self.name.is_empty() => Reply::Null,
            Asked::GetName => Reply::Raw(self.name.clone()),
            Asked::ClientId => Reply::Int(i64::try_from(self.id).unwrap_or(i64::MAX)),
            Asked::Quit => {
                self.quits = true;
                Reply::OK
            }
            Asked::Subscribe(skus) => self.subscribe(skus),
            Asked::Unsubscribe(channels) => self.unsubscribe(channels),
            Asked::Read(_) | Asked::Write(..) | Asked::Delete(_) => return None,
        })
    }

    /// Whether only commands about channels are taken: without push messages, answers to others
    /// could not be told from levels.
    pub(super) fn listens_in_two(&self) -> bool {
        self.version == Version::Two && !self.channels.is_empty()
    }

    fn hello(&self) -> Reply {
        let text = |text: &str| Reply::Bulk(text.to_owned());
        Reply::Map(vec![
            ("server", text("flashnode")),
            ("version", text(env!("CARGO_PKG_VERSION"))),
            ("proto", Reply::Int(if self.version == Version::Two { 2 } else { 3 })),
            ("id", Reply::Int(i64::try_from(self.id).unwrap_or(i64::MAX))),
            ("mode", text("standalone")),
            ("role", text("master")),
            ("modules", Reply::Array(Vec::new())),
        ])
    }

    fn subscribe(&mut self, skus: &[Sku]) -> Reply {
        let mut replies = Vec::new();
        for sku in skus {
            if self.channels.len() >= CHANNELS_MAX && !self.channels.contains_key(sku) {
                replies.push(Reply::error(format!("ERR at most {CHANNELS_MAX} channels")));
                continue;
            }
            self.channels.insert(sku.clone(), None);
            replies.push(self.confirmed("subscribe", Reply::Bulk(command::channel_of(sku))));
        }
        Reply::Several(replies)
    }

    fn unsubscribe(&mut self, channels: &[Vec<u8>]) -> Reply {
        if channels.is_empty() && self.channels.is_empty() {
            return self.confirmed("unsubscribe", Reply::Null);
        }
        let mut names = channels.to_vec();
        if names.is_empty() {
            names = self.channels.keys().map(|sku| command::channel_of(sku).into()).collect();
        }
        let replies = names.into_iter().map(|name| {
            if let Some(sku) = command::product_of(&name) {
                self.channels.remove(&sku);
            }
            self.confirmed("unsubscribe", Reply::Raw(name))
        });
        Reply::Several(replies.collect())
    }

    fn confirmed(&self, what: &str, channel: Reply) -> Reply {
        let left = i64::try_from(self.channels.len()).unwrap_or(i64::MAX);
        Reply::Push(vec![Reply::Bulk(what.to_owned()), channel, Reply::Int(left)])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

    use super::*;
    use tokio::net::TcpListener;

    /// A pipeline that is here is read as one, however it was sent, up to a bound.
    #[tokio::test]
    async fn all_that_is_here_is_read_at_once_and_no_more_than_the_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for pings in [1_000, 40_000] {
            let sent = b"*1\r\n$4\r\nPING\r\n".repeat(pings);
            let mut client = TcpStream::connect(address).await.unwrap();
            let (mut tcp, _) = listener.accept().await.unwrap();
            let whole = sent.len();
            // Until the client has gone, so that nothing is on the way any more. Of more than the
            // system holds for a connection, the rest follows.
            let here = whole.min(100 * 1024);
            let sending = tokio::spawn(async move {
                let _cut_off_at_the_end = client.write_all(&sent).await;
                client
            });
            let mut look = vec![0; here];
            while tcp.peek(&mut look).await.unwrap() < here {
                tokio::task::yield_now().await;
            }
            let mut inbox = Inbox::default();
            read(&mut tcp, &mut inbox).await.unwrap();
            let most = UNREAD_BYTES_MAX + READ_MORE_BYTES;
            assert!((here..=most).contains(&inbox.unread()), "{} of {whole}", inbox.unread());
            sending.abort();
        }
    }
}
