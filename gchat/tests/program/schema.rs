//! `gchat schema`: the schema, and what HTTP/JSON cannot carry of one.

use google_chat::grpc_transcoding::{DescriptorPool, HttpRules};

use super::support::{CREATE, descriptor_set, ended, gchat};

const SHELF: &str = r#"
    syntax = "proto3";
    package shelf;
    import "google/api/annotations.proto";
    service Shelf {
      rpc Search(SearchRequest) returns (SearchRequest) {
        option (google.api.http) = { get: "/v1/{shelf=shelves/*}/books:search" };
      }
    }
    message SearchRequest {
      string shelf = 1;
      map<string, string> labels = 2;
    }
"#;

#[test]
fn what_http_cannot_carry_is_listed() {
    assert_eq!(ended(&gchat(&["schema", "--lint"]).output().unwrap()), (0, "", ""));
    let set = descriptor_set("lint", SHELF);
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
