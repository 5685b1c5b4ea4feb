//! Which host a request is for.

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_TYPE, HOST},
    uri::Authority,
};
use http_body_util::Full;
use tonic::{Status, body::Body};

use crate::rpc::status;

/// The response to a request of HTTP/1.1 that does not say one host: where two servers take
/// different ones of several, they take one request for two.
///
/// Source: RFC 9112, section 3.2.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response<Body>> {
    if request.version() != Version::HTTP_11 {
        return None;
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let problem = match (hosts.next(), hosts.next()) {
        (None, _) => "the request has no Host header; HTTP/1.1 needs one",
        (_, Some(_)) => "the request has more than one Host header; send one",
        (Some(host), None) if is_host(host) => return None,
        _ => "the Host header is no host with a port; send one that is",
    };
    let body = status::to_body(None, &Status::invalid_argument(problem), StatusCode::BAD_REQUEST);
    let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}

/// Whether a value is a host with or without a port. It is empty where the URL has no
/// host.
fn is_host(value: &HeaderValue) -> bool {
    value.is_empty() || Authority::try_from(value.as_bytes()).is_ok_and(|host| !host.as_str().contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_http_1_1_is_for_one_host() {
        for (version, hosts, taken) in [
            (Version::HTTP_11, &["a"][..], true),
            (Version::HTTP_11, &["127.0.0.1:80"], true),
            (Version::HTTP_11, &["[::1]:80"], true),
            (Version::HTTP_11, &[""], true),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_11, &["a", "a"], false),
            (Version::HTTP_11, &["a b"], false),
            (Version::HTTP_11, &["a/b"], false),
            (Version::HTTP_11, &["user@a"], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_2, &[], true),
        ] {
            let mut request = Request::get("/").version(version);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let refused = refusal(&request.body(()).unwrap());
            assert_eq!(refused.is_none(), taken, "{version:?} {hosts:?}");
            assert!(refused.is_none_or(|answer| answer.status() == 400), "{hosts:?}");
        }
    }
}
