//! The spans of calls, as a subscriber of the `tracing` crate gets them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use google_chat::{Client, Credentials, Space, Wire, layer::RetryPolicy};
use google_chat_emulator::{Emulator, Fault};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_core::span::Current;

/// A span's name and fields.
type SpanSeen = (String, BTreeMap<String, String>);

/// The spans, in the order in which they began.
#[derive(Clone, Default)]
struct Seen {
    spans: Arc<Mutex<Vec<SpanSeen>>>,
    metadata: Arc<Mutex<Vec<&'static Metadata<'static>>>>,
    entered: Arc<Mutex<Vec<Id>>>,
    events: Arc<AtomicU64>,
}

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Subscriber for Seen {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("google_chat")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = BTreeMap::new();
        span.record(&mut Fields(&mut fields));
        let mut spans = self.spans.lock().unwrap();
        spans.push((span.metadata().name().to_owned(), fields));
        self.metadata.lock().unwrap().push(span.metadata());
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut self.spans.lock().unwrap()[span.into_u64() as usize - 1].1));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, span: &Id) {
        self.entered.lock().unwrap().push(span.clone());
    }

    fn exit(&self, span: &Id) {
        let mut entered = self.entered.lock().unwrap();
        let last = entered.iter().rposition(|one| one == span).unwrap();
        entered.remove(last);
    }

    fn current_span(&self) -> Current {
        match self.entered.lock().unwrap().last() {
            Some(span) => Current::new(span.clone(), self.metadata.lock().unwrap()[span.into_u64() as usize - 1]),
            None => Current::none(),
        }
    }
}

#[test]
fn each_call_and_attempt_has_a_span_without_secrets() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (wire, version) in [(Wire::Grpc, "2"), (Wire::HttpJson, "1.1")] {
        let seen = Seen::default();
        let calls = async {
            let emulator = Emulator::builder().start().await.unwrap();
            emulator.configure(|settings| settings.shortcuts = true);
            let retry = RetryPolicy::default().with_initial_backoff(Duration::from_millis(1));
            let token = Credentials::token("user:secret@example.com").unwrap();
            let chat = Client::builder().endpoint(emulator.endpoint()).wire(wire).retry(retry).credentials(token);
            let chat = chat.build().unwrap();
            emulator.fail_next(Fault::Unavailable);
            chat.create_space(Space::named("Launch room")).await.unwrap();
            chat.create_space(Space::named("Launch room")).await.unwrap_err();
            emulator.address().port().to_string()
        };
        let port = tracing::subscriber::with_default(seen.clone(), || runtime.block_on(calls));
        let spans = seen.spans.lock().unwrap().clone();
        let names: Vec<_> = spans.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["call", "attempt", "attempt", "call", "attempt"], "{wire}");
        let field = |span: usize, name: &str| spans[span].1.get(name).map(String::as_str);
        for (span, _) in spans.iter().enumerate() {
            assert_eq!(field(span, "otel.name"), Some("google.chat.v1.ChatService/CreateSpace"), "{wire}");
            assert_eq!(field(span, "server.address"), Some("127.0.0.1"), "{wire}");
            assert_eq!(field(span, "server.port"), Some(port.as_str()), "{wire}");
        }
        assert_eq!(field(0, "rpc.system"), Some("grpc"));
        assert_eq!(field(0, "rpc.service"), Some("google.chat.v1.ChatService"));
        assert_eq!(field(0, "rpc.method"), Some("CreateSpace"));
        let codes: Vec<_> = (0..5).map(|span| field(span, "rpc.grpc.status_code").unwrap()).collect();
        assert_eq!(codes, ["0", "14", "0", "6", "6"], "{wire}");
        assert_eq!(field(0, "error.type"), None, "{wire}");
        assert_eq!(field(3, "error.type"), Some("ALREADY_EXISTS"), "{wire}");
        assert_eq!(field(2, "http.request.resend_count"), Some("1"), "{wire}");
        assert_eq!(field(2, "http.response.status_code"), Some("200"), "{wire}");
        assert_eq!(field(2, "http.request.method"), Some("POST"), "{wire}");
        assert_eq!(field(2, "network.protocol.version"), Some(version), "{wire}");
        let template = (wire == Wire::HttpJson).then_some("/v1/spaces");
        assert_eq!(field(2, "url.template"), template, "{wire}");
        let text = format!("{spans:?}");
        assert!(!text.contains("secret") && !text.contains("Launch room"), "{text}");
        assert_eq!(seen.events.load(Ordering::Relaxed), 0, "{wire}: nothing is logged");
    }
}
