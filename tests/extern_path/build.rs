//! Compiles a proto that imports some of Google's.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["acme/v1/onboarding.proto"], ["proto", "../../proto"])?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .extern_path(".google", "::google_chat::proto::google")
        .compile_fds(files)?;
    Ok(())
}
