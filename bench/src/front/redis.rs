//! Redis as shops use it: one Lua script, which looks the request id up, takes the units, and
//! notes the order under the id. What a "yes" survives is up to the server's `appendfsync`.
//!
//! All buys share one connection, which pipelines what is asked at the same time.

use super::{Asked, Backend, Told};
use anyhow::Context;
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, Script};

/// `KEYS`: the count, the orders by request id. `ARGV`: the request id, the quantity. Answers the
/// order's number (0: sold out) and the units left.
const BUY: &str = r"
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then return { tonumber(known), tonumber(redis.call('GET', KEYS[1])) } end
local left = tonumber(redis.call('GET', KEYS[1]))
local quantity = tonumber(ARGV[2])
if left < quantity then return { 0, left } end
left = redis.call('DECRBY', KEYS[1], quantity)
local number = redis.call('INCR', 'orders')
redis.call('HSET', KEYS[2], ARGV[1], number)
return { number, left }
";

/// A connection and the script that it has loaded.
#[derive(Debug)]
pub(super) struct Redis {
    connection: MultiplexedConnection,
    hash: String,
}

impl Redis {
    /// Connects, sets the count of the one product, loads the script.
    pub(super) async fn open(address: &str, units: u64) -> anyhow::Result<Self> {
        let client = Client::open(format!("redis://{address}/"))?;
        let mut connection =
            client.get_multiplexed_async_connection().await.context("Redis does not answer")?;
        let () = redis::cmd("SET").arg("sneaker").arg(units).query_async(&mut connection).await?;
        let script = Script::new(BUY);
        let () = redis::cmd("SCRIPT").arg("LOAD").arg(BUY).query_async(&mut connection).await?;
        Ok(Self { connection, hash: script.get_hash().to_owned() })
    }

    /// Another connection to the same server.
    pub(super) async fn connect(address: &str) -> anyhow::Result<MultiplexedConnection> {
        let client = Client::open(format!("redis://{address}/"))?;
        Ok(client.get_multiplexed_async_connection().await?)
    }

    /// The script's call for this buy.
    pub(super) fn call(&self, asked: &Asked) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(2).arg(asked.buy.product_id.as_str()).arg("requests");
        call.arg(format!("{}/{}", asked.buy.user_id, asked.request)).arg(asked.buy.quantity.get());
        call
    }
}

/// What the script's two numbers say.
pub(super) fn told([number, left]: [u64; 2]) -> Told {
    if number == 0 { Told::SoldOut } else { Told::Order { number, left } }
}

impl Backend for Redis {
    async fn buy(&self, asked: Asked) -> anyhow::Result<Told> {
        let answer: [u64; 2] = self.call(&asked).query_async(&mut self.connection.clone()).await?;
        Ok(told(answer))
    }
}
