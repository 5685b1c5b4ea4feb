//! The generated server trait, for a mock that has the methods it is about.

use google_chat::proto::google::chat::v1::{
    GetSpaceRequest, Space,
    chat_service_client::ChatServiceClient,
    chat_service_server::{ChatService, ChatServiceServer},
};
use tonic::{Code, Request, Response, Status};

struct Mock;

#[tonic::async_trait]
impl ChatService for Mock {
    async fn get_space(&self, request: Request<GetSpaceRequest>) -> Result<Response<Space>, Status> {
        Ok(Response::new(Space { name: request.into_inner().name, ..Space::default() }))
    }
}

#[tokio::test]
async fn a_mock_answers_what_it_has_and_says_what_it_has_not() {
    let mut stub = ChatServiceClient::new(ChatServiceServer::new(Mock));
    let request = GetSpaceRequest { name: "spaces/a".to_owned(), ..GetSpaceRequest::default() };
    assert_eq!(stub.get_space(request).await.unwrap().into_inner().name, "spaces/a");
    assert_eq!(stub.list_spaces(Request::new(Default::default())).await.unwrap_err().code(), Code::Unimplemented);
}
