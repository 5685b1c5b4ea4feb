//! AWS: a signed request that says who the machine is, which Google's STS makes in its place.
//!
//! Sources: [AIP-4117](https://google.aip.dev/auth/4117), "Determining the subject token in
//! AWS", and "Create a signed AWS API request" (Signature Version 4) of AWS's documentation.

use std::time::SystemTime;

use form_urlencoded::byte_serialize;
use http::{HeaderValue, Request};
use prost_types::Timestamp;
use ring::{digest, hmac};
use serde_json::{Value, json};

use super::{
    TokenError, TokenErrorKind,
    file::Members,
    http::{Endpoint, Hop, Http},
    variable,
};

pub(super) struct Aws {
    /// The URL of the request, with `{region}` in place of a region.
    verification_url: String,
    region_url: Option<Endpoint>,
    credentials_url: Option<Endpoint>,
    session_url: Option<Endpoint>,
}

/// What AWS's requests are signed with.
struct Keys {
    id: String,
    secret: String,
    session_token: Option<String>,
}

impl Aws {
    pub(super) fn read(environment: &str, source: &Members<'_>) -> Result<Self, String> {
        if environment != "aws1" {
            return Err(
                "the environment_id of its credential_source is not aws1, the only one that is known".to_owned()
            );
        }
        let url = |name: &str| {
            let url = source.optional(name)?;
            url.map(|url| Endpoint::parse_local(&format!("credential_source.{name}"), url)).transpose()
        };
        let verification_url = source.required("regional_cred_verification_url")?.to_owned();
        Endpoint::parse(
            "credential_source.regional_cred_verification_url",
            &verification_url.replace("{region}", "r"),
        )?;
        Ok(Self {
            verification_url,
            region_url: url("region_url")?,
            credentials_url: url("url")?,
            session_url: url("imdsv2_session_token_url")?,
        })
    }

    pub(super) async fn subject_token(&self, http: &Http, audience: &str) -> Result<String, TokenError> {
        let metadata = InstanceMetadata { aws: self, http };
        let region = match variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")) {
            Some(region) => region,
            None => metadata.region().await?,
        };
        let keys = match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => Keys { id, secret, session_token: variable("AWS_SESSION_TOKEN") },
            _ => metadata.keys().await?,
        };
        // A region has nothing that could lead the request elsewhere.
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            let problem = "the region of AWS (AWS_REGION) is not a name such as eu-west-1";
            return Err(TokenError::new(TokenErrorKind::Refused, problem));
        }
        signed(&self.verification_url.replace("{region}", &region), &region, &keys, audience, SystemTime::now())
            .ok_or_else(|| TokenError::new(TokenErrorKind::Refused, "the regional_cred_verification_url is not a URL"))
    }
}

/// The metadata service of an instance, which says where it is and as which role it runs.
struct InstanceMetadata<'a> {
    aws: &'a Aws,
    http: &'a Http,
}

impl InstanceMetadata<'_> {
    async fn region(&self) -> Result<String, TokenError> {
        let zone = self.get("region", self.aws.region_url.as_ref(), "AWS_REGION", "").await?;
        // The last letter is that of the zone.
        let mut region = zone.clone();
        region.pop();
        Ok(region)
    }

    async fn keys(&self) -> Result<Keys, TokenError> {
        const VARIABLES: &str = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
        let url = self.aws.credentials_url.as_ref();
        let role = self.get("role", url, VARIABLES, "").await?;
        let keys = self.get("key", url, VARIABLES, &format!("/{role}")).await?;
        let keys: Value = serde_json::from_str(&keys).unwrap_or_default();
        let text = |name: &str| keys[name].as_str().map(str::to_owned);
        match (text("AccessKeyId"), text("SecretAccessKey")) {
            (Some(id), Some(secret)) => Ok(Keys { id, secret, session_token: text("Token") }),
            _ => Err(TokenError::new(
                TokenErrorKind::Unavailable,
                "the instance's metadata service gives no keys of AWS",
            )),
        }
    }

    async fn get(
        &self,
        what: &'static str,
        url: Option<&Endpoint>,
        variable: &str,
        more: &str,
    ) -> Result<String, TokenError> {
        let Some(url) = url else {
            let problem =
                format!("neither the environment ({variable}) nor the credentials file says the {what} of AWS");
            return Err(TokenError::new(TokenErrorKind::Refused, problem).advise(format!("set {variable}")));
        };
        let hop = Hop::new(what, format!("the metadata service {}", url.origin));
        let full = format!("{}{more}", url.uri().to_string().trim_end_matches('/'));
        let mut request = Request::get(full);
        if let Some(session_url) = &self.aws.session_url {
            let put = Request::put(session_url.uri().clone()).header("x-aws-ec2-metadata-token-ttl-seconds", "300");
            let answer = self.http.send(&hop, session_url, put, "").await?.ok(&[]).map_err(|refusal| refusal.error)?;
            let token = HeaderValue::try_from(answer.text().unwrap_or_default());
            let mut token = token.map_err(|_| hop.unavailable("its session's token is no header's value"))?;
            token.set_sensitive(true);
            request = request.header("x-aws-ec2-metadata-token", token);
        }
        let answer = self.http.send(&hop, url, request, "").await?.ok(&[]).map_err(|refusal| refusal.error)?;
        Ok(answer.text().unwrap_or_default().to_owned())
    }
}

/// The request to `GetCallerIdentity`, signed, as STS takes it for a subject token.
fn signed(url: &str, region: &str, keys: &Keys, audience: &str, now: SystemTime) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.authority()?.as_str();
    // `2015-08-30T12:36:00Z` is written `20150830T123600Z` here.
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let time = Timestamp { seconds: i64::try_from(now).ok()?, nanos: 0 }.to_string().replace(['-', ':'], "");
    let date = time.get(..8)?;
    // In the order of their names.
    let mut headers = vec![("host", host), ("x-amz-date", &time)];
    headers.extend(keys.session_token.as_deref().map(|token| ("x-amz-security-token", token)));
    headers.push(("x-goog-cloud-target-resource", audience));
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let canonical: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let mut query: Vec<&str> = uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    let request = format!("POST\n{path}\n{}\n{canonical}\n{names}\n{}", query.join("&"), sha256(""));
    // The first label of the host is the service: sts.eu-west-1.amazonaws.com.
    let service = host.split('.').next()?;
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(&request));
    let secret = format!("AWS4{}", keys.secret).into_bytes();
    let key = [date, region, service, "aws4_request"]
        .into_iter()
        .fold(secret, |key, part| hmac_sha256(&key, part).as_ref().to_vec());
    let signature = hex(hmac_sha256(&key, &to_sign).as_ref());
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", keys.id);
    headers.push(("Authorization", &authorization));
    let headers: Vec<Value> = headers.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    let request = json!({"url": url, "method": "POST", "headers": headers}).to_string();
    // STS decodes it as a URI's component; a form's `+` would stay one.
    Some(byte_serialize(request.as_bytes()).collect::<String>().replace('+', "%20"))
}

fn hmac_sha256(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
