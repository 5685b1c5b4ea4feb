//! `gchat auth`, and the flags that say who calls, with every kind of credentials.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use google_chat_emulator::{Emulator, Hop, HopFault, Login};
use serde_json::{Value, json};

use super::{
    shared::cloud::{ACCOUNT, Cloud, SUBJECT_TOKEN, external_account},
    support::{answering, ended, file, folder, gchat, json_answer, text},
};

/// A desktop app's client id whose servers are an emulator.
fn client_id(emulator: &Emulator, folder: &Path) -> PathBuf {
    let base = emulator.endpoint();
    let client = json!({"installed": {
        "client_id": "rooms.apps.googleusercontent.com",
        "client_secret": "GOCSPX-a-secret-of-the-client",
        "auth_uri": format!("{base}/o/oauth2/v2/auth"),
        "token_uri": format!("{base}/token"),
    }});
    let path = folder.join("client.json");
    std::fs::write(&path, client.to_string()).unwrap();
    path
}

/// A login that waits for its browser.
struct Waiting {
    child: Child,
    stderr: BufReader<ChildStderr>,
    url: String,
}

impl Waiting {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let url = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "no address was printed: {said}");
            if line.starts_with("http") {
                break line.trim().to_owned();
            }
            said.push_str(&line);
        };
        Self { child, stderr, url }
    }

    /// How it ended, and what it said after the address.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

/// The address that a page leads to, as a browser would go there.
fn redirected(url: &str) -> String {
    let response = get(url);
    let location = response.lines().find_map(|line| line.strip_prefix("location: "));
    location.unwrap_or_else(|| panic!("{response}")).trim().to_owned()
}

fn get(url: &str) -> String {
    let (host, target) = url.strip_prefix("http://").unwrap().split_once(['/', '?']).unwrap();
    let target = if url.contains(&format!("{host}?")) { format!("?{target}") } else { target.to_owned() };
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_login_is_kept_for_its_owner_used_by_default_and_ended() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| (settings.anonymous, settings.unique_names) = (false, false));
    for paste in [false, true] {
        let home = folder(if paste { "auth-paste" } else { "auth-port" });
        let client = client_id(&emulator, &home);
        let run = |args: &[&str]| {
            let mut command = gchat(args);
            command.env("HOME", &home).env("GCHAT_ENDPOINT", emulator.endpoint());
            command
        };
        let login = [
            "auth",
            "login",
            "--no-browser",
            "--login-hint",
            "bob@example.com",
            "--client-id-file",
            client.to_str().unwrap(),
        ];
        let mut waiting = Waiting::start(run(&login));
        for part in ["code_challenge_method=S256", "access_type=offline", "redirect_uri=http%3A%2F%2F127.0.0.1%3A"] {
            assert!(waiting.url.contains(part), "{part}: {}", waiting.url);
        }
        let location = redirected(&waiting.url);
        if paste {
            // What is not of this login changes nothing.
            writeln!(waiting.child.stdin.as_mut().unwrap(), "http://127.0.0.1:1/?state=x&code=y\n{location}").unwrap();
        } else {
            let (port, _) = location.split_once('?').unwrap();
            // Browsers open connections to have them ready.
            let _idle = TcpStream::connect(port.trim_start_matches("http://")).unwrap();
            assert!(get(&format!("{port}/favicon.ico")).starts_with("HTTP/1.1 404"));
            assert!(get(&format!("{port}?state=x&code=y")).starts_with("HTTP/1.1 404"));
            assert!(get(&location).starts_with("HTTP/1.1 200"));
        }
        let (code, said) = waiting.end();
        let path = home.join(".config/gchat/login.json");
        assert!(code == Some(0) && said.contains(&format!("the login is kept in {}", path.display())), "{said}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(kept["type"], "authorized_user");

        let output = run(&["spaces", "create", "--quiet", "--display-name", "a"]).output().unwrap();
        assert_eq!(ended(&output), (0, "", ""));
        let output = run(&["auth", "status"]).output().unwrap();
        let (code, shown, _) = ended(&output);
        for part in
            ["login.json", "token:  good for ", "user:   bob@example.com", "scopes: chat.spaces chat.memberships"]
        {
            assert!(code == 0 && shown.contains(part), "{part}: {output:?}");
        }
        let output = run(&["auth", "print-access-token"]).output().unwrap();
        let token = text(&output.stdout).trim().to_owned();
        assert!(token.starts_with("ya29."), "{output:?}");
        let output = run(&["spaces", "list", "--access-token", &token]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        // A file that the environment names comes first.
        let key = file("auth-key.json", &emulator.key_file());
        let output = run(&["auth", "status"]).env("GOOGLE_APPLICATION_CREDENTIALS", &key).output().unwrap();
        assert!(text(&output.stdout).starts_with(&format!("who:    {ACCOUNT}\n")), "{output:?}");

        let refresh = kept["refresh_token"].as_str().unwrap();
        let output = run(&["auth", "logout"]).output().unwrap();
        assert!(output.status.success() && !path.exists(), "{output:?}");
        // It has ended at the server, too.
        let again = file("auth-again.json", &kept.to_string());
        let output = run(&["spaces", "list", "--credentials", again.to_str().unwrap()]).output().unwrap();
        let (code, _, error) = ended(&output);
        assert!(code == 3 && error.contains("invalid_grant") && !error.contains(refresh), "{error}");
        let output = run(&["auth", "logout"]).output().unwrap();
        assert!(output.status.code() == Some(2) && text(&output.stderr).contains("nobody is logged in"), "{output:?}");
    }
    assert_eq!(emulator.spaces().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_login_that_fails_says_why_and_leaves_nothing() {
    let emulator = Emulator::start().await.unwrap();
    let home = folder("auth-refused");
    let client = client_id(&emulator, &home);
    let login = || {
        let mut command = gchat(&["auth", "login", "--no-browser", "--client-id-file", client.to_str().unwrap()]);
        command.env("HOME", &home);
        command
    };
    emulator.configure(|settings| settings.consent = false);
    let waiting = Waiting::start(login());
    get(&redirected(&waiting.url));
    let (code, said) = waiting.end();
    assert!(code == Some(3) && said.contains("refused in the browser (access_denied)"), "{said}");
    emulator.configure(|settings| settings.consent = true);
    let body = r#"{"error":"invalid_client","error_description":"The provided client secret 'GOCSPX-a-secret-of-the-client' is invalid."}"#;
    emulator.fail_next_at(Hop::Token, HopFault::Answer { status: 401, body: body.to_owned() });
    let waiting = Waiting::start(login());
    get(&redirected(&waiting.url));
    let (code, said) = waiting.end();
    assert!(code == Some(3) && said.contains("invalid_client: The provided client secret … is invalid."), "{said}");
    assert!(!home.join(".config").exists());

    let secret = "GOCSPX-a-secret-of-the-client";
    let installed = |name: &str, uri: &str| {
        json!({"installed": {"client_id": "a", "client_secret": secret, name: uri}}).to_string()
    };
    for (client, problem) in [
        (format!(r#"{{"web":{{"client_secret":"{secret}"}}}}"#), "create one for a desktop app"),
        (format!(r#"{{"installed":{{"client_secret":"{secret}"}}}}"#), "it has no client_id"),
        (format!("\"{secret}\""), "it is not the file of an OAuth client id"),
        (format!("{{{secret}"), "the file is not JSON"),
        (installed("auth_uri", "calculator:1"), "its auth_uri is not the URL of a server by https"),
        (installed("auth_uri", "http://example.com/auth"), "its auth_uri is not the URL of a server by https"),
        (installed("token_uri", "http://example.com/token"), "its token_uri is not the URL of a server by https"),
    ] {
        std::fs::write(home.join("client.json"), client).unwrap();
        let output = login().output().unwrap();
        let (code, _, error) = ended(&output);
        assert!(code == 2 && error.contains(problem) && !error.contains(secret), "{problem}: {error}");
    }
}

#[test]
fn a_server_that_repeats_a_token_does_not_make_it_known() {
    let token = "1//0a-refresh-token-of-somebody";
    let body = format!(r#"{{"error":"invalid_request","error_description":"bad token '{token}'"}}"#);
    let (endpoint, _calls) = answering([json_answer("400 Bad Request", &body)]);
    let home = folder("auth-repeated");
    std::fs::create_dir_all(home.join(".config/gchat")).unwrap();
    let login = json!({"refresh_token": token, "token_uri": format!("{endpoint}/token")}).to_string();
    std::fs::write(home.join(".config/gchat/login.json"), login).unwrap();
    let output = gchat(&["auth", "logout"]).env("HOME", &home).output().unwrap();
    let (code, _, error) = ended(&output);
    assert!(code == 6 && error.contains("HTTP 400: invalid_request: bad token …"), "{error}");
    let args = ["doctor", "--wire", "http", "--access-token", token, "--endpoint", &endpoint];
    let output = gchat(&args).output().unwrap();
    let (_, said, error) = ended(&output);
    assert!(said.contains("tokeninfo: invalid_request: bad token …") && !error.contains(token), "{said}");
}

/// The environment of a program whose Google is an emulator.
fn at(cloud: &Cloud, args: &[&str]) -> Command {
    let mut command = gchat(args);
    command.envs(cloud.environment());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn flags_make_anybody_a_service_account_and_that_a_user() {
    let cloud = Cloud::start(folder("auth-flags"), "googleapis.com", &["h2"]).await;
    cloud.emulator.configure(|settings| settings.unique_names = false);
    let login = cloud.login("bob@example.com").to_string();
    let path = cloud.file("login.json", &login);
    let create = ["spaces", "create", "--quiet", "--display-name", "a", "--customer", "customers/my_customer"];
    let create_as_user = &create[..5];
    let impersonate = ["--impersonate-service-account", ACCOUNT];
    let subject = ["--subject", "alice@example.com"];
    let credentials = ["--credentials", &path];
    for (args, members) in [
        ([create_as_user, &credentials].concat(), 1),
        ([&create[..], &credentials, &impersonate].concat(), 0),
        ([create_as_user, &credentials, &impersonate, &subject].concat(), 1),
    ] {
        let output = at(&cloud, &args).output().unwrap();
        assert_eq!(ended(&output), (0, "", ""), "{args:?}");
        let space = cloud.emulator.spaces().pop().unwrap();
        assert_eq!(space.membership_count.unwrap().joined_direct_human_user_count, members, "{args:?}");
    }
    // The same by variables; and the machine's account, which metadata tells.
    let output = at(&cloud, create_as_user)
        .env("GCHAT_CREDENTIALS", &login)
        .env("GCHAT_IMPERSONATE_SERVICE_ACCOUNT", ACCOUNT)
        .env("GCHAT_SUBJECT", "alice@example.com")
        .env("GCHAT_QUOTA_PROJECT", "of-the-variable")
        .output();
    assert_eq!(ended(&output.unwrap()), (0, "", ""));
    let project = |cloud: &Cloud| cloud.emulator.received().pop().unwrap().headers["x-goog-user-project"].clone();
    assert_eq!(project(&cloud), "of-the-variable");
    let args = [create_as_user, &subject, &["--quota-project", "of-the-flag"]].concat();
    let output = at(&cloud, &args).env("GCE_METADATA_HOST", cloud.emulator.address().to_string()).output();
    assert_eq!(ended(&output.unwrap()), (0, "", ""));
    assert_eq!(project(&cloud), "of-the-flag");
    // What all of Google's tools look at counts for any credentials.
    let args = [create_as_user, &credentials].concat();
    let output = at(&cloud, &args).env("GOOGLE_CLOUD_QUOTA_PROJECT", "of-the-environment").output();
    assert_eq!(ended(&output.unwrap()), (0, "", ""));
    assert_eq!(project(&cloud), "of-the-environment");
    // From standard input, which can be read once.
    let reading = |args: &[&str]| {
        let mut command = at(&cloud, &[args, &["--credentials", "-"]].concat());
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(login.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert_eq!(ended(&reading(create_as_user)), (0, "", ""));
    let output = reading(&["auth", "status"]);
    assert!(ended(&output).0 == 0 && text(&output.stdout).contains("user:   bob@example.com\n"), "{output:?}");
    assert_eq!(cloud.emulator.spaces().len(), 7);

    let output = at(&cloud, &[create_as_user, &credentials, &subject].concat()).output().unwrap();
    let (code, _, error) = ended(&output);
    assert!(code == 2 && error.contains("--impersonate-service-account EMAIL"), "{error}");
    let output = at(&cloud, &[create_as_user, &["--impersonate-service-account", "nobody"]].concat()).output().unwrap();
    let (code, _, error) = ended(&output);
    assert!(code == 2 && error.contains("--impersonate-service-account: "), "{error}");
}

/// Each kind of credentials: the servers that are asked, in their order, and the first of them
/// that fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_doctor_walks_every_hop_and_names_the_first_that_fails() {
    let cloud = Cloud::start(folder("auth-doctor"), "googleapis.com", &["h2"]).await;
    let token = cloud.file("token", SUBJECT_TOKEN);
    let ci = external_account("oauth:token-type:jwt", json!({ "file": token })).to_string();
    let ci = cloud.file("ci.json", ci);
    let login = cloud.file("login.json", cloud.login("bob@example.com").to_string());
    let gives = |hop: &str| format!("ok    {hop} gives what it is asked for\n");
    let file = gives(&format!("the file {token}"));
    let metadata = gives(&format!("the metadata server http://{}", cloud.emulator.address()));
    let sts = gives("STS (https://sts.googleapis.com)");
    let iam = gives("IAM (https://iamcredentials.googleapis.com)");
    let oauth = gives("the token endpoint https://oauth2.googleapis.com");
    let for_login = gives("the token endpoint https://oauth2.googleapis.com for the login");
    let doctor = |args: &[&str], metadata: bool| -> Output {
        let mut command = at(&cloud, &[&["doctor"], args].concat());
        if metadata {
            command.env("GCE_METADATA_HOST", cloud.emulator.address().to_string());
        }
        command.output().unwrap()
    };
    let subject = ["--subject", "alice@example.com"];
    let ci = ["--credentials", &ci];
    let login = ["--credentials", &login];
    let impersonate = ["--impersonate-service-account", ACCOUNT];
    for (args, metadata_server, hops) in [
        (login.to_vec(), false, vec![&for_login]),
        ([&login[..], &impersonate].concat(), false, vec![&for_login, &iam]),
        ([&ci[..], &subject].concat(), false, vec![&file, &sts, &iam, &oauth]),
        (subject.to_vec(), true, vec![&metadata, &iam, &oauth]),
    ] {
        let output = doctor(&args, metadata_server);
        let (code, said, _) = ended(&output);
        let hops: String = hops.into_iter().map(String::as_str).collect();
        assert!(code == 0 && said.contains(&format!("\n{hops}ok    a token is given for ")), "{args:?}: {said}");
        assert!(said.contains("\nok    the token") && said.contains("A space can be created; nothing was."), "{said}");
    }
    let answer = |status| HopFault::Answer { status, body: r#"{"error":"refused"}"#.to_owned() };
    for (args, hop, before, failed) in [
        (
            &ci[..],
            Hop::Sts,
            &file,
            "fails a token is given\n      found: no access token was given by STS (https://sts",
        ),
        (
            &ci[..],
            Hop::Iam,
            &sts,
            "fails a token is given\n      found: no access token was given by IAM (https://iamc",
        ),
        (
            &login[..],
            Hop::Token,
            &String::new(),
            "found: no access token was given by the token endpoint https://oauth2",
        ),
    ] {
        cloud.emulator.fail_next_at(hop, answer(400));
        let output = doctor(args, false);
        let (code, said, _) = ended(&output);
        assert!(code == 3 && said.contains(failed) && said.contains(before.as_str()), "{args:?}: {said}");
        assert!(said.trim_end().lines().last().unwrap().starts_with("      mend:"), "{said}");
    }
    cloud.emulator.configure(|settings| settings.login = Login::Expired);
    let output = doctor(&login, false);
    assert!(text(&output.stdout).contains("fails the login is good\n"), "{output:?}");
    cloud.emulator.configure(|settings| (settings.login, settings.token_creators) = (Login::Valid, Some(Vec::new())));
    let output = doctor(&[&login[..], &impersonate].concat(), false);
    assert!(text(&output.stdout).contains("fails the service account may be impersonated\n"), "{output:?}");

    // Nobody can be asked what a token of STS is, which Google Chat does not take.
    let mut pool = external_account("oauth:token-type:jwt", json!({ "file": token }));
    pool.as_object_mut().unwrap().remove("service_account_impersonation_url");
    let pool = cloud.file("pool.json", pool.to_string());
    let output = doctor(&["--credentials", &pool], false);
    let (code, said, _) = ended(&output);
    let unknown = "?     nobody has checked the token yet: https://oauth2.googleapis.com/tokeninfo does not know the";
    assert!(code == 3 && said.contains(unknown) && said.contains("fails the token is taken"), "{said}");
    // Where gcloud gives the token, nobody else was asked.
    cloud.emulator.configure(|settings| settings.shortcuts = true);
    let program = cloud.file("bin/gcloud", "#!/bin/sh\necho user:bob@example.com\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = program.trim_end_matches("/gcloud");
    let output = at(&cloud, &["doctor"]).env("PATH", path).env("GCE_METADATA_HOST", "not a host").output().unwrap();
    let (code, said, _) = ended(&output);
    let hops = format!("\n{}ok    a token is given for ", gives("the program gcloud"));
    assert!(code == 0 && said.contains(&hops), "{said}");

    // A token is looked up where that can be done, and is not well of itself.
    let output = doctor(&["--access-token", "ya29.unknown"], false);
    let (code, said, _) = ended(&output);
    assert!(code == 3 && said.contains("fails the token is good\n      found: tokeninfo: invalid_token"), "{said}");
    let (endpoint, _calls) = answering([json_answer("404 Not Found", "{}"), json_answer("404 Not Found", "{}")]);
    let output = gchat(&["doctor", "--wire", "http", "--access-token", "a", "--endpoint", &endpoint]).output().unwrap();
    let said = text(&output.stdout);
    assert!(said.contains("?     nobody has checked the token yet") && !said.contains("ok    a token"), "{said}");
}
