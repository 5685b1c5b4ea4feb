//! A space as flags.

use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// The fields of Space that can be set when it is created.
#[derive(clap::Args)]
#[group(id = "NewSpaceFlags", multiple = true)]
#[command(next_help_heading = "Space")]
pub(super) struct NewSpaceFlags {
    #[command(flatten)]
    space: SpaceFlags,
    /// Allow members from outside the organization
    #[arg(long)]
    external_user_allowed: bool,
    /// Create the space for an import; it is hidden until complete-import
    #[arg(long)]
    import_mode: bool,
    /// In import mode, the time when the original was created (RFC 3339)
    #[arg(long, value_name = "TIME", requires = "import_mode")]
    create_time: Option<String>,
    /// The organization: customers/{id}; required when acting as an app
    #[arg(long, value_name = "CUSTOMER")]
    customer: Option<String>,
    /// A predefined set of permissions
    #[arg(long, value_name = "SET", value_parser = ["COLLABORATION_SPACE", "ANNOUNCEMENT_SPACE"],
          conflicts_with = "permission")]
    predefined_permissions: Option<String>,
    /// Whether the space is the direct message of a person and an app
    #[arg(long, hide = true)]
    single_user_bot_dm: bool,
}

impl NewSpaceFlags {
    /// The space, as [`SpaceFlags::to_json`] has it.
    pub(super) fn to_json(&self) -> Result<Value, Failure> {
        let mut space = self.space.to_json()?;
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let flag = |value: bool| value.then_some(Value::Bool(true));
        for (name, value) in [
            ("externalUserAllowed", flag(self.external_user_allowed)),
            ("importMode", flag(self.import_mode)),
            ("createTime", text(&self.create_time)),
            ("customer", text(&self.customer)),
            ("predefinedPermissionSettings", text(&self.predefined_permissions)),
            ("singleUserBotDm", flag(self.single_user_bot_dm)),
        ] {
            if let (Some(value), Some(space)) = (value, space.as_object_mut()) {
                space.insert(name.to_owned(), value);
            }
        }
        Ok(space)
    }
}

/// The fields of Space that can be set at any time.
#[derive(clap::Args)]
#[group(id = "SpaceFlags", multiple = true)]
#[command(next_help_heading = "Space")]
pub(super) struct SpaceFlags {
    /// The display name, at most 128 characters
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// The type of space; a new one is a SPACE by default
    #[arg(long, value_name = "TYPE", value_parser = ["SPACE", "GROUP_CHAT"])]
    space_type: Option<String>,
    /// The description, at most 150 characters
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The guidelines, at most 5,000 characters
    #[arg(long, value_name = "TEXT")]
    guidelines: Option<String>,
    /// Whether messages are kept
    #[arg(long, value_name = "STATE", value_parser = ["HISTORY_ON", "HISTORY_OFF"])]
    history: Option<String>,
    /// A target audience that can find the space: audiences/{id}
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// Target audiences that can find the space, comma-separated: audiences/{id}
    #[arg(long, value_name = "AUDIENCES", value_delimiter = ',')]
    discoverable_by: Vec<String>,
    /// Target audiences that can join the space, comma-separated
    #[arg(long, value_name = "AUDIENCES", value_delimiter = ',')]
    joinable_by: Vec<String>,
    /// Target audiences that can see the members, comma-separated
    #[arg(long, value_name = "AUDIENCES", value_delimiter = ',')]
    members_visible_to: Vec<String>,
    /// Who has a permission: NAME=ROLE[+ROLE], e.g. manageApps=managers; can be repeated
    #[arg(long, value_name = "NAME=ROLES")]
    permission: Vec<String>,
}

impl SpaceFlags {
    /// The space, as the ProtoJSON that a file would hold. What is wrong with a
    /// value is found when that is read.
    pub(super) fn to_json(&self) -> Result<Value, Failure> {
        let mut space = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                space.insert(name.to_owned(), value);
            }
        };
        let text = |value: &Option<String>| value.clone().map(Value::from);
        set("displayName", text(&self.display_name));
        set("spaceType", text(&self.space_type));
        set("spaceHistoryState", text(&self.history));
        let details = object([("description", text(&self.description)), ("guidelines", text(&self.guidelines))]);
        set("spaceDetails", details);
        let access = object([
            ("discoverSpaceSetting", audiences(&self.discoverable_by)),
            ("joinSpaceSetting", audiences(&self.joinable_by)),
            ("viewSpaceMembershipSetting", audiences(&self.members_visible_to)),
        ]);
        set("accessSettings", object([("audience", text(&self.audience)), ("accessPermissionSettings", access)]));
        let permissions = self.permission.iter().map(|flag| permission(flag)).collect::<Result<Map<_, _>, _>>()?;
        set("permissionSettings", (!permissions.is_empty()).then(|| permissions.into()));
        Ok(space.into())
    }
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Option<Value> {
    let set: Map<_, _> =
        members.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value))).collect();
    (!set.is_empty()).then(|| set.into())
}

fn audiences(names: &[String]) -> Option<Value> {
    let principals: Vec<_> = names.iter().map(|name| json!({"audience": {"name": name}})).collect();
    (!principals.is_empty()).then(|| json!({"principals": principals}))
}

fn permission(flag: &str) -> Result<(String, Value), Failure> {
    let form =
        || Failure::usage(format!("--permission {flag}: write NAME=ROLE[+ROLE], for example manageApps=managers"));
    let (name, roles) = flag.split_once('=').ok_or_else(form)?;
    let mut setting = Map::new();
    for role in roles.split('+') {
        let key = match role {
            "managers" => "managersAllowed",
            "assistantManagers" => "assistantManagersAllowed",
            "members" => "membersAllowed",
            _ => {
                let roles = "the roles are managers, assistantManagers and members";
                return Err(Failure::usage(format!("--permission {flag}: unknown role `{role}`; {roles}")));
            }
        };
        setting.insert(key.to_owned(), Value::Bool(true));
    }
    Ok((name.to_owned(), setting.into()))
}
