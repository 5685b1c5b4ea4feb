//! An upload holds no more of its content in memory than a part. The whole process is measured, so
//! that this is a binary of its own; the server throws away what it gets.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    convert::Infallible,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{Context, Poll},
};

use bytes::Bytes;
use google_chat::{Client, Credentials};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpListener,
};

/// Counts the bytes that are in use, and the most that ever were.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code, reason = "a global allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(USED.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const MIB: usize = 1024 * 1024;

/// A reader of zeros that ends, and holds nothing.
struct Zeros(usize);

impl AsyncRead for Zeros {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let some = self.0.min(buffer.remaining());
        buffer.initialize_unfilled_to(some).fill(0);
        buffer.advance(some);
        self.0 -= some;
        Poll::Ready(Ok(()))
    }
}

/// Takes parts, and counts their bytes.
async fn take<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (head, mut body) = request.into_parts();
    while let Some(Ok(_)) = body.frame().await {}
    let range = head.headers.get("content-range").map(|range| range.to_str().unwrap().to_owned());
    let Some(range) = range else {
        return Ok(Response::builder().header("location", "/session").body(Full::default()).unwrap());
    };
    let (place, total) = range.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
    let last: usize = place.split_once('-').unwrap().1.parse().unwrap();
    if total.parse() == Ok(last + 1) {
        return Ok(Response::new(Full::from(r#"{"attachmentDataRef":{"attachmentUploadToken":"token"}}"#)));
    }
    Ok(Response::builder().status(308).header("range", format!("bytes=0-{last}")).body(Full::default()).unwrap())
}

#[tokio::test]
async fn sixty_megabytes_take_the_memory_of_a_part() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(tower::service_fn(take));
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let chat = Client::builder().endpoint(endpoint).credentials(Credentials::anonymous()).build().unwrap();
    // What is made once, such as the schema, does not count.
    chat.upload_reader("spaces/a", "a.bin", Zeros(MIB), None).resumable_over(0).await.unwrap();
    for (length, chunk) in [(None, 4 * MIB), (Some(60 * MIB as u64), 4 * MIB), (None, MIB / 4)] {
        let upload = chat.upload_reader("spaces/a", "a.bin", Zeros(60 * MIB), length).chunk_size(chunk);
        let before = USED.load(Relaxed);
        MOST.store(before, Relaxed);
        assert_eq!(upload.await.unwrap().attachment_upload_token, "token");
        let taken = MOST.load(Relaxed) - before;
        // Buffers of the two ends of the connection come beside the part.
        assert!(taken < chunk + 2 * MIB, "{taken} bytes for parts of {chunk}");
    }
}
