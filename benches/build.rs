//! Generates what the peers need: prost messages and pbjson's serde code.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=../proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
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
    Ok(())
}
