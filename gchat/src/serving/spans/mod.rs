//! OpenTelemetry spans: one of each request, and one of each call to the server behind.
//!
//! `context` is what a request says of the trace that it belongs to. `server` makes the spans
//! of requests, which `observe` begins and ends; `call` is the layer that makes those of calls.
//! `export` sends them to a collector, in the messages of `otlp`; `settings` says to which.
//!
//! The names are those of OpenTelemetry's
//! [conventions for HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-spans/) and
//! [for gRPC](https://opentelemetry.io/docs/specs/semconv/rpc/grpc/). As in the access log,
//! there is nothing of a request's query, of its headers but one, or of its body.

mod call;
mod context;
mod export;
mod otlp;
mod server;
mod settings;

use std::{
    borrow::Cow,
    sync::{Arc, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use google_chat::grpc_transcoding::{HttpRules, rpc::code_name};
use tonic::Code;

pub(crate) use self::{
    call::Traced,
    context::{TRACEPARENT, TRACESTATE},
    settings::TraceFlags,
};
pub(super) use self::{export::Counts, server::ServerSpan};
use self::{
    export::Queue,
    otlp::{Any, KeyValue, Span, Status, any::Value},
};
use super::access_log::shortened;

/// Records spans. Clones share the queue of those that are to be sent.
#[derive(Clone)]
pub(crate) struct Tracer(Arc<Shared>);

struct Shared {
    /// How many of the 2^56 random parts that a trace id can have lead to no record.
    threshold: u64,
    /// The methods that have names in spans.
    rules: RwLock<HttpRules>,
    /// The scheme of the server's URLs.
    scheme: &'static str,
    queue: Queue,
}

impl Tracer {
    /// Sends the spans so far, as long as that takes no more than a moment.
    pub(super) async fn finish(&self) {
        self.0.queue.finish().await;
    }

    /// Names the methods of another schema from now on.
    pub(super) fn learn(&self, rules: &HttpRules) {
        *self.0.rules.write().unwrap_or_else(PoisonError::into_inner) = rules.clone();
    }

    pub(super) fn counts(&self) -> Arc<Counts> {
        self.0.queue.counts()
    }

    /// Whether a trace that begins here is recorded, by the 56 bits of its id that are random
    /// in every system, so that systems with the same share choose the same traces.
    fn samples(&self, trace: &[u8; 16]) -> bool {
        let [_, bytes @ ..] = trace.last_chunk::<8>().unwrap_or(&[0; 8]);
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) >= self.0.threshold
    }

    /// A span of a gRPC call, with the name of its method. Whoever asks for methods that are
    /// not there makes no names of them.
    fn rpc_span(&self, path: &str) -> Span {
        let rules = self.0.rules.read().unwrap_or_else(PoisonError::into_inner).clone();
        let known = rules.method(path).map(|method| &method.method().path()[1..]);
        let mut span = Span { name: known.unwrap_or("grpc").to_owned(), ..Span::default() };
        span.set("rpc.system.name", "grpc");
        span.set("rpc.method", known.unwrap_or("_OTHER"));
        if known.is_none() {
            span.set("rpc.method_original", shortened(path.trim_start_matches('/')));
        }
        span
    }
}

impl Span {
    fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.attributes.push(KeyValue::new(key, value));
    }

    /// How the call ended, and whether that is an error.
    fn set_code(&mut self, code: Code, is_error: bool) {
        self.set("rpc.response.status_code", code_name(code));
        if is_error {
            self.set_error(code_name(code));
        }
    }

    fn set_error(&mut self, kind: impl Into<Value>) {
        self.set("error.type", kind);
        self.status = Some(Status { code: otlp::ERROR });
    }
}

impl KeyValue {
    fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: Some(Any { value: Some(value.into()) }) }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Cow<'_, str>> for Value {
    fn from(text: Cow<'_, str>) -> Self {
        Self::Text(text.into_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Int(number.into())
    }
}

/// A time in nanoseconds since 1970.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Random bytes; `None` if the system has none.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::getrandom(&mut bytes).ok().map(|()| bytes)
}
