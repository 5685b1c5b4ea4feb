//! The methods, as the generated server trait has them.

use google_chat::proto::google::chat::v1::{
    CompleteImportSpaceRequest, CompleteImportSpaceResponse, CreateMembershipRequest, CreateSpaceRequest,
    DeleteMembershipRequest, DeleteSpaceRequest, GetSpaceRequest, ListMembershipsRequest, ListMembershipsResponse,
    ListSpacesRequest, ListSpacesResponse, Membership, Space, UpdateSpaceRequest,
    chat_service_server::ChatService,
    membership::{MemberType, MembershipState},
};
use tonic::{Request, Response, Status};

use super::{Chat, access, filter::Filter, refusal, room::Room};

/// How many to put on a page, and after which place it begins.
fn page(size: i32, token: &str) -> Result<(usize, u64), Status> {
    let size = match size {
        0 => 100,
        size => {
            usize::try_from(size).map_err(|_| refusal::invalid_field("page_size", "must not be negative"))?.min(1_000)
        }
    };
    let place = match token {
        "" => 0,
        token => token.parse().map_err(|_| refusal::invalid_field("page_token", "is none of this method's"))?,
    };
    Ok((size, place))
}

/// A path of a field mask with the names of the proto.
fn proto_path(path: &str) -> String {
    let mut name = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[tonic::async_trait]
impl ChatService for Chat {
    async fn create_space(&self, request: Request<CreateSpaceRequest>) -> Result<Response<Space>, Status> {
        let (metadata, _, CreateSpaceRequest { space, request_id }) = request.into_parts();
        let import = space.as_ref().is_some_and(|space| space.import_mode);
        let (caller, settings) =
            self.admit(&metadata, "CreateSpace", |caller, settings| caller.authorize_create(import, settings))?;
        self.run(|store, now| store.create(space, &request_id, &caller, now, &settings)).await
    }

    async fn get_space(&self, request: Request<GetSpaceRequest>) -> Result<Response<Space>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit_to(&metadata, &access::GET_SPACE, request.use_admin_access)?;
        self.run(|store, now| Ok(store.get(&request.name, &caller, now)?.seen(&caller))).await
    }

    async fn list_spaces(&self, request: Request<ListSpacesRequest>) -> Result<Response<ListSpacesResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit_to(&metadata, &access::LIST_SPACES, false)?;
        let (size, place) = page(request.page_size, &request.page_token)?;
        let filter = Filter::of_spaces(&request.filter)?;
        let takes =
            |room: &Room| !room.space.import_mode && filter.takes_space(&room.space) && room.is_visible(&caller);
        self.run(|store, now| {
            let mut rooms = store.after(place, now).filter(|(_, room)| takes(room));
            let page: Vec<_> = rooms.by_ref().take(size).collect();
            let more = rooms.next().and(page.last());
            Ok(ListSpacesResponse {
                spaces: page.iter().map(|(_, room)| room.seen(&caller)).collect(),
                next_page_token: more.map(|(place, _)| place.to_string()).unwrap_or_default(),
            })
        })
        .await
    }

    async fn update_space(&self, request: Request<UpdateSpaceRequest>) -> Result<Response<Space>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, settings) = self.admit_to(&metadata, &access::UPDATE_SPACE, request.use_admin_access)?;
        let space = request.space.ok_or_else(refusal::no_space)?;
        let mask = request.update_mask.unwrap_or_default();
        let paths: Vec<String> = mask.paths.iter().map(|path| proto_path(path)).collect();
        self.run(|store, now| {
            store.change(&space.name.clone(), &caller, now, &settings, |room| {
                room.update(space, &paths, &caller)?;
                Ok(room.seen(&caller))
            })
        })
        .await
    }

    async fn delete_space(&self, request: Request<DeleteSpaceRequest>) -> Result<Response<()>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit_to(&metadata, &access::DELETE_SPACE, request.use_admin_access)?;
        self.run(|store, now| store.delete(&request.name, &caller, now)).await
    }

    async fn complete_import_space(
        &self,
        request: Request<CompleteImportSpaceRequest>,
    ) -> Result<Response<CompleteImportSpaceResponse>, Status> {
        let (metadata, _, CompleteImportSpaceRequest { name }) = request.into_parts();
        let (mut caller, settings) = self.admit_to(&metadata, &access::COMPLETE_IMPORT, false)?;
        // What is no longer imported is refused for that, not for the scope.
        caller.imports_only = false;
        self.run(|store, now| {
            store.change(&name, &caller, now, &settings, |room| {
                room.complete_import(&caller, now.into())?;
                Ok(CompleteImportSpaceResponse { space: Some(room.seen(&caller)) })
            })
        })
        .await
    }

    async fn create_membership(
        &self,
        request: Request<CreateMembershipRequest>,
    ) -> Result<Response<Membership>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, settings) = self.admit_to(&metadata, &access::CREATE_MEMBERSHIP, request.use_admin_access)?;
        let membership = request.membership.ok_or_else(|| refusal::invalid_field("membership", "is required"))?;
        self.run(|store, now| {
            let add = |room: &mut Room| room.add(membership, &caller, now.into());
            store.change(&request.parent, &caller, now, &settings, add)
        })
        .await
    }

    async fn list_memberships(
        &self,
        request: Request<ListMembershipsRequest>,
    ) -> Result<Response<ListMembershipsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (caller, _) = self.admit_to(&metadata, &access::LIST_MEMBERSHIPS, request.use_admin_access)?;
        let (size, place) = page(request.page_size, &request.page_token)?;
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let filter = Filter::of_members(&request.filter)?;
        let takes = |member: &&Membership| {
            let group = matches!(member.member_type, Some(MemberType::GroupMember(_)));
            filter.takes_member(member)
                && (request.show_groups || !group)
                && (request.show_invited || member.state != MembershipState::Invited as i32)
        };
        self.run(|store, now| {
            let room = store.get(&request.parent, &caller, now)?;
            let mut members = room.members(&caller)?.iter().filter(takes).skip(place);
            let memberships = members.by_ref().take(size).cloned().collect();
            let next_page_token = members.next().map(|_| (place + size).to_string()).unwrap_or_default();
            Ok(ListMembershipsResponse { memberships, next_page_token })
        })
        .await
    }

    async fn delete_membership(
        &self,
        request: Request<DeleteMembershipRequest>,
    ) -> Result<Response<Membership>, Status> {
        let (metadata, _, DeleteMembershipRequest { name, use_admin_access }) = request.into_parts();
        let (caller, settings) = self.admit_to(&metadata, &access::DELETE_MEMBERSHIP, use_admin_access)?;
        self.run(|store, now| {
            let form = || refusal::invalid_field("name", "must be of the form spaces/{space}/members/{member}");
            let (space, _) = name.split_once("/members/").ok_or_else(form)?;
            store.change(space, &caller, now, &settings, |room| room.remove(&name, &caller))
        })
        .await
    }
}
