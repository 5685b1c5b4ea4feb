//! The service account's key, and the JWTs that it signs.

use std::{fmt, time::SystemTime};

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{self, KeyPair},
};
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

use super::{Grant, Identity, Refused, is_timely, scopes};

/// A key for tests. It is published, and opens nothing but emulators.
const PUBLISHED: &str = include_str!("test_key.pem");
pub(crate) const EMAIL: &str = "chat-app@emulator.iam.gserviceaccount.com";
pub(super) const CLIENT_ID: &str = "100000000000000000001";
/// The project of the key.
pub(crate) const PROJECT: &str = "emulator";

/// base64url with or without padding, since clients differ.
pub(super) const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_encode_padding(false),
);

/// What the key's file holds, and what signatures are checked with.
pub(crate) struct ServiceKey {
    id: String,
    pem: String,
    public: Vec<u8>,
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceKey").field(&self.id).finish()
    }
}

impl ServiceKey {
    /// The key that every emulator has which is given no other.
    pub(crate) fn published() -> Result<Self, String> {
        Self::new(PUBLISHED.to_owned()).map(|key| Self { id: "published-test-key".to_owned(), ..key })
    }

    /// # Errors
    ///
    /// If the text is no RSA key of 2048 bits or more, as PEM of PKCS #8.
    pub(crate) fn new(pem: String) -> Result<Self, String> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
        // What a parser says of a key could quote it.
        let der = der.map_err(|_| "the key is not PEM of PKCS #8 (-----BEGIN PRIVATE KEY-----)")?;
        let pair = signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der());
        let pair = pair.map_err(|error| format!("the key is not RSA of 2048 bits or more: {error}"))?;
        let public = pair.public_key().as_ref().to_vec();
        let digest = digest::digest(&digest::SHA256, &public);
        let mark: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id: format!("fresh-test-key-{mark}"), pem, public })
    }

    /// The JSON of the key, whose tokens come from `token_uri`.
    pub(super) fn file(&self, token_uri: &str) -> String {
        let key = json!({
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": self.id,
            "private_key": self.pem,
            "client_email": EMAIL,
            "client_id": CLIENT_ID,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        });
        format!("{key:#}\n")
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Signs a payload as a JWT. `None` if the key cannot sign.
    pub(super) fn sign(&self, payload: &Value) -> Option<String> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(self.pem.as_bytes()).ok()?;
        let pair = signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?;
        let part = |json: &Value| BASE64URL.encode(json.to_string());
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.id});
        let signed = format!("{}.{}", part(&header), part(payload));
        let mut bytes = vec![0; pair.public().modulus_len()];
        pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut bytes).ok()?;
        Some(format!("{signed}.{}", BASE64URL.encode(bytes)))
    }

    /// The claims of a JWT that this key has signed, for its own account or for another one of
    /// the project.
    ///
    /// # Errors
    ///
    /// What Google's token endpoint says of another.
    pub(super) fn claims(&self, jwt: &str, others: &[String]) -> Result<Value, &'static str> {
        let (signed, signature) = jwt.rsplit_once('.').ok_or("Invalid JWT")?;
        let (_, payload) = signed.split_once('.').ok_or("Invalid JWT")?;
        let decode = |text: &str| BASE64URL.decode(text).map_err(|_| "Invalid JWT");
        let claims: Value = serde_json::from_slice(&decode(payload)?).map_err(|_| "Invalid JWT")?;
        let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        if issuer != EMAIL && !others.iter().any(|other| other == issuer) {
            return Err("Invalid grant: account not found");
        }
        let key = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &self.public);
        key.verify(signed.as_bytes(), &decode(signature)?).map_err(|_| "Invalid JWT Signature.")?;
        Ok(claims)
    }

    /// What a JWT stands for that comes in place of a token, as the official clients send it
    /// for the service account itself; `None` if the text is no such JWT.
    ///
    /// Source: [AIP-4111](https://google.aip.dev/auth/4111), "Self-signed JWT".
    pub(super) fn grant(&self, jwt: &str, now: SystemTime) -> Option<Result<Grant, Refused>> {
        let claims = self.claims(jwt, &[]).ok()?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("sub") != Some(EMAIL) {
            return None;
        }
        if !is_timely(&claims, now) {
            return Some(Err(Refused::Expired));
        }
        // Without scopes the JWT is for a service, which its audience names. That it allows
        // what every app may do is inferred.
        let scopes = text("scope").map_or_else(|| [Box::from("chat.bot")].into(), scopes);
        Some(Ok(Grant { identity: Identity::App, scopes, anonymous: false }))
    }
}
