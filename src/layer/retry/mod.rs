mod decide;

use std::{error::Error, time::Duration};

use grpc_transcoding::{
    HttpRules,
    rpc::{Broken, GRPC_TIMEOUT, asked_wait, parse_timeout},
};
use http::{HeaderName, HeaderValue, Response};
use tokio::time::Instant;
use tonic::{Code, Status, metadata::MetadataValue};

use self::decide::{Next, Outcome, Progress, Terms, decide};
use super::{
    call::UnaryCall,
    send::{Sender, Whole},
    stack::Steps,
};

/// The metadata that says how often a call was made before: in a request to the
/// server, and in the response to the caller.
///
/// Source: [gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md),
/// "Exposed Retry Metadata".
pub const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static(PREVIOUS_ATTEMPTS_KEY);
const PREVIOUS_ATTEMPTS_KEY: &str = "grpc-previous-rpc-attempts";

/// A layer that makes a unary call again where that is safe and may help, by its
/// [`RetryPolicy`], and holds the call's deadline over all attempts. Streams, and methods
/// that the schema does not have, pass unchanged.
#[derive(Clone, Debug)]
pub struct RetryLayer(pub(super) Steps);

impl RetryLayer {
    /// Makes calls of the methods of `rules` again, by the default policy.
    pub fn new(rules: impl Into<HttpRules>) -> Self {
        Self(Steps { rules: Some(rules.into()), retry: Some(RetryPolicy::default()), ..Steps::default() })
    }

    /// Sets when calls are made again.
    #[must_use]
    pub fn policy(mut self, policy: RetryPolicy) -> Self {
        self.0.retry = Some(policy);
        self
    }
}

/// When a call is made again. The default is 5 attempts within 30 seconds.
///
/// As an extension of a call's request, it is the policy of that call, in place of the
/// layer's.
///
/// - UNAVAILABLE is tried again ([AIP-194](https://google.aip.dev/194)) where the server
///   says so, or where it cannot have received the call.
/// - Where a connection broke, or an attempt took too long, only an idempotent call is made
///   again: one that has a request id, one whose method's first HTTP binding is a GET, and
///   one that is marked as [`Idempotent`](super::Idempotent).
/// - After a response that does not say whether the call was carried out, a call that has a
///   request id is made again as often as [`unclear_attempts`](Self::unclear_attempts) says.
/// - RESOURCE_EXHAUSTED is tried again after the time that the server says in `Retry-After`
///   or `RetryInfo`, or as the others.
///
/// ```
/// use std::time::Duration;
/// use google_chat::layer::RetryPolicy;
///
/// let policy = RetryPolicy::default().with_attempts(3).with_total_timeout(Duration::from_secs(10));
/// assert_eq!(policy.attempts, 3);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The largest number of attempts. With 1 a call is never made again, but for the one
    /// renewal of a token that the server refuses.
    pub attempts: u32,
    /// Upper bound of the first wait. Each wait is uniform between zero and its bound.
    pub initial_backoff: Duration,
    /// The factor by which the bound grows from one wait to the next.
    pub backoff_multiplier: f64,
    /// The largest bound of a wait.
    pub maximum_backoff: Duration,
    /// How long a call may take, with its token and all its attempts. A deadline that the
    /// stub sets takes precedence.
    pub total_timeout: Duration,
    /// How long one attempt of an idempotent call may take.
    pub attempt_timeout: Duration,
    /// How much longer than the total timeout a call may wait for quota. Such a wait uses
    /// no attempt. A call with a deadline of the stub's does not wait longer than that.
    pub quota_wait: Duration,
    /// How many more attempts, at most, may follow an INTERNAL, UNKNOWN, ABORTED, DATA_LOSS
    /// or CANCELLED, which do not say whether the call was carried out. To make the call
    /// again does no harm only where it has a request id; other calls are not made again.
    /// One by default: it tells a fault that has passed from one that lasts, as AIP-194
    /// takes all of these to be.
    pub unclear_attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            initial_backoff: Duration::from_secs(1),
            backoff_multiplier: 1.3,
            maximum_backoff: Duration::from_secs(10),
            total_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(10),
            quota_wait: Duration::ZERO,
            unclear_attempts: 1,
        }
    }
}

impl RetryPolicy {
    /// One attempt, without a limit of time.
    pub(in crate::layer) const ONCE: Self = Self {
        attempts: 1,
        initial_backoff: Duration::ZERO,
        backoff_multiplier: 1.0,
        maximum_backoff: Duration::ZERO,
        total_timeout: Duration::MAX,
        attempt_timeout: Duration::MAX,
        quota_wait: Duration::ZERO,
        unclear_attempts: 0,
    };

    /// One attempt, and 30 seconds for it.
    pub fn never() -> Self {
        Self::default().with_attempts(1)
    }

    /// Sets [`attempts`](Self::attempts).
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets [`initial_backoff`](Self::initial_backoff).
    #[must_use]
    pub fn with_initial_backoff(mut self, bound: Duration) -> Self {
        self.initial_backoff = bound;
        self
    }

    /// Sets [`backoff_multiplier`](Self::backoff_multiplier).
    #[must_use]
    pub fn with_backoff_multiplier(mut self, factor: f64) -> Self {
        self.backoff_multiplier = factor;
        self
    }

    /// Sets [`maximum_backoff`](Self::maximum_backoff).
    #[must_use]
    pub fn with_maximum_backoff(mut self, bound: Duration) -> Self {
        self.maximum_backoff = bound;
        self
    }

    /// Sets [`total_timeout`](Self::total_timeout).
    #[must_use]
    pub fn with_total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = timeout;
        self
    }

    /// Sets [`attempt_timeout`](Self::attempt_timeout).
    #[must_use]
    pub fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// Sets [`quota_wait`](Self::quota_wait).
    #[must_use]
    pub fn with_quota_wait(mut self, wait: Duration) -> Self {
        self.quota_wait = wait;
        self
    }

    /// Sets [`unclear_attempts`](Self::unclear_attempts).
    #[must_use]
    pub fn with_unclear_attempts(mut self, attempts: u32) -> Self {
        self.unclear_attempts = attempts;
        self
    }

    /// The wait after so many attempts.
    pub(crate) fn backoff(&self, attempts: u32) -> Duration {
        let exponent = attempts.saturating_sub(1).min(1_000) as i32;
        let bound = self.initial_backoff.as_secs_f64() * self.backoff_multiplier.powi(exponent);
        let bound = bound.min(self.maximum_backoff.as_secs_f64());
        let mut random = [0; 8];
        // Where the system has no random bytes, the wait is as long as its bound.
        let share = match getrandom::getrandom(&mut random) {
            Ok(()) => u64::from_le_bytes(random) as f64 / u64::MAX as f64,
            Err(_) => 1.0,
        };
        Duration::try_from_secs_f64(bound * share).unwrap_or(self.maximum_backoff)
    }
}

/// Makes attempts of a call until one has a final outcome.
pub(super) async fn attempts<T: Sender>(
    steps: &Steps,
    call: &UnaryCall<'_>,
    sender: &mut T,
) -> Result<Response<Whole>, Status> {
    let policy = steps.retry_policy(call);
    let asked = call.head.headers.get(&GRPC_TIMEOUT).and_then(parse_timeout);
    let unclear_attempts = if call.idempotent_write { policy.unclear_attempts } else { 0 };
    let mut attempts = Attempts::new(policy.clone(), call.is_idempotent(), unclear_attempts, asked);
    loop {
        let limit = attempts.begin();
        let made = attempts.made;
        let mut headers = call.head.headers.clone();
        if made > 0 {
            headers.insert(PREVIOUS_ATTEMPTS, HeaderValue::from(made));
        }
        let timeout = (limit < Duration::MAX).then_some(limit);
        match steps.attempt(call, headers, timeout, &mut attempts.token, sender).await {
            Ok(mut response) => {
                if made > 0 {
                    response.headers_mut().insert(PREVIOUS_ATTEMPTS, HeaderValue::from(made));
                }
                return Ok(response);
            }
            Err(status) => attempts.failed(status).await?,
        }
    }
}

/// The attempts to make one call: how many there were, how much time is left, and whether there
/// is another.
#[derive(Debug)]
pub(crate) struct Attempts {
    policy: RetryPolicy,
    terms: Terms,
    time: Time,
    /// Whether the time is the caller's own deadline.
    asked: bool,
    progress: Progress,
    made: u32,
    /// The token of the last attempt, if its source can give another.
    pub(crate) token: Option<HeaderValue>,
    /// Why an attempt before failed, if it was not for its time.
    before: Option<String>,
    /// When the last attempt began, how much time was left then, and how long it could take.
    begun: Instant,
    left: Duration,
    limit: Duration,
}

impl Attempts {
    /// `asked` is the caller's own deadline, in place of the policy's.
    pub(crate) fn new(policy: RetryPolicy, idempotent: bool, unclear_attempts: u32, asked: Option<Duration>) -> Self {
        let terms = Terms {
            attempts: policy.attempts,
            idempotent,
            unclear_attempts,
            quota_wait: if asked.is_none() { policy.quota_wait } else { Duration::ZERO },
        };
        let total = asked.unwrap_or(policy.total_timeout);
        Self {
            policy,
            terms,
            time: Time::of(total),
            asked: asked.is_some(),
            progress: Progress::default(),
            made: 0,
            token: None,
            before: None,
            begun: Instant::now(),
            left: total,
            limit: total,
        }
    }

    /// How many attempts have failed.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    /// Begins anew after a part of the call was done: with all attempts and, unless the caller
    /// has a deadline for the whole, with all the time.
    pub(crate) fn progressed(&mut self) {
        (self.progress, self.before) = (Progress::default(), None);
        self.moved();
    }

    /// Gives the call all its time again, unless the caller has a deadline for the whole, but no
    /// more attempts: something comes or goes that did so before.
    pub(crate) fn moved(&mut self) {
        if !self.asked {
            self.time = Time::of(self.policy.total_timeout);
        }
    }

    /// Begins an attempt. Returns how long it may take.
    pub(crate) fn begin(&mut self) -> Duration {
        self.begun = Instant::now();
        self.left = self.time.left();
        let several = self.terms.idempotent && self.policy.attempts > 1;
        self.limit = if several { self.left.min(self.policy.attempt_timeout) } else { self.left };
        self.limit
    }

    /// Waits until there is another attempt, after one that failed.
    ///
    /// # Errors
    ///
    /// The status of the call, if there is no other.
    pub(crate) async fn failed(&mut self, mut status: Status) -> Result<(), Status> {
        self.made += 1;
        let asked_wait = asked_wait(status.metadata().as_ref(), status.details()).unwrap_or_default();
        let next = decide(
            &self.terms,
            self.progress,
            &Outcome {
                code: status.code(),
                broken: broken(&status),
                token_refused: self.token.is_some(),
                // Whoever saw the limit of this attempt pass may have seen it a little early.
                attempt_timed_out: self.limit < self.left && self.begun.elapsed() >= self.limit.mul_f64(0.9),
                wait: asked_wait.max(self.policy.backoff(self.progress.attempts + 1)),
                left: self.time.left(),
            },
        );
        if status.code() != Code::Unauthenticated {
            // The next attempt may use it again: nobody refused it.
            self.token = None;
        }
        let late = status.code() == Code::DeadlineExceeded;
        if let Next::Again { wait, extra_time, progress } = next {
            self.progress = progress;
            self.time.extend(extra_time);
            if !late && status.code() != Code::Unauthenticated {
                self.before = Some(status.message().to_owned());
            }
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            return Ok(());
        }
        if late && (next == Next::OutOfTime || self.time.is_over()) {
            // For the caller it is the limit of the whole call that counts.
            let before = self.before.take().map_or_else(String::new, |cause| format!("; an attempt before: {cause}"));
            status = Status::deadline_exceeded(format!("no response within {:?}{before}", self.time.total));
        } else if late && next == Next::OutOfAttempts {
            status = Status::deadline_exceeded(format!("the last attempt got no response within {:?}", self.limit));
        }
        if self.made > 1 {
            status.metadata_mut().insert(PREVIOUS_ATTEMPTS_KEY, MetadataValue::from(self.made - 1));
        }
        Err(status)
    }
}

/// The time that a call has.
#[derive(Debug)]
struct Time {
    begun: Instant,
    total: Duration,
}

impl Time {
    fn of(total: Duration) -> Self {
        Self { begun: Instant::now(), total }
    }

    /// What is left; all of it where the limit is beyond what the clock can say.
    fn left(&self) -> Duration {
        match self.begun.checked_add(self.total) {
            Some(end) => end.saturating_duration_since(Instant::now()),
            None => Duration::MAX,
        }
    }

    fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    fn extend(&mut self, by: Duration) {
        self.total = self.total.saturating_add(by);
    }
}

/// What broke, where a service under the layer says so.
fn broken(status: &Status) -> Option<Broken> {
    status.source()?.downcast_ref().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_are_random() {
        let policy = RetryPolicy::default();
        let waits: Vec<Duration> = (0..200).map(|_| policy.backoff(1)).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(1)));
        assert!(waits.iter().max() > waits.iter().min());
        assert!((0..200).map(|_| policy.backoff(4)).max() > Some(Duration::from_secs(1)));
        assert!((0..200).all(|_| policy.backoff(60) <= Duration::from_secs(10)));
    }
}
