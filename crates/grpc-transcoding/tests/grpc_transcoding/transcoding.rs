//! HTTP rules of every kind: a stub's call becomes the request that the rules
//! say, and the gateway makes the same call of it again.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use crate::shelf::*;
use bytes::Bytes;
use grpc_transcoding::{
    DescriptorPool, HttpRules,
    client::{Grpc, HttpJson, Origin},
    server::{Gateway, GatewayLayer, RequestBody, ServeOptions, serve},
};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use proptest::{collection, option, prelude::*};
use prost::Message as _;
use serde_json::{Value, json};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service, ServiceExt, service_fn};

#[test]
fn leaf_fields_split_into_path_body_query() {
    let json = Some("application/json".to_owned());
    for (name, message, line, body) in [
        ("GetBook", json!({"name": "shelves/a b/books/c%d"}), "GET /v1/shelves/a%20b/books/c%25d", None),
        // The first binding that the fields fit into is taken, in declared order.
        ("GetBook", json!({"name": "archive/x/y"}), "GET /v1/archive/x/y", None),
        ("GetBook", json!({"name": "archive"}), "GET /v1/archive", None),
        ("GetBook", json!({"isbn": "0"}), "GET /v1/books/0", None),
        ("GetBook", json!({"name": "other", "isbn": "-7"}), "GET /v1/books/-7?name=other", None),
        // A zero is sent where the field is required or has presence.
        ("Search", json!({"shelf": "shelves/a", "offset": 0}), "GET /v1/shelves/a/books:search?query=&offset=0", None),
        (
            "Search",
            json!({"shelf": "shelves/a", "query": "x&y=ü +", "genre": "CRIME", "genres": [1, 7], "years": ["-1", "2"],
                "words": ["", "b"], "cursor": "/+8=", "score": 1.5e-7, "since": "2026-11-24T09:30:00.5Z",
                "within": "1.5s", "fieldsToRead": "a.bC,d", "limit": "0", "by": {"givenName": "A", "born": 0},
                "byYear": 0, "nested": {"leaf": "l"}}),
            "GET /v1/shelves/a/books:search?query=x%26y%3D%C3%BC%20%2B&genre=CRIME&genres=CRIME&genres=7&years=-1&years=2\
             &words=&words=b&cursor=%2F%2B8%3D&score=1.5e-7&since=2026-11-24T09%3A30%3A00.500Z&within=1.500s\
             &fieldsToRead=a.bC%2Cd&limit=0&by.givenName=A&by.born=0&byYear=0&nested.leaf=l",
            None,
        ),
        (
            "UpdateBook",
            json!({"book": {"name": "shelves/a/books/b", "title": "T"}, "updateMask": "title,author.givenName", "allowMissing": false}),
            "PATCH /v1/shelves/a/books/b?updateMask=title%2Cauthor.givenName&allowMissing=false",
            Some(r#"{"title":"T"}"#),
        ),
        // With `body: "*"` there is no query, and the body lacks what the path has.
        (
            "ReplaceBook",
            json!({"book": {"name": "shelves/a/books/b", "title": "T"}, "allowMissing": true}),
            "PUT /v1/shelves/a/books/b",
            Some(r#"{"book":{"title":"T"},"allowMissing":true}"#),
        ),
        (
            "Rename",
            json!({"id": -5, "titles": ["a", "b"], "quiet": true}),
            "POST /v1/rename/-5?quiet=true",
            Some(r#"["a","b"]"#),
        ),
        // nan_infinity_text; a message that is set but empty has no form in a query
        (
            "Search",
            json!({"shelf": "shelves/a", "score": "NaN", "weight": "-Infinity", "by": {}}),
            "GET /v1/shelves/a/books:search?query=&score=NaN&weight=-Infinity",
            None,
        ),
        // body_field_present_empty_sends_{}
        ("UpdateBook", json!({"book": {"name": "shelves/a/books/b"}}), "PATCH /v1/shelves/a/books/b", Some("{}")),
        // What is left of a message whose other field is in the path goes into the query.
        (
            "CheckBook",
            json!({"book": {"name": "shelves/a/books/b", "title": "T"}}),
            "GET /v1/shelves/a/books/b:check?book.title=T",
            None,
        ),
        // additional bindings have bodies of their own; body_absent_sends_none_even_for_post
        ("Touch", json!({"name": "shelves/a", "isbn": "5"}), "POST /v1/shelves/a:touch", Some(r#"{"isbn":"5"}"#)),
        ("Touch", json!({"isbn": "5"}), "POST /v1/touch/5", None),
        // A body field that is not set sends no body.
        ("Rename", json!({"id": 1}), "POST /v1/rename/1", None),
        ("Lock", json!({"isbn": "5"}), "LOCK /v1/lock/5", None),
    ] {
        let expected = (line.to_owned(), body.and(json.clone()), body.unwrap_or_default().to_owned());
        assert_eq!(transcode(name, message.clone()), Ok(expected), "{name} {message}");
    }
    let file = json!({"name": "shelves/a", "file": {"contentType": "text/plain", "data": "aGk="}, "note": "n"});
    let expected = ("POST /v1/shelves/a:upload?note=n".to_owned(), Some("text/plain".to_owned()), "hi".to_owned());
    assert_eq!(transcode("Upload", file), Ok(expected));
}

#[test]
fn what_http_cannot_carry_is_refused_by_name() {
    for (name, message, problem) in [
        (
            "DeleteBook",
            json!({"name": "shelves/a/books/.."}),
            "shelf.Shelf/DeleteBook: no HTTP binding fits the request: DELETE /v1/{name=shelves/*/books/*}: field `name` \
             is \"shelves/a/books/..\", which has a segment `.` or `..`",
        ),
        (
            "UpdateBook",
            json!({}),
            "shelf.Shelf/UpdateBook: no HTTP binding fits the request: PATCH /v1/{book.name=shelves/*/books/*}: field \
             `book.name` is empty",
        ),
        (
            "Search",
            json!({"shelf": "shelves/a", "labels": {"a": "b"}}),
            "shelf.Shelf/Search: field `labels` is a map, which a query cannot carry",
        ),
        (
            "Search",
            json!({"shelf": "shelves/a", "authors": [{}]}),
            "shelf.Shelf/Search: field `authors` is a shelf.Author, which a query cannot carry",
        ),
        (
            "Search",
            json!({"shelf": "shelves/a", "nested": {"again": {"leaf": "x"}}}),
            "shelf.Shelf/Search: field `nested.again` is recursive, which a query cannot carry",
        ),
        (
            "Find",
            json!({}),
            "shelf.Shelf/Find: no HTTP binding fits the request: GET /v1/@titles/{title}: field `title` is empty; GET \
             /v1/a b/{author}: field `author` is empty",
        ),
        (
            "NoRule",
            json!({}),
            "shelf.Shelf/NoRule has no HTTP rule (google.api.http), so that it cannot be called over HTTP/JSON; call it \
             over gRPC",
        ),
    ] {
        let error = transcode(name, message.clone()).unwrap_err();
        assert!(error.starts_with(problem), "{name} {message}: {error}");
    }
    let lints: Vec<_> = RULES.lint().iter().map(ToString::to_string).collect();
    let of = |field: &str, problem: &str| {
        let place = "shelf.Shelf/Search: GET /v1/{shelf=shelves/*}/books:search";
        format!("{place}: field `{field}` {problem}, which a query cannot carry")
    };
    for (field, problem) in
        [("labels", "is a map"), ("authors", "is a repeated message"), ("nested.again", "is recursive")]
    {
        assert!(lints.contains(&of(field, problem)), "{lints:#?}");
    }
}

#[test]
fn bodies_that_servers_may_not_read_are_linted() {
    const DELETE: u8 = 5;
    let of_get_book = |rule: &[(u8, &str)]| {
        let rules = rules_with(&http_rule("GetBook", rule)).unwrap();
        let lints = rules.lint().into_iter().filter(|lint| lint.method == "shelf.Shelf/GetBook");
        lints.map(|lint| format!("{}: {}", lint.binding, lint.problem)).collect::<Vec<_>>()
    };
    let dropped = "has a body, which servers and proxies may drop for its HTTP method";
    assert_eq!(of_get_book(&[(GET, "/v1/{name}"), (BODY, "*")]), [format!("GET /v1/{{name}}: {dropped}")]);
    assert_eq!(of_get_book(&[(DELETE, "/v1/{name}"), (BODY, "*")]), [format!("DELETE /v1/{{name}}: {dropped}")]);
    // POST /v1/{name} with the whole message, then POST /v2 with one field.
    let additional = "\u{22}\u{3}/v2\u{3a}\u{4}isbn";
    assert_eq!(
        of_get_book(&[(POST, "/v1/{name}"), (BODY, "*"), (ADDITIONAL, additional)]),
        ["POST /v2: has another body than the first binding that has one (AIP-127)"]
    );
    assert!(of_get_book(&[(4, "/v1/{name}"), (BODY, "*"), (ADDITIONAL, "\u{12}\u{3}/v2")]).is_empty());
}

#[test]
fn service_config_rule_overrides_annotation() {
    // Of several rules for one method the last holds.
    let http = ["/v2/one/{isbn}", "/v2/two/{isbn}"].map(|path| http_rule("GetBook", &[(2, path)])).concat();
    let rules = rules_with(&http).unwrap();
    let method = rules.method("/shelf.Shelf/GetBook").unwrap();
    let templates: Vec<_> = method.bindings().iter().map(|binding| binding.template().as_str()).collect();
    assert_eq!(templates, ["/v2/two/{isbn}"]);
    let wrong = [0x0a, 5, 0x0a, 3, b'a', b'.', b'b'];
    let error = rules_with(&wrong).unwrap_err().to_string();
    assert!(error.contains("`a.b`"), "{error}");
}

const GET: u8 = 2;
const POST: u8 = 4;
const BODY: u8 = 7;
const ADDITIONAL: u8 = 11;

/// A rule that cannot be used costs its binding; the rest of the schema goes on.
#[tokio::test]
async fn one_bad_rule_costs_one_binding() {
    for (name, rule, problem) in [
        ("GetBook", &[(GET, "/v1/{name}"), (BODY, "a.b")][..], "body `a.b` is not a field of shelf.GetBookRequest"),
        ("GetBook", &[(GET, "/v1/{nothing}")], "path variable `nothing`: shelf.GetBookRequest has no field `nothing`"),
        (
            "GetBook",
            &[(GET, "/v1/{name.more}")],
            "path variable `name.more` goes through a field that is not a message",
        ),
        ("GetBook", &[(GET, "/v1/pre-{name}")], "path template `/v1/pre-{name}`: unexpected text at column 9"),
        ("GetBook", &[], "the rule names no HTTP method and no path"),
        // A path variable is a single value that has a form as text.
        ("Search", &[(GET, "/v1/{genres}")], "path variable `genres`: `genres` is a repeated field or a map"),
        ("Search", &[(GET, "/v1/{labels}")], "path variable `labels`: `labels` is a repeated field or a map"),
        ("Search", &[(GET, "/v1/{by}")], "path variable `by` is a shelf.Author, which has no form as text"),
        ("GetBook", &[(8, "\u{a}\u{3}A B\u{12}\u{2}/a")], "`A B` is not an HTTP method"),
        (
            "GetBook",
            &[(8, "\u{a}\u{7f}")],
            "the rule is not an encoded google.api.HttpRule: the bytes end in the middle of a field",
        ),
    ] {
        let rules = rules_with(&http_rule(name, rule)).unwrap();
        let binding = match rule.first() {
            Some((GET, template)) => format!("GET {template}: "),
            Some((8, template)) if template.len() > 4 => "A B /a: ".to_owned(),
            _ => "an HTTP rule: ".to_owned(),
        };
        let expected = format!("shelf.Shelf/{name}: {binding}cannot be used: {problem}");
        let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
        let layer = GatewayLayer::new(rules.clone()).unwrap();
        let warnings: Vec<_> = layer.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(warnings, std::slice::from_ref(&expected));
        assert!(rules.lint().iter().any(|lint| lint.to_string() == expected), "{expected}");
        // The method is not called over HTTP, and says why; over gRPC it is.
        let gateway = layer.layer(backend.service());
        let http = HttpJson::builder(rules, "http://in.process").build_over(gateway.clone()).unwrap();
        let (_, status) = call(http.clone(), name, &[json!({})]).await;
        let told = format!(
            "shelf.Shelf/{name} has no HTTP rule that can be used: {binding}{problem}, so that it cannot be called over \
             HTTP/JSON; call it over gRPC"
        );
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, &*told));
        let (replies, status) = call(gateway, name, &[json!({})]).await;
        assert_eq!((replies.len(), status.code()), (1, Code::Ok), "{status:?}");
        // And so is everything else.
        let (replies, status) = call(http, "DeleteBook", &[json!({"name": "shelves/a/books/b"})]).await;
        assert_eq!((replies.len(), status.code()), (1, Code::Ok), "{status:?}");
    }
}

#[test]
fn the_other_bindings_of_a_method_go_on() {
    // The first is wrong, the second is not, and the third has an additional one of its own.
    let nested = "\u{12}\u{2}/a\u{5a}\u{4}\u{12}\u{2}/b";
    let rule = [(GET, "/v1/{no}"), (ADDITIONAL, "\u{12}\u{a}/v1/{name}"), (ADDITIONAL, nested)];
    let rules = rules_with(&http_rule("GetBook", &rule)).unwrap();
    let method = rules.method("/shelf.Shelf/GetBook").unwrap();
    assert_eq!(method.to_http(b"\x0a\x01a").unwrap().uri(), "/v1/a");
    let problems: Vec<_> = rules.lint().into_iter().filter(|lint| lint.method.ends_with("/GetBook")).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].problem.contains("`no`") && problems[1].problem.contains("additional"), "{problems:?}");
    // What does not fit is told beside what cannot be used.
    let error = method.to_http(b"").unwrap_err();
    let bindings = ["GET /v1/{name}: field `name` is empty", "GET /v1/{no}: path variable", "GET /a: an additional"];
    assert!(bindings.iter().all(|binding| error.message().contains(binding)), "{error}");
}

#[test]
fn a_schema_without_a_usable_rule_is_refused() {
    let without =
        DescriptorPool::decode(&protox::compile(["every.proto"], ["tests/proto"]).unwrap().encode_to_vec()).unwrap();
    let rules = RULES.methods().filter(|method| !method.method().path().ends_with("/NoRule")).flat_map(|method| {
        let name = method.method().path().rsplit_once('/').unwrap().1.to_owned();
        http_rule(&name, &[(GET, "/{no}")])
    });
    let unusable = rules_with(&rules.collect::<Vec<_>>()).unwrap();
    for (rules, problem) in [
        (
            HttpRules::new(&without),
            "no method of the descriptor pool has an HTTP rule (google.api.http); if the protos have some",
        ),
        (
            unusable,
            "no HTTP rule (google.api.http) of the descriptor pool can be used; the first is shelf.Shelf/GetBook: \
             GET /{no}: cannot be used: path variable `no`",
        ),
    ] {
        let errors = [
            GatewayLayer::new(rules.clone()).unwrap_err().to_string(),
            Gateway::new(rules.clone(), Backend::default().service()).unwrap_err().to_string(),
            HttpJson::builder(rules, "http://in.process").build().unwrap_err().to_string(),
        ];
        for error in errors {
            assert!(error.starts_with(problem), "{error}");
        }
    }
}

/// Google's own protos have such bindings: a stream of requests beside a method that can
/// be served.
#[tokio::test]
async fn equal_routes_are_named_and_the_one_that_can_be_served_is() {
    let rules = [
        http_rule("Chat", &[(POST, "/v1/{name=shelves/*}:same"), (BODY, "*")]),
        http_rule("UploadParts", &[(POST, "/v1/{name=shelves/*}:same"), (BODY, "file")]),
        http_rule("DeleteBook", &[(POST, "/v1/{name=shelves/*}:same")]),
        http_rule("Touch", &[(GET, "/v1/{name=shelves/*}:same")]),
        http_rule("Lock", &[(GET, "/v1/{name=shelves/**}:same")]),
    ];
    let rules = rules_with(&rules.concat()).unwrap();
    let layer = GatewayLayer::new(rules.clone()).unwrap();
    let named = |method: &str| {
        format!(
            "shelf.Shelf/{method}: POST /v1/{{name=shelves/*}}:same: is never served: shelf.Shelf/DeleteBook has the same \
             HTTP method and path"
        )
    };
    let warnings: Vec<_> = layer.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings, [named("UploadParts"), named("Chat")]);
    let lints: Vec<_> = rules.lint().iter().map(ToString::to_string).collect();
    assert!(warnings.iter().all(|warning| lints.contains(warning)), "{lints:?}");
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let request = Request::post("/v1/shelves/a:same").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(layer.layer(backend.service()).oneshot(request).await.unwrap().status(), 200);
    assert_eq!(backend.received("DeleteBook"), [json!({"name": "shelves/a"})]);
}

#[tokio::test]
async fn a_path_beyond_the_limits_is_414() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let at_least = |path: &str| Request::get(path).body(Full::<Bytes>::default()).unwrap();
    let limited = GatewayLayer::new(RULES.clone()).unwrap().max_path(30, 6).layer(backend.service());
    let usual = backend.gateway();
    for (gateway, path, status) in [
        (&usual, "/".repeat(60_000), 414),
        (&usual, format!("/v1/archive{}", "/a".repeat(254)), 200),
        (&usual, format!("/v1/archive{}", "/a".repeat(255)), 414),
        (&usual, format!("/v1/archive/{}", "a".repeat(8 * 1024 - 12)), 200),
        (&usual, format!("/v1/archive/{}", "a".repeat(8 * 1024 - 11)), 414),
        (&limited, "/v1/archive/a/b/c/d".to_owned(), 200),
        (&limited, "/v1/archive/a/b/c/d/e".to_owned(), 414),
        (&limited, format!("/v1/archive/{}", "a".repeat(18)), 200),
        (&limited, format!("/v1/archive/{}", "a".repeat(19)), 414),
    ] {
        let answer = gateway.clone().oneshot(at_least(&path)).await.unwrap();
        assert_eq!(answer.status(), status, "{} bytes, {} slashes", path.len(), path.matches('/').count());
    }
    // The query is not counted.
    let path = format!("/v1/archive?isbn={}", "0".repeat(40) + "7");
    assert_eq!(limited.oneshot(at_least(&path)).await.unwrap().status(), 400);
}

#[tokio::test]
async fn system_parameters_are_not_the_requests() {
    let backend = Backend::answering(&[("shelf.Book", json!({"title": "t"}))], None);
    for (query, token) in [
        ("oauth_token=t1", Some("Bearer t1")),
        ("access_token=t2&upload_protocol=multipart", Some("Bearer t2")),
        // JSONP is not offered: the answer is JSON all the same.
        ("callback=alert&%24callback=alert", None),
        ("key=k&quotaUser=q&uploadType=media", None),
    ] {
        let (status, headers, body) = rest(&backend, get(&format!("/v1/books/1?{query}"))).await;
        assert_eq!((status, body.as_str()), (200, r#"{"title":"t"}"#), "{query}");
        assert_eq!(headers["content-type"], "application/json; charset=UTF-8");
        let calls = backend.calls.lock().unwrap();
        let given = calls.last().unwrap().1.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(given.as_deref(), token, "{query}");
    }
}

/// As JSON has them, bytes in URL-safe base64.
#[tokio::test]
async fn values_of_every_kind_stand_in_a_path() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    for (field, value, paths) in [
        ("exact", json!(true), &["true", "True", "1"][..]),
        ("cursor", json!("++//8A=="), &["--__8A%3D%3D", "--__8A", "++%2F%2f8A==", "++%2F%2F8A"]),
        ("since", json!("2026-11-24T09:30:00.500Z"), &["2026-11-24T09%3A30%3A00.500Z", "2026-11-24T10:30:00.5+01:00"]),
        ("within", json!("-1.500s"), &["-1.500s", "-1.5s"]),
        ("fieldsToRead", json!("title,author.givenName"), &["title%2Cauthor.givenName", "title,author.given_name"]),
        ("limit", json!("-7"), &["-7"]),
        ("note", json!("a b:c"), &["a%20b%3Ac", "a%20b:c"]),
        ("genre", json!("CRIME"), &["CRIME", "1"]),
        ("score", json!("-Infinity"), &["-Infinity"]),
    ] {
        let proto: String = field
            .chars()
            .flat_map(|c| [c.is_uppercase().then_some('_'), Some(c.to_ascii_lowercase())])
            .flatten()
            .collect();
        let rule = http_rule("Search", &[(POST, &format!("/v1/x/{{{proto}}}")), (BODY, "*")]);
        let rules = rules_with(&rule).unwrap();
        let search = rules.method("/shelf.Shelf/Search").unwrap();
        let wire = search.method().input().from_json(json!({field: value}).to_string()).unwrap();
        let request = search.to_http(&wire).unwrap();
        assert_eq!(request.uri().path(), format!("/v1/x/{}", paths[0]));
        let gateway = Gateway::new(rules, backend.service()).unwrap();
        for path in paths {
            let request = Request::post(format!("/v1/x/{path}")).body(Full::<Bytes>::default()).unwrap();
            let answer = gateway.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(backend.received("Search"), [json!({field: value})], "{path}");
        }
    }
}

#[test]
fn http_config_fully_decode_reserved_expansion() {
    const DECODE_ALL: [u8; 2] = [0x10, 1];
    let http = http_rule("GetBook", &[(2, "/v1/{name=archive/**}")]);
    for (http, name) in [(http.clone(), "archive/a%2Fb c"), ([&http[..], &DECODE_ALL].concat(), "archive/a/b c")] {
        let rules = rules_with(&http).unwrap();
        let method = rules.method("/shelf.Shelf/GetBook").unwrap();
        let template = method.bindings()[0].template();
        assert_eq!(template.matches("/v1/archive/a%2Fb%20c").unwrap(), Some(vec![name.to_owned()]));
    }
}

fn search() -> impl Strategy<Value = Value> {
    let text = "[a-z&=+%/ .:éß\u{1F680}\"\\\\]{0,8}";
    let scalars = (text, any::<i32>(), option::of(any::<i32>()), any::<bool>(), -1..9i32, any::<u64>());
    let lists = (
        collection::vec(-1..9i32, 0..3),
        collection::vec(any::<i64>(), 0..3),
        collection::vec(text, 0..3),
        collection::vec(any::<u8>(), 0..6),
    );
    let floats = (any::<f64>(), any::<f32>());
    let known = (
        option::of((-62_135_596_800..253_402_300_799i64, 0..1_000_000_000u32)),
        option::of(-315_576_000_000..315_576_000_000i64),
        option::of("[a-z]{1,4}([A-Z][a-z]{1,3})?(\\.[a-z]{1,3})?"),
        option::of(any::<i64>()),
        option::of(text),
    );
    let nested = (option::of((text, option::of(any::<i32>()))), option::of(any::<Result<i32, bool>>()));
    (scalars, lists, floats, known, nested).prop_map(|(scalars, lists, floats, known, nested)| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let mut search = json!({
            "shelf": "shelves/a", "query": scalars.0, "pageSize": scalars.1, "exact": scalars.3, "genre": scalars.4,
            "seed": scalars.5.to_string(), "genres": lists.0, "years": lists.1, "words": lists.2,
            "cursor": STANDARD.encode(lists.3),
            "score": if floats.0.is_finite() { json!(floats.0) } else { json!("NaN") },
            "weight": if floats.1.is_finite() { json!(floats.1) } else { json!("-Infinity") },
        });
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                search[key] = value;
            }
        };
        set("offset", scalars.2.map(Value::from));
        set("within", known.1.map(|seconds| format!("{seconds}s").into()));
        set("fieldsToRead", known.2.map(Value::from));
        set("limit", known.3.map(|limit| limit.to_string().into()));
        set("note", known.4.map(Value::from));
        set(
            "by",
            nested
                .0
                .filter(|(name, born)| !name.is_empty() || born.is_some())
                .map(|(name, born)| json!({"givenName": name, "born": born})),
        );
        match nested.1 {
            Some(Ok(year)) => set("byYear", Some(year.into())),
            Some(Err(_)) => set("byField", Some("".into())),
            None => {}
        }
        if let Some((seconds, nanos)) = known.0 {
            let timestamp = [&[0x08][..], &varint(seconds as u64), &[0x10], &varint(u64::from(nanos))].concat();
            let text = POOL.message("google.protobuf.Timestamp").unwrap().to_json(&timestamp).unwrap();
            set("since", Some(serde_json::from_str(&text).unwrap()));
        }
        search
    })
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// What the client puts into path and query the gateway reads back, for every
    /// kind of field that a query can carry.
    #[test]
    fn what_the_client_sends_the_gateway_calls(message in search()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let backend = Backend::answering(&[("shelf.Book", json!({"title": "T"}))], None);
            let (replies, status) = call(http_json(backend.gateway()), "Search", std::slice::from_ref(&message)).await;
            prop_assert_eq!((status.code(), status.message()), (Code::Ok, ""));
            prop_assert_eq!(replies, vec![json!({"title": "T"})]);
            let sent = method("Search").input().from_json(message.to_string()).unwrap();
            let sent: Value = serde_json::from_str(&method("Search").input().to_json(&sent).unwrap()).unwrap();
            prop_assert_eq!(backend.received("Search"), vec![sent]);
            Ok(())
        })?;
    }
}

/// The same calls straight to the backend, and through HTTP/JSON and the
/// gateway to it, give the same replies and statuses.
#[tokio::test]
async fn parity_over_grpc_and_over_http_json_through_the_gateway() {
    let failed = Status::new(Code::Aborted, "half-way: 100 % \"ü\"");
    let book = ("shelf.Book", json!({"name": "shelves/a/books/b", "title": "ü", "pages": "7", "tags": ["]", "}"]}));
    let other = ("shelf.Book", json!({}));
    let body = |data: &str| ("google.api.HttpBody", json!({"contentType": "text/plain", "data": data}));
    let more = ("google.api.HttpBody", json!({"data": "Yg=="}));
    let name = json!({"name": "shelves/a/books/b"});
    for (method, requests, replies, status) in [
        ("GetBook", vec![name.clone()], vec![book.clone()], None),
        ("GetBook", vec![json!({"isbn": "0"})], vec![other.clone()], None),
        ("GetBook", vec![name.clone()], vec![], Some(failed.clone())),
        (
            "UpdateBook",
            vec![json!({"book": {"name": "shelves/a/books/b", "title": "x"}, "updateMask": "title"})],
            vec![book.clone()],
            None,
        ),
        ("ReplaceBook", vec![json!({"book": {"name": "shelves/a/books/b"}})], vec![book.clone()], None),
        ("DeleteBook", vec![name.clone()], vec![other.clone()], None),
        ("Rename", vec![json!({"id": -3, "titles": ["a"]})], vec![book.clone()], None),
        ("Rename", vec![json!({"titles": ["a"]})], vec![book.clone()], None),
        ("Lock", vec![json!({"isbn": "1"})], vec![book.clone()], None),
        ("ListTitles", vec![json!({"isbn": "1"})], vec![("shelf.Titles", json!({"titles": ["a", ""]}))], None),
        ("ListTitles", vec![json!({"isbn": "1"})], vec![("shelf.Titles", json!({}))], None),
        (
            "Watch",
            vec![json!({"shelf": "shelves/a", "query": "q"})],
            vec![book.clone(), other.clone(), book.clone()],
            None,
        ),
        ("Watch", vec![json!({"shelf": "shelves/a"})], vec![], None),
        ("Watch", vec![json!({"shelf": "shelves/a"})], vec![], Some(failed.clone())),
        ("Watch", vec![json!({"shelf": "shelves/a"})], vec![book.clone()], Some(failed.clone())),
        ("Download", vec![name.clone()], vec![body("YQ==")], None),
        ("DownloadParts", vec![name.clone()], vec![body("YQ=="), more.clone()], None),
        (
            "Upload",
            vec![json!({"name": "shelves/a", "file": {"contentType": "a/b", "data": "AP8="}, "note": "n"})],
            vec![book.clone()],
            None,
        ),
    ] {
        let backend = Backend::answering(&replies, status);
        let (direct, direct_status) = call(backend.service(), method, &requests).await;
        let direct_received = backend.received(method);
        let (found, found_status) = call(http_json(backend.gateway()), method, &requests).await;
        assert_eq!(found, direct, "{method} {requests:?}");
        assert_eq!(
            (found_status.code(), found_status.message()),
            (direct_status.code(), direct_status.message()),
            "{method} {requests:?}"
        );
        let mut received = backend.received(method);
        // A field that is required goes even where it holds its default.
        for message in &mut received {
            if message["query"] == "" {
                message.as_object_mut().unwrap().remove("query");
            }
        }
        assert_eq!(received, direct_received, "{method} {requests:?}");
    }
}

#[tokio::test]
async fn an_upload_in_parts_arrives_as_one_body() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let parts = [
        json!({"name": "shelves/a", "file": {"contentType": "text/plain", "data": "YWI="}}),
        json!({"file": {"data": "Y2Q="}}),
    ];
    let (replies, status) = call(http_json(backend.gateway()), "UploadParts", &parts).await;
    assert_eq!((replies.len(), status.code()), (1, Code::Ok), "{status:?}");
    let whole = json!({"name": "shelves/a", "file": {"contentType": "text/plain", "data": "YWJjZA=="}});
    assert_eq!(backend.received("UploadParts"), [whole]);
    let (_, status) = call(http_json(backend.gateway()), "Chat", &[json!({})]).await;
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(
        status.message(),
        "/shelf.Shelf/Chat streams its requests, which HTTP/JSON can only for google.api.HttpBody; call it over gRPC"
    );
}

#[tokio::test]
async fn server_streams_come_in_the_form_that_is_asked_for() {
    let books = [("shelf.Book", json!({"title": "a"})), ("shelf.Book", json!({"title": "b"}))];
    let late = Status::new(Code::Unavailable, "gone");
    let error = r#"{"error":{"code":503,"message":"gone","status":"UNAVAILABLE"}}"#;
    for (accept, kind, first, second) in [
        ("application/json", "application/json", "[{\"title\":\"a\"},\n{\"title\":\"b\"}", ",\n@]"),
        ("application/x-ndjson", "application/x-ndjson", "{\"title\":\"a\"}\n{\"title\":\"b\"}\n", "@\n"),
        (
            "text/event-stream",
            "text/event-stream",
            "data: {\"title\":\"a\"}\n\ndata: {\"title\":\"b\"}\n\n",
            "data: @\n\n",
        ),
    ] {
        let watch = || Request::get("/v1/shelves/a:watch").header("accept", accept).body(Full::default()).unwrap();
        let (status, headers, body) = rest(&Backend::answering(&books, None), watch()).await;
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, &*format!("{kind}; charset=UTF-8")));
        let end = if accept == "application/json" { "]" } else { "" };
        assert_eq!(body, format!("{first}{end}"));
        let (status, _, body) = rest(&Backend::answering(&books, Some(late.clone())), watch()).await;
        assert_eq!((status, body), (200, format!("{first}{}", second.replace('@', error))));
        // An error before any message is an error of the whole answer.
        let (status, _, body) = rest(&Backend::answering(&[], Some(late.clone())), watch()).await;
        assert_eq!((status, body.as_str()), (503, error));
    }
    for (accept, kind) in [
        ("text/event-stream;q=0", "application/json"),
        ("Text/Event-Stream", "text/event-stream"),
        ("application/json;q=0.1, application/x-ndjson", "application/x-ndjson"),
        ("*/*;q=0.1, text/event-stream;q=0.2", "text/event-stream"),
    ] {
        let watch = Request::get("/v1/shelves/a:watch").header("accept", accept).body(Full::default()).unwrap();
        let (_, headers, _) = rest(&Backend::answering(&books, None), watch).await;
        assert_eq!(headers["content-type"], format!("{kind}; charset=UTF-8"), "{accept}");
    }
    let (_, _, body) = rest(&Backend::answering(&[], None), get("/v1/shelves/a:watch")).await;
    assert_eq!(body, "[]");
    let (_, headers, _) = rest(&Backend::answering(&books, None), get("/v1/shelves/a:watch?alt=sse")).await;
    assert_eq!(headers["content-type"], "text/event-stream; charset=UTF-8");
}

#[tokio::test]
async fn the_gateway_answers_as_googles_front_ends_do() {
    let book = ("shelf.Book", json!({"name": "n", "title": "x".repeat(2_000), "author": {"born": 1}}));
    let backend = Backend::answering(&[book], None);
    const BOOK: &str = "/v1/shelves/a/books/b";
    let (status, _, body) = rest(&backend, Request::head(BOOK).body(Full::default()).unwrap()).await;
    assert_eq!((status, body.as_str()), (200, ""), "HEAD on a GET route");
    let (_, _, body) = rest(&backend, get(&format!("{BOOK}?prettyPrint=true"))).await;
    assert!(body.starts_with("{\n  \"name\": \"n\",\n"), "{body}");
    let (status, _, body) = rest(&backend, get(&format!("{BOOK}?alt=proto"))).await;
    assert_eq!(status, 400, "{body}");
    let zipped = Request::get(BOOK).header("accept-encoding", "br, gzip").body(Full::default()).unwrap();
    let (head, body) = backend.gateway().oneshot(zipped).await.unwrap().into_parts();
    assert_eq!(head.headers["content-encoding"], "gzip");
    let packed = body.collect().await.unwrap().to_bytes();
    assert!(packed.len() < 200, "{}", packed.len());
    // The verb of a template comes before a value that holds it.
    rest(&backend, get("/v1/shelves/a/books/b:download")).await;
    assert_eq!(backend.received("Download"), [json!({"name": "shelves/a/books/b"})]);
    rest(&backend, get("/v1/shelves/a/books/b:other")).await;
    assert_eq!(backend.received("GetBook"), [json!({"name": "shelves/a/books/b:other"})]);
    // A default in the path wins over the body, and either spelling of a mask is read.
    let patch = Request::patch(format!("{BOOK}?updateMask=given_name,pageSize,a_1"))
        .body(Full::from(r#"{"name":"shelves/x/books/y"}"#))
        .unwrap();
    rest(&backend, patch).await;
    let calls = backend.calls.lock().unwrap();
    let wire = &calls.last().unwrap().2[0];
    let update = prost_reflect::DynamicMessage::decode(
        prost_reflect::DescriptorPool::decode(SET.as_slice())
            .unwrap()
            .get_message_by_name("shelf.UpdateBookRequest")
            .unwrap(),
        wire.as_slice(),
    )
    .unwrap();
    let text = update.to_string();
    assert!(text.contains("name:\"shelves/a/books/b\"") && !text.contains("shelves/x"), "{text}");
    for path in ["given_name", "page_size", "a_1"] {
        assert!(text.contains(&format!("\"{path}\"")), "{text}");
    }
}

/// The request as the backend gets it, or the status that it is refused with.
#[tokio::test]
async fn what_a_request_line_may_be() {
    const SEARCH: &str = "/v1/shelves/a/books:search";
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    for (path, method, message) in [
        // A plus is itself in a path, and a space in a query.
        ("/v1/shelves/a+b/books:search?query=c+d", "Search", json!({"shelf": "shelves/a+b", "query": "c d"})),
        // A key of the query is decoded before it is looked up.
        (&format!("{SEARCH}?%71uery=q&%24alt=json"), "Search", json!({"shelf": "shelves/a", "query": "q"})),
        // Bytes are read in either alphabet, with and without padding.
        (&format!("{SEARCH}?cursor=%2F%2B8%3D"), "Search", json!({"shelf": "shelves/a", "cursor": "/+8="})),
        (&format!("{SEARCH}?cursor=%2F%2B8"), "Search", json!({"shelf": "shelves/a", "cursor": "/+8="})),
        (&format!("{SEARCH}?cursor=_-8%3D"), "Search", json!({"shelf": "shelves/a", "cursor": "/+8="})),
        (&format!("{SEARCH}?cursor=_-8"), "Search", json!({"shelf": "shelves/a", "cursor": "/+8="})),
        (&format!("{SEARCH}?score=NaN"), "Search", json!({"shelf": "shelves/a", "score": "NaN"})),
        // A colon that belongs to the value.
        ("/v1/shelves/a/books/b%3Adownload", "GetBook", json!({"name": "shelves/a/books/b:download"})),
        // Dots and backslashes in a path are kept as they are.
        ("/v1/archive/a//b", "GetBook", json!({"name": "archive/a//b"})),
        ("/v1/archive/%2e%2E/b", "GetBook", json!({"name": "archive/../b"})),
        // An encoded slash in several segments stays encoded.
        ("/v1/archive/a%2fb%20c", "GetBook", json!({"name": "archive/a%2fb c"})),
        // A literal matches however it is percent-encoded.
        ("/v1/%40titles/t", "Find", json!({"title": "t"})),
        ("/v1/@titles/t", "Find", json!({"title": "t"})),
        ("/v1/a%20b/x", "Find", json!({"author": "x"})),
    ] {
        let (status, _, body) = rest(&backend, get(path)).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert_eq!(backend.received(method), [message], "{path}");
    }
    for (path, problem) in [
        ("?byYear=1&byField=x", "`byYear` and `byField` are of one oneof"),
        ("?pageSize=", "pageSize"),
        ("?query=%zz", "hexadecimal"),
        ("?query=%ff", "UTF-8"),
        ("?query=a&query=b", "comes twice"),
    ] {
        let (status, _, body) = rest(&backend, get(&format!("{SEARCH}{path}"))).await;
        assert!(status == 400 && body.contains(problem), "{path}: {status} {body}");
    }
    for path in ["/v1/shelves/%zz/books:search", "/v1/shelves/%ff/books:search"] {
        let (status, _, body) = rest(&backend, get(path)).await;
        assert_eq!(status, 400, "{path}: {body}");
    }
    // body_star: what the path says comes before what the body says.
    let put =
        Request::put("/v1/shelves/a/books/b").body(Full::from(r#"{"book":{"name":"shelves/x/books/y"}}"#)).unwrap();
    rest(&backend, put).await;
    assert_eq!(backend.received("ReplaceBook"), [json!({"book": {"name": "shelves/a/books/b"}})]);
}

#[tokio::test]
async fn response_body_repeated_is_json_array() {
    for (titles, text) in [(json!({"titles": ["a", ""]}), r#"["a",""]"#), (json!({}), "[]")] {
        let backend = Backend::answering(&[("shelf.Titles", titles)], None);
        let (status, _, body) = rest(&backend, get("/v1/titles/1")).await;
        assert_eq!((status, body.as_str()), (200, text));
    }
}

#[tokio::test]
async fn headers_become_metadata_but_those_of_the_connection() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let request = Request::get("/v1/books/1")
        .header("connection", "keep-alive, x-own")
        .header("x-own", "1")
        .header("keep-alive", "5")
        .header("grpc-anything", "1")
        .header("x-goog-user-project", "p")
        .header("x-data-bin", "YQ==,Yg==")
        .body(Full::default())
        .unwrap();
    rest(&backend, request).await;
    let headers = backend.calls.lock().unwrap().last().unwrap().1.clone();
    assert_eq!(headers["x-goog-user-project"], "p");
    // -bin metadata, comma-joined values
    assert_eq!(headers.get_all("x-data-bin").iter().collect::<Vec<_>>(), ["YQ", "Yg"]);
    for gone in ["connection", "x-own", "keep-alive", "grpc-anything"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
}

/// What the backend gets is checked before it is sent: a server may fail the calls of
/// others for a header that one caller sent.
#[tokio::test]
async fn metadata_that_grpc_cannot_carry_is_refused_before_it_is_sent() {
    let many = ",".repeat(2_000);
    let long = "x".repeat(100_000);
    for (name, value, http, grpc, problem) in [
        ("x-trace-bin", "!!!", 400, 3, "the value of the header x-trace-bin is not base64"),
        ("x-trace-bin", "YQ==,_-8", 400, 3, "the value of the header x-trace-bin is not base64"),
        ("x-name", "\u{fc}", 400, 3, "the value of the header x-name has bytes that gRPC cannot carry"),
        ("x-name", "a\tb", 400, 3, "the value of the header x-name has bytes that gRPC cannot carry"),
        ("x!name", "", 400, 3, "the name of the header x!name cannot be passed on"),
        ("a-bin", &*many, 431, 8, "the headers are larger than 8192 bytes"),
        ("x-long", &*long, 431, 8, "the headers are larger than 8192 bytes"),
    ] {
        let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
        let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let request = Request::get("/v1/books/1").header(name, &value).body(Full::default()).unwrap();
        let (status, _, body) = rest(&backend, request).await;
        assert!(status == http && body.contains(problem), "{name}: {status} {body}");
        // gRPC that passes through shares the connection.
        let call = Request::post("/shelf.Shelf/GetBook").header("content-type", "application/grpc");
        let call = call.header(name, &value).body(Body::empty()).unwrap();
        let answer = backend.gateway().oneshot(call).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert!(status.code() as i32 == grpc && status.message().starts_with(problem), "{name}: {status:?}");
        assert_eq!(backend.calls.lock().unwrap().len(), 0, "{name}");
    }
}

#[tokio::test]
async fn how_large_metadata_may_be_can_be_set() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let gateway = GatewayLayer::new(RULES.clone()).unwrap().max_metadata_size(200_000).layer(backend.service());
    let long = "x".repeat(100_000);
    let request = Request::get("/v1/books/1").header("x-long", &long).body(Full::<Bytes>::default()).unwrap();
    assert_eq!(gateway.oneshot(request).await.unwrap().status(), 200);
    assert_eq!(backend.calls.lock().unwrap().last().unwrap().1["x-long"], *long);
}

/// Headers that were sent before the call failed.
#[tokio::test]
async fn initial_metadata_survives_failure() {
    let failing = service_fn(|_: Request<Body>| async {
        let trailers = HeaderMap::from_iter([
            ("grpc-status".parse().unwrap(), "14".parse().unwrap()),
            ("x-both".parse().unwrap(), "trailers".parse().unwrap()),
            ("x-last".parse::<http::HeaderName>().unwrap(), http::HeaderValue::from_static("3")),
        ]);
        let frames = vec![Ok::<_, Infallible>(Frame::trailers(trailers))];
        let answer = Response::builder()
            .header("content-type", "application/grpc")
            .header("retry-after", "7")
            .header("x-req-id", "1")
            .header("x-req-id", "2")
            .header("x-both", "headers")
            .header("grpc-encoding", "gzip");
        Ok::<_, Infallible>(answer.body(Body::new(StreamBody::new(tokio_stream(frames)))).unwrap())
    });
    for path in ["/v1/books/1", "/v1/shelves/a:watch", "/v1/shelves/a/books/b:download"] {
        let answer = Gateway::new(RULES.clone(), failing).unwrap().oneshot(get(path)).await.unwrap();
        let all = |name: &str| answer.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            (answer.status().as_u16(), all("retry-after"), all("x-last")),
            (503, vec!["7".parse().unwrap()], vec!["3".parse().unwrap()]),
            "{path}"
        );
        assert_eq!(
            (all("x-req-id"), all("x-both")),
            (vec!["1".parse().unwrap(), "2".parse().unwrap()], vec!["trailers".parse().unwrap()]),
            "{path}"
        );
        assert_eq!((all("content-type").len(), all("grpc-encoding").len()), (1, 0), "{path}");
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// However they are written, in one header line or more; one that is not known is named.
#[tokio::test]
async fn content_codings_are_undone_in_reverse_order() {
    const BOOK: &[u8] = br#"{"title":"a"}"#;
    let (once, twice) = (packed(BOOK), packed(&packed(BOOK)));
    for (lines, body, http, problem) in [
        (&["GZIP"][..], &once, 200, ""),
        (&["x-gzip"], &once, 200, ""),
        (&["identity, Gzip"], &once, 200, ""),
        (&["gzip, gzip"], &twice, 200, ""),
        (&["gzip", "X-GZIP"], &twice, 200, ""),
        (&["gzip"], &twice, 400, ""),
        (&["gzip, gzip"], &once, 400, "not gzip, as it says"),
        (&["gzip, br"], &once, 415, "the content encoding `br` is not known"),
        (&["gzip", "gzip, gzip, gzip, gzip"], &once, 415, "more than 4 content encodings"),
    ] {
        let mut request = Request::patch("/v1/shelves/a/books/b");
        let mut answer = Response::builder();
        for line in lines {
            request = request.header("content-encoding", *line);
            answer = answer.header("content-encoding", *line);
        }
        let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
        let (found, _, text) = rest(&backend, request.body(Full::from(body.clone())).unwrap()).await;
        assert!(found == http && text.contains(problem), "{lines:?}: {found} {text}");

        let answer = answer.body(Full::from(Bytes::from(body.clone()))).unwrap();
        let server = service_fn(move |_: Request<Full<Bytes>>| std::future::ready(Ok::<_, Infallible>(answer.clone())));
        for (method, message) in [("GetBook", json!({"isbn": "1"})), ("Watch", json!({"shelf": "shelves/a"}))] {
            let (books, status) = call(http_json(server.clone()), method, &[message]).await;
            if http == 200 {
                assert_eq!((books, status.code()), (vec![json!({"title": "a"})], Code::Ok), "{method} {lines:?}");
            } else {
                assert!(status.code() == Code::Internal && status.message().contains(problem), "{status:?}");
            }
        }
    }
}

#[tokio::test]
async fn blank_200_is_no_message_but_where_there_is_none() {
    for (http, body) in [(204, ""), (200, ""), (200, " \n")] {
        for (method, message, replies, code) in [
            ("GetBook", json!({"isbn": "1"}), vec![], Code::Internal),
            ("ListTitles", json!({"isbn": "1"}), vec![], Code::Internal),
            ("Watch", json!({"shelf": "shelves/a"}), vec![], Code::Ok),
            ("Forget", json!({"isbn": "1"}), vec![json!({})], Code::Ok),
        ] {
            let (_, service) = answering(http, &[], body);
            let (found, status) = call(http_json(service), method, &[message]).await;
            assert_eq!((found, status.code()), (replies, code), "{method} {body:?} {status:?}");
            assert!(code == Code::Ok || status.message().contains("may have been carried out"), "{status:?}");
        }
        let (_, service) = answering(http, &[], "");
        let (found, status) = call(http_json(service), "Download", &[json!({"name": "shelves/a/books/b"})]).await;
        assert_eq!((found, status.code()), (vec![json!({})], Code::Ok), "{status:?}");
    }
}

#[tokio::test]
async fn an_error_object_in_a_200_is_that_error() {
    let one = json!({"isbn": "1"});
    for (method, body, code, message) in [
        ("GetBook", r#"{"error":{"code":404,"message":"gone","status":"NOT_FOUND"}}"#, Code::NotFound, "gone"),
        ("GetBook", r#" { "error" : {"code":409,"message":"again"}}"#, Code::Aborted, "again"),
        ("GetBook", r#"[{"error":{"message":"m"}}]"#, Code::Internal, "m"),
        ("ListTitles", r#"{"error":{"code":5,"message":"m"}}"#, Code::NotFound, "m"),
        ("Forget", r#"{"error":{"code":403,"message":"m"}}"#, Code::PermissionDenied, "m"),
        // Here an error is none, or not all that there is.
        ("Note", r#"{"error":{"code":404}}"#, Code::Ok, ""),
        ("GetBook", r#"{"error":{"code":404},"title":"a"}"#, Code::Ok, ""),
        ("GetBook", r#"{"error":"a word"}"#, Code::Ok, ""),
    ] {
        let (_, service) = answering(200, &[("x-req-id", "7")], body);
        let (_, status) = call(http_json(service), method, std::slice::from_ref(&one)).await;
        assert_eq!((status.code(), status.message()), (code, message), "{method} {body}");
        let said = |name: &str| status.metadata().get(name).map(|value| value.to_str().unwrap().to_owned());
        let expected = (code != Code::Ok).then(|| ("7".to_owned(), "200".to_owned()));
        assert_eq!(said("x-req-id").zip(said("http-status")), expected, "{method} {body}");
    }
}

/// grpc-gateway has each message of a stream in an envelope.
#[tokio::test]
async fn array_envelope_of_grpc_gateway() {
    let shelf = json!({"shelf": "shelves/a"});
    let (a, b) = (json!({"title": "a"}), json!({"tags": ["}"]}));
    for (body, books, code, message) in [
        ("{\"result\":{\"title\":\"a\"}}\n{\"result\":{\"tags\":[\"}\"]}}\n", vec![a.clone(), b.clone()], Code::Ok, ""),
        ("{\"result\":{}}\n", vec![json!({})], Code::Ok, ""),
        (
            "{\"result\":{\"title\":\"a\"}}\n{\"error\":{\"code\":8,\"message\":\"full\",\"details\":[]}}\n",
            vec![a.clone()],
            Code::ResourceExhausted,
            "full",
        ),
        // Google's own streams have no envelope, and HTTP's codes.
        (
            "[{\"title\":\"a\"},{\"error\":{\"code\":409,\"message\":\"again\"}}]",
            vec![a.clone()],
            Code::Aborted,
            "again",
        ),
        // A message of a newer server.
        ("{\"result\":1,\"title\":\"a\"}\n", vec![a.clone()], Code::Ok, ""),
    ] {
        let (_, service) = answering(200, &[("content-type", "application/json")], body);
        let (found, status) = call(http_json(service), "Watch", std::slice::from_ref(&shelf)).await;
        assert_eq!((found, status.code(), status.message()), (books, code, message), "{body}");
    }
    // Any key may be the message's own.
    let (_, service) = answering(200, &[], "{\"result\":{}}\n{\"error\":{}}\n");
    let (found, status) = call(http_json(service), "WatchNotes", &[json!({"isbn": "1"})]).await;
    assert_eq!((found, status.code()), (vec![json!({"result": {}}), json!({"error": {}})], Code::Ok), "{status:?}");
}

#[tokio::test]
async fn a_3xx_is_not_followed_with_credentials() {
    let (asked, service) = answering(302, &[("location", "http://127.0.0.1:2/")], "");
    let (_, status) = call(http_json(service), "GetBook", &[json!({"isbn": "1"})]).await;
    assert_eq!((status.code(), asked.lock().unwrap().len()), (Code::Unknown, 1));
}

#[tokio::test]
async fn a_stream_that_ends_early_is_unavailable() {
    let (_, service) = answering(200, &[("content-type", "application/json")], r#"[{"title":"a"},"#);
    let (found, status) = call(http_json(service), "Watch", &[json!({"shelf": "shelves/a"})]).await;
    assert_eq!((found, status.code()), (vec![json!({"title": "a"})], Code::Unavailable), "{status:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_fails_before_the_service_is_ready() {
    #[derive(Clone)]
    struct Never;

    impl Service<Request<Full<Bytes>>> for Never {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }

        fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
            std::future::ready(Ok(Response::default()))
        }
    }

    let (_, status) = call(http_json(Never), "DeleteBook", &[json!({})]).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test]
async fn requests_have_the_headers_that_they_need() {
    let framed = |name: &str, json: Value| frame(&method(name).input().from_json(json.to_string()).unwrap());
    for (name, message, kind, length) in [
        ("GetBook", json!({"isbn": "1"}), None, None),
        ("Touch", json!({"isbn": "1"}), None, Some("0")),
        ("Touch", json!({"name": "shelves/a"}), Some("application/json"), None),
    ] {
        let (asked, service) = answering(200, &[], "{}");
        let call = Request::post(format!("/shelf.Shelf/{name}"))
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "250m")
            .header("te", "trailers")
            .body(Body::new(Full::from(framed(name, message))))
            .unwrap();
        http_json(service).oneshot(call).await.unwrap();
        let asked = asked.lock().unwrap();
        let header = |name: &str| asked[0].headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!((header("content-type"), header("content-length")), (kind, length), "{name}");
        assert_eq!(header("x-server-timeout"), Some("0.25"));
        assert_eq!((header("te"), header("grpc-timeout")), (None, None));
    }
}

#[tokio::test]
async fn an_http_status_without_a_body_has_its_code() {
    for (status, code) in [
        (400, Code::InvalidArgument),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::NotFound),
        (409, Code::Aborted),
        (416, Code::OutOfRange),
        (429, Code::ResourceExhausted),
        (499, Code::Cancelled),
        (500, Code::Internal),
        (501, Code::Unimplemented),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::DeadlineExceeded),
        (507, Code::Internal),
    ] {
        let (_, service) = answering(status, &[], "");
        let request = Request::post("/shelf.Shelf/GetBook")
            .body(Body::new(Full::from(frame(&method("GetBook").input().from_json(r#"{"isbn":"1"}"#).unwrap()))))
            .unwrap();
        let answer = http_json(service).oneshot(request).await.unwrap();
        // Trailers-only: HTTP 200, and the status among the headers.
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"application/grpc".parse().unwrap())
        );
        assert_eq!(Status::from_header_map(answer.headers()).unwrap().code(), code, "{status}");
    }
}

/// A detail of a type that neither side knows keeps its type and its bytes.
#[tokio::test]
async fn unknown_details_pass_through_the_gateway_and_back() {
    use prost::Message;
    let detail =
        prost_types::Any { type_url: "type.googleapis.com/acme.Unknown".to_owned(), value: vec![8, 1, 0x12, 1, 0xff] };
    let empty = prost_types::Any { value: Vec::new(), ..detail.clone() };
    let details = vec![detail, empty];
    let encoded = rpc::Status { details: details.clone(), ..Default::default() };
    let failed = Status::with_details(Code::Aborted, "m", encoded.encode_to_vec().into());
    let backend = Backend::answering(&[], Some(failed));
    let (_, status) = call(http_json(backend.gateway()), "GetBook", &[json!({"isbn": "1"})]).await;
    let found = rpc::Status::decode(status.details()).unwrap();
    assert_eq!((status.code(), found.details), (Code::Aborted, details));
}

#[tokio::test]
async fn a_backend_that_does_not_answer_with_one_message_is_an_internal_error() {
    for count in [0, 2] {
        let backend = Backend::answering(&vec![("shelf.Book", json!({})); count], None);
        let (status, _, body) = rest(&backend, get("/v1/books/1")).await;
        assert_eq!(status, 500, "{count}: {body}");
    }
    let cut = service_fn(|_: Request<Body>| async {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let pieces =
            [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"\0\0\0\0\x05ab"))), Ok(Frame::trailers(trailers))];
        Ok::<_, Infallible>(Response::new(Body::new(StreamBody::new(tokio_stream(pieces.into())))))
    });
    let answer = Gateway::new(RULES.clone(), cut).unwrap().oneshot(get("/v1/books/1")).await.unwrap();
    assert_eq!(answer.status(), 500);
}

/// The deadline of a call over gRPC covers the body of the answer, too.
#[tokio::test]
async fn a_backend_that_stalls_in_its_body_ends_at_the_deadline() {
    let stalling = service_fn(|_: Request<RequestBody>| async {
        let never = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let answer = Response::builder().header("content-type", "application/grpc");
        Ok::<_, Infallible>(answer.body(Body::new(StreamBody::new(never))).unwrap())
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(serve(listener, stalling, ServeOptions::default()));
    let call = Request::post("/shelf.Shelf/GetBook")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "50m")
        .body(Body::empty())
        .unwrap();
    let body = Grpc::new(origin).unwrap().oneshot(call).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "4");
}

#[tokio::test]
async fn timeouts_are_passed_on_and_held() {
    let backend = Backend::answering(&[("shelf.Book", json!({}))], None);
    let request = Request::get("/v1/books/1").header("x-server-timeout", "2.5").body(Full::default()).unwrap();
    rest(&backend, request).await;
    assert_eq!(backend.calls.lock().unwrap().last().unwrap().1["grpc-timeout"], "2500m");
    // A backend that never answers.
    let never = service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
    let gateway = Gateway::new(RULES.clone(), never).unwrap();
    let request =
        Request::get("/v1/books/1").header("x-server-timeout", "0.01").body(Full::<Bytes>::default()).unwrap();
    let answer = gateway.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 504);
}
