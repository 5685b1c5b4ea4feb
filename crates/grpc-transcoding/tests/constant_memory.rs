//! A process of its own, since it asserts what memory the whole process takes.

mod shelf;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use shelf::{frame, http_json, method};
use tonic::body::Body;
use tower::{ServiceExt, service_fn};

/// A stream without an end in memory: each message is passed on before the next
/// is made.
#[tokio::test]
async fn a_million_messages_pass_through_in_constant_memory() {
    const COUNT: usize = 1_000_000;
    // The REST side: an array, a chunk of many elements at a time.
    let rest = service_fn(|_: Request<Full<Bytes>>| async {
        let element = r#"{"name":"shelves/a/books/b","title":"]}, \"quoted\"","pages":"7"}"#;
        let chunk = Bytes::from(format!(",{element}").repeat(1_000));
        let pieces = (0..COUNT / 1_000).map(move |at| {
            let chunk = if at == 0 { [b"[", &chunk[1..]].concat().into() } else { chunk.clone() };
            Ok::<_, Infallible>(Frame::data(chunk))
        });
        let end = std::iter::once(Ok(Frame::data(Bytes::from_static(b"]"))));
        let body = StreamBody::new(futures_util::stream::iter(pieces.chain(end)));
        Ok::<_, Infallible>(Response::builder().header("content-type", "application/json").body(body).unwrap())
    });
    let call = Request::post("/shelf.Shelf/Watch")
        .body(Body::new(Full::from(frame(&method("Watch").input().from_json(r#"{"shelf":"shelves/a"}"#).unwrap()))))
        .unwrap();
    let mut body = http_json(rest).oneshot(call).await.unwrap().into_body();
    let (mut messages, mut largest) = (0, 0);
    let mut trailers = None;
    while let Some(piece) = body.frame().await {
        match piece.unwrap().into_data() {
            Ok(data) => {
                messages += 1;
                largest = largest.max(data.len());
            }
            Err(piece) => trailers = piece.into_trailers().ok(),
        }
    }
    assert_eq!((messages, largest < 100), (COUNT, true));
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
        let peak: usize = peak.trim_end_matches(" kB").parse().unwrap();
        // 70 MB of text have passed.
        assert!(peak < 60_000, "{peak} kB");
    }
}
