//! `gchat doctor`: each thing that can be missing.

use google_chat_emulator::{Emulator, Settings};

use super::support::{answering, ended, file, gchat, json_answer, text};

/// Each thing that can be missing, in the order in which it is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_doctor_finds_what_is_missing_and_says_how_to_mend_it() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let endpoint = emulator.endpoint();
    let key = file("doctor-key.json", &emulator.key_file());
    let (app, user) = (["--credentials", key.to_str().unwrap()], ["--subject", "alice@example.com"]);
    let user = [app, user].concat();
    let doctor = |args: &[&str]| {
        let output = gchat(&[&["doctor", "--endpoint", &endpoint], args].concat()).output().unwrap();
        (output.status.code().unwrap(), text(&output.stdout).to_owned())
    };
    let (code, said) = doctor(&user);
    assert!(code == 0 && said.ends_with("A space can be created; nothing was.\n") && !said.contains("fails"), "{said}");
    let (code, said) = doctor(&app);
    assert!(code == 0 && said.contains("an administrator has approved the app"), "{said}");
    let (code, said) = doctor(&[&user[..], &["--import-mode"]].concat());
    assert!(code == 0 && said.contains("a token is given for chat.import"), "{said}");

    type Change = fn(&mut Settings);
    let nothing: Change = |_| {};
    for (args, change, step, mend) in [
        (&["--anonymous"][..], nothing, "fails the token is taken", "mend:  get a new access token"),
        (&["--access-token", "old"], nothing, "fails the token is good", "mend:  get a new token"),
        (
            &user[..],
            |settings| settings.delegated_scopes = Some(vec!["chat.spaces".to_owned()]),
            "fails domain-wide delegation allows the scopes",
            "100000000000000000001",
        ),
        (
            &user[..],
            |settings| settings.users = Some(Vec::new()),
            "fails a token is given",
            "alice@example.com is no user",
        ),
        (
            &user[..],
            |settings| settings.api_enabled = false,
            "fails the Google Chat API is enabled",
            "enable the Google",
        ),
        (
            &[&user[..], &["--scope", "chat.spaces.readonly"]].concat(),
            nothing,
            "fails the token's scopes allow it",
            "gcloud auth application-default login --client-id-file=FILE \
             --scopes=https://www.googleapis.com/auth/chat.spaces.create",
        ),
        (
            &user[..],
            |settings| settings.app_configured = false,
            "fails the Chat app is configured",
            "configure the Chat",
        ),
        (&app[..], |settings| settings.app_approved = false, "fails an administrator has", "have an administrator"),
    ] {
        emulator.configure(|settings| {
            *settings = Settings::default();
            settings.anonymous = false;
            change(settings);
        });
        let (code, said) = doctor(args);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(step) && said.contains(mend), "{step}: {said}");
        // It stops there.
        assert!(said.trim_end().lines().last().unwrap().starts_with("      mend:"), "{said}");
    }
    assert_eq!(emulator.spaces().len(), 0);
    // Quota comes back by itself.
    emulator.configure(|settings| {
        *settings = Settings::default();
        settings.writes_per_minute = Some(0);
    });
    let (code, said) = doctor(&["--anonymous"]);
    assert!(code == 6 && said.contains("found: RESOURCE_EXHAUSTED: "), "{code}: {said}");
    emulator.configure(|settings| settings.anonymous = false);
    let output = gchat(&["doctor", "--anonymous", "--endpoint", "http://127.0.0.1:9"]).output().unwrap();
    let (code, said, _) = ended(&output);
    assert!(code == 6 && said.contains("fails the API is reached"), "{said}");
    let output = gchat(&["doctor", "--endpoint", &endpoint]).output().unwrap();
    let (code, said, _) = ended(&output);
    assert!(code == 3 && said.contains("fails credentials are found") && said.contains("gcloud auth"), "{said}");
}

/// The message of a wrong setting says what to do, and another try does not help.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_doctor_says_once_what_is_wrong_with_a_connection() {
    let emulator = Emulator::builder().tls().start().await.unwrap();
    let endpoint = emulator.endpoint();
    for wire in ["grpc", "http"] {
        let output = gchat(&["doctor", "--anonymous", "--endpoint", &endpoint, "--wire", wire]).output().unwrap();
        let (code, said, error) = ended(&output);
        assert_eq!((code, error), (1, "gchat: the API is not reached, until the setting is corrected\n"), "{said}");
        let failed = said.split_once("fails the API is reached\n      found: UNAVAILABLE: ").map(|(_, found)| found);
        assert!(failed.is_some_and(|found| found.contains("is by an issuer that is not trusted here")), "{said}");
        assert!(!said.contains("mend:"), "{said}");
    }
}

/// An endpoint where something else answers, such as a web server.
#[test]
fn the_doctor_tells_what_is_not_the_api() {
    for (status, exit, found, mend) in [
        ("200 OK", 6, "fails the API is reached\n      found: INTERNAL: ", "check the endpoint, and whether a proxy"),
        ("404 Not Found", 3, "found: NOT_FOUND: ", "check the endpoint, and that the Chat app is configured"),
    ] {
        let (endpoint, _calls) = answering([json_answer(status, "<html>")]);
        let output = gchat(&["doctor", "--anonymous", "--endpoint", &endpoint, "--wire", "http"]).output().unwrap();
        let (code, said, _) = ended(&output);
        assert!(code == exit && said.contains(found) && said.contains(&format!("mend:  {mend}")), "{code}: {said}");
    }
}
