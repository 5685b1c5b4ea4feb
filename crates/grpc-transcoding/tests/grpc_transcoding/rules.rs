//! HTTP rules: what they make of a message, and which cannot be used.

use crate::shelf::*;
use bytes::Bytes;
use grpc_transcoding::client::HttpJson;
use grpc_transcoding::server::{Gateway, GatewayLayer};
use grpc_transcoding::{DescriptorPool, HttpRules};
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tonic::Code;
use tower::{Layer, ServiceExt};

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
    let without = DescriptorPool::decode(include_bytes!("../../src/rpc/rpc.bin")).unwrap();
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
