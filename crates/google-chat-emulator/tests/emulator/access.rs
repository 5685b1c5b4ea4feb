//! Who may call what: the order in which a call is judged, the token endpoint, and the scopes
//! of its tokens.

use std::time::Duration;

use crate::support::{WIRES, create, http, outcome, post};
use google_chat::{
    Client, Space,
    proto::google::chat::v1::{DeleteSpaceRequest, GetSpaceRequest},
};
use google_chat_emulator::Emulator;
use tonic::Code;

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
async fn tokens_reach_only_what_their_scopes_are_for() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    for wire in WIRES {
        let user = emulator.credentials().unwrap().for_user("alice@example.com").unwrap();
        let with = |scope: &str| {
            let builder = Client::builder().endpoint(emulator.endpoint()).wire(wire).credentials(user.clone());
            builder.scopes([scope]).checks(false).build().unwrap().stub()
        };
        let space = create(&mut with("chat.spaces"), Space::named(wire.to_string())).await;
        let get = GetSpaceRequest { name: space.name.clone(), use_admin_access: false };
        with("chat.spaces.readonly").get_space(get.clone()).await.unwrap();
        // The scope for imports reaches what is imported only.
        for scope in ["chat.memberships", "chat.import"] {
            let error = with(scope).get_space(get.clone()).await.unwrap_err();
            assert_eq!(error.code(), Code::PermissionDenied, "{wire} {scope}");
        }
        let delete = DeleteSpaceRequest { name: space.name, use_admin_access: false };
        let error = with("chat.spaces").delete_space(delete.clone()).await.unwrap_err();
        assert!(error.message().contains("insufficient authentication scopes"), "{wire}: {error}");
        with("chat.delete").delete_space(delete).await.unwrap();
    }
}

/// Google's system parameter, for who can set no header.
#[tokio::test]
async fn the_token_may_come_in_the_query() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| (settings.anonymous, settings.shortcuts) = (false, true));
    let space = r#"{"displayName":"a","spaceType":"SPACE"}"#;
    let (status, answer) = http(&emulator, "POST", "/v1/spaces", space).await;
    assert_eq!(status, 401, "{answer}");
    let (status, answer) = http(&emulator, "POST", "/v1/spaces?access_token=user:alice@example.com", space).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = http(&emulator, "POST", "/v1/spaces?access_token=a%0Ab", space).await;
    assert!(status == 400 && answer.contains("access_token: it holds what a header cannot"), "{answer}");
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

/// RFC 6749 sends a form, of which any letter may be escaped.
#[tokio::test]
async fn the_form_of_a_token_request_is_read_as_a_form() {
    let emulator = Emulator::start().await.unwrap();
    let grant = "%67rant%5ftype=urn%3aietf%3aparams%3aoauth%3agrant%2Dtype%3ajwt%2dbearer";
    for (form, problem) in [
        (grant.to_owned(), "Missing required parameter: assertion"),
        (format!("{grant}&assertion=a%2Eb.c"), "Invalid JWT"),
        ("grant_type=refresh+token".to_owned(), "Invalid grant_type"),
    ] {
        let (status, answer) = http(&emulator, "POST", "/token", &form).await;
        assert!(status == 400 && answer.contains(problem), "{form}: {answer}");
    }
}
