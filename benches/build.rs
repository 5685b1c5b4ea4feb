//! Generates what the peers need: prost messages, pbjson's serde code, buffa's
//! messages, and rest_over_grpc's server.

use std::path::PathBuf;

use rest_over_grpc::build::{DescriptorOptions, ServiceDefinition};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=../proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::create_dir_all(out.join("buffa"))?;
    let mut compiler = protox::Compiler::new(["proto", "../proto"])?;
    compiler.include_imports(true).open_files(["bench.proto"])?;
    let set = compiler.encode_file_descriptor_set();
    std::fs::write(out.join("bench.bin"), &set)?;
    prost_build::Config::new()
        .enable_type_names()
        .compile_well_known_types()
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(compiler.file_descriptor_set())?;
    pbjson_build::Builder::new().register_descriptors(&set)?.build(&[".google.chat.v1", ".bench"])?;
    buffa_build::Config::new()
        .descriptor_set(out.join("bench.bin"))
        .files(&[
            "bench.proto",
            "google/chat/v1/space.proto",
            "google/chat/v1/audience.proto",
            "google/chat/v1/history_state.proto",
        ])
        .generate_json(true)
        .out_dir(out.join("buffa"))
        .include_file("mod.rs")
        .compile()?;
    rest_over_grpc::build::Generator::builder()
        .emit_tonic_bridge(false)
        .build()
        .add_all(ServiceDefinition::from_fds(&set, &DescriptorOptions::new())?)
        .write(&out)?;
    Ok(())
}
