//! `gchat doctor`.

use std::time::Duration;

use google_chat::{CreateSpaceRequest, Error, Space, grpc_transcoding::rpc::code_name, policy::RetryPolicy};
use tonic::Code;

use crate::{
    connection::{Connection, Needs, Target},
    failure::Failure,
    output,
};

pub(crate) const STEPS: &str = "\
It looks, in this order, at the credentials, the access token, the API being reached, the
API being enabled in the project, the token's scopes, the app being configured, and an
administrator's approval. Nothing is created: the call that shows the last ones asks for
a space of no kind, which the API refuses after all of them.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Looks at what importing needs, not at what creating a space does
    #[arg(long)]
    import_mode: bool,
    #[command(flatten)]
    connection: Connection,
}

const IMPORT: Needs = Needs { user: "chat.import", app: "chat.import" };

/// What is looked at, in this order.
const STEPS_OF_THE_CALL: [(&str, &str); 6] = [
    ("reached", "the API is reached"),
    ("token-taken", "the token is taken"),
    ("enabled", "the Google Chat API is enabled in the project"),
    ("scopes", "the token's scopes allow it"),
    ("configured", "the Chat app is configured"),
    ("approved", "an administrator has approved the app"),
];

/// Prints what is well.
fn well(what: &str) -> Result<(), Failure> {
    let (green, normal) = if output::colours(&std::io::stdout()) { ("\x1b[32m", "\x1b[0m") } else { ("", "") };
    output::write(format!("{green}ok{normal}    {}\n", output::plain(what)).as_bytes())
}

/// Prints what is not, and how to mend it.
fn unwell(what: &str, found: &str, mend: &str) -> Result<(), Failure> {
    let (red, normal) = if output::colours(&std::io::stdout()) { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    let (found, mend) = (output::plain(found), output::plain(mend));
    let text = format!("{red}fails{normal} {what}\n      found: {found}\n      mend:  {mend}\n");
    output::write(text.as_bytes())
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let create = || Needs::of("google.chat.v1.ChatService/CreateSpace", false);
    let needs = if args.import_mode { IMPORT } else { create().unwrap_or(IMPORT) };
    let target = match args.connection.target() {
        Ok(target) => target,
        Err(failure) => {
            unwell(
                "credentials are found",
                &failure.to_string(),
                "name a service account's key file that can be read",
            )?;
            return Err(missing("the credentials cannot be used"));
        }
    };
    let scopes = target.scopes(needs);
    // Before the token, so that its exchange goes by the same connector.
    let builder = target.builder(Some(needs)).checks(false).fill_request_ids(false);
    let mut policy = RetryPolicy::never();
    policy.total = Duration::from_secs(args.connection.timeout);
    let client = builder.retry(policy).build().map_err(Failure::usage)?;
    token(&target, &scopes).await?;
    // Certain to be refused for its kind, once everything else has been looked at.
    let space = Space { import_mode: args.import_mode, ..Space::default() };
    let failed = client.create_space(CreateSpaceRequest::from(space));
    let Err(error) = failed.await else {
        return Err(Failure::machine(format!("{} made a space of no kind; it is not Google Chat", target.endpoint)));
    };
    let broken = broken(&error);
    // How far the call came is not known then.
    if broken == Some("other") {
        let mend = error.advice().unwrap_or("see the message, and try again");
        unwell("a space can be created", &format!("{}: {}", code_name(error.code()), error.message()), mend)?;
        return Err(match error.code() {
            Code::ResourceExhausted => Failure::Later("the project's quota is used up for now".to_owned()),
            _ => missing("see above"),
        });
    }
    for (step, what) in STEPS_OF_THE_CALL {
        if Some(step) == broken && error.is_misconfigured() {
            let (happened, mend) = error.message().rsplit_once("; ").unwrap_or((error.message(), "see above"));
            unwell(what, &format!("{}: {happened}", code_name(error.code())), mend)?;
            return Err(Failure::machine("the API is not reached, until that is mended"));
        }
        if Some(step) == broken {
            let mend = error.advice().unwrap_or(match step {
                "reached" => "check the endpoint, the network and the proxy (HTTPS_PROXY)",
                "token-taken" => "get a new token, or other credentials",
                _ => "see https://developers.google.com/workspace/chat/troubleshoot-authentication",
            });
            unwell(what, &format!("{}: {}", code_name(error.code()), error.message()), mend)?;
            return Err(match step {
                "reached" => Failure::Later("the API is not reached".to_owned()),
                _ => missing(&format!("this check failed: {what}")),
            });
        }
        if step == "approved" && target.who.is_user == Some(true) {
            continue;
        }
        well(what)?;
    }
    output::write(b"A space can be created; nothing was.\n")
}

fn missing(what: &str) -> Failure {
    Failure::Missing(format!("a space cannot be created yet: {what}"))
}

/// Looks at the credentials and the token.
async fn token(target: &Target, scopes: &[String]) -> Result<(), Failure> {
    let asked: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let short: Vec<&str> = asked.iter().map(|scope| scope.rsplit('/').next().unwrap_or(scope)).collect();
    let found = format!("credentials are found: {}", target.who.name);
    if target.is_anonymous() {
        return well("no credentials are used, as was asked for");
    }
    let Err(status) = target.who.credentials.try_token(&asked).await else {
        well(&found)?;
        return well(&format!("a token is given for {}", short.join(" ")));
    };
    let message = status.message();
    let failure = missing("there is no access token");
    // The library's own words for what to do come after what happened.
    let (happened, mend) = message.split_once("; ").unwrap_or((message, "give other credentials"));
    if happened.starts_with("no credentials were found") || happened.starts_with("GOOGLE_APPLICATION_CREDENTIALS") {
        unwell("credentials are found", happened, mend)?;
        return Err(failure);
    }
    well(&found)?;
    let delegated = target.who.is_user == Some(true) && message.contains("unauthorized_client");
    let what = if delegated { "domain-wide delegation allows the scopes" } else { "a token is given" };
    unwell(what, happened, mend)?;
    Err(if status.code() == Code::Unavailable { Failure::Later(message.to_owned()) } else { failure })
}

/// The step that a call did not pass; none if it was refused for what it asks alone.
fn broken(error: &Error) -> Option<&'static str> {
    let says = |text: &str| error.message().to_ascii_lowercase().contains(text);
    Some(match (error.code(), error.reason()) {
        (_, Some("SERVICE_DISABLED")) => "enabled",
        (_, Some("ACCESS_TOKEN_SCOPE_INSUFFICIENT")) => "scopes",
        (Code::Unauthenticated, _) => "token-taken",
        (Code::NotFound, _) if says("chat app not found") || says("no bot") => "configured",
        (Code::PermissionDenied, _) if says("administrator") => "approved",
        (Code::PermissionDenied, _) => "scopes",
        (Code::InvalidArgument, _) => return None,
        (Code::Unavailable | Code::DeadlineExceeded, _) => "reached",
        (_, _) if error.message().contains("not gRPC") || error.message().contains("not the JSON form") => "reached",
        _ => "other",
    })
}
