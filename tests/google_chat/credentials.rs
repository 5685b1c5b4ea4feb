//! `Client::new()` with what people have on laptops, in CI and in Google Cloud: nothing but the
//! environment is set. Each call is made by a process of its own, since the environment is a
//! process's.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use google_chat::{Client, Credentials, ErrorKind, Space, TokenErrorKind, layer::RetryPolicy};
use google_chat_emulator::{Emulator, Hop, HopFault, Login, Received, Settings};
use serde_json::{Value, json};

use crate::support::{
    broken_keys::{Secret, mangled},
    cloud::{ACCOUNT, AUDIENCE, Cloud, PRINCIPAL, SUBJECT_TOKEN, external_account, impersonation_url, other_cloud},
};

/// The protocols that TLS agrees on, and what a call is then.
const WIRES: [(&[&str], &str); 2] =
    [(&["h2"], "/google.chat.v1.ChatService/CreateSpace"), (&["http/1.1"], "/v1/spaces")];
/// The variables by which a test tells the process what to do.
const USER: &str = "TEST_FOR_USER";
const IMPERSONATED: &str = "TEST_IMPERSONATED";

/// What the other tests run, in a process with the environment of the case.
#[tokio::test]
#[ignore = "the tests below run it, each time in a process of its own"]
async fn a_call_as_the_environment_says() {
    let told = |name| std::env::var(name).ok();
    let chat = match (told(IMPERSONATED), told(USER)) {
        (None, None) => Client::new(),
        (account, user) => {
            let mut credentials = Credentials::application_default();
            if let Some(account) = account {
                credentials = credentials.impersonated(&account).unwrap();
            }
            if let Some(user) = user {
                credentials = credentials.for_user(&user).unwrap();
            }
            Client::builder().credentials(credentials).build()
        }
    };
    // An app must say which customer's space it is; as a user it is not looked at.
    let customer = Some("customers/my_customer".to_owned());
    match chat.unwrap().create_space(Space { customer, ..Space::named("a") }).await {
        Ok(space) => println!("outcome: made {}", space.name),
        Err(error) => println!("outcome: {:?}: {error}", error.kind()),
    }
}

/// What became of a call in this environment.
async fn outcome(cloud: &Cloud, set: &[(&str, String)]) -> String {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "credentials::a_call_as_the_environment_says", "--ignored", "--nocapture"]);
    command.env_clear().envs(cloud.environment()).envs(set.iter().map(|(name, value)| (name, value)));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let outcome = printed.lines().find_map(|line| line.split_once("outcome: ").map(|(_, outcome)| outcome.to_owned()));
    outcome.unwrap_or_else(|| panic!("{set:?}: {printed}{}", String::from_utf8_lossy(&output.stderr)))
}

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Variables of the environment.
type Variables = Vec<(&'static str, String)>;

/// One case of the table: the environment, and who makes the call.
type Row = (&'static str, Variables, Who);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    App,
    Alice,
}

const NAMED: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const ALLOW: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";

fn named(path: String) -> Variables {
    vec![(NAMED, path)]
}

fn and(mut set: Variables, name: &'static str, value: &str) -> Variables {
    set.push((name, value.to_owned()));
    set
}

/// A file of a workload identity pool whose subject tokens are in a file, as CI writes it.
fn from_file(cloud: &Cloud) -> Value {
    let token = cloud.file("subject-token", SUBJECT_TOKEN);
    external_account("oauth:token-type:jwt", json!({ "file": token }))
}

async fn rows(cloud: &Cloud) -> Vec<Row> {
    let file = |name: &str, json: &Value| cloud.file(name, json.to_string());
    let alice = cloud.login("alice@example.com");
    let login = file("login.json", &alice);
    let gcloud = cloud.file("moved/application_default_credentials.json", alice.to_string());
    let moved = Path::new(&gcloud).parent().unwrap().to_str().unwrap().to_owned();
    let key = cloud.emulator.key_file().replace(&cloud.emulator.endpoint(), "https://oauth2.googleapis.com");
    let key = cloud.file("key.json", key);

    let impersonated = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": impersonation_url(),
        "delegates": ["projects/-/serviceAccounts/between@emulator.iam.gserviceaccount.com"],
        "source_credentials": alice.clone(),
    });
    let impersonated = file("impersonated.json", &impersonated);

    let ci = file("ci.json", &from_file(cloud));
    let token = file("subject-token.json", &json!({ "token": SUBJECT_TOKEN }));
    let format = json!({"type": "json", "subject_token_field_name": "token"});
    let in_json = external_account("oauth:token-type:jwt", json!({"file": token, "format": format}));
    let in_json = file("in-json.json", &in_json);

    // What google-github-actions/auth writes.
    let actions = other_cloud(&[(
        "GET /token?audience=a",
        "authorization: bearer actions-request-token",
        "{\"value\":\"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJyZXBvOmFjbWUvcm9vbXMifQ.c2lnbmF0dXJl\"}",
    )]);
    let actions = external_account(
        "oauth:token-type:jwt",
        json!({
            "url": format!("{}/token?audience=a", actions.await),
            "headers": {"Authorization": "Bearer actions-request-token"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        }),
    );
    let actions = file("actions.json", &actions);

    let program = cloud.file(
        "print-token",
        format!(
            "#!/bin/sh\n[ \"$GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE\" = {AUDIENCE} ] || exit 1\n\
             echo '{{\"version\":1,\"success\":true,\"token_type\":\"urn:ietf:params:oauth:token-type:id_token\",\
             \"id_token\":\"{SUBJECT_TOKEN}\"}}'\n"
        ),
    );
    let command = json!({"executable": {"command": format!("/bin/sh '{program}'"), "timeout_millis": 5_000}});
    let executable = file("executable.json", &external_account("oauth:token-type:id_token", command));

    let instance = other_cloud(&[
        ("PUT /api/token", "x-aws-ec2-metadata-token-ttl-seconds: 300", "session"),
        ("GET /zone", "x-aws-ec2-metadata-token: session", "eu-west-1b"),
        ("GET /credentials", "x-aws-ec2-metadata-token: session", "emulator"),
        (
            "GET /credentials/emulator",
            "x-aws-ec2-metadata-token: session",
            "{\"AccessKeyId\":\"AKIDEMULATOR\",\"SecretAccessKey\":\"emulator-aws-secret\",\"Token\":\"session-token\"}",
        ),
    ])
    .await;
    let verify = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
    let aws = |source: Value| external_account("aws:token-type:aws4_request", source);
    let ec2 = aws(json!({
        "environment_id": "aws1",
        "region_url": format!("{instance}/zone"),
        "url": format!("{instance}/credentials"),
        "imdsv2_session_token_url": format!("{instance}/api/token"),
        "regional_cred_verification_url": verify,
    }));
    let ec2 = file("ec2.json", &ec2);
    let aws = file("aws.json", &aws(json!({"environment_id": "aws1", "regional_cred_verification_url": verify})));
    let aws = and(and(named(aws), "AWS_REGION", "us-east-2"), "AWS_ACCESS_KEY_ID", "AKIDEMULATOR");
    let aws = and(aws, "AWS_SECRET_ACCESS_KEY", "emulator-aws-secret");

    let mut workforce = alice.clone();
    workforce["type"] = "external_account_authorized_user".into();
    workforce["audience"] = "//iam.googleapis.com/locations/global/workforcePools/acme/providers/idp".into();
    workforce["token_url"] = "https://sts.googleapis.com/v1/oauthtoken".into();
    let workforce = file("workforce.json", &workforce);

    let program = cloud.file(
        "bin/gcloud",
        "#!/bin/sh\n[ \"$*\" = 'auth print-access-token --quiet' ] && echo user:alice@example.com\n",
    );
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = vec![("PATH", program.trim_end_matches("/gcloud").to_owned())];

    let metadata = vec![("GCE_METADATA_HOST", cloud.emulator.address().to_string())];
    let gcloud_folder = vec![("CLOUDSDK_CONFIG", moved)];
    vec![
        ("a login named by the environment", named(login.clone()), Who::Alice),
        ("a login in gcloud's folder", gcloud_folder.clone(), Who::Alice),
        ("a login in gcloud's folder, and an empty variable", and(gcloud_folder.clone(), NAMED, ""), Who::Alice),
        ("a key", named(key.clone()), Who::App),
        ("a key, for a user", and(named(key), USER, "alice@example.com"), Who::Alice),
        ("gcloud's impersonation", named(impersonated.clone()), Who::App),
        ("gcloud's impersonation, for a user", and(named(impersonated), USER, "alice@example.com"), Who::Alice),
        ("a login, and impersonation in code", and(named(login.clone()), IMPERSONATED, ACCOUNT), Who::App),
        (
            "a login, and impersonation for a user in code",
            and(and(named(login), IMPERSONATED, ACCOUNT), USER, "alice@example.com"),
            Who::Alice,
        ),
        ("an external account: a file", named(ci.clone()), Who::App),
        ("an external account: a file, for a user", and(named(ci), USER, "alice@example.com"), Who::Alice),
        ("an external account: a file of JSON", named(in_json), Who::App),
        ("an external account: a URL", named(actions), Who::App),
        ("an external account: a program", and(named(executable), ALLOW, "1"), Who::App),
        ("an external account: AWS by variables", aws, Who::App),
        ("an external account: AWS by an instance's metadata", named(ec2), Who::App),
        ("a workforce's login", named(workforce), Who::Alice),
        ("the program gcloud", and(program, "GCE_METADATA_HOST", "not a host"), Who::Alice),
        ("the metadata server", metadata.clone(), Who::App),
        ("the metadata server, for a user", and(metadata, USER, "alice@example.com"), Who::Alice),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_environment_makes_calls_over_both_wires() {
    for (protocols, target) in WIRES {
        let cloud = Cloud::start(folder(&format!("rows-{}", target.len())), "googleapis.com", protocols).await;
        cloud.emulator.configure(|settings| {
            let between = "between@emulator.iam.gserviceaccount.com".to_owned();
            let role = PRINCIPAL.replace("repo:acme/rooms", "arn:aws:sts::123456789012:assumed-role/emulator");
            settings.service_accounts = vec![between.clone()];
            let creators = ["alice@example.com".to_owned(), ACCOUNT.to_owned(), PRINCIPAL.to_owned(), role, between];
            settings.token_creators = Some(creators.to_vec());
            (settings.unique_names, settings.shortcuts) = (false, true);
        });
        for (row, set, who) in rows(&cloud).await {
            let made = outcome(&cloud, &set).await;
            assert!(made.starts_with("made spaces/"), "{row} over {target}: {made}");
            let call: Received = cloud.emulator.received().pop().unwrap();
            assert_eq!(call.target.split('?').next(), Some(target), "{row}");
            let space = cloud.emulator.spaces().into_iter().find(|space| made.ends_with(&space.name)).unwrap();
            let members = space.membership_count.unwrap().joined_direct_human_user_count;
            assert_eq!(members, i32::from(who == Who::Alice), "{row} over {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_quota_project_is_the_environments_or_the_files() {
    let cloud = Cloud::start(folder("quota"), "googleapis.com", &["h2"]).await;
    cloud.emulator.configure(|settings| settings.unique_names = false);
    let mut login = cloud.login("alice@example.com");
    let without = cloud.file("without.json", login.to_string());
    login["quota_project_id"] = "of-the-file".into();
    let with = cloud.file("with.json", login.to_string());
    let variable = "GOOGLE_CLOUD_QUOTA_PROJECT";
    let metadata = vec![("GCE_METADATA_HOST", cloud.emulator.address().to_string())];
    for (set, project) in [
        (named(without.clone()), None),
        (named(with.clone()), Some("of-the-file")),
        (and(named(with.clone()), variable, "of-the-environment"), Some("of-the-environment")),
        (and(named(with), variable, ""), Some("of-the-file")),
        (and(named(without), variable, "of-the-environment"), Some("of-the-environment")),
        (and(metadata, variable, "of-the-environment"), Some("of-the-environment")),
    ] {
        let made = outcome(&cloud, &set).await;
        assert!(made.starts_with("made "), "{set:?}: {made}");
        let call = cloud.emulator.received().pop().unwrap();
        let header = call.headers.get("x-goog-user-project").map(|value| value.to_str().unwrap());
        assert_eq!(header, project, "{set:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_universe_has_hosts_of_its_own() {
    let cloud = Cloud::start(folder("universe"), "cloud.example", &["h2"]).await;
    let mut login = cloud.login("alice@example.com");
    login["universe_domain"] = "cloud.example".into();
    let login = named(cloud.file("login.json", login.to_string()));
    let made = outcome(&cloud, &and(login.clone(), "GOOGLE_CLOUD_UNIVERSE_DOMAIN", "cloud.example")).await;
    assert!(made.starts_with("made "), "{made}");
    let metadata = vec![("GCE_METADATA_HOST", cloud.emulator.address().to_string())];
    cloud.emulator.configure(|settings| settings.unique_names = false);
    let made = outcome(&cloud, &and(metadata, "GOOGLE_CLOUD_UNIVERSE_DOMAIN", "cloud.example")).await;
    assert!(made.starts_with("made "), "{made}");
    // Nothing of one universe is sent to another.
    let refused = outcome(&cloud, &login).await;
    assert!(refused.contains("set GOOGLE_CLOUD_UNIVERSE_DOMAIN=cloud.example"), "{refused}");
    assert_eq!(cloud.emulator.spaces().len(), 2);
}

/// What a test changes before a call that is to fail.
enum Change {
    Settings(fn(&mut Settings)),
    Fault(Hop, HopFault),
    Nothing,
}

use Change::{Fault, Nothing, Settings as Set};

/// The text of a failure as a user sees it, with the folder of the test and the ports left out.
fn seen(cloud: &Cloud, text: &str) -> String {
    let folder = cloud.file("x", "").trim_end_matches("/x").to_owned();
    let mut text = text.replace(&folder, "DIR").replace(&cloud.emulator.address().to_string(), "HOST");
    if let Some(call) = text.find("google.chat.v1.ChatService/CreateSpace over ") {
        let (kind, rest) = (&text[..call], &text[call..]);
        let message = rest.split_once(": ").map_or(rest, |(_, message)| message);
        text = format!("{kind}{message}");
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_hop_that_fails_says_what_it_answered_and_what_to_do() {
    let cloud = Cloud::start(folder("errors"), "googleapis.com", &["h2"]).await;
    let file = |name: &str, json: &Value| named(cloud.file(name, json.to_string()));
    let alice = cloud.login("alice@example.com");
    let login = file("login.json", &alice);
    let mut other = alice.clone();
    other["client_id"] = "deleted.apps.googleusercontent.com".into();
    let other_client = file("other-client.json", &other);
    let through = and(login.clone(), IMPERSONATED, ACCOUNT);
    let for_user = and(through.clone(), USER, "alice@example.com");
    let unknown = and(login.clone(), IMPERSONATED, "nobody@emulator.iam.gserviceaccount.com");
    let machine = vec![("GCE_METADATA_HOST", cloud.emulator.address().to_string())];
    let pool = from_file(&cloud);
    let ci = file("ci.json", &pool);
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut changed = pool.clone();
        change(&mut changed);
        file(name, &changed)
    };
    let audience = changed("audience.json", &|file| file["audience"] = "//example.com/pool".into());
    let missing = changed("missing.json", &|file| file["credential_source"] = json!({"file": "DIR/none"}));
    let format = json!({"type": "json", "subject_token_field_name": "token"});
    let not_json = changed("not-json.json", &|file| file["credential_source"]["format"] = format.clone());
    let clear = changed("clear.json", &|file| file["token_url"] = "http://sts.googleapis.com/v1/token".into());
    let certificate = changed("certificate.json", &|file| file["credential_source"] = json!({"certificate": {}}));
    let account =
        changed("account.json", &|file| file["service_account_impersonation_url"] = "https://example.com".into());
    let command = |name: &str, command: &str| {
        let source = json!({"executable": {"command": format!("/bin/sh -c '{command}'")}});
        file(name, &external_account("oauth:token-type:id_token", source))
    };
    let denies = r#"echo "{\"version\":1,\"success\":false,\"code\":\"401\",\"message\":\"Log in first.\"}""#;
    let denies = command("denies.json", denies);
    let silent = command("silent.json", "exit 3");
    let aws = json!({"environment_id": "aws1", "regional_cred_verification_url": "https://sts.{region}.amazonaws.com"});
    let aws = file("aws.json", &external_account("aws:token-type:aws4_request", aws));
    let aws_key = and(and(aws.clone(), "AWS_REGION", "us-east-2"), "AWS_ACCESS_KEY_ID", "AKIDEMULATOR");
    let aws_key = and(aws_key, "AWS_SECRET_ACCESS_KEY", "another");
    let web = other_cloud(&[("GET /", "", "<html>")]).await;
    let web = web.trim_start_matches("http://");
    let not_google = vec![("GCE_METADATA_HOST", web.to_owned())];
    let answer = |status, body: &str| HopFault::Answer { status, body: body.to_owned() };

    let cases: Vec<(Variables, Change, &str)> = vec![
        // The login.
        (
            login.clone(),
            Set(|settings| settings.login = Login::Expired),
            "NoToken: UNAUTHENTICATED: no access token was given by the token endpoint https://oauth2.googleapis.com \
             for the login: invalid_grant: Token has been expired or revoked (credentials of DIR/login.json); the \
             login has expired, or was revoked: log in again with the command that made the file: `gchat auth \
             login`, or `gcloud auth application-default login --client-id-file=FILE --scopes=SCOPES`, with a client \
             id of your own and the scopes of Google Chat",
        ),
        (
            login.clone(),
            Set(|settings| settings.login = Login::ReauthRequired),
            "NoToken: UNAUTHENTICATED: no access token was given by the token endpoint https://oauth2.googleapis.com \
             for the login: invalid_grant: reauth related error (invalid_rapt) (credentials of DIR/login.json); the \
             organization wants its users to log in anew from time to time (Admin console, Security, Google Cloud \
             session control): log in again with the command that made the file: `gchat auth login`, or `gcloud auth \
             application-default login --client-id-file=FILE --scopes=SCOPES`, with a client id of your own and the \
             scopes of Google Chat; what runs without a person should use a service account",
        ),
        (
            other_client,
            Nothing,
            "NoToken: UNAUTHENTICATED: no access token was given by the token endpoint https://oauth2.googleapis.com \
             for the login: invalid_client: The OAuth client was not found (credentials of DIR/other-client.json); \
             the client id of the login was deleted, or its secret was changed: log in again with the command that \
             made the file: `gchat auth login`, or `gcloud auth application-default login --client-id-file=FILE \
             --scopes=SCOPES`, with a client id of your own and the scopes of Google Chat",
        ),
        // IAM.
        (
            through.clone(),
            Set(|settings| settings.token_creators = Some(Vec::new())),
            "NoToken: UNAUTHENTICATED: no access token was given by IAM (https://iamcredentials.googleapis.com): \
             PERMISSION_DENIED: Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not \
             exist) (reason IAM_PERMISSION_DENIED); grant the role roles/iam.serviceAccountTokenCreator on \
             chat-app@emulator.iam.gserviceaccount.com to whoever impersonates it: gcloud iam service-accounts \
             add-iam-policy-binding chat-app@emulator.iam.gserviceaccount.com \
             --role=roles/iam.serviceAccountTokenCreator '--member=user:EMAIL'; that can take some minutes to take \
             effect",
        ),
        (
            for_user.clone(),
            Set(|settings| settings.token_creators = Some(Vec::new())),
            "NoToken: UNAUTHENTICATED: no access token was given by IAM (https://iamcredentials.googleapis.com): \
             PERMISSION_DENIED: Permission 'iam.serviceAccounts.signJwt' denied on resource (or it may not exist) \
             (reason IAM_PERMISSION_DENIED); grant the role roles/iam.serviceAccountTokenCreator on \
             chat-app@emulator.iam.gserviceaccount.com to whoever impersonates it: gcloud iam service-accounts \
             add-iam-policy-binding chat-app@emulator.iam.gserviceaccount.com \
             --role=roles/iam.serviceAccountTokenCreator '--member=user:EMAIL'; that can take some minutes to take \
             effect",
        ),
        (
            ci.clone(),
            Set(|settings| settings.token_creators = Some(Vec::new())),
            "NoToken: UNAUTHENTICATED: no access token was given by IAM (https://iamcredentials.googleapis.com): \
             PERMISSION_DENIED: Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not \
             exist) (reason IAM_PERMISSION_DENIED) (credentials of DIR/ci.json); grant the role \
             roles/iam.serviceAccountTokenCreator on chat-app@emulator.iam.gserviceaccount.com to whoever \
             impersonates it: gcloud iam service-accounts add-iam-policy-binding \
             chat-app@emulator.iam.gserviceaccount.com --role=roles/iam.serviceAccountTokenCreator \
             '--member=principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/*'; \
             that can take some minutes to take effect",
        ),
        (
            machine.clone(),
            Set(|settings| settings.token_creators = Some(Vec::new())),
            "NoToken: UNAUTHENTICATED: no access token was given by IAM (https://iamcredentials.googleapis.com): \
             PERMISSION_DENIED: Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not \
             exist) (reason IAM_PERMISSION_DENIED); grant the role roles/iam.serviceAccountTokenCreator on \
             chat-app@emulator.iam.gserviceaccount.com to itself: gcloud iam service-accounts add-iam-policy-binding \
             chat-app@emulator.iam.gserviceaccount.com --role=roles/iam.serviceAccountTokenCreator \
             '--member=serviceAccount:chat-app@emulator.iam.gserviceaccount.com'; that can take some minutes to take \
             effect",
        ),
        (
            through.clone(),
            Set(|settings| settings.iam_enabled = false),
            "NoToken: UNAUTHENTICATED: no access token was given by IAM (https://iamcredentials.googleapis.com): \
             PERMISSION_DENIED: IAM Service Account Credentials API has not been used in project emulator before or \
             it is disabled (reason SERVICE_DISABLED); enable the IAM Service Account Credentials API in the \
             project: gcloud services enable iamcredentials.googleapis.com",
        ),
        (
            unknown,
            Nothing,
            "NoToken: UNAUTHENTICATED: no access token was given by IAM (https://iamcredentials.googleapis.com): \
             NOT_FOUND: Not found; Gaia id not found for email nobody@emulator.iam.gserviceaccount.com; check the \
             address of the service account, nobody@emulator.iam.gserviceaccount.com",
        ),
        (
            through.clone(),
            Fault(
                Hop::Iam,
                answer(
                    403,
                    r#"{"error":{"code":403,"message":"Request had insufficient authentication scopes.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"ACCESS_TOKEN_SCOPE_INSUFFICIENT","domain":"googleapis.com"}]}}"#,
                ),
            ),
            "NoToken: UNAUTHENTICATED: no access token was given by IAM (https://iamcredentials.googleapis.com): \
             PERMISSION_DENIED: Request had insufficient authentication scopes (reason \
             ACCESS_TOKEN_SCOPE_INSUFFICIENT); the credentials that impersonate it need the scope \
             https://www.googleapis.com/auth/cloud-platform: log in again with it among --scopes",
        ),
        (
            machine.clone(),
            Set(|settings| settings.metadata_scopes = vec!["devstorage.read_only".to_owned()]),
            "NoToken: UNAUTHENTICATED: no access token was given by IAM (https://iamcredentials.googleapis.com): \
             PERMISSION_DENIED: Request had insufficient authentication scopes (reason \
             ACCESS_TOKEN_SCOPE_INSUFFICIENT); the metadata server gives no token with the scope that IAM needs; set \
             the machine's access scope https://www.googleapis.com/auth/cloud-platform (gcloud compute instances \
             set-service-account INSTANCE --scopes=cloud-platform)",
        ),
        // Domain-wide delegation.
        (
            for_user.clone(),
            Set(|settings| settings.delegated_scopes = Some(Vec::new())),
            "NotDelegated: UNAUTHENTICATED: no access token was given by the token endpoint \
             https://oauth2.googleapis.com: unauthorized_client: Client is unauthorized to retrieve access tokens \
             using this method, or client not authorized for any of the scopes requested; an administrator must \
             allow the client id of chat-app@emulator.iam.gserviceaccount.com (`gcloud iam service-accounts describe \
             chat-app@emulator.iam.gserviceaccount.com --format='value(oauth2ClientId)'` prints it) the scopes \
             https://www.googleapis.com/auth/chat.spaces.create in the Admin console, under Security, API controls, \
             Domain-wide delegation, before it can act for alice@example.com; that can take a day to take effect",
        ),
        (
            for_user.clone(),
            Set(|settings| settings.users = Some(Vec::new())),
            "NoToken: UNAUTHENTICATED: no access token was given by the token endpoint \
             https://oauth2.googleapis.com: invalid_grant: Invalid email or User ID; alice@example.com is no user of \
             the organization",
        ),
        // The metadata server.
        (
            machine.clone(),
            Set(|settings| settings.metadata_account = None),
            "NoToken: UNAUTHENTICATED: no access token was given by the metadata server http://HOST: HTTP 404 Not \
             Found; let the machine run as a service account, with the access scope \
             https://www.googleapis.com/auth/cloud-platform (gcloud compute instances set-service-account INSTANCE \
             --service-account=EMAIL --scopes=cloud-platform)",
        ),
        (
            machine.clone(),
            Set(|settings| settings.metadata_account = Some("emulator.svc.id.goog".to_owned())),
            "NoToken: UNAUTHENTICATED: no access token was given by the metadata server http://HOST: it names a \
             workload pool in place of a service account's address; let the machine run as a service account: \
             annotate the pod's Kubernetes service account with iam.gke.io/gcp-service-account, or give the service \
             or the instance one (--service-account)",
        ),
        (
            not_google,
            Nothing,
            "Unavailable: UNAVAILABLE: no access token was given by the metadata server http://OTHER: what \
             answers there is no metadata server (Metadata-Flavor: Google) after 5 attempts; try again with the same \
             request id, which creates no second space",
        ),
        (
            vec![("GCE_METADATA_HOST", "not a host".to_owned())],
            Nothing,
            "NoCredentials: UNAUTHENTICATED: no credentials were found (GOOGLE_APPLICATION_CREDENTIALS is not set, \
             there is no file DIR/.config/gcloud/application_default_credentials.json, and GCE_METADATA_HOST is not \
             HOST or HOST:PORT; set it to one of these, or unset it); give some in one of three ways: a credentials \
             file (set GOOGLE_APPLICATION_CREDENTIALS to a service account's key, or to what gcloud or your CI has \
             written), application default credentials (`gcloud auth application-default login` with a client of \
             your own and the Chat scopes), or an access token",
        ),
        // STS.
        (
            ci.clone(),
            Set(|settings| settings.subject_tokens = Some(Vec::new())),
            "NoToken: UNAUTHENTICATED: no access token was given by STS (https://sts.googleapis.com): invalid_grant: \
             The ID Token was issued by an issuer that the provider does not trust (credentials of DIR/ci.json); see \
             that the file DIR/subject-token gives a token that is still valid, with the issuer, the audience and \
             the attributes that the workload identity pool's provider wants (gcloud iam workload-identity-pools \
             providers describe)",
        ),
        (
            audience,
            Nothing,
            "NoToken: UNAUTHENTICATED: no access token was given by STS (https://sts.googleapis.com): \
             invalid_target: The target service indicated by the \"audience\" parameters is invalid (credentials of \
             DIR/audience.json); check the file's audience: the workload identity pool and its provider must exist \
             and be enabled",
        ),
        (
            ci.clone(),
            Fault(Hop::Sts, answer(200, "{}")),
            "Unavailable: UNAVAILABLE: no access token was given by STS (https://sts.googleapis.com): HTTP 200 OK \
             without an access_token (credentials of DIR/ci.json) after 5 attempts; try again with the same request \
             id, which creates no second space",
        ),
        (
            aws_key,
            Nothing,
            "NoToken: UNAUTHENTICATED: no access token was given by STS (https://sts.googleapis.com): invalid_grant: \
             The signature of the AWS request does not match (credentials of DIR/aws.json); see that AWS (the \
             variables of the environment, or the instance's metadata) gives a token that is still valid, with the \
             issuer, the audience and the attributes that the workload identity pool's provider wants (gcloud iam \
             workload-identity-pools providers describe)",
        ),
        // Who gives the subject token.
        (
            missing,
            Nothing,
            "NoToken: UNAUTHENTICATED: no subject token was given by the file DIR/none: No such file or directory \
             (os error 2) (credentials of DIR/missing.json); check the credential_source of the credentials file, \
             and what is to give the token",
        ),
        (
            not_json,
            Nothing,
            "NoToken: UNAUTHENTICATED: no subject token was given by the file DIR/subject-token: it is not JSON, as \
             the format says (credentials of DIR/not-json.json); check the credential_source of the credentials \
             file, and what is to give the token",
        ),
        (
            denies.clone(),
            Nothing,
            "NoToken: UNAUTHENTICATED: no subject token was given by the executable /bin/sh: it may not be run \
             (credentials of DIR/denies.json); set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 to allow it, if you \
             know who wrote the credentials file: the file says what is run",
        ),
        (
            and(denies, ALLOW, "1"),
            Nothing,
            "NoToken: UNAUTHENTICATED: no subject token was given by the executable /bin/sh: it says: 401 Log in \
             first. (credentials of DIR/denies.json); check the credential_source of the credentials file, and what \
             is to give the token",
        ),
        (
            and(silent, ALLOW, "1"),
            Nothing,
            "NoToken: UNAUTHENTICATED: no subject token was given by the executable /bin/sh: it does not print the \
             JSON of a token (credentials of DIR/silent.json); check the credential_source of the credentials file, \
             and what is to give the token",
        ),
        (
            aws,
            Nothing,
            "NoToken: UNAUTHENTICATED: neither the environment (AWS_REGION) nor the credentials file says the region \
             of AWS (credentials of DIR/aws.json); set AWS_REGION",
        ),
        // The file.
        (
            clear,
            Nothing,
            "NoCredentials: UNAUTHENTICATED: GOOGLE_APPLICATION_CREDENTIALS: the credentials cannot be used: its \
             token_url would send tokens in clear text; use https, or a loopback address; make the file anew, or \
             name another one with GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (
            certificate,
            Nothing,
            "NoCredentials: UNAUTHENTICATED: GOOGLE_APPLICATION_CREDENTIALS: the credentials cannot be used: its \
             credential_source has no file, url, executable or environment_id; other kinds, such as certificate, are \
             not supported; make the file anew, or name another one with GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (
            account,
            Nothing,
            "NoCredentials: UNAUTHENTICATED: GOOGLE_APPLICATION_CREDENTIALS: the credentials cannot be used: its \
             service_account_impersonation_url does not end with /serviceAccounts/EMAIL:generateAccessToken; make \
             the file anew, or name another one with GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (
            file("type.json", &json!({"type": "other"})),
            Nothing,
            "NoCredentials: UNAUTHENTICATED: GOOGLE_APPLICATION_CREDENTIALS: the credentials cannot be used: its \
             type is not known; use the key of a service account (type service_account), or a file that gcloud has \
             written; make the file anew, or name another one with GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (
            file("gdch.json", &json!({"type": "gdch_service_account"})),
            Nothing,
            "NoCredentials: UNAUTHENTICATED: GOOGLE_APPLICATION_CREDENTIALS: the credentials cannot be used: \
             credentials of the type gdch_service_account are not supported; make the file anew, or name another one \
             with GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (
            file("member.json", &json!({"type": "authorized_user"})),
            Nothing,
            "NoCredentials: UNAUTHENTICATED: GOOGLE_APPLICATION_CREDENTIALS: the credentials cannot be used: it has \
             no client_id; make or download the file again; make the file anew, or name another one with \
             GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (
            named("DIR/none.json".to_owned()),
            Nothing,
            "NoCredentials: UNAUTHENTICATED: GOOGLE_APPLICATION_CREDENTIALS: the file cannot be read: No such file \
             or directory (os error 2); make the file anew, or name another one with GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (
            named(alice.to_string()),
            Nothing,
            "NoCredentials: UNAUTHENTICATED: GOOGLE_APPLICATION_CREDENTIALS: it holds JSON where the path of a \
             credentials file belongs; write the JSON to a file, or give it to Credentials::from_json; make the file \
             anew, or name another one with GOOGLE_APPLICATION_CREDENTIALS",
        ),
    ];
    let (mut wrong, count) = (String::new(), cases.len());
    for (set, change, text) in cases {
        cloud.emulator.clear_faults();
        cloud.emulator.configure(|settings| {
            *settings = Settings::default();
            settings.anonymous = false;
            if let Set(change) = change {
                change(settings);
            }
        });
        if let Fault(hop, fault) = change {
            (0..5).for_each(|_| cloud.emulator.fail_next_at(hop, fault.clone()));
        }
        let said = seen(&cloud, &outcome(&cloud, &set).await).replace(web, "OTHER");
        if said != text {
            wrong.push_str(&format!("{set:?}\n  said:     {said}\n  expected: {text}\n"));
        }
    }
    assert!(wrong.is_empty() && count > 30, "{wrong}");
}

/// The texts of a cloud's files, for credentials that are to go to the emulator without TLS.
fn at(emulator: &Emulator, json: &Value) -> Credentials {
    let mut json = json.clone();
    json["token_uri"] = "https://oauth2.googleapis.com/token".into();
    let mut text = json.to_string();
    for host in ["sts", "iamcredentials", "oauth2"] {
        text = text.replace(&format!("https://{host}.googleapis.com"), &emulator.endpoint());
    }
    Credentials::from_json(&text).unwrap()
}

/// Credentials that pass by STS and IAM, and by the token endpoint for a user.
fn three_hops(emulator: &Emulator, name: &str) -> Credentials {
    let token = folder(name);
    std::fs::write(&token, SUBJECT_TOKEN).unwrap();
    at(emulator, &external_account("oauth:token-type:jwt", json!({ "file": token })))
}

fn quick(emulator: &Emulator, credentials: Credentials) -> Client {
    let policy = RetryPolicy::default().with_initial_backoff(Duration::from_millis(2));
    Client::builder().endpoint(emulator.endpoint()).credentials(credentials).retry(policy).build().unwrap()
}

fn space(name: impl ToString) -> Space {
    Space { customer: Some("customers/my_customer".to_owned()), ..Space::named(name.to_string()) }
}

#[tokio::test]
async fn a_token_is_fetched_once_at_each_hop_however_many_wait_and_anew_when_it_is_refused() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let chat = quick(&emulator, three_hops(&emulator, "once-token"));
    let asked = || [Hop::Sts, Hop::Iam].map(|hop| emulator.requests_at(hop));
    let many = async |from: usize| {
        let calls = (from..from + 32).map(|at| {
            let chat = chat.clone();
            tokio::spawn(async move { chat.create_space(space(at)).await.map(drop) })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap().unwrap();
        }
    };
    many(0).await;
    assert_eq!(asked(), [1, 1]);
    // All tokens expire, on the servers' side alone: that of STS, too, which IAM refuses.
    emulator.fail_next(google_chat_emulator::Fault::ExpiredToken);
    many(100).await;
    assert_eq!(asked(), [2, 3]);
    // With another scope, the token of STS serves again.
    chat.stub().list_spaces(google_chat::proto::google::chat::v1::ListSpacesRequest::default()).await.unwrap();
    assert_eq!(asked(), [2, 4]);
}

#[tokio::test]
async fn what_fails_for_now_at_a_hop_is_asked_for_again_within_the_calls_time() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let answer = |status| HopFault::Answer { status, body: String::new() };
    for (at, hop) in [Hop::Sts, Hop::Iam, Hop::Token].into_iter().enumerate() {
        for fault in [answer(408), answer(429), answer(500), answer(503), HopFault::Reset] {
            let credentials = three_hops(&emulator, "again-token").for_user("alice@example.com").unwrap();
            emulator.fail_next_at(hop, fault.clone());
            let made =
                quick(&emulator, credentials).create_space(space(format!("{at} {fault:?}"))).with_response().await;
            assert_eq!(
                made.unwrap_or_else(|error| panic!("{hop:?}, {fault:?}: {error}")).attempts,
                2,
                "{hop:?}, {fault:?}"
            );
        }
        // The call's own time is the limit.
        let credentials = three_hops(&emulator, "again-token").for_user("alice@example.com").unwrap();
        emulator.fail_next_at(hop, HopFault::Latency(Duration::from_secs(5)));
        let call = quick(&emulator, credentials).create_space(space("late")).timeout(Duration::from_millis(200));
        let error = call.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{hop:?}: {error}");
        // What cannot be mended by another try is not tried again.
        let before = emulator.requests_at(hop);
        let credentials = three_hops(&emulator, "again-token").for_user("alice@example.com").unwrap();
        emulator.fail_next_at(hop, answer(400));
        let error = quick(&emulator, credentials).create_space(space("refused")).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::NoToken, 1), "{hop:?}: {error}");
        assert_eq!(emulator.requests_at(hop), before + 1, "{hop:?}");
    }
}

#[tokio::test]
async fn the_hop_that_failed_is_one_of_those_that_are_named_beforehand() {
    let emulator = Emulator::start().await.unwrap();
    let credentials = || three_hops(&emulator, "hops-token").for_user("alice@example.com").unwrap();
    let hops = credentials().hops();
    assert_eq!(hops.len(), 4, "{hops:?}");
    for (at, hop) in [(1, Hop::Sts), (2, Hop::Iam), (3, Hop::Token)] {
        emulator.fail_next_at(hop, HopFault::Answer { status: 403, body: String::new() });
        let error = credentials().try_token(&["https://www.googleapis.com/auth/chat.spaces"]).await.unwrap_err();
        assert_eq!(error.hop(), Some(&*hops[at]), "{error}");
        assert_eq!(error.kind(), TokenErrorKind::Refused);
    }
    let token = folder("hops-token");
    let missing = credentials();
    std::fs::remove_file(token).unwrap();
    let error = missing.try_token(&["https://www.googleapis.com/auth/chat.spaces"]).await.unwrap_err();
    assert_eq!(error.hop(), Some(&*hops[0]), "{error}");
}

/// Hundreds of files that are broken somewhere, and servers that repeat what they are sent.
#[tokio::test]
async fn no_part_of_a_login_or_of_a_subject_token_comes_out() {
    const SECRET: &str = "Zq3vXw8KpLr5TnYc2HdJ7sGmBf4Ua6Ee";
    let emulator = Emulator::start().await.unwrap();
    let secret = Secret::of_bytes([SECRET.as_bytes()]);
    let echo = format!(r#"{{"error":"invalid_grant","error_description":"bad token {SECRET} in '{SECRET}'"}}"#);
    let login = json!({
        "type": "authorized_user",
        "client_id": "a.apps.googleusercontent.com",
        "client_secret": SECRET,
        "refresh_token": SECRET,
        "token_uri": format!("{}/token", emulator.endpoint()),
    });
    let url = json!({"url": format!("{}/none", emulator.endpoint()), "headers": {"Authorization": format!("Bearer {SECRET}")}});
    let token = folder("secret-token");
    std::fs::write(&token, SECRET).unwrap();
    let nested = json!({
        "type": "impersonated_service_account",
        "source_credentials": login,
        "service_account_impersonation_url": impersonation_url(),
    });
    let files = [
        login.clone(),
        nested,
        external_account("oauth:token-type:jwt", url),
        external_account("oauth:token-type:jwt", json!({ "file": token })),
        json!({"type": "external_account", "client_id": "a", "client_secret": SECRET, "credential_source": {"file": token}}),
    ];
    let mut refused = 0;
    for file in files {
        let mut text = file.to_string();
        for host in ["sts", "iamcredentials", "oauth2"] {
            text = text.replace(&format!("https://{host}.googleapis.com"), &emulator.endpoint());
        }
        for text in mangled(&text).into_iter().chain([text]) {
            let what = format!("the library given {text}");
            emulator.clear_faults();
            for hop in [Hop::Token, Hop::Sts] {
                emulator.fail_next_at(hop, HopFault::Answer { status: 400, body: echo.clone() });
            }
            match Credentials::from_json(&text) {
                Err(error) => {
                    refused += 1;
                    secret.assert_kept(&format!("{error} {error:?} {error:#?}"), &what);
                }
                Ok(credentials) => {
                    secret.assert_kept(&format!("{credentials:?} {:?}", credentials.hops()), &what);
                    // Not what a broken address could lead to: it is no server of this test.
                    if text.contains(&emulator.endpoint()) {
                        let chat = quick(&emulator, credentials);
                        if let Err(error) = chat.create_space(space("a")).retry(RetryPolicy::never()).await {
                            secret.assert_kept(&format!("{error} {error:?} {:?}", error.status()), &what);
                        }
                    }
                }
            }
        }
    }
    assert!(refused > 400, "{refused}");
}

/// A client says who it is in a header, which is not the token that it asks with.
#[tokio::test]
async fn no_part_of_a_clients_secret_comes_out() {
    const SECRET: &str = "GOCSPX-q3vXw8KpLr5TnYc2HdJ7s";
    let emulator = Emulator::start().await.unwrap();
    let basic = STANDARD.encode(format!("a:{SECRET}"));
    let secret = Secret::of_bytes([SECRET.as_bytes(), basic.as_bytes()]);
    let echo = format!(r#"{{"error":"invalid_client","error_description":"bad header Basic {basic} of '{SECRET}'"}}"#);
    let token = folder("client-token");
    std::fs::write(&token, SUBJECT_TOKEN).unwrap();
    let mut pool = external_account("oauth:token-type:jwt", json!({ "file": token }));
    (pool["client_id"], pool["client_secret"]) = ("a".into(), SECRET.into());
    let workforce = json!({
        "type": "external_account_authorized_user",
        "client_id": "a",
        "client_secret": SECRET,
        "refresh_token": "1//none",
        "token_url": "https://sts.googleapis.com/v1/oauthtoken",
    });
    for file in [pool, workforce] {
        emulator.fail_next_at(Hop::Sts, HopFault::Answer { status: 400, body: echo.clone() });
        let chat = quick(&emulator, at(&emulator, &file));
        let error = chat.create_space(space("a")).retry(RetryPolicy::never()).await.unwrap_err();
        assert!(error.to_string().contains("invalid_client: bad header Basic … of …"), "{error}");
        secret.assert_kept(&format!("{error} {error:?} {:?}", error.status()), &file.to_string());
    }
}

#[test]
fn credentials_say_in_debug_what_they_are_and_no_more() {
    let login = json!({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"});
    let login = Credentials::from_json(&login.to_string()).unwrap();
    let account = login.impersonated(ACCOUNT).unwrap();
    let alice = account.for_user("alice@example.com").unwrap();
    for (credentials, debug, app) in [
        (&login, "Credentials(login)", Some(false)),
        (&account, "Credentials(service account by IAM)", Some(true)),
        (&alice, "Credentials(service account by IAM, for a user)", Some(false)),
    ] {
        assert_eq!((format!("{credentials:?}").as_str(), credentials.is_app()), (debug, app));
    }
    assert!(login.for_user("alice@example.com").unwrap_err().to_string().contains("Credentials::impersonated"));
    assert!(login.impersonated("no address").is_err());
    assert!(login.impersonated(&format!("no address,{ACCOUNT}")).is_err());
    assert!(Credentials::anonymous().impersonated(ACCOUNT).is_err());
}
