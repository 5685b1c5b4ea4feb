//! A tonic server as REST: `cargo run -p library-example --example gateway`, and then
//! `curl 'localhost:8080/v1/shelves/1/books:search?title=Dune'`.

use grpc_transcoding::{
    DescriptorPool, NoBindings,
    server::{Gateway, ServeOptions, serve},
};
use library_example::{
    Book, CreateBookRequest, DESCRIPTORS, SearchBooksRequest, SearchBooksResponse,
    library_server::{Library, LibraryServer},
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

/// A gRPC service, as tonic has it.
struct Shelves;

#[tonic::async_trait]
impl Library for Shelves {
    async fn create_book(&self, request: Request<CreateBookRequest>) -> Result<Response<Book>, Status> {
        let CreateBookRequest { parent, book } = request.into_inner();
        let book = book.ok_or_else(|| Status::invalid_argument("book: is required"))?;
        Ok(Response::new(Book { name: format!("{parent}/books/1"), ..book }))
    }

    async fn search_books(
        &self,
        request: Request<SearchBooksRequest>,
    ) -> Result<Response<SearchBooksResponse>, Status> {
        let SearchBooksRequest { parent, title } = request.into_inner();
        Ok(Response::new(SearchBooksResponse { books: vec![Book { name: format!("{parent}/books/1"), title }] }))
    }
}

/// The service with REST in front of it. gRPC calls pass through to it.
fn gateway() -> Result<Gateway<LibraryServer<Shelves>>, NoBindings> {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("the descriptor set is the one that was generated");
    Gateway::new(pool, LibraryServer::new(Shelves))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("REST and gRPC on http://{}", listener.local_addr()?);
    serve(listener, gateway()?, ServeOptions::default()).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn the_service_answers_as_rest() {
        for (method, target, body, status, response) in [
            (
                "POST",
                "/v1/shelves/1/books",
                r#"{"title":"Dune"}"#,
                200,
                r#"{"name":"shelves/1/books/1","title":"Dune"}"#,
            ),
            (
                "GET",
                "/v1/shelves/1/books:search?title=Dune%20%26%20Co.",
                "",
                200,
                r#"{"books":[{"name":"shelves/1/books/1","title":"Dune & Co."}]}"#,
            ),
            (
                "POST",
                "/v1/shelves/1/books",
                "",
                400,
                r#"{"error":{"code":400,"message":"book: is required","status":"INVALID_ARGUMENT"}}"#,
            ),
        ] {
            let request = http::Request::builder().method(method).uri(target);
            let request = request.body(Full::new(body.as_bytes().into())).unwrap();
            let answer = gateway().unwrap().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status, "{target}");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(String::from_utf8_lossy(&body).trim_end(), response, "{target}");
        }
    }
}
