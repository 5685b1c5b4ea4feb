//! The edge cases of gRPC Transcoding and ProtoJSON, one by one. Where a rule leaves a
//! choice, the test says which was made.

use crate::shelf::*;
use grpc_transcoding::{Lint, PathTemplate};
use http::{Method, Request};
use http_body_util::Full;
use prost::Message as _;
use serde_json::{Value, json};
use tonic::{Code, Status};

/// The verb, path and query that a message becomes, and its body.
fn sent(name: &str, message: Value) -> Result<(String, String), String> {
    transcode(name, message).map(|(line, _, body)| (line, body))
}

fn line(name: &str, message: Value) -> String {
    sent(name, message).unwrap().0
}

/// The message that the gateway makes of a request, or the status and text that it
/// refuses it with.
async fn received(name: &str, verb: Method, target: &str, body: &str) -> Result<Value, (u16, String)> {
    let backend = Backend::answering(&[(method(name).output().name(), json!({}))], None);
    let request = Request::builder().method(verb).uri(target).body(Full::from(body.to_owned())).unwrap();
    match rest(&backend, request).await {
        (200, _, _) => Ok(backend.received(name).remove(0)),
        (status, _, text) => Err((status, text)),
    }
}

/// The message of a GET.
async fn got(name: &str, target: &str) -> Result<Value, (u16, String)> {
    received(name, Method::GET, target, "").await
}

/// What the stub gets of an answer to a GET of a book.
async fn answered(status: u16, body: &'static str) -> (Vec<Value>, Status) {
    let (_, server) = answering(status, &[("content-type", "application/json")], body);
    call(http_json(server), "GetBook", &[json!({"isbn": "1"})]).await
}

fn template(source: &str) -> Result<PathTemplate, String> {
    PathTemplate::parse(source).map_err(|error| error.to_string())
}

fn matches(source: &str, path: &str) -> Option<Vec<String>> {
    template(source).unwrap().matches(path).unwrap()
}

/// Why a rule of a method cannot be used: fields by their numbers.
fn rule_error(method: &str, rule: &[(u8, &str)]) -> String {
    let lints = rules_with(&http_rule(method, rule)).unwrap().lint();
    let of_rule = |lint: &&Lint| lint.problem.starts_with("cannot be used");
    lints.iter().find(of_rule).expect("the rule cannot be used").to_string()
}

mod rule_and_template {
    use super::*;

    #[test]
    fn body_absent_means_no_body_even_for_post() {
        let expected = ("POST /v1/touch/5".to_owned(), String::new());
        assert_eq!(sent("Touch", json!({"isbn": "5"})), Ok(expected));
    }

    #[test]
    fn body_must_be_top_level_field() {
        assert!(rule_error("UpdateBook", &[(PUT, "/v1/x"), (BODY, "book.title")]).contains("book.title"));
    }

    #[test]
    fn response_body_top_level() {
        assert!(rule_error("GetBook", &[(GET, "/v1/x"), (RESPONSE_BODY, "author.born")]).contains("author.born"));
    }

    #[test]
    fn single_star_exactly_one_segment() {
        assert_eq!(matches("/v1/{name=a/*}", "/v1/a/b"), Some(vec!["a/b".to_owned()]));
        for path in ["/v1/a", "/v1/a/", "/v1/a/b/c"] {
            assert_eq!(matches("/v1/{name=a/*}", path), None, "{path}");
        }
    }

    #[test]
    fn double_star_zero_or_more() {
        for (path, name) in [("/v1/a", "a"), ("/v1/a/b", "a/b"), ("/v1/a/b/c", "a/b/c")] {
            assert_eq!(matches("/v1/{name=a/**}", path), Some(vec![name.to_owned()]));
        }
    }

    /// By http.proto `**` stands last. Google's own protos have it before other segments,
    /// which is taken; two of them are not.
    #[test]
    fn double_star_once_before_verb_or_other_segments() {
        assert_eq!(matches("/v1/{name=a/**}:verb", "/v1/a/b/c:verb"), Some(vec!["a/b/c".to_owned()]));
        assert_eq!(matches("/v1/{name=a/**/z}", "/v1/a/b/c/z"), Some(vec!["a/b/c/z".to_owned()]));
        assert!(template("/v1/{name=a/**/b/**}").is_err());
    }

    #[test]
    fn triple_star_invalid() {
        assert!(template("/v1/***").is_err());
    }

    #[test]
    fn variable_not_nested() {
        assert!(template("/v1/{a={b}}").is_err());
    }

    #[test]
    fn a_variable_without_a_template_is_one_segment() {
        // `{v}` equals `{v=*}`.
        for path in ["/v1/a", "/v1/a/b", "/v1/"] {
            assert_eq!(matches("/v1/{v}", path), matches("/v1/{v=*}", path));
        }
    }

    #[tokio::test]
    async fn value_with_slash_does_not_match_star() {
        // Sent: the binding does not fit, and the next one is taken.
        assert_eq!(
            line("GetBook", json!({"name": "shelves/a/books/b/c"})),
            "GET /v1/books/0?name=shelves%2Fa%2Fbooks%2Fb%2Fc"
        );
        // Received: %2F is a character of the segment.
        assert_eq!(got("Find", "/v1/@titles/a%2Fb").await, Ok(json!({"title": "a/b"})));
    }

    #[test]
    fn path_var_never_captures_leading_slash() {
        assert_eq!(matches("/v1/{name=**}", "/v1//a"), None);
        assert!(template("/v1/{name=**}").unwrap().expand(&["/a"]).unwrap_err().to_string().contains("slash"));
    }

    /// Not at build, as it might be: Google's own rules leave such fields to the query.
    #[test]
    fn query_repeated_message_is_linted_and_refused_by_the_call() {
        let error = sent("Search", json!({"shelf": "shelves/a", "authors": [{}]})).unwrap_err();
        assert!(error.contains("`authors`"), "{error}");
        assert!(RULES.lint().iter().any(|lint| lint.field.as_deref() == Some("authors")));
    }

    #[test]
    fn query_recursion_rejected() {
        let deep = json!({"shelf": "shelves/a", "nested": {"again": {"leaf": "x"}}});
        assert!(sent("Search", deep).unwrap_err().contains("`nested.again`"));
        let flat = json!({"shelf": "shelves/a", "nested": {"leaf": "x"}});
        assert!(line("Search", flat).ends_with("nested.leaf=x"));
    }

    #[test]
    fn additional_binding_body_is_its_own() {
        // The first binding has `body: "*"`, the second none.
        let body = |message| sent("Touch", message).unwrap().1;
        assert_eq!(body(json!({"name": "shelves/a", "isbn": "5"})), r#"{"isbn":"5"}"#);
        assert_eq!(body(json!({"isbn": "5"})), "");
    }

    #[test]
    fn nested_additional_bindings_rejected() {
        let additional = "\u{12}\u{2}/a\u{5a}\u{4}\u{12}\u{2}/b";
        assert!(rule_error("GetBook", &[(GET, "/v1/x"), (ADDITIONAL, additional)]).contains("additional"));
    }

    #[test]
    fn no_binding_matches_lists_every_path_and_field() {
        let error = sent("Find", json!({})).unwrap_err();
        for part in ["/v1/@titles/{title}", "`title`", "/v1/a b/{author}", "`author`"] {
            assert!(error.contains(part), "{error}");
        }
    }
}

mod percent_encoding {
    use super::*;

    #[test]
    fn multi_segment_also_keeps_slash() {
        assert_eq!(line("GetBook", json!({"name": "archive/a b/c:d"})), "GET /v1/archive/a%20b/c%3Ad");
    }

    #[test]
    fn multi_segment_server_keeps_2f_in_either_case() {
        assert_eq!(matches("/v1/{name=a/**}", "/v1/a/b%2Fc%2fd%20e"), Some(vec!["a/b%2Fc%2fd e".to_owned()]));
    }

    /// What http.proto leaves ambiguous: a `%2F` in the value is sent as `%252F`, and is
    /// read back as `%2F`, as is one that stood for a slash.
    #[test]
    fn literal_percent2f_in_multi_value() {
        assert_eq!(line("GetBook", json!({"name": "archive/a%2Fb"})), "GET /v1/archive/a%252Fb");
        for path in ["/v1/a/b%252Fc", "/v1/a/b%2Fc"] {
            assert_eq!(matches("/v1/{name=a/**}", path), Some(vec!["a/b%2Fc".to_owned()]));
        }
    }

    /// The error says whether it is the path or the query.
    #[tokio::test]
    async fn malformed_percent_is_400() {
        for (target, part) in [
            ("/v1/@titles/a%2", "path"),
            ("/v1/@titles/a%zz", "path"),
            ("/v1/shelves/a/books:search?query=%", "query"),
            ("/v1/shelves/a/books:search?%zz=a", "query"),
        ] {
            let (status, text) = got("Find", target).await.unwrap_err();
            assert!(status == 400 && text.contains(&format!("the {part} cannot be decoded")), "{target}: {text}");
        }
    }

    #[tokio::test]
    async fn invalid_utf8_after_decode_is_400() {
        for (target, part) in [("/v1/@titles/a%ff", "path"), ("/v1/shelves/a/books:search?query=%c3", "query")] {
            let (status, text) = got("Find", target).await.unwrap_err();
            assert!(status == 400 && text.contains(&format!("the {part} cannot be decoded")), "{target}: {text}");
        }
    }

    #[tokio::test]
    async fn astral_char_utf8_encoded() {
        assert_eq!(line("Find", json!({"title": "\u{1F680}"})), "GET /v1/@titles/%F0%9F%9A%80");
        assert_eq!(got("Find", "/v1/@titles/%F0%9F%9A%80").await, Ok(json!({"title": "\u{1F680}"})));
    }

    #[test]
    fn dot_and_dotdot_segment_rejected_star() {
        for title in [".", ".."] {
            let error = sent("Find", json!({"title": title})).unwrap_err();
            assert!(error.contains("a segment `.` or `..`"), "{error}");
        }
        assert_eq!(line("Find", json!({"title": "..."})), "GET /v1/@titles/...");
    }

    #[test]
    fn dot_segments_rejected_anywhere_in_double_star() {
        for name in ["archive/..", "archive/./a", "archive/a/../b"] {
            // The last binding takes it as a query.
            assert!(line("GetBook", json!({"name": name})).starts_with("GET /v1/books/0?name=archive%2F"), "{name}");
        }
    }

    #[test]
    fn backslash_tab_newline_encoded() {
        assert_eq!(line("Find", json!({"title": "a\\b\tc\nd"})), "GET /v1/@titles/a%5Cb%09c%0Ad");
    }

    #[tokio::test]
    async fn colon_in_value_is_not_a_verb() {
        assert_eq!(line("Find", json!({"title": "a:search"})), "GET /v1/@titles/a%3Asearch");
        assert_eq!(
            got("GetBook", "/v1/shelves/a/books/b%3Adownload").await,
            Ok(json!({"name": "shelves/a/books/b:download"}))
        );
    }

    #[tokio::test]
    async fn unregistered_verb_stays_in_value() {
        // As Envoy's match_unregistered_custom_verb.
        assert_eq!(got("GetBook", "/v1/shelves/a/books/b:other").await, Ok(json!({"name": "shelves/a/books/b:other"})));
    }
}

mod query {
    use super::*;

    const SEARCH: &str = "/v1/shelves/a/books:search";

    /// The message of a search, without the shelf that its path names.
    async fn searched(query: &str) -> Result<Value, (u16, String)> {
        let mut message = got("Search", &format!("{SEARCH}?{query}")).await?;
        assert_eq!(message.as_object_mut().unwrap().remove("shelf"), Some(json!("shelves/a")));
        Ok(message)
    }

    /// The query that a search becomes, without the required field that always goes.
    fn asked(mut message: Value) -> String {
        message["shelf"] = json!("shelves/a");
        let line = line("Search", message);
        line.strip_prefix("GET /v1/shelves/a/books:search?query=").unwrap().trim_start_matches('&').to_owned()
    }

    #[tokio::test]
    async fn key_is_json_name_dotted() {
        assert_eq!(asked(json!({"by": {"givenName": "A"}, "pageSize": 3})), "pageSize=3&by.givenName=A");
        let message = json!({"by": {"givenName": "A"}, "pageSize": 3});
        for query in ["by.givenName=A&pageSize=3", "by.given_name=A&page_size=3"] {
            assert_eq!(searched(query).await, Ok(message.clone()));
        }
    }

    #[tokio::test]
    async fn repeated_empty_string_kept() {
        assert_eq!(asked(json!({"words": ["", "a"]})), "words=&words=a");
        assert_eq!(searched("words=&words=a").await, Ok(json!({"words": ["", "a"]})));
    }

    /// It has no form in a query, and is left out, as Google's clients do.
    #[test]
    fn message_present_but_empty() {
        assert_eq!(asked(json!({"by": {}})), "");
    }

    #[tokio::test]
    async fn oneof_zero_member_sent() {
        assert_eq!(asked(json!({"byYear": 0})), "byYear=0");
        assert_eq!(searched("byYear=0").await, Ok(json!({"byYear": 0})));
    }

    #[tokio::test]
    async fn two_oneof_members_400() {
        assert_eq!(searched("byYear=1&byField=x").await.unwrap_err().0, 400);
    }

    #[tokio::test]
    async fn timestamp_duration_fieldmask_unquoted() {
        let message =
            json!({"since": "2026-11-24T09:30:00Z", "within": "1.500s", "fieldsToRead": "title,author.givenName"});
        let query = "since=2026-11-24T09%3A30%3A00Z&within=1.500s&fieldsToRead=title%2Cauthor.givenName";
        assert_eq!(asked(message.clone()), query);
        assert_eq!(searched(query).await, Ok(message));
    }

    /// What the message is on the wire is read by the rules that JSON is written by.
    #[test]
    fn query_is_the_merged_message() {
        const SHELF: &[u8] = b"\x0a\x09shelves/a";
        for (wire, query) in [
            // by_year = 19, then by_field = 20: the last member of the oneof.
            (&b"\x98\x01\x01\xa2\x01\x012"[..], "byField=2"),
            (b"\xa2\x01\x012\x98\x01\x01", "byYear=1"),
            // page_size = 3 as a string, query = 2 as a number, words = 9 as a number.
            (b"\x1a\x01\x05", ""),
            (b"\x10\x05", ""),
            (b"\x48\x05\x4a\x01a", "words=a"),
            // page_size in two occurrences, and genres = 7 packed and not.
            (b"\x18\x05\x18\x06", "pageSize=6"),
            (b"\x38\x01\x3a\x02\x07\x00", "genres=CRIME&genres=7&genres=GENRE_UNSPECIFIED"),
            // by = 18 in two pieces, and limit = 16 as well.
            (b"\x92\x01\x03\x0a\x01A\x92\x01\x02\x10\x07", "by.givenName=A&by.born=7"),
            (b"\x82\x01\x02\x08\x05\x82\x01\x00", "limit=5"),
        ] {
            let request = bindings("Search").to_http(&[SHELF, wire].concat()).unwrap();
            let line = request.uri().to_string();
            let found = line.strip_prefix("/v1/shelves/a/books:search?query=").unwrap();
            assert_eq!(found.trim_start_matches('&'), query, "{wire:x?}");
        }
        // The path, too: what it binds may have been overwritten.
        let rules = rules_with(&http_rule("Search", &[(GET, "/v1/{by_field}")])).unwrap();
        let search = rules.method("/shelf.Shelf/Search").unwrap();
        let line = search.to_http(b"\x98\x01\x01\xa2\x01\x012").unwrap().uri().to_string();
        assert_eq!(line, "/v1/2?query=");
        let error = search.to_http(b"\xa2\x01\x012\x98\x01\x01").unwrap_err();
        assert!(error.message().ends_with("GET /v1/{by_field}: field `by_field` is empty"), "{error}");
    }

    #[tokio::test]
    async fn int64_plain_decimal() {
        assert_eq!(asked(json!({"seed": "18446744073709551615"})), "seed=18446744073709551615");
        assert_eq!(searched("limit=-9223372036854775808").await, Ok(json!({"limit": "-9223372036854775808"})));
    }

    #[tokio::test]
    async fn enum_name_or_number_unknown_number_round_trips() {
        assert_eq!(asked(json!({"genre": 1, "genres": [1, 7]})), "genre=CRIME&genres=CRIME&genres=7");
        assert_eq!(
            searched("genre=CRIME&genres=1&genres=7").await,
            Ok(json!({"genre": "CRIME", "genres": ["CRIME", 7]}))
        );
    }

    /// `True` and `False` are what Google's Python client sends; the digits are taken by
    /// other gateways. A body has JSON's own words only.
    #[tokio::test]
    async fn bool_words() {
        for (word, message) in
            [("true", json!({"exact": true})), ("True", json!({"exact": true})), ("1", json!({"exact": true}))]
        {
            assert_eq!(searched(&format!("exact={word}")).await, Ok(message));
        }
        for word in ["false", "False", "0"] {
            assert_eq!(searched(&format!("exact={word}")).await, Ok(json!({})), "{word}");
        }
        for word in ["TRUE", "yes", "2", "", "t"] {
            assert_eq!(searched(&format!("exact={word}")).await.unwrap_err().0, 400, "{word}");
        }
        for body in [r#"{"exact":"True"}"#, r#"{"exact":1}"#, r#"{"exact":True}"#] {
            assert!(method("Search").input().from_json(body).is_err(), "{body}");
        }
    }

    #[tokio::test]
    async fn empty_value_for_int_400() {
        assert_eq!(searched("pageSize=").await.unwrap_err().0, 400);
    }

    #[tokio::test]
    async fn repeated_key_on_singular_400() {
        for query in ["pageSize=1&pageSize=2", "pageSize=1&page_size=2", "by.born=1&by.born=2"] {
            let (status, text) = searched(query).await.unwrap_err();
            assert!(status == 400 && text.contains("comes twice"), "{query}: {text}");
        }
    }
}

mod errors_status_time {
    use super::*;

    async fn failure(status: u16, body: &'static str) -> (Code, String) {
        let (_, failed) = answered(status, body).await;
        (failed.code(), failed.message().to_owned())
    }

    /// The client passes over what a newer server says.
    #[tokio::test]
    async fn an_unknown_field_of_a_response_is_ignored() {
        let (books, status) = answered(200, r#"{"title":"T","addedLater":{"a":[1]}}"#).await;
        assert_eq!((books, status.code()), (vec![json!({"title": "T"})], Code::Ok));
    }

    /// Not as gRPC has it for an answer that is no gRPC, where 404 is UNIMPLEMENTED and 400
    /// INTERNAL.
    #[tokio::test]
    async fn a_bare_http_status_has_the_code_of_the_rest_table() {
        for (status, code) in
            [(404, Code::NotFound), (400, Code::InvalidArgument), (418, Code::FailedPrecondition), (302, Code::Unknown)]
        {
            assert_eq!(failure(status, "").await.0, code, "{status}");
        }
    }

    #[tokio::test]
    async fn a_409_with_status_already_exists_beats_table() {
        let taken = r#"{"error":{"code":409,"message":"taken","status":"ALREADY_EXISTS"}}"#;
        assert_eq!(failure(409, taken).await, (Code::AlreadyExists, "taken".to_owned()));
        assert_eq!(failure(409, r#"{"error":{"code":409,"message":"m"}}"#).await.0, Code::Aborted);
    }

    #[tokio::test]
    async fn error_status_name_unknown_falls_back_to_http() {
        let odd = r#"{"error":{"code":403,"message":"m","status":"ODD"}}"#;
        assert_eq!(failure(403, odd).await, (Code::PermissionDenied, "m".to_owned()));
    }

    #[tokio::test]
    async fn error_in_json_array() {
        let listed = r#"[{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}]"#;
        assert_eq!(failure(404, listed).await, (Code::NotFound, "m".to_owned()));
    }

    #[tokio::test]
    async fn bare_google_rpc_status_accepted() {
        assert_eq!(
            failure(409, r#"{"code":6,"message":"m","details":[]}"#).await,
            (Code::AlreadyExists, "m".to_owned())
        );
    }

    #[tokio::test]
    async fn html_502_body_truncated_into_message() {
        let page: &'static str = format!("<html>{}</html>", "Bad Gateway ".repeat(1_000)).leak();
        let (code, message) = failure(502, page).await;
        assert_eq!(code, Code::Unavailable);
        assert!(message.contains("Bad Gateway") && message.len() < 1_000, "{}: {message}", message.len());
    }

    #[tokio::test]
    async fn details_become_grpc_status_details_bin() {
        let body = r#"{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED","details":[
            {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","domain":"d","metadata":{"k":"v"}}]}}"#;
        let (_, failed) = answered(403, body).await;
        let whole = rpc::Status::decode(failed.details()).unwrap();
        let info: rpc::ErrorInfo = whole.details[0].to_msg().unwrap();
        assert_eq!((whole.code, &*info.reason, &*info.metadata["k"]), (7, "R", "v"));
    }

    #[tokio::test]
    async fn unparsable_detail_kept_as_opaque_or_dropped_never_fatal() {
        let body = r#"{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED","details":[
            {"@type":"type.googleapis.com/acme.Unknown","x":1}, {"reason":"no type"}, 7,
            {"@type":"type.googleapis.com/google.rpc.ErrorInfo","@type":"type.googleapis.com/google.rpc.Help"},
            {"@type":"type.googleapis.com/google.rpc.ErrorInfo","metadata":{"a":"b","a":"c"}},
            {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R"}]}}"#;
        let (_, failed) = answered(403, body).await;
        assert_eq!((failed.code(), failed.message()), (Code::PermissionDenied, "m"));
        let details = rpc::Status::decode(failed.details()).unwrap().details;
        assert!(details.iter().any(|detail| detail.to_msg::<rpc::ErrorInfo>().is_ok_and(|info| info.reason == "R")));
    }

    #[tokio::test]
    async fn grpc_message_percent_encoded() {
        // Both ways through the headers of gRPC, and the JSON of REST.
        let said = "100 % \"ü\"\n\u{1F680}";
        let backend = Backend::answering(&[], Some(Status::new(Code::Aborted, said)));
        let (_, failed) = call(http_json(backend.gateway()), "GetBook", &[json!({"isbn": "1"})]).await;
        assert_eq!((failed.code(), failed.message()), (Code::Aborted, said));
    }

    #[tokio::test]
    async fn a_200_that_is_no_json_is_internal() {
        for body in ["<html></html>", "{", r#"{"pages":[]}"#] {
            assert_eq!(failure(200, body).await.0, Code::Internal, "{body}");
        }
    }
}
