//! `gchat schema`: the schema, also as OpenAPI, and what HTTP/JSON cannot carry of one.

use google_chat::grpc_transcoding::{DescriptorPool, HttpRules};

use serde_json::Value;

use super::support::{CREATE, descriptor_set, ended, fresh, gchat};

#[test]
fn what_http_cannot_carry_is_listed() {
    assert_eq!(ended(&gchat(&["schema", "--lint"]).output().unwrap()), (0, "", ""));
    let set = descriptor_set("shelf");
    let output = gchat(&["schema", "--lint", "--descriptor-set", set.to_str().unwrap()]).output().unwrap();
    let (code, found, problem) = ended(&output);
    let labels = "shelf.Shelf/Search: GET /v1/{shelf=shelves/*}/books:search: field `labels` is a map, which a query \
                  cannot carry";
    assert!(code == 8 && found.lines().any(|line| line == labels), "{code}: {found}");
    assert_eq!(problem, format!("gchat: {} findings\n", found.lines().count()));
    let both = ended(&gchat(&["schema", "--lint", "--output", "x"]).output().unwrap()).0;
    let alone = ended(&gchat(&["schema", "--descriptor-set", "x"]).output().unwrap()).0;
    assert_eq!((both, alone), (2, 2));
}

#[test]
fn the_schema_that_is_written_has_the_http_rules() {
    let pool = DescriptorPool::decode(&gchat(&["schema"]).output().unwrap().stdout).unwrap();
    assert!(!HttpRules::new(&pool).method(&format!("/{CREATE}")).unwrap().bindings().is_empty());
}

/// How many operations a document has.
fn operations(document: &Value) -> usize {
    document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum()
}

#[test]
fn the_schema_is_written_as_openapi() {
    let output = gchat(&["schema", "--openapi"]).output().unwrap();
    let (code, text, problem) = ended(&output);
    assert_eq!((code, problem), (0, ""));
    let document: Value = serde_json::from_str(text).unwrap();
    let rules = HttpRules::new(&DescriptorPool::decode(google_chat::proto::DESCRIPTOR_SET).unwrap());
    let bindings = rules.methods().map(|method| method.bindings().len()).sum::<usize>();
    assert_eq!(operations(&document), bindings);
    assert_eq!(document["servers"][0]["url"], "https://chat.googleapis.com");
    // The scopes are those of the method, not those of its service.
    let create = &document["paths"]["/v1/customEmojis"]["post"];
    assert_eq!(create["operationId"], "google.chat.v1.ChatService.CreateCustomEmoji");
    let scope = "https://www.googleapis.com/auth/chat.customemojis";
    assert_eq!(create["security"], serde_json::json!([{"oauth2": [scope]}]));

    let set = descriptor_set("shelf");
    let file = fresh("openapi.json");
    let arguments = ["schema", "--openapi", "--title", "Shelves", "--version", "7", "--server", "https://a.example"];
    let mut command = gchat(&arguments);
    command.arg("--descriptor-set").arg(set).arg("--output").arg(&file).arg("--proto-field-names");
    assert_eq!(ended(&command.output().unwrap()), (0, "", ""));
    let document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(document["info"], serde_json::json!({"title": "Shelves", "version": "7"}));
    assert_eq!(document["servers"], serde_json::json!([{"url": "https://a.example"}]));
    assert_eq!(operations(&document), 1);

    let alone = gchat(&["schema", "--title", "x"]).output().unwrap();
    assert_eq!(ended(&alone).0, 2);
}
