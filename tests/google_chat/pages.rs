//! All pages of a list, and their items, as streams.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::StreamExt;
use google_chat::{Client, Credentials, PageRequest, Space, layer::RetryPolicy, proto::google::chat::v1::*};
use google_chat_emulator::Emulator;
use http::{Request, Response};
use http_body_util::Full;

/// A client of a list whose pages have these next tokens; and the queries that were asked. The
/// page after `fails` is an error.
fn list(next: &[(&str, &str)]) -> (Client, Arc<Mutex<Vec<String>>>) {
    let next: Vec<(String, String)> =
        next.iter().map(|(token, next)| ((*token).to_owned(), (*next).to_owned())).collect();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let token = query.split('&').find_map(|pair| pair.strip_prefix("pageToken=")).unwrap_or_default().to_owned();
        let next = next.iter().find(|(asked, _)| *asked == token).map_or("", |(_, next)| next);
        kept.lock().unwrap().push(query);
        let (status, body) = match (&*token, next) {
            ("fails", _) => (404, r#"{"error":{"code":404,"status":"NOT_FOUND","message":"Gone."}}"#.to_owned()),
            ("empty", _) => (200, format!(r#"{{"nextPageToken":"{next}"}}"#)),
            _ => (
                200,
                format!(
                    r#"{{"spaces":[{{"name":"spaces/{token}1"}},{{"name":"spaces/{token}2"}}],"nextPageToken":"{next}"}}"#
                ),
            ),
        };
        std::future::ready(Ok::<_, Infallible>(Response::builder().status(status).body(Full::from(body)).unwrap()))
    });
    let builder = Client::builder().credentials(Credentials::anonymous()).retry(RetryPolicy::never());
    (builder.build_over(service).unwrap(), asked)
}

/// The names of the items, and the message of the error that ended them.
async fn names(chat: &Client, request: ListSpacesRequest) -> (Vec<String>, Option<String>) {
    let (mut names, mut error) = (Vec::new(), None);
    let mut items = chat.list_spaces(request).items();
    while let Some(item) = items.next().await {
        match item {
            Ok(space) => names.push(space.name.replace("spaces/", "")),
            Err(failed) => assert!(error.replace(failed.to_string()).is_none()),
        }
    }
    assert!(items.next().await.is_none());
    (names, error)
}

#[tokio::test]
async fn each_page_is_asked_for_with_the_same_request_but_for_its_token() {
    let (chat, asked) = list(&[("", "empty"), ("empty", "b"), ("b", "")]);
    let request = ListSpacesRequest { page_size: 2, filter: "f".to_owned(), ..Default::default() };
    let (found, error) = names(&chat, request).await;
    assert_eq!((found, error), (["1", "2", "b1", "b2"].map(str::to_owned).to_vec(), None));
    let expected = ["pageSize=2&filter=f", "pageSize=2&pageToken=empty&filter=f", "pageSize=2&pageToken=b&filter=f"];
    let sorted = |query: &str| {
        let mut pairs: Vec<String> = query.split('&').map(str::to_owned).collect();
        pairs.sort();
        pairs
    };
    let asked: Vec<_> = asked.lock().unwrap().iter().map(|query| sorted(query)).collect();
    assert_eq!(asked, expected.map(sorted));
}

#[tokio::test]
async fn a_list_begins_with_the_page_that_the_request_asks_for() {
    let (chat, asked) = list(&[("b", "")]);
    let request = ListSpacesRequest { page_token: "b".to_owned(), ..Default::default() };
    assert_eq!(names(&chat, request).await.0, ["b1", "b2"]);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_that_comes_again_ends_the_list_with_an_error() {
    for (next, found) in [
        (&[("", "a"), ("a", "a")][..], &["1", "2", "a1", "a2"][..]),
        (&[("", "a"), ("a", "b"), ("b", "a")], &["1", "2", "a1", "a2", "b1", "b2"]),
    ] {
        let (chat, _) = list(next);
        let (names, error) = names(&chat, ListSpacesRequest::default()).await;
        assert_eq!(names, found);
        let error = error.unwrap();
        assert!(error.contains("ListSpaces") && error.contains("the list would not end"), "{error}");
    }
}

#[tokio::test]
async fn a_list_ends_after_an_error() {
    let (chat, asked) = list(&[("", "fails"), ("fails", "b")]);
    let (names, error) = names(&chat, ListSpacesRequest::default()).await;
    assert_eq!(names, ["1", "2"]);
    assert!(error.unwrap().contains("NOT_FOUND: Gone."));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn no_page_is_asked_for_before_it_is_needed() {
    let (chat, asked) = list(&[("", "a"), ("a", "b"), ("b", "")]);
    let made = || asked.lock().unwrap().len();
    let mut items = chat.list_spaces(ListSpacesRequest::default()).items();
    assert_eq!(made(), 0);
    for (item, calls) in [1, 1, 2].into_iter().enumerate() {
        items.next().await.unwrap().unwrap();
        assert_eq!(made(), calls, "item {item}");
    }
    drop(items);
    assert_eq!(made(), 2);
    let mut pages = chat.list_spaces(ListSpacesRequest::default()).pages();
    assert_eq!(pages.next().await.unwrap().unwrap().next_page_token, "a");
    assert_eq!(made(), 3);
}

/// As the streams of any other crate.
#[tokio::test]
async fn the_pages_of_a_server_are_a_stream() {
    let emulator = Emulator::start().await.unwrap();
    let chat = Client::builder().endpoint(emulator.endpoint()).credentials(Credentials::anonymous()).build().unwrap();
    for at in 0..5 {
        chat.create_space(google_chat::Space::named(at.to_string())).await.unwrap();
    }
    let request = ListSpacesRequest { page_size: 2, ..Default::default() };
    let pages: Vec<_> =
        chat.list_spaces(request.clone()).pages().map(|page| page.unwrap().spaces.len()).collect().await;
    assert_eq!(pages, [2, 2, 1]);
    assert_eq!(chat.list_spaces(request).items().take(3).collect::<Vec<_>>().await.len(), 3);
}

#[test]
fn every_method_that_gives_a_page_gives_all_of_them() {
    fn path<Rq: PageRequest>() -> &'static str {
        Rq::PATH
    }
    let paged = BTreeSet::from([
        path::<FindGroupChatsRequest>(),
        path::<ListCustomEmojisRequest>(),
        path::<ListMembershipsRequest>(),
        path::<ListMessagePinsRequest>(),
        path::<ListMessagesRequest>(),
        path::<ListReactionsRequest>(),
        path::<ListSectionItemsRequest>(),
        path::<ListSectionsRequest>(),
        path::<ListSpaceEventsRequest>(),
        path::<ListSpacesRequest>(),
        path::<SearchMessagesRequest>(),
        path::<SearchSpacesRequest>(),
    ]);
    let methods = Client::http_rules().methods().map(|method| method.method());
    let with_tokens = methods.filter(|method| method.input().field_named("page_token").is_some());
    assert_eq!(paged, with_tokens.map(|method| method.path()).collect());
}

#[test]
#[allow(deprecated, reason = "servers of before have no results")]
fn a_search_gives_the_spaces_of_its_results_and_of_servers_that_have_none() {
    let space = |name: &str| Space { name: name.to_owned(), ..Space::default() };
    let result = |space| search_spaces_response::SearchSpaceResult { space };
    let new = SearchSpacesResponse {
        results: vec![result(Some(space("a"))), result(None), result(Some(space("b")))],
        ..SearchSpacesResponse::default()
    };
    let old = SearchSpacesResponse { spaces: vec![space("a"), space("b")], ..SearchSpacesResponse::default() };
    let both = SearchSpacesResponse { spaces: old.spaces.clone(), ..new.clone() };
    for page in [new, old, both] {
        assert_eq!(SearchSpacesRequest::items(page), [space("a"), space("b")]);
    }
}
