//! The host's `fetch` as an HTTP service, by functions that `index.mjs` gives and calls.

use std::{
    cell::RefCell,
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use grpc_transcoding::client::BoxError;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::sync::oneshot;
use tower::Service;

#[link(wasm_import_module = "host")]
unsafe extern "C" {
    /// Begins to send a request: a line with the method and the URL, a line for each
    /// header, then the body. The host calls [`fetched`] with the same number when it has
    /// the response.
    #[link_name = "fetch"]
    fn host_fetch(call: u32, request: *const u8, head: usize, len: usize);
    /// Takes the outcome of [`start`].
    fn done(good: bool, text: *const u8, len: usize);
}

type Fetching = oneshot::Sender<Result<Response<Full<Bytes>>, BoxError>>;
type Task = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static CALLS: RefCell<HashMap<u32, Fetching>> = RefCell::default();
    static TASK: RefCell<Option<Task>> = RefCell::default();
}

/// Sends requests by the host's `fetch`.
#[derive(Clone)]
struct Fetch;

impl Service<Request<Full<Bytes>>> for Fetch {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let mut message = format!("{} {}", head.method, head.uri).into_bytes();
            for (name, value) in &head.headers {
                message.extend([b"\n", name.as_str().as_bytes(), b": ", value.as_bytes()].concat());
            }
            let head = message.len();
            message.extend(body.collect().await?.to_bytes());
            let (sender, response) = oneshot::channel();
            let call = CALLS.with_borrow_mut(|calls| {
                let call = (0..).find(|call| !calls.contains_key(call)).unwrap_or_default();
                calls.insert(call, sender);
                call
            });
            // SAFETY: The host reads the message before it returns.
            unsafe { host_fetch(call, message.as_ptr(), head, message.len()) };
            response.await?
        })
    }
}

/// Memory for what the host passes.
#[unsafe(no_mangle)]
extern "C" fn allocate(len: usize) -> *mut u8 {
    Box::leak(vec![0; len].into_boxed_slice()).as_mut_ptr()
}

/// What the host wrote into memory of [`allocate`].
///
/// # Safety
///
/// It is of this length, and is not used again.
unsafe fn taken(bytes: *mut u8, len: usize) -> Vec<u8> {
    // SAFETY: As above.
    unsafe { Vec::from_raw_parts(bytes, len, len) }
}

/// Begins to look for a book at the endpoint; the host's `done` has the outcome.
#[unsafe(no_mangle)]
extern "C" fn start(endpoint: *mut u8, len: usize) {
    // SAFETY: The host passes what it allocated.
    let endpoint = String::from_utf8_lossy(&unsafe { taken(endpoint, len) }).into_owned();
    let task = Box::pin(async move {
        let books = crate::search(&endpoint, Fetch, "Dune & Co.").await;
        let (good, text) = match books {
            Ok(books) => (true, books.into_iter().map(|book| book.name).collect::<Vec<_>>().join(", ")),
            Err(error) => (false, error.to_string()),
        };
        // SAFETY: The host reads the text before it returns.
        unsafe { done(good, text.as_ptr(), text.len()) };
    });
    TASK.set(Some(task));
    run();
}

/// Takes the response of a request: the head's lines, each a header, and the body; or
/// with the status 0 what went wrong.
#[unsafe(no_mangle)]
extern "C" fn fetched(call: u32, status: u16, bytes: *mut u8, head: usize, len: usize) {
    // SAFETY: The host passes what it allocated.
    let bytes = unsafe { taken(bytes, len) };
    let (head, body) = bytes.split_at(head);
    let mut response = Response::builder().status(status);
    for line in String::from_utf8_lossy(head).lines() {
        if let Some((name, value)) = line.split_once(": ") {
            response = response.header(name, value);
        }
    }
    let response = match status {
        0 => Err(String::from_utf8_lossy(body).into_owned().into()),
        _ => response.body(Full::from(body.to_vec())).map_err(Into::into),
    };
    if let Some(sender) = CALLS.with_borrow_mut(|calls| calls.remove(&call)) {
        // Whoever dropped the call does not need the response.
        let _ = sender.send(response);
    }
    run();
}

/// Goes on with the task, which waits for nothing but the host.
fn run() {
    let Some(mut task) = TASK.take() else { return };
    if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        TASK.set(Some(task));
    }
}
