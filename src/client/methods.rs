//! What is known of Google Chat's methods beside the schema: their scopes, their quotas, and
//! which of them only read though they are no GET.
//!
//! Which methods have a request id, which list by pages and which take `use_admin_access` follows
//! from the schema.
//!
//! Sources: the scopes of each method in Google's discovery document of `chat.v1`; the page "Usage
//! limits" of Google Chat.

use std::sync::LazyLock;

use grpc_transcoding::{
    MessageDescriptor, MethodBindings, MethodDescriptor,
    protojson::{
        FieldDescriptor, Kind,
        wire::{self, Payload},
    },
};

use super::Client;

const SERVICE: &str = "google.chat.v1.ChatService/";

/// The scopes of each method, all that discovery has. Of those for a user, for an app and for an
/// administrator, the narrowest that allows the whole method is the first.
#[rustfmt::skip]
const SCOPES: [(&str, &[&str]); 52] = [
    ("CreateMessage", &["chat.messages.create", "chat.messages", "chat.bot", "chat.import"]),
    ("ListMessages", &["chat.messages.readonly", "chat.messages", "chat.app.messages.readonly", "chat.import"]),
    ("ListMemberships", &[
        "chat.memberships.readonly", "chat.memberships", "chat.bot", "chat.app.memberships",
        "chat.admin.memberships.readonly", "chat.admin.memberships", "chat.import",
    ]),
    ("GetMembership", &[
        "chat.memberships.readonly", "chat.memberships", "chat.bot", "chat.app.memberships",
        "chat.admin.memberships.readonly", "chat.admin.memberships",
    ]),
    ("GetMessage", &["chat.messages.readonly", "chat.messages", "chat.bot", "chat.app.messages.readonly"]),
    ("UpdateMessage", &["chat.messages", "chat.bot", "chat.import"]),
    ("DeleteMessage", &["chat.messages", "chat.bot", "chat.import"]),
    ("SearchMessages", &["chat.messages.readonly", "chat.messages"]),
    ("GetAttachment", &["chat.bot"]),
    ("UploadAttachment", &["chat.messages.create", "chat.messages", "chat.bot", "chat.import"]),
    ("ListSpaces", &["chat.spaces.readonly", "chat.spaces", "chat.bot"]),
    ("SearchSpaces", &["chat.spaces.readonly", "chat.spaces", "chat.admin.spaces.readonly", "chat.admin.spaces"]),
    ("GetSpace", &[
        "chat.spaces.readonly", "chat.spaces", "chat.bot", "chat.app.spaces", "chat.admin.spaces.readonly",
        "chat.admin.spaces",
    ]),
    ("CreateSpace", &[
        "chat.spaces.create", "chat.spaces", "chat.app.spaces.create", "chat.app.spaces", "chat.import",
    ]),
    ("SetUpSpace", &["chat.spaces.create", "chat.spaces"]),
    ("UpdateSpace", &["chat.spaces", "chat.app.spaces", "chat.admin.spaces", "chat.import"]),
    ("DeleteSpace", &["chat.delete", "chat.app.delete", "chat.admin.delete", "chat.import"]),
    ("CompleteImportSpace", &["chat.import"]),
    ("FindDirectMessage", &["chat.spaces.readonly", "chat.spaces", "chat.bot"]),
    ("FindGroupChats", &["chat.memberships.readonly", "chat.memberships"]),
    // `chat.memberships.app` lets a user add and remove the app alone.
    ("CreateMembership", &[
        "chat.memberships", "chat.memberships.app", "chat.app.memberships", "chat.admin.memberships",
        "chat.import",
    ]),
    ("UpdateMembership", &["chat.memberships", "chat.app.memberships", "chat.admin.memberships", "chat.import"]),
    ("DeleteMembership", &[
        "chat.memberships", "chat.memberships.app", "chat.app.memberships", "chat.admin.memberships",
        "chat.import",
    ]),
    ("CreateReaction", &[
        "chat.messages.reactions.create", "chat.messages.reactions", "chat.messages", "chat.bot", "chat.import",
    ]),
    ("ListReactions", &[
        "chat.messages.reactions.readonly", "chat.messages.readonly", "chat.messages.reactions",
        "chat.messages", "chat.bot", "chat.app.messages.readonly",
    ]),
    ("DeleteReaction", &["chat.messages.reactions", "chat.messages", "chat.bot", "chat.import"]),
    ("ListMessagePins", &["chat.spaces.pins.readonly", "chat.spaces.readonly", "chat.spaces.pins", "chat.spaces"]),
    ("CreateMessagePin", &["chat.spaces.pins", "chat.spaces"]),
    ("DeleteMessagePin", &["chat.spaces.pins", "chat.spaces"]),
    ("CreateCustomEmoji", &["chat.customemojis"]),
    ("GetCustomEmoji", &["chat.customemojis.readonly", "chat.customemojis"]),
    ("ListCustomEmojis", &["chat.customemojis.readonly", "chat.customemojis"]),
    ("DeleteCustomEmoji", &["chat.customemojis"]),
    ("GetSpaceReadState", &["chat.users.readstate.readonly", "chat.users.readstate"]),
    ("UpdateSpaceReadState", &["chat.users.readstate"]),
    ("GetThreadReadState", &["chat.users.readstate.readonly", "chat.users.readstate"]),
    ("GetAvailability", &["chat.users.availability.readonly", "chat.users.availability"]),
    ("MarkAsActive", &["chat.users.availability"]),
    ("MarkAsAway", &["chat.users.availability"]),
    ("MarkAsDoNotDisturb", &["chat.users.availability"]),
    ("UpdateAvailability", &["chat.users.availability"]),
    ("GetSpaceEvent", &[
        "chat.messages.reactions.readonly", "chat.memberships.readonly", "chat.messages.readonly",
        "chat.spaces.readonly", "chat.messages.reactions", "chat.memberships", "chat.messages", "chat.spaces",
        "chat.app.all.memberships.readonly", "chat.app.all.messages.readonly", "chat.app.all.spaces.readonly",
        "chat.app.memberships.readonly", "chat.app.messages.readonly", "chat.app.spaces.readonly",
        "chat.app.memberships", "chat.app.spaces",
    ]),
    ("ListSpaceEvents", &[
        "chat.messages.reactions.readonly", "chat.memberships.readonly", "chat.messages.readonly",
        "chat.spaces.readonly", "chat.messages.reactions", "chat.memberships", "chat.messages", "chat.spaces",
        "chat.app.all.memberships.readonly", "chat.app.all.messages.readonly", "chat.app.all.spaces.readonly",
        "chat.app.memberships.readonly", "chat.app.messages.readonly", "chat.app.spaces.readonly",
        "chat.app.memberships", "chat.app.spaces",
    ]),
    ("GetSpaceNotificationSetting", &["chat.users.spacesettings"]),
    ("UpdateSpaceNotificationSetting", &["chat.users.spacesettings"]),
    ("CreateSection", &["chat.users.sections"]),
    ("DeleteSection", &["chat.users.sections"]),
    ("UpdateSection", &["chat.users.sections"]),
    ("ListSections", &["chat.users.sections.readonly", "chat.users.sections"]),
    ("PositionSection", &["chat.users.sections"]),
    ("ListSectionItems", &["chat.users.sections.readonly", "chat.users.sections"]),
    ("MoveSectionItem", &["chat.users.sections"]),
];

/// The field of a request that only spaces in import mode have. The requests of other methods do
/// not say whether their space is in import mode.
const IMPORTS: [(&str, &str); 5] = [
    ("CreateSpace", "space.import_mode"),
    ("UpdateSpace", "space.import_mode"),
    ("CreateMembership", "membership.create_time"),
    ("CreateMembership", "membership.delete_time"),
    ("CreateMessage", "message.create_time"),
];

/// The methods whose scopes must cover the types of the events as well: a part of the types' names,
/// which a filter has, and the scopes for a user and for an app.
const EVENT_METHODS: [&str; 2] = ["GetSpaceEvent", "ListSpaceEvents"];
const EVENTS: [(&str, &str, &str); 4] = [
    ("chat.message.", "chat.messages.readonly", "chat.app.messages.readonly"),
    ("chat.reaction.", "chat.messages.reactions.readonly", "chat.app.messages.readonly"),
    ("chat.membership.", "chat.memberships.readonly", "chat.app.memberships.readonly"),
    ("chat.space.", "chat.spaces.readonly", "chat.app.spaces.readonly"),
];

/// The methods that only read, though they are no GET.
const READS: [&str; 1] = ["SearchMessages"];

/// How much a project may write a minute, and by which methods.
const WRITES: [(&str, &str, &[&str]); 5] = [
    ("spaces", "60", &["CreateSpace", "SetUpSpace", "UpdateSpace", "DeleteSpace"]),
    ("memberships", "300", &["CreateMembership", "UpdateMembership", "DeleteMembership"]),
    ("attachments", "600", &["UploadAttachment"]),
    ("reactions", "600", &["CreateReaction", "DeleteReaction"]),
    ("messages", "3,000", &["CreateMessage", "UpdateMessage", "DeleteMessage"]),
];

/// The OAuth 2.0 scopes that allow a method, without `https://www.googleapis.com/auth/`. Any one
/// of them is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodScopes(&'static [&'static str]);

impl MethodScopes {
    /// The scopes of a method: `google.chat.v1.ChatService/CreateSpace`, or
    /// `chat.media.download`. `None` if it is none of the methods that this crate knows.
    pub fn of(method: &str) -> Option<Self> {
        if method == DOWNLOAD {
            return Some(DOWNLOAD_SCOPES);
        }
        let name = method.strip_prefix(SERVICE)?;
        SCOPES.iter().find(|(known, _)| *known == name).map(|(_, scopes)| Self(scopes))
    }

    /// All of them.
    pub fn all(self) -> &'static [&'static str] {
        self.0
    }

    /// Those for a user; the narrowest is the first, as with the others.
    pub fn user(self) -> impl Iterator<Item = &'static str> {
        self.all().iter().copied().filter(|scope| !is_app(scope) && !is_admin(scope) && *scope != IMPORT)
    }

    /// Those for the Chat app itself.
    pub fn app(self) -> impl Iterator<Item = &'static str> {
        self.all().iter().copied().filter(|scope| is_app(scope))
    }

    /// Those for an administrator, with `use_admin_access`.
    pub fn admin(self) -> impl Iterator<Item = &'static str> {
        self.all().iter().copied().filter(|scope| is_admin(scope))
    }

    /// Whether `chat.import` allows the method for a space in import mode.
    pub fn import(self) -> bool {
        self.all().contains(&IMPORT)
    }

    /// The scope to ask for, which allows no more than the others: as the app or as a
    /// user, who may be an administrator that says so (`use_admin_access`). Where these may not
    /// call the method, it is the scope of those who may.
    pub fn least(self, app: bool, admin: bool) -> &'static str {
        let preferred = match (app, admin) {
            (true, _) => self.app().next(),
            (false, true) => self.admin().next(),
            (false, false) => None,
        };
        preferred.or_else(|| self.user().next()).or(self.0.first().copied()).unwrap_or_default()
    }

    /// The scopes to ask for to make one call, as the app or as a user: the [least](Self::least),
    /// `chat.import` where the request says that its space is in import mode, and those for all
    /// types of events that it asks for. `None` if the method is none that this crate knows.
    pub fn needed(method: &MethodDescriptor, request: &[u8], app: bool) -> Option<Vec<&'static str>> {
        let scopes = Self::of(&method.path()[1..])?;
        let name = &method.path()[1 + SERVICE.len()..];
        let field = |path: &str| field(&method.input(), request, path);
        let is_set = |payload: Payload<'_>| payload != Payload::Bits(0);
        if IMPORTS.iter().any(|(method, path)| *method == name && field(path).is_some_and(is_set)) {
            return Some(vec![IMPORT]);
        }
        if EVENT_METHODS.contains(&name) {
            let filter = field("filter").map(|filter| String::from_utf8_lossy(filter.bytes()).into_owned());
            let filter = filter.unwrap_or_default();
            let of_one = |(_, of_user, of_app): &(_, _, _)| if app { *of_app } else { *of_user };
            let mut scopes: Vec<_> = EVENTS.iter().filter(|(kind, ..)| filter.contains(kind)).map(of_one).collect();
            if scopes.is_empty() {
                scopes.extend(EVENTS.iter().map(of_one));
            }
            scopes.sort_unstable();
            scopes.dedup();
            return Some(scopes);
        }
        Some(vec![scopes.least(app, field("use_admin_access").is_some_and(is_set))])
    }
}

const IMPORT: &str = "chat.import";

/// The method that gives the data of attachments, as the discovery document names it. It is in no
/// proto.
pub(super) const DOWNLOAD: &str = "chat.media.download";
const DOWNLOAD_SCOPES: MethodScopes = MethodScopes(&["chat.messages.readonly", "chat.messages", "chat.bot"]);

fn is_app(scope: &str) -> bool {
    scope == "chat.bot" || scope.starts_with("chat.app.")
}

fn is_admin(scope: &str) -> bool {
    scope.starts_with("chat.admin.")
}

/// Whether a method only reads: `google.chat.v1.ChatService/GetSpace`. `None` if it is none of
/// Google Chat's.
pub(super) fn only_reads(method: &str) -> Option<bool> {
    if method == DOWNLOAD {
        return Some(true);
    }
    let first = bindings(method)?.bindings().first()?;
    Some(reads(method) || first.http_method() == Some(&http::Method::GET))
}

/// What the schema has of one of Google Chat's methods.
pub(super) fn bindings(method: &str) -> Option<&'static MethodBindings> {
    Client::http_rules().method(&format!("/{method}"))
}

/// Whether a method is one of those that only read though they are no GET.
pub(super) fn reads(method: &str) -> bool {
    method.strip_prefix(SERVICE).is_some_and(|name| READS.contains(&name))
}

/// How much a project may write a minute by a method: `60 spaces`.
pub(super) fn quota(method: &str) -> Option<String> {
    let name = method.strip_prefix(SERVICE)?;
    let (what, per_minute, _) = WRITES.iter().find(|(.., methods)| methods.contains(&name))?;
    Some(format!("{per_minute} {what}"))
}

/// The fields that a request requires and has not: texts that are empty, and messages that are not
/// set.
pub(super) fn missing<'m>(method: &MethodDescriptor, request: &'m [u8]) -> impl Iterator<Item = &'static str> + 'm {
    static REQUIRED: LazyLock<Vec<Vec<(u32, Kind, String)>>> =
        LazyLock::new(|| Client::http_rules().pool().methods().map(|method| required(&method.input())).collect());
    let has = |number, kind| {
        let mut occurrences = wire::fields(request).filter_map(Result::ok).filter(move |(tag, _)| tag >> 3 == number);
        occurrences.any(|(_, payload)| kind != Kind::String || !payload.bytes().is_empty())
    };
    let required = REQUIRED[method.index()].iter();
    required.filter(move |(number, kind, _)| !has(*number, *kind)).map(|(.., name)| name.as_str())
}

/// The fields of a request that are annotated as required, texts and messages; but an update's mask,
/// without which a server may take the fields that are set
/// ([AIP-134](https://google.aip.dev/134)).
fn required(request: &MessageDescriptor) -> Vec<(u32, Kind, String)> {
    /// `google.api.field_behavior`, an extension of `FieldOptions`, and its `REQUIRED`.
    const FIELD_BEHAVIOR: u32 = 1052;
    const REQUIRED: u64 = 2;
    let is_required = |field: &FieldDescriptor<'_>| {
        let mut options = wire::fields(field.options()).filter_map(Result::ok);
        options.any(|(tag, behaviors)| {
            // Packed or not; each is a varint of one byte.
            let is_required = behaviors.bits() == REQUIRED || behaviors.bytes().contains(&(REQUIRED as u8));
            tag >> 3 == FIELD_BEHAVIOR && is_required
        })
    };
    let fields = request.fields().filter(is_required);
    let fields =
        fields.filter(|field| matches!(field.kind(), Kind::String | Kind::Message) && field.name() != "update_mask");
    fields.map(|field| (field.number(), field.kind(), field.name().to_owned())).collect()
}

/// The last value of a field in an encoded message, by its path: `space.import_mode`.
pub(super) fn field<'m>(message: &MessageDescriptor, encoded: &'m [u8], path: &str) -> Option<Payload<'m>> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message.field_named(name)?;
    let occurrences = wire::fields(encoded).map_while(Result::ok).filter(|(tag, _)| tag >> 3 == field.number());
    let last = occurrences.last()?.1;
    match rest {
        None => Some(last),
        Some(rest) => self::field(&field.message()?, last.bytes(), rest),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::Timestamp;

    use super::*;
    use crate::{MethodRequest, proto::google::chat::v1::*};

    #[test]
    fn every_method_of_the_schema_has_its_scopes() {
        let pool = Client::http_rules().pool();
        for method in pool.methods() {
            let path = &method.path()[1..];
            let scopes = MethodScopes::of(path).unwrap_or_else(|| panic!("{path}"));
            for (app, admin) in [(false, false), (false, true), (true, false)] {
                assert!(scopes.least(app, admin).starts_with("chat."), "{path}");
            }
            let takes_admin_access = method.input().field_named("use_admin_access").is_some();
            assert_eq!(scopes.admin().next().is_some(), takes_admin_access, "{path}");
        }
        assert_eq!(SCOPES.len(), pool.methods().count());
        assert_eq!(MethodScopes::of("acme.v1.Library/GetSpace"), None);
        assert_eq!(MethodScopes::of("google.chat.v1.ChatService/Get"), None);
    }

    /// A name that is mistyped would never be found.
    #[test]
    fn the_other_tables_name_methods_and_fields_of_the_schema() {
        let pool = Client::http_rules().pool();
        let method = |name: &str| pool.method(&format!("/{SERVICE}{name}")).unwrap_or_else(|| panic!("{name}"));
        for (name, path) in IMPORTS {
            assert!(MethodScopes::of(&method(name).path()[1..]).unwrap().import(), "{name}");
            let (outer, inner) = path.split_once('.').unwrap();
            let input = method(name).input();
            let outer = input.field_named(outer).unwrap_or_else(|| panic!("{name}: {path}"));
            assert!(outer.message().unwrap().field_named(inner).is_some(), "{name}: {path}");
        }
        for name in EVENT_METHODS {
            let scopes = MethodScopes::of(&method(name).path()[1..]).unwrap();
            for (_, of_user, of_app) in EVENTS {
                assert!(scopes.user().any(|scope| scope == of_user), "{name}: {of_user}");
                assert!(scopes.app().any(|scope| scope == of_app), "{name}: {of_app}");
            }
        }
        for name in READS {
            let binding = Client::http_rules().method(method(name).path()).unwrap().bindings()[0].clone();
            assert_ne!(binding.http_method(), Some(&http::Method::GET), "{name}: its binding says it already");
        }
        for name in WRITES.iter().flat_map(|(.., methods)| *methods) {
            assert_eq!(only_reads(&method(name).path()[1..]), Some(false), "{name}");
        }
    }

    fn needed<Rq: MethodRequest>(request: Rq, app: bool) -> String {
        let method = Client::http_rules().pool().method(Rq::PATH).unwrap();
        MethodScopes::needed(&method, &request.encode_to_vec(), app).unwrap().join(" ")
    }

    #[test]
    fn what_a_request_requires_is_known_by_its_annotations() {
        let required = |name: &str| {
            let request = Client::http_rules().pool().message(&format!("google.chat.v1.{name}")).unwrap();
            required(&request).into_iter().map(|(.., name)| name).collect::<Vec<_>>()
        };
        assert_eq!(required("CreateMessageRequest"), ["parent", "message"]);
        assert_eq!(required("SearchSpacesRequest"), ["query"]);
        assert_eq!(required("UpdateMessageRequest"), ["message"]);
        assert!(required("ListSpacesRequest").is_empty());
    }

    #[test]
    fn a_request_says_which_scopes_it_needs() {
        let room = "spaces/a";
        let admin = GetSpaceRequest { use_admin_access: true, ..room.into() };
        assert_eq!(needed(GetSpaceRequest::of(room), false), "chat.spaces.readonly");
        assert_eq!(needed(GetSpaceRequest::of(room), true), "chat.bot");
        assert_eq!(needed(admin, false), "chat.admin.spaces.readonly");
        // Only an app can get an attachment's metadata.
        assert_eq!(needed(GetAttachmentRequest::of("spaces/a/messages/b/attachments/c"), false), "chat.bot");
        assert_eq!(needed(CompleteImportSpaceRequest::of(room), false), "chat.import");

        let import = Space { import_mode: true, ..Space::named("a") };
        assert_eq!(needed(CreateSpaceRequest::of(import.clone()), false), "chat.import");
        assert_eq!(needed(UpdateSpaceRequest::of(import, ["display_name"]), false), "chat.import");
        assert_eq!(needed(CreateSpaceRequest::of(Space::named("a")), false), "chat.spaces.create");
        let historic = Message { create_time: Some(Timestamp::default()), ..Message::default() };
        assert_eq!(needed(CreateMessageRequest::of(room, historic.clone()), false), "chat.import");
        // The time of a message that was read says nothing of its space.
        assert_eq!(needed(UpdateMessageRequest::of(historic, ["text"]), false), "chat.messages");
        let past = Membership { delete_time: Some(Timestamp::default()), ..Membership::default() };
        assert_eq!(needed(CreateMembershipRequest::of(room, past), false), "chat.import");
        assert_eq!(needed(CreateMembershipRequest::of(room, Membership::default()), true), "chat.app.memberships");

        let events = |kind: &str| ListSpaceEventsRequest::of(room, format!("event_types:\"google.workspace.{kind}\""));
        assert_eq!(needed(events("chat.message.v1.created"), false), "chat.messages.readonly");
        assert_eq!(needed(events("chat.membership.v1.batchCreated"), true), "chat.app.memberships.readonly");
        let all =
            "chat.memberships.readonly chat.messages.reactions.readonly chat.messages.readonly chat.spaces.readonly";
        assert_eq!(needed(GetSpaceEventRequest::of("spaces/a/spaceEvents/b"), false), all);
    }

    #[test]
    fn a_field_is_found_by_its_path_and_the_last_of_several_counts() {
        let method = Client::http_rules().pool().method(CreateSpaceRequest::PATH).unwrap();
        let with = |import_mode| CreateSpaceRequest::of(Space { import_mode, ..Space::named("a") }).encode_to_vec();
        let imports = |request: &[u8]| MethodScopes::needed(&method, request, false).unwrap() == [IMPORT];
        assert!(imports(&[with(false), with(true)].concat()));
        assert!(!imports(b""));
        // What cannot be read is the server's to judge.
        assert!(!imports(b"\x0a\x7f"));
    }
}
