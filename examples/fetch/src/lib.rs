//! A generated stub as WebAssembly, whose calls leave by the host's `fetch`:
//! `examples/fetch/run` builds it and runs it under Node.
//!
//! This file is what an application has; `web` is the bridge to JavaScript, in place of
//! which wasm-bindgen with gloo-net or web-sys serves as well.

#[cfg(target_family = "wasm")]
mod web;

use std::time::Duration;

use bytes::Bytes;
use grpc_transcoding::{
    DescriptorPool,
    client::{BoxError, HttpJson, MaybeSend},
};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use library_example::{Book, DESCRIPTORS, SearchBooksRequest, library_client::LibraryClient};
use tower::Service;

/// Looks for books at a REST API, over any HTTP service.
///
/// # Errors
///
/// If the call fails.
pub async fn search<S, B>(endpoint: &str, http: S, title: &str) -> Result<Vec<Book>, BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + MaybeSend + 'static,
    S::Error: Into<BoxError>,
    // In a browser nothing needs to be Send.
    S::Future: MaybeSend,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let pool = DescriptorPool::decode(DESCRIPTORS)?;
    let mut stub = LibraryClient::new(HttpJson::builder(pool, endpoint).build_over(http)?);
    let request = SearchBooksRequest { parent: "shelves/1".to_owned(), title: title.to_owned() };
    let mut request = tonic::Request::new(request);
    request.set_timeout(Duration::from_secs(10));
    Ok(stub.search_books(request).await?.into_inner().books)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_stub_goes_over_a_function() {
        let http = tower::service_fn(|request: Request<Full<Bytes>>| async move {
            assert_eq!(request.uri(), "https://library.example/v1/shelves/1/books:search?title=Dune");
            Ok::<_, BoxError>(Response::new(Full::from(r#"{"books": [{"title": "Dune"}]}"#)))
        });
        let books = search("https://library.example", http, "Dune").await.unwrap();
        assert_eq!(books, [Book { title: "Dune".to_owned(), ..Book::default() }]);
    }
}
