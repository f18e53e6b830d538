//! The spans of target `buy` to an OpenTelemetry collector: OTLP over HTTP, as JSON.
//!
//! What a request's stages have in common is the request id, so the trace's id is made of it and of
//! the user, and the id of the first attempt's `request` span too: every node comes to the same
//! ones without a word between them, and all attempts under one key are one trace.
//!
//! A span costs who ends it a place in a bounded queue, or nothing where that is full. A thread of
//! the SDK's makes batches of it, and a thread of its own sends them: a collector that is slow or
//! gone loses spans and holds up nobody. Without TLS; `OTEL_*` variables mean what they mean
//! elsewhere.

use opentelemetry::trace::{
    Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use stock::NodeId;
use tokio::runtime::Runtime;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber, span};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// How long a collector may take for a batch.
const SEND_MAX: Duration = Duration::from_secs(10);
/// How long the last spans may take at the node's end.
const FLUSH_MAX: Duration = Duration::from_secs(1);
/// Set, each is where spans go unless a flag says so.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Sends the last spans when it is dropped.
pub(crate) struct Flush(Arc<BatchSpanProcessor>);

impl Drop for Flush {
    fn drop(&mut self) {
        // What a collector does not take in time is lost, as at any other moment.
        let _lost = self.0.shutdown_with_timeout(FLUSH_MAX);
    }
}

/// A layer that exports, when the flag or the environment names a collector; held for as long as
/// its [`Flush`].
///
/// # Errors
/// Why nothing will be exported.
pub(crate) fn layer<S>(
    node: NodeId,
    endpoint: Option<&str>,
) -> Result<Option<(impl Layer<S> + Send + Sync + use<S>, Flush)>, String>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if endpoint.is_none() && ENDPOINTS.iter().all(|name| variable(name).is_none()) {
        return Ok(None);
    }
    let client = Client::new().map_err(|error| error.to_string())?;
    let exporter = SpanExporter::builder().with_http().with_http_client(client);
    let exporter = exporter.with_protocol(Protocol::HttpJson);
    let exporter = match endpoint {
        Some(base) => exporter.with_endpoint(format!("{}/v1/traces", base.trim_end_matches('/'))),
        None => exporter,
    };
    let exporter = exporter.build().map_err(|error| error.to_string())?;
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    let resource = Resource::builder();
    let resource = match variable("OTEL_SERVICE_NAME") {
        Some(_) => resource,
        None => resource.with_service_name("flashnode"),
    };
    let instance = KeyValue::new("service.instance.id", node.to_string());
    processor.set_resource(&resource.with_attribute(instance).build());
    let processor = Arc::new(processor);
    let share = share(variable("OTEL_TRACES_SAMPLER"), variable("OTEL_TRACES_SAMPLER_ARG"));
    let export = Export { processor: Arc::clone(&processor), share };
    let ours = Targets::new().with_target("buy", Level::DEBUG);
    Ok(Some((export.with_filter(ours), Flush(processor))))
}

/// Which share of the traces is exported, of 1. All nodes choose the same ones.
fn share(sampler: Option<String>, argument: Option<String>) -> f64 {
    let sampler = sampler.unwrap_or_default();
    match sampler.trim_start_matches("parentbased_") {
        "always_off" => 0.0,
        "traceidratio" => argument.and_then(|text| text.parse().ok()).unwrap_or(1.0),
        _ => 1.0,
    }
}

/// See the module.
struct Export {
    processor: Arc<BatchSpanProcessor>,
    share: f64,
}

/// A span that has not ended.
struct Open {
    started: SystemTime,
    ids: Ids,
    fields: Fields,
    events: Vec<Event>,
}

/// What every node makes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ids {
    trace: TraceId,
    /// The first attempt's `request`.
    root: SpanId,
}

impl Ids {
    fn of(user: &str, request: &str) -> Self {
        let mut hash = blake3::Hasher::new_derive_key("flashnode trace ids 1");
        hash.update(&(user.len() as u64).to_le_bytes()).update(user.as_bytes());
        hash.update(request.as_bytes());
        let (mut trace, mut root) = ([0; 16], [0; 8]);
        let mut bytes = hash.finalize_xof();
        bytes.fill(&mut trace);
        bytes.fill(&mut root);
        Self { trace: TraceId::from_bytes(trace), root: SpanId::from_bytes(root) }
    }

    /// Whether it is among this share of all.
    fn is_among(self, share: f64) -> bool {
        let [.., a, b, c, d] = self.trace.to_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) < share * (f64::from(u32::MAX) + 1.0)
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Export {
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let ids = Ids::of(fields.text("user_id"), fields.text("request_id"));
        if ids.is_among(self.share) {
            let (started, events) = (SystemTime::now(), Vec::new());
            span.extensions_mut().insert(Open { started, ids, fields, events });
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else { return };
        let mut extensions = span.extensions_mut();
        let Some(open) = extensions.get_mut::<Open>() else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, attributes } = fields;
        open.events.push(Event::new(message, SystemTime::now(), attributes, 0));
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let open = span.extensions_mut().remove::<Open>();
        if let Some(open) = open {
            self.processor.on_end(open.end(span.name()));
        }
    }
}

impl Open {
    fn end(self, name: &'static str) -> SpanData {
        let Self { started, ids, mut fields, events } = self;
        let is_request = name == "request";
        let is_root = is_request && fields.text("attempt") == "first";
        let (id, parent) = if is_root { (ids.root, SpanId::INVALID) } else { (any_id(), ids.root) };
        let mut status = events.iter().flat_map(|event| &event.attributes);
        let status = status.rfind(|field| field.key.as_str() == "status").cloned();
        if let Some(status) = status {
            fields.attributes.push(KeyValue::new("http.response.status_code", status.value));
        }
        let mut told = SpanEvents::default();
        told.events = events;
        let state = TraceState::default();
        SpanData {
            span_context: SpanContext::new(ids.trace, id, TraceFlags::SAMPLED, false, state),
            parent_span_id: parent,
            parent_span_is_remote: !is_request,
            span_kind: if is_request { SpanKind::Server } else { SpanKind::Internal },
            name: name.into(),
            start_time: started,
            end_time: SystemTime::now(),
            attributes: fields.attributes,
            dropped_attributes_count: 0,
            events: told,
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("flashnode").build(),
        }
    }
}

fn any_id() -> SpanId {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    SpanId::from_bytes(random.to_be_bytes())
}

/// What a span or an event says.
#[derive(Default)]
struct Fields {
    message: String,
    attributes: Vec<KeyValue>,
}

impl Fields {
    fn text(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|field| field.key.as_str() == name);
        match found.map(|field| &field.value) {
            Some(opentelemetry::Value::String(text)) => text.as_str(),
            _ => "",
        }
    }

    fn add(&mut self, field: &Field, value: impl Into<opentelemetry::Value>) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.add(field, format!("{value:?}"));
        }
    }
}

/// Sends on a thread of its own: the SDK's has no runtime, and the node's is for buyers.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Runtime,
}

impl Client {
    fn new() -> Result<Self, HttpError> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("otlp").enable_all().build()?;
        let http = reqwest::Client::builder().no_proxy().timeout(SEND_MAX).build()?;
        Ok(Self { http, runtime })
    }
}

type Sent = Result<Response<Bytes>, HttpError>;

impl HttpClient for Client {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Sent> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let answer = http.execute(request.try_into()?).await?;
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            *response.body_mut() = answer.bytes().await?;
            Ok(response)
        });
        Box::pin(async move { sent.await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_request_on_every_node() {
        let ids = Ids::of("ann", "ann-1");
        assert_eq!(ids, Ids::of("ann", "ann-1"));
        for other in [Ids::of("ann", "ann-2"), Ids::of("bob", "ann-1"), Ids::of("anna", "nn-1")] {
            assert!(other.trace != ids.trace && other.root != ids.root, "{other:?}");
        }
        // A node of another build must come to them too.
        assert_eq!(ids.trace.to_string(), "cd01741e6e36169ae1d45bd6d7191b96");
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "these are told as they were given")]
    fn a_share_is_so_many_and_the_same_everywhere() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(share(None, None), 1.0);
        assert_eq!(share(some("parentbased_traceidratio"), some("0.25")), 0.25);
        assert_eq!(share(some("traceidratio"), some("much")), 1.0);
        assert_eq!(share(some("always_off"), some("1")), 0.0);
        let all: Vec<Ids> = (0..1_000).map(|at| Ids::of("ann", &format!("ann-{at}"))).collect();
        let count = |share| all.iter().filter(|ids| ids.is_among(share)).count();
        assert_eq!((count(0.0), count(1.0)), (0, 1_000));
        assert!((200..300).contains(&count(0.25)), "{}", count(0.25));
    }
}
