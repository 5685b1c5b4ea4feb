//! External accounts: what another identity provider says of the machine is exchanged for a
//! token of Google's.
//!
//! Source: [AIP-4117](https://google.aip.dev/auth/4117), and for the exchange
//! [RFC 8693](https://www.rfc-editor.org/rfc/rfc8693).

use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue, Request};
use serde_json::{Value, json};

use super::{
    LOOK_UP, TokenError, TokenErrorKind, aside,
    aws::Aws,
    executable::Executable,
    file::Members,
    http::{Endpoint, Hop, Http, LIMIT, Refusal},
    login::basic,
    tokens::Token,
};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(super) struct ExternalAccount {
    audience: String,
    subject_token_type: String,
    subject_token: SubjectToken,
    /// Who gives the subject token.
    pub(super) provider: Hop,
    pub(super) sts: Endpoint,
    pub(super) hop: Hop,
    /// The client's id and secret, where STS wants them.
    client: Option<HeaderValue>,
    /// A workforce's project for quota and billing.
    user_project: Option<String>,
}

/// Where the subject token comes from.
enum SubjectToken {
    File(PathBuf, Format),
    Url(Endpoint, Vec<(HeaderName, HeaderValue)>, Format),
    Executable(Executable),
    Aws(Box<Aws>),
}

/// How a file or a server has the subject token.
enum Format {
    Text,
    /// The member of a JSON object.
    Json(String),
}

impl ExternalAccount {
    pub(super) fn read(members: &Members<'_>) -> Result<Self, String> {
        let text = |name| members.required(name).map(str::to_owned);
        let (audience, subject_token_type) = (text("audience")?, text("subject_token_type")?);
        let sts = Endpoint::parse("token_url", members.required("token_url")?)?;
        let source = members.0.get("credential_source").filter(|source| source.is_object());
        let source = Members(source.ok_or("it has no credential_source; make or download the file again")?);
        let (subject_token, who) = SubjectToken::read(&source, members, &audience, &subject_token_type)?;
        let client = match members.optional("client_id")? {
            None => None,
            Some(id) => {
                let secret = members.optional("client_secret")?.unwrap_or_default();
                Some(basic(id, secret).ok_or("its client_id or client_secret is no header's value")?)
            }
        };
        Ok(Self {
            subject_token,
            provider: Hop::new("subject token", who),
            hop: Hop::new("access token", format!("STS ({})", sts.origin)),
            sts,
            client,
            user_project: members.optional("workforce_pool_user_project")?.map(str::to_owned),
            audience,
            subject_token_type,
        })
    }

    /// The workload identity pool, as a member of a policy.
    pub(super) fn member(&self) -> String {
        let pool = self.audience.split("/providers/").next().unwrap_or_default();
        format!("principalSet:{pool}/*")
    }

    pub(super) async fn token(&self, http: &Http, scopes: &str) -> Result<Token, TokenError> {
        let subject_token = match self.subject_token.get(http, &self.provider, &self.audience).await {
            Ok(token) if token.is_empty() => return Err(self.provider.unavailable("it is empty")),
            // What AWS is asked for on the way are steps of one hop.
            outcome => outcome.map_err(|error| {
                let error = error.at(&self.provider);
                let advised = error.advice().is_some() || error.kind() == TokenErrorKind::Misconfigured;
                let advice = "check the credential_source of the credentials file, and what is to give the token";
                if advised { error } else { error.advise(advice) }
            })?,
        };
        let mut form = vec![
            ("grant_type", TOKEN_EXCHANGE),
            ("audience", &self.audience),
            ("scope", scopes),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token_type", &self.subject_token_type),
            ("subject_token", &subject_token),
        ];
        let options = self.user_project.as_ref().map(|project| json!({ "userProject": project }).to_string());
        // A client that says who it is has its project by that.
        if let Some(options) = options.as_ref().filter(|_| self.client.is_none()) {
            form.push(("options", options));
        }
        let answer = http.post_form(&self.hop, &self.sts, self.client.clone(), &form).await?;
        answer.ok(&[&subject_token]).map_err(|refusal| self.refused(*refusal))?.access_token()
    }

    /// Why STS refuses, and what to do.
    fn refused(&self, refusal: Refusal) -> TokenError {
        let Refusal { name, error, .. } = refusal;
        match &*name {
            "invalid_grant" => error.advise(format!(
                "see that {} gives a token that is still valid, with the issuer, the audience and the attributes that \
                 the workload identity pool's provider wants (gcloud iam workload-identity-pools providers describe)",
                self.provider
            )),
            "invalid_target" => error.advise(
                "check the file's audience: the workload identity pool and its provider must exist and be enabled",
            ),
            "invalid_client" | "unauthorized_client" => {
                error.advise("check the client_id and client_secret of the file, or leave both out")
            }
            _ => error,
        }
    }
}

impl SubjectToken {
    /// Reads `credential_source`, and says who it is that gives the token.
    fn read(
        source: &Members<'_>,
        file: &Members<'_>,
        audience: &str,
        token_type: &str,
    ) -> Result<(Self, String), String> {
        if let Some(environment) = source.optional("environment_id")? {
            let aws = Aws::read(environment, source)?;
            return Ok((
                Self::Aws(Box::new(aws)),
                "AWS (the variables of the environment, or the instance's metadata)".to_owned(),
            ));
        }
        if let Some(path) = source.optional("file")? {
            let who = format!("the file {path}");
            return Ok((Self::File(path.into(), Format::read(source)?), who));
        }
        if let Some(url) = source.optional("url")? {
            let endpoint = Endpoint::parse_local("credential_source.url", url)?;
            let who = format!("the URL of credential_source at {}", endpoint.origin);
            return Ok((Self::Url(endpoint, headers(source)?, Format::read(source)?), who));
        }
        if let Some(settings) = source.0.get("executable") {
            let executable = Executable::read(&Members(settings), file, audience, token_type)?;
            let who = format!("the executable {}", executable.program());
            return Ok((Self::Executable(executable), who));
        }
        Err("its credential_source has no file, url, executable or environment_id; other kinds, such as certificate, \
             are not supported"
            .to_owned())
    }

    async fn get(&self, http: &Http, provider: &Hop, audience: &str) -> Result<String, TokenError> {
        match self {
            // Read anew for each exchange: whoever writes it replaces it before it expires.
            Self::File(path, format) => {
                let bytes = read_aside(path).await.map_err(|error| provider.failed(TokenErrorKind::Refused, error))?;
                format.parse(&bytes).map_err(|problem| provider.failed(TokenErrorKind::Refused, problem))
            }
            Self::Url(endpoint, headers, format) => {
                let mut request = Request::get(endpoint.uri().clone());
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let answer = http.send(provider, endpoint, request, "").await?;
                let answer = answer.ok(&[]).map_err(|refusal| refusal.error)?;
                let text = answer.text().unwrap_or_default();
                format.parse(text.as_bytes()).map_err(|problem| provider.unavailable(problem))
            }
            Self::Executable(executable) => executable.run(provider).await,
            Self::Aws(aws) => aws.subject_token(http, audience).await,
        }
    }
}

/// The headers that a server of subject tokens wants. They may hold a token, and do not show.
fn headers(source: &Members<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let headers = source.0.get("headers").and_then(Value::as_object);
    let headers = headers.into_iter().flatten().map(|(name, value)| {
        let name = HeaderName::try_from(name).ok()?;
        let mut value = HeaderValue::try_from(value.as_str()?).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    });
    headers.collect::<Option<_>>().ok_or_else(|| "its credential_source.headers has what is no header".to_owned())
}

/// Reads a file that is not too large.
pub(super) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LIMIT as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LIMIT {
        return Err(std::io::Error::other(format!("it is larger than {LIMIT} bytes")));
    }
    Ok(bytes)
}

/// The same for a file that may be a pipe, which nobody may write to.
pub(super) async fn read_aside(path: &Path) -> std::io::Result<Vec<u8>> {
    let path = path.to_owned();
    aside(LOOK_UP, move || read(&path)).await
}

impl Format {
    fn read(source: &Members<'_>) -> Result<Self, String> {
        let Some(format) = source.0.get("format") else { return Ok(Self::Text) };
        let format = Members(format);
        match format.optional("type")? {
            None | Some("text") => Ok(Self::Text),
            Some("json") => format.required("subject_token_field_name").map(|name| Self::Json(name.to_owned())),
            Some(_) => Err("the format of its credential_source is neither text nor json".to_owned()),
        }
    }

    /// The token in what was read. The error repeats nothing of it.
    fn parse(&self, bytes: &[u8]) -> Result<String, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not a text")?.trim();
        match self {
            Self::Text => Ok(text.to_owned()),
            Self::Json(name) => {
                let json: Value = serde_json::from_str(text).map_err(|_| "it is not JSON, as the format says")?;
                let token = json.get(name).and_then(Value::as_str);
                Ok(token.ok_or_else(|| format!("it has no text `{name}`, as the format says"))?.to_owned())
            }
        }
    }
}
