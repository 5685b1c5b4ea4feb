//! `gchat doctor`.

use google_chat::{
    Client, CreateSpaceRequest, Error, ErrorKind, MethodRequest, MethodScopes, Space, TokenErrorKind,
    grpc_transcoding::rpc::code_name, layer::RetryPolicy,
};
use prost::Message;
use tonic::Code;

use crate::{
    auth::web::{self, Checked},
    connection::{Connection, Target},
    failure::{Exit, Failure},
    output,
};

pub(crate) const HELP: &str = "\
Checks:
  The doctor checks, in this order: the credentials, each server that is asked
  on the way to an access token (metadata server, STS, IAM, token endpoint), the
  token, whether the API can be reached and is enabled in the project, the
  token's scopes, the configuration of the app, and an administrator's approval.
  It explains how to fix the first problem. Nothing is created: the last checks
  send a request that is invalid on purpose.

Examples:
  gchat doctor
  gchat doctor --credentials key.json --subject alice@example.com";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Check what importing a space needs
    #[arg(long)]
    import_mode: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What a call passes through, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Reached,
    TokenTaken,
    Enabled,
    Scopes,
    Configured,
    Approved,
}

impl Step {
    const ALL: [(Self, &str); 6] = [
        (Self::Reached, "the API is reached"),
        (Self::TokenTaken, "the token is taken"),
        (Self::Enabled, "the Google Chat API is enabled in the project"),
        (Self::Scopes, "the token's scopes allow it"),
        (Self::Configured, "the Chat app is configured"),
        (Self::Approved, "an administrator has approved the app"),
    ];

    /// What to do if the step fails and the error does not say.
    fn usual_advice(self) -> &'static str {
        match self {
            Self::Reached => "check the endpoint, the network and the proxy (HTTPS_PROXY)",
            Self::TokenTaken => "get a new token, or other credentials",
            _ => "see https://developers.google.com/workspace/chat/troubleshoot-authentication",
        }
    }
}

/// How far a call came that failed.
enum Outcome {
    /// The call did not pass this step.
    Failed(Step),
    /// The call passed all steps, and was refused only for what it asks.
    Passed,
    /// It is not known how far the call came.
    Unclear,
}

impl Outcome {
    fn of(error: &Error) -> Self {
        Self::Failed(match error.kind() {
            ErrorKind::Misconfigured | ErrorKind::Unavailable | ErrorKind::DeadlineExceeded | ErrorKind::NotTheApi => {
                Step::Reached
            }
            ErrorKind::NoCredentials | ErrorKind::NotDelegated | ErrorKind::NoToken | ErrorKind::Unauthenticated => {
                Step::TokenTaken
            }
            ErrorKind::ApiDisabled => Step::Enabled,
            ErrorKind::MissingScope | ErrorKind::UserRequired | ErrorKind::PermissionDenied => Step::Scopes,
            ErrorKind::AppNotConfigured => Step::Configured,
            ErrorKind::AppNotApproved => Step::Approved,
            _ if error.code() == Code::InvalidArgument => return Self::Passed,
            _ => return Self::Unclear,
        })
    }
}

/// Prints what is well.
fn well(what: &str) -> Result<(), Failure> {
    let (green, normal) = if output::colours(&std::io::stdout()) { ("\x1b[32m", "\x1b[0m") } else { ("", "") };
    output::write(format!("{green}ok{normal}    {}\n", output::plain(what)).as_bytes())
}

/// Prints what is not, and what to do unless what was found says it.
fn unwell(what: &str, found: &str, mend: Option<&str>) -> Result<(), Failure> {
    let (red, normal) = if output::colours(&std::io::stdout()) { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    let mut text = format!("{red}fails{normal} {what}\n      found: {}\n", output::plain(found));
    if let Some(mend) = mend {
        text.push_str(&format!("      mend:  {}\n", output::plain(mend)));
    }
    output::write(text.as_bytes())
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let target = match args.connection.target() {
        Ok(target) => target,
        Err(failure) => {
            let mend = "name a credentials file that can be read";
            unwell("credentials are found", &failure.text(), Some(mend))?;
            return Err(missing("the credentials cannot be used"));
        }
    };
    // Certain to be refused for its kind, once everything else has been looked at.
    let request = CreateSpaceRequest::from(Space { import_mode: args.import_mode, ..Space::default() });
    let method = Client::http_rules().pool().method(CreateSpaceRequest::PATH);
    let needed = method.and_then(|method| MethodScopes::needed(&method, &request.encode_to_vec(), target.is_app()));
    let scopes = target.scopes(needed.unwrap_or_default());
    // Before the token, so that its exchange goes by the same connector.
    let builder = target.builder().checks(false).fill_request_ids(false);
    let policy = RetryPolicy::never().with_total_timeout(args.connection.timeout());
    let client = builder.retry(policy).build().map_err(Failure::usage)?;
    token(&target, &scopes).await?;
    let Err(error) = client.create_space(request).await else {
        return Err(Failure::machine(format!(
            "{} accepted an invalid request; it is not Google Chat",
            target.endpoint
        )));
    };
    let found = format!("{}: {}", code_name(error.code()), error.message());
    let advice = error.advice();
    let failed = match Outcome::of(&error) {
        Outcome::Failed(step) => Some(step),
        Outcome::Passed => None,
        Outcome::Unclear => {
            unwell(
                "a space can be created",
                &found,
                Some(advice.as_deref().unwrap_or("see the message, and try again")),
            )?;
            return Err(match error.kind() {
                ErrorKind::QuotaExceeded => Failure::new(Exit::Later, "the project's quota is used up for now"),
                _ => missing("see above"),
            });
        }
    };
    for (step, what) in Step::ALL {
        if Some(step) == failed {
            let misconfigured = error.kind() == ErrorKind::Misconfigured;
            // The message of a wrong setting says which it is.
            let mend = (!misconfigured).then(|| advice.as_deref().unwrap_or(step.usual_advice()));
            unwell(what, &found, mend)?;
            return Err(match step {
                Step::Reached if misconfigured => {
                    Failure::machine("the API is not reached, until the setting is corrected")
                }
                Step::Reached => Failure::new(Exit::Later, "the API is not reached"),
                _ => missing(&format!("this check failed: {what}")),
            });
        }
        if step == Step::Approved && target.who.is_user == Some(true) {
            continue;
        }
        well(what)?;
    }
    output::write(b"A space can be created; nothing was.\n")
}

fn missing(what: &str) -> Failure {
    Failure::new(Exit::Missing, format!("a space cannot be created yet: {what}"))
}

/// Looks at the credentials, at each hop on the way to a token, and at the token.
async fn token(target: &Target, scopes: &[String]) -> Result<(), Failure> {
    let asked: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let short: Vec<&str> = asked.iter().map(|scope| scope.rsplit('/').next().unwrap_or(scope)).collect();
    let found = format!("credentials are found: {}", target.who.name);
    if target.is_anonymous() {
        return well("no credentials are used, as was asked for");
    }
    let outcome = target.who.credentials.access_token(&asked).await;
    // Only now it is known who was asked where a machine may have more than one.
    let hops = target.who.credentials.hops();
    let error = match outcome {
        Ok(token) => {
            well(&found)?;
            for hop in &hops {
                well(&passed(hop))?;
            }
            if !target.who.is_token {
                well(&format!("a token is given for {}", short.join(" ")))?;
            }
            return check(target, token.as_deref().unwrap_or_default()).await;
        }
        Err(error) => error,
    };
    let what = match error.kind() {
        TokenErrorKind::NoCredentials => "credentials are found",
        TokenErrorKind::NotDelegated => "domain-wide delegation allows the scopes",
        TokenErrorKind::LoginExpired => "the login is good",
        TokenErrorKind::MayNotImpersonate => "the service account may be impersonated",
        _ => "a token is given",
    };
    if error.kind() != TokenErrorKind::NoCredentials {
        well(&found)?;
        // Those before the one that failed have given what they were asked for.
        for hop in hops.iter().take_while(|hop| error.hop().is_some_and(|failed| failed != **hop)) {
            well(&passed(hop))?;
        }
    }
    // A source that is not reached says itself what keeps it from that.
    let mend = match error.kind() {
        TokenErrorKind::Misconfigured => error.advice(),
        _ => Some(error.advice().unwrap_or("give other credentials")),
    };
    unwell(what, error.problem(), mend)?;
    Err(match error.kind() {
        TokenErrorKind::Unavailable => Failure::new(Exit::Later, error),
        TokenErrorKind::Misconfigured => Failure::machine(error),
        _ => missing("there is no access token"),
    })
}

fn passed(hop: &str) -> String {
    format!("{hop} gives what it is asked for")
}

/// Asks what the token is, where somebody can say. What nobody has checked is not well.
async fn check(target: &Target, token: &str) -> Result<(), Failure> {
    match web::check(target, token).await {
        Checked::Good(token) => {
            let of = token.email.as_ref().map_or_else(String::new, |email| format!(" of {email}"));
            well(&format!("the token{of} is good for {}, with {}", token.left(), token.scopes.join(" ")))
        }
        Checked::Bad(said) => {
            unwell("the token is good", &format!("tokeninfo: {said}"), Some(Step::TokenTaken.usual_advice()))?;
            Err(missing("the access token is not good"))
        }
        Checked::Unknown(why) => {
            let text = format!("?     nobody has checked the token yet: {}\n", output::plain(&why));
            output::write(text.as_bytes())
        }
    }
}
