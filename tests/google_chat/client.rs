//! The client's promises: tokens, request ids, retries, deadlines, errors, on
//! both wires and through the bare stub.

use std::{sync::Arc, time::Duration};

use google_chat::{
    Client, ClientBuilder, CreateSpaceRequest, Credentials, ErrorKind, Space, Wire,
    grpc_transcoding::client::{Connector, Origin},
    layer::RetryPolicy,
    proto::google::chat::v1::{
        DeleteSpaceRequest, GetSpaceRequest, SearchMessagesRequest, UpdateSpaceRequest, space::SpaceType,
    },
};
use google_chat_emulator::{Emulator, Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

const WIRES: [Wire; 2] = [Wire::Grpc, Wire::HttpJson];

/// The default policy, without its waits.
fn quick() -> RetryPolicy {
    let policy = RetryPolicy::default().with_initial_backoff(Duration::from_millis(2));
    policy.with_maximum_backoff(Duration::from_millis(10))
}

fn builder(emulator: &Emulator, wire: Wire) -> ClientBuilder {
    Client::builder().endpoint(emulator.endpoint()).credentials(Credentials::anonymous()).wire(wire).retry(quick())
}

fn app(emulator: &Emulator) -> Credentials {
    emulator.credentials().unwrap()
}

fn user(emulator: &Emulator) -> Credentials {
    app(emulator).for_user("alice@example.com").unwrap()
}

#[tokio::test]
async fn a_call_is_made_again_where_that_creates_no_second_space() {
    for wire in WIRES {
        for (fault, attempts) in [
            (Fault::Unavailable, 2),
            (Fault::ResetBefore, 2),
            (Fault::ResetAfter, 2),
            (Fault::Truncated, 2),
            (Fault::QuotaExceeded { retry_after: Some(0) }, 2),
            (Fault::Latency(Duration::from_millis(1)), 1),
        ] {
            let emulator = Emulator::start().await.unwrap();
            let chat = builder(&emulator, wire).build().unwrap();
            emulator.fail_next(fault.clone());
            let made = chat.create_space(Space::named("a")).with_response().await;
            let made = made.unwrap_or_else(|error| panic!("{wire} {fault:?}: {error}"));
            assert_eq!((made.attempts, made.request_id.len()), (attempts, 36), "{wire} {fault:?}");
            assert_eq!(emulator.spaces(), [made.message], "{wire} {fault:?}");
            // The bare stub has the same.
            emulator.fail_next(fault.clone());
            let made = chat.stub().create_space(CreateSpaceRequest::from(Space::named("b"))).await.unwrap();
            assert_eq!(emulator.spaces().len(), 2, "{wire} {fault:?}");
            let previous = made.metadata().get("grpc-previous-rpc-attempts").map(|value| value.to_str().unwrap());
            assert_eq!(previous, (attempts == 2).then_some("1"), "{wire} {fault:?}");
        }
    }
}

#[tokio::test]
async fn without_a_request_id_a_lost_answer_is_an_error() {
    for wire in WIRES {
        let emulator = Emulator::start().await.unwrap();
        let chat = builder(&emulator, wire).fill_request_ids(false).build().unwrap();
        emulator.fail_next(Fault::ResetAfter);
        let error = chat.create_space(Space::named("a")).await.unwrap_err();
        assert_eq!((error.code(), error.attempts(), error.request_id()), (Code::Unavailable, 1, ""), "{error}");
        assert_eq!(emulator.spaces().len(), 1);
        // The caller's own request id does as well.
        emulator.fail_next(Fault::ResetAfter);
        let made = chat.create_space(Space::named("own")).request_id("own").with_response().await.unwrap();
        assert_eq!((made.attempts, emulator.spaces().len()), (2, 2));
        // The server's own word that nothing was done is enough.
        emulator.fail_next(Fault::Unavailable);
        chat.create_space(Space::named("b")).await.unwrap();
        assert_eq!(emulator.spaces().len(), 3);
    }
}

/// Reading needs no request id to be made again.
#[tokio::test]
async fn what_only_reads_is_made_again_where_an_answer_is_lost() {
    for wire in WIRES {
        let emulator = Emulator::start().await.unwrap();
        let chat = builder(&emulator, wire).build().unwrap();
        let name = chat.create_space(Space::named("a")).await.unwrap().name;
        emulator.fail_next(Fault::ResetAfter);
        chat.stub().get_space(GetSpaceRequest { name: name.clone(), ..GetSpaceRequest::default() }).await.unwrap();
        // What changes something is not.
        emulator.fail_next(Fault::ResetAfter);
        let lost = chat.stub().delete_space(DeleteSpaceRequest { name, ..Default::default() }).await;
        assert_eq!(lost.unwrap_err().code(), Code::Unavailable);
        assert_eq!(emulator.received().len(), 4, "{wire}");
    }
}

/// A search is a POST, since its filter may be long.
#[tokio::test]
async fn a_search_is_made_again_as_what_only_reads() {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let kept = Arc::clone(&asked);
    let proxy = tower::service_fn(move |_: http::Request<http_body_util::Full<bytes::Bytes>>| {
        let first = kept.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(2);
        let answer = http::Response::builder().status(if first { 502 } else { 200 });
        std::future::ready(answer.body(http_body_util::Full::new(bytes::Bytes::from_static(b"{}"))))
    });
    let chat = Client::builder().credentials(Credentials::anonymous()).retry(quick()).build_over(proxy).unwrap();
    chat.search_messages(SearchMessagesRequest::of("spaces/-", "launch")).await.unwrap();
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 2);
    let error = chat.delete_message("spaces/a/messages/b").await.unwrap_err();
    assert_eq!(error.attempts(), 1, "{error}");
    assert_eq!(error.advice().as_deref(), Some("the call may have been carried out: look before you make it again"));
}

/// AIP-4222; the values are as Google's own clients send them.
#[tokio::test]
async fn calls_say_which_resource_they_are_about() {
    for wire in WIRES {
        let emulator = Emulator::start().await.unwrap();
        let chat = builder(&emulator, wire).build().unwrap();
        let space = chat.create_space(Space::named("a")).await.unwrap();
        let mut stub = chat.stub();
        stub.get_space(GetSpaceRequest { name: space.name.clone(), ..Default::default() }).await.unwrap();
        let renamed = Space { display_name: "b".to_owned(), ..space.clone() };
        let update_mask = Some(prost_types::FieldMask { paths: vec!["display_name".to_owned()] });
        let update = UpdateSpaceRequest { space: Some(renamed), update_mask, use_admin_access: false };
        stub.update_space(update).await.unwrap();
        let _ = stub.get_space(GetSpaceRequest { name: "spaces/\u{e9}&b".to_owned(), ..Default::default() }).await;
        let sent: Vec<_> = emulator
            .received()
            .iter()
            .map(|call| call.headers.get("x-goog-request-params").map(|value| value.to_str().unwrap().to_owned()))
            .collect();
        let about = Some(format!("name={}", space.name));
        let updated = Some(format!("space.name={}", space.name));
        assert_eq!(sent, [None, about, updated, Some("name=spaces/%C3%A9%26b".to_owned())], "{wire}");
    }
}

#[tokio::test]
async fn what_another_attempt_cannot_mend_is_not_made_again() {
    for wire in WIRES {
        let emulator = Emulator::start().await.unwrap();
        let chat = builder(&emulator, wire).build().unwrap();
        chat.create_space(Space::named("a")).await.unwrap();
        let error = chat.create_space(Space::named("a")).await.unwrap_err();
        assert_eq!((error.code(), error.attempts()), (Code::AlreadyExists, 1), "{error}");
        let text = error.to_string();
        assert!(text.contains("choose another display name"), "{text}");
        let status = (wire == Wire::HttpJson).then_some(409);
        assert_eq!(error.http_status(), status, "{wire}");
        for _ in 0..2 {
            emulator.fail_next(Fault::Unavailable);
        }
        let error = chat.create_space(Space::named("b")).retry(RetryPolicy::never()).await.unwrap_err();
        assert_eq!((error.code(), error.attempts()), (Code::Unavailable, 1), "{error}");
        let two = quick().with_attempts(2);
        emulator.fail_next(Fault::Unavailable);
        let error = chat.create_space(Space::named("b")).retry(two).await.unwrap_err();
        assert_eq!((error.code(), error.attempts()), (Code::Unavailable, 2), "{error}");
        assert!(error.to_string().contains("after 2 attempts"), "{error}");
    }
    // A page of HTML with HTTP 500 is INTERNAL; over gRPC it names the other wire.
    let emulator = Emulator::start().await.unwrap();
    for (wire, text) in [(Wire::HttpJson, "HTTP 500"), (Wire::Grpc, "try the HTTP/JSON wire")] {
        emulator.fail_next(Fault::Html);
        let chat = builder(&emulator, wire).fill_request_ids(false).build().unwrap();
        let error = chat.create_space(Space::named("a")).await.unwrap_err();
        assert!(error.attempts() == 1 && error.to_string().contains(text), "{error}");
        let kind = if wire == Wire::Grpc { ErrorKind::NotTheApi } else { ErrorKind::Other };
        assert_eq!(error.kind(), kind, "{error}");
    }
}

/// A page of HTML with HTTP 500 does not say whether the space was created; with a request
/// id the call can be made again, within the policy's limit.
#[tokio::test]
async fn an_unclear_answer_is_asked_for_again_where_there_is_a_request_id() {
    for wire in WIRES {
        let emulator = Emulator::start().await.unwrap();
        let chat = builder(&emulator, wire).build().unwrap();
        let fail = |times: usize| (0..times).for_each(|_| emulator.fail_next(Fault::Html));
        fail(1);
        let made = chat.create_space(Space::named("a")).with_response().await.unwrap();
        assert_eq!(made.attempts, 2, "{wire}");
        for (unclear, attempts) in [(0, 1), (1, 2), (2, 3), (9, 5)] {
            let policy = quick().with_unclear_attempts(unclear);
            fail(attempts);
            let error = chat.create_space(Space::named("b")).retry(policy).await.unwrap_err();
            assert_eq!(error.attempts() as usize, attempts, "{wire}, {unclear}: {error}");
        }
        // A call that only reads has none, and its caller asks again.
        fail(1);
        let request = GetSpaceRequest { name: made.message.name.clone(), ..Default::default() };
        chat.stub().get_space(request.clone()).await.unwrap_err();
        chat.stub().get_space(request).await.unwrap();
        assert_eq!(emulator.spaces().len(), 1, "{wire}");
    }
}

/// A tenth of all attempts fail, before or after the space was created.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_creates_with_faults_leave_a_thousand_spaces() {
    for (wire, seed) in [(Wire::Grpc, 1), (Wire::HttpJson, 2)] {
        let emulator = Emulator::start().await.unwrap();
        emulator.fail_share(0.1, seed, &[Fault::ResetBefore, Fault::ResetAfter, Fault::Unavailable]);
        let policy = quick().with_attempts(20);
        let chat = builder(&emulator, wire).retry(policy).build().unwrap();
        let calls = (0..8).map(|worker| {
            let chat = chat.clone();
            tokio::spawn(async move {
                let mut attempts = 0;
                for at in 0..125 {
                    let made = chat.create_space(Space::named(format!("{worker} {at}"))).with_response().await;
                    attempts += made.unwrap_or_else(|error| panic!("{error}")).attempts;
                }
                attempts
            })
        });
        let mut attempts = 0;
        for call in calls.collect::<Vec<_>>() {
            attempts += call.await.unwrap();
        }
        assert_eq!(emulator.spaces().len(), 1_000, "{wire}");
        assert!(attempts > 1_050, "{wire}: {attempts} attempts");
    }
}

#[tokio::test]
async fn a_deadline_holds_over_all_attempts() {
    for wire in WIRES {
        let emulator = Emulator::start().await.unwrap();
        let chat = builder(&emulator, wire).build().unwrap();
        for _ in 0..3 {
            emulator.fail_next(Fault::Latency(Duration::from_secs(60)));
        }
        let begun = std::time::Instant::now();
        let error = chat.create_space(Space::named("a")).timeout(Duration::from_millis(60)).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
        assert!(error.to_string().contains("try again with the same request id"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10));
        // An attempt that takes too long is given up for another.
        // On a busy machine, more of them take too long.
        let policy = quick().with_attempt_timeout(Duration::from_millis(60)).with_attempts(1_000);
        let made = chat.create_space(Space::named("b")).retry(policy).with_response().await.unwrap();
        assert!(made.attempts >= 3, "{wire}: {} attempts", made.attempts);
    }
}

#[tokio::test]
async fn quota_is_waited_for_where_the_caller_says_so() {
    for wire in WIRES {
        let emulator = Emulator::start().await.unwrap();
        let chat = builder(&emulator, wire).build().unwrap();
        let exhaust =
            |times: usize| (0..times).for_each(|_| emulator.fail_next(Fault::QuotaExceeded { retry_after: None }));
        exhaust(5);
        let error = chat.create_space(Space::named("a")).await.unwrap_err();
        assert!(error.is_quota_exceeded() && error.attempts() == 5, "{error}");
        assert_eq!(error.reason(), Some("RATE_LIMIT_EXCEEDED"));
        assert!(error.to_string().contains("60 spaces a minute"), "{error}");
        let policy = quick().with_quota_wait(Duration::from_secs(60));
        exhaust(8);
        let made = chat.create_space(Space::named("a")).retry(policy).with_response().await.unwrap();
        assert_eq!(made.attempts, 9);
    }
}

#[tokio::test]
async fn a_key_acts_as_the_app_and_for_users() {
    for wire in WIRES {
        let emulator = Emulator::start().await.unwrap();
        emulator.configure(|settings| settings.anonymous = false);
        let chat = |credentials| builder(&emulator, wire).credentials(credentials).build().unwrap();
        let error = chat(Credentials::anonymous()).create_space(Space::named("a")).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::Unauthenticated, Some("CREDENTIALS_MISSING")));
        let customer = Some("customers/my_customer".to_owned());
        let space = chat(app(&emulator)).create_space(Space { customer, ..Space::named("a") }).await.unwrap();
        assert_eq!(space.membership_count.unwrap().joined_direct_human_user_count, 0);
        let space = chat(user(&emulator)).create_space(Space::named("b")).await.unwrap();
        assert_eq!(space.membership_count.unwrap().joined_direct_human_user_count, 1);
        // In import mode the scope is another.
        emulator.configure(|settings| settings.import_scope_required = true);
        let import = Space { import_mode: true, ..Space::named("c") };
        assert!(chat(user(&emulator)).create_space(import).await.unwrap().import_mode_expire_time.is_some());
        let group = Space { import_mode: true, space_type: SpaceType::GroupChat as i32, ..Space::default() };
        chat(user(&emulator)).create_space(group).await.unwrap();
    }
}

/// A source of the caller's own: here, one that has the emulator's word for it.
#[tokio::test]
async fn a_source_of_the_callers_own_gives_tokens() {
    #[derive(Default)]
    struct Source(std::sync::Mutex<Vec<String>>);

    #[tonic::async_trait]
    impl gcp_auth::TokenProvider for Source {
        async fn token(&self, scopes: &[&str]) -> Result<Arc<gcp_auth::Token>, gcp_auth::Error> {
            self.0.lock().unwrap().extend(scopes.iter().map(|scope| (*scope).to_owned()));
            let token = r#"{"access_token":"user:carol@example.com","expires_in":3600}"#;
            Ok(Arc::new(serde_json::from_str(token).unwrap()))
        }

        async fn project_id(&self) -> Result<Arc<str>, gcp_auth::Error> {
            Err(gcp_auth::Error::Str("has none"))
        }
    }

    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| (settings.anonymous, settings.shortcuts) = (false, true));
    let source = Arc::new(Source::default());
    let chat = builder(&emulator, Wire::HttpJson).credentials(Credentials::provider(source.clone()));
    chat.scopes(["chat.spaces"]).build().unwrap().create_space(Space::named("a")).await.unwrap();
    assert_eq!(*source.0.lock().unwrap(), ["https://www.googleapis.com/auth/chat.spaces"]);
}

#[tokio::test]
async fn a_token_is_fetched_once_however_many_wait_and_anew_when_it_is_refused() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let chat = builder(&emulator, Wire::HttpJson).credentials(user(&emulator)).build().unwrap();
    let many = |from: usize| {
        let calls = (from..from + 32).map(|at| {
            let chat = chat.clone();
            tokio::spawn(async move { chat.create_space(Space::named(at.to_string())).await.map(drop) })
        });
        calls.collect::<Vec<_>>()
    };
    for call in many(0) {
        call.await.unwrap().unwrap();
    }
    assert_eq!(emulator.token_requests(), 1);
    // Under load all tokens expire on the server's side alone.
    emulator.fail_next(Fault::ExpiredToken);
    for call in many(100) {
        call.await.unwrap().unwrap();
    }
    assert_eq!((emulator.token_requests(), emulator.spaces().len()), (2, 64));
    // A token of a few seconds is used while it lives.
    emulator.configure(|settings| settings.token_lifetime = Duration::from_secs(3));
    let brief = builder(&emulator, Wire::Grpc).credentials(app(&emulator).for_user("bob@example.com").unwrap());
    let brief = brief.build().unwrap();
    for name in ["x", "y", "z"] {
        brief.create_space(Space::named(name)).await.unwrap();
    }
    assert_eq!(emulator.token_requests(), 3);
}

#[tokio::test]
async fn the_token_endpoints_refusal_says_what_to_do() {
    let emulator = Emulator::start().await.unwrap();
    let create = |credentials: Credentials| {
        let chat = builder(&emulator, Wire::HttpJson).credentials(credentials).build().unwrap();
        async move { chat.create_space(Space::named("a")).await.unwrap_err() }
    };
    emulator.configure(|settings| settings.delegated_scopes = Some(vec!["chat.import".to_owned()]));
    let error = create(user(&emulator)).await;
    assert_eq!((error.code(), error.kind()), (Code::Unauthenticated, ErrorKind::NotDelegated), "{error}");
    let text = error.to_string();
    for part in [
        "unauthorized_client: Client is unauthorized",
        "client id 100000000000000000001",
        "https://www.googleapis.com/auth/chat.spaces.create",
        "Domain-wide delegation",
        "alice@example.com",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    emulator.configure(|settings| {
        settings.delegated_scopes = None;
        settings.users = Some(vec!["bob@example.com".to_owned()]);
    });
    let error = create(user(&emulator)).await;
    assert_eq!(error.kind(), ErrorKind::NoToken);
    assert!(error.to_string().contains("alice@example.com is no user"), "{error}");
    // A token endpoint whose clock is an hour ahead of this machine's.
    let ahead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let key = emulator.key_file().replace(&emulator.address().to_string(), &ahead.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        let (mut stream, _) = ahead.accept().await.unwrap();
        let body = r#"{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}"#;
        let head =
            format!("HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
        let answer = format!("{head}\r\nconnection: close\r\n\r\n{body}");
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Until the client has read it and closes: its request is not to be cut.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    emulator.configure(|settings| settings.users = None);
    let key = Credentials::service_account_key(&key).unwrap().for_user("alice@example.com").unwrap();
    let error = create(key).await;
    assert!(error.to_string().contains("set this machine's clock"), "{error}");
}

/// What has expired by the emulator's clock is renewed by a key that signs at the real time.
#[tokio::test]
async fn a_key_gets_tokens_however_far_the_clock_was_moved() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let chat = builder(&emulator, Wire::HttpJson).credentials(user(&emulator)).build().unwrap();
    for (at, days) in [0, 100, 36_500].into_iter().enumerate() {
        emulator.advance(Duration::from_secs(days * 86_400));
        let made = chat.create_space(Space::named(format!("after {days} days"))).await;
        made.unwrap_or_else(|error| panic!("after {days} days: {error}"));
        assert_eq!(emulator.token_requests(), at + 1);
    }
}

/// By the stub as by the client: the least that allows a method.
#[tokio::test]
async fn the_scope_of_a_call_is_that_of_its_method() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let chat = builder(&emulator, Wire::Grpc).credentials(user(&emulator)).build().unwrap();
    let allow = |scope: &str| {
        emulator.configure(|settings| settings.delegated_scopes = Some(vec![scope.to_owned()]));
    };
    allow("chat.spaces.create");
    let name = chat.create_space(Space::named("a")).await.unwrap().name;
    allow("chat.spaces.readonly");
    chat.stub().get_space(GetSpaceRequest { name: name.clone(), ..Default::default() }).await.unwrap();
    chat.get_space(&name).await.unwrap();
    // What the request says counts, too.
    allow("chat.admin.spaces.readonly");
    chat.get_space(GetSpaceRequest { use_admin_access: true, ..(&name).into() }).await.unwrap();
    allow("chat.import");
    chat.create_space(Space { import_mode: true, ..Space::named("b") }).await.unwrap();
    allow("chat.delete");
    chat.stub().delete_space(DeleteSpaceRequest { name, ..Default::default() }).await.unwrap();
}

#[tokio::test]
async fn every_known_failure_says_what_to_do() {
    for wire in WIRES {
        let emulator = Emulator::start().await.unwrap();
        emulator.configure(|settings| settings.anonymous = false);
        let unchecked =
            |credentials: Credentials| builder(&emulator, wire).credentials(credentials).checks(false).build().unwrap();
        let customer = || Space { customer: Some("customers/my_customer".to_owned()), ..Space::named("a") };
        let expect = |error: google_chat::Error, kind: ErrorKind, advice: &str| {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.advice().is_some_and(|text| text.contains(advice)), "{error}");
            let text = error.to_string();
            assert!(text.contains(advice), "{advice}: {text}");
        };
        emulator.configure(|settings| settings.api_enabled = false);
        let error = unchecked(user(&emulator)).create_space(Space::named("a")).await.unwrap_err();
        expect(error, ErrorKind::ApiDisabled, "enable the Google Chat API");
        emulator.configure(|settings| (settings.api_enabled, settings.app_configured) = (true, false));
        let error = unchecked(user(&emulator)).create_space(Space::named("a")).await.unwrap_err();
        assert_eq!(error.links().len(), 1);
        expect(error, ErrorKind::AppNotConfigured, "configure the Chat app");
        emulator.configure(|settings| (settings.app_configured, settings.app_approved) = (true, false));
        let error = unchecked(app(&emulator)).create_space(customer()).await.unwrap_err();
        expect(error, ErrorKind::AppNotApproved, "have an administrator");
        emulator.configure(|settings| settings.app_approved = true);
        let error = unchecked(app(&emulator)).create_space(Space::named("a")).await.unwrap_err();
        assert_eq!(error.field_violations()[0].field, "space.customer");
        expect(error, ErrorKind::InvalidCustomer, "customers/my_customer for a private app");
        let readonly = builder(&emulator, wire).credentials(user(&emulator)).scopes(["chat.spaces.readonly"]);
        let error = readonly.build().unwrap().create_space(Space::named("a")).await.unwrap_err();
        expect(error, ErrorKind::MissingScope, "--scopes=https://www.googleapis.com/auth/chat.spaces.create");
        let as_app = builder(&emulator, wire).credentials(app(&emulator)).scopes(["chat.spaces"]).checks(false);
        let error = as_app.build().unwrap().create_space(customer()).await.unwrap_err();
        expect(error, ErrorKind::UserRequired, "act for a user");
        unchecked(user(&emulator)).create_space(Space::named("a")).request_id("one").await.unwrap();
        let bob = app(&emulator).for_user("bob@example.com").unwrap();
        let error = unchecked(bob).create_space(Space::named("b")).request_id("one").await.unwrap_err();
        assert!(error.is_request_id_of_another_user() && error.request_id() == "one");
        expect(error, ErrorKind::RequestIdOfAnotherUser, "use a new request id");
    }
}

#[tokio::test]
async fn what_is_certain_to_fail_is_not_sent_and_said_all_at_once() {
    for wire in WIRES {
        let emulator = Emulator::start().await.unwrap();
        let chat = builder(&emulator, wire).credentials(app(&emulator)).build().unwrap();
        let space = Space {
            space_details: Some(google_chat::proto::google::chat::v1::space::SpaceDetails {
                description: "d".repeat(151),
                ..Default::default()
            }),
            ..Space::named(" ")
        };
        let fields = |error: &google_chat::Error| -> Vec<String> {
            error.field_violations().iter().map(|violation| violation.field.clone()).collect()
        };
        let error = chat.create_space(space.clone()).await.unwrap_err();
        assert!(error.message().starts_with("invalid request, not sent: space.display_name is required"), "{error}");
        let all = ["space.display_name", "space.customer", "space.space_details.description"];
        assert_eq!(fields(&error), all, "{error}");
        // The stub is held to the same.
        let status = chat.stub().create_space(CreateSpaceRequest::from(space)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, error.message()));
        assert_eq!(emulator.token_requests(), 0);
        let only_import =
            builder(&emulator, wire).credentials(user(&emulator)).scopes(["chat.import"]).build().unwrap();
        let error = only_import.create_space(Space::named("a")).await.unwrap_err();
        assert_eq!(fields(&error), ["space.import_mode"]);
        // 128 characters of two UTF-16 units each: a server may take them.
        let anonymous = builder(&emulator, wire).build().unwrap();
        anonymous.create_space(Space::named("\u{1F680}".repeat(128))).await.unwrap();
        // What the server can judge by itself is left to it.
        let unchecked = builder(&emulator, wire).checks(false).build().unwrap();
        let error = unchecked.create_space(Space::named("")).await.unwrap_err();
        assert!(error.message().starts_with("Invalid request"), "{error}");
    }
}

#[tokio::test]
async fn a_key_whose_lines_were_lost_on_the_way_is_taken() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let good = emulator.key_file();
    let parsed: serde_json::Value = serde_json::from_str(&good).unwrap();
    let between = |between: &str| {
        let mut key = parsed.clone();
        key["private_key"] = key["private_key"].as_str().unwrap().replace('\n', between).into();
        key.to_string()
    };
    for (form, key) in [
        ("as it is", good.clone()),
        ("with a byte order mark", format!("\u{feff}{good}")),
        ("without its type", good.replace("\"type\": \"service_account\",", "")),
        ("\\n in letters", between("\\n")),
        ("\\n in letters, twice escaped", between("\\\\n")),
        ("\\r\\n in letters", between("\\r\\n")),
        ("CRLF", between("\r\n")),
        ("spaces", between(" ")),
        ("nothing", between("")),
    ] {
        let key = Credentials::service_account_key(&key).unwrap_or_else(|error| panic!("{form}: {error}"));
        let alice = key.for_user("alice@example.com").unwrap();
        let chat = builder(&emulator, Wire::HttpJson).credentials(alice).build().unwrap();
        chat.create_space(Space::named(form)).await.unwrap_or_else(|error| panic!("{form}: {error}"));
    }
}

/// An error in all the ways that a program may print it.
fn printed(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn no_part_of_a_broken_key_comes_out_of_the_library() {
    let emulator = Emulator::start().await.unwrap();
    emulator.configure(|settings| settings.anonymous = false);
    let good = emulator.key_file();
    let secret = crate::support::broken_keys::Secret::of(&good);
    let texts = crate::support::broken_keys::broken(&good);
    assert!(texts.len() > 400, "{}", texts.len());
    let mut refused = 0;
    for text in &texts {
        let what = format!("the library given {text}");
        match Credentials::service_account_key(text) {
            Err(error) => {
                refused += 1;
                secret.assert_kept(&printed(&error), &what);
            }
            Ok(key) => {
                let chat = builder(&emulator, Wire::HttpJson).credentials(key.clone()).retry(RetryPolicy::never());
                secret.assert_kept(&format!("{key:?} {chat:?}"), &what);
                match chat.build() {
                    Err(error) => secret.assert_kept(&printed(&error), &what),
                    Ok(chat) => {
                        if let Err(error) = chat.create_space(Space::named("a")).await {
                            secret.assert_kept(&printed(&error), &what);
                            secret.assert_kept(&format!("{:?}", error.status()), &what);
                        }
                    }
                }
            }
        }
        if let Err(error) = Credentials::token(text) {
            secret.assert_kept(&printed(&error), &what);
        }
        if let Err(error) = app(&emulator).for_user(text) {
            secret.assert_kept(&printed(&error), &what);
        }
        if let Err(error) = Origin::parse(text) {
            secret.assert_kept(&printed(&error), &what);
        }
        let connector = Connector::builder().proxy(text);
        if let Err(error) = connector.build(&Origin::parse("http://localhost").unwrap()) {
            secret.assert_kept(&printed(&error), &what);
        }
        secret.assert_kept(&format!("{connector:?}"), &what);
    }
    assert!(refused > 300, "{refused} of {}", texts.len());
    // In place of a certificate; to build reads the system's, so not with all of them.
    for text in texts.iter().filter(|text| text.starts_with('-')) {
        let connector = Connector::builder().root_certificates(text.as_bytes());
        if let Err(error) = Client::builder().endpoint("https://localhost").connector(connector).build() {
            secret.assert_kept(&printed(&error), "the connector");
        }
    }
}

#[test]
fn a_key_that_cannot_be_used_says_which_part_of_it() {
    let key = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let mut key = serde_json::json!({
            "type": "service_account",
            "client_email": "a@example.com",
            "private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "token_uri": "https://oauth2.googleapis.com/token",
        });
        change(key.as_object_mut().unwrap());
        key.to_string()
    };
    for (text, problem) in [
        ("key.json".to_owned(), "it is not the JSON of a key's file (line 1, column 1)"),
        ("{\n \"type\": }".to_owned(), "it is not the JSON of a key's file (line 2, column 10)"),
        ("\"{}\"".to_owned(), "it is not a JSON object"),
        (
            key(&|key| drop(key.insert("type".into(), "external_account".into()))),
            "credentials of the type external_account",
        ),
        (
            key(&|key| drop(key.insert("type".into(), "authorized_user".into()))),
            "credentials of the type authorized_user",
        ),
        (key(&|key| drop(key.insert("type".into(), "other".into()))), "its type is not known"),
        (key(&|key| drop(key.remove("client_email"))), "it has no client_email"),
        (key(&|key| drop(key.remove("private_key"))), "it has no private_key"),
        (key(&|key| drop(key.remove("token_uri"))), "it has no token_uri"),
        (key(&|key| drop(key.insert("token_uri".into(), 1.into()))), "its token_uri is not a text"),
        (key(&|key| drop(key.insert("token_uri".into(), "x".into()))), "its token_uri is not a URL"),
        (
            key(&|key| drop(key.insert("token_uri".into(), "https://localhost:99999/token".into()))),
            "its token_uri has a port that is not from 1 to 65535",
        ),
        (key(&|key| drop(key.insert("client_email".into(), "a".into()))), "its client_email is not an e-mail address"),
        (key(&|key| drop(key.insert("private_key".into(), "a".into()))), "its private_key is not the PEM"),
        (key(&|_| ()), "its private_key is not a whole RSA key"),
    ] {
        let error = Credentials::service_account_key(&text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the service account's key cannot be used: {problem}")), "{error}");
    }
}

#[tokio::test]
async fn a_call_whose_time_is_up_names_the_whole_limit() {
    // Refuses once, and then does not answer.
    let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let silent = tower::service_fn(move |_: http::Request<http_body_util::Full<bytes::Bytes>>| {
        let first = !asked.swap(true, std::sync::atomic::Ordering::Relaxed);
        async move {
            if !first {
                std::future::pending::<()>().await;
            }
            let body = r#"{"error":{"code":503,"message":"Not now.","status":"UNAVAILABLE"}}"#;
            http::Response::builder()
                .status(503)
                .body(http_body_util::Full::new(bytes::Bytes::from_static(body.as_bytes())))
        }
    });
    let policy = quick().with_attempt_timeout(Duration::from_millis(40)).with_attempts(1_000);
    let chat = Client::builder().credentials(Credentials::anonymous()).retry(policy).build_over(silent).unwrap();
    let error = chat.create_space(Space::named("a")).timeout(Duration::from_millis(150)).await.unwrap_err();
    assert!(error.is_deadline_exceeded(), "{error}");
    assert_eq!(error.message(), "no response within 150ms; an attempt before: Not now.");
    let policy = quick().with_attempt_timeout(Duration::from_millis(40)).with_attempts(2);
    let error = chat.create_space(Space::named("a")).retry(policy).await.unwrap_err();
    assert_eq!(error.message(), "the last attempt got no response within 40ms");
}
