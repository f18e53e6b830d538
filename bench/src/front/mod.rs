//! The HTTP front that every contender but flashnode stands behind: axum, the same JSON and
//! headers read, as many bytes answered.
//!
//! Owns the reading and the answering; a [`Backend`] decides. Runs as a process of its own
//! (`bench front …`), so that its CPU time and memory can be told from the client's.

mod etcd;
mod noop;
mod postgres;
mod redis;
mod redis_wait;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::{Args, ValueEnum};
use std::future::Future;
use std::sync::Arc;
use stock::api::{BuyAccepted, PostBuy, ProductView};
use stock::api::{HEADER_IDEMPOTENCY_KEY, HEADER_LEADER, HEADER_NODE, HEADER_SEQ};
use stock::{HoldTtl, NodeId, RequestId, Seq, Sku};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What the front asks: one buy, under its request id.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) buy: PostBuy,
    pub(crate) request: String,
}

/// What a backend says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Won, as this order, with so many units left.
    Order {
        number: u64,
        left: u64,
    },
    SoldOut,
}

/// What decides a buy.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Decides one buy, exactly once for its request id.
    ///
    /// # Errors
    /// What the store said; the front answers 500, which ends the measurement.
    fn buy(&self, asked: Asked) -> impl Future<Output = anyhow::Result<Told>> + Send;
}

/// Which backend, and where its store is.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long)]
    backend: Kind,
    /// Address of the store, when there is one
    #[arg(long, default_value = "")]
    store: String,
    /// How many listeners: as many as a cluster has nodes
    #[arg(long, default_value_t = 3)]
    listeners: usize,
    /// Units on sale
    #[arg(long, default_value_t = 1_000_000_000)]
    units: u64,
}

/// The backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Decides nothing.
    Noop,
    /// A Lua script: dedup and decrement.
    Redis,
    /// The script, then `WAIT 1`, on a connection of its own for each buy in flight.
    RedisWait,
    /// Whatever waits goes out as one pipeline that ends with `WAIT 1`.
    RedisWaitBatched,
    /// A function in PL/pgSQL.
    Postgres,
    /// One writer, 100 buys a transaction.
    Etcd,
}

/// Serves until it is killed. Its first line on standard output names its listeners' addresses.
pub(crate) async fn serve(options: Options) -> anyhow::Result<()> {
    let Options { backend, store, listeners, units } = options;
    match backend {
        Kind::Noop => listen(noop::Noop, listeners).await,
        Kind::Redis => listen(redis::Redis::open(&store, units).await?, listeners).await,
        Kind::RedisWait => listen(redis_wait::PerBuy::open(&store, units).await?, listeners).await,
        Kind::RedisWaitBatched => {
            listen(redis_wait::Batched::open(&store, units).await?, listeners).await
        }
        Kind::Postgres => listen(postgres::Postgres::open(&store, units).await?, listeners).await,
        Kind::Etcd => listen(etcd::Etcd::open(&store, units), listeners).await,
    }
}

async fn listen<B: Backend>(backend: B, listeners: usize) -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/v1/buys", post(buy::<B>))
        .route("/v1/products/{sku}", get(product))
        .with_state(Arc::new(backend));
    let mut servers = JoinSet::new();
    let mut addresses = Vec::new();
    for _ in 0..listeners {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the front")?;
        addresses.push(listener.local_addr()?.to_string());
        let routes = routes.clone();
        servers.spawn(async { axum::serve(listener, routes).await });
    }
    println!("{}", addresses.join(" "));
    while let Some(served) = servers.join_next().await {
        served??;
    }
    Ok(())
}

async fn buy<B: Backend>(
    State(backend): State<Arc<B>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let key = headers.get(HEADER_IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok());
    let key = key.and_then(|key| RequestId::new(key).ok().map(|_| key.to_owned()));
    let (Some(request), Ok(buy)) = (key, serde_json::from_slice::<PostBuy>(&body)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (product, user, quantity) = (buy.product_id.clone(), buy.user_id.clone(), buy.quantity);
    match backend.buy(Asked { buy, request }).await {
        Ok(Told::Order { number, left }) => {
            let accepted = BuyAccepted {
                order_id: Seq(number),
                product_id: product,
                user_id: user,
                quantity,
                remaining: left,
                seq: Seq(number),
                node: NodeId(1),
                leader: Some(NodeId(1)),
            };
            let location = (header::LOCATION, format!("/v1/orders/{number}"));
            (StatusCode::CREATED, seen(number), [location], axum::Json(accepted)).into_response()
        }
        Ok(Told::SoldOut) => (StatusCode::GONE, seen(0)).into_response(),
        Err(error) => {
            eprintln!("{error:#}");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response()
        }
    }
}

/// As many bytes as a node's answer, and nothing looked up.
async fn product(Path(id): Path<Sku>) -> Response {
    const SOME: u64 = 1_234_567;
    let view = ProductView {
        id,
        name: "Sneaker".to_owned(),
        stocked: SOME,
        available: SOME,
        held: 0,
        sold: SOME,
        price: None,
        currency: None,
        per_user_limit: None,
        starts_at: None,
        ends_at: None,
        hold_ttl_ms: HoldTtl::default(),
        seq: Seq(SOME),
    };
    (seen(SOME), axum::Json(view)).into_response()
}

/// The headers that each answer of a flashnode carries.
fn seen(seq: u64) -> [(HeaderName, String); 3] {
    [
        (HeaderName::from_static(HEADER_NODE), "1".to_owned()),
        (HeaderName::from_static(HEADER_LEADER), "1".to_owned()),
        (HeaderName::from_static(HEADER_SEQ), seq.to_string()),
    ]
}
