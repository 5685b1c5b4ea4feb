//! `gchat auth`: a login by a browser, and what becomes of it.

mod listener;
mod login;
pub(crate) mod store;
pub(crate) mod web;

use crate::{
    connection::{Connection, Target, in_full},
    failure::{Exit, Failure},
    output,
};
use web::Checked;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Log in with a browser, and keep the login for later calls
    #[command(after_help = login::HELP)]
    Login(login::Args),
    /// Say who makes calls, and whether the credentials are good
    #[command(after_help = "Examples:\n  gchat auth status\n  gchat auth status --credentials key.json")]
    Status(Show),
    /// End the login, at Google and here
    #[command(after_help = "Examples:\n  gchat auth logout")]
    Logout,
    /// Print an access token, for other programs
    #[command(after_help = PRINT_HELP)]
    PrintAccessToken(Show),
}

const PRINT_HELP: &str = "\
Examples:
  curl --header \"authorization: Bearer $(gchat auth print-access-token)\" \\
      https://chat.googleapis.com/v1/spaces";

/// Which credentials are meant, and for which scopes.
#[derive(clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Login(args) => login::run(&args).await,
        Command::Status(show) => status(&show.connection.target()?).await,
        Command::Logout => logout().await,
        Command::PrintAccessToken(show) => {
            let token = token(&show.connection.target()?).await?;
            output::write(format!("{token}\n").as_bytes())
        }
    }
}

/// An access token with the scopes that are asked for, or that seeing a space needs.
async fn token(target: &Target) -> Result<String, Failure> {
    // So that requests for tokens use connections made the same way as calls.
    target.client()?;
    let usual = if target.is_app() { "chat.bot" } else { "chat.spaces.readonly" };
    let scopes = target.scopes(vec![usual]);
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let token = target.who.credentials.access_token(&scopes).await;
    let token = token.map_err(|error| Failure::from(tonic::Status::from(error)))?;
    token.ok_or_else(|| Failure::new(Exit::Missing, "there is no access token without credentials"))
}

async fn status(target: &Target) -> Result<(), Failure> {
    let token = token(target).await?;
    let mut text = format!("who:    {}\n", output::plain(&target.who.name));
    match web::check(target, &token).await {
        Checked::Good(token) => {
            text.push_str(&format!("token:  good for {}\n", output::plain(&token.left())));
            if let Some(email) = &token.email {
                text.push_str(&format!("user:   {}\n", output::plain(email)));
            }
            text.push_str(&format!("scopes: {}\n", output::plain(&token.scopes.join(" "))));
        }
        Checked::Bad(said) => {
            output::write(text.as_bytes())?;
            let problem = format!("the access token is not good ({said}); get a new one, or log in again");
            return Err(Failure::new(Exit::Missing, problem));
        }
        Checked::Unknown(why) => text.push_str(&format!("token:  not checked ({})\n", output::plain(&why))),
    }
    output::write(text.as_bytes())
}

async fn logout() -> Result<(), Failure> {
    let Some(path) = store::path().filter(|path| path.exists()) else {
        return Err(Failure::usage("nobody is logged in; `gchat auth login` logs in"));
    };
    let login = store::read(&path);
    let revoked = match &login {
        Ok(login) => web::revoke(login).await,
        Err(failure) => Err(failure.text()),
    };
    std::fs::remove_file(&path)
        .map_err(|error| Failure::machine(format!("cannot remove {}", path.display())).because(error))?;
    output::note(&format!("gchat: removed {}", path.display()));
    // What is not revoked there goes on to be good for whoever has a copy.
    revoked.map_err(|why| {
        Failure::new(
            Exit::Later,
            format!(
                "the login is removed here, but was not revoked at Google ({why}); remove the app's access at \
             https://myaccount.google.com/connections"
            ),
        )
    })
}

/// Scopes in full, of texts that may be in short.
fn scopes_in_full(scopes: &[String]) -> String {
    scopes.iter().map(|scope| in_full(scope)).collect::<Vec<_>>().join(" ")
}
