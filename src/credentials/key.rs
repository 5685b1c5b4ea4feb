//! A service account's key: what it signs to say who asks for which scopes.
//!
//! Source: Google's "Using OAuth 2.0 for server to server applications".

use std::time::SystemTime;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use gcp_auth::CustomServiceAccount;
use serde_json::{Value, json};

use super::{
    TokenError, TokenErrorKind,
    file::Members,
    http::Endpoint,
    is_email,
    token_endpoint::{TokenEndpoint, claims},
};

pub(super) struct Key {
    pub(super) email: String,
    /// By which an administrator knows the service account, if the key has it.
    pub(super) client_id: Option<String>,
    pub(super) endpoint: TokenEndpoint,
    signer: CustomServiceAccount,
    header: Value,
}

/// A private key as PEM has it (RFC 7468), from a text whose lines may have been lost on
/// the way, as in variables of CI: with `\n` in letters, spaces or nothing between them.
fn pem(text: &str) -> Option<String> {
    const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
    const END: &str = "-----END PRIVATE KEY-----";
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    // No backslash is of base64, so what follows one is the letter of an escape.
    let body = body.replace("\\r", " ").replace("\\n", " ").replace('\\', " ");
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(&body).ok()?;
    Some(format!("{BEGIN}\n{body}\n{END}\n"))
}

impl Key {
    /// Reads the JSON of a key's file. Every problem is in words of this function's own: what
    /// a parser says may repeat what it was given.
    pub(super) fn read(members: &Members<'_>) -> Result<Self, String> {
        let email = members.required("client_email")?;
        if !is_email(email) {
            return Err("its client_email is not an e-mail address".to_owned());
        }
        let endpoint = TokenEndpoint::new(Endpoint::parse("token_uri", members.required("token_uri")?)?);
        let pem = pem(members.required("private_key")?).ok_or(
            "its private_key is not the PEM of a private key (`-----BEGIN PRIVATE KEY-----`, base64, `-----END PRIVATE \
             KEY-----`); download the key's file again",
        )?;
        let mut key = members.0.clone();
        key["private_key"] = pem.into();
        let signer = CustomServiceAccount::from_json(&key.to_string())
            .map_err(|_| "its private_key is not a whole RSA key in the form PKCS #8; download the key's file again")?;
        // What is not an id is not shown in place of one.
        let client_id = key["client_id"].as_str().unwrap_or_default();
        let is_id = client_id.bytes().all(|digit| digit.is_ascii_digit()) && !client_id.is_empty();
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = key.get("private_key_id") {
            header["kid"] = id.clone();
        }
        let client_id = is_id.then(|| client_id.to_owned());
        Ok(Self { email: email.to_owned(), client_id, endpoint, signer, header })
    }

    /// What the key signs to say who asks for what.
    pub(super) fn assertion(&self, subject: Option<&str>, scopes: &str) -> Result<String, TokenError> {
        let claims = claims(&self.email, subject, scopes, self.endpoint.audience(), SystemTime::now());
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&self.header), part(&claims));
        let signature = self.signer.signer().sign(signed.as_bytes());
        let signature =
            signature.map_err(|_| TokenError::new(TokenErrorKind::Refused, "the service account's key cannot sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
