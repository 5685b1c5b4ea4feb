//! What is said of a service config that cannot be used.

use google_chat::Schema;
use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

#[test]
fn an_error_of_a_rule_without_a_file_names_the_symbol() {
    let file = FileDescriptorProto { name: Some("m.proto".into()), ..Default::default() };
    let set = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    let error = Schema::decode_with_http(&set, b"\x0a\x05\x0a\x03x.Y").unwrap_err().to_string();
    assert_eq!(error, "`x.Y`: a service config's rule for a method that is not in the set");
}
