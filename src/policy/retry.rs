use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use grpc_transcoding::{HttpRules, MethodDescriptor};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::RETRY_AFTER, request, response};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};

use super::{
    Repeatable,
    authorize::Renewal,
    service::{self, Inner, service},
    take,
};
use crate::{
    transcoding::status,
    transport::{self, Broken, GRPC_TIMEOUT, parse_timeout},
};

/// The metadata that says how often a call was made before: on a call to the
/// server, on an answer to the caller.
///
/// Source: [gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md),
/// "Exposed Retry Metadata".
pub const ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// When a call is made again. The default is 5 attempts within 30 seconds; put
/// another among a call's extensions to have it for that call.
///
/// UNAVAILABLE is tried again ([AIP-194](https://google.aip.dev/194)) where the
/// server says so, or where it cannot have received the call; where a
/// connection broke, or an attempt took too long, only if the call is
/// [`Repeatable`], as those of a method whose first HTTP binding is a GET always
/// are. Where it has a request id, it is also made again after an answer that
/// does not say whether it was carried out, as often as
/// [`unclear`](Self::unclear) says. RESOURCE_EXHAUSTED is tried again when the server says, in
/// `Retry-After` or `RetryInfo`, or as the others.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often a call is made, at most. 1: never again, but for the one renewal
    /// of a token that is refused.
    pub attempts: u32,
    /// How long the first wait is, at most: waits are random below a bound.
    pub initial: Duration,
    /// What that bound is multiplied by for each further wait.
    pub multiplier: f64,
    /// What it grows to.
    pub maximum: Duration,
    /// How long a call may take, with its token and all its attempts; a deadline
    /// that the stub sets comes before.
    pub total: Duration,
    /// How long one attempt may take, where the call is [`Repeatable`].
    pub attempt: Duration,
    /// How much longer than `total` a call may wait for quota.
    pub quota_wait: Duration,
    /// How many of the attempts, at most, may follow an INTERNAL, UNKNOWN, ABORTED,
    /// DATA_LOSS or CANCELLED. These do not say whether the call was carried out,
    /// which does no harm only where the call has a request id; all other calls
    /// are not made again. One by default: it tells a fault that has passed from
    /// one that lasts, as AIP-194 takes all of these to be.
    pub unclear: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            initial: Duration::from_secs(1),
            multiplier: 1.3,
            maximum: Duration::from_secs(10),
            total: Duration::from_secs(30),
            attempt: Duration::from_secs(10),
            quota_wait: Duration::ZERO,
            unclear: 1,
        }
    }
}

impl RetryPolicy {
    /// One attempt, and 30 seconds for it.
    pub fn never() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// The wait after so many attempts.
    fn wait(&self, attempts: u32) -> Duration {
        let bound = self.initial.as_secs_f64() * self.multiplier.powi(attempts.saturating_sub(1).min(1_000) as i32);
        let bound = bound.min(self.maximum.as_secs_f64());
        let mut random = [0; 8];
        // Without randomness the whole wait does.
        let share = match getrandom::getrandom(&mut random) {
            Ok(()) => u64::from_le_bytes(random) as f64 / u64::MAX as f64,
            Err(_) => 1.0,
        };
        Duration::try_from_secs_f64(bound * share).unwrap_or(self.maximum)
    }
}

/// A tower service that makes a unary call again where that is safe and may
/// help, by its [`RetryPolicy`], and holds its deadline over all of it.
#[derive(Clone, Debug)]
pub struct Retry<S> {
    inner: S,
    shared: Arc<(HttpRules, RetryPolicy)>,
}

impl<S> Retry<S> {
    /// Makes calls of the methods of `schema` again. Streams, and methods that
    /// the schema does not have, pass through.
    pub fn new(inner: S, schema: HttpRules, policy: RetryPolicy) -> Self {
        Self { inner, shared: Arc::new((schema, policy)) }
    }
}

service!(Retry);

impl<S> Retry<S> {
    fn through<I: Inner>(&self, mut inner: I, mut call: Request<Body>) -> service::Answer {
        let (schema, policy) = &*self.shared;
        let method = schema.method(call.uri().path());
        let streams = |method: &MethodDescriptor| method.is_client_streaming() || method.is_server_streaming();
        let Some(method) = method.filter(|method| !streams(method.method())) else {
            return Box::pin(inner.call(call));
        };
        let has_id = call.extensions().get::<Repeatable>().is_some();
        // A GET only reads.
        if method.bindings().first().is_some_and(|first| first.http_method() == Some(&http::Method::GET)) {
            call.extensions_mut().insert(Repeatable);
        }
        let policy = call.extensions().get::<RetryPolicy>().unwrap_or(policy).clone();
        Box::pin(async move {
            Ok(match take(call).await {
                Ok((head, frames)) => attempts(inner, head, frames, &policy, has_id).await,
                Err(status) => status.into_http(),
            })
        })
    }
}

/// Makes a call until it is answered for good.
async fn attempts<S: Inner>(
    mut inner: S,
    head: request::Parts,
    frames: Bytes,
    policy: &RetryPolicy,
    has_id: bool,
) -> Response<Body> {
    let asked = head.headers.get(&GRPC_TIMEOUT).and_then(parse_timeout);
    let mut total = asked.unwrap_or(policy.total);
    let begun = Instant::now();
    // A limit beyond what the clock can say is none.
    let mut end = begun.checked_add(total);
    let repeatable = head.extensions.get::<Repeatable>().is_some();
    let mut rejected: Option<HeaderValue> = None;
    let mut renewed = false;
    // Why an attempt before failed, if it was not for its time.
    let mut before: Option<String> = None;
    // How often the call was made, and how often that counts.
    let (mut made, mut counted) = (0, 0);
    let mut unclear = if has_id { policy.unclear } else { 0 };
    let mut patience = if asked.is_none() { policy.quota_wait } else { Duration::ZERO };
    loop {
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        let limit = if repeatable && policy.attempts > 1 { left.min(policy.attempt) } else { left };
        let mut call = Request::from_parts(head.clone(), Body::new(Full::new(frames.clone())));
        // Eight digits of milliseconds are more than a day. Rounded up, so that nobody
        // below sees the limit pass before it has.
        let millis = limit.as_micros().div_ceil(1_000).clamp(1, 99_999_999);
        if let Ok(value) = HeaderValue::try_from(format!("{millis}m")) {
            call.headers_mut().insert(&GRPC_TIMEOUT, value);
        }
        if made > 0 {
            call.headers_mut().insert(ATTEMPTS, HeaderValue::from(made));
        }
        if let Some(rejected) = rejected.take() {
            call.extensions_mut().insert(Renewal::Wanted(rejected));
        }
        made += 1;
        counted += 1;
        let sent = Instant::now();
        let answer = match limit {
            Duration::MAX => Ok(attempt(&mut inner, call).await),
            _ => tokio::time::timeout(limit, attempt(&mut inner, call)).await,
        };
        let mut answer = answer.unwrap_or_else(|_| Answer::late(limit));
        // Whoever saw it pass, it is the limit of the whole call that counts for the caller.
        if answer.status.code() == Code::DeadlineExceeded && begun.elapsed() >= total {
            answer.status = overdue(total, before.as_deref());
        }
        let again = match answer.status.code() {
            Code::Unavailable => match answer.broken {
                Some(Broken::Misconfigured) => false,
                Some(Broken::Lost) => repeatable,
                _ => true,
            },
            // The limit of this attempt, whoever was the first to see it pass.
            Code::DeadlineExceeded => repeatable && limit < left && sent.elapsed() >= limit.mul_f64(0.9),
            Code::ResourceExhausted => answer.broken.is_none(),
            Code::Internal | Code::Unknown | Code::Aborted | Code::DataLoss | Code::Cancelled if unclear > 0 => {
                unclear -= 1;
                true
            }
            Code::Unauthenticated => match answer.renewable() {
                // Once: a token that is new is not the reason.
                Some(token) if !renewed && sent.elapsed() < left => {
                    (renewed, rejected) = (true, Some(token));
                    // It was refused before it was looked at.
                    counted -= 1;
                    continue;
                }
                _ => false,
            },
            _ => false,
        };
        // Quota comes back by itself: who waits for it counts no attempts, and has
        // the time of the wait besides.
        let for_quota = answer.status.code() == Code::ResourceExhausted && !patience.is_zero();
        if !again || counted >= policy.attempts && !for_quota {
            if again && answer.status.code() == Code::DeadlineExceeded {
                let problem = format!("the last attempt got no answer within {limit:?}");
                answer.status = Status::deadline_exceeded(problem);
            }
            return answer.into_response(made);
        }
        let wait = answer.asked_wait().unwrap_or_default().max(policy.wait(counted));
        if for_quota {
            counted -= 1;
            let granted = wait.min(patience);
            patience -= granted;
            end = end.and_then(|end| end.checked_add(granted));
            total = total.saturating_add(granted);
        }
        if end.is_some_and(|end| end.saturating_duration_since(Instant::now()) <= wait) {
            if answer.status.code() == Code::DeadlineExceeded {
                answer.status = overdue(total, before.as_deref());
            }
            return answer.into_response(made);
        }
        if answer.status.code() != Code::DeadlineExceeded {
            before = Some(answer.status.message().to_owned());
        }
        tokio::time::sleep(wait).await;
    }
}

/// The status of a call whose time is up: the whole limit, not that of one attempt, and
/// why an attempt before it failed.
fn overdue(total: Duration, before: Option<&str>) -> Status {
    let before = before.map_or_else(String::new, |cause| format!("; an attempt before: {cause}"));
    Status::deadline_exceeded(format!("no answer within {total:?}{before}"))
}

/// A whole answer, and the status at its end.
struct Answer {
    head: response::Parts,
    data: Bytes,
    trailers: HeaderMap,
    status: Status,
    broken: Option<Broken>,
}

/// The largest answer that is kept: far more than a stub takes by default.
const LARGEST: usize = 64 * 1024 * 1024;

async fn attempt<S: Inner>(inner: &mut S, call: Request<Body>) -> Answer {
    let ready: Result<(), Infallible> = std::future::poll_fn(|context| inner.poll_ready(context)).await;
    let Ok(()) = ready;
    let Ok(response) = inner.call(call).await;
    let (head, mut body) = response.into_parts();
    let mut broken = head.extensions.get::<Broken>().copied();
    let (mut data, mut trailers) = (BytesMut::new(), HeaderMap::new());
    let mut failed = None;
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame {
            Ok(frame) => match frame.into_data() {
                Ok(piece) if data.len() + piece.len() > LARGEST => {
                    broken = Some(Broken::TooLarge);
                    let status =
                        Status::resource_exhausted(format!("the answer is larger than the limit of {LARGEST} bytes"));
                    failed = Some(Broken::TooLarge.cause(status));
                    break;
                }
                Ok(piece) => data.extend_from_slice(&piece),
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            },
            Err(error) => {
                broken = Some(Broken::Lost);
                failed = Some(Status::unavailable(format!("the answer broke off: {}", transport::chain(&error))));
                break;
            }
        }
    }
    let status = failed.or_else(|| transport::status(&trailers)).or_else(|| transport::status(&head.headers));
    let status = status.unwrap_or_else(|| match status::code(head.status) {
        Code::Ok => {
            broken = Some(Broken::Lost);
            Status::unavailable("the answer ends without a status")
        }
        // As tonic has it for an answer without a status.
        code => Status::new(code, format!("the answer is HTTP {}, without a status", head.status)),
    });
    Answer { head, data: data.freeze(), trailers, status, broken }
}

impl Answer {
    fn late(limit: Duration) -> Self {
        let status = Status::deadline_exceeded(format!("no answer within {limit:?}"));
        let (head, _) = Response::new(()).into_parts();
        Self { head, data: Bytes::new(), trailers: HeaderMap::new(), status, broken: None }
    }

    /// The token that was refused, where its source can give another.
    fn renewable(&self) -> Option<HeaderValue> {
        match self.head.extensions.get() {
            Some(Renewal::Possible(token)) => Some(token.clone()),
            _ => None,
        }
    }

    fn asked_wait(&self) -> Option<Duration> {
        let trailers = self.status.metadata().as_ref();
        let headers = if trailers.contains_key(RETRY_AFTER) { trailers } else { &self.head.headers };
        status::asked_wait(headers, self.status.details())
    }

    fn into_response(self, made: u32) -> Response<Body> {
        let previous = (made > 1).then(|| HeaderValue::from(made - 1));
        if self.status.code() != Code::Ok {
            let mut response = transport::failure(self.status);
            // What the headers said before the trailers is metadata, too.
            for (name, value) in &transport::metadata(self.head.headers, None) {
                if !response.headers().contains_key(name) {
                    response.headers_mut().insert(name, value.clone());
                }
            }
            if let Some(broken) = self.broken {
                response.extensions_mut().insert(broken);
            }
            if let Some(previous) = previous {
                response.headers_mut().insert(ATTEMPTS, previous);
            }
            return response;
        }
        let trailers = self.trailers;
        let body = Full::new(self.data).with_trailers(std::future::ready(Some(Ok(trailers))));
        let mut response = Response::from_parts(self.head, Body::new(body));
        if let Some(previous) = previous {
            response.headers_mut().insert(ATTEMPTS, previous);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_are_random() {
        let policy = RetryPolicy::default();
        let waits: Vec<Duration> = (0..200).map(|_| policy.wait(1)).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(1)));
        assert!(waits.iter().max() > waits.iter().min());
        assert!((0..200).map(|_| policy.wait(4)).max() > Some(Duration::from_secs(1)));
        assert!((0..200).all(|_| policy.wait(60) <= Duration::from_secs(10)));
    }
}
