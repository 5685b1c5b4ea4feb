use std::sync::Arc;

use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{
    State,
    identity::{Grant, Identity, Refused},
    lock, rules,
};
use crate::proto::google::chat::v1::{CreateSpaceRequest, Space, chat_service_server::ChatService};

/// The service, as the generated server trait has it.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    pub(super) state: Arc<State>,
}

/// Every scope that creates spaces, for callers without a token of their own.
const ALL: [&str; 3] = ["chat.app.spaces", "chat.spaces", "chat.import"];

impl Chat {
    /// Who calls, and with which scopes. `app`: whether the call sets what only an
    /// app must, which is all that tells one without credentials.
    fn grant(&self, metadata: &MetadataMap, app: bool) -> Result<Grant, Status> {
        let settings = self.state.settings();
        let user = |email: &str| Identity::User(email.to_owned());
        let Some(header) = metadata.get("authorization") else {
            let identity = if app { Identity::App } else { user("anonymous@example.com") };
            return if settings.anonymous { Ok(Grant::of(identity, &ALL)) } else { Err(rules::no_credentials()) };
        };
        let header = header.to_str().unwrap_or_default();
        let (scheme, token) = header.split_once(' ').unwrap_or_default();
        let token = if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" };
        if settings.shortcuts {
            if token == "app" {
                return Ok(Grant::of(Identity::App, &ALL));
            }
            if let Some(email) = token.strip_prefix("user:") {
                return Ok(Grant::of(user(email), &ALL));
            }
        }
        let tokens = lock(&self.state.tokens);
        match tokens.grant(token, self.state.now()) {
            Ok(grant) => Ok(grant.clone()),
            Err(Refused::Expired) => Err(rules::bad_credentials(true)),
            Err(Refused::Unknown) => Err(rules::bad_credentials(false)),
        }
    }
}

#[tonic::async_trait]
impl ChatService for Chat {
    /// In the order in which Google's front ends and the API judge a call: who
    /// calls, what the project may, what the caller may, then the request.
    async fn create_space(&self, request: Request<CreateSpaceRequest>) -> Result<Response<Space>, Status> {
        let (metadata, _, CreateSpaceRequest { space, request_id }) = request.into_parts();
        let settings = self.state.settings();
        let app = space.as_ref().is_some_and(|space| {
            let audience = space.access_settings.as_ref().is_some_and(|access| !access.audience.is_empty());
            space.customer.is_some() && !space.import_mode && !audience
        });
        let grant = self.grant(&metadata, app)?;
        if !settings.api_enabled {
            return Err(rules::api_disabled());
        }
        let import = space.as_ref().is_some_and(|space| space.import_mode);
        rules::authorize(&grant, import, &settings)?;
        self.state.count_write(&settings)?;
        if !settings.app_configured {
            return Err(rules::app_not_configured());
        }
        if grant.identity == Identity::App && !settings.app_approved {
            return Err(rules::not_approved());
        }
        let mut store = lock(&self.state.store);
        store.create(space, &request_id, &grant, self.state.now(), &settings).map(Response::new)
    }
}
