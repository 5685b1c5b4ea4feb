//! The descriptor sets that are checked in are what protox makes of their protos, so that the
//! tests that use them need no compiler of protos.

use std::path::{Path, PathBuf};

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Folders in which each file `name.proto` has its set beside it, `name.bin`.
const FOLDERS: [&str; 3] = ["crates/grpc-transcoding/tests/proto", "gchat/tests/program/protos", "tests/google_chat"];

/// Sets of several files: the set, the folder of the files, and the files.
const SETS: [(&str, &str, &[&str]); 2] = [
    (
        "crates/protojson/tests/proto/all.bin",
        "crates/protojson/tests/proto",
        &["every.proto", "carried.proto", "space.proto"],
    ),
    (
        "crates/grpc-transcoding/src/rpc/rpc.bin",
        "proto",
        &["google/rpc/error_details.proto", "google/rpc/status.proto", "google/protobuf/struct.proto"],
    ),
];

/// The set of some files, which may import what `proto/` has.
fn compile(folder: &Path, files: &[&str]) -> Vec<u8> {
    let mut compiler = protox::Compiler::new([folder, &Path::new(ROOT).join("proto")]).unwrap();
    let compiled = compiler.include_imports(true).open_files(files);
    compiled.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).encode_file_descriptor_set()
}

fn compiled() -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(ROOT);
    let mut sets: Vec<_> =
        SETS.iter().map(|(set, folder, files)| (root.join(set), compile(&root.join(folder), files))).collect();
    for folder in FOLDERS.map(|folder| root.join(folder)) {
        for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "proto") {
                let name = file.file_name().and_then(|name| name.to_str()).unwrap();
                sets.push((file.with_extension("bin"), compile(&folder, &[name])));
            }
        }
    }
    sets
}

#[test]
fn the_checked_in_sets_are_those_of_their_protos() {
    let compiled = compiled();
    assert!(compiled.len() >= 9, "{} sets", compiled.len());
    for (set, compiled) in compiled {
        let found = std::fs::read(&set).unwrap_or_default();
        let set = set.display();
        assert!(found == compiled, "{set} is old: run `cargo test -p oracle --test sets -- --ignored`");
    }
}

#[test]
#[ignore = "writes the descriptor sets anew"]
fn write_the_sets() {
    for (set, compiled) in compiled() {
        std::fs::write(set, compiled).unwrap();
    }
}
