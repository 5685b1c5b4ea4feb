use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tonic::{Request, Response, Status};

use super::{rules, store::Store};
use crate::proto::google::chat::v1::{CreateSpaceRequest, Space, chat_service_server::ChatService};

/// The service, as the generated server trait has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Chat {
    store: Arc<Mutex<Store>>,
}

#[tonic::async_trait]
impl ChatService for Chat {
    async fn create_space(&self, request: Request<CreateSpaceRequest>) -> Result<Response<Space>, Status> {
        let CreateSpaceRequest { space, request_id } = request.into_inner();
        let space = space.ok_or_else(rules::no_space)?;
        // Nothing in the store is left half done by a panic.
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.create(space, &request_id, SystemTime::now()).map(Response::new)
    }
}
