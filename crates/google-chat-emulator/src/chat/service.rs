//! The methods: each admits its caller, and is done in the store.

use google_chat::proto::google::chat::v1::{
    Attachment, CompleteImportSpaceRequest, CompleteImportSpaceResponse, CreateMembershipRequest,
    CreateMessagePinRequest, CreateMessageRequest, CreateReactionRequest, CreateSpaceRequest, DeleteMembershipRequest,
    DeleteMessagePinRequest, DeleteMessageRequest, DeleteReactionRequest, DeleteSpaceRequest, FindDirectMessageRequest,
    FindGroupChatsRequest, FindGroupChatsResponse, GetAttachmentRequest, GetMembershipRequest, GetMessageRequest,
    GetSpaceReadStateRequest, GetSpaceRequest, ListMembershipsRequest, ListMembershipsResponse, ListMessagePinsRequest,
    ListMessagePinsResponse, ListMessagesRequest, ListMessagesResponse, ListReactionsRequest, ListReactionsResponse,
    ListSpacesRequest, ListSpacesResponse, Membership, Message, MessagePin, Reaction, SearchSpacesRequest,
    SearchSpacesResponse, SetUpSpaceRequest, Space, SpaceReadState, UpdateMembershipRequest, UpdateMessageRequest,
    UpdateSpaceReadStateRequest, UpdateSpaceRequest, space::SpaceType,
};
use prost_types::FieldMask;
use tonic::{Request, Response, Status};

use super::{
    Chat, filter, messages, names, page::Page, pins, reactions, read_state, refusal, room::Room, search, setup,
};

/// The paths of a field mask with the names of the proto.
fn paths(mask: Option<FieldMask>) -> Vec<String> {
    let snake = |path: String| {
        let mut name = String::with_capacity(path.len() + 4);
        for letter in path.chars() {
            if letter.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    };
    mask.unwrap_or_default().paths.into_iter().map(snake).collect()
}

/// The name of the space that a membership is in.
fn space_of_member(field: &str, name: &str) -> Result<String, Status> {
    let [space, _] = names::variables(field, name, names::MEMBER)?;
    Ok(format!("spaces/{space}"))
}

impl Chat {
    pub(super) async fn create_space(&self, request: Request<CreateSpaceRequest>) -> Result<Response<Space>, Status> {
        let (metadata, _, CreateSpaceRequest { space, request_id }) = request.into_parts();
        let import = space.as_ref().is_some_and(|space| space.import_mode);
        let (caller, settings) =
            self.admit_by(&metadata, "CreateSpace", |caller, settings| caller.authorize_create(import, settings))?;
        self.run(|store, now| store.create(space, &request_id, &caller, now, &settings)).await
    }

    pub(super) async fn set_up_space(&self, request: Request<SetUpSpaceRequest>) -> Result<Response<Space>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, settings) = self.admit(&metadata, "SetUpSpace", false)?;
        self.run(|store, now| setup::set_up(store, request, &caller, now, &settings)).await
    }

    pub(super) async fn get_space(&self, request: Request<GetSpaceRequest>) -> Result<Response<Space>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "GetSpace", request.use_admin_access)?;
        self.run(|store, now| Ok(store.find("name", &request.name, &caller, now)?.1.seen(&caller))).await
    }

    pub(super) async fn list_spaces(
        &self,
        request: Request<ListSpacesRequest>,
    ) -> Result<Response<ListSpacesResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "ListSpaces", false)?;
        let page = Page::new(request.page_size, &request.page_token, (100, 1_000), &request.filter)?;
        let filter = filter::SPACES.parse(&request.filter)?;
        let takes = |room: &Room| {
            // What has no name is listed when something was said in it.
            let begun = room.space.space_type == SpaceType::Space as i32 || room.space.last_active_time.is_some();
            let fits = begun && filter.takes(&|condition| condition.holds_for(room.space.space_type));
            fits && !room.space.import_mode && room.is_visible(&caller)
        };
        self.run(|store, now| {
            let rooms = store.after(0, now).filter(|(_, room)| takes(room)).map(|(at, room)| ((at, 0), room));
            let (rooms, next_page_token) = page.cut(rooms);
            Ok(ListSpacesResponse {
                spaces: rooms.into_iter().map(|room| room.listed(&caller)).collect(),
                next_page_token,
            })
        })
        .await
    }

    pub(super) async fn search_spaces(
        &self,
        request: Request<SearchSpacesRequest>,
    ) -> Result<Response<SearchSpacesResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "SearchSpaces", request.use_admin_access)?;
        self.run(|store, now| search::spaces(store, &request, &caller, now)).await
    }

    pub(super) async fn find_direct_message(
        &self,
        request: Request<FindDirectMessageRequest>,
    ) -> Result<Response<Space>, Status> {
        let (metadata, _, FindDirectMessageRequest { name }) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "FindDirectMessage", false)?;
        self.run(|store, _| setup::find_direct_message(store, &name, &caller)).await
    }

    pub(super) async fn find_group_chats(
        &self,
        request: Request<FindGroupChatsRequest>,
    ) -> Result<Response<FindGroupChatsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "FindGroupChats", false)?;
        self.run(|store, now| setup::find_group_chats(store, &request, &caller, now)).await
    }

    pub(super) async fn update_space(&self, request: Request<UpdateSpaceRequest>) -> Result<Response<Space>, Status> {
        let (metadata, _, request) = request.into_parts();
        let admin = request.use_admin_access;
        let (caller, settings) = self.admit(&metadata, "UpdateSpace", admin)?;
        let space = request.space.ok_or_else(refusal::no_space)?;
        let paths = paths(request.update_mask);
        self.run(|store, now| {
            store.change("space.name", &space.name.clone(), &caller, now, &settings, |room| {
                room.update(space, &paths, &caller, admin)?;
                Ok(room.seen(&caller))
            })
        })
        .await
    }

    pub(super) async fn delete_space(&self, request: Request<DeleteSpaceRequest>) -> Result<Response<()>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "DeleteSpace", request.use_admin_access)?;
        self.run(|store, now| store.delete(&request.name, &caller, now)).await
    }

    pub(super) async fn complete_import_space(
        &self,
        request: Request<CompleteImportSpaceRequest>,
    ) -> Result<Response<CompleteImportSpaceResponse>, Status> {
        let (metadata, _, CompleteImportSpaceRequest { name }) = request.into_parts();
        let (mut caller, settings) = self.admit(&metadata, "CompleteImportSpace", false)?;
        // What is no longer imported is refused for that, not for the scope.
        caller.imports_only = false;
        self.run(|store, now| {
            store.change("name", &name, &caller, now, &settings, |room| {
                room.complete_import(&caller, now)?;
                Ok(CompleteImportSpaceResponse { space: Some(room.seen(&caller)) })
            })
        })
        .await
    }

    pub(super) async fn create_membership(
        &self,
        request: Request<CreateMembershipRequest>,
    ) -> Result<Response<Membership>, Status> {
        let (metadata, _, request) = request.into_parts();
        let CreateMembershipRequest { parent, membership, use_admin_access: admin } = request;
        let (caller, settings) = self.admit(&metadata, "CreateMembership", admin)?;
        let membership = membership.ok_or_else(|| refusal::invalid_field("membership", "is required"))?;
        self.run(|store, now| {
            let add = |room: &mut Room| room.add(membership, &caller, admin, now, &settings);
            store.change("parent", &parent, &caller, now, &settings, add)
        })
        .await
    }

    pub(super) async fn get_membership(
        &self,
        request: Request<GetMembershipRequest>,
    ) -> Result<Response<Membership>, Status> {
        let (metadata, _, GetMembershipRequest { name, use_admin_access: admin }) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "GetMembership", admin)?;
        let space = space_of_member("name", &name)?;
        self.run(|store, now| store.find("name", &space, &caller, now)?.1.member(&name, &caller, admin).cloned()).await
    }

    pub(super) async fn list_memberships(
        &self,
        request: Request<ListMembershipsRequest>,
    ) -> Result<Response<ListMembershipsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "ListMemberships", request.use_admin_access)?;
        self.run(|store, now| store.find("parent", &request.parent, &caller, now)?.1.list_members(&request, &caller))
            .await
    }

    pub(super) async fn update_membership(
        &self,
        request: Request<UpdateMembershipRequest>,
    ) -> Result<Response<Membership>, Status> {
        let (metadata, _, request) = request.into_parts();
        let admin = request.use_admin_access;
        let (caller, settings) = self.admit(&metadata, "UpdateMembership", admin)?;
        let membership = request.membership.ok_or_else(|| refusal::invalid_field("membership", "is required"))?;
        let space = space_of_member("membership.name", &membership.name)?;
        let paths = paths(request.update_mask);
        self.run(|store, now| {
            let update = |room: &mut Room| room.update_member(&membership, &paths, &caller, admin);
            store.change("membership.name", &space, &caller, now, &settings, update)
        })
        .await
    }

    pub(super) async fn delete_membership(
        &self,
        request: Request<DeleteMembershipRequest>,
    ) -> Result<Response<Membership>, Status> {
        let (metadata, _, DeleteMembershipRequest { name, use_admin_access: admin }) = request.into_parts();
        let (caller, settings) = self.admit(&metadata, "DeleteMembership", admin)?;
        let space = space_of_member("name", &name)?;
        self.run(|store, now| {
            store.change("name", &space, &caller, now, &settings, |room| room.remove(&name, &caller, admin))
        })
        .await
    }

    pub(super) async fn create_message(
        &self,
        request: Request<CreateMessageRequest>,
    ) -> Result<Response<Message>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, settings) = self.admit(&metadata, "CreateMessage", false)?;
        self.run(|store, now| messages::create(store, request, &caller, now, &settings)).await
    }

    pub(super) async fn get_message(&self, request: Request<GetMessageRequest>) -> Result<Response<Message>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "GetMessage", false)?;
        self.run(|store, now| messages::get(store, &request, &caller, now)).await
    }

    pub(super) async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "ListMessages", false)?;
        self.run(|store, now| messages::list(store, &request, &caller, now)).await
    }

    pub(super) async fn update_message(
        &self,
        request: Request<UpdateMessageRequest>,
    ) -> Result<Response<Message>, Status> {
        let (metadata, _, mut request) = request.into_parts();
        let (caller, settings) = self.admit(&metadata, "UpdateMessage", false)?;
        let paths = paths(request.update_mask.take());
        self.run(|store, now| messages::update(store, request, &paths, &caller, now, &settings)).await
    }

    pub(super) async fn delete_message(&self, request: Request<DeleteMessageRequest>) -> Result<Response<()>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "DeleteMessage", false)?;
        self.run(|store, now| messages::delete(store, &request, &caller, now)).await
    }

    pub(super) async fn get_attachment(
        &self,
        request: Request<GetAttachmentRequest>,
    ) -> Result<Response<Attachment>, Status> {
        let (metadata, _, GetAttachmentRequest { name }) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "GetAttachment", false)?;
        self.run(|store, now| messages::attachment(store, &name, &caller, now)).await
    }

    pub(super) async fn create_reaction(
        &self,
        request: Request<CreateReactionRequest>,
    ) -> Result<Response<Reaction>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "CreateReaction", false)?;
        self.run(|store, now| reactions::create(store, request, &caller, now)).await
    }

    pub(super) async fn list_reactions(
        &self,
        request: Request<ListReactionsRequest>,
    ) -> Result<Response<ListReactionsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "ListReactions", false)?;
        self.run(|store, now| reactions::list(store, &request, &caller, now)).await
    }

    pub(super) async fn delete_reaction(
        &self,
        request: Request<DeleteReactionRequest>,
    ) -> Result<Response<()>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "DeleteReaction", false)?;
        self.run(|store, now| reactions::delete(store, &request, &caller, now)).await
    }

    pub(super) async fn create_message_pin(
        &self,
        request: Request<CreateMessagePinRequest>,
    ) -> Result<Response<MessagePin>, Status> {
        let (metadata, _, CreateMessagePinRequest { parent, message_pin }) = request.into_parts();
        let (caller, settings) = self.admit(&metadata, "CreateMessagePin", false)?;
        let pin = message_pin.ok_or_else(|| refusal::invalid_field("message_pin", "is required"))?;
        self.run(|store, now| pins::create(store, &parent, &pin, &caller, now, &settings)).await
    }

    pub(super) async fn list_message_pins(
        &self,
        request: Request<ListMessagePinsRequest>,
    ) -> Result<Response<ListMessagePinsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "ListMessagePins", false)?;
        self.run(|store, now| pins::list(store, &request, &caller, now)).await
    }

    pub(super) async fn delete_message_pin(
        &self,
        request: Request<DeleteMessagePinRequest>,
    ) -> Result<Response<()>, Status> {
        let (metadata, _, DeleteMessagePinRequest { name }) = request.into_parts();
        let (caller, settings) = self.admit(&metadata, "DeleteMessagePin", false)?;
        self.run(|store, now| pins::delete(store, &name, &caller, now, &settings)).await
    }

    pub(super) async fn get_space_read_state(
        &self,
        request: Request<GetSpaceReadStateRequest>,
    ) -> Result<Response<SpaceReadState>, Status> {
        let (metadata, _, GetSpaceReadStateRequest { name }) = request.into_parts();
        let (caller, _) = self.admit(&metadata, "GetSpaceReadState", false)?;
        self.run(|store, now| read_state::get(store, &name, &caller, now)).await
    }

    pub(super) async fn update_space_read_state(
        &self,
        request: Request<UpdateSpaceReadStateRequest>,
    ) -> Result<Response<SpaceReadState>, Status> {
        let (metadata, _, UpdateSpaceReadStateRequest { space_read_state, update_mask }) = request.into_parts();
        let (caller, settings) = self.admit(&metadata, "UpdateSpaceReadState", false)?;
        let state = space_read_state.ok_or_else(|| refusal::invalid_field("space_read_state", "is required"))?;
        let paths = paths(update_mask);
        self.run(|store, now| read_state::update(store, &state, &paths, &caller, now, &settings)).await
    }
}
