//! What is allocated: nothing by the codec in the common case, since the buffer is the
//! caller's; and little more by a `Client` than by what sends its calls.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use bytes::Bytes;
use google_chat::{
    Client, CreateSpaceRequest, Credentials, ENDPOINT, Space,
    grpc_transcoding::client::HttpJson,
    proto::{
        DESCRIPTOR_SET,
        google::chat::v1::{chat_service_client::ChatServiceClient, space::SpaceDetails},
    },
    protojson::{DescriptorPool, ReadOptions, WriteOptions},
};
use http::{Request, Response};
use http_body_util::Full;
use tonic::{body::Body, client::GrpcService};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code, reason = "a global allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const RESPONSE: &str = concat!(
    r#"{"name":"spaces/AAQAjCNSsU0","type":"ROOM","displayName":"Launch \"room\" für alle","#,
    r#""spaceThreadingState":"THREADED_MESSAGES","spaceDetails":{"description":"Where we plan the launch"},"#,
    r#""spaceHistoryState":"HISTORY_ON","createTime":"2026-11-24T09:30:00.123456Z","#,
    r#""spaceType":"SPACE","membershipCount":{"joinedDirectHumanUserCount":17},"#,
    r#""accessSettings":{"accessState":"DISCOVERABLE","audience":"audiences/default"},"#,
    r#""permissionSettings":{"manageApps":{"managersAllowed":true,"assistantManagersAllowed":false}}}"#
);

#[test]
fn nothing_is_allocated_with_a_reused_buffer() {
    let space = DescriptorPool::decode(DESCRIPTOR_SET).unwrap().message("google.chat.v1.Space").unwrap();
    let (read, write) = (ReadOptions::default(), WriteOptions::default());
    let (mut wire, mut json) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    let before = COUNT.get();
    space.read_json(RESPONSE.as_bytes(), &mut wire, &read).unwrap();
    let reading = COUNT.get() - before;
    // The text has no order that the wire must have; by way of JSON it gets one.
    space.write_json(&wire, &mut json, &write).unwrap();
    wire.clear();
    space.read_json(&json, &mut wire, &read).unwrap();
    let before = COUNT.get();
    let again = &mut Vec::with_capacity(4096);
    let buffer = COUNT.get() - before;
    space.write_json(&wire, again, &write).unwrap();
    let writing = COUNT.get() - before - buffer;
    assert_eq!((reading, writing), (0, 0));
    assert_eq!(*again, json);
    // The counter does count.
    assert!(buffer > 0);
}

/// What a call of the generated stub allocates, once it is warm.
async fn call<S>(service: S) -> usize
where
    S: GrpcService<Body>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    let mut stub = ChatServiceClient::new(service);
    let details = SpaceDetails { description: "Where we plan the launch".to_owned(), ..Default::default() };
    let customer = Some("customers/my_customer".to_owned());
    let space = Space { space_details: Some(details), customer, ..Space::named("Launch room") };
    let request = CreateSpaceRequest { space: Some(space), request_id: "2f1e3c9a-6f0b-4a7e".to_owned() };
    stub.create_space(request.clone()).await.unwrap();
    let before = COUNT.get();
    stub.create_space(request).await.unwrap();
    COUNT.get() - before
}

#[tokio::test]
async fn a_client_allocates_at_most_half_as_much_again_as_what_sends_its_calls() {
    let http = tower::service_fn(|request: Request<Full<Bytes>>| async move {
        assert_eq!(request.headers()["content-type"], "application/json");
        Ok::<_, http::Error>(Response::new(Full::new(Bytes::from_static(RESPONSE.as_bytes()))))
    });
    let schema = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let alone = call(HttpJson::builder(schema, ENDPOINT).build_over(http).unwrap()).await;
    let client = Client::builder().credentials(Credentials::anonymous()).build_over(http).unwrap();
    let client = call(client.channel()).await;
    println!("{alone} allocations over HttpJson, {client} over Client");
    assert!(client * 2 <= alone * 3, "{alone} allocations over HttpJson, {client} over Client");
    assert!(alone > 10, "{alone}");
}
