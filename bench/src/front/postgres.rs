//! PostgreSQL as its users would do it: one function, which notes the order under its request id
//! and takes the units, in one transaction. Its own group commit writes what ends at once together.

use super::{Asked, Backend, Told};
use anyhow::Context;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_postgres::{Client, Config, NoTls, Statement};

/// Connections; more of them only contend for the product's row.
const CONNECTIONS: usize = 16;

const SCHEMA: &str = "
CREATE TABLE products (id text PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0));
CREATE TABLE orders (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL, request_id text NOT NULL, product_id text NOT NULL,
    quantity bigint NOT NULL, UNIQUE (user_id, request_id));
CREATE FUNCTION buy(wanted text, buyer text, request text, units bigint,
                    OUT order_number bigint, OUT units_left bigint) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orders (user_id, request_id, product_id, quantity)
        VALUES (buyer, request, wanted, units)
        ON CONFLICT (user_id, request_id) DO NOTHING RETURNING number INTO order_number;
    IF order_number IS NULL THEN
        SELECT number INTO order_number FROM orders
            WHERE user_id = buyer AND request_id = request;
        SELECT available INTO units_left FROM products WHERE id = wanted;
        RETURN;
    END IF;
    UPDATE products SET available = available - units
        WHERE id = wanted AND available >= units RETURNING available INTO units_left;
    IF units_left IS NULL THEN
        DELETE FROM orders WHERE number = order_number;
        order_number := 0; units_left := 0;
    END IF;
END $$;
";

/// Connections, each with the prepared call, used in turn.
#[derive(Debug)]
pub(super) struct Postgres {
    connections: Vec<(Client, Statement)>,
    next: AtomicUsize,
}

impl Postgres {
    /// `address` is `host:port`; the server trusts user `postgres`.
    pub(super) async fn open(address: &str, units: u64) -> anyhow::Result<Self> {
        let (host, port) = address.split_once(':').context("no port in the store's address")?;
        let mut config = Config::new();
        config.host(host).port(port.parse()?).user("postgres").dbname("postgres");
        let mut connections = Vec::new();
        for number in 0..CONNECTIONS {
            let (client, driver) = config.connect(NoTls).await.context("PostgreSQL is away")?;
            // Ends with its client.
            tokio::spawn(async move {
                if let Err(error) = driver.await {
                    eprintln!("PostgreSQL: {error}");
                }
            });
            if number == 0 {
                client.batch_execute(SCHEMA).await.context("the schema")?;
                let units = i64::try_from(units)?;
                client.execute("INSERT INTO products VALUES ('sneaker', $1)", &[&units]).await?;
            }
            let call = client.prepare("SELECT * FROM buy($1, $2, $3, $4)").await?;
            connections.push((client, call));
        }
        Ok(Self { connections, next: AtomicUsize::new(0) })
    }
}

impl Backend for Postgres {
    async fn buy(&self, asked: Asked) -> anyhow::Result<Told> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        let (client, call) = &self.connections[turn];
        let quantity = i64::from(asked.buy.quantity.get());
        let (product, user) = (asked.buy.product_id.as_str(), asked.buy.user_id.as_str());
        let row = client.query_one(call, &[&product, &user, &asked.request, &quantity]).await?;
        let (number, left): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if number == 0 {
            return Ok(Told::SoldOut);
        }
        Ok(Told::Order { number: u64::try_from(number)?, left: u64::try_from(left)? })
    }
}
