//! Responses: bodies, content codings and statuses.

use crate::shelf::*;
use bytes::Bytes;
use grpc_transcoding::server::Gateway;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::json;
use std::convert::Infallible;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{ServiceExt, service_fn};

#[tokio::test]
async fn the_gateway_answers_as_googles_front_ends_do() {
    let book = ("shelf.Book", json!({"name": "n", "title": "x".repeat(2_000), "author": {"born": 1}}));
    let backend = Backend::answering(&[book], None);
    const BOOK: &str = "/v1/shelves/a/books/b";
    let (status, _, body) = rest(&backend, Request::head(BOOK).body(Full::default()).unwrap()).await;
    assert_eq!((status, body.as_str()), (200, ""), "HEAD on a GET route");
    let (_, _, body) = rest(&backend, get(&format!("{BOOK}?prettyPrint=true"))).await;
    assert!(body.starts_with("{\n  \"name\": \"n\",\n"), "{body}");
    let (status, _, body) = rest(&backend, get(&format!("{BOOK}?alt=proto"))).await;
    assert_eq!(status, 400, "{body}");
    let zipped = Request::get(BOOK).header("accept-encoding", "br, gzip").body(Full::default()).unwrap();
    let (head, body) = backend.gateway().oneshot(zipped).await.unwrap().into_parts();
    assert_eq!(head.headers["content-encoding"], "gzip");
    let packed = body.collect().await.unwrap().to_bytes();
    assert!(packed.len() < 200, "{}", packed.len());
    // The verb of a template comes before a value that holds it.
    rest(&backend, get("/v1/shelves/a/books/b:download")).await;
    assert_eq!(backend.received("Download"), [json!({"name": "shelves/a/books/b"})]);
    rest(&backend, get("/v1/shelves/a/books/b:other")).await;
    assert_eq!(backend.received("GetBook"), [json!({"name": "shelves/a/books/b:other"})]);
    // A default in the path wins over the body, and either spelling of a mask is read.
    let patch = Request::patch(format!("{BOOK}?updateMask=given_name,pageSize,a_1"))
        .body(Full::from(r#"{"name":"shelves/x/books/y"}"#))
        .unwrap();
    rest(&backend, patch).await;
    let calls = backend.calls.lock().unwrap();
    let wire = &calls.last().unwrap().2[0];
    let at = |text: &str| wire.windows(text.len()).rposition(|part| part == text.as_bytes());
    // What comes last counts.
    assert!(at("shelves/a/books/b") > at("shelves/x"), "{wire:?}");
    // A path of the mask is a field of its own, with its length before it.
    for path in ["given_name", "page_size", "a_1"] {
        assert!(at(&format!("\n{}{path}", char::from(path.len() as u8))).is_some(), "{wire:?}");
    }
}

#[tokio::test]
async fn response_body_repeated_is_json_array() {
    for (titles, text) in [(json!({"titles": ["a", ""]}), r#"["a",""]"#), (json!({}), "[]")] {
        let backend = Backend::answering(&[("shelf.Titles", titles)], None);
        let (status, _, body) = rest(&backend, get("/v1/titles/1")).await;
        assert_eq!((status, body.as_str()), (200, text));
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// However they are written, in one header line or more; one that is not known is named.
#[tokio::test]
async fn content_codings_are_undone_in_reverse_order() {
    const BOOK: &[u8] = br#"{"title":"a"}"#;
    let (once, twice) = (packed(BOOK), packed(&packed(BOOK)));
    for (lines, body, http, problem) in [
        (&["GZIP"][..], &once, 200, ""),
        (&["x-gzip"], &once, 200, ""),
        (&["identity, Gzip"], &once, 200, ""),
        (&["gzip, gzip"], &twice, 200, ""),
        (&["gzip", "X-GZIP"], &twice, 200, ""),
        (&["gzip"], &twice, 400, ""),
        (&["gzip, gzip"], &once, 400, "says that it is gzip, and is not"),
        (&["gzip, br"], &once, 415, "the content encoding `br` is not known"),
        (&["gzip", "gzip, gzip, gzip, gzip"], &once, 415, "more than 4 content encodings"),
    ] {
        let mut request = Request::patch("/v1/shelves/a/books/b");
        let mut answer = Response::builder();
        for line in lines {
            request = request.header("content-encoding", *line);
            answer = answer.header("content-encoding", *line);
        }
        let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
        let (found, _, text) = rest(&backend, request.body(Full::from(body.clone())).unwrap()).await;
        assert!(found == http && text.contains(problem), "{lines:?}: {found} {text}");

        let answer = answer.body(Full::from(Bytes::from(body.clone()))).unwrap();
        let server = service_fn(move |_: Request<Full<Bytes>>| std::future::ready(Ok::<_, Infallible>(answer.clone())));
        for (method, message) in [("GetBook", json!({"isbn": "1"})), ("Watch", json!({"shelf": "shelves/a"}))] {
            let (books, status) = call(http_json(server.clone()), method, &[message]).await;
            if http == 200 {
                assert_eq!((books, status.code()), (vec![json!({"title": "a"})], Code::Ok), "{method} {lines:?}");
            } else {
                assert!(status.code() == Code::Internal && status.message().contains(problem), "{status:?}");
            }
        }
    }
}

#[tokio::test]
async fn blank_200_is_no_message_but_where_there_is_none() {
    for (http, body) in [(204, ""), (200, ""), (200, " \n")] {
        for (method, message, replies, code) in [
            ("GetBook", json!({"isbn": "1"}), vec![], Code::Internal),
            ("ListTitles", json!({"isbn": "1"}), vec![], Code::Internal),
            ("Watch", json!({"shelf": "shelves/a"}), vec![], Code::Ok),
            ("Forget", json!({"isbn": "1"}), vec![json!({})], Code::Ok),
        ] {
            let (_, service) = answering(http, &[], body);
            let (found, status) = call(http_json(service), method, &[message]).await;
            assert_eq!((found, status.code()), (replies, code), "{method} {body:?} {status:?}");
            assert!(code == Code::Ok || status.message().contains("may have been carried out"), "{status:?}");
        }
        let (_, service) = answering(http, &[], "");
        let (found, status) = call(http_json(service), "Download", &[json!({"name": "shelves/a/books/b"})]).await;
        assert_eq!((found, status.code()), (vec![json!({})], Code::Ok), "{status:?}");
    }
}

#[tokio::test]
async fn an_error_object_in_a_200_is_that_error() {
    let one = json!({"isbn": "1"});
    for (method, body, code, message) in [
        ("GetBook", r#"{"error":{"code":404,"message":"gone","status":"NOT_FOUND"}}"#, Code::NotFound, "gone"),
        ("GetBook", r#" { "error" : {"code":409,"message":"again"}}"#, Code::Aborted, "again"),
        ("GetBook", r#"[{"error":{"message":"m"}}]"#, Code::Internal, "m"),
        ("ListTitles", r#"{"error":{"code":5,"message":"m"}}"#, Code::NotFound, "m"),
        ("Forget", r#"{"error":{"code":403,"message":"m"}}"#, Code::PermissionDenied, "m"),
        // Here an error is none, or not all that there is.
        ("Note", r#"{"error":{"code":404}}"#, Code::Ok, ""),
        ("GetBook", r#"{"error":{"code":404},"title":"a"}"#, Code::Ok, ""),
        ("GetBook", r#"{"error":"a word"}"#, Code::Ok, ""),
    ] {
        let (_, service) = answering(200, &[("x-req-id", "7")], body);
        let (_, status) = call(http_json(service), method, std::slice::from_ref(&one)).await;
        assert_eq!((status.code(), status.message()), (code, message), "{method} {body}");
        let said = |name: &str| status.metadata().get(name).map(|value| value.to_str().unwrap().to_owned());
        let expected = (code != Code::Ok).then(|| ("7".to_owned(), "200".to_owned()));
        assert_eq!(said("x-req-id").zip(said("http-status")), expected, "{method} {body}");
    }
}

#[tokio::test]
async fn a_3xx_is_not_followed_with_credentials() {
    let (asked, service) = answering(302, &[("location", "http://127.0.0.1:2/")], "");
    let (_, status) = call(http_json(service), "GetBook", &[json!({"isbn": "1"})]).await;
    assert_eq!((status.code(), asked.lock().unwrap().len()), (Code::Unknown, 1));
}

#[tokio::test]
async fn an_http_status_without_a_body_has_its_code() {
    for (status, code) in [
        (400, Code::InvalidArgument),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::NotFound),
        (409, Code::Aborted),
        (416, Code::OutOfRange),
        (429, Code::ResourceExhausted),
        (499, Code::Cancelled),
        (500, Code::Internal),
        (501, Code::Unimplemented),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::DeadlineExceeded),
        (507, Code::Internal),
    ] {
        let (_, service) = answering(status, &[], "");
        let request = Request::post("/shelf.Shelf/GetBook")
            .body(Body::new(Full::from(frame(&method("GetBook").input().from_json(r#"{"isbn":"1"}"#).unwrap()))))
            .unwrap();
        let answer = http_json(service).oneshot(request).await.unwrap();
        // Trailers-only: HTTP 200, and the status among the headers.
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"application/grpc".parse().unwrap())
        );
        assert_eq!(Status::from_header_map(answer.headers()).unwrap().code(), code, "{status}");
    }
}

/// A detail of a type that neither side knows keeps its type and its bytes.
#[tokio::test]
async fn unknown_details_pass_through_the_gateway_and_back() {
    use prost::Message;
    let detail =
        prost_types::Any { type_url: "type.googleapis.com/acme.Unknown".to_owned(), value: vec![8, 1, 0x12, 1, 0xff] };
    let empty = prost_types::Any { value: Vec::new(), ..detail.clone() };
    let details = vec![detail, empty];
    let encoded = rpc::Status { details: details.clone(), ..Default::default() };
    let failed = Status::with_details(Code::Aborted, "m", encoded.encode_to_vec().into());
    let backend = Backend::answering(&[], Some(failed));
    let (_, status) = call(http_json(backend.gateway()), "GetBook", &[json!({"isbn": "1"})]).await;
    let found = rpc::Status::decode(status.details()).unwrap();
    assert_eq!((status.code(), found.details), (Code::Aborted, details));
}

#[tokio::test]
async fn a_backend_that_does_not_answer_with_one_message_is_an_internal_error() {
    for count in [0, 2] {
        let backend = Backend::answering(&vec![("shelf.Book", json!({})); count], None);
        let (status, _, body) = rest(&backend, get("/v1/books/1")).await;
        assert_eq!(status, 500, "{count}: {body}");
    }
    let cut = service_fn(|_: Request<Body>| async {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let pieces =
            [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"\0\0\0\0\x05ab"))), Ok(Frame::trailers(trailers))];
        Ok::<_, Infallible>(Response::new(Body::new(StreamBody::new(tokio_stream(pieces.into())))))
    });
    let answer = Gateway::new(RULES.clone(), cut).unwrap().oneshot(get("/v1/books/1")).await.unwrap();
    assert_eq!(answer.status(), 500);
}
