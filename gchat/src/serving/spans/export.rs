//! Sends spans to a collector, many at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use google_chat::grpc_transcoding::{bytes::Bytes, client::Grpc, rpc};
use http::{HeaderMap, HeaderValue, Request, header::CONTENT_TYPE, header::TE};
use http_body_util::{BodyExt, Full, Limited};
use prost::Message;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tonic::{Code, Status, body::Body};
use tower::ServiceExt;

use super::otlp::{
    EXPORT, ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, Resource, ResourceSpans,
    ScopeSpans, Span,
};
use crate::output;

/// How many spans wait at most to be sent. Requests never wait: what comes beyond that is
/// counted, and dropped. This and the next two are the defaults of OpenTelemetry's SDKs.
const WAITING: usize = 2_048;

/// How many are sent at a time.
const BATCH: usize = 512;

/// How long they wait for others, unless something else is set.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// How long sending may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often they are sent to a collector that cannot take them now; the wait between is a
/// second first, and doubles.
const ATTEMPTS: u32 = 4;

/// How long the last spans may take to be sent when the server ends.
const LAST: Duration = Duration::from_secs(2);

/// The longest answer of a collector.
const ANSWER: usize = 64 * 1024;

/// The version of the names in spans.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.42.0";

/// What has become of spans.
#[derive(Default)]
pub(in crate::serving) struct Counts {
    pub(in crate::serving) exported: AtomicU64,
    pub(in crate::serving) dropped: AtomicU64,
}

/// Where spans wait to be sent.
pub(super) struct Queue {
    items: mpsc::Sender<Item>,
    counts: Arc<Counts>,
}

enum Item {
    Span(Box<Span>),
    /// What is dropped once all spans before it are sent, or given up.
    Sent(oneshot::Sender<()>),
}

/// What sends them.
pub(super) struct Exporter {
    pub(super) collector: Grpc,
    /// The collector's URL, as it was given.
    pub(super) url: String,
    /// What else is sent with each batch, such as a key.
    pub(super) headers: HeaderMap,
    pub(super) resource: Resource,
    /// How long spans wait for others.
    pub(super) every: Duration,
}

impl Queue {
    pub(super) fn to(exporter: Exporter) -> Self {
        let (items, waiting) = mpsc::channel(WAITING);
        let counts = Arc::<Counts>::default();
        tokio::spawn(exporter.run(waiting, Arc::clone(&counts)));
        Self { items, counts }
    }

    pub(super) fn push(&self, span: Span) {
        if self.items.try_send(Item::Span(Box::new(span))).is_err() {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    pub(super) async fn finish(&self) {
        let (sent, all) = oneshot::channel();
        let finished = async {
            let _ = self.items.send(Item::Sent(sent)).await;
            let _ = all.await;
        };
        let _ = timeout(LAST, finished).await;
    }
}

impl Exporter {
    /// Sends spans as they come, until there can be no more.
    async fn run(self, mut items: mpsc::Receiver<Item>, counts: Arc<Counts>) {
        let (mut spans, mut failing) = (Vec::new(), false);
        while let Some(first) = items.recv().await {
            let mut next = Some(first);
            let mut sent = None;
            let more = async {
                while let Some(item) = next.take() {
                    match item {
                        Item::Span(span) => spans.push(*span),
                        Item::Sent(sender) => sent = Some(sender),
                    }
                    if sent.is_none() && spans.len() < BATCH {
                        next = items.recv().await;
                    }
                }
            };
            let _ = timeout(self.every, more).await;
            let count = spans.len() as u64;
            if count > 0 {
                match self.export(std::mem::take(&mut spans)).await {
                    Ok(rejected) => {
                        counts.exported.fetch_add(count - rejected, Relaxed);
                        counts.dropped.fetch_add(rejected, Relaxed);
                        failing = false;
                    }
                    Err(status) => {
                        counts.dropped.fetch_add(count, Relaxed);
                        if !failing {
                            output::say(&format!(
                                "warning: spans cannot be sent to {}: {}: {}; they are missing there until they can be",
                                self.url,
                                rpc::code_name(status.code()),
                                status.message()
                            ));
                        }
                        failing = true;
                    }
                }
            }
            drop(sent);
        }
    }

    /// Sends spans; how many of them the collector refuses.
    async fn export(&self, spans: Vec<Span>) -> Result<u64, Status> {
        let count = spans.len() as u64;
        let scope = InstrumentationScope { name: "gchat".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let of_scope = ScopeSpans { scope: Some(scope), spans };
        let of_resource = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![of_scope],
            schema_url: SCHEMA.to_owned(),
        };
        let request = ExportTraceServiceRequest { resource_spans: vec![of_resource] };
        let mut message = rpc::room(request.encoded_len());
        request.encode(&mut message).map_err(|error| Status::internal(error.to_string()))?;
        let message = rpc::frame(message)?;
        let (mut attempt, mut wait) = (1, Duration::from_secs(1));
        loop {
            let late = |_| Status::deadline_exceeded(format!("there is no answer within {PATIENCE:?}"));
            match timeout(PATIENCE, self.send(message.clone())).await.map_err(late).flatten() {
                Err(status) if attempt < ATTEMPTS && passes(status.code()) => sleep(wait).await,
                sent => return sent.map(|refused| refused.min(count)),
            }
            (attempt, wait) = (attempt + 1, wait * 2);
        }
    }

    async fn send(&self, message: Bytes) -> Result<u64, Status> {
        let mut call = Request::post(EXPORT).body(Body::new(Full::new(message))).unwrap_or_default();
        *call.headers_mut() = self.headers.clone();
        call.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        call.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        let Ok(answer) = self.collector.clone().oneshot(call).await;
        let (head, body) = answer.into_parts();
        let early = rpc::status(&head.headers);
        let body = Limited::new(body, ANSWER).collect().await.map_err(|error| Status::internal(error.to_string()))?;
        let status = early.or_else(|| rpc::status(body.trailers()?));
        match status.unwrap_or_else(|| Status::unknown("the answer has no status")) {
            status if status.code() == Code::Ok => {}
            status => return Err(status),
        }
        let answer = ExportTraceServiceResponse::decode(rpc::unary(body.to_bytes(), None, ANSWER)?);
        let answer = answer.map_err(|error| Status::internal(format!("the answer cannot be read: {error}")))?;
        let Some(partial) = answer.partial_success.filter(|partial| partial.rejected_spans > 0) else { return Ok(0) };
        output::say(&format!(
            "warning: {} refuses {} spans: {}",
            self.url, partial.rejected_spans, partial.error_message
        ));
        Ok(partial.rejected_spans.unsigned_abs())
    }
}

/// Whether what a collector cannot take now it may take later, by OTLP. RESOURCE_EXHAUSTED mostly
/// is about the size, which stays the same.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use google_chat::grpc_transcoding::client::Origin;

    use super::*;

    #[tokio::test]
    async fn spans_beyond_what_may_wait_are_dropped_and_counted() {
        let url = "http://127.0.0.1:9".to_owned();
        let collector = Grpc::new(Origin::parse(&url).unwrap()).unwrap();
        let (headers, resource) = (HeaderMap::new(), Resource::default());
        // On the one thread of this test nothing is taken from the queue meanwhile.
        let queue = Queue::to(Exporter { collector, url, headers, resource, every: EVERY });
        (0..WAITING + 3).for_each(|_| queue.push(Span::default()));
        assert_eq!(queue.counts().dropped.load(Relaxed), 3);
    }
}
