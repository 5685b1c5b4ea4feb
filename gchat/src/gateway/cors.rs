//! From which pages a browser may call the gateway, and what those pages may read.
//!
//! Source: [the Fetch standard](https://fetch.spec.whatwg.org/#http-cors-protocol), "HTTP
//! extensions".

use std::time::Duration;

use google_chat::grpc_transcoding::server::BrowserGuardLayer;
use http::{HeaderName, HeaderValue};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::failure::Failure;

/// The headers of gRPC-Web that hold how a call has ended.
const STATUS: [&str; 3] = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

#[derive(clap::Args)]
#[command(next_help_heading = "Browsers")]
pub(super) struct CorsFlags {
    /// An origin that browsers may call from, or * for all; can be repeated
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    cors_origin: Vec<String>,
    /// Let pages of these origins send cookies and other credentials
    #[arg(long, requires = "cors_origin")]
    cors_credentials: bool,
    /// A header of responses that pages may read; can be repeated
    #[arg(long, value_name = "NAME", requires = "cors_origin")]
    cors_expose_header: Vec<HeaderName>,
    /// How long a browser may remember what it is allowed to send
    #[arg(long, value_name = "SECONDS", requires = "cors_origin")]
    cors_max_age: Option<u64>,
}

impl CorsFlags {
    /// Lets these origins send requests.
    pub(super) fn allow(&self, guard: BrowserGuardLayer) -> BrowserGuardLayer {
        self.cors_origin.iter().fold(guard, |guard, origin| guard.allow_origin(origin))
    }

    /// What lets these origins read responses; `None` if there are none.
    ///
    /// # Errors
    ///
    /// If pages of all origins would act with the credentials of the browser's user.
    pub(super) fn layer(&self, grpc_web: bool) -> Result<Option<CorsLayer>, Failure> {
        if self.cors_origin.is_empty() {
            return Ok(None);
        }
        let any = self.cors_origin.iter().any(|origin| origin == "*");
        // Any page can have a frame whose origin is null.
        if self.cors_credentials && (any || self.cors_origin.iter().any(|origin| origin == "null")) {
            return Err(Failure::usage(
                "--cors-credentials: any page could act as the user of its browser; name the origins in place of * and null",
            ));
        }
        if self.cors_credentials && self.cors_expose_header.iter().any(|name| name == "*") {
            return Err(Failure::usage(
                "--cors-credentials: browsers take * for a header's name then; name the headers in --cors-expose-header",
            ));
        }
        let origins = self.cors_origin.iter().map(HeaderValue::try_from).collect::<Result<Vec<_>, _>>();
        let origins = origins.map_err(|_| Failure::usage("--cors-origin: not an origin"))?;
        let status = STATUS.iter().filter(|_| grpc_web).map(|name| HeaderName::from_static(name));
        let exposed: Vec<_> = self.cors_expose_header.iter().cloned().chain(status).collect();
        let mut layer = CorsLayer::new()
            .allow_origin(if any { AllowOrigin::any() } else { AllowOrigin::list(origins) })
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(AllowHeaders::mirror_request())
            .allow_credentials(self.cors_credentials)
            .expose_headers(exposed);
        if let Some(seconds) = self.cors_max_age {
            layer = layer.max_age(Duration::from_secs(seconds));
        }
        Ok(Some(layer))
    }
}

/// An origin as browsers send it, which is compared letter for letter.
fn origin(text: &str) -> Result<String, String> {
    let is_origin = text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
    });
    match is_origin || matches!(text, "*" | "null") {
        true => Ok(text.to_owned()),
        false => {
            Err("not an origin: a scheme and a host, such as https://app.example.com, and nothing behind".to_owned())
        }
    }
}
