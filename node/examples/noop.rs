//! The baseline of the throughput figures: an axum handler that parses the same JSON and headers
//! as `POST /v1/buys`, decides nothing, and answers as many bytes. Listens on each given address.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use stock::api::{BuyAccepted, PostBuy};
use stock::{NodeId, RequestId, Seq};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

async fn buy(headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let key = headers
        .get(stock::api::HEADER_IDEMPOTENCY_KEY)
        .and_then(|key| key.to_str().ok())
        .and_then(|key| RequestId::new(key).ok());
    let (Some(_key), Ok(buy)) = (key, serde_json::from_slice::<PostBuy>(&body)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let accepted = BuyAccepted {
        order_id: Seq(1_234_567),
        product_id: buy.product_id,
        user_id: buy.user_id,
        quantity: buy.quantity,
        remaining: 1_234_567,
        seq: Seq(1_234_567),
        node: NodeId(1),
        leader: Some(NodeId(1)),
    };
    let headers = [
        (header::LOCATION, "/v1/orders/1234567"),
        (header::HeaderName::from_static(stock::api::HEADER_NODE), "1"),
        (header::HeaderName::from_static(stock::api::HEADER_LEADER), "1"),
        (header::HeaderName::from_static(stock::api::HEADER_SEQ), "1234567"),
    ];
    (StatusCode::CREATED, headers, axum::Json(accepted)).into_response()
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut servers = tokio::task::JoinSet::new();
    for address in std::env::args().skip(1) {
        let listener = tokio::net::TcpListener::bind(address).await?;
        servers.spawn(async {
            axum::serve(listener, Router::new().route("/v1/buys", post(buy))).await
        });
    }
    while let Some(served) = servers.join_next().await {
        served.map_err(std::io::Error::other)??;
    }
    Ok(())
}
