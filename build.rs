//! Compiles `proto/` into the generated messages and stub, and into the
//! descriptor set that the crate embeds.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // For the `x-goog-api-client` header.
    let rustc = std::process::Command::new(std::env::var("RUSTC")?).arg("--version").output()?.stdout;
    let version = String::from_utf8(rustc)?.split(' ').nth(1).unwrap_or("unknown").trim().to_owned();
    println!("cargo:rustc-env=GOOGLE_CHAT_RUSTC={version}");
    println!("cargo:rerun-if-changed=build.rs");
    generate()?;
    Ok(())
}

fn generate() -> Result<(), Box<dyn std::error::Error>> {
    use std::path::PathBuf;

    const PROTOS: [&str; 4] = [
        "google/chat/v1/chat_service.proto",
        "google/api/httpbody.proto",
        "google/rpc/error_details.proto",
        "google/rpc/status.proto",
    ];

    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
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
        .build_server(cfg!(feature = "server"))
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
