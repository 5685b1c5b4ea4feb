//! What a descriptor set may be, and what is said of one that cannot be used.

use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use protojson::DescriptorPool;

fn file(name: &str, messages: Vec<DescriptorProto>) -> FileDescriptorProto {
    FileDescriptorProto { name: Some(name.into()), message_type: messages, ..Default::default() }
}

fn message(name: &str, fields: &[(&str, i32)]) -> DescriptorProto {
    let field = |(name, number): &(&str, i32)| FieldDescriptorProto {
        name: Some((*name).into()),
        number: Some(*number),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::String.into()),
        ..Default::default()
    };
    DescriptorProto { name: Some(name.into()), field: fields.iter().map(field).collect(), ..Default::default() }
}

fn set(files: Vec<FileDescriptorProto>) -> Vec<u8> {
    FileDescriptorSet { file: files }.encode_to_vec()
}

fn error(set: &[u8]) -> String {
    DescriptorPool::decode(set).unwrap_err().to_string()
}

#[test]
fn an_error_names_the_file_and_the_symbol() {
    let two = file("m.proto", vec![message("M", &[("a", 1), ("b", 1)])]);
    assert_eq!(error(&set(vec![two.clone()])), "m.proto: `M`: `a` and `b` have the same number");
    // A file without a name.
    let nameless = FileDescriptorProto { name: None, ..two };
    assert_eq!(error(&set(vec![nameless])), "`M`: `a` and `b` have the same number");
}

#[test]
fn an_empty_set_is_an_error() {
    let problem = "descriptor set: it has no files; write it with protoc --include_imports --descriptor_set_out";
    for set in [&b""[..], b"\x10\x01"] {
        assert_eq!(error(set), problem);
    }
}

/// Otherwise two such names would be one, and one of the files would be lost.
#[test]
fn a_name_that_is_not_utf8_is_an_error() {
    let mut set = set(vec![file("a.proto", vec![message("A", &[])]), file("b.proto", vec![message("B", &[])])]);
    for at in 0..set.len() {
        if set[at..].starts_with(b".proto") {
            set[at - 1] = 0xff;
        }
    }
    let problem =
        "descriptor set: not an encoded FileDescriptorSet: a name is not UTF-8 (after 0 files that can be read)";
    assert_eq!(error(&set), problem);
}

/// Sets that are joined have the files of both.
#[test]
fn a_file_may_come_twice_if_it_is_the_same() {
    let (a, b) = (file("a.proto", vec![message("A", &[])]), file("b.proto", vec![message("B", &[])]));
    let pool = DescriptorPool::decode(&set(vec![a.clone(), b.clone(), a.clone()])).unwrap();
    assert!(pool.message("A").is_some() && pool.message("B").is_some());
    let other = FileDescriptorProto { name: a.name.clone(), ..b };
    assert_eq!(error(&set(vec![a, other])), "a.proto: comes twice in the set, and the two differ; keep one");
}

#[test]
fn the_options_of_a_message_are_handed_over_as_they_are_encoded() {
    let options = prost_types::MessageOptions { deprecated: Some(true), ..Default::default() };
    let with_options = DescriptorProto { options: Some(options.clone()), ..message("A", &[]) };
    let pool = DescriptorPool::decode(&set(vec![file("a.proto", vec![with_options, message("B", &[])])])).unwrap();
    assert_eq!(pool.message("A").unwrap().options(), options.encode_to_vec());
    assert_eq!(pool.message("B").unwrap().options(), b"");
}
