//! Somebody else's API, with its own generated stub, over HTTP/JSON: `cargo run
//! -p library-example --example library`.
//!
//! The stub is that which tonic generates. Under it lie this crate's layers
//! and `HttpJson`; at the other end the crate's `Gateway` offers a gRPC service
//! as REST, so that the example needs no network.

use std::sync::{Arc, Mutex};

use google_chat::{
    Credentials,
    grpc_transcoding::{
        client::{HttpJson, Origin},
        server::{Gateway, ServeOptions, serve},
    },
    layer::Stack,
    protojson::DescriptorPool,
    tower::Layer,
};
use library_example::{
    Book, CreateBookRequest, DESCRIPTORS, SearchBooksRequest, SearchBooksResponse,
    library_client::LibraryClient,
    library_server::{Library, LibraryServer},
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schema = DescriptorPool::decode(DESCRIPTORS)?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let gateway = Gateway::new(schema.clone(), LibraryServer::new(Shelves::default()))?;
    tokio::spawn(serve(listener, gateway, ServeOptions::default()));

    let origin = Origin::parse(&endpoint)?;
    let layers = Stack::new(schema.clone(), &origin).credentials(Credentials::token("secret")?)?;
    let http = HttpJson::builder(schema, &endpoint).build()?;
    let mut stub = LibraryClient::new(layers.layer(http));

    let book = Book { title: "Dune & Co., 2/3 – 100 %".to_owned(), ..Book::default() };
    let request = CreateBookRequest { parent: "shelves/1".to_owned(), book: Some(book), ..Default::default() };
    let book = stub.create_book(request).await?.into_inner();
    println!("created {}: {}", book.name, book.title);

    let request = SearchBooksRequest { parent: "shelves/1".to_owned(), title: "2/3 – 100 %".to_owned() };
    let found = stub.search_books(request).await?.into_inner();
    assert_eq!(found.books, [book]);
    println!("found it by a part of its title");
    Ok(())
}

#[derive(Default)]
struct Shelves(Arc<Mutex<Vec<Book>>>);

#[tonic::async_trait]
impl Library for Shelves {
    async fn create_book(&self, request: Request<CreateBookRequest>) -> Result<Response<Book>, Status> {
        if request.metadata().get("authorization").is_none_or(|token| token != "Bearer secret") {
            return Err(Status::unauthenticated("who are you?"));
        }
        let request = request.into_inner();
        // The layers filled it in, by the field's name.
        if request.request_id.is_empty() {
            return Err(Status::invalid_argument("request_id is required"));
        }
        let mut books = self.0.lock().map_err(|_| Status::internal("the shelves fell over"))?;
        let name = format!("{}/books/{}", request.parent, books.len() + 1);
        let book = Book { name, ..request.book.unwrap_or_default() };
        books.push(book.clone());
        Ok(Response::new(book))
    }

    async fn search_books(
        &self,
        request: Request<SearchBooksRequest>,
    ) -> Result<Response<SearchBooksResponse>, Status> {
        let request = request.into_inner();
        let books = self.0.lock().map_err(|_| Status::internal("the shelves fell over"))?;
        let found = |book: &&Book| book.name.starts_with(&request.parent) && book.title.contains(&request.title);
        Ok(Response::new(SearchBooksResponse { books: books.iter().filter(found).cloned().collect() }))
    }
}

#[test]
fn the_example_runs() {
    main().unwrap();
}
