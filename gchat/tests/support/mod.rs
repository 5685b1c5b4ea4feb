//! The built program, and a running emulator, for the tests of this folder.

// Each of them uses a part of it.
#![allow(dead_code)]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use protox::file::{ChainFileResolver, DescriptorSetFileResolver, IncludeFileResolver};

/// The program, with nothing of this machine: no login, no gcloud, no settings.
pub(crate) fn gchat(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gchat"));
    command.args(args).env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    gchat(args).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The exit code and what was printed.
pub(crate) fn ended(output: &Output) -> (i32, &str, &str) {
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A path for a test, without anything at it.
pub(crate) fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    path
}

/// A file of a test.
pub(crate) fn file(name: &str, text: &str) -> PathBuf {
    let path = fresh(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Compiles a file that imports no more than google/api, which the schema of Chat has too.
pub(crate) fn descriptor_set(name: &str, proto: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("set-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("own.proto"), proto).unwrap();
    let mut resolver = ChainFileResolver::new();
    resolver.add(IncludeFileResolver::new(folder.clone()));
    resolver.add(DescriptorSetFileResolver::decode(google_chat::proto::DESCRIPTOR_SET).unwrap());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("own.proto").unwrap();
    let set = folder.join("own.bin");
    std::fs::write(&set, compiler.encode_file_descriptor_set()).unwrap();
    set
}

/// A server that the program runs; it is killed when it goes out of scope.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) endpoint: String,
}

impl Server {
    /// Starts a command that says first where it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut process = gchat(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoint = line.trim().strip_prefix("listening at ").unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { process, endpoint }
    }

    pub(crate) fn emulator(flags: &[&str]) -> Self {
        Self::start(&[&["emulator", "--listen", "127.0.0.1:0"], flags].concat())
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }

    /// Kills it at once, as SIGKILL does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a signal, such as TERM.
pub(crate) fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status();
    assert!(sent.unwrap().success(), "{name}");
}
