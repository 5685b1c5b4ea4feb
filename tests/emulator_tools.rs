//! What the emulator has for those who test and look: the calls that came, the page,
//! the settings and faults by HTTP, reflection and health.

use google_chat::{
    Client, CreateSpaceRequest, Credentials, Schema, Space, Wire,
    emulator::{Emulator, Fault},
    policy::RetryPolicy,
    proto::{DESCRIPTOR_SET, google::chat::v1::chat_service_client::ChatServiceClient},
    transport::{Grpc, HttpJson, Origin},
};
use prost::Message;
use tonic::Code;

#[tokio::test]
async fn what_was_received_can_be_looked_at() {
    let emulator = Emulator::start().await.unwrap();
    let schema = Schema::decode(DESCRIPTOR_SET).unwrap();
    let origin = Origin::parse(&emulator.endpoint()).unwrap();
    let http_json = HttpJson::builder(schema, emulator.endpoint()).enums_as_integers(true).build().unwrap();
    let request = CreateSpaceRequest { request_id: "a b".to_owned(), ..Space::named("Room").into() };
    let one = ChatServiceClient::new(http_json).create_space(request.clone()).await.unwrap().into_inner();
    let two = ChatServiceClient::new(Grpc::new(origin).unwrap()).create_space(request).await.unwrap().into_inner();
    assert_eq!(one, two);
    emulator.fail_next(Fault::ResetBefore);
    let chat = Client::builder().endpoint(emulator.endpoint()).credentials(Credentials::anonymous());
    let chat = chat.wire(Wire::HttpJson).retry(RetryPolicy::never()).build().unwrap();
    chat.create_space(Space::named("Lost")).await.unwrap_err();
    chat.create_space(Space::named("Room")).await.unwrap_err();

    let received = emulator.received();
    let said: Vec<_> = received.iter().map(|call| (call.verb.as_str(), call.code)).collect();
    let codes = [Some(Code::Ok), Some(Code::Ok), None, Some(Code::AlreadyExists)];
    assert_eq!(said, codes.map(|code| ("POST", code)));
    assert_eq!(received[0].target, "/v1/spaces?requestId=a%20b&%24alt=json%3Benum-encoding%3Dint");
    assert_eq!(received[0].body, r#"{"displayName":"Room","spaceType":1}"#);
    assert_eq!(received[1].target, "/google.chat.v1.ChatService/CreateSpace");
    let mut framed = vec![0, 0, 0, 0, 0];
    let message = CreateSpaceRequest { request_id: "a b".to_owned(), ..Space::named("Room").into() }.encode_to_vec();
    framed[4] = u8::try_from(message.len()).unwrap();
    assert_eq!(received[1].body, [framed, message].concat());
}
