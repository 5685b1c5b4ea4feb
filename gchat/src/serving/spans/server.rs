//! The span of a request.

use http::{Request, Version, header::HOST, uri::Authority};
use tonic::Code;

use super::{
    Tracer,
    context::{Context, RANDOM, SAMPLED, TRACEPARENT, TRACESTATE},
    nanos,
    otlp::{REMOTE_PARENT, SERVER, Span},
    random,
};
use crate::serving::access_log::{Entry, shortened};

/// The methods of HTTP that have names in spans, as OpenTelemetry knows them.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// How long the state of a trace may be that a span keeps, in bytes.
const STATE: usize = 512;

/// A request whose span is recorded.
pub(in crate::serving) struct ServerSpan {
    tracer: Tracer,
    context: Context,
    parent: Option<[u8; 8]>,
    state: String,
    /// What the client calls the server.
    server: Option<Authority>,
}

impl ServerSpan {
    /// Makes the request's `traceparent` that of a span of its own, for all to which it leads.
    /// `None` if that span is not recorded: the trace is not, or the system has no random
    /// numbers.
    pub(in crate::serving) fn begin<B>(tracer: &Tracer, request: &mut Request<B>) -> Option<Self> {
        let parent = Context::of(request.headers());
        if parent.is_some_and(|parent| !parent.is_sampled()) {
            return None;
        }
        let span = random()?;
        let context = match parent {
            Some(parent) => Context { span, ..parent },
            None => {
                let trace = random()?;
                Context { trace, span, flags: if tracer.samples(&trace) { RANDOM | SAMPLED } else { RANDOM } }
            }
        };
        let headers = request.headers_mut();
        headers.insert(TRACEPARENT, context.header());
        if parent.is_none() {
            // It belongs to a trace that is not known.
            headers.remove(TRACESTATE);
        }
        if !context.is_sampled() {
            return None;
        }
        let state: Vec<_> = headers.get_all(TRACESTATE).iter().filter_map(|line| line.to_str().ok()).collect();
        // More need not be kept (W3C Trace Context, section 3.3.1.5), and spans wait in memory.
        let state = Some(state.join(",")).filter(|state| state.len() <= STATE).unwrap_or_default();
        let host = || Authority::try_from(request.headers().get(HOST)?.as_bytes()).ok();
        Some(Self {
            tracer: tracer.clone(),
            context,
            parent: parent.map(|parent| parent.span),
            state,
            server: request.uri().authority().cloned().or_else(host),
        })
    }

    /// Records what is known at the end of the request. `route` is the path template that it
    /// was answered by.
    pub(in crate::serving) fn end(self, entry: &Entry<'_>, is_grpc: bool, route: Option<&str>) {
        let mut span = match is_grpc {
            true => self.tracer.rpc_span(entry.path),
            false => self.http_span(entry, route),
        };
        if let Some(server) = &self.server {
            span.set("server.address", shortened(server.host()));
            if let Some(port) = server.port_u16() {
                span.set("server.port", port);
            }
        }
        if let Some(peer) = entry.peer {
            let address = peer.ip().to_canonical().to_string();
            span.set("client.address", address.clone());
            span.set("network.peer.address", address);
            span.set("network.peer.port", peer.port());
        }
        if is_grpc {
            // What the others say is up to the caller.
            let code = entry.code.unwrap_or(Code::Unknown);
            let is_error = matches!(
                code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Unimplemented
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            );
            span.set_code(code, is_error);
        } else if let Some(status) = entry.status.filter(|status| *status >= 500) {
            span.set_error(status.to_string());
        } else if entry.cancelled {
            span.set_error("cancelled");
        }
        span.trace_id = self.context.trace.to_vec();
        span.span_id = self.context.span.to_vec();
        span.parent_span_id = self.parent.map_or_else(Vec::new, |parent| parent.to_vec());
        span.trace_state = self.state;
        span.flags = REMOTE_PARENT | u32::from(self.context.flags);
        span.kind = SERVER;
        span.start_time_unix_nano = nanos(entry.begun);
        span.end_time_unix_nano = nanos(entry.begun + entry.took);
        self.tracer.0.queue.push(span);
    }

    fn http_span(&self, entry: &Entry<'_>, route: Option<&str>) -> Span {
        let known = METHODS.iter().find(|known| **known == entry.method.as_str()).copied();
        let name = known.unwrap_or("HTTP");
        let name = route.map_or_else(|| name.to_owned(), |route| format!("{name} {route}"));
        let mut span = Span { name, ..Span::default() };
        span.set("http.request.method", known.unwrap_or("_OTHER"));
        if known.is_none() {
            span.set("http.request.method_original", shortened(entry.method.as_str()));
        }
        span.set("url.scheme", self.tracer.0.scheme);
        span.set("url.path", shortened(entry.path));
        if let Some(route) = route {
            span.set("http.route", route);
        }
        if let Some(status) = entry.status {
            span.set("http.response.status_code", status);
        }
        let version = match entry.version {
            Version::HTTP_2 => "2",
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        };
        span.set("network.protocol.version", version);
        if !entry.user_agent.is_empty() {
            span.set("user_agent.original", shortened(entry.user_agent));
        }
        span
    }
}
