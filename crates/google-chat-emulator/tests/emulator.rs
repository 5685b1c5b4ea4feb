//! What the emulator answers to whom: tokens, the order of its checks, request
//! ids and quota.

use std::time::Duration;

use google_chat::proto::google::chat::v1::{HistoryState, space::SpaceThreadingState};
use google_chat_emulator::Emulator;
use http::{Request, header::RETRY_AFTER};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};

async fn post(emulator: &Emulator, path: &str, token: Option<&str>, body: &str) -> (u16, Value) {
    let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut request =
        Request::post(format!("{}{path}", emulator.endpoint())).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = client.request(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap();
    assert!(!answer.headers().contains_key(RETRY_AFTER));
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn named(name: &str) -> String {
    json!({"displayName": name, "spaceType": "SPACE"}).to_string()
}

/// HTTP status, code, and the reason of its ErrorInfo.
fn outcome((status, body): &(u16, Value)) -> (u16, &str, &str) {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    (*status, text("/error/status"), text("/error/details/0/reason"))
}

#[tokio::test]
async fn calls_are_judged_in_the_order_of_googles() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| {
        settings.anonymous = false;
        settings.shortcuts = true;
        settings.api_enabled = false;
        settings.app_configured = false;
        settings.app_approved = false;
        settings.writes_per_minute = Some(1);
    });
    // Everything is wrong; each mend shows what is judged next.
    let wrong = r#"{"displayName":"","customer":"x"}"#;
    let call = |token| post(&emulator, "/v1/spaces", token, wrong);
    assert_eq!(outcome(&call(None).await), (401, "UNAUTHENTICATED", "CREDENTIALS_MISSING"));
    assert_eq!(outcome(&call(Some("nothing")).await), (401, "UNAUTHENTICATED", "ACCESS_TOKEN_TYPE_UNSUPPORTED"));
    assert_eq!(outcome(&call(Some("app")).await), (403, "PERMISSION_DENIED", "SERVICE_DISABLED"));
    emulator.configure(|settings| settings.api_enabled = true);
    assert_eq!(outcome(&call(Some("app")).await), (404, "NOT_FOUND", ""));
    assert_eq!(outcome(&call(Some("app")).await), (429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED"));
    // The quota is that of a minute.
    emulator.advance(Duration::from_secs(60));
    emulator.configure(|settings| settings.app_configured = true);
    assert_eq!(outcome(&call(Some("app")).await), (403, "PERMISSION_DENIED", ""));
    emulator.configure(|settings| (settings.app_approved, settings.writes_per_minute) = (true, None));
    assert_eq!(outcome(&call(Some("app")).await), (400, "INVALID_ARGUMENT", ""));
}

#[tokio::test]
async fn a_request_id_belongs_to_who_used_it_first() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.shortcuts = true);
    const PATH: &str = "/v1/spaces?requestId=one";
    let (status, first) = post(&emulator, PATH, Some("user:alice@example.com"), &named("a")).await;
    assert_eq!(status, 200, "{first}");
    let again = post(&emulator, PATH, Some("user:alice@example.com"), &named("other")).await;
    assert_eq!(again, (200, first));
    let other = post(&emulator, PATH, Some("user:bob@example.com"), &named("b")).await;
    assert_eq!(outcome(&other), (400, "INVALID_ARGUMENT", "REQUEST_ID_OF_ANOTHER_USER"));
    let taken = post(&emulator, "/v1/spaces", Some("user:bob@example.com"), &named("a")).await;
    assert_eq!(outcome(&taken), (409, "ALREADY_EXISTS", "SPACE_DISPLAY_NAME_TAKEN"));
    emulator.configure(|settings| settings.unique_names = false);
    assert_eq!(post(&emulator, "/v1/spaces", Some("user:bob@example.com"), &named("a")).await.0, 200);
    // A replay is no matter of what the body holds.
    assert_eq!(post(&emulator, PATH, Some("user:alice@example.com"), "").await.0, 200);
    // No time is beyond the clock.
    emulator.advance(Duration::MAX);
    emulator.advance(Duration::MAX);
    emulator.configure(|settings| settings.token_lifetime = Duration::MAX);
    assert_eq!(post(&emulator, "/v1/spaces", Some("user:bob@example.com"), &named("late")).await.0, 200);
}

/// Who may set what, and what they get to see.
#[tokio::test]
async fn apps_and_users_may_set_different_things() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.shortcuts = true);
    const ALICE: &str = "user:alice@example.com";
    let count = std::cell::Cell::new(0);
    let with = |more: Value| {
        let name = count.replace(count.get() + 1).to_string();
        let mut space = json!({"displayName": name, "spaceType": "SPACE"});
        space.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        space.to_string()
    };
    let access = |discover: &str, join: &str| {
        let setting = |name: &str| json!({"principals": [{"audience": {"name": format!("audiences/{name}")}}]});
        let settings = json!({"discoverSpaceSetting": setting(discover), "joinSpaceSetting": setting(join)});
        with(json!({"accessSettings": {"accessPermissionSettings": settings}}))
    };
    let mine = json!({"customer": "customers/my_customer"});
    for (token, space, status) in [
        ("app", with(mine.clone()), 200),
        ("app", named("no customer"), 400),
        ("app", with(json!({"customer": "acme"})), 400),
        ("app", with(json!({"customer": "customers/C1", "importMode": true})), 403),
        ("app", with(json!({"customer": "customers/C2", "accessSettings": {"audience": "audiences/default"}})), 403),
        (ALICE, with(json!({"accessSettings": {"audience": "audiences/default"}})), 200),
        (ALICE, with(json!({"accessSettings": {"audience": "default"}})), 400),
        (ALICE, access("a", "a"), 200),
        (ALICE, access("a", "b"), 400),
        (ALICE, with(json!({"importMode": true, "createTime": "1999-12-31T23:59:59Z"})), 400),
        (ALICE, with(json!({"importMode": true, "createTime": "2000-01-01T00:00:00Z"})), 200),
        (ALICE, json!({"spaceType": "GROUP_CHAT", "importMode": true}).to_string(), 200),
        (ALICE, json!({"spaceType": "GROUP_CHAT"}).to_string(), 400),
        (
            ALICE,
            json!({"spaceType": "GROUP_CHAT", "importMode": true, "predefinedPermissionSettings": 1}).to_string(),
            400,
        ),
        (ALICE, with(json!({"singleUserBotDm": true})), 400),
    ] {
        let (found, body) = post(&emulator, "/v1/spaces", Some(token), &space).await;
        assert_eq!(found, status, "{token} {space}: {body}");
    }
    let (_, space) = post(&emulator, "/v1/spaces", Some(ALICE), &with(json!({"customer": "customers/C9"}))).await;
    assert_ne!(space["customer"], "customers/C9", "a user's customer is the user's own");
    // What an app does not see is there all the same.
    assert!(emulator.spaces()[0].space_permission_settings.is_some());
    emulator.configure(|settings| settings.strict_customer = true);
    assert_eq!(post(&emulator, "/v1/spaces", Some(ALICE), &with(json!({"customer": "customers/C8"}))).await.0, 400);
    let managers = json!({"permissionSettings": {"manageApps": {"managersAllowed": true}}});
    let (_, space) = post(&emulator, "/v1/spaces", Some(ALICE), &with(managers)).await;
    assert_eq!(space["permissionSettings"]["manageApps"], json!({"managersAllowed": true}));
    assert_eq!(space["permissionSettings"]["postMessages"]["membersAllowed"], true);
}

#[tokio::test]
async fn what_the_documentation_leaves_open_is_set() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| {
        settings.history = HistoryState::HistoryOff;
        settings.threading = SpaceThreadingState::GroupedMessages;
        settings.group_chat_names = false;
    });
    let (_, space) = post(&emulator, "/v1/spaces", None, &named("a")).await;
    assert_eq!(space["spaceHistoryState"], "HISTORY_OFF");
    assert_eq!(space["spaceThreadingState"], "GROUPED_MESSAGES");
    let group = json!({"displayName": "b", "spaceType": "GROUP_CHAT", "importMode": true}).to_string();
    let (_, group) = post(&emulator, "/v1/spaces", None, &group).await;
    assert_eq!((group.get("displayName"), group["importMode"].as_bool()), (None, Some(true)));
}

/// Whatever a user calls itself, it is not the app; and an address is one user
/// however it is written.
#[tokio::test]
async fn nobody_is_taken_for_another() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.shortcuts = true);
    const PATH: &str = "/v1/spaces?requestId=one";
    let mine = json!({"displayName": "a", "spaceType": "SPACE", "customer": "customers/my_customer"}).to_string();
    assert_eq!(post(&emulator, PATH, Some("app"), &mine).await.0, 200);
    let other = post(&emulator, PATH, Some("user:app"), &mine).await;
    assert_eq!(outcome(&other), (400, "INVALID_ARGUMENT", "REQUEST_ID_OF_ANOTHER_USER"));
    const TWO: &str = "/v1/spaces?requestId=two";
    let (_, made) = post(&emulator, TWO, Some("user:alice@example.com"), &named("b")).await;
    assert_eq!(post(&emulator, TWO, Some("user:Alice@Example.com"), &named("b")).await, (200, made));
}

#[tokio::test]
async fn the_token_endpoint_refuses_what_is_not_signed_for_it() {
    let emulator = Emulator::start().await.unwrap();
    let grant = "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer";
    for (form, status, error) in [
        ("", 400, "unsupported_grant_type"),
        (grant, 400, "invalid_request"),
        (&format!("{grant}&assertion=a.b"), 400, "invalid_grant"),
        // {"alg":"none"} and the right issuer, unsigned.
        (
            &format!(
                "{grant}&assertion=eyJhbGciOiJub25lIn0.\
                 eyJpc3MiOiJjaGF0LWFwcEBlbXVsYXRvci5pYW0uZ3NlcnZpY2VhY2NvdW50LmNvbSJ9."
            ),
            400,
            "invalid_grant",
        ),
    ] {
        let (found, body) = post(&emulator, "/token", None, form).await;
        assert_eq!((found, body["error"].as_str()), (status, Some(error)), "{form}: {body}");
    }
}
