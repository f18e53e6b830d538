//! The HTTP front: the public listener's routes.
//!
//! Owns decoding, validation and the words of every answer. Never decides whether a buy is
//! accepted: writes go to the stock actor, reads to the replica's applied state behind a read
//! barrier. One file per group of endpoints; `problem.rs` maps what went wrong.
//!
//! Each endpoint is an `async fn(Arc<FrontState>, Request) -> Result<Response, Problem>`, and
//! [`Finished`] makes it a handler: no layers stand in the hot path, and every answer, errors and
//! unknown routes too, is finished with the `Flashnode-*` headers, the metrics, and
//! `Connection: close` while the node drains.
//!
//! A further endpoint is a line in `route.rs`, its `mod` line here, and its file, with a function
//! and what the OpenAPI document says of it (`docs.rs`). A debug build panics when an endpoint
//! answers what its documentation does not know, so every test of it is a test of the document.

mod allowance;
mod answer;
mod batch;
mod body;
mod buys;
mod cancel;
mod client;
mod cluster;
mod cursors;
mod docs;
mod done;
mod drop_in;
mod explain;
mod export;
mod field;
mod guard;
mod health;
mod history;
mod holds;
mod key;
mod live;
mod openapi;
mod orders;
mod owner;
mod pages;
mod problems;
mod products;
mod query;
mod route;
mod scrape;
mod swagger;
mod wanted;
mod won;
mod write;

pub(crate) use client::{PeerAddress, TrustedProxies};
pub(crate) use drop_in::DropIn;
pub(crate) use live::Live;
pub(crate) use pages::{Demo, Pages};
pub(crate) use route::Route;

use crate::actor::StockHandle;
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};
use axum::Router;
use axum::extract::{FromRequestParts, Path, Request};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use docs::Docs;
use raft::Replica;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stock::{NodeId, Seq, api};
use tokio::sync::Semaphore;
use tokio::time::Instant;

static NODE: HeaderName = HeaderName::from_static(api::HEADER_NODE);
static LEADER: HeaderName = HeaderName::from_static(api::HEADER_LEADER);
static SEQ: HeaderName = HeaderName::from_static(api::HEADER_SEQ);

/// What the endpoints are configured with.
pub(crate) struct Settings {
    /// How long an answer may take once the request is here.
    pub(crate) deadline: Duration,
    /// What the drop-in routes are set to.
    pub(crate) drop_in: DropIn,
    /// From whom the client's address is believed.
    pub(crate) proxies: TrustedProxies,
}

/// What the endpoints work with.
pub(crate) struct FrontState {
    replica: Replica,
    stock: StockHandle,
    metrics: Metrics,
    /// How long an answer may take once the request is here.
    deadline: Duration,
    /// Set at SIGTERM: not ready, and every connection closes after its answer.
    draining: Arc<AtomicBool>,
    /// One permit for each batch call that is worked on.
    batches: Semaphore,
    /// One permit for each byte of their bodies.
    batch_bytes: Semaphore,
    /// One permit for each export that is read.
    exports: Arc<Semaphore>,
    live: Live,
    pages: Pages,
    drop_in: DropIn,
    proxies: TrustedProxies,
    node: NodeId,
    node_header: HeaderValue,
}

impl FrontState {
    /// Puts together what the endpoints work with. `draining` is set by whoever handles SIGTERM.
    pub(crate) fn new(
        replica: Replica,
        stock: StockHandle,
        metrics: Metrics,
        draining: Arc<AtomicBool>,
        live: Live,
        pages: Pages,
        settings: Settings,
    ) -> Self {
        let Settings { deadline, drop_in, proxies } = settings;
        let node = replica.id();
        let node_header = HeaderValue::from(node.0);
        let batches = Semaphore::new(batch::CALLS_MAX);
        let batch_bytes = Semaphore::new(batch::BODIES_BYTES_MAX);
        let exports = Arc::new(Semaphore::new(export::CALLS_MAX));
        Self {
            replica,
            stock,
            metrics,
            deadline,
            draining,
            batches,
            batch_bytes,
            exports,
            live,
            pages,
            drop_in,
            proxies,
            node,
            node_header,
        }
    }

    /// Until when whoever asks now is answered. Taken once a request, before its body is read: what
    /// it waits for on its way shares the time.
    fn deadline(&self) -> Instant {
        Instant::now() + self.deadline
    }

    fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The answer to whatever would read or change the stock on a node whose state is wrong.
    fn fenced(&self, route: Route) -> Option<Problem> {
        let why = (!route.is_operational()).then(|| self.replica.fenced()).flatten()?;
        Some(Problem::new(Kind::NotReady, format!("This node is fenced: {why}.")))
    }

    /// What every answer carries. An answer that names no state of its own gets the applied one.
    fn finish(&self, route: Route, started: Instant, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(&NODE, self.node_header.clone());
        let leader = match self.replica.leader() {
            Some(leader) => HeaderValue::from(leader.0),
            None => HeaderValue::from_static("none"),
        };
        headers.insert(&LEADER, leader);
        if !headers.contains_key(&SEQ) {
            headers.insert(&SEQ, HeaderValue::from(self.replica.read(stock::Machine::seq).0));
        }
        if self.draining() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.metrics.observe_request(route, response.status(), started.elapsed());
        response
    }
}

/// An endpoint as axum calls it: runs it, then finishes its answer.
#[derive(Clone)]
struct Finished<F> {
    route: Route,
    /// None of what only refuses: an unknown path, a method that a route does not take.
    docs: Option<&'static Docs>,
    endpoint: F,
}

impl<F, Answer> Handler<(), Arc<FrontState>> for Finished<F>
where
    F: FnOnce(Arc<FrontState>, Request) -> Answer + Clone + Send + Sync + 'static,
    Answer: Future<Output = Result<Response, Problem>> + Send,
{
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, request: Request, state: Arc<FrontState>) -> Self::Future {
        Box::pin(async move {
            let started = Instant::now();
            let origin = state.pages.origins.welcome(request.headers());
            let refused = guard::check(&state.pages.origins, &request)
                .err()
                .or_else(|| state.fenced(self.route));
            let answer = match refused {
                Some(problem) => Err(problem),
                None => (self.endpoint)(Arc::clone(&state), request).await,
            };
            let mut response = answer.unwrap_or_else(IntoResponse::into_response);
            debug_assert!(
                self.docs.is_none_or(|docs| docs.know(&response)),
                "{}: the OpenAPI document does not know this answer: {response:?}",
                self.route,
            );
            if let Some(origin) = origin {
                pages::let_read(&mut response, origin);
            }
            state.finish(self.route, started, response)
        })
    }
}

/// The public listener's routes.
pub(crate) fn router(state: Arc<FrontState>) -> Router {
    let unmatched = Finished { route: Route::Unmatched, docs: None, endpoint: not_found };
    Route::ALL
        .iter()
        .filter(|route| **route != Route::Unmatched)
        .fold(Router::new(), |router, route| router.route(route.path(), route.methods()))
        .fallback(unmatched)
        .with_state(state)
}

async fn not_found(_: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let path = request.uri().path();
    Err(Problem::new(Kind::NotFound, format!("This node serves nothing at `{path}`.")))
}

async fn method_not_allowed(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    if request.method() == Method::OPTIONS
        && let Some(response) = pages::preflight(&state.pages.origins, request.headers())
    {
        return Ok(response);
    }
    let method = request.method();
    let detail = format!("This route does not take {method}; the Allow header says what it takes.");
    Err(Problem::new(Kind::MethodNotAllowed, detail))
}

/// The one parameter in the path of a route.
async fn path_parameter(parts: &mut Parts) -> Result<String, Problem> {
    match Path::<String>::from_request_parts(parts, &()).await {
        Ok(Path(text)) => Ok(text),
        Err(rejection) => Err(Problem::new(Kind::InvalidValue, rejection.body_text())),
    }
}

/// The number of a change as the one parameter in the path of a route: an order's or a hold's id.
async fn path_seq(parts: &mut Parts) -> Result<Seq, Problem> {
    let id = path_parameter(parts).await?;
    let invalid = || Problem::new(Kind::InvalidValue, "`id`: it is a whole number.");
    query::digits(&id).map(Seq).ok_or_else(invalid)
}
