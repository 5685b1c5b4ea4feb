//! A user's login: a refresh token, which is exchanged for access tokens.
//!
//! The file's types are `authorized_user` and, for a workforce,
//! `external_account_authorized_user`.
//!
//! Source: [RFC 6749, section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6), and
//! [AIP-4113](https://google.aip.dev/auth/4113).

use std::sync::Mutex;

use http::HeaderValue;

use super::{
    TokenError, TokenErrorKind, Universe,
    file::Members,
    http::{Endpoint, Hop, Http, Refusal},
    lock,
    tokens::Token,
};

/// What to do where a login has ended.
const AGAIN: &str = "log in again with the command that made the file: `gchat auth login`, or `gcloud auth \
     application-default login --client-id-file=FILE --scopes=SCOPES`, with a client id of your own and the scopes of \
     Google Chat";

pub(super) struct Login {
    pub(super) endpoint: Endpoint,
    pub(super) hop: Hop,
    client_id: String,
    client_secret: String,
    /// Whether the client says who it is in a header (RFC 6749, section 2.3.1), as a workforce's
    /// does.
    basic: bool,
    /// A server may give another one with each access token.
    refresh_token: Mutex<String>,
}

impl Login {
    /// Reads a file of the type `authorized_user`.
    pub(super) fn read(members: &Members<'_>, universe: &Universe) -> Result<Self, String> {
        let url = members.optional("token_uri")?.map_or_else(|| universe.token_endpoint(), str::to_owned);
        Self::new(members, Endpoint::parse("token_uri", &url)?, false)
    }

    /// Reads a file of the type `external_account_authorized_user`.
    pub(super) fn read_workforce(members: &Members<'_>) -> Result<Self, String> {
        Self::new(members, Endpoint::parse("token_url", members.required("token_url")?)?, true)
    }

    fn new(members: &Members<'_>, endpoint: Endpoint, basic: bool) -> Result<Self, String> {
        let text = |name| members.required(name).map(str::to_owned);
        let client_secret = members.optional("client_secret")?.unwrap_or_default().to_owned();
        Ok(Self {
            hop: Hop::new("access token", format!("the token endpoint {} for the login", endpoint.origin)),
            endpoint,
            client_id: text("client_id")?,
            client_secret,
            basic,
            refresh_token: Mutex::new(text("refresh_token")?),
        })
    }

    pub(super) fn is_of_workforce(&self) -> bool {
        self.basic
    }

    /// Exchanges the refresh token for an access token with all scopes of the login: to ask
    /// for one that it does not have is refused, even where it has a wider one.
    pub(super) async fn refresh(&self, http: &Http) -> Result<Token, TokenError> {
        let refresh_token = lock(&self.refresh_token).clone();
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", &*refresh_token)];
        let mut header = None;
        if self.basic {
            header = Some(basic(&self.client_id, &self.client_secret).ok_or_else(|| {
                self.hop.failed(TokenErrorKind::Refused, "the client id or secret of the login is no header's value")
            })?);
        } else {
            form.push(("client_id", &self.client_id));
            // A client that can keep no secret has none.
            if !self.client_secret.is_empty() {
                form.push(("client_secret", &self.client_secret));
            }
        }
        let answer = http.post_form(&self.hop, &self.endpoint, header, &form).await?;
        let answer = answer.ok(&[&refresh_token, &self.client_secret]).map_err(|refusal| refused(*refusal))?;
        let token = answer.access_token()?;
        if let Some(next) = answer.json()["refresh_token"].as_str().filter(|next| !next.is_empty()) {
            *lock(&self.refresh_token) = next.to_owned();
        }
        Ok(token)
    }
}

/// A client's id and secret as a header (RFC 7617).
pub(super) fn basic(id: &str, secret: &str) -> Option<HeaderValue> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Why the token endpoint refuses a login, and what to do.
fn refused(refusal: Refusal) -> TokenError {
    let Refusal { name, subtype, description, error, .. } = refusal;
    match &*name {
        "invalid_grant" if subtype == "invalid_rapt" || description.contains("invalid_rapt") => {
            error.of_kind(TokenErrorKind::LoginExpired).advise(format!(
                "the organization wants its users to log in anew from time to time (Admin console, Security, Google \
                 Cloud session control): {AGAIN}; what runs without a person should use a service account"
            ))
        }
        "invalid_grant" => error
            .of_kind(TokenErrorKind::LoginExpired)
            .advise(format!("the login has expired, or was revoked: {AGAIN}")),
        "invalid_client" | "unauthorized_client" | "deleted_client" => {
            error.advise(format!("the client id of the login was deleted, or its secret was changed: {AGAIN}"))
        }
        _ => error,
    }
}
