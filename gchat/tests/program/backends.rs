//! `gchat gateway` in front of several servers, and of servers whose schema changes.

use std::time::Duration;

use google_chat::grpc_transcoding::{
    client::{Grpc, Origin},
    server::{check_health, reflect},
};
use tokio::net::TcpListener;

use super::{
    backend::{Backend, proto},
    support::{Server, ended, fresh, get, run, text},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn start(backend: &Backend, flags: &[&str]) -> Server {
    let own = ["gateway", "--reflection", "--listen", "127.0.0.1:0", "--backend", &backend.endpoint];
    Server::start(&[&own[..], flags].concat())
}

/// Asks again and again until the answer is the one that is waited for.
async fn until<T, F: Future<Output = Option<T>>>(mut asked: impl FnMut() -> F) -> T {
    let found = async {
        loop {
            if let Some(found) = asked().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it never came")
}

/// The status of a GET, or the server that has answered.
fn asked(gateway: &Server, path: &str) -> Result<String, u16> {
    let (status, body) = get(gateway.address(), path);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    body["server"].as_str().map(str::to_owned).ok_or(status)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_goes_to_the_server_of_its_service_or_path() {
    let main = Backend::start("main", &proto("main", "/v1/main/{name}")).await;
    let billing = Backend::start("billing", &proto("billing.v1", "/v1/billing/{name}")).await;
    // It has what the first has.
    let other = Backend::start("other", &proto("main", "/v1/main/{name}")).await;
    let routes = [format!("billing={}", billing.endpoint), format!("/v1/main/o%74her/={}", other.endpoint)];
    let flags = ["--route", &routes[0], "--route", &routes[1], "--passthrough"];
    let gateway = start(&main, &flags);
    for (path, server) in [
        ("/v1/main/a", Ok("main")),
        ("/v1/billing/a", Ok("billing")),
        ("/v1/main/other", Ok("other")),
        ("/v1/main/%6fther", Ok("other")),
        ("/v1/main/others", Ok("main")),
        ("/v1/none", Err(404)),
    ] {
        assert_eq!(asked(&gateway, path), server.map(str::to_owned), "{path}");
    }
    assert!(get(gateway.address(), "/v1/main/other:watch").1.contains("other"));

    // Over gRPC the service decides. All services are in one reflection.
    let grpc = Grpc::new(Origin::parse(&gateway.endpoint).unwrap()).unwrap();
    let schema = reflect(grpc.clone()).await.unwrap();
    assert!(schema.method("/main.Echo/Get").is_some() && schema.method("/billing.v1.Echo/Watch").is_some());
    assert!(check_health(grpc.clone(), "main.Echo").await.unwrap());
    // The server of billing calls itself so, and main does not know it.
    assert!(check_health(grpc.clone(), "billing.Echo").await.unwrap());
    assert!(check_health(grpc, "other.Echo").await.is_err());

    // Whichever does not answer is named.
    assert_eq!(get(gateway.address(), "/readyz").0, 200);
    billing.stop();
    let problem = until(async || {
        let (status, problem) = tokio::task::block_in_place(|| get(gateway.address(), "/readyz"));
        (status == 503).then_some(problem)
    })
    .await;
    assert!(
        problem.starts_with(&format!("the backend {}: ", billing.endpoint)) && !problem.contains(&main.endpoint),
        "{problem}"
    );
    assert_eq!(asked(&gateway, "/v1/main/a"), Ok("main".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_between_servers_is_said() {
    let main = Backend::start("main", &proto("main", "/v1/{name}")).await;
    let other = Backend::start("other", &proto("other", "/v1/{name}")).await;
    let said = fresh("backends-conflict");
    let own = ["gateway", "--reflection", "--listen", "127.0.0.1:0", "--backend", &main.endpoint];
    let routes = [format!("other={}", other.endpoint), format!("nowhere.v1={}", other.endpoint)];
    let gateway =
        Server::start_with_errors(&[&own[..], &["--route", &routes[0], "--route", &routes[1]]].concat(), &said);
    let said = std::fs::read_to_string(said).unwrap();
    for line in [
        "gchat: warning: --route nowhere.v1: the schema has no service of this name or below it",
        "gchat: warning: other.Echo/Get: GET /v1/{name}: is never served: main.Echo/Get has the same HTTP method and path",
    ] {
        assert!(said.lines().any(|one| one == line), "{line}\n{said}");
    }
    drop(gateway);
    // The calls of a service that only another server has are nobody's.
    let said = fresh("backends-lost");
    let path = format!("/v2/={}", other.endpoint);
    let third = format!("main={}", other.endpoint);
    Server::start_with_errors(&[&own[..], &["--route", &third]].concat(), &said);
    let said = std::fs::read_to_string(said).unwrap();
    let lost = format!("calls of main.Echo go to {}, which does not have it; give it a --route", other.endpoint);
    assert!(said.contains(&lost), "{said}");
    let flags = ["gateway", "--backend", "http://127.0.0.1:1", "--reflection", "--check-config", "--route"];
    for (route, problem) in [
        ("a.b", "write a service, a package, or a path that begins with /, then = and the server's URL"),
        ("a..b=http://127.0.0.1:1", "write a service"),
        ("/=http://127.0.0.1:1", "the path / is that of all requests"),
        ("/a%2=http://127.0.0.1:1", "the path has an escape that is none"),
        ("a=ftp://127.0.0.1:1", "ftp"),
    ] {
        let output = run(&[&flags[..], &[route]].concat());
        let (code, _, said) = ended(&output);
        assert!(code == 2 && said.contains(problem), "{route}: {said}");
    }
    let output = run(&[&flags[..], &[&path, "--route", &path]].concat());
    assert!(ended(&output).2.contains("--route: there are two for /v2/"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_waits_for_a_server_that_is_about_to_start() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let said = fresh("backends-waiting");
    let url = format!("http://{free}");
    let (flags, file) = (url.clone(), said.clone());
    let gateway = tokio::task::spawn_blocking(move || {
        let args = ["gateway", "--reflection", "--listen", "127.0.0.1:0", "--backend", &flags];
        Server::start_with_errors(&args, &file)
    });
    let waits = format!("waiting for {url}: ");
    until(async || std::fs::read_to_string(&said).ok()?.starts_with(&waits).then_some(())).await;
    let _backend = Backend::at(&free, "late", &proto("late", "/v1/{name}")).await;
    let gateway = tokio::time::timeout(PATIENCE, gateway).await.unwrap().unwrap();
    assert_eq!(asked(&gateway, "/v1/a"), Ok("late".to_owned()));
    assert_eq!(std::fs::read_to_string(&said).unwrap().lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_schema_takes_the_place_of_the_one_before() {
    let one = proto("one", "/v1/one/{name}");
    let backend = Backend::start("one", &one).await;
    let said = fresh("backends-renewal");
    let args = ["gateway", "--reflection", "--listen", "127.0.0.1:0", "--backend", &backend.endpoint];
    let flags = ["--admin", "127.0.0.1:0", "--reflection-refresh", "0"];
    let mut gateway = Server::start_with_errors(&[&args[..], &flags[..]].concat(), &said);
    let admin = gateway.admin();
    assert_eq!((asked(&gateway, "/v1/one/a"), asked(&gateway, "/v2/one/a")), (Ok("one".to_owned()), Err(404)));
    // A call under way keeps what it began with.
    let mut held = gateway.send("GET /v1/one/hold:watch HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut begun = [0; 512];
    let size = std::io::Read::read(&mut held, &mut begun).unwrap();
    assert!(text(&begun[..size]).starts_with("HTTP/1.1 200 "));

    backend.say(&proto("one", "/v2/one/{name}"));
    gateway.signal("HUP");
    until(async || tokio::task::block_in_place(|| asked(&gateway, "/v2/one/a")).ok()).await;
    assert_eq!(asked(&gateway, "/v1/one/a"), Err(404));
    held.set_nonblocking(true).unwrap();
    let open = std::io::Read::read(&mut held, &mut begun);
    assert!(!matches!(open, Ok(0)), "the stream goes on");
    let (_, metrics) = get(&admin, "/metrics");
    for (route, status) in [("/v1/one/{name}", 200), ("/v2/one/{name}", 200)] {
        let line = format!(r#"http_route="{route}",http_response_status_code="{status}""#);
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }

    // What cannot be used is told, and changes nothing.
    let told = async |line: &str| {
        until(async || std::fs::read_to_string(&said).unwrap().contains(line).then_some(())).await;
    };
    backend.say(&[]);
    gateway.signal("HUP");
    told("gchat: warning: the schema stays as it was: ").await;
    assert_eq!(asked(&gateway, "/v2/one/a"), Ok("one".to_owned()));
    backend.say(&one);
    gateway.signal("HUP");
    until(async || tokio::task::block_in_place(|| asked(&gateway, "/v1/one/a")).ok()).await;
    gateway.signal("HUP");
    told("the schema has not changed").await;
    backend.stop();
    gateway.signal("HUP");
    told(&format!("the schema stays as it was: {}: ", backend.endpoint)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_asked_for_from_time_to_time() {
    let backend = Backend::start("one", &proto("one", "/v1/{name}")).await;
    let gateway = start(&backend, &["--reflection-refresh", "0.02"]);
    backend.say(&proto("one", "/v2/{name}"));
    until(async || tokio::task::block_in_place(|| asked(&gateway, "/v2/a")).ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_descriptor_set_is_read_again_on_sighup() {
    let backend = Backend::start("one", &[]).await;
    let set = fresh("backends-set.bin");
    std::fs::write(&set, proto("one", "/v1/{name}")).unwrap();
    let args = ["gateway", "--backend", &backend.endpoint, "--listen", "127.0.0.1:0", "--descriptor-set"];
    let gateway = Server::start(&[&args[..], &[set.to_str().unwrap()]].concat());
    assert_eq!(asked(&gateway, "/v1/a"), Ok("one".to_owned()));
    std::fs::write(&set, proto("one", "/v2/{name}")).unwrap();
    gateway.signal("HUP");
    until(async || tokio::task::block_in_place(|| asked(&gateway, "/v2/a")).ok()).await;
}
