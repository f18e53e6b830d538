//! etcd as an expert would do it: one writer knows the count and puts 100 orders and the new count
//! into one transaction, which holds only if none of the request ids has an order yet and nobody
//! else moved the count. Spoken through etcd's own JSON gateway: at a hundred buys a call its cost
//! is small beside the transaction's.

use super::{Asked, Backend, Told};
use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// Buys of one transaction; etcd's own limit is 128 operations.
const TRANSACTION_MAX: usize = 100;
/// Transactions in flight: the next one gathers while one is on its way.
const WAITING_MAX: usize = 1_024;
const COUNT_KEY: &str = "stock/sneaker";

type Waiting = (Asked, oneshot::Sender<Told>);

/// The writer's mailbox.
#[derive(Debug)]
pub(super) struct Etcd {
    writer: mpsc::Sender<Waiting>,
}

impl Etcd {
    /// `address` is the `host:port` of one member's client listener.
    pub(super) fn open(address: &str, units: u64) -> Self {
        let writer = Writer {
            http: reqwest::Client::new(),
            url: format!("http://{address}/v3/kv/txn"),
            left: units,
            orders: 0,
            revision: 0,
        };
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        // Ends with the process; a store that fails drops what waits, which then fails aloud.
        tokio::spawn(async move {
            if let Err(error) = writer.run(waiting).await {
                eprintln!("the writer ended: {error:#}");
            }
        });
        Self { writer: sender }
    }
}

impl Backend for Etcd {
    async fn buy(&self, asked: Asked) -> anyhow::Result<Told> {
        let (reply, told) = oneshot::channel();
        self.writer.send((asked, reply)).await.context("the writer has ended")?;
        told.await.context("the writer has ended")
    }
}

/// The one that writes, so that nobody else moves the count.
#[derive(Debug)]
struct Writer {
    http: reqwest::Client,
    url: String,
    left: u64,
    orders: u64,
    /// Of the count's key, 0 before it exists.
    revision: u64,
}

/// What of a transaction's answer counts. Numbers of 64 bits are strings, and what is false or
/// zero is left out, as protobuf's JSON has it.
#[derive(Debug, Deserialize)]
struct Done {
    header: Header,
    #[serde(default)]
    succeeded: bool,
}

#[derive(Debug, Deserialize)]
struct Header {
    revision: String,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) -> anyhow::Result<()> {
        let mut batch = Vec::with_capacity(TRANSACTION_MAX);
        while waiting.recv_many(&mut batch, TRANSACTION_MAX).await > 0 {
            self.commit(std::mem::take(&mut batch)).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, batch: Vec<Waiting>) -> anyhow::Result<()> {
        let (mut compare, mut success) = (vec![self.count_unmoved()], Vec::new());
        let (mut left, mut orders, mut told) = (self.left, self.orders, Vec::new());
        for (asked, _) in &batch {
            let quantity = u64::from(asked.buy.quantity.get());
            if left < quantity {
                told.push(Told::SoldOut);
                continue;
            }
            (left, orders) = (left - quantity, orders + 1);
            let key = base64(&format!("requests/{}/{}", asked.buy.user_id, asked.request));
            let order = base64(&format!("{orders} {} {quantity}", asked.buy.product_id));
            compare.push(json!({ "key": key, "target": "CREATE", "create_revision": "0" }));
            success.push(json!({ "request_put": { "key": key, "value": order } }));
            told.push(Told::Order { number: orders, left });
        }
        let (key, count) = (base64(COUNT_KEY), base64(&left.to_string()));
        success.push(json!({ "request_put": { "key": key, "value": count } }));
        let transaction = json!({ "compare": compare, "success": success });
        self.send(&transaction).await?;
        (self.left, self.orders) = (left, orders);
        for ((_, reply), told) in batch.into_iter().zip(told) {
            // Whoever asked may be gone.
            let _gone = reply.send(told);
        }
        Ok(())
    }

    fn count_unmoved(&self) -> Value {
        let revision = self.revision.to_string();
        json!({ "key": base64(COUNT_KEY), "target": "MOD", "mod_revision": revision })
    }

    async fn send(&mut self, transaction: &Value) -> anyhow::Result<()> {
        let body = serde_json::to_vec(transaction)?;
        let answer = self.http.post(&self.url).body(body).send().await.context("etcd is away")?;
        let (status, body) = (answer.status(), answer.bytes().await?);
        ensure!(status.is_success(), "etcd answered {status}: {}", String::from_utf8_lossy(&body));
        let done: Done = serde_json::from_slice(&body)?;
        if !done.succeeded {
            // The clients of this bench never send a key twice.
            bail!("a request id was used before, or another writer moved the count");
        }
        self.revision = done.header.revision.parse()?;
        Ok(())
    }
}

/// Standard base64 with padding (RFC 4648, section 4), as the gateway wants keys and values.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| char::from(DIGITS[(bits & 63) as usize]);
    let mut out = String::with_capacity(text.len().div_ceil(3) * 4);
    for chunk in text.as_bytes().chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        out.push(digit(bits >> 18));
        out.push(digit(bits >> 12));
        out.push(if chunk.len() > 1 { digit(bits >> 6) } else { '=' });
        out.push(if chunk.len() > 2 { digit(bits) } else { '=' });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    /// The examples of RFC 4648, section 10.
    #[test]
    fn base64_as_the_rfc_has_it() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (text, expected) in pairs {
            assert_eq!(base64(text), expected);
        }
    }
}
