//! Somebody else's API, with its own generated stub, over HTTP/JSON: `cargo run
//! -p library-example --example library`.
//!
//! The stub is the one that tonic generates, and `HttpJson` goes under it. So that the
//! example needs no network, a `Gateway` offers a gRPC service as REST on this machine.

use std::sync::{Arc, Mutex};

use grpc_transcoding::{
    DescriptorPool,
    client::HttpJson,
    server::{Gateway, ServeOptions, serve},
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
    let pool = DescriptorPool::decode(DESCRIPTORS)?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let gateway = Gateway::new(&pool, LibraryServer::new(Shelves::default()))?;
    tokio::spawn(serve(listener, gateway, ServeOptions::default()));

    let mut stub = LibraryClient::new(HttpJson::builder(&pool, &endpoint).build()?);

    let book = Book { title: "Dune & Co., 2/3 – 100 %".to_owned(), ..Book::default() };
    let request = CreateBookRequest { parent: "shelves/1".to_owned(), book: Some(book) };
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
        let request = request.into_inner();
        let mut books = self.0.lock().map_err(|_| Status::internal("another call failed while it wrote"))?;
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
        let books = self.0.lock().map_err(|_| Status::internal("another call failed while it wrote"))?;
        let found = |book: &&Book| book.name.starts_with(&request.parent) && book.title.contains(&request.title);
        Ok(Response::new(SearchBooksResponse { books: books.iter().filter(found).cloned().collect() }))
    }
}

#[test]
fn the_example_runs() {
    main().unwrap();
}
