//! The generated code that is checked in is what `build.rs` makes of `proto/`.

#[test]
fn the_checked_in_code_is_what_proto_generates() {
    for (file, checked_in, generated) in [
        (
            "google.api.rs",
            &include_bytes!("../src/generated/google.api.rs")[..],
            &include_bytes!(concat!(env!("GOOGLE_CHAT_CODE"), "/google.api.rs"))[..],
        ),
        (
            "google.apps.card.v1.rs",
            include_bytes!("../src/generated/google.apps.card.v1.rs"),
            include_bytes!(concat!(env!("GOOGLE_CHAT_CODE"), "/google.apps.card.v1.rs")),
        ),
        (
            "google.chat.v1.rs",
            include_bytes!("../src/generated/google.chat.v1.rs"),
            include_bytes!(concat!(env!("GOOGLE_CHAT_CODE"), "/google.chat.v1.rs")),
        ),
        (
            "google.rpc.rs",
            include_bytes!("../src/generated/google.rpc.rs"),
            include_bytes!(concat!(env!("GOOGLE_CHAT_CODE"), "/google.rpc.rs")),
        ),
        (
            "google.r#type.rs",
            include_bytes!("../src/generated/google.r#type.rs"),
            include_bytes!(concat!(env!("GOOGLE_CHAT_CODE"), "/google.r#type.rs")),
        ),
        ("google_chat.bin", include_bytes!("../src/generated/google_chat.bin"), google_chat::proto::DESCRIPTOR_SET),
    ] {
        assert!(
            checked_in == generated,
            "src/generated/{file} is not what proto/ generates: run GOOGLE_CHAT_GENERATE=1 cargo build --features generate"
        );
    }
    // Without the feature this would compare the checked-in code with itself.
    assert!(!env!("GOOGLE_CHAT_CODE").ends_with("src/generated"));
}
