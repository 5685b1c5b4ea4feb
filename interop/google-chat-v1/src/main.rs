//! Runs the table of calls with Google's own Rust client, google-chat-v1, which has HTTP/JSON alone.
//!
//! `google-chat-v1-table TABLE ENDPOINT TOKENS`, by a file with a token for each identity: this
//! client's library for credentials knows no subject. Prints a line of JSON for each call: its id,
//! and the answer or the error. The certificate comes from SSL_CERT_FILE, and the emulator's URL,
//! whatever stands before it, from EMULATOR.

#[path = "../../rust/src/steps.rs"]
mod steps;

use std::{collections::HashMap, error::Error};

use google_chat_v1::client::ChatService;
use google_cloud_auth::{
    credentials::{CacheableResource, CredentialsProvider, EntityTag},
    errors::CredentialsError,
};
use google_cloud_gax::error::rpc::StatusDetails;
use http::{Extensions, HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde_json::{Value, json};

type Failure = Box<dyn Error>;

/// A token as credentials.
#[derive(Debug)]
struct Bearer(HeaderValue);

impl CredentialsProvider for Bearer {
    async fn headers(&self, _: Extensions) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        let data = HeaderMap::from_iter([(AUTHORIZATION, self.0.clone())]);
        Ok(CacheableResource::New { entity_tag: EntityTag::new(), data })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

/// Calls the one of these methods that has a name, with a request in ProtoJSON.
macro_rules! call {
    ($client:expr, $method:expr, $json:expr, $($call:ident $request:ident,)*) => {
        match format!("{}Request", $method).as_str() {
            $(name if name == stringify!($request) => {
                let request: google_chat_v1::model::$request = serde_json::from_str($json)?;
                $client.$call().with_request(request).send().await.map(serde_json::to_value)
            })*
            _ => return Err(format!("no call of {} is known", $method).into()),
        }
    };
}

async fn call(client: &ChatService, method: &str, json: &str) -> Result<steps::Outcome, Failure> {
    let called = call!(
        client, method, json,
        create_space CreateSpaceRequest,
        set_up_space SetUpSpaceRequest,
        get_space GetSpaceRequest,
        list_spaces ListSpacesRequest,
        search_spaces SearchSpacesRequest,
        update_space UpdateSpaceRequest,
        delete_space DeleteSpaceRequest,
        complete_import_space CompleteImportSpaceRequest,
        find_direct_message FindDirectMessageRequest,
        find_group_chats FindGroupChatsRequest,
        create_membership CreateMembershipRequest,
        get_membership GetMembershipRequest,
        list_memberships ListMembershipsRequest,
        update_membership UpdateMembershipRequest,
        delete_membership DeleteMembershipRequest,
        create_message CreateMessageRequest,
        get_message GetMessageRequest,
        list_messages ListMessagesRequest,
        update_message UpdateMessageRequest,
        delete_message DeleteMessageRequest,
        get_attachment GetAttachmentRequest,
        create_reaction CreateReactionRequest,
        list_reactions ListReactionsRequest,
        delete_reaction DeleteReactionRequest,
        create_message_pin CreateMessagePinRequest,
        list_message_pins ListMessagePinsRequest,
        delete_message_pin DeleteMessagePinRequest,
        get_space_read_state GetSpaceReadStateRequest,
        update_space_read_state UpdateSpaceReadStateRequest,
    );
    match called {
        // Of Empty it makes `()`, which is null.
        Ok(answer) => Ok(Ok(Some(answer?).filter(|answer| !answer.is_null()).unwrap_or_else(|| json!({})))),
        Err(error) => Ok(Err(described(error)?)),
    }
}

/// What the client knows of an error; the error itself if it is no refusal.
fn described(error: google_cloud_gax::error::Error) -> Result<Value, Failure> {
    let Some(status) = error.status() else { return Err(error.into()) };
    let info = status.details.iter().find_map(|detail| match detail {
        StatusDetails::ErrorInfo(info) => Some(info.clone()),
        _ => None,
    });
    let info = info.unwrap_or_default();
    let metadata: std::collections::BTreeMap<_, _> = info.metadata.into_iter().collect();
    Ok(json!({"code": status.code.name(), "reason": info.reason, "domain": info.domain, "metadata": metadata}))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [table, endpoint, tokens] = &args[..] else {
        return Err("usage: google-chat-v1-table TABLE ENDPOINT TOKENS".into());
    };
    let table: Value = serde_json::from_slice(&std::fs::read(table)?)?;
    let tokens: HashMap<String, String> = serde_json::from_slice(&std::fs::read(tokens)?)?;
    let mut clients = HashMap::new();
    for (identity, token) in tokens {
        let bearer = Bearer(HeaderValue::from_str(&format!("Bearer {token}"))?);
        let client = ChatService::builder().with_endpoint(endpoint).with_credentials(bearer).build().await?;
        clients.insert(identity, client);
    }
    let emulator = std::env::var("EMULATOR")?;
    let call =
        async |identity: &str, method: &str, json: &str| call(clients.get(identity).ok_or("as")?, method, json).await;
    steps::run(&table, &emulator, call).await
}
