//! How a command fails: a line for people, a code for scripts.

use std::{error::Error, ffi::OsString, fmt, io, process::ExitCode};

use google_chat::{ErrorKind, Wire, grpc_transcoding::rpc::code_name};
use tonic::Code;

type BoxError = Box<dyn Error + Send + Sync>;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Missing = 3,
    Taken = 4,
    NotFound = 5,
    Later = 6,
    Rows = 7,
    Findings = 8,
    Unknown = 9,
    InUse = 10,
    Interrupted = 130,
}

impl Exit {
    /// All of them, and what help and the manual say of each.
    pub(crate) const ALL: [(Self, &str); 12] = [
        (Self::Done, "done"),
        (Self::Failed, "call failed, or local error (file, port, full disk)"),
        (Self::Usage, "wrong command line or input; nothing was sent"),
        (Self::Missing, "credentials missing or refused, or the app not set up"),
        (Self::Taken, "display name is taken, or the member is there already"),
        (Self::NotFound, "space, member or message not found"),
        (Self::Later, "server not reached, too slow, or quota used up: try again"),
        (Self::Rows, "some rows of a file, or some of several members, failed"),
        (Self::Findings, "schema --lint found something"),
        (Self::Unknown, "unknown whether some rows were carried out: run it again"),
        (Self::InUse, "another run works on the same file"),
        (Self::Interrupted, "stopped by Ctrl-C; with --from, run it again to resume"),
    ];

    /// How a call ends that failed so.
    fn of(kind: ErrorKind, code: Code) -> Self {
        match (kind, code) {
            (ErrorKind::Misconfigured | ErrorKind::MessageTooLarge, _) => Self::Failed,
            (ErrorKind::AppNotConfigured, _) | (_, Code::Unauthenticated | Code::PermissionDenied) => Self::Missing,
            (_, Code::AlreadyExists) => Self::Taken,
            (_, Code::NotFound) => Self::NotFound,
            (_, Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted) => Self::Later,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: BoxError,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<BoxError>) -> Self {
        Self { exit, error: error.into() }
    }

    /// The command line or its input is wrong.
    pub(crate) fn usage(error: impl Into<BoxError>) -> Self {
        Self::new(Exit::Usage, error)
    }

    /// Something of this machine is wrong: a file, a port.
    pub(crate) fn machine(error: impl Into<BoxError>) -> Self {
        Self::new(Exit::Failed, error)
    }

    /// The command line or a setting asks for what only the feature `full` has.
    #[cfg(not(feature = "full"))]
    pub(crate) fn left_out(what: &str) -> Self {
        Self::usage(format!(
            "this gchat was built without {what}; install the full program: cargo install gchat --features full \
             (from a clone: cargo install --path gchat --features full)"
        ))
    }

    /// A request that was refused before it was sent.
    pub(crate) fn unsent(status: tonic::Status) -> Self {
        Self::usage(Refused(status))
    }

    /// Adds a cause to the failure.
    pub(crate) fn because(self, cause: impl Into<BoxError>) -> Self {
        let Self { exit, error: problem } = self;
        Self::new(exit, Because { problem, cause: cause.into() })
    }

    /// The same, with more to say.
    pub(crate) fn and(self, more: &str) -> Self {
        Self::new(self.exit, format!("{}; {more}", self.text())).because(self)
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether it is about the caller, the project or the connection, so that another call of the
    /// same method would fail as well.
    pub(crate) fn concerns_all(&self) -> bool {
        self.find().is_some_and(concerns_all)
    }

    /// The first error of a type among the failure and its causes.
    pub(crate) fn find<E: Error + 'static>(&self) -> Option<&E> {
        self.causes().find_map(|error| error.downcast_ref())
    }

    /// What people are told: the failure with all of its causes.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for error in self.causes() {
            let next = error.to_string();
            if text.is_empty() {
                text = next;
            } else if !text.contains(&next) {
                text = format!("{text}: {next}");
            }
            // The errors of calls say themselves what their causes do.
            if error.is::<google_chat::Error>() || error.is::<Refused>() {
                break;
            }
        }
        text
    }

    /// The error and its causes, the failures among them by what they hold.
    fn causes(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        fn inner<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
            error.downcast_ref::<Failure>().map_or(error, |failure| inner(&*failure.error))
        }
        let mut next = Some(inner(&*self.error));
        std::iter::from_fn(move || {
            let error = next?;
            next = error.source().map(inner);
            Some(error)
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Whether an error is about the caller, the project or the connection, so that another call of
/// the same method would fail as well.
pub(crate) fn concerns_all(error: &google_chat::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Misconfigured
            | ErrorKind::NoCredentials
            | ErrorKind::NotDelegated
            | ErrorKind::NoToken
            | ErrorKind::Unauthenticated
            | ErrorKind::MissingScope
            | ErrorKind::ApiDisabled
            | ErrorKind::AppNotConfigured
            | ErrorKind::ChatTurnedOff
    )
}

/// What an error says of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// The call was refused: nothing was done.
    Refused,
    /// The call was refused for now: the quota is used up.
    Later,
    /// Nothing certain: the call may have been carried out.
    Nothing,
}

impl Says {
    pub(crate) fn of(error: &google_chat::Error) -> Self {
        match error.code() {
            // There was no connection, and there can be none.
            _ if error.kind() == ErrorKind::Misconfigured => Self::Refused,
            // Whatever code the status is read as: it comes from a server, or from a proxy
            // before it, that may have failed after the call was carried out.
            _ if error.http_status().is_some_and(|status| status == 408 || !(400..500).contains(&status)) => {
                Self::Nothing
            }
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => Self::Refused,
            Code::ResourceExhausted if error.kind() == ErrorKind::QuotaExceeded => Self::Later,
            _ => Self::Nothing,
        }
    }
}

/// A problem and its cause.
#[derive(Debug)]
struct Because {
    problem: BoxError,
    cause: BoxError,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl Error for Because {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

/// The status of a call that was made by a stub.
#[derive(Debug)]
struct Refused(tonic::Status);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", code_name(self.0.code()), self.0.message())
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        let kind = google_chat::Error::of(status.clone(), "", Wire::Auto).kind();
        Self::new(Exit::of(kind, status.code()), Refused(status))
    }
}

impl From<google_chat::Error> for Failure {
    fn from(error: google_chat::Error) -> Self {
        let exit = Exit::of(error.kind(), error.code());
        let is_unclear = match Says::of(&error) {
            Says::Nothing => true,
            // An attempt before the last may have been carried out.
            Says::Later => error.attempts() > 1,
            Says::Refused => false,
        };
        match error.kind() {
            ErrorKind::NoCredentials => Self::new(exit, error).and("an emulator needs none: add --anonymous"),
            // The id may be one that the client has made up.
            _ if is_unclear && !error.request_id().is_empty() => {
                let again = format!("to make the same call: --request-id {}", error.request_id());
                Self::new(exit, error).and(&again)
            }
            _ => Self::new(exit, error),
        }
    }
}

/// Says what is wrong with the command line, as clap has it, but for what may be a key or
/// a token that came to a wrong place.
pub(crate) fn command_line(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let arguments: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let shown = error.render().to_string();
    let kept = without_secrets(&shown, &arguments);
    // With colours, where there is nothing to be left out.
    if kept == shown {
        let _ = error.print();
    } else {
        let _ = io::Write::write_all(&mut io::stderr(), kept.as_bytes());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// A text without those of the arguments that are long, or, where a key or a token is
/// among them, without all of eight bytes and more. Names of flags stay.
fn without_secrets(text: &str, arguments: &[String]) -> String {
    let marks = ["PRIVATE KEY", "private_key", "-----BEGIN", "ya29."];
    let longest = if arguments.iter().any(|word| marks.iter().any(|mark| word.contains(mark))) { 7 } else { 30 };
    let is_flag =
        |word: &str| word.starts_with('-') && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    // clap has an argument as it is, and what comes before and after its first `=`.
    let parts =
        arguments.iter().flat_map(|word| word.split_once('=').map_or([&**word, "", ""], |(a, b)| [&**word, a, b]));
    let mut hidden: Vec<&str> = parts.filter(|part| part.len() > longest && !is_flag(part)).collect();
    // One that holds another goes first.
    hidden.sort_by_key(|word| std::cmp::Reverse(word.len()));
    hidden.into_iter().fold(text.to_owned(), |text, word| text.replace(word, "…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_servers_refusal_is_certain() {
        let says = |code| {
            Says::of(&google_chat::Error::of(
                tonic::Status::new(code, "m"),
                "google.chat.v1.ChatService/CreateSpace",
                Wire::Grpc,
            ))
        };
        let refused = [3, 5, 6, 7, 9, 11, 12, 16].map(Code::from);
        for code in (1..=16).map(Code::from) {
            let expected = match code {
                code if refused.contains(&code) => Says::Refused,
                Code::ResourceExhausted => Says::Later,
                _ => Says::Nothing,
            };
            assert_eq!(says(code), expected, "{code:?}");
        }
    }

    #[test]
    fn a_failure_is_told_with_each_cause_once() {
        let file = || io::Error::new(io::ErrorKind::NotFound, "no such file");
        let denied = || google_chat::Error::of(tonic::Status::permission_denied("no"), "a.B/C", Wire::Grpc);
        for (failure, text) in [
            (Failure::usage("x is wrong"), "x is wrong"),
            (Failure::machine("cannot write x").because(file()), "cannot write x: no such file"),
            (Failure::usage("y").because(Failure::usage("x").because(file())), "y: x: no such file"),
            (Failure::machine(file()), "no such file"),
            (Failure::usage("x: no such file").because(file()), "x: no such file"),
            (denied().into(), "a.B/C over gRPC: PERMISSION_DENIED: no"),
            (Failure::from(denied()).and("more"), "a.B/C over gRPC: PERMISSION_DENIED: no; more"),
            (Failure::usage("x").because(Failure::from(denied())), "x: a.B/C over gRPC: PERMISSION_DENIED: no"),
            (tonic::Status::internal("no").into(), "INTERNAL: no"),
        ] {
            assert_eq!(failure.text(), text);
        }
        assert!(Failure::machine("x").because(file()).source().unwrap().is::<io::Error>());
        assert_eq!(Failure::from(denied()).exit(), Exit::Missing);
    }

    #[test]
    fn arguments_that_may_be_secret_are_not_repeated() {
        let key = r#"KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC"#;
        for (arguments, text, shown) in [
            (&["gchat", "nonsense"][..], "no command 'nonsense'", "no command 'nonsense'"),
            (&["gchat", "--nonsense-that-is-a-long-flag-of-30"], "--nonsense", "--nonsense"),
            (&["gchat", "-----BEGIN", "PRIVATE", key], &format!("'{key}' found"), "'…' found"),
            (&["gchat", "--wire=ya29.short"], "invalid value 'ya29.short' for --wire", "invalid value '…' for --wire"),
            (&["gchat", "-----BEGIN KEY MIIE=="], "'-----BEGIN KEY MIIE' found", "'…' found"),
            (&["gchat", key], &format!("'{key}' found, use '-- {key}'"), "'…' found, use '-- …'"),
        ] {
            let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(without_secrets(text, &arguments), shown);
        }
    }
}
