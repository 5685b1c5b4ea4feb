//! The methods as a gRPC service.
//!
//! Messages are decoded and encoded here, around one instance of tonic's machinery. The generated
//! server has one for each of its 52 methods, which took half of the time to compile this crate.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use bytes::Bytes;
use google_chat::{
    MethodRequest,
    grpc_transcoding::rpc::{BoxFuture, EncodedCodec},
    proto::google::chat::v1 as api,
};
use prost::Message;
use tonic::{Request, Response, Status, body::Body};
use tower::{Service, service_fn};

use super::Chat;

/// Answers an encoded request.
type Method = fn(Chat, Request<Bytes>) -> BoxFuture<Result<Response<Bytes>, Status>>;

macro_rules! methods {
    ($($request:ident => $method:ident,)*) => {
        /// The method of a gRPC path.
        fn method(path: &str) -> Option<Method> {
            Some(match path {
                $(<api::$request as MethodRequest>::PATH => |chat, request| {
                    Box::pin(async move {
                        let answer = chat.$method(decode::<api::$request>(request)?).await?;
                        Ok(answer.map(|message| message.encode_to_vec().into()))
                    })
                },)*
                _ => return None,
            })
        }
    };
}

methods! {
    CompleteImportSpaceRequest => complete_import_space,
    CreateMembershipRequest => create_membership,
    CreateMessagePinRequest => create_message_pin,
    CreateMessageRequest => create_message,
    CreateReactionRequest => create_reaction,
    CreateSpaceRequest => create_space,
    DeleteMembershipRequest => delete_membership,
    DeleteMessagePinRequest => delete_message_pin,
    DeleteMessageRequest => delete_message,
    DeleteReactionRequest => delete_reaction,
    DeleteSpaceRequest => delete_space,
    FindDirectMessageRequest => find_direct_message,
    FindGroupChatsRequest => find_group_chats,
    GetAttachmentRequest => get_attachment,
    GetMembershipRequest => get_membership,
    GetMessageRequest => get_message,
    GetSpaceReadStateRequest => get_space_read_state,
    GetSpaceRequest => get_space,
    ListMembershipsRequest => list_memberships,
    ListMessagePinsRequest => list_message_pins,
    ListMessagesRequest => list_messages,
    ListReactionsRequest => list_reactions,
    ListSpacesRequest => list_spaces,
    SearchSpacesRequest => search_spaces,
    SetUpSpaceRequest => set_up_space,
    UpdateMembershipRequest => update_membership,
    UpdateMessageRequest => update_message,
    UpdateSpaceReadStateRequest => update_space_read_state,
    UpdateSpaceRequest => update_space,
}

fn decode<M: Message + Default>(request: Request<Bytes>) -> Result<Request<M>, Status> {
    let (metadata, extensions, message) = request.into_parts();
    let message = M::decode(message).map_err(|error| Status::internal(error.to_string()))?;
    Ok(Request::from_parts(metadata, extensions, message))
}

impl Service<http::Request<Body>> for Chat {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: http::Request<Body>) -> Self::Future {
        let chat = self.clone();
        Box::pin(async move {
            let Some(method) = method(call.uri().path()) else {
                return Ok(Status::unimplemented("Not yet implemented").into_http());
            };
            let answer = service_fn(move |request| method(chat.clone(), request));
            Ok(tonic::server::Grpc::new(EncodedCodec).unary(answer, call).await)
        })
    }
}
