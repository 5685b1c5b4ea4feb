use std::{
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{
    State,
    filter::Filter,
    identity::{Grant, Identity, Refused},
    lock,
    room::Room,
    rules::{self, Access},
    settings::Settings,
    store::Store,
};
use google_chat::proto::google::chat::v1::{
    CompleteImportSpaceRequest, CompleteImportSpaceResponse, CreateMembershipRequest, CreateSpaceRequest,
    DeleteMembershipRequest, DeleteSpaceRequest, GetSpaceRequest, ListMembershipsRequest, ListMembershipsResponse,
    ListSpacesRequest, ListSpacesResponse, Membership, Space, UpdateSpaceRequest,
    chat_service_server::ChatService,
    membership::{MemberType, MembershipState},
};

/// The service, as the generated server trait has it.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    pub(super) state: Arc<State>,
}

/// The scopes of callers without a token of their own.
static ALL: LazyLock<Arc<[Box<str>]>> = LazyLock::new(|| {
    [
        "chat.app.spaces",
        "chat.app.memberships",
        "chat.app.delete",
        "chat.spaces",
        "chat.memberships",
        "chat.delete",
        "chat.import",
    ]
    .map(Box::from)
    .into()
});

const LIST_MEMBERSHIPS: Access = Access {
    method: "ListMemberships",
    user: &["chat.memberships", "chat.memberships.readonly"],
    app: &["chat.bot", "chat.app.memberships", "chat.app.memberships.readonly"],
    admin: &["chat.admin.memberships", "chat.admin.memberships.readonly"],
    import: true,
};
const LIST_SPACES: Access = Access {
    method: "ListSpaces",
    user: &["chat.spaces", "chat.spaces.readonly"],
    app: &["chat.bot", "chat.app.spaces", "chat.app.spaces.readonly"],
    admin: &[],
    import: false,
};
const GET_SPACE: Access = Access {
    method: "GetSpace",
    user: &["chat.spaces", "chat.spaces.readonly"],
    app: &["chat.bot", "chat.app.spaces", "chat.app.spaces.readonly"],
    admin: &["chat.admin.spaces", "chat.admin.spaces.readonly"],
    import: true,
};
const UPDATE_SPACE: Access = Access {
    method: "UpdateSpace",
    user: &["chat.spaces"],
    app: &["chat.app.spaces"],
    admin: &["chat.admin.spaces"],
    import: true,
};
const DELETE_SPACE: Access = Access {
    method: "DeleteSpace",
    user: &["chat.delete"],
    app: &["chat.app.delete"],
    admin: &["chat.admin.delete"],
    import: true,
};
const COMPLETE_IMPORT: Access = Access { method: "CompleteImportSpace", user: &[], app: &[], admin: &[], import: true };
const CREATE_MEMBERSHIP: Access = Access {
    method: "CreateMembership",
    user: &["chat.memberships", "chat.memberships.app"],
    app: &["chat.app.memberships"],
    admin: &["chat.admin.memberships"],
    import: true,
};
const DELETE_MEMBERSHIP: Access = Access {
    method: "DeleteMembership",
    user: &["chat.memberships", "chat.memberships.app"],
    app: &["chat.app.memberships", "chat.memberships.app"],
    admin: &["chat.admin.memberships"],
    import: true,
};

impl Chat {
    /// Who calls, and with which scopes.
    fn grant(&self, metadata: &MetadataMap, method: &'static str, settings: &Settings) -> Result<Grant, Status> {
        let user = |email: &str| Identity::User(email.to_owned());
        let of = |identity| Grant { method, ..Grant::until(identity, Arc::clone(&ALL), SystemTime::UNIX_EPOCH) };
        let Some(header) = metadata.get("authorization") else {
            return match settings.anonymous {
                true => Ok(Grant { sees_all: true, ..of(user("anonymous@example.com")) }),
                false => Err(rules::no_credentials(method)),
            };
        };
        let header = header.to_str().unwrap_or_default();
        let (scheme, token) = header.split_once(' ').unwrap_or_default();
        let token = if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" };
        if settings.shortcuts {
            if token == "app" {
                return Ok(of(Identity::App));
            }
            if let Some(email) = token.strip_prefix("user:") {
                return Ok(of(user(email)));
            }
        }
        let now = self.state.now();
        let granted = self.state.key.grant(token, now).unwrap_or_else(|| lock(&self.state.tokens).grant(token, now));
        match granted {
            Ok(grant) => Ok(Grant { method, ..grant }),
            Err(Refused::Expired) => Err(rules::bad_credentials(true, method)),
            Err(Refused::Unknown) => Err(rules::bad_credentials(false, method)),
        }
    }

    /// Judges a call in the order in which Google's front ends and the API do: who
    /// calls, what the project may, what the caller may.
    fn admit(
        &self,
        metadata: &MetadataMap,
        method: &'static str,
        write: bool,
        authorize: impl FnOnce(&mut Grant, &Settings) -> Result<(), Status>,
    ) -> Result<(Grant, Arc<Settings>), Status> {
        let settings = self.state.settings();
        let mut grant = self.grant(metadata, method, &settings)?;
        if !settings.api_enabled {
            return Err(rules::api_disabled());
        }
        authorize(&mut grant, &settings)?;
        if write {
            self.state.count_write(&settings)?;
        }
        if !settings.app_configured {
            return Err(rules::app_not_configured());
        }
        // What the scope of every app allows needs no approval.
        let as_bot = method != "CreateSpace" && grant.has("chat.bot");
        let approved = grant.identity != Identity::App || settings.app_approved || as_bot;
        if approved { Ok((grant, settings)) } else { Err(rules::not_approved()) }
    }

    fn admit_to(
        &self,
        metadata: &MetadataMap,
        access: &'static Access,
        admin: bool,
    ) -> Result<(Grant, Arc<Settings>), Status> {
        // Of the quotas that of writing spaces is kept.
        let write = ["UpdateSpace", "DeleteSpace"].contains(&access.method);
        self.admit(metadata, access.method, write, |grant, _| rules::authorize(grant, access, admin))
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Store) -> Result<T, Status> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        self.state.store.run(operation).await.map(Response::new)
    }
}

/// How many to put on a page, and after which place it begins.
fn page(size: i32, token: &str) -> Result<(usize, u64), Status> {
    let size = match size {
        0 => 100,
        size => {
            usize::try_from(size).map_err(|_| rules::invalid_field("page_size", "must not be negative"))?.min(1_000)
        }
    };
    let place = match token {
        "" => 0,
        token => token.parse().map_err(|_| rules::invalid_field("page_token", "is none of this method's"))?,
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
        let (grant, settings) = self.admit(&metadata, "CreateSpace", true, |grant, settings| {
            rules::authorize_create(grant, import, settings)
        })?;
        let now = self.state.now();
        self.run(move |store| store.create(space, &request_id, &grant, now, &settings)).await
    }

    async fn get_space(&self, request: Request<GetSpaceRequest>) -> Result<Response<Space>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (grant, _) = self.admit_to(&metadata, &GET_SPACE, request.use_admin_access)?;
        let now = self.state.now();
        self.run(move |store| Ok(store.get(&request.name, &grant, now)?.seen(&grant))).await
    }

    async fn list_spaces(&self, request: Request<ListSpacesRequest>) -> Result<Response<ListSpacesResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (grant, _) = self.admit_to(&metadata, &LIST_SPACES, false)?;
        let (size, place) = page(request.page_size, &request.page_token)?;
        let filter = Filter::of_spaces(&request.filter)?;
        let now = self.state.now();
        self.run(move |store| {
            let (rooms, next) = store.page(place, size, now, |room| {
                !room.space.import_mode && filter.takes_space(&room.space) && room.is_visible(&grant)
            })?;
            let spaces = rooms.iter().map(|room| room.seen(&grant)).collect();
            Ok(ListSpacesResponse { spaces, next_page_token: next.map(|place| place.to_string()).unwrap_or_default() })
        })
        .await
    }

    async fn update_space(&self, request: Request<UpdateSpaceRequest>) -> Result<Response<Space>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (grant, settings) = self.admit_to(&metadata, &UPDATE_SPACE, request.use_admin_access)?;
        let space = request.space.ok_or_else(rules::no_space)?;
        let paths: Vec<String> =
            request.update_mask.unwrap_or_default().paths.iter().map(|path| proto_path(path)).collect();
        let now = self.state.now();
        self.run(move |store| {
            let name = space.name.clone();
            let (room, ()) = store.change(&name, &grant, now, &settings, |room| room.update(space, &paths, &grant))?;
            Ok(room.seen(&grant))
        })
        .await
    }

    async fn delete_space(&self, request: Request<DeleteSpaceRequest>) -> Result<Response<()>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (grant, _) = self.admit_to(&metadata, &DELETE_SPACE, request.use_admin_access)?;
        let now = self.state.now();
        self.run(move |store| store.delete(&request.name, &grant, now)).await
    }

    async fn complete_import_space(
        &self,
        request: Request<CompleteImportSpaceRequest>,
    ) -> Result<Response<CompleteImportSpaceResponse>, Status> {
        let (metadata, _, CompleteImportSpaceRequest { name }) = request.into_parts();
        let (mut grant, settings) = self.admit_to(&metadata, &COMPLETE_IMPORT, false)?;
        // What is no longer imported is refused for that, not for the scope.
        grant.imports_only = false;
        let now = self.state.now();
        self.run(move |store| {
            let change = |room: &mut Room| room.complete_import(&grant, now.into());
            let (room, ()) = store.change(&name, &grant, now, &settings, change)?;
            Ok(CompleteImportSpaceResponse { space: Some(room.seen(&grant)) })
        })
        .await
    }

    async fn create_membership(
        &self,
        request: Request<CreateMembershipRequest>,
    ) -> Result<Response<Membership>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (grant, settings) = self.admit_to(&metadata, &CREATE_MEMBERSHIP, request.use_admin_access)?;
        let membership = request.membership.ok_or_else(|| rules::invalid_field("membership", "is required"))?;
        let now = self.state.now();
        self.run(move |store| {
            let add = |room: &mut Room| room.add(membership, &grant, now.into());
            Ok(store.change(&request.parent, &grant, now, &settings, add)?.1)
        })
        .await
    }

    async fn list_memberships(
        &self,
        request: Request<ListMembershipsRequest>,
    ) -> Result<Response<ListMembershipsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (grant, _) = self.admit_to(&metadata, &LIST_MEMBERSHIPS, request.use_admin_access)?;
        let (size, place) = page(request.page_size, &request.page_token)?;
        let filter = Filter::of_members(&request.filter)?;
        let now = self.state.now();
        self.run(move |store| {
            let room = store.get(&request.parent, &grant, now)?;
            let taken = room.members(&grant)?.iter().filter(|member| {
                let group = matches!(member.member_type, Some(MemberType::GroupMember(_)));
                filter.takes_member(member)
                    && (request.show_groups || !group)
                    && (request.show_invited || member.state != MembershipState::Invited as i32)
            });
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            let mut memberships: Vec<Membership> = taken.skip(place).take(size + 1).cloned().collect();
            let more = memberships.len() > size;
            memberships.truncate(size);
            let next_page_token = if more { (place + size).to_string() } else { String::new() };
            Ok(ListMembershipsResponse { memberships, next_page_token })
        })
        .await
    }

    async fn delete_membership(
        &self,
        request: Request<DeleteMembershipRequest>,
    ) -> Result<Response<Membership>, Status> {
        let (metadata, _, DeleteMembershipRequest { name, use_admin_access }) = request.into_parts();
        let (grant, settings) = self.admit_to(&metadata, &DELETE_MEMBERSHIP, use_admin_access)?;
        let now = self.state.now();
        self.run(move |store| {
            let form = || rules::invalid_field("name", "must be of the form spaces/{space}/members/{member}");
            let (space, _) = name.split_once("/members/").ok_or_else(form)?;
            let remove = |room: &mut Room| room.remove(&name, &grant);
            Ok(store.change(space, &grant, now, &settings, remove)?.1)
        })
        .await
    }
}
