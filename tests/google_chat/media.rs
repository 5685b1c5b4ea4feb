//! Uploading and downloading attachments, over sockets and networks that fail.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use google_chat::{
    Client, ClientBuilder, CreateMessageRequest, Credentials, ErrorKind, Media, Space, Upload, Wire,
    layer::RetryPolicy,
    proto::google::chat::v1::{AttachmentDataRef, attachment::DataRef},
};
use google_chat_emulator::{Emulator, Fault, Received};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::Code;

use crate::support::random::Random;

const GRAIN: usize = 256 * 1024;

/// Content whose bytes tell their places.
fn content(len: usize) -> Bytes {
    (0..len as u32).flat_map(|at| [(at.wrapping_mul(2_654_435_761) >> 24) as u8]).collect()
}

fn policy() -> RetryPolicy {
    RetryPolicy::default().with_initial_backoff(Duration::from_millis(1)).with_maximum_backoff(Duration::from_millis(2))
}

fn builder(emulator: &Emulator) -> ClientBuilder {
    Client::builder().endpoint(emulator.endpoint()).credentials(Credentials::anonymous()).retry(policy())
}

/// A client, and a space.
async fn start() -> (Emulator, Client, String) {
    let emulator = Emulator::start().await.unwrap();
    let chat = builder(&emulator).build().unwrap();
    let space = chat.create_space(Space::named("Launch room")).await.unwrap().name;
    (emulator, chat, space)
}

async fn downloaded(chat: &Client, data_ref: &AttachmentDataRef) -> Bytes {
    chat.download(&data_ref.resource_name).await.unwrap().bytes().await.unwrap()
}

/// What came of uploads and downloads.
fn media_calls(emulator: &Emulator) -> Vec<Received> {
    let calls = emulator.received();
    calls.into_iter().filter(|call| call.target.contains("upload") || call.target.contains("/media/")).collect()
}

fn line(call: &Received) -> String {
    let range = call.headers.get("content-range").map_or("", |range| range.to_str().unwrap());
    let path = call.target.split("/v1/").next().unwrap();
    format!("{} {path} {range}", call.method)
}

/// A reader that gives a few bytes at a time, and cannot go back.
struct Trickle(Bytes);

impl AsyncRead for Trickle {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let some = self.0.len().min(10_007).min(buffer.remaining());
        buffer.put_slice(&self.0.split_to(some));
        Poll::Ready(Ok(()))
    }
}

/// A file that is removed at the end of its test.
struct TestFile(std::path::PathBuf);

impl TestFile {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let folder = std::env::temp_dir().join(format!("google-chat-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

#[tokio::test]
async fn files_go_up_and_come_down_whatever_the_wire_is() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let small = TestFile::new("photo.png", &content(1_000));
    let large = TestFile::new("film.mp4", &content(3 * GRAIN + 17));
    for wire in [Wire::Auto, Wire::Grpc, Wire::HttpJson] {
        let alice = emulator.credentials().unwrap().for_user("alice@example.com").unwrap();
        let chat = builder(&emulator).credentials(alice).wire(wire).quota_project("a-project").build().unwrap();
        let space = chat.create_space(Space::named(format!("{wire}"))).await.unwrap().name;
        for (file, kind, resumable_over) in [(&small, "image/png", 1_000), (&large, "video/mp4", 1_000)] {
            let data_ref = chat.upload_file(&space, &file.0).resumable_over(resumable_over).await.unwrap();
            assert!(!data_ref.attachment_upload_token.is_empty());
            let media = chat.download(&data_ref.resource_name).await.unwrap();
            let bytes = std::fs::read(&file.0).unwrap();
            assert_eq!((media.content_type(), media.length()), (Some(kind), Some(bytes.len() as u64)));
            assert!(media.bytes().await.unwrap() == bytes, "{wire} {kind}");
        }
    }
    let calls = media_calls(&emulator);
    assert_eq!(calls.len(), 3 * (2 + 3), "{calls:?}");
    for call in &calls {
        let header = |name: &str| call.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("x-goog-user-project"), Some("a-project"));
        assert_eq!(header("authorization"), Some("Bearer"));
        assert!(header("user-agent").unwrap().starts_with("google-chat-rust/"));
        assert!(header("x-goog-api-client").unwrap().contains(" rest/"));
    }
    // The user's scopes are asked for one method at a time, so that each has had its own.
    assert_eq!(emulator.token_requests(), 3 * 3);
}

#[tokio::test]
async fn what_was_uploaded_becomes_an_attachment_of_a_message() {
    let (emulator, chat, space) = start().await;
    let grpc = builder(&emulator).wire(Wire::Grpc).build().unwrap();
    for chat in [chat, grpc] {
        let uploaded = chat.upload_bytes(&space, "a.txt", "abc").await.unwrap();
        let request = CreateMessageRequest::text(&space, "The report").attach(uploaded);
        let message = chat.create_message(request).await.unwrap();
        let [attachment] = &message.attachment[..] else { panic!("{message:?}") };
        assert!(attachment.name.starts_with(&format!("{}/attachments/", message.name)), "{attachment:?}");
        assert_eq!((&*attachment.content_name, &*attachment.content_type), ("a.txt", "text/plain"));
        let Some(DataRef::AttachmentDataRef(data_ref)) = &attachment.data_ref else { panic!("{attachment:?}") };
        assert_eq!(downloaded(&chat, data_ref).await, "abc");
    }
}

#[tokio::test]
async fn content_goes_in_parts_and_progress_says_how_far() {
    let (emulator, chat, space) = start().await;
    let len = 2 * GRAIN + 10;
    let parts = [
        "POST /resumable/upload ",
        "PUT /resumable/upload bytes 0-262143/TOTAL",
        "PUT /resumable/upload bytes 262144-524287/TOTAL",
        "PUT /resumable/upload bytes 524288-524297/524298",
    ];
    let mut done = 0;
    for (known, upload) in [
        (true, chat.upload_bytes(&space, "a.bin", content(len))),
        (true, chat.upload_reader(&space, "a.bin", Trickle(content(len)), Some(len as u64))),
        (false, chat.upload_reader(&space, "a.bin", Trickle(content(len)), None)),
    ] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let values = Arc::clone(&seen);
        let upload = upload.resumable_over(GRAIN as u64).chunk_size(1);
        let data_ref = upload.progress(move |sent, total| values.lock().unwrap().push((sent, total))).await.unwrap();
        assert!(downloaded(&chat, &data_ref).await == content(len));
        let total = known.then_some(len as u64);
        // The reader's end is known with its last part.
        let expected =
            [(262_144, total), (524_288, Some(len as u64).filter(|_| known)), (len as u64, Some(len as u64))];
        assert_eq!(*seen.lock().unwrap(), expected);
        let calls: Vec<String> = media_calls(&emulator)[done..].iter().map(line).collect();
        let star = if known { "524298" } else { "*" };
        let expected: Vec<String> = parts.iter().map(|part| part.replace("TOTAL", star)).collect();
        assert_eq!(calls[..4], expected);
        done += calls.len();
    }
    // A whole number of parts, and nothing at all.
    for len in [2 * GRAIN, 0] {
        for upload in [
            chat.upload_bytes(&space, "a.bin", content(len)),
            chat.upload_reader(&space, "a.bin", Trickle(content(len)), None),
        ] {
            let data_ref = upload.resumable_over(0).chunk_size(GRAIN).await.unwrap();
            assert!(downloaded(&chat, &data_ref).await == content(len));
        }
    }
}

#[tokio::test]
async fn what_is_larger_than_the_smallest_part_goes_in_parts() {
    let (emulator, chat, space) = start().await;
    for (len, calls) in [(GRAIN, 1), (GRAIN + 1, 2)] {
        let before = media_calls(&emulator).len();
        chat.upload_bytes(&space, "a.bin", content(len)).await.unwrap();
        assert_eq!(media_calls(&emulator).len() - before, calls, "{len}");
    }
}

#[tokio::test]
async fn a_small_reader_goes_in_one_request() {
    let (emulator, chat, space) = start().await;
    let content = Bytes::from_static(b"--\r\n\r\nlooks like a boundary\r\n--\n");
    for upload in [
        chat.upload_reader(&space, "a.bin", Trickle(content.clone()), None),
        chat.upload_bytes(&space, "a.bin", content.clone()).content_type("text/plain; charset=utf-8"),
        chat.upload_bytes(&space, "a.bin", "").filename("b.txt"),
    ] {
        let data_ref = upload.await.unwrap();
        let media = chat.download(&data_ref.resource_name).await.unwrap();
        let kind = media.content_type().unwrap().to_owned();
        let bytes = media.bytes().await.unwrap();
        match &*kind {
            "application/octet-stream" | "text/plain; charset=utf-8" => assert_eq!(bytes, content),
            kind => assert_eq!((kind, &*bytes), ("text/plain", &b""[..])),
        }
    }
    let calls = media_calls(&emulator);
    let uploads: Vec<&Received> = calls.iter().filter(|call| call.method == Method::POST).collect();
    assert_eq!(uploads.len(), 3);
    for call in uploads {
        assert!(call.target.starts_with("/upload/v1/spaces/") && call.target.ends_with("?uploadType=multipart"));
    }
}

/// Faults, each of which befalls one of the requests.
fn faults() -> Vec<Fault> {
    vec![
        Fault::Unavailable,
        Fault::Html,
        Fault::QuotaExceeded { retry_after: Some(0) },
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Truncated,
        Fault::CutOff { after: 0 },
        Fault::CutOff { after: 100_000 },
        Fault::CutOff { after: 262_144 },
        Fault::UploadsLost,
    ]
}

#[tokio::test]
async fn an_upload_survives_any_one_fault_at_any_request() {
    let (emulator, chat, space) = start().await;
    let bytes = content(3 * GRAIN + 10);
    let file = TestFile::new("fault.bin", &bytes);
    for fault in faults() {
        // The session's beginning, its parts, and one request beyond them.
        for at in 0..=5 {
            for source in ["file", "bytes", "reader"] {
                emulator.clear_faults();
                (0..at).for_each(|_| emulator.fail_next(Fault::Latency(Duration::ZERO)));
                emulator.fail_next(fault.clone());
                let upload: Upload = match source {
                    "file" => chat.upload_file(&space, &file.0),
                    "bytes" => chat.upload_bytes(&space, "a.bin", bytes.clone()),
                    _ => chat.upload_reader(&space, "a.bin", Trickle(bytes.clone()), None),
                };
                let outcome = upload.resumable_over(0).chunk_size(GRAIN).await;
                let case = format!("{fault:?} at {at} of a {source}");
                // Once the first part is gone, a reader cannot begin again.
                if source == "reader" && fault == Fault::UploadsLost && (2..5).contains(&at) {
                    let error = outcome.unwrap_err();
                    assert_eq!(error.code(), Code::Aborted, "{case}: {error}");
                    assert!(error.message().contains("the reader cannot go back to byte 0"), "{case}: {error}");
                    continue;
                }
                let data_ref = outcome.unwrap_or_else(|error| panic!("{case}: {error}"));
                emulator.clear_faults();
                assert!(downloaded(&chat, &data_ref).await == bytes, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn after_a_lost_connection_the_server_is_asked_and_no_byte_it_has_is_sent_again() {
    let (emulator, chat, space) = start().await;
    let upload = || chat.upload_bytes(&space, "a.bin", content(4 * GRAIN)).resumable_over(0).chunk_size(4 * GRAIN);
    // In the middle of the part, of which the server keeps two of four.
    emulator.fail_next(Fault::Latency(Duration::ZERO));
    emulator.fail_next(Fault::CutOff { after: 2 * GRAIN as u64 + 5 });
    upload().await.unwrap();
    let calls: Vec<String> = media_calls(&emulator).iter().map(line).collect();
    let expected = [
        "POST /resumable/upload ",
        "PUT /resumable/upload bytes 0-1048575/1048576",
        "PUT /resumable/upload bytes */1048576",
        // After a failure the parts begin small.
        "PUT /resumable/upload bytes 524288-786431/1048576",
        "PUT /resumable/upload bytes 786432-1048575/1048576",
    ];
    assert_eq!(calls, expected);

    // The answer to the last part.
    emulator.fail_next(Fault::Latency(Duration::ZERO));
    emulator.fail_next(Fault::ResetAfter);
    upload().await.unwrap();
    let calls: Vec<String> = media_calls(&emulator)[5..].iter().map(line).collect();
    assert_eq!(calls, expected[..3]);
}

#[tokio::test]
async fn the_attempts_begin_anew_with_each_part_and_end_with_the_policy() {
    let (emulator, _, space) = start().await;
    let chat = builder(&emulator).retry(policy().with_attempts(2)).build().unwrap();
    let upload = || chat.upload_bytes(&space, "a.bin", content(4 * GRAIN)).resumable_over(0).chunk_size(GRAIN);
    // One fault for each part is one too few.
    for _ in 0..5 {
        emulator.fail_next(Fault::Unavailable);
        // The part is asked for, where it was not the beginning of a session.
        (0..2).for_each(|_| emulator.fail_next(Fault::Latency(Duration::ZERO)));
    }
    upload().await.unwrap();
    emulator.clear_faults();

    emulator.fail_next(Fault::Latency(Duration::ZERO));
    (0..2).for_each(|_| emulator.fail_next(Fault::Unavailable));
    let error = upload().await.unwrap_err();
    assert_eq!((error.code(), error.kind(), error.attempts()), (Code::Unavailable, ErrorKind::Unavailable, 2));
    assert_eq!((error.wire(), error.method()), (Wire::HttpJson, "google.chat.v1.ChatService/UploadAttachment"));

    emulator.fail_next(Fault::Unavailable);
    let never = upload().retry(RetryPolicy::never()).await.unwrap_err();
    assert_eq!((never.code(), never.attempts()), (Code::Unavailable, 1));
}

#[tokio::test]
async fn a_token_that_expires_on_the_way_is_renewed() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let alice = emulator.credentials().unwrap().for_user("alice@example.com").unwrap();
    let chat = builder(&emulator).credentials(alice).build().unwrap();
    let space = chat.create_space(Space::named("a")).await.unwrap().name;
    (0..2).for_each(|_| emulator.fail_next(Fault::Latency(Duration::ZERO)));
    emulator.fail_next(Fault::ExpiredToken);
    let bytes = content(3 * GRAIN);
    let data_ref = chat.upload_bytes(&space, "a.bin", bytes.clone()).resumable_over(0).chunk_size(GRAIN).await.unwrap();
    emulator.fail_next(Fault::ExpiredToken);
    assert!(downloaded(&chat, &data_ref).await == bytes);
}

#[tokio::test]
async fn what_is_certain_to_fail_is_refused_before_anything_is_sent() {
    let (emulator, chat, space) = start().await;
    let sent = emulator.received().len();
    let huge = TestFile::new("huge.bin", b"");
    std::fs::File::options().write(true).open(&huge.0).unwrap().set_len(200 * 1024 * 1024 + 1).unwrap();
    let bytes = |name: &str| chat.upload_bytes(&space, name, "abc");
    for (upload, problem) in [
        (bytes(""), "filename is required"),
        (bytes("a\0b"), "filename has a control character"),
        (bytes("Setup.EXE"), "filename ends in .exe, and Google Chat takes no such files"),
        (bytes("a").content_type("png"), "content_type is \"png\", which is no media type"),
        (bytes("a").content_type("a/b\r\nx: y"), "content_type is"),
        (chat.upload_bytes("rooms/a", "a", "abc"), "parent"),
        (chat.upload_bytes("spaces/a/b", "a", "abc"), "parent"),
        (chat.upload_file(&space, &huge.0), "the content has more than 209715200 bytes"),
        (chat.upload_reader(&space, "a", tokio::io::empty(), Some(1 << 40)), "the content has more than 209715200"),
    ] {
        let error = upload.await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(error.message().contains(problem), "{error}");
    }
    let missing = chat.upload_file(&space, "/there/is/no.png").await.unwrap_err();
    assert_eq!(missing.code(), Code::FailedPrecondition);
    assert!(missing.message().starts_with("the file /there/is/no.png cannot be read: "), "{missing}");
    for name in ["", "a/../b"] {
        assert_eq!(chat.download(name).await.unwrap_err().code(), Code::InvalidArgument, "{name}");
    }
    assert_eq!(emulator.received().len(), sent);

    // Without checks it is the server that refuses.
    let chat = builder(&emulator).checks(false).build().unwrap();
    let error = chat.upload_bytes(&space, "Setup.EXE", "abc").await.unwrap_err();
    assert_eq!((error.code(), error.http_status()), (Code::InvalidArgument, Some(400)));
    assert_eq!(emulator.received().len(), sent + 1);
}

#[tokio::test]
async fn content_that_changes_while_it_is_read_is_not_taken_for_whole() {
    let (emulator, chat, space) = start().await;
    for length in [3 * GRAIN as u64 - 1, 3 * GRAIN as u64 + 1] {
        let reader = Trickle(content(3 * GRAIN));
        let upload = chat.upload_reader(&space, "a.bin", reader, Some(length)).chunk_size(GRAIN).resumable_over(0);
        let error = upload.await.unwrap_err();
        assert!(error.message().contains("it was changed while it was read"), "{error}");
    }
    assert!(media_calls(&emulator).iter().all(|call| !line(call).contains("524288-786")));
}

#[tokio::test]
async fn to_drop_an_upload_is_to_end_it() {
    let (emulator, chat, space) = start().await;
    // The third request is answered long after the test.
    (0..2).for_each(|_| emulator.fail_next(Fault::Latency(Duration::ZERO)));
    emulator.fail_next(Fault::Latency(Duration::from_secs(600)));
    let (sender, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let upload = chat.upload_bytes(&space, "a.bin", content(3 * GRAIN)).resumable_over(0).chunk_size(GRAIN);
    let upload = upload.progress(move |sent, _| sender.send(sent).unwrap_or_default());
    tokio::select! {
        _ = upload.into_future() => panic!("the request is not answered"),
        sent = progress.recv() => assert_eq!(sent, Some(GRAIN as u64)),
    }
    // The sender was dropped with the upload.
    assert_eq!(progress.recv().await, None);
    chat.create_space(Space::named("other")).await.unwrap();
    let calls: Vec<String> = media_calls(&emulator).iter().map(line).collect();
    assert!(calls.len() <= 3 && calls.iter().all(|call| !call.contains("524288-")), "{calls:?}");
}

#[tokio::test]
async fn an_upload_has_a_deadline_of_its_own() {
    let (emulator, chat, space) = start().await;
    emulator.fail_next(Fault::Latency(Duration::from_secs(600)));
    let upload = chat.upload_bytes(&space, "a.bin", "abc").timeout(Duration::from_millis(50));
    let error = upload.await.unwrap_err();
    assert!(error.is_deadline_exceeded(), "{error}");
    // The time of a reader that gives nothing counts, too.
    let (_writer, reader) = tokio::io::duplex(10);
    let upload = chat.upload_reader(&space, "a.bin", reader, None).timeout(Duration::from_millis(50));
    assert!(upload.await.unwrap_err().is_deadline_exceeded());
}

/// Any random faults, and the bytes are the same in the end.
#[test]
fn bytes_are_the_same_wherever_the_connection_breaks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    let (emulator, _, space) = runtime.block_on(start());
    let chat = runtime.block_on(async { builder(&emulator).retry(policy().with_attempts(100)).build().unwrap() });
    for seed in 0..64 {
        let random = &mut Random(seed);
        let (len, chunk, reader) = (random.below(5 * GRAIN), 1 + random.below(4 * GRAIN - 1), random.below(2) == 0);
        emulator.clear_faults();
        for _ in 0..random.below(12) {
            emulator.fail_next(match random.below(13) {
                0..4 => Fault::CutOff { after: random.below(600_000) as u64 },
                4 => Fault::ResetBefore,
                5 => Fault::ResetAfter,
                6 => Fault::Truncated,
                7 => Fault::Unavailable,
                8 => Fault::Html,
                _ => Fault::Latency(Duration::ZERO),
            });
        }
        let bytes = content(len);
        let upload = match reader {
            true => chat.upload_reader(&space, "a.bin", Trickle(bytes.clone()), None),
            false => chat.upload_bytes(&space, "a.bin", bytes.clone()),
        };
        let read = runtime.block_on(async {
            let data_ref = upload.resumable_over(1_000).chunk_size(chunk).await?;
            // What is left of the faults befalls the download.
            chat.download(&data_ref.resource_name).await?.bytes().await
        });
        let read = read.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(read == bytes, "seed {seed}: {} bytes, and {} were read", len, read.len());
    }
}

#[tokio::test]
async fn a_download_goes_on_behind_the_last_byte_that_came() {
    let (emulator, chat, space) = start().await;
    let bytes = content(1_000_000);
    let data_ref = chat.upload_bytes(&space, "a.bin", bytes.clone()).await.unwrap();
    for after in [0, 1, 300_000, 999_999] {
        for fault in [Fault::CutOff { after }, Fault::Truncated] {
            let before = media_calls(&emulator).len();
            // The rest is cut off, too.
            emulator.fail_next(fault);
            emulator.fail_next(Fault::CutOff { after: 100_000 });
            let mut written = Vec::new();
            let media = chat.download(&data_ref.resource_name).await.unwrap();
            assert_eq!(media.to_writer(&mut written).await.unwrap(), 1_000_000);
            assert!(written == bytes);
            let calls = &media_calls(&emulator)[before..];
            assert!(calls.len() > 1);
            for call in calls.iter().filter(|call| call.headers.contains_key("range")) {
                assert!(call.headers["range"].to_str().unwrap().starts_with("bytes="));
                assert!(call.headers["if-range"].to_str().unwrap().starts_with('"'));
            }
        }
    }
    emulator.clear_faults();

    // Pieces come as they are, and the rest is not read where nobody wants it.
    let mut media = chat.download(&data_ref.resource_name).await.unwrap();
    let first = media.chunk().await.unwrap().unwrap();
    assert!(!first.is_empty() && bytes.starts_with(&first));
    assert_eq!(http_body::Body::size_hint(&media).exact(), Some((bytes.len() - first.len()) as u64));
    assert!(media.collect().await.unwrap().to_bytes() == bytes.slice(first.len()..));

    let error = chat.download(&data_ref.resource_name).max_size(999_999).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::ResourceExhausted, ErrorKind::MessageTooLarge));
    let error = chat.download("bm90aGluZw==").await.unwrap_err();
    assert_eq!((error.kind(), error.method()), (ErrorKind::NotFound, "chat.media.download"));
}

/// A writer that takes nothing.
struct FullDisk;

impl AsyncWrite for FullDisk {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Err(std::io::ErrorKind::StorageFull.into()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_writer_that_fails_is_the_cause_of_the_error() {
    let (_emulator, chat, space) = start().await;
    let data_ref = chat.upload_bytes(&space, "a.txt", "abc").await.unwrap();
    let media: Media = chat.download(&data_ref.resource_name).await.unwrap();
    let error = media.to_writer(&mut FullDisk).await.unwrap_err();
    assert!(error.message().starts_with("what was downloaded cannot be written: "), "{error}");
    let status = std::error::Error::source(&error).unwrap();
    let cause = status.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(cause.kind(), std::io::ErrorKind::StorageFull);
}

/// A server that answers one request after another by a script, and keeps what it was sent.
#[derive(Clone)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Response<Full<Bytes>>>>>,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl tower::Service<Request<Full<Bytes>>> for Scripted {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            server.seen.lock().unwrap().push(Request::from_parts(head, body));
            Ok(server.answers.lock().unwrap().pop_front().expect("no more requests are expected"))
        })
    }
}

/// An answer: its status, its headers and its body.
type Scene<'a> = (u16, &'a [(&'a str, &'a str)], &'a str);

/// A client whose requests get these answers.
fn scripted(answers: Vec<Scene>) -> (Client, Scripted) {
    let answer = |(status, headers, body): Scene| {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Full::from(body.to_owned())).unwrap()
    };
    let answers = answers.into_iter().map(answer).collect();
    let server = Scripted { answers: Arc::new(Mutex::new(answers)), seen: Arc::default() };
    let token = Credentials::token("ya29.secret").unwrap();
    let builder =
        Client::builder().endpoint("https://chat.example").credentials(token).retry(policy().with_attempts(2));
    (builder.build_over(server.clone()).unwrap(), server)
}

const DONE: &str = r#"{"attachmentDataRef":{"attachmentUploadToken":"token"}}"#;
const SESSION: &[(&str, &str)] = &[("location", "/upload?upload_id=secret")];

#[tokio::test]
async fn a_token_goes_to_no_other_host() {
    for location in ["https://evil.example/upload?upload_id=secret", "http://chat.example/upload", "//evil.example/a"] {
        let elsewhere: &[(&str, &str)] = &[("location", location)];
        for answers in [
            vec![(200, elsewhere, "")],
            vec![(200, SESSION, ""), (308, elsewhere, "")],
            // A redirect is not followed either.
            vec![(200, SESSION, ""), (307, elsewhere, "")],
        ] {
            let expected = answers.len();
            let (chat, server) = scripted(answers);
            let error = chat.upload_bytes("spaces/a", "a.bin", "abc").resumable_over(0).await.unwrap_err();
            let text = error.to_string();
            let named = ["which is not https://chat.example; nothing was sent there", "which is not followed"];
            assert!(named.iter().any(|part| text.contains(part)), "{text}");
            assert!(!text.contains("secret"), "{text}");
            let seen = server.seen.lock().unwrap();
            assert!(seen.len() <= expected);
            for request in &*seen {
                assert_eq!(request.uri().host(), Some("chat.example"));
                assert_eq!(request.uri().scheme_str(), Some("https"));
            }
        }
    }
}

#[tokio::test]
async fn a_session_that_moves_within_the_api_is_followed() {
    let moved: &[(&str, &str)] = &[("location", "https://chat.example/other"), ("range", "bytes=0-262143")];
    let (chat, server) = scripted(vec![(200, SESSION, ""), (308, moved, ""), (200, &[], DONE)]);
    let upload = chat.upload_bytes("spaces/a", "a.bin", content(GRAIN + 1)).resumable_over(0).chunk_size(1);
    assert_eq!(upload.await.unwrap().attachment_upload_token, "token");
    let seen = server.seen.lock().unwrap();
    let paths: Vec<&str> = seen.iter().map(|request| request.uri().path()).collect();
    assert_eq!(paths, ["/resumable/upload/v1/spaces/a/attachments:upload", "/upload", "/other"]);
    assert_eq!(seen[0].headers()["x-upload-content-type"], "application/octet-stream");
    assert_eq!(seen[0].headers()["x-upload-content-length"], "262145");
    assert_eq!(seen[0].body(), r#"{"filename":"a.bin"}"#);
    assert!(*seen[2].body() == content(GRAIN + 1).slice(GRAIN..));
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_error() {
    let range: &[(&str, &str)] = &[("range", "bytes=0-9")];
    let nonsense: &[(&str, &str)] = &[("range", "bytes=5-9")];
    for (answers, code, problem) in [
        (vec![(200, &[][..], "")], Code::Internal, "does not say where to upload to"),
        (vec![(200, SESSION, ""), (200, &[], "")], Code::Internal, "does not say what to attach"),
        (vec![(200, SESSION, ""), (200, &[], "{}")], Code::Internal, "does not say what to attach"),
        (vec![(200, SESSION, ""), (200, &[], "<html>")], Code::Internal, "is not the JSON form of"),
        (vec![(200, SESSION, ""), (308, range, "")], Code::Internal, "it has 10 bytes, of which 3 were sent"),
        (vec![(200, SESSION, ""), (308, nonsense, "")], Code::Internal, "range cannot be read"),
        // It keeps nothing, however often it is asked.
        (
            vec![(200, SESSION, ""), (308, &[], ""), (308, &[], "")],
            Code::Unavailable,
            "keeps nothing of what it is sent",
        ),
    ] {
        let (chat, server) = scripted(answers);
        let error = chat.upload_bytes("spaces/a", "a.bin", "abc").resumable_over(0).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(problem), "{error}");
        assert!(server.answers.lock().unwrap().is_empty());
    }
    // One answer for the whole, before it was sent.
    let (chat, _) = scripted(vec![(200, SESSION, ""), (200, &[], DONE)]);
    let upload = chat.upload_bytes("spaces/a", "a.bin", content(2 * GRAIN)).resumable_over(0).chunk_size(1);
    let error = upload.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotTheApi);
    assert!(error.message().contains("262144 bytes were sent of more"), "{error}");
}

#[tokio::test]
async fn a_server_that_loses_what_it_had_gets_it_again_or_the_upload_fails() {
    let kept: &[(&str, &str)] = &[("range", "bytes=0-262143")];
    let answers = || {
        vec![
            (200, SESSION, ""),
            (308, kept, ""),
            (408, &[][..], ""),
            // It has lost the first part.
            (308, &[], ""),
            (308, kept, ""),
            (200, &[], DONE),
        ]
    };
    let bytes = content(GRAIN + 1);
    let (chat, server) = scripted(answers());
    let progress = Arc::new(Mutex::new(Vec::new()));
    let values = Arc::clone(&progress);
    let upload = chat.upload_bytes("spaces/a", "a.bin", bytes.clone()).resumable_over(0).chunk_size(1);
    upload.progress(move |sent, _| values.lock().unwrap().push(sent)).await.unwrap();
    let again = server.seen.lock().unwrap().remove(4);
    assert_eq!(again.headers()["content-range"], "bytes 0-262143/262145");
    assert!(*again.body() == bytes.slice(..GRAIN));
    assert_eq!(*progress.lock().unwrap(), [262_144, 262_145]);

    let (chat, _) = scripted(answers());
    let reader = Trickle(bytes.clone());
    let error =
        chat.upload_reader("spaces/a", "a.bin", reader, None).resumable_over(0).chunk_size(1).await.unwrap_err();
    assert!(error.message().contains("the server has lost what it was sent"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_after_a_lost_session_has_its_time_anew() {
    const PARTS: usize = 12;
    // Each part takes 3 seconds, so that all but one take longer than the 30 seconds of the policy.
    let puts = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&puts);
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let range = request.headers().get("content-range").map(|range| range.to_str().unwrap().to_owned());
        let mut response = Response::builder().status(308);
        let mut body = "";
        if let Some(range) = range {
            *counted.lock().unwrap() += 1;
            let (_, last) = range.split_once('/').unwrap().0.split_once('-').unwrap();
            let is_last = last.parse() == Ok(PARTS * GRAIN - 1);
            response = match (*counted.lock().unwrap(), is_last) {
                // The session is lost with the last part.
                (PARTS, _) => response.status(404),
                (_, true) => response.status(200),
                _ => response.header("range", format!("bytes=0-{last}")),
            };
            body = DONE;
        } else {
            response = response.status(200).header("location", "/session");
        }
        async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok::<_, Infallible>(response.body(Full::from(body)).unwrap())
        }
    });
    let builder = Client::builder().endpoint("https://chat.example").credentials(Credentials::anonymous());
    let chat = builder.retry(policy()).build_over(service).unwrap();
    let upload = chat.upload_bytes("spaces/a", "a.bin", content(PARTS * GRAIN)).resumable_over(0).chunk_size(1);
    assert_eq!(upload.await.unwrap().attachment_upload_token, "token");
    assert_eq!(*puts.lock().unwrap(), 2 * PARTS);
}

#[tokio::test]
async fn a_connection_that_breaks_behind_the_last_byte_takes_nothing_from_a_download() {
    // Where the length is known, nothing is left to ask for; else the server says that nothing is.
    for (length, expected) in [(Some("3"), 1), (None, 2)] {
        let requests = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&requests);
        let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
            *counted.lock().unwrap() += 1;
            let refused = request.headers().contains_key("range");
            let mut response = Response::builder().status(if refused { 416 } else { 200 });
            response = match length {
                _ if refused => response.header("content-range", "bytes */3"),
                Some(length) => response.header("content-length", length),
                None => response,
            };
            let frames = match refused {
                true => vec![Ok(Frame::data(Bytes::from("<h1>Nothing is there.</h1>")))],
                false => vec![Ok(Frame::data(Bytes::from("abc"))), Err(std::io::Error::other("reset"))],
            };
            let body = StreamBody::new(futures_util::stream::iter(frames));
            std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
        });
        let builder = Client::builder().endpoint("https://chat.example").credentials(Credentials::anonymous());
        let chat = builder.retry(policy()).build_over(service).unwrap();
        assert_eq!(chat.download("name").await.unwrap().bytes().await.unwrap(), "abc", "{length:?}");
        assert_eq!(*requests.lock().unwrap(), expected, "{length:?}");
    }
}

#[tokio::test]
async fn a_download_that_is_not_what_it_was_fails() {
    let whole: &[(&str, &str)] = &[("content-length", "6"), ("etag", "\"a\"")];
    let rest = |range: &'static str, etag: &'static str| -> &'static [(&'static str, &'static str)] {
        Vec::leak(vec![("content-range", range), ("etag", etag)])
    };
    // The first answer has three of six bytes.
    for (second, outcome) in [
        ((206, rest("bytes 3-5/6", "\"a\""), "def"), Ok("abcdef")),
        ((206, rest("bytes 3-5/*", "\"a\""), "def"), Ok("abcdef")),
        // A server that knows no ranges.
        ((200, whole, "abcdef"), Ok("abcdef")),
        ((206, rest("bytes 3-6/7", "\"a\""), "defg"), Err("it has not the length that it had")),
        ((206, rest("bytes 3-5/6", "\"b\""), "def"), Err("its ETag is another")),
        ((206, rest("bytes 2-5/6", "\"a\""), "cdef"), Err("other bytes than were asked for")),
        ((206, rest("bytes 3-5/6", "\"a\""), "defg"), Err("it has more bytes than it had")),
        ((206, &[][..], "def"), Err("does not say which bytes it has")),
        ((200, &[("content-encoding", "gzip")][..], "x"), Err("the data is packed")),
        ((416, rest("bytes */3", "\"a\""), ""), Err("it has not the length that it had")),
        ((404, &[][..], ""), Err("404")),
    ] {
        let (chat, server) = scripted(vec![(200, whole, "abc"), second]);
        let bytes = chat.download("name").await.unwrap().bytes().await;
        match outcome {
            Ok(expected) => assert_eq!(bytes.unwrap(), expected, "{second:?}"),
            Err(problem) => {
                let error = bytes.unwrap_err();
                assert!(error.message().contains(problem), "{second:?}: {error}");
            }
        }
        let seen = server.seen.lock().unwrap();
        assert_eq!(
            (&seen[1].headers()["range"], &seen[1].headers()["if-range"]),
            (&"bytes=3-".parse().unwrap(), &"\"a\"".parse().unwrap())
        );
        assert_eq!(seen[1].uri(), "https://chat.example/v1/media/name?alt=media");
    }
    // Bytes that came before are no progress, which would bring new attempts.
    let (chat, server) = scripted(vec![(200, whole, "abc"), (200, whole, "abc")]);
    let error = chat.download("name").await.unwrap().bytes().await.unwrap_err();
    assert_eq!((error.code(), error.attempts()), (Code::Unavailable, 2), "{error}");
    assert!(error.message().contains("the data ended too early"), "{error}");
    assert!(server.answers.lock().unwrap().is_empty());
    // Nothing comes behind the last byte.
    let (chat, _) = scripted(vec![(StatusCode::OK.as_u16(), &[], "abc")]);
    assert_eq!(chat.download("a+/b==").await.unwrap().bytes().await.unwrap(), "abc");
}
