//! The metadata server of Google Cloud: GCE, GKE, Cloud Run, Cloud Functions.
//!
//! It gives tokens with the scopes that the platform allows the machine, of which none is
//! Google Chat's, so that its tokens are for IAM alone.
//!
//! Source: "View and query VM metadata" of Compute Engine, and
//! [AIP-4115](https://google.aip.dev/auth/4115).

use http::Request;
use tokio::sync::OnceCell;

use super::{
    THREE_WAYS, TokenError, TokenErrorKind,
    http::{Answer, Endpoint, Hop, Http, Refusal},
    is_email,
    tokens::Token,
    variable,
};

const FLAVOR: &str = "metadata-flavor";
const GOOGLE: &str = "Google";

pub(super) struct Metadata {
    /// The address, or what is wrong with the one that the environment names.
    origin: Result<String, String>,
    pub(super) hop: Hop,
    /// Whether this is known to be a machine of Google's.
    expected: bool,
    email: OnceCell<String>,
}

impl Metadata {
    /// The server that the environment names, or the usual one.
    pub(super) fn of_environment() -> Self {
        let named = variable("GCE_METADATA_HOST").or_else(|| variable("GCE_METADATA_ROOT"));
        let expected = named.is_some() || is_google();
        let host = named.unwrap_or_else(|| "metadata.google.internal".to_owned());
        let origin = format!("http://{host}");
        // What is no address could be anything, and is not repeated.
        let origin = match Endpoint::read("GCE_METADATA_HOST", &origin) {
            Ok(endpoint) => Ok(endpoint.origin.to_string()),
            Err(_) => Err("GCE_METADATA_HOST is not HOST or HOST:PORT; set it to one of these, or unset it".to_owned()),
        };
        let who = format!("the metadata server {}", origin.as_deref().unwrap_or("of GCE_METADATA_HOST"));
        Self { origin, hop: Hop::new("access token", who), expected, email: OnceCell::new() }
    }

    /// The e-mail address of the service account that the machine runs as.
    pub(super) async fn email(&self, http: &Http) -> Result<&str, TokenError> {
        let email = self.email.get_or_try_init(async || {
            let answer = self.get(http, "email").await?;
            let email = answer.text().unwrap_or_default();
            if is_email(email) {
                return Ok(email.to_owned());
            }
            // GKE's pods without an account of their own are known by their workload pool.
            let why = match email.ends_with(".svc.id.goog") {
                true => "it names a workload pool in place of a service account's address",
                false => "it names no service account",
            };
            Err(self.hop.failed(TokenErrorKind::Refused, why).advise(
                "let the machine run as a service account: annotate the pod's Kubernetes service account with \
                 iam.gke.io/gcp-service-account, or give the service or the instance one (--service-account)",
            ))
        });
        email.await.map(String::as_str)
    }

    /// A token of the machine's own account.
    pub(super) async fn token(&self, http: &Http, scopes: &str) -> Result<Token, TokenError> {
        let scopes: Vec<&str> = scopes.split(' ').collect();
        // Commas and slashes may stand in a query as they are (RFC 3986, section 3.4).
        self.get(http, &format!("token?scopes={}", scopes.join(","))).await?.access_token()
    }

    async fn get(&self, http: &Http, what: &str) -> Result<Answer<'_>, TokenError> {
        let origin = self.origin.as_ref().map_err(|problem| TokenError::new(TokenErrorKind::NoCredentials, problem))?;
        let url = format!("{origin}/computeMetadata/v1/instance/service-accounts/default/{what}");
        let endpoint = Endpoint::read("address", &url).map_err(|problem| self.hop.unavailable(problem))?;
        let request = Request::get(url).header(FLAVOR, GOOGLE);
        let answer = http.send(&self.hop, &endpoint, request, "").await.map_err(|error| match self.expected {
            true => error.advise("check that the metadata server is reached from here (GCE_METADATA_HOST)"),
            // Most machines are none of Google's.
            false => error.of_kind(TokenErrorKind::NoCredentials).advise(THREE_WAYS),
        })?;
        // Anything may answer at this name on another network.
        if answer.headers.get(FLAVOR).is_none_or(|flavor| flavor != GOOGLE) {
            let error = self.hop.unavailable("what answers there is no metadata server (Metadata-Flavor: Google)");
            return Err(match self.expected {
                true => error,
                false => error.of_kind(TokenErrorKind::NoCredentials).advise(THREE_WAYS),
            });
        }
        answer.ok(&[]).map_err(|refusal| refused(*refusal))
    }
}

fn refused(refusal: Refusal) -> TokenError {
    if refusal.is_transient() {
        return refusal.error;
    }
    refusal.error.advise(
        "let the machine run as a service account, with the access scope \
         https://www.googleapis.com/auth/cloud-platform (gcloud compute instances set-service-account INSTANCE \
         --service-account=EMAIL --scopes=cloud-platform)",
    )
}

/// Whether this is a machine of Google's: the platforms set a variable, and virtual machines
/// have it in their firmware's tables.
fn is_google() -> bool {
    if ["K_SERVICE", "CLOUD_RUN_JOB", "FUNCTION_TARGET", "GAE_SERVICE"].into_iter().any(|name| variable(name).is_some())
    {
        return true;
    }
    let product = std::fs::read_to_string("/sys/class/dmi/id/product_name").unwrap_or_default();
    product.starts_with("Google")
}
