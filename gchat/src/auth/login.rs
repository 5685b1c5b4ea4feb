//! `gchat auth login`: the authorization code grant with PKCE.
//!
//! Sources: [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749), section 4.1;
//! [RFC 7636](https://www.rfc-editor.org/rfc/rfc7636) for PKCE.

use std::{io::BufRead, path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use form_urlencoded::Serializer;
use serde_json::{Value, json};

use super::{listener::Listener, scopes_in_full, store, web};
use crate::{
    failure::{Exit, Failure},
    output,
};

pub(crate) const HELP: &str = "\
Client id:
  Google refuses the scopes of Google Chat to gcloud's own client, so that a
  login needs a client id of your own: in the Google Cloud console, under APIs &
  Services, Credentials, create an OAuth client id for a desktop app, and
  download its file.

Examples:
  gchat auth login --client-id-file client_secret.json
  gchat auth login --client-id-file client_secret.json --no-browser
  gchat auth login --client-id-file client_secret.json \\
      --scope chat.spaces --scope chat.memberships";

/// What is asked for by default: what the commands of this program need, and the address of
/// the user.
const SCOPES: [&str; 5] = ["chat.spaces", "chat.memberships", "chat.messages", "chat.delete", "userinfo.email"];

/// How long a login may take.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file of an OAuth client id for a desktop app
    #[arg(long, value_name = "FILE")]
    client_id_file: PathBuf,
    /// An OAuth 2.0 scope to ask for, in full or short (chat.spaces); can be repeated
    /// [default: chat.spaces, chat.memberships, chat.messages, chat.delete and
    /// userinfo.email]
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// The user to log in
    #[arg(long, value_name = "EMAIL")]
    login_hint: Option<String>,
    /// The project that calls are counted against
    #[arg(long, value_name = "PROJECT")]
    quota_project: Option<String>,
    /// Open no browser: print the address to open on any machine, and read the one
    /// that the browser ends at from standard input
    #[arg(long)]
    no_browser: bool,
}

/// An OAuth client, as the console's file has it.
struct Client {
    id: String,
    secret: String,
    auth_uri: String,
    token_uri: String,
}

impl Client {
    fn read(path: &std::path::Path) -> Result<Self, Failure> {
        let bad = |problem: &str| Failure::usage(format!("--client-id-file: {problem}"));
        let text = std::fs::read_to_string(path).map_err(|error| bad("the file cannot be read").because(error))?;
        // What a parser says may repeat a part of the secret.
        let file: Value = serde_json::from_str(&text).map_err(|_| bad("the file is not JSON; download it again"))?;
        let Some(client) = file.get("installed") else {
            let problem = match file.get("web") {
                Some(_) => "it is a client id for a web application; create one for a desktop app",
                None => "it is not the file of an OAuth client id; create one for a desktop app, and download it",
            };
            return Err(bad(problem));
        };
        let text = |name: &str, usual: &str| client[name].as_str().unwrap_or(usual).to_owned();
        let id = text("client_id", "");
        if id.is_empty() {
            return Err(bad("it has no client_id; download it again"));
        }
        let auth_uri = text("auth_uri", "https://accounts.google.com/o/oauth2/auth");
        let token_uri = text("token_uri", "https://oauth2.googleapis.com/token");
        // The system opens the former with whatever program the scheme of a URL stands for.
        for (name, uri) in [("auth_uri", &auth_uri), ("token_uri", &token_uri)] {
            if web::confidential(uri).is_none() {
                let problem = "is not the URL of a server by https, or on this machine; download the file again";
                return Err(bad(&format!("its {name} {problem}")));
            }
        }
        Ok(Self { id, secret: text("client_secret", ""), auth_uri, token_uri })
    }
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let path = store::path().ok_or_else(|| Failure::usage("there is no folder to keep the login in; set HOME"))?;
    let client = Client::read(&args.client_id_file)?;
    let listener = Listener::start().await.and_then(|listener| Ok((listener.redirect_uri()?, listener)));
    let (redirect_uri, listener) =
        listener.map_err(|error| Failure::machine("cannot listen on this machine").because(error))?;
    let (verifier, state) = (random()?, random()?);
    let url = authorization_url(args, &client, &redirect_uri, &verifier, &state);
    let opened = !args.no_browser && open(&url);
    output::note(if opened { "if no browser opens, open this address:" } else { "open this address in a browser:" });
    output::note(&url);

    let code = tokio::time::timeout(PATIENCE, code(&listener, &state, args.no_browser)).await;
    let code = code.map_err(|_| Failure::new(Exit::Missing, format!("nobody has logged in within {PATIENCE:?}")))??;
    let login = exchange(&client, &code, &redirect_uri, &verifier, args.quota_project.as_deref()).await?;
    store::write(&path, &login)?;
    output::note(&format!("the login is kept in {}", path.display()));
    Ok(())
}

/// 32 random bytes as text that any URL takes.
fn random() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::getrandom(&mut bytes).map_err(|error| Failure::machine("there are no random bytes").because(error))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn authorization_url(args: &Args, client: &Client, redirect_uri: &str, verifier: &str, state: &str) -> String {
    let scopes = match args.scope.is_empty() {
        true => scopes_in_full(&SCOPES.map(str::to_owned)),
        false => scopes_in_full(&args.scope),
    };
    let challenge = URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes()));
    let mut query = Serializer::new(String::new());
    query.extend_pairs([
        ("response_type", "code"),
        ("client_id", &client.id),
        ("redirect_uri", redirect_uri),
        ("scope", &scopes),
        ("state", state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        // A refresh token, also where the user has allowed the client before.
        ("access_type", "offline"),
        ("prompt", "consent"),
    ]);
    if let Some(user) = &args.login_hint {
        query.append_pair("login_hint", user);
    }
    format!("{}?{}", client.auth_uri, query.finish())
}

/// Opens an address in the user's browser, if there is one.
fn open(url: &str) -> bool {
    use std::process::{Command, Stdio};
    let (program, arguments): (&str, &[&str]) = match () {
        () if cfg!(target_os = "macos") => ("open", &[]),
        // Its first argument is what `start` takes for the title of a window.
        () if cfg!(windows) => ("rundll32", &["url.dll,FileProtocolHandler"]),
        () => ("xdg-open", &[]),
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}

/// Waits for the code that the browser brings, or that the user pastes.
async fn code(listener: &Listener, state: &str, read_input: bool) -> Result<String, Failure> {
    let state = state.to_owned();
    let at_port = listener.outcome({
        let state = state.clone();
        move |query| outcome(query, &state)
    });
    let outcome = if read_input {
        output::note("then paste the address that the browser ends at, which begins with http://127.0.0.1:");
        let (sender, pasted) = tokio::sync::oneshot::channel();
        // A thread of its own, which may wait for a line that never comes.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                let query = line.trim().split_once('?').map_or("", |(_, query)| query);
                match self::outcome(query, &state) {
                    Some(outcome) => return drop(sender.send(outcome)),
                    None => output::note("that is not the address of this login; paste all of it"),
                }
            }
        });
        let pasted = async {
            match pasted.await {
                Ok(outcome) => outcome,
                // The end of the input: the browser may still come.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            outcome = at_port => outcome,
            outcome = pasted => Ok(outcome),
        }
    } else {
        at_port.await
    };
    let outcome = outcome.map_err(|error| Failure::machine("cannot listen on this machine").because(error))?;
    outcome.map_err(|error| {
        Failure::new(
            Exit::Missing,
            match &*error {
                "access_denied" => {
                    "the login was refused in the browser (access_denied); an administrator may have to \
                                trust the client id (Admin console, Security, API controls)"
                        .to_owned()
                }
                error => format!("the login failed in the browser: {}", output::plain(error)),
            },
        )
    })
}

/// What a query says that comes back from the login with this state: the code, or an error.
/// `None` if it comes from somewhere else.
fn outcome(query: &str, state: &str) -> Option<Result<String, String>> {
    let field = |name: &str| {
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    if field("state")? != state {
        return None;
    }
    match (field("code"), field("error")) {
        (Some(code), _) => Some(Ok(code)),
        (None, Some(error)) => Some(Err(error)),
        (None, None) => None,
    }
}

/// Exchanges the code for a login.
async fn exchange(
    client: &Client,
    code: &str,
    redirect_uri: &str,
    verifier: &str,
    quota_project: Option<&str>,
) -> Result<Value, Failure> {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("client_id", &client.id),
        ("client_secret", &client.secret),
        ("code_verifier", verifier),
    ];
    let (status, answer) =
        web::post_form(&client.token_uri, &form).await.map_err(|why| Failure::new(Exit::Later, why))?;
    if !(200..300).contains(&status) {
        let said = output::plain(&web::said(&answer, &[code, &client.secret, verifier]));
        return Err(Failure::new(
            Exit::Missing,
            format!(
                "the token endpoint {} refuses the login: {said} (HTTP {status}); log in again, or check the client id",
                client.token_uri
            ),
        ));
    }
    let token = answer["refresh_token"].as_str().ok_or_else(|| {
        let problem = "the token endpoint gave no refresh token; remove the app's access at \
                       https://myaccount.google.com/connections, and log in again";
        Failure::new(Exit::Missing, problem)
    })?;
    let mut login = json!({
        "type": "authorized_user",
        "client_id": client.id,
        "client_secret": client.secret,
        "refresh_token": token,
        "token_uri": client.token_uri,
    });
    if let Some(project) = quota_project {
        login["quota_project_id"] = project.into();
    }
    Ok(login)
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_login_that_was_begun_brings_a_code() {
        for (query, outcome) in [
            ("state=s&code=4%2Fa", Some(Ok("4/a".to_owned()))),
            ("code=c&state=s&scope=x", Some(Ok("c".to_owned()))),
            ("error=access_denied&state=s", Some(Err("access_denied".to_owned()))),
            ("state=other&code=c", None),
            ("code=c", None),
            ("state=s", None),
            ("", None),
        ] {
            assert_eq!(super::outcome(query, "s"), outcome, "{query}");
        }
    }
}
