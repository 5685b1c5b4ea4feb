//! `gchat spaces`.

use std::time::Duration;

use google_chat::{CreateSpaceRequest, Space};
use serde_json::{Map, Value, json};

use crate::{
    connection::Connection,
    failure::Failure,
    input,
    output::{self, Output},
};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create a space
    #[command(after_help = EXAMPLES)]
    Create(Box<Create>),
}

const EXAMPLES: &str = "\
Examples:
  gchat spaces create --display-name \"Launch room\" --emulator
  gchat spaces create --display-name \"Launch room\" --customer customers/my_customer
  gchat spaces create --display-name \"Launch room\" --credentials key.json --subject alice@example.com
  echo '{\"displayName\":\"Launch room\",\"spaceType\":\"SPACE\"}' | gchat spaces create --from-json -";

#[derive(clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    space: SpaceFlags,
    /// A whole Space as JSON, from a file or from standard input (-)
    #[arg(long, value_name = "FILE|-", conflicts_with = "SpaceFlags")]
    from_json: Option<String>,
    /// An identifier for the request, so that it can be sent again
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// How to print the space
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Every settable field of Space.
#[derive(clap::Args)]
#[group(id = "SpaceFlags", multiple = true)]
struct SpaceFlags {
    /// The name that people see, at most 128 characters
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// The kind of space; a named SPACE unless given
    #[arg(long, value_name = "TYPE", value_parser = ["SPACE", "GROUP_CHAT"])]
    space_type: Option<String>,
    /// The description, at most 150 characters
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The guidelines, at most 5,000 characters
    #[arg(long, value_name = "TEXT")]
    guidelines: Option<String>,
    /// Lets people outside the organization be members
    #[arg(long)]
    external_user_allowed: bool,
    /// Whether messages are kept
    #[arg(long, value_name = "STATE", value_parser = ["HISTORY_ON", "HISTORY_OFF"])]
    history: Option<String>,
    /// Creates the space for an import, hidden until that is complete
    #[arg(long)]
    import_mode: bool,
    /// In import mode, when the original was created (RFC 3339)
    #[arg(long, value_name = "TIME", requires = "import_mode")]
    create_time: Option<String>,
    /// The organization, customers/{id}; required when acting as an app
    #[arg(long, value_name = "CUSTOMER")]
    customer: Option<String>,
    /// A target audience that can find the space, audiences/{id}
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// Target audiences that can find the space, audiences/{id}; several with commas
    #[arg(long, value_name = "AUDIENCES", value_delimiter = ',')]
    discoverable_by: Vec<String>,
    /// Target audiences that can join the space, audiences/{id}; several with commas
    #[arg(long, value_name = "AUDIENCES", value_delimiter = ',')]
    joinable_by: Vec<String>,
    /// Target audiences that can see the members, audiences/{id}; several with commas
    #[arg(long, value_name = "AUDIENCES", value_delimiter = ',')]
    members_visible_to: Vec<String>,
    /// A ready-made set of permissions
    #[arg(long, value_name = "SET", value_parser = ["COLLABORATION_SPACE", "ANNOUNCEMENT_SPACE"])]
    predefined_permissions: Option<String>,
    /// Who has a permission, as NAME=ROLE[+ROLE], for example manageApps=managers; can be repeated
    #[arg(long, value_name = "NAME=ROLES", conflicts_with = "predefined_permissions")]
    permission: Vec<String>,
    /// Whether the space is the direct message of a person and an app
    #[arg(long, hide = true)]
    single_user_bot_dm: bool,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => create(*args).await,
    }
}

async fn create(args: Create) -> Result<(), Failure> {
    let json = match &args.from_json {
        Some(source) => input::read(source)?,
        None => args.space.to_json()?.to_string(),
    };
    let space: Space =
        output::schema()?.from_json(&json).map_err(|error| Failure::usage(format!("the space: {error}")))?;
    // Stops when it goes out of scope.
    let emulator = args.connection.emulator().await?;
    let client = args.connection.client(emulator.as_ref())?;
    let request = CreateSpaceRequest { request_id: args.request_id.unwrap_or_default(), ..space.into() };
    let timeout = Duration::from_secs(args.connection.timeout);
    let space = client.create_space(request).timeout(timeout).await?;
    output::print(&space, args.output)
}

impl SpaceFlags {
    /// The space, as the ProtoJSON that a file would hold. What is wrong with a
    /// value is found when that is read.
    fn to_json(&self) -> Result<Value, Failure> {
        let mut space = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                space.insert(name.to_owned(), value);
            }
        };
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let flag = |value: bool| value.then_some(Value::Bool(true));
        set("displayName", text(&self.display_name));
        set("spaceType", Some(self.space_type.as_deref().unwrap_or("SPACE").into()));
        set("externalUserAllowed", flag(self.external_user_allowed));
        set("spaceHistoryState", text(&self.history));
        set("importMode", flag(self.import_mode));
        set("createTime", text(&self.create_time));
        set("customer", text(&self.customer));
        set("singleUserBotDm", flag(self.single_user_bot_dm));
        set("predefinedPermissionSettings", text(&self.predefined_permissions));
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
