//! A process of its own, since it asserts what memory the whole process takes.

mod shelf;

use std::{convert::Infallible, io::Write};

use bytes::Bytes;
use grpc_transcoding::server::Gateway;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use shelf::{RULES, frame, http_json, method};
use tonic::body::Body;
use tower::{ServiceExt, service_fn};

/// Of the whole process, which has passed 70 MB of text or more.
fn assert_peak() {
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
        let peak: usize = peak.trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 60_000, "{peak} kB");
    }
}

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
    assert_peak();
}

/// A stream of requests without an end in memory: as lines, and as an array in gzip.
#[tokio::test]
async fn a_million_messages_of_a_rest_client_pass_through_in_constant_memory() {
    const COUNT: usize = 1_000_000;
    let backend = service_fn(|call: Request<Body>| async move {
        let (mut body, mut messages) = (call.into_body(), 0);
        while let Some(piece) = body.frame().await {
            let mut piece = piece.unwrap().into_data().unwrap();
            while !piece.is_empty() {
                let len = u32::from_be_bytes(piece[1..5].try_into().unwrap()) as usize;
                drop(piece.split_to(5 + len));
                messages += 1;
            }
        }
        let titles = method("AddBooks").output().from_json(format!(r#"{{"titles":["{messages}"]}}"#)).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let pieces = [Ok::<_, Infallible>(Frame::data(frame(&titles))), Ok(Frame::trailers(trailers))];
        let body = Body::new(StreamBody::new(futures_util::stream::iter(pieces)));
        Ok::<_, Infallible>(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
    });
    let gateway = Gateway::new(RULES.clone(), backend).unwrap();
    let element = r#"{"book":{"name":"shelves/a/books/b","title":"]}, \"quoted\"","pages":"7"}}"#;
    let chunk = format!("{element}\n").repeat(1_000);
    let array = format!(",{element}").repeat(1_000);
    let packed = |text: &str| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    for (kind, coding, count, first, chunk, last) in [
        ("application/x-ndjson", "identity", COUNT, vec![], chunk.into_bytes(), vec![]),
        // The members of gzip data are joined. The first element is one more.
        ("application/json", "gzip", COUNT / 4, packed(&format!("[{element}")), packed(&array), packed("]")),
    ] {
        let extra = usize::from(!first.is_empty());
        let chunks = std::iter::repeat_n(Bytes::from(chunk), count / 1_000);
        let pieces = std::iter::once(Bytes::from(first)).chain(chunks).chain([Bytes::from(last)]);
        let body =
            StreamBody::new(futures_util::stream::iter(pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)))));
        let request = Request::post("/v1/books:add").header("content-type", kind).header("content-encoding", coding);
        let response = gateway.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!(r#"{{"titles":["{}"]}}"#, count + extra));
    }
    assert_peak();
}
