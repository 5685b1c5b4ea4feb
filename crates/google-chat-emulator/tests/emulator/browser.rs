//! What web pages can have a browser send, as raw requests: what is refused, and that
//! nothing was done then.

use google_chat::{Space, grpc_transcoding::server::BrowserGuardLayer};
use google_chat_emulator::{Emulator, EmulatorBuilder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const LOOPBACK: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const JSON: &str = "content-type: application/json";
const FORM: &str = "content-type: application/x-www-form-urlencoded";
const EVIL: &str = "origin: https://evil.example";
const SPACE: &str = r#"{"displayName":"made by a page","spaceType":"SPACE"}"#;

/// Sends a request with these headers; the status and the body of its answer.
async fn send(emulator: &Emulator, request: &str, headers: &[&str], body: &str) -> (u16, String) {
    let mut head = format!("{request} HTTP/1.1\r\nconnection: close\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    let mut stream = TcpStream::connect(emulator.address()).await.unwrap();
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn with_a_space(builder: EmulatorBuilder) -> (Emulator, String) {
    let emulator = builder.start().await.unwrap();
    let (status, answer) = send(
        &emulator,
        "POST /v1/spaces",
        &["host: localhost", JSON],
        &serde_json::json!({"displayName": "mine", "spaceType": "SPACE"}).to_string(),
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    let name = emulator.spaces()[0].name.clone();
    (emulator, name)
}

#[tokio::test]
async fn what_a_page_of_another_origin_sends_is_refused_before_it_acts() {
    let (emulator, name) = with_a_space(Emulator::builder()).await;
    let host = format!("host: {}", emulator.address());
    let delete = format!("POST /v1/{name}?$httpMethod=DELETE");
    let escaped = format!("POST /v1/{name}?%24httpMethod=DELETE");
    let clock = r#"{"advance":3600}"#;
    for (request, headers, body, status, problem) in [
        // A form.
        (&*delete, &[&*host, FORM, EVIL][..], "a=b", 403, "pages of the origin `https://evil.example`"),
        (&delete, &[&host, FORM, "origin: null"], "", 403, "pages of the origin `null`"),
        (&delete, &[&host, FORM], "", 415, "$httpMethod needs `content-type: application/json`"),
        (&escaped, &[&host, "content-type: text/plain"], "", 415, "$httpMethod needs"),
        (&escaped, &[&host, "content-type: multipart/form-data; boundary=a"], "", 415, "$httpMethod needs"),
        // `fetch` without asking.
        (&delete, &[&host], "", 415, "$httpMethod needs"),
        ("POST /v1/spaces", &[&host], SPACE, 415, "the body has no content type"),
        ("POST /v1/spaces", &[&host, "content-type: text/plain"], SPACE, 415, "text/plain"),
        ("POST /v1/spaces", &[&host, JSON, EVIL], SPACE, 403, "pages of the origin"),
        ("POST /v1/spaces", &[&host, JSON, "sec-fetch-site: cross-site"], SPACE, 403, "for a page of another site"),
        ("POST /v1/spaces", &[&host, JSON, "sec-fetch-site: same-site"], SPACE, 403, "for a page of another site"),
        ("POST /v1/spaces", &[&host, JSON, "origin: http://127.0.0.1:1"], SPACE, 403, "pages of the origin"),
        ("POST /emulator/clock", &[&host, FORM, EVIL], clock, 403, "pages of the origin"),
        ("POST /emulator/clock", &[&host, "content-type: text/plain"], clock, 415, "send content-type"),
        ("POST /emulator/clock", &[&host], clock, 415, "the body has no content type"),
        // Images and links.
        ("GET /emulator/calls", &[&host, "sec-fetch-site: cross-site"], "", 403, "for a page of another site"),
        ("OPTIONS /v1/spaces", &[&host, EVIL, "access-control-request-method: DELETE"], "", 403, "pages of the origin"),
        // A name that is made to resolve to 127.0.0.1.
        ("GET /emulator/calls", &["host: evil.example"], "", 421, "the host `evil.example` is not served here"),
        ("GET /emulator/calls", &["host: evil.example:80", "origin: http://evil.example"], "", 421, "the host"),
        ("GET /emulator/calls", &["host: localhost.evil.example"], "", 421, "the host"),
        ("GET /emulator/calls", &["host: 10.0.0.1"], "", 421, "the host"),
        ("GET http://evil.example/emulator/calls", &["host: localhost"], "", 421, "the host `evil.example`"),
        ("DELETE http://evil.example/v1/a", &["host: evil.example"], "", 421, "the host"),
    ] {
        let (found, answer) = send(&emulator, request, headers, body).await;
        let case = format!("{request} {headers:?}: {answer}");
        assert_eq!(found, status, "{case}");
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["error"]["code"], status, "{case}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(problem), "{case}");
    }
    let spaces: Vec<Space> = emulator.spaces();
    assert_eq!((spaces.len(), &spaces[0].name), (1, &name));
    let (_, clock) = send(&emulator, "POST /emulator/clock", &[&host, JSON], r#"{"advance":0}"#).await;
    assert!(clock.contains("\"ahead\": 0.0"), "{clock}");
}

#[tokio::test]
async fn what_people_and_programs_send_is_served() {
    let (emulator, name) = with_a_space(Emulator::builder()).await;
    let address = emulator.address();
    let (host, own) = (format!("host: {address}"), format!("origin: http://{address}"));
    let get = format!("GET /v1/{name}");
    for (request, headers, body) in [
        // The address bar, and the emulator's own page.
        ("GET /", &[&*host, "sec-fetch-site: none"][..], ""),
        ("GET /", &[&host, "sec-fetch-site: same-origin"], ""),
        ("POST /emulator/clock", &[&host, &own, JSON, "sec-fetch-site: same-origin"], r#"{"advance":0}"#),
        // Loopback by any of its names, with the port of whoever forwards it.
        (&get, &["host: localhost:1234"], ""),
        (&get, &["host: LOCALHOST."], ""),
        (&get, &["host: chat.localhost"], ""),
        (&get, &["host: [::1]:8086"], ""),
        (&get, &["host: 127.1.2.3"], ""),
        ("GET http://localhost/v1/spaces", &["host: localhost"], ""),
        (&format!("POST /v1/{name}?$httpMethod=GET"), &[&host, "content-type: application/json; charset=utf-8"], ""),
        (&format!("POST /v1/{name}"), &[&host, "x-http-method-override: GET"], ""),
    ] {
        let (found, answer) = send(&emulator, request, headers, body).await;
        assert_eq!(found, 200, "{request} {headers:?}: {answer}");
    }
}

#[tokio::test]
async fn origins_hosts_and_bodies_are_taken_that_the_server_allows() {
    let guard = BrowserGuardLayer::new(LOOPBACK).allow_origin("https://app.example").allow_host("api.example");
    let guard = guard.allow_missing_content_type(true);
    let any = BrowserGuardLayer::new(LOOPBACK).allow_origin("*");
    // Where not only this machine can reach it, any name is served.
    let outside = BrowserGuardLayer::new([192, 0, 2, 1].into());
    let named = outside.clone().allow_host("api.example");
    for (guard, headers, status) in [
        (&guard, &["host: api.example", JSON, "origin: https://app.example", "sec-fetch-site: cross-site"][..], 400),
        (&guard, &["host: API.example:443", JSON], 400),
        (&guard, &["host: api.example"], 400),
        (&guard, &["host: api.example", "origin: http://app.example", JSON], 403),
        (&guard, &["host: other.example", JSON], 421),
        (&any, &["host: localhost", EVIL, JSON], 400),
        (&any, &["host: localhost", "sec-fetch-site: cross-site", JSON], 400),
        (&any, &["host: localhost", EVIL], 415),
        (&any, &["host: evil.example", EVIL, JSON], 421),
        (&outside, &["host: any.example", JSON], 400),
        (&outside, &["host: any.example", "origin: https://any.example", JSON], 400),
        (&outside, &["host: any.example", "origin: https://any.example:8443", JSON], 403),
        (&outside, &["host: any.example", EVIL, JSON], 403),
        // What a gateway passes on of a page that it allows; here it is no gRPC in the end.
        (&outside, &["host: any.example", EVIL, "content-type: application/grpc", "te: trailers"], 200),
        (&named, &["host: any.example", JSON], 421),
        (&named, &["host: api.example", JSON], 400),
    ] {
        let emulator = Emulator::builder().browser_guard(guard.clone()).start().await.unwrap();
        // What is served is refused for what it lacks.
        let (found, answer) = send(&emulator, "POST /v1/spaces", headers, "{}").await;
        assert_eq!(found, status, "{headers:?}: {answer}");
        assert!(status != 400 || answer.contains("space.space_type is required"), "{answer}");
    }
}
