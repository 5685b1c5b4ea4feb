//! Counts of requests, as Prometheus reads them.
//!
//! gRPC calls have the names of
//! [go-grpc-middleware](https://github.com/grpc-ecosystem/go-grpc-middleware/tree/main/providers/prometheus),
//! which most dashboards know; other requests have those of
//! [OpenTelemetry](https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
//! What is counted apart are the methods and routes of the schema, and no others: whoever
//! asks for paths that are not there makes no more of them.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use google_chat::grpc_transcoding::{Binding, HttpRules};
use http::Method;

use super::spans::Counts;

/// The upper bounds of the histograms, in seconds: those that OpenTelemetry recommends.
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The methods of HTTP that are named in metrics; all others are `_OTHER`.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "_OTHER"];

/// The codes of gRPC as gRPC's own libraries for Go spell them, from 0 to 16.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// What a request is counted as: an index into the subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject(usize);

/// What is counted apart.
struct Known {
    labels: String,
    is_grpc: bool,
    started: AtomicU64,
}

#[derive(Clone, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

/// How many subjects there may be. A schema that changes adds to them, and whose counts were
/// there before are kept.
const SUBJECTS: usize = 100_000;

/// All that is counted apart.
#[derive(Default)]
struct Subjects {
    known: Vec<Known>,
    /// gRPC's methods by their paths.
    methods: HashMap<String, Subject>,
    /// The HTTP methods of each path template.
    routes: HashMap<String, Vec<(Method, Subject)>>,
}

/// All counts of a server.
pub(crate) struct Metrics {
    subjects: RwLock<Subjects>,
    /// By the subject, and the code of gRPC or the status of HTTP.
    ended: Mutex<HashMap<(Subject, u16), Histogram>>,
    under_way: AtomicI64,
    /// What has become of spans, where they are recorded.
    spans: Option<Arc<Counts>>,
    begun: SystemTime,
}

impl Metrics {
    pub(super) fn new(rules: &HttpRules, spans: Option<Arc<Counts>>) -> Self {
        let mut subjects = Subjects::default();
        // The first ones are those of unknown methods and routes.
        subjects.add(true, r#"grpc_type="unknown",grpc_service="unknown",grpc_method="unknown""#.to_owned());
        for method in METHODS {
            subjects.add(false, format!(r#"http_request_method="{method}",http_route="""#));
        }
        subjects.learn(rules);
        Self {
            subjects: RwLock::new(subjects),
            ended: Mutex::default(),
            under_way: AtomicI64::new(0),
            spans,
            begun: SystemTime::now(),
        }
    }

    /// Counts the methods and routes of another schema apart, too.
    pub(super) fn learn(&self, rules: &HttpRules) {
        self.subjects.write().unwrap_or_else(PoisonError::into_inner).learn(rules);
    }

    fn subjects(&self) -> RwLockReadGuard<'_, Subjects> {
        self.subjects.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A gRPC call.
    pub(super) fn method(&self, path: &str) -> Subject {
        self.subjects().methods.get(path).copied().unwrap_or(Subject(0))
    }

    /// Another request, and the binding that it was answered by, if there is one.
    pub(super) fn route(&self, method: &Method, binding: Option<&Binding>) -> Subject {
        let subjects = self.subjects();
        let verb = binding.and_then(Binding::http_method);
        let known = binding.and_then(|binding| subjects.routes.get(binding.template().as_str()));
        let found = known.and_then(|known| known.iter().find(|(known, _)| Some(known) == verb));
        let other = || METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
        found.map_or_else(|| Subject(1 + other()), |(_, subject)| *subject)
    }

    pub(super) fn start(&self, call: Option<Subject>) {
        self.under_way.fetch_add(1, Relaxed);
        if let Some(Subject(at)) = call {
            self.subjects().known[at].started.fetch_add(1, Relaxed);
        }
    }

    /// `outcome` is gRPC's code or HTTP's status.
    pub(super) fn end(&self, subject: Subject, outcome: u16, took: Duration) {
        self.under_way.fetch_sub(1, Relaxed);
        let seconds = took.as_secs_f64();
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram = ended.entry((subject, outcome)).or_default();
        histogram.count += 1;
        histogram.sum += seconds;
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            histogram.buckets[bucket] += 1;
        }
    }

    /// All of it in Prometheus' text format.
    pub(super) fn text(&self) -> String {
        let mut ended: Vec<_> = {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.iter().map(|((subject, outcome), histogram)| (subject.0, *outcome, histogram.clone())).collect()
        };
        ended.sort_by_key(|(subject, outcome, _)| (*subject, *outcome));
        let subjects = self.subjects();
        let known = &subjects.known;
        let grpc = |at: &usize| known[*at].is_grpc;
        let mut text = Text(String::new());
        text.head("grpc_server_started_total", "counter", "gRPC calls that have begun.");
        for known in known.iter().filter(|known| known.is_grpc) {
            let started = known.started.load(Relaxed);
            if started > 0 {
                text.line("grpc_server_started_total", &known.labels, &started);
            }
        }
        text.head("grpc_server_handled_total", "counter", "gRPC calls that have ended, by their codes.");
        for (at, code, histogram) in ended.iter().filter(|(at, ..)| grpc(at)) {
            let code = CODES.get(usize::from(*code)).unwrap_or(&"Unknown");
            let labels = format!(r#"{},grpc_code="{code}""#, known[*at].labels);
            text.line("grpc_server_handled_total", &labels, &histogram.count);
        }
        text.head("grpc_server_handling_seconds", "histogram", "How long gRPC calls took.");
        let calls: Vec<_> = ended.iter().filter(|(at, ..)| grpc(at)).collect();
        for of_one in calls.chunk_by(|(a, ..), (b, ..)| a == b) {
            let mut all = Histogram::default();
            of_one.iter().for_each(|(_, _, histogram)| all.merge(histogram));
            text.histogram("grpc_server_handling_seconds", &known[of_one[0].0].labels, &all);
        }
        text.head("http_server_request_duration_seconds", "histogram", "How long requests took that are not gRPC.");
        for (at, status, histogram) in ended.iter().filter(|(at, ..)| !grpc(at)) {
            let labels = format!(r#"{},http_response_status_code="{status}""#, known[*at].labels);
            text.histogram("http_server_request_duration_seconds", &labels, histogram);
        }
        text.head("http_server_active_requests", "gauge", "Requests under way, also those of gRPC.");
        text.line("http_server_active_requests", "", &self.under_way.load(Relaxed));
        if let Some(spans) = &self.spans {
            text.head("otlp_spans_exported_total", "counter", "OpenTelemetry spans that the collector has taken.");
            text.line("otlp_spans_exported_total", "", &spans.exported.load(Relaxed));
            text.head("otlp_spans_dropped_total", "counter", "OpenTelemetry spans that were not sent, or refused.");
            text.line("otlp_spans_dropped_total", "", &spans.dropped.load(Relaxed));
        }
        self.process(&mut text);
        text.0
    }

    /// What the operating system says of this process, where it does.
    fn process(&self, text: &mut Text) {
        let begun = self.begun.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        text.head("process_start_time_seconds", "gauge", "When the server was started, since 1970.");
        text.line("process_start_time_seconds", "", &begun);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        if let Some(kilobytes) = resident.and_then(|size| size.parse::<u64>().ok()) {
            text.head("process_resident_memory_bytes", "gauge", "Memory that is held.");
            text.line("process_resident_memory_bytes", "", &(kilobytes * 1_024));
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            text.head("process_open_fds", "gauge", "Open file descriptors.");
            text.line("process_open_fds", "", &open.count());
        }
        if let Some(seconds) = cpu_seconds() {
            text.head("process_cpu_seconds_total", "counter", "Time that processors have spent.");
            text.line("process_cpu_seconds_total", "", &seconds);
        }
    }
}

/// Processor time of this process: user and system, in ticks of 10 ms as Linux has them.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold anything, and ends with the last parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / 100.0)
}

impl Subjects {
    fn add(&mut self, is_grpc: bool, labels: String) -> Subject {
        self.known.push(Known { labels, is_grpc, started: AtomicU64::new(0) });
        Subject(self.known.len() - 1)
    }

    fn learn(&mut self, rules: &HttpRules) {
        for bindings in rules.methods() {
            let method = bindings.method();
            let kind = match (method.is_client_streaming(), method.is_server_streaming()) {
                (false, false) => "unary",
                (false, true) => "server_stream",
                (true, false) => "client_stream",
                (true, true) => "bidi_stream",
            };
            let (service, name) = method.path()[1..].split_once('/').unwrap_or_default();
            let labels = format!(r#"grpc_type="{kind}",grpc_service="{service}",grpc_method="{name}""#);
            let before = self.methods.get(method.path());
            if before.is_none_or(|Subject(at)| self.known[*at].labels != labels) && self.known.len() < SUBJECTS {
                let subject = self.add(true, labels);
                self.methods.insert(method.path().to_owned(), subject);
            }
            for binding in bindings.bindings() {
                let Some(verb) = binding.http_method() else { continue };
                let route = binding.template().as_str();
                let is_known = self.routes.get(route).is_some_and(|known| known.iter().any(|(known, _)| known == verb));
                if is_known || self.known.len() >= SUBJECTS {
                    continue;
                }
                let labels = format!(r#"http_request_method="{verb}",http_route="{}""#, escaped(route));
                let subject = self.add(false, labels);
                self.routes.entry(route.to_owned()).or_default().push((verb.clone(), subject));
            }
        }
    }
}

impl Histogram {
    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.buckets.iter_mut().zip(other.buckets).for_each(|(to, more)| *to += more);
    }
}

/// Prometheus' text format, version 0.0.4.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: &dyn std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            _ => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(histogram.buckets) {
            below += count;
            self.line(&format!("{name}_bucket"), &format!(r#"{labels},le="{bound}""#), &below);
        }
        self.line(&format!("{name}_bucket"), &format!(r#"{labels},le="+Inf""#), &histogram.count);
        self.line(&format!("{name}_sum"), labels, &histogram.sum);
        self.line(&format!("{name}_count"), labels, &histogram.count);
    }
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_schema_is_counted_together() {
        let metrics = Metrics::new(google_chat::Client::http_rules(), None);
        let known = metrics.method("/google.chat.v1.ChatService/GetSpace");
        for (subject, outcome, millis) in [
            (known, 0, 4),
            (known, 0, 20),
            (known, 5, 20_000),
            (metrics.method("/a.B/C"), 12, 1),
            (metrics.method("/a.B/D"), 12, 1),
        ] {
            metrics.start(Some(subject));
            metrics.end(subject, outcome, Duration::from_millis(millis));
        }
        let rules = google_chat::Client::http_rules();
        let binding = &rules.method("/google.chat.v1.ChatService/GetSpace").unwrap().bindings()[0];
        for (verb, binding, status) in
            [(Method::GET, Some(binding), 200), (Method::HEAD, Some(binding), 200), (Method::PUT, None, 404)]
        {
            metrics.start(None);
            metrics.end(metrics.route(&verb, binding), status, Duration::from_millis(1));
        }
        metrics.start(None);
        let text = metrics.text();
        let get = r#"grpc_type="unary",grpc_service="google.chat.v1.ChatService",grpc_method="GetSpace""#;
        let other = r#"grpc_type="unknown",grpc_service="unknown",grpc_method="unknown""#;
        for line in [
            format!("grpc_server_started_total{{{get}}} 3"),
            format!("grpc_server_handled_total{{{get},grpc_code=\"OK\"}} 2"),
            format!("grpc_server_handled_total{{{get},grpc_code=\"NotFound\"}} 1"),
            format!("grpc_server_handled_total{{{other},grpc_code=\"Unimplemented\"}} 2"),
            format!("grpc_server_handling_seconds_bucket{{{get},le=\"0.005\"}} 1"),
            format!("grpc_server_handling_seconds_bucket{{{get},le=\"10\"}} 2"),
            format!("grpc_server_handling_seconds_bucket{{{get},le=\"+Inf\"}} 3"),
            format!("grpc_server_handling_seconds_sum{{{get}}} 20.024"),
            r#"http_server_request_duration_seconds_count{http_request_method="GET",http_route="/v1/{name=spaces/*}",http_response_status_code="200"} 2"#.to_owned(),
            r#"http_server_request_duration_seconds_count{http_request_method="PUT",http_route="",http_response_status_code="404"} 1"#.to_owned(),
            "http_server_active_requests 1".to_owned(),
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert!(!text.contains("a.B"), "{text}");
    }
}
