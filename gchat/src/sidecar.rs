//! `gchat sidecar`.

use std::{convert::Infallible, path::PathBuf, time::Duration};

use google_chat::{
    Credentials, MethodScopes,
    grpc_transcoding::{
        HttpRules, MethodBindings,
        client::{Auto, Choice, Grpc, HttpJson, Origin},
        rpc,
        server::{Health, Reflection, RequestBody, SidecarLayer},
    },
    layer::{RetryPolicy, Scopes, Stack},
};
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::Full;
use tonic::{Status, body::Body};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};

use crate::{
    connection::{WireFlag, in_full},
    failure::Failure,
    input,
    limits::Bounds,
    output,
    serving::{self, Address, BackendTls, CONFIG_HELP, Operation, Readiness, SHUTDOWN_HELP, Traced},
    signals::Signals,
    who::Who,
};

pub(crate) fn help() -> String {
    format!("{EXAMPLES}\n\n{CREDENTIALS}\n\n{CONFIG_HELP}\n\n{SHUTDOWN_HELP}")
}

const EXAMPLES: &str = "\
Examples:
  gchat sidecar --listen 127.0.0.1:50051
  gchat sidecar --upstream https://api.example.com --descriptor-set api.bin \\
      --listen unix:/run/api.sock --wire http
  gchat sidecar --credentials key.json --subject alice@example.com

  The stub of any language then connects to the address without TLS. Only what
  HTTP/JSON cannot carry is answered with UNIMPLEMENTED, and the reason.";

const CREDENTIALS: &str = "\
Credentials:
  The caller's own `authorization` is passed on. With --credentials,
  --access-token or --application-default, calls that have none get a token.
  Whoever reaches the sidecar then acts as the account, so that it listens on
  loopback or a Unix socket only, unless --allow-remote-callers says otherwise.
  Tokens go to https and to loopback only. For Google Chat each call gets the
  least scopes that it needs; --scope replaces that.";

#[derive(clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Args {
    /// The URL of the API
    #[arg(long, alias = "backend", value_name = "URL", default_value = google_chat::ENDPOINT)]
    upstream: String,
    /// Where to listen: an address with a port, or unix: and a path; port 0 lets the
    /// system choose
    #[arg(long, value_name = "ADDR|unix:PATH", default_value = "127.0.0.1:50051")]
    listen: Address,
    /// How calls go to the API
    #[arg(long, value_enum, default_value_t)]
    wire: WireFlag,
    /// Send enum values as numbers, and ask for them so
    #[arg(long)]
    enums_as_integers: bool,
    /// A descriptor set of the API's protos, with their imports [default: Google Chat's]
    #[arg(long, help_heading = "Schema", value_name = "FILE", conflicts_with = "reflection")]
    descriptor_set: Option<PathBuf>,
    /// Ask for the protos by gRPC server reflection: the upstream, or the server at URL
    #[arg(long, help_heading = "Schema", value_name = "URL", num_args = 0..=1)]
    reflection: Option<Option<String>>,
    #[command(flatten)]
    identity: Identity,
    /// Leave an empty request id as it is; by default it is filled in
    #[arg(long, help_heading = "Calls")]
    no_request_ids: bool,
    /// Make each call once; by default it is made again where that is safe
    #[arg(long, help_heading = "Calls")]
    no_retries: bool,
    #[command(flatten)]
    operation: Operation,
    #[command(flatten)]
    backend_tls: BackendTls,
    #[command(flatten)]
    limits: Bounds,
}

/// As whom calls are made that have no `authorization` of their own.
#[derive(clap::Args)]
#[command(next_help_heading = "Credentials")]
struct Identity {
    /// A credentials file of any type, for calls without a token of their own
    #[arg(long, value_name = "FILE", conflicts_with_all = ["access_token", "application_default"])]
    credentials: Option<PathBuf>,
    /// The service account to act as, by IAM; delegates come before it, separated by
    /// commas
    #[arg(long, value_name = "EMAIL")]
    impersonate_service_account: Option<String>,
    /// The user to act for (needs a service account with domain-wide delegation)
    #[arg(long, value_name = "EMAIL")]
    subject: Option<String>,
    /// An access token, for calls without one of their own
    #[arg(long, value_name = "TOKEN", conflicts_with = "application_default")]
    access_token: Option<String>,
    /// Application default credentials, for calls without a token of their own
    #[arg(long)]
    application_default: bool,
    /// An OAuth 2.0 scope, in full or short (chat.spaces); can be repeated
    /// [default: of Google Chat, what each call needs]
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Listen beyond loopback although whoever connects acts with these credentials
    #[arg(long)]
    allow_remote_callers: bool,
}

type Upstream = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let who = args.identity.who()?;
    if who.is_some() && !args.listen.is_local() && !args.identity.allow_remote_callers {
        return Err(Failure::usage(
            "whoever reaches the sidecar would act with its credentials: let it listen on 127.0.0.1 or at unix:PATH, or \
             add --allow-remote-callers",
        ));
    }
    let origin = Origin::parse(&args.upstream).map_err(Failure::usage)?;
    let connector = serving::connector(&origin, &args.backend_tls, &args.limits)?;
    let grpc = Grpc::over(connector.clone(), origin.clone()).with_limits(args.limits.backend());
    let set = match (&args.reflection, &args.descriptor_set) {
        (None, Some(file)) => input::descriptor_set(file)?,
        (None, None) => google_chat::proto::DESCRIPTOR_SET.to_vec(),
        (Some(server), _) => {
            let url = server.as_ref().unwrap_or(&args.upstream);
            let server = match server {
                None => grpc.clone(),
                Some(url) => {
                    let origin = Origin::parse(url).map_err(Failure::usage)?;
                    Grpc::over(serving::connector(&origin, &args.backend_tls, &args.limits)?, origin)
                }
            };
            match args.operation.check_config {
                // What a server would say is not asked for; any schema does for the other settings.
                true => google_chat::proto::DESCRIPTOR_SET.to_vec(),
                false => serving::reflected(url, server, &mut signals).await?,
            }
        }
    };
    let rules = HttpRules::new(&serving::schema(&set, args.descriptor_set.as_deref())?);
    for warning in rules.unused() {
        output::say(&format!("warning: {warning}"));
    }

    let http_json = || {
        let http_json = HttpJson::builder(&rules, &args.upstream)
            .max_message_size(args.limits.max_message_size)
            .enums_as_integers(args.enums_as_integers);
        http_json.build_connecting(connector.clone()).map_err(Failure::usage)
    };
    let upstream: Upstream = match args.wire {
        WireFlag::Http => Upstream::new(http_json()?),
        // Without HTTP rules there is nothing to choose.
        WireFlag::Auto if rules.check().is_ok() => {
            let http_json = http_json()?;
            Upstream::new(Auto::by(Choice::auto(connector, &origin)).grpc(grpc).http_json(http_json))
        }
        WireFlag::Auto | WireFlag::Grpc => Upstream::new(grpc),
    };
    let is_anonymous = who.is_none();
    let upstream = args.layers(&rules, &origin, who)?.map_or(upstream.clone(), |layers| {
        // The scopes of a call are those of its method, where they are known.
        let layered = layers.layer(upstream);
        match is_anonymous || !args.identity.scope.is_empty() {
            true => Upstream::new(layered),
            false => {
                let (rules, as_app) = (rules.clone(), args.identity.subject.is_none());
                Upstream::new(service_fn(move |call| {
                    let (rules, layered) = (rules.clone(), layered.clone());
                    async move {
                        match with_scopes(&rules, as_app, call).await {
                            Ok(call) => layered.oneshot(call).await,
                            Err(status) => Ok(rpc::failure(status)),
                        }
                    }
                }))
            }
        }
    });
    let server = args.operation.server(&rules, &args.limits)?;
    let tells_tokens = origin.is_confidential();
    let upstream = Traced::new(upstream, server.tracer.clone(), origin);
    let upstream = service_fn(move |call: Request<Body>| {
        let upstream = upstream.clone();
        let refused = !tells_tokens && call.headers().contains_key(AUTHORIZATION);
        async move {
            if refused {
                return Ok(rpc::failure(Status::failed_precondition(
                    "the call has an authorization, which the sidecar does not send on in clear text; let its --upstream \
                     be https",
                )));
            }
            upstream.oneshot(call).await
        }
    });
    let sidecar = args.limits.sidecar(SidecarLayer::new(rules.clone())).layer(upstream);
    if args.operation.check_config {
        return args.operation.checked();
    }

    let reflection = Reflection::new(&[&set]).map_err(Failure::machine)?;
    let health = server.health.clone();
    let service = service_fn(move |call: Request<RequestBody>| {
        let (sidecar, reflection, health) = (sidecar.clone(), reflection.clone(), health.clone());
        async move {
            let path = call.uri().path();
            match () {
                () if !rpc::is_grpc(call.headers()) => {
                    match serving::health(path, &health, &Readiness::default()).await {
                        Some(answer) => Ok(answer),
                        None => sidecar.oneshot(call).await,
                    }
                }
                () if Health::serves(path) => health.oneshot(call).await,
                () if Reflection::serves(path) => reflection.oneshot(call).await,
                () => sidecar.oneshot(call).await,
            }
        }
    });
    server.run(&args.listen, service, Readiness::default(), signals).await
}

impl Args {
    /// The layers over what sends calls; `None` where nothing is asked of them.
    fn layers(&self, rules: &HttpRules, origin: &Origin, who: Option<Who>) -> Result<Option<Stack>, Failure> {
        if self.no_request_ids && self.no_retries && who.is_none() {
            return Ok(None);
        }
        let credentials = who.map_or_else(Credentials::anonymous, |who| who.credentials);
        let stack = Stack::new(rules, origin)
            .fill_request_ids(!self.no_request_ids)
            .retry(retry_policy(self.no_retries))
            .scopes(self.identity.scope.iter().map(|scope| in_full(scope)))
            .credentials(credentials);
        stack.map(Some).map_err(Failure::usage)
    }
}

/// The sidecar sets each call's deadline, so that neither a call nor one attempt has another
/// limit of time: a slow call would be cut off and made again within the time of its caller.
fn retry_policy(never: bool) -> RetryPolicy {
    let policy = if never { RetryPolicy::never() } else { RetryPolicy::default() };
    policy.with_total_timeout(Duration::MAX).with_attempt_timeout(Duration::MAX)
}

impl Identity {
    /// Who makes the calls that have no token of their own; `None` for nobody.
    fn who(&self) -> Result<Option<Who>, Failure> {
        let (account, subject) = (self.impersonate_service_account.as_deref(), self.subject.as_deref());
        let who = match (&self.credentials, &self.access_token) {
            (Some(file), _) => Who::file("--credentials", file),
            (None, Some(token)) => Who::token(token),
            (None, None) if self.application_default => Who::default(),
            (None, None) if account.is_some() || subject.is_some() => {
                return Err(Failure::usage(
                    "--subject and --impersonate-service-account need credentials: give --credentials FILE or \
                     --application-default",
                ));
            }
            (None, None) => return Ok(None),
        };
        who?.acting(account, subject).map(Some)
    }
}

/// A call with the scopes that its method needs for what it asks, where these are known.
async fn with_scopes(rules: &HttpRules, as_app: bool, call: Request<Body>) -> Result<Request<Body>, Status> {
    let known = rules.method(call.uri().path()).map(MethodBindings::method);
    let known = known.filter(|method| MethodScopes::of(&method.path()[1..]).is_some() && !method.is_client_streaming());
    let Some(method) = known else { return Ok(call) };
    let (mut head, body) = call.into_parts();
    // The sidecar has taken it in before, within its limit, and unpacked it.
    let framed = rpc::collect(body, usize::MAX).await.map_err(|error| Status::internal(error.to_string()))?;
    let message = rpc::unary(framed.clone(), None, usize::MAX)?;
    if let Some(scopes) = MethodScopes::needed(method, &message, as_app) {
        head.extensions.insert(Scopes::new(scopes.into_iter().map(in_full)));
    }
    Ok(Request::from_parts(head, Body::new(Full::new(framed))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_callers_deadline_ends_an_attempt() {
        for (never, attempts) in [(false, RetryPolicy::default().attempts), (true, 1)] {
            let policy = retry_policy(never);
            assert_eq!(
                (policy.attempts, policy.total_timeout, policy.attempt_timeout),
                (attempts, Duration::MAX, Duration::MAX)
            );
        }
    }
}
