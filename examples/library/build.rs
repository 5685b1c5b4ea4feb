//! Generates the stub, and the descriptor set that its HTTP rules are read from.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The second folder has google/api/annotations.proto.
    let includes = ["proto", "../../proto"];
    let set = PathBuf::from(std::env::var("OUT_DIR")?).join("library.bin");
    let mut compiler = protox::Compiler::new(includes)?;
    compiler.include_imports(true).open_file("library.proto")?;
    // Encoded by protox: prost's types would drop the HTTP rules.
    std::fs::write(&set, compiler.encode_file_descriptor_set())?;
    println!("cargo:rerun-if-changed=proto");
    tonic_prost_build::configure()
        .build_transport(false)
        .file_descriptor_set_path(&set)
        .skip_protoc_run()
        .compile_protos(&["library.proto"], &includes)?;
    Ok(())
}
