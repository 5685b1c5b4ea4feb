//! Subject tokens that a program prints.
//!
//! Source: [AIP-4117](https://google.aip.dev/auth/4117), "Determining the subject token in
//! executable-sourced credentials".

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::{
    TokenError, TokenErrorKind,
    external_account::read_aside,
    file::Members,
    http::{Hop, shown},
    program::printed,
    variable,
};

/// The variable that allows programs to be run.
const ALLOW: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";

pub(super) struct Executable {
    program: String,
    arguments: Vec<String>,
    time_limit: Duration,
    /// Where the program keeps its last answer.
    output_file: Option<PathBuf>,
    environment: Vec<(&'static str, String)>,
}

impl Executable {
    pub(super) fn read(
        settings: &Members<'_>,
        file: &Members<'_>,
        audience: &str,
        token_type: &str,
    ) -> Result<Self, String> {
        let mut words = words(settings.required("command")?)?.into_iter();
        let program = words.next().ok_or("the command of its credential_source.executable is empty")?;
        let millis = settings.0["timeout_millis"].as_u64().unwrap_or(30_000);
        if !(5_000..=120_000).contains(&millis) {
            return Err("the timeout_millis of its credential_source.executable is not from 5000 to 120000".to_owned());
        }
        let output_file = settings.optional("output_file")?;
        let mut environment = vec![
            ("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", audience.to_owned()),
            ("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", token_type.to_owned()),
            ("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0".to_owned()),
        ];
        if let Some(path) = output_file {
            environment.push(("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", path.to_owned()));
        }
        let url = file.optional("service_account_impersonation_url")?.unwrap_or_default();
        if let Some((_, account)) = url.rsplit_once('/') {
            let email = account.trim_end_matches(":generateAccessToken").to_owned();
            environment.push(("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", email));
        }
        Ok(Self {
            program,
            arguments: words.collect(),
            time_limit: Duration::from_millis(millis),
            output_file: output_file.map(PathBuf::from),
            environment,
        })
    }

    /// The program, without its arguments, which may hold secrets.
    pub(super) fn program(&self) -> &str {
        &self.program
    }

    pub(super) async fn run(&self, provider: &Hop) -> Result<String, TokenError> {
        if variable(ALLOW).as_deref() != Some("1") {
            let why = "it may not be run";
            return Err(provider.failed(TokenErrorKind::Refused, why).advise(format!(
                "set {ALLOW}=1 to allow it, if you know who wrote the credentials file: the file says what is run"
            )));
        }
        // What the program printed before serves as long as it is valid.
        if let Some(kept) = self.kept().await
            && let Ok(token) = token(&kept, SystemTime::now(), true)
        {
            return Ok(token);
        }
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut printed = printed(&mut command, self.time_limit).await.map_err(|error| {
            provider.failed(TokenErrorKind::Refused, format!("it could not be run to its end: {error}"))
        })?;
        if printed.trim_ascii().is_empty() {
            printed = self.kept().await.unwrap_or_default();
        }
        token(&printed, SystemTime::now(), false).map_err(|problem| provider.failed(TokenErrorKind::Refused, problem))
    }

    /// What the program has kept in its file, if it has one.
    async fn kept(&self) -> Option<Vec<u8>> {
        read_aside(self.output_file.as_deref()?).await.ok()
    }
}

/// The subject token in what a program printed, or has kept (`is_kept`) from an earlier run.
///
/// # Errors
///
/// If there is none. What is repeated of it is the message that is meant to be.
fn token(printed: &[u8], now: SystemTime, is_kept: bool) -> Result<String, String> {
    let json: Value = serde_json::from_slice(printed).map_err(|_| "it does not print the JSON of a token")?;
    if json["version"].as_u64() != Some(1) {
        return Err("it prints no `version` 1".to_owned());
    }
    if json["success"].as_bool() != Some(true) {
        let text = |name: &str| match &json[name] {
            Value::String(text) => shown(text, &[]),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        return Err(format!("it says: {} {}", text("code"), text("message")).trim_end().to_owned());
    }
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    match json["expiration_time"].as_f64() {
        Some(end) if end <= now as f64 => return Err("its token has expired".to_owned()),
        // It could have expired long ago.
        None if is_kept => return Err("it has kept no expiration_time".to_owned()),
        _ => {}
    }
    let member = match json["token_type"].as_str().unwrap_or_default() {
        "urn:ietf:params:oauth:token-type:saml2" => "saml_response",
        _ => "id_token",
    };
    json[member].as_str().map(str::to_owned).ok_or_else(|| format!("it prints no {member}"))
}

/// The words of a command, of which quotes keep those with spaces together.
fn words(command: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    match quote {
        None => Ok(words),
        Some(_) => Err("the command of its credential_source.executable has a quote that does not end".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_at_spaces_outside_of_quotes() {
        for (command, split) in [
            ("/bin/token --audience a", &["/bin/token", "--audience", "a"][..]),
            ("  '/my bin/token'  \"a b\"c ''", &["/my bin/token", "a bc", ""]),
            (r"C:\bin\token.exe", &[r"C:\bin\token.exe"]),
        ] {
            assert_eq!(words(command).unwrap(), split, "{command}");
        }
        assert!(words("a 'b").is_err());
    }

    #[test]
    fn a_program_says_its_token_or_why_there_is_none() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        for (printed, outcome) in [
            (
                r#"{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"t"}"#,
                Ok("t"),
            ),
            (
                r#"{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:saml2","saml_response":"s","expiration_time":1001}"#,
                Ok("s"),
            ),
            (r#"{"version":1,"success":true,"id_token":"t","expiration_time":1000}"#, Err("its token has expired")),
            (r#"{"version":1,"success":false,"code":"401","message":"log in"}"#, Err("it says: 401 log in")),
            (r#"{"version":2}"#, Err("it prints no `version` 1")),
            (r#"{"version":1,"success":true}"#, Err("it prints no id_token")),
            ("token", Err("it does not print the JSON of a token")),
        ] {
            assert_eq!(token(printed.as_bytes(), now, false).as_deref().map_err(String::as_str), outcome, "{printed}");
        }
        // What is kept is used again only as long as it says.
        for (end, outcome) in [
            ("", Err("it has kept no expiration_time")),
            (r#","expiration_time":1000"#, Err("its token has expired")),
            (r#","expiration_time":1001"#, Ok("t")),
        ] {
            let kept = format!(r#"{{"version":1,"success":true,"id_token":"t"{end}}}"#);
            assert_eq!(token(kept.as_bytes(), now, true).as_deref().map_err(String::as_str), outcome, "{kept}");
        }
    }
}
