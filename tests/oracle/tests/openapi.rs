//! OpenAPI documents: that they say what the codec does, and the pages of a gateway.

#[path = "../../../crates/grpc-transcoding/tests/shelf/mod.rs"]
mod shelf;

use std::{collections::HashSet, sync::LazyLock};

use bytes::Bytes;
use grpc_transcoding::{
    Binding, DescriptorPool, HttpPayload, HttpRules, Options, Query, Route, Router, openapi::OpenApi,
    protojson::WriteOptions, server::GatewayLayer,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use tonic::body::Body;
use tower::{Layer, ServiceExt};

use shelf::{Backend, RULES, SET};

static DESCRIBED: LazyLock<(Vec<u8>, HttpRules)> = LazyLock::new(|| {
    let mut compiler = protox::Compiler::new(["proto", "../../crates/protojson/tests/proto", "../../proto"]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_files(["described.proto"]).unwrap();
    let set = compiler.encode_file_descriptor_set();
    let rules = HttpRules::new(&DescriptorPool::decode(&set).unwrap());
    (set, rules)
});

fn described() -> OpenApi {
    OpenApi::new(&DESCRIBED.1, DESCRIBED.0.clone())
}

fn shelves() -> OpenApi {
    OpenApi::new(RULES.clone(), SET.to_vec())
}

fn read(document: &OpenApi) -> Value {
    serde_json::from_str(&document.to_json().unwrap()).unwrap()
}

/// The operations of a document: HTTP method, path and operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (key, value) in item.as_object().unwrap() {
            match key.as_str() {
                "x-additionalOperations" => {
                    for (method, operation) in value.as_object().unwrap() {
                        found.push((method.clone(), path.clone(), operation.clone()));
                    }
                }
                method => found.push((method.to_ascii_uppercase(), path.clone(), value.clone())),
            }
        }
    }
    found
}

fn operation(document: &Value, id: &str) -> Value {
    let all = operations(document);
    all.into_iter().find(|(.., operation)| operation["operationId"] == id).unwrap_or_else(|| panic!("{id}")).2
}

fn schema<'d>(document: &'d Value, name: &str) -> &'d Value {
    &document["components"]["schemas"][name]
}

/// A path without the names of its parameters.
fn shape(path: &str) -> String {
    let mut parts = path.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |shape, part| shape + "{}" + part.split_once('}').map_or("", |(_, rest)| rest))
}

#[test]
fn every_binding_is_an_operation_of_its_own() {
    for (document, rules) in [(shelves(), &*RULES), (described(), &DESCRIBED.1)] {
        let document = read(&document);
        let mut found = Vec::new();
        for (method, path, operation) in operations(&document) {
            let method = operation["x-http-method"].as_str().unwrap_or(&method).to_owned();
            let text = |key: &str| operation[key].as_str().unwrap().to_owned();
            found.push((text("x-grpc-method"), format!("{method} {}", text("x-grpc-path-template"))));
            let names: HashSet<_> =
                path.match_indices('{').map(|(at, _)| path[at + 1..].split_once('}').unwrap().0).collect();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let listed = parameters.iter().filter(|parameter| parameter["in"] == "path");
            assert_eq!(names, listed.map(|one| one["name"].as_str().unwrap()).collect(), "{path}");
        }
        let bindings = rules.methods().flat_map(|method| method.bindings());
        let mut expected: Vec<_> =
            bindings.map(|binding| (binding.method().path()[1..].to_owned(), binding.to_string())).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        let ids: HashSet<_> = operations(&document).iter().map(|(.., one)| one["operationId"].to_string()).collect();
        assert_eq!(ids.len(), expected.len());
        let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
        let shapes: HashSet<_> = paths.iter().map(|path| shape(path)).collect();
        assert_eq!(shapes.len(), paths.len(), "{paths:?}");
    }
}

/// A text that a schema of a parameter allows.
fn sample(schema: &Value, document: &Value) -> String {
    let schema = match schema["$ref"].as_str() {
        Some(name) => &document["components"]["schemas"][name.rsplit('/').next().unwrap()],
        None => schema,
    };
    let schema = schema["anyOf"].get(0).unwrap_or(schema);
    if let Some(value) = schema["enum"].get(0) {
        return value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    }
    match (schema["type"].as_str().unwrap(), schema["format"].as_str().unwrap_or_default()) {
        ("array", _) => sample(&schema["items"], document),
        ("boolean", _) => "true".to_owned(),
        ("integer" | "number", _) | (_, "int64" | "uint64") => "7".to_owned(),
        (_, "date-time") => "2026-11-28T00:00:00Z".to_owned(),
        (_, "google-duration") => "1.5s".to_owned(),
        (_, "byte") => "AAAA".to_owned(),
        ("string", _) => "text".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Each operation is requested as the document has it, with each parameter of its query, and
/// the codec takes it.
#[test]
fn the_codec_takes_what_the_document_says() {
    for (document, rules, proto_names) in
        [(shelves(), &*RULES, false), (described(), &DESCRIBED.1, false), (described(), &DESCRIBED.1, true)]
    {
        let document = read(&document.write_options(WriteOptions::default().with_proto_field_names(proto_names)));
        let router = Router::new(rules);
        for (method, path, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            let mut target = path.split('#').next().unwrap().to_owned();
            let mut query = Vec::new();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let (name, value) = (parameter["name"].as_str().unwrap(), sample(&parameter["schema"], &document));
                if parameter["in"] == "path" {
                    let value = if parameter["x-multi-segment"] == true { "a/b" } else { &value };
                    target = target.replace(&format!("{{{name}}}"), value);
                } else {
                    query.push(format!("{name}={value}"));
                }
            }
            let method = operation["x-http-method"].as_str().unwrap_or(&method).replace('*', "PURGE");
            let Ok(Route::Found { binding, variables }) = router.find(&method.parse().unwrap(), &target) else {
                panic!("{method} {target}");
            };
            let served = format!("{} {}", &binding.method().path()[1..], binding.template());
            let own = format!("{} {}", operation["x-grpc-method"], operation["x-grpc-path-template"]).replace('"', "");
            // Another binding is in the way, and the document says so.
            if let Some(other) = operation["x-hidden-by"].as_str() {
                assert_ne!(own, served);
                assert!(other.starts_with(&binding.method().path()[1..].replace('/', ".")), "{id}: {other}");
                continue;
            }
            // `*` is before `**`: the path of the latter here is one that the former takes.
            if id != "described.v2.Cupboard.GetAny" {
                assert_eq!(own, served);
            }
            let empty = HttpPayload::json("");
            for one in &query {
                let query = Query::parse(one).unwrap();
                let read = binding.decode_request(&variables, &query, &empty, &Options::default(), &mut Vec::new());
                assert!(read.is_ok(), "{id}: {one}: {read:?}");
            }
        }
    }
}

#[test]
fn paths_have_a_parameter_for_each_segment_that_varies() {
    let document = read(&shelves());
    let mut paths: Vec<_> = operations(&document)
        .into_iter()
        .filter(|(.., operation)| operation["x-grpc-method"] == "shelf.Shelf/GetBook")
        .map(|(method, path, operation)| (method, path, operation["x-grpc-path-fields"].clone()))
        .collect();
    paths.sort_by(|one, other| one.1.cmp(&other.1));
    assert_eq!(
        paths,
        [
            ("GET".to_owned(), "/v1/archive/{archive}".to_owned(), json!({"name": "archive/{archive}"})),
            ("GET".to_owned(), "/v1/books/{isbn}".to_owned(), json!({"isbn": "{isbn}"})),
            (
                "GET".to_owned(),
                "/v1/shelves/{shelf}/books/{book}".to_owned(),
                json!({"name": "shelves/{shelf}/books/{book}"})
            ),
        ]
    );
    let document = read(&described());
    // The names of the resource come before the singular, and those of the first binding hold.
    for path in [
        "/v2/racks/{place}/cups",
        "/v2/racks/{place}/cups/{cup}",
        "/v2/each/{int64Value}/{closed}",
        "/v2/any/{any}/x/{x}",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let any = &document["paths"]["/v2/racks/{place}/cups/{cup}#described.v2.Cupboard.GetAny"]["get"];
    assert_eq!(any["x-grpc-path-fields"], json!({"name": "{place}", "rest": "{cup}"}));
    assert_eq!(any["parameters"][1]["x-multi-segment"], true);
    let hidden = operation(&document, "described.v2.Cupboard.GetAny.binding2");
    assert_eq!(hidden["x-hidden-by"], "described.v2.Cupboard.GetCup");
    let each = &document["paths"]["/v2/each"];
    assert_eq!(each["x-additionalOperations"]["LOCK"]["operationId"], "described.v2.Cupboard.Each.binding3");
    assert_eq!(each["x-additionalOperations"]["*"]["x-http-method"], "*");
    assert_eq!(document["paths"]["/v2/any/{any}/x/{x}"]["post"]["x-http-method"], "*");
}

#[test]
fn an_operation_has_all_that_is_known_of_its_method() {
    let document = read(&described());
    let mut found = operation(&document, "described.v2.Cupboard.CreateCup");
    let security = found.as_object_mut().unwrap().remove("security").unwrap();
    assert_eq!(
        security,
        json!([{"oauth2": ["https://example.com/auth/cups"]}, {"oauth2": ["https://example.com/auth/cups.readonly"]}])
    );
    assert_eq!(
        found,
        json!({
            "operationId": "described.v2.Cupboard.CreateCup",
            "tags": ["described.v2.Cupboard"],
            "summary": "Makes a cup",
            "description": "Makes a cup. It is made of\nclay, by `hand`.",
            "parameters": [
                {
                    "name": "place",
                    "in": "path",
                    "description": "The field `parent` is `racks/{place}`.",
                    "required": true,
                    "schema": {"type": "string", "pattern": "^[^/]+$"},
                },
                {"name": "cupId", "in": "query", "description": "Its id.", "required": true, "schema": {"type": "string"}},
                {"name": "hot", "in": "query", "description": "Not used.", "deprecated": true, "schema": {"type": "boolean"}},
            ],
            "requestBody": {
                "description": "The cup.",
                "content": {"application/json": {"schema": {
                    "$ref": "#/components/schemas/described.v2.Cup", "required": ["label"],
                }}},
                "required": true,
            },
            "responses": {
                "200": {
                    "description": "A success.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/described.v2.Cup"}}},
                },
                "default": {
                    "description": "An error.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/http-error"}}},
                },
            },
            "x-grpc-method": "described.v2.Cupboard/CreateCup",
            "x-grpc-path-template": "/v2/{parent=racks/*}/cups",
            "x-grpc-path-fields": {"parent": "racks/{place}"},
        })
    );
    assert_eq!(operation(&document, "described.v2.Cupboard.GetCup")["deprecated"], true);
    assert_eq!(document["info"], json!({"title": "described.v2", "version": "v2"}));
    assert_eq!(document["servers"], json!([{"url": "https://cups.example.com"}]));
    assert_eq!(document["tags"], json!([{"name": "described.v2.Cupboard", "description": "Keeps cups."}]));
    let scopes = &document["components"]["securitySchemes"]["oauth2"]["flows"]["authorizationCode"]["scopes"];
    assert_eq!(scopes.as_object().unwrap().len(), 2);

    let changed = described().title("Cups").version("7").server("https://a.example").server("/b");
    let changed = read(&changed.scopes("described.v2.Cupboard/CreateCup", ["cups.write"]));
    assert_eq!(changed["info"], json!({"title": "Cups", "version": "7"}));
    assert_eq!(changed["servers"], json!([{"url": "https://a.example"}, {"url": "/b"}]));
    let security = &operation(&changed, "described.v2.Cupboard.CreateCup")["security"];
    assert_eq!(*security, json!([{"oauth2": ["cups.write"]}]));
}

#[test]
fn messages_and_enums_are_components() {
    let document = read(&described());
    assert_eq!(
        *schema(&document, "described.v2.Cup"),
        json!({
            "type": "object",
            "description": "A cup.\n\nAt most one of `tea`, `coffee` is set.",
            "properties": {
                "name": {"type": "string", "description": "Where it is.", "x-field-behavior": ["IDENTIFIER"]},
                "label": {"type": "string", "description": "What is on it.", "x-field-behavior": ["REQUIRED"]},
                "size": {
                    "$ref": "#/components/schemas/described.v2.Size",
                    "readOnly": true,
                    "x-field-behavior": ["OUTPUT_ONLY"],
                },
                "secret": {"type": "string", "writeOnly": true, "x-field-behavior": ["INPUT_ONLY", "IMMUTABLE"]},
                "tea": {"type": "string"},
                "coffee": {"anyOf": [
                    {"type": "number", "format": "double"},
                    {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]},
                ]},
                "saucer": {"$ref": "#/components/schemas/described.v2.Cup"},
            },
            "x-oneofs": {"content": ["tea", "coffee"]},
        })
    );
    assert_eq!(
        *schema(&document, "described.v2.Size"),
        json!({
            "type": "string",
            "enum": ["SIZE_UNSPECIFIED", "SMALL"],
            "description": "How large.\n\nA value without a name here is written as its number.",
            "x-enum-descriptions": ["Nobody knows.", ""],
            "x-enum-deprecated": [false, true],
        })
    );
    // A request of its own says what is required; a body without what the path has is no component.
    let put = operation(&document, "described.v2.Cupboard.UpdateCup.binding2");
    let body = &put["requestBody"];
    assert_eq!(
        body["content"]["application/json"]["schema"],
        json!({"$ref": "#/components/schemas/described.v2.UpdateCupRequest"})
    );
    assert_eq!(schema(&document, "described.v2.UpdateCupRequest")["required"], json!(["breakIt"]));
    let patch = operation(&document, "described.v2.Cupboard.UpdateCup");
    let body = &patch["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(*body, json!({"$ref": "#/components/schemas/described.v2.Cup"}));

    let options = WriteOptions::default().with_enums_as_integers(true).with_proto_field_names(true);
    let document = read(&described().write_options(options));
    let size = schema(&document, "described.v2.Size");
    assert_eq!(size["description"], "How large.\n\nThere may be numbers that are not listed here.");
    assert_eq!((&size["type"], &size["enum"]), (&json!("integer"), &json!([0, 1])));
    let names = schema(&document, "described.v2.UpdateCupRequest");
    assert_eq!(names["required"], json!(["break_it"]));
    let color = schema(&document, "every.open.Color");
    assert_eq!(color["enum"], json!([0, 1, 1000000]));
    assert_eq!(color["x-enum-varnames"], json!(["COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_FAR"]));
}

#[test]
fn fields_have_the_schemas_of_their_json() {
    let document = read(&described());
    let every = schema(&document, "every.Every");
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let float = |format: &str| json!({"anyOf": [{"type": "number", "format": format}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]});
    let int64 = json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"});
    let int32 = json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX});
    let bytes = json!({"type": "string", "format": "byte", "contentEncoding": "base64"});
    let timestamp = json!({"type": "string", "format": "date-time"});
    for (name, expected) in [
        ("doubleValue", float("double")),
        ("floatValue", float("float")),
        ("int64Value", int64.clone()),
        ("fixed64Value", json!({"type": "string", "format": "uint64", "pattern": "^[0-9]+$"})),
        ("sint32Value", int32.clone()),
        ("uint32Value", json!({"type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX})),
        ("boolValue", json!({"type": "boolean"})),
        ("bytesValue", bytes.clone()),
        ("grouped", reference("every.Every.Grouped")),
        ("every", reference("every.Every")),
        ("closed", reference("every.Closed")),
        ("int64s", json!({"type": "array", "items": int64})),
        ("everies", json!({"type": "array", "items": reference("every.Every")})),
        ("byString", json!({"type": "object", "additionalProperties": int32})),
        (
            "byInt64",
            json!({"type": "object", "additionalProperties": {"type": "string"}, "propertyNames": {"pattern": "^-?[0-9]+$"}}),
        ),
        (
            "byBool",
            json!({"type": "object", "additionalProperties": bytes, "propertyNames": {"enum": ["true", "false"]}}),
        ),
        (
            "bySint32",
            json!({"type": "object", "additionalProperties": reference("every.Every"), "propertyNames": {"pattern": "^-?[0-9]+$"}}),
        ),
        ("times", json!({"type": "object", "additionalProperties": timestamp})),
        ("timestamp", timestamp.clone()),
        ("duration", json!({"type": "string", "format": "google-duration", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"})),
        ("struct", json!({"type": "object", "additionalProperties": true})),
        ("value", json!({})),
        ("list", json!({"type": "array", "items": {}})),
        ("empty", reference("google.protobuf.Empty")),
        ("stringWrapper", json!({"type": "string"})),
        ("its own name", json!({"type": "string"})),
        ("[every.extended]", int32.clone()),
    ] {
        assert_eq!(every["properties"][name], expected, "{name}");
    }
    assert_eq!(*schema(&document, "google.protobuf.Empty"), json!({"type": "object"}));
    assert_eq!(schema(&document, "google.protobuf.Any")["additionalProperties"], true);
}

#[test]
fn responses_have_the_media_types_of_their_kind() {
    let document = read(&described());
    let success = |id: &str| operation(&document, id)["responses"]["200"]["content"].clone();
    let cup = json!({"$ref": "#/components/schemas/described.v2.Cup"});
    let wrapped = success("described.v2.Cupboard.Wrapped");
    assert_eq!(wrapped, json!({"application/json": {"schema": {"type": "string"}}}));
    let inner = success("described.v2.Cupboard.Inner");
    assert_eq!(inner, json!({"application/json": {"schema": {"anyOf": [cup, {"type": "null"}]}}}));
    let item = json!({"anyOf": [cup, {"$ref": "#/components/schemas/http-error"}]});
    assert_eq!(
        success("described.v2.Cupboard.Watch"),
        json!({
            "application/json": {"schema": {"type": "array", "items": item}},
            "application/x-ndjson": {"schema": {"type": "string"}, "x-itemSchema": item},
            "text/event-stream": {"schema": {"type": "string"}, "x-itemSchema": item},
        })
    );
    let marks = ["Watch", "Pour", "GetCup"]
        .map(|name| operation(&document, &format!("described.v2.Cupboard.{name}"))["x-grpc-streaming"].clone());
    assert_eq!(marks, [json!("server"), json!("bidirectional"), Value::Null]);
    // A stream of requests is the elements of a body, so that one without a body is not served.
    let pour = operation(&document, "described.v2.Cupboard.Pour");
    let labelled = json!({"$ref": "#/components/schemas/described.v2.Cup", "required": ["label"]});
    assert_eq!(
        pour["requestBody"]["content"],
        json!({
            "application/json": {"schema": {"type": "array", "items": labelled}},
            "application/x-ndjson": {"schema": {"type": "string"}, "x-itemSchema": labelled},
        })
    );
    let count = operation(&document, "described.v2.Cupboard.Count");
    assert_eq!((&pour["x-grpc-unserved"], &count["x-grpc-unserved"]), (&Value::Null, &json!(true)));
    assert!(count["description"].as_str().unwrap().ends_with("Call it over gRPC."));
    let document = read(&shelves());
    let binary = json!({"schema": {"type": "string", "format": "binary"}});
    let any = json!({"application/octet-stream": binary, "*/*": binary});
    assert_eq!(operation(&document, "shelf.Shelf.Download")["responses"]["200"]["content"], any);
    assert_eq!(operation(&document, "shelf.Shelf.Upload")["requestBody"]["content"], any);
}

#[test]
fn a_query_has_the_fields_that_the_codec_reads() {
    let document = read(&shelves());
    let search = operation(&document, "shelf.Shelf.Search");
    let names: Vec<_> =
        search["parameters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    // Neither maps nor repeated messages, and no message within one of its own kind.
    assert_eq!(
        names,
        [
            "shelf",
            "query",
            "pageSize",
            "offset",
            "exact",
            "genre",
            "genres",
            "years",
            "words",
            "cursor",
            "score",
            "weight",
            "since",
            "within",
            "fieldsToRead",
            "limit",
            "note",
            "by.givenName",
            "by.born",
            "byYear",
            "byField",
            "seed",
            "nested.leaf",
        ]
    );
    let ordered =
        |name: &str| search["parameters"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    assert_eq!(ordered("byYear")["x-oneofs"], json!({"order": "byYear"}));
    assert_eq!(ordered("byYear")["description"], "A request has at most one of `byYear`, `byField`.");
    // What the path has of a message is not in the query.
    let check = operation(&document, "shelf.Shelf.CheckBook");
    let names: Vec<_> =
        check["parameters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"book.title") && !names.contains(&"book.name"), "{names:?}");
}

/// A schema that is made to cost much.
fn hostile(fields: usize, methods: usize) -> (Vec<u8>, HttpRules) {
    use std::fmt::Write;
    let mut proto = "syntax = \"proto3\"; package h; import \"google/api/annotations.proto\"; service S {".to_owned();
    for method in 0..methods {
        write!(proto, "rpc M{method}(R) returns (R) {{ option (google.api.http) = {{ get: \"/{method}\" }}; }}")
            .unwrap();
    }
    proto += "}";
    for (name, first) in [("R", 1), ("A", 2), ("B", 3), ("C", 4), ("D", 5), ("E", 6)] {
        write!(proto, "message {name} {{").unwrap();
        for field in 0..fields {
            let kind = ["R", "A", "B", "C", "D", "E", "map<string, string>"][(first + field) % 7];
            write!(proto, "{kind} f{field} = {};", field + 1).unwrap();
        }
        proto += "}";
    }
    let folder = std::env::temp_dir().join(format!("openapi-hostile-{}-{fields}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("hostile.proto"), proto).unwrap();
    let mut compiler = protox::Compiler::new([folder.as_path(), "../../proto".as_ref()]).unwrap();
    compiler.include_imports(true).open_files(["hostile.proto"]).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let set = compiler.encode_file_descriptor_set();
    let rules = HttpRules::new(&DescriptorPool::decode(&set).unwrap());
    (set, rules)
}

#[test]
fn a_hostile_schema_costs_no_more_than_the_limit() {
    // Messages that refer to one another have more paths than anybody could count.
    let (set, rules) = hostile(200, 20);
    let document = OpenApi::new(&rules, set);
    let size = document.to_json().unwrap().len();
    assert!(size < 1024 * 1024, "{size}");
    let small = document.max_size(10_000);
    for outcome in [small.to_json(), small.to_html()] {
        assert!(outcome.unwrap_err().to_string().contains("larger than 10000 bytes"));
    }
}

/// The descriptor set of a file with this text, with its comments.
fn compiled(proto: &str) -> Vec<u8> {
    let file = protox::file::File::from_source("p.proto", proto).unwrap();
    let mut resolver = protox::file::ChainFileResolver::new();
    resolver.add(Once(file));
    resolver.add(protox::file::IncludeFileResolver::new("../../proto".into()));
    resolver.add(protox::file::GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true).open_files(["p.proto"]).unwrap();
    compiler.encode_file_descriptor_set()
}

#[test]
fn no_text_of_a_schema_is_markup_on_the_page() {
    let hostile = r#"</p></a><script>alert("'&")</script>"#;
    let proto = format!(
        r#"syntax = "proto3"; package p; import "google/api/annotations.proto";
        // Service {hostile}
        service S {{
          // Method {hostile}
          rpc Get(M) returns (M) {{
            option (google.api.http) = {{
              get: "/v1/<script>/{{x}}"
              additional_bindings {{ custom {{ kind: "<script>" path: "/v1/{{x}}" }} }}
            }};
          }}
        }}
        // Message {hostile}
        message M {{
          // Field {hostile}
          string x = 1 [json_name = "<script>"];
          E e = 2;
        }}
        // Enum {hostile}
        enum E {{ ZERO = 0; }}"#
    );
    let set = compiled(&proto);
    let rules = HttpRules::new(&DescriptorPool::decode(&set).unwrap());
    let html = OpenApi::new(&rules, set).title(hostile).version(hostile).server(hostile).to_html().unwrap();
    assert!(html.contains("Method &lt;/p&gt;&lt;/a&gt;&lt;script&gt;"), "{html}");
    assert!(html.contains("Field &lt;/p&gt;") && html.contains("Service &lt;/p&gt;"), "{html}");
    assert!(!html.contains("<script"), "{html}");
}

proptest! {
    /// Whatever the rules are, each binding has an operation of its own, and no two paths are
    /// the same to OpenAPI.
    #[test]
    fn any_rules_make_a_document(
        templates in prop::collection::vec(
            (
                select(vec!["get", "post", "put", "LOCK", "*"]),
                prop::collection::vec(select(vec!["a", "{x}", "{x=b/*}", "*", "{y=**}", "b", "{y}"]), 1..4),
                select(vec!["", ":go"]),
            ),
            1..12,
        )
    ) {
        use std::fmt::Write;
        let mut proto = "syntax = \"proto3\"; package p; import \"google/api/annotations.proto\"; message M { string x = 1; string y = 2; } service S {".to_owned();
        for (at, (method, segments, verb)) in templates.iter().enumerate() {
            let path = format!("/{}{verb}", segments.join("/"));
            let rule = match *method {
                "LOCK" | "*" => format!("custom {{ kind: \"{method}\" path: \"{path}\" }}"),
                method => format!("{method}: \"{path}\""),
            };
            write!(proto, "rpc M{at}(M) returns (M) {{ option (google.api.http) = {{ {rule} }}; }}").unwrap();
        }
        proto += "}";
        let set = compiled(&proto);
        let rules = HttpRules::new(&DescriptorPool::decode(&set).unwrap());
        let document = read(&OpenApi::new(&rules, set.clone()));
        let bindings: Vec<&Binding> = rules.methods().flat_map(|method| method.bindings()).collect();
        let ids: HashSet<_> = operations(&document).iter().map(|(.., one)| one["operationId"].to_string()).collect();
        prop_assert_eq!(ids.len(), bindings.len());
        let paths: Vec<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let shapes: HashSet<_> = paths.iter().map(|path| shape(path)).collect();
        prop_assert_eq!(shapes.len(), paths.len());
        prop_assert!(OpenApi::new(&rules, set).to_html().is_ok());
    }
}

/// A resolver of one file.
struct Once(protox::file::File);

impl protox::file::FileResolver for Once {
    fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
        if name == "p.proto" { Ok(self.0.clone()) } else { Err(protox::Error::file_not_found(name)) }
    }
}

async fn get(layer: &GatewayLayer, request: http::request::Builder) -> (Response<()>, Bytes) {
    let gateway = layer.layer(Backend::default().service());
    let response = gateway.oneshot(request.body(Body::new(Empty::<Bytes>::new())).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    (Response::from_parts(head, ()), body.collect().await.unwrap().to_bytes())
}

fn header<'r>(response: &'r Response<()>, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_gateway_serves_its_document_and_a_page() {
    let options = WriteOptions::default().with_proto_field_names(true);
    let plain = GatewayLayer::new(RULES.clone()).unwrap();
    assert_eq!(get(&plain, Request::get("/openapi.json")).await.0.status(), 404);
    // In either order, the document says how the gateway writes JSON.
    for layer in [
        plain.clone().docs(shelves()).write_options(options.clone()),
        plain.clone().write_options(options.clone()).docs(shelves()),
    ] {
        let (response, body) = get(&layer, Request::get("/openapi.json")).await;
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "application/json"));
        let document: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["servers"], json!([{"url": "/"}]));
        assert!(schema(&document, "shelf.Author")["properties"]["given_name"].is_object());
    }
    let layer = plain.clone().docs(shelves());
    let (response, body) = get(&layer, Request::get("/openapi.json")).await;
    let tag = header(&response, "etag").to_owned();
    let (unchanged, nothing) =
        get(&layer, Request::get("/openapi.json").header("if-none-match", format!("\"x\", {tag}"))).await;
    assert_eq!((unchanged.status().as_u16(), nothing.len(), header(&unchanged, "etag")), (304, 0, &*tag));
    let (changed, _) = get(&layer, Request::get("/openapi.json").header("if-none-match", "\"x\"")).await;
    assert_eq!(changed.status(), 200);
    let (packed, small) = get(&layer, Request::get("/openapi.json").header("accept-encoding", "gzip")).await;
    assert_eq!((header(&packed, "content-encoding"), header(&packed, "vary")), ("gzip", "accept-encoding"));
    assert!(small.len() < body.len() / 3 && header(&packed, "content-length") == small.len().to_string());
    let (head, nothing) = get(&layer, Request::head("/openapi.json")).await;
    assert_eq!(
        (head.status().as_u16(), header(&head, "content-length"), nothing.len()),
        (200, &*body.len().to_string(), 0)
    );
    assert_eq!(get(&layer, Request::post("/openapi.json")).await.0.status(), 404);

    let (page, html) = get(&layer, Request::get("/docs")).await;
    assert_eq!((page.status().as_u16(), header(&page, "content-type")), (200, "text/html; charset=utf-8"));
    assert!(header(&page, "content-security-policy").starts_with("default-src 'none'; style-src 'self';"));
    let html = std::str::from_utf8(&html).unwrap();
    assert!(!html.contains("<script") && !html.contains("style=") && !html.contains("<style"));
    for part in [
        "<summary><code><b>GET</b> /v1/{shelf}/books:search</code>",
        "<a href=\"#schema-shelf.Book\">shelf.Book</a>",
        "curl -X PATCH &#39;http://localhost:8080/v1/shelves/&lt;shelf&gt;/books/&lt;book&gt;&#39;",
    ] {
        assert!(html.contains(&part.replace("/v1/{shelf}", "/v1/shelves/{shelf}")), "{part}");
    }
    let (style, _) = get(&layer, Request::get("/docs/style.css")).await;
    assert_eq!((style.status().as_u16(), header(&style, "content-type")), (200, "text/css; charset=utf-8"));

    let small = plain.docs(shelves().max_size(1000));
    let (refused, body) = get(&small, Request::get("/openapi.json")).await;
    assert_eq!(refused.status(), 501);
    assert!(std::str::from_utf8(&body).unwrap().contains("larger than 1000 bytes"));
}

#[tokio::test]
async fn a_path_of_the_api_comes_before_the_pages() {
    let file = protox::file::File::from_source(
        "p.proto",
        "syntax = \"proto3\"; package p; import \"google/api/annotations.proto\"; message M { string x = 1; }
         service S { rpc Docs(M) returns (M) { option (google.api.http) = { get: \"/{x}\" }; } }",
    );
    let mut resolver = protox::file::ChainFileResolver::new();
    resolver.add(Once(file.unwrap()));
    resolver.add(protox::file::IncludeFileResolver::new("../../proto".into()));
    resolver.add(protox::file::GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_files(["p.proto"]).unwrap();
    let set = compiler.encode_file_descriptor_set();
    let rules = HttpRules::new(&DescriptorPool::decode(&set).unwrap());
    let layer = GatewayLayer::new(&rules).unwrap().docs(OpenApi::new(&rules, set));
    let (answer, _) = get(&layer, Request::get("/docs")).await;
    assert_eq!(header(&answer, "content-security-policy"), "");
    assert!(header(&answer, "content-type").starts_with("application/json"));
    assert_eq!(
        header(&get(&layer, Request::get("/docs/style.css")).await.0, "content-type"),
        "text/css; charset=utf-8"
    );
}
