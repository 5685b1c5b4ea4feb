//! `Grpc-Metadata-NAME` headers: the metadata of a call under a prefix, as grpc-gateway has it.
//!
//! Source: grpc-gateway's `runtime` package, `MetadataHeaderPrefix` and `MetadataPrefix`.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_TYPE},
};
use tonic::Status;

use crate::rpc::{header, metadata::is_metadata};

const PREFIX: &str = "grpc-metadata-";

/// Takes the metadata that a request has under the prefix. `others` are the headers that
/// become metadata by themselves.
///
/// # Errors
///
/// If a name is none, is one of HTTP's or gRPC's own, or is there without the prefix, too:
/// whoever checks that header on the way here would not know of the other one.
pub(super) fn take(headers: &HeaderMap) -> Result<Vec<(HeaderName, HeaderValue)>, Status> {
    let mut taken = Vec::new();
    for (name, value) in headers {
        let Some(own) = name.as_str().strip_prefix(PREFIX) else { continue };
        // What the connection names as its own is not passed on (RFC 9110, 7.6.1).
        if header::elements(headers, CONNECTION).any(|other| other.eq_ignore_ascii_case(name.as_str().as_bytes())) {
            continue;
        }
        let refused = |problem| Status::invalid_argument(format!("the header {name} {problem}"));
        let own = HeaderName::from_bytes(own.as_bytes()).map_err(|_| refused("names no metadata"))?;
        if !is_metadata(own.as_str()) || own == CONTENT_TYPE {
            return Err(refused("would set what HTTP and gRPC set themselves; leave it out"));
        }
        if headers.contains_key(&own) {
            return Err(refused("is there without the prefix, too; send one of them"));
        }
        taken.push((own, value.clone()));
    }
    Ok(taken)
}

/// Puts the metadata of a response under the prefix.
pub(super) fn give(metadata: HeaderMap) -> HeaderMap {
    let mut given = HeaderMap::with_capacity(metadata.len());
    let mut prefixed = None;
    for (name, value) in metadata {
        // A name comes with the first of its values only.
        if let Some(name) = name {
            prefixed = HeaderName::try_from(format!("{PREFIX}{name}")).ok();
        }
        if let Some(name) = &prefixed {
            given.append(name, value);
        }
    }
    given
}
