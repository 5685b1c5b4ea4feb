//! Generates the messages, the stub and the descriptor set from `proto/`, by tonic-build, prost and
//! protox, where that is asked for.
//!
//! What they generate is checked in, in `src/generated`, since the generators and what they depend
//! on are 40 crates, which everybody who builds this one would have to build. With the feature
//! `generate` the crate is built from `proto/`, and the checked-in code is not used; the tests of
//! this repository turn it on, and `tests/google_chat/generated.rs` holds the two equal. After a
//! change of `proto/`, this writes `src/generated` anew:
//!
//! ```sh
//! GOOGLE_CHAT_GENERATE=1 cargo build --features generate
//! ```

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // For the `x-goog-api-client` header.
    let rustc = std::process::Command::new(std::env::var("RUSTC")?).arg("--version").output()?.stdout;
    let version = String::from_utf8(rustc)?.split(' ').nth(1).unwrap_or("unknown").trim().to_owned();
    println!("cargo:rustc-env=GOOGLE_CHAT_RUSTC={version}");
    println!("cargo:rerun-if-changed=build.rs");

    let checked_in = format!("{}/src/generated", std::env::var("CARGO_MANIFEST_DIR")?);
    #[cfg(feature = "generate")]
    let code = {
        let out = std::env::var("OUT_DIR")?;
        generate(out.as_ref())?;
        println!("cargo:rerun-if-env-changed=GOOGLE_CHAT_GENERATE");
        if std::env::var_os("GOOGLE_CHAT_GENERATE").is_some() {
            for file in [
                "google.api.rs",
                "google.apps.card.v1.rs",
                "google.chat.v1.rs",
                "google.rpc.rs",
                "google.r#type.rs",
                "google_chat.bin",
            ] {
                std::fs::copy(format!("{out}/{file}"), format!("{checked_in}/{file}"))?;
            }
        }
        out
    };
    #[cfg(not(feature = "generate"))]
    let code = checked_in;
    // Where `src/proto.rs` includes the code from.
    println!("cargo:rustc-env=GOOGLE_CHAT_CODE={code}");
    Ok(())
}

#[cfg(feature = "generate")]
fn generate(out: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    // The service, and what it does not import.
    const PROTOS: [&str; 5] = [
        "google/chat/v1/chat_service.proto",
        "google/chat/v1/app_command_metadata.proto",
        "google/api/httpbody.proto",
        "google/rpc/error_details.proto",
        "google/rpc/status.proto",
    ];

    println!("cargo:rerun-if-changed=proto");
    let set = out.join("descriptors.bin");

    // `protox::compile` returns prost types, which drop extensions and with
    // them `google.api.http`. The encoded set keeps them, so it is that which
    // is embedded and which the code generator reads.
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(PROTOS)?;
    std::fs::write(&set, compiler.encode_file_descriptor_set())?;

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names().skip_protoc_run().file_descriptor_set_path(&set);
    // Comments are Markdown in the protos' own words; those of the well-known
    // types are not ours.
    tonic_prost_build::configure()
        .build_transport(false)
        // The same code for all features of this crate.
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .server_mod_attribute(".", "#[cfg_attr(docsrs, doc(cfg(feature = \"server\")))]")
        // So that a backend or a mock has only the methods that it is about.
        .generate_default_stubs(true)
        .file_descriptor_set_path(&set)
        .skip_protoc_run()
        .compile_with_config(config, &PROTOS, &["proto"])?;

    // Source positions and comments served the generated documentation; the
    // embedded set goes without them.
    let mut lean = protox::Compiler::new(["proto"])?;
    lean.include_imports(true).open_files(PROTOS)?;
    std::fs::write(out.join("google_chat.bin"), lean.encode_file_descriptor_set())?;
    Ok(())
}
