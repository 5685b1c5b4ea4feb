//! Whether a call is made again: a pure function of what it may, what was done, and what
//! came of it.

use std::time::Duration;

use tonic::Code;

use grpc_transcoding::rpc::Broken;

/// What a call may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) attempts: u32,
    pub(super) idempotent: bool,
    /// How many attempts may follow a response that does not say whether the call was
    /// carried out; none where the call has no request id.
    pub(super) unclear_attempts: u32,
    pub(super) quota_wait: Duration,
}

/// What was done for a call before its last attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Progress {
    /// How many attempts were used. Those for a new token and those after a wait for quota
    /// use none.
    pub(super) attempts: u32,
    unclear_attempts: u32,
    token_renewed: bool,
    quota_waited: Duration,
}

/// How the last attempt failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) code: Code,
    pub(super) broken: Option<Broken>,
    /// Whether a token was sent whose source can give another.
    pub(super) token_refused: bool,
    /// Whether the limit of the attempt passed, which is shorter than that of the call.
    pub(super) attempt_timed_out: bool,
    /// How long to wait before another attempt.
    pub(super) wait: Duration,
    /// How much is left of the call's time.
    pub(super) left: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Next {
    /// The call fails as its last attempt did.
    Fail,
    /// Another attempt might help, but there are no more.
    OutOfAttempts,
    /// Another attempt might help, but the call's time is up before.
    OutOfTime,
    /// There is another attempt after the wait. The call has the extra time besides.
    Again { wait: Duration, extra_time: Duration, progress: Progress },
}

pub(super) fn decide(terms: &Terms, before: Progress, outcome: &Outcome) -> Next {
    let mut progress = Progress { attempts: before.attempts + 1, ..before };
    let again = match outcome.code {
        // A new token is fetched once: if it is refused as well, it is not the reason.
        Code::Unauthenticated if outcome.token_refused && !before.token_renewed && !outcome.left.is_zero() => {
            let progress = Progress { token_renewed: true, ..before };
            return Next::Again { wait: Duration::ZERO, extra_time: Duration::ZERO, progress };
        }
        Code::Unavailable => match outcome.broken {
            Some(Broken::Misconfigured) => false,
            Some(Broken::Lost) => terms.idempotent,
            Some(_) | None => true,
        },
        Code::DeadlineExceeded => terms.idempotent && outcome.attempt_timed_out,
        // A message that is too large has this code as well, and stays too large.
        Code::ResourceExhausted => outcome.broken.is_none(),
        Code::Internal | Code::Unknown | Code::Aborted | Code::DataLoss | Code::Cancelled => {
            progress.unclear_attempts += 1;
            progress.unclear_attempts <= terms.unclear_attempts
        }
        _ => false,
    };
    if !again {
        return Next::Fail;
    }
    let Outcome { wait, left, .. } = *outcome;
    let mut extra_time = Duration::ZERO;
    let quota_left = terms.quota_wait.saturating_sub(before.quota_waited);
    if outcome.code == Code::ResourceExhausted && !quota_left.is_zero() {
        // Quota comes back by itself, so that a wait for it uses no attempt.
        extra_time = wait.min(quota_left);
        progress.attempts = before.attempts;
        progress.quota_waited += extra_time;
    } else if progress.attempts >= terms.attempts {
        return Next::OutOfAttempts;
    }
    if left.saturating_add(extra_time) <= wait {
        return Next::OutOfTime;
    }
    Next::Again { wait, extra_time, progress }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(2);
    const LEFT: Duration = Duration::from_secs(20);

    /// What a case has beside its code.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Has {
        Idempotent,
        RequestId,
        Renewable,
        Renewed,
        TimedOut,
        LastAttempt,
        Quota,
        QuotaUsed,
        Unclear,
        NoTime,
        LittleTime,
        Lost,
        TooLarge,
        Misconfigured,
    }

    fn decided(code: Code, has: &[Has]) -> &'static str {
        let is = |one: Has| has.contains(&one);
        let terms = Terms {
            attempts: 3,
            idempotent: is(Has::Idempotent) || is(Has::RequestId),
            unclear_attempts: if is(Has::RequestId) { 1 } else { 0 },
            quota_wait: if is(Has::Quota) { WAIT * 2 } else { Duration::ZERO },
        };
        let before = Progress {
            attempts: if is(Has::LastAttempt) { 2 } else { 0 },
            unclear_attempts: if is(Has::Unclear) { 1 } else { 0 },
            token_renewed: is(Has::Renewed),
            quota_waited: if is(Has::QuotaUsed) { WAIT * 2 } else { Duration::ZERO },
        };
        let broken =
            [(Has::Lost, Broken::Lost), (Has::TooLarge, Broken::TooLarge), (Has::Misconfigured, Broken::Misconfigured)];
        let outcome = Outcome {
            code,
            broken: broken.iter().find(|(has, _)| is(*has)).map(|(_, broken)| *broken),
            token_refused: is(Has::Renewable),
            attempt_timed_out: is(Has::TimedOut),
            wait: WAIT,
            left: match () {
                () if is(Has::NoTime) => Duration::ZERO,
                () if is(Has::LittleTime) => WAIT,
                () => LEFT,
            },
        };
        let used = Progress { attempts: before.attempts + 1, ..before };
        match decide(&terms, before, &outcome) {
            Next::Fail => "fail",
            Next::OutOfAttempts => "out of attempts",
            Next::OutOfTime => "out of time",
            Next::Again { wait: Duration::ZERO, extra_time: Duration::ZERO, progress } => {
                assert_eq!(progress, Progress { token_renewed: true, ..before }, "{code:?} {has:?}");
                "renew"
            }
            Next::Again { wait: WAIT, extra_time: Duration::ZERO, progress } => {
                let unclear = progress.unclear_attempts;
                assert_eq!(progress, Progress { unclear_attempts: unclear, ..used }, "{code:?} {has:?}");
                if unclear > before.unclear_attempts { "again, unclear" } else { "again" }
            }
            Next::Again { wait: WAIT, extra_time: WAIT, progress } => {
                assert_eq!(progress, Progress { quota_waited: WAIT, ..before }, "{code:?} {has:?}");
                "wait for quota"
            }
            next => panic!("{code:?} {has:?}: {next:?}"),
        }
    }

    #[test]
    fn a_call_is_made_again_where_that_is_safe_and_may_help() {
        use Has::*;
        let cases: &[(Code, &[Has], &str)] = &[
            // The server says so, or cannot have received it.
            (Code::Unavailable, &[], "again"),
            (Code::Unavailable, &[RequestId], "again"),
            (Code::Unavailable, &[LastAttempt], "out of attempts"),
            (Code::Unavailable, &[LittleTime], "out of time"),
            (Code::Unavailable, &[NoTime], "out of time"),
            (Code::Unavailable, &[LastAttempt, NoTime], "out of attempts"),
            // The server may have received it.
            (Code::Unavailable, &[Lost], "fail"),
            (Code::Unavailable, &[Lost, Renewable], "fail"),
            (Code::Unavailable, &[Lost, Idempotent], "again"),
            (Code::Unavailable, &[Lost, RequestId], "again"),
            (Code::Unavailable, &[Lost, Idempotent, LastAttempt], "out of attempts"),
            (Code::Unavailable, &[Lost, Idempotent, LittleTime], "out of time"),
            // Somebody has to mend something first.
            (Code::Unavailable, &[Misconfigured, RequestId], "fail"),
            (Code::Unavailable, &[Misconfigured, Idempotent], "fail"),
            // Quota is waited for where the caller says so.
            (Code::ResourceExhausted, &[], "again"),
            (Code::ResourceExhausted, &[LastAttempt], "out of attempts"),
            (Code::ResourceExhausted, &[LittleTime], "out of time"),
            (Code::ResourceExhausted, &[Quota], "wait for quota"),
            (Code::ResourceExhausted, &[Quota, LastAttempt], "wait for quota"),
            (Code::ResourceExhausted, &[Quota, LittleTime], "wait for quota"),
            (Code::ResourceExhausted, &[Quota, NoTime], "out of time"),
            (Code::ResourceExhausted, &[Quota, QuotaUsed], "again"),
            (Code::ResourceExhausted, &[Quota, QuotaUsed, LastAttempt], "out of attempts"),
            (Code::ResourceExhausted, &[TooLarge, Quota, RequestId], "fail"),
            (Code::Unavailable, &[Quota, LastAttempt], "out of attempts"),
            // The limit of an attempt, and that of the call.
            (Code::DeadlineExceeded, &[TimedOut], "fail"),
            (Code::DeadlineExceeded, &[Idempotent], "fail"),
            (Code::DeadlineExceeded, &[TimedOut, Idempotent], "again"),
            (Code::DeadlineExceeded, &[TimedOut, RequestId], "again"),
            (Code::DeadlineExceeded, &[TimedOut, Idempotent, LastAttempt], "out of attempts"),
            (Code::DeadlineExceeded, &[TimedOut, Idempotent, LittleTime], "out of time"),
            // A token is renewed once.
            (Code::Unauthenticated, &[], "fail"),
            (Code::Unauthenticated, &[RequestId, Idempotent], "fail"),
            (Code::Unauthenticated, &[Renewable], "renew"),
            (Code::Unauthenticated, &[Renewable, LastAttempt], "renew"),
            (Code::Unauthenticated, &[Renewable, LittleTime], "renew"),
            (Code::Unauthenticated, &[Renewable, NoTime], "fail"),
            (Code::Unauthenticated, &[Renewable, Renewed], "fail"),
            (Code::PermissionDenied, &[Renewable], "fail"),
        ];
        for (code, has, expected) in cases {
            assert_eq!(decided(*code, has), *expected, "{code:?} {has:?}");
        }
        // Nobody knows whether the call was carried out.
        for code in [Code::Internal, Code::Unknown, Code::Aborted, Code::DataLoss, Code::Cancelled] {
            for (has, expected) in [
                (&[][..], "fail"),
                (&[Idempotent], "fail"),
                (&[RequestId], "again, unclear"),
                (&[RequestId, Unclear], "fail"),
                (&[RequestId, LastAttempt], "out of attempts"),
                (&[RequestId, LittleTime], "out of time"),
                (&[RequestId, Lost], "again, unclear"),
            ] {
                assert_eq!(decided(code, has), expected, "{code:?} {has:?}");
            }
        }
        // To make the call again gives the same.
        for code in [
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::PermissionDenied,
            Code::FailedPrecondition,
            Code::OutOfRange,
            Code::Unimplemented,
        ] {
            assert_eq!(decided(code, &[RequestId, Idempotent, Renewable, Quota, TimedOut]), "fail", "{code:?}");
        }
    }
}
