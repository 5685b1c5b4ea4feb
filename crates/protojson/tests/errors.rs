//! What errors say.

mod common;

use common::message;

#[test]
fn errors_say_where() {
    let space = message("example.Space");
    for (json, message) in [
        (
            r#"{"spaceDetails":{"description":1}}"#,
            "spaceDetails.description: expected a string, found the number 1 (line 1, column 32)",
        ),
        (
            "{\n \"createTime\": \"yesterday\"}",
            "createTime: expected an RFC 3339 timestamp, found \"yesterday\" (line 2, column 16)",
        ),
        (r#"{"ü":1}"#, "ü: unknown field (line 1, column 2)"),
        (r#"{"spaceType":"NO"}"#, "spaceType: example.Space.SpaceType has no value \"NO\" (line 1, column 14)"),
        (r#"{"importMode":1}"#, "importMode: expected true or false, found the number 1 (line 1, column 15)"),
        (
            r#"{"membershipCount":{"joinedGroupCount":1.5}}"#,
            "membershipCount.joinedGroupCount: expected an integer of 32 bits, found the number 1.5 (line 1, column 40)",
        ),
        (
            r#"{"accessSettings":{"accessPermissionSettings":{"joinSpaceSetting":{"principals":[{},{"audience":{"name":[]}}]}}}}"#,
            "accessSettings.accessPermissionSettings.joinSpaceSetting.principals[1].audience.name: expected a string, found a list (line 1, column 105)",
        ),
        ("{} x", "expected the end, found `x` (line 1, column 4)"),
        ("nojson", "expected an object, found `nojson` (line 1, column 1)"),
        (r#"{"importMode":nul}"#, "importMode: expected `null`, found `nul` (line 1, column 15)"),
        (r#"{"importMode":truth}"#, "importMode: expected `true`, found `truth` (line 1, column 15)"),
        (r#"{"createTime":nope}"#, "createTime: expected `null`, found `nope` (line 1, column 15)"),
        (r#"{"displayName":-}"#, "displayName: expected a string, found `-` (line 1, column 16)"),
        (r#"{"displayName":é1.5}"#, "displayName: expected a string, found `é1` (line 1, column 16)"),
        ("", "expected an object, found the end (line 1, column 1)"),
    ] {
        assert_eq!(space.from_json(json).unwrap_err().to_string(), message);
    }
    // create_time = 17, with as many seconds as there can be.
    let error = space.to_json(b"\x8a\x01\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f").unwrap_err();
    assert_eq!(error.to_string(), "createTime: the timestamp is outside the years 0001 to 9999");
    assert!(!error.is_malformed());
    assert!(space.to_json(&[0x0a, 5, b'a']).unwrap_err().is_malformed());
}

#[test]
fn an_error_has_its_cause_and_its_place() {
    use std::error::Error;

    use protojson::wire::WireError;

    let space = message("example.Space");
    let error = space.to_json(&[0x0a, 5, b'a']).unwrap_err();
    let cause = error.source().and_then(|cause| cause.downcast_ref::<WireError>());
    assert_eq!(cause, Some(&WireError::Truncated));
    let error = space.from_json("{\n\"customer\":1}").unwrap_err();
    assert_eq!((error.path(), error.offset(), error.line(), error.column()), ("customer", 13, 2, 12));
}
