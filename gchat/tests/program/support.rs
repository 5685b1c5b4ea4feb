//! The built program, servers that it runs, and servers that answer it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
};

/// The program, with nothing of this machine: no login, no gcloud, no settings.
pub(crate) fn gchat(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gchat"));
    command.args(args).env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

/// The same, run with this on its standard input.
pub(crate) fn gchat_reading(args: &[&str], input: &str) -> Output {
    let mut command = gchat(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
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

/// The method that most tests call.
pub(crate) const CREATE: &str = "google.chat.v1.ChatService/CreateSpace";

/// A folder for a test, without anything in it.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
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

/// A schema of `protos/`, compiled by `tests/oracle/tests/sets.rs` of the repository.
pub(crate) fn descriptor_set(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/program/protos/{name}.bin"))
}

/// A server that the program runs; it is killed when it goes out of scope.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) endpoint: String,
    /// What it prints behind that.
    pub(crate) output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a command that says first where it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(&mut gchat(args))
    }

    /// The same, with what it says on standard error in a file.
    pub(crate) fn start_with_errors(args: &[&str], errors: &Path) -> Self {
        Self::spawn(gchat(args).stderr(std::fs::File::create(errors).unwrap()))
    }

    /// Starts such a command as it was made ready.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let endpoint = after("listening at ", &mut output);
        Self { process, endpoint, output }
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        after("", &mut self.output)
    }

    /// The address of its admin port, which it says next.
    pub(crate) fn admin(&mut self) -> String {
        after("admin at http://", &mut self.output)
    }

    pub(crate) fn emulator(flags: &[&str]) -> Self {
        Self::start(&[&["emulator", "--listen", "127.0.0.1:0"], flags].concat())
    }

    pub(crate) fn address(&self) -> &str {
        self.endpoint.strip_prefix("http://").unwrap()
    }

    /// Sends a text, such as a request, and has its connection.
    pub(crate) fn send(&self, text: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address()).unwrap();
        connection.write_all(text.as_bytes()).unwrap();
        connection
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

/// The rest of the next line, which begins so.
fn after(prefix: &str, output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim_end().strip_prefix(prefix).unwrap_or_else(|| panic!("{prefix}: {line}")).to_owned()
}

/// The status and the body of a GET by HTTP/1.1.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let answer = answer(connection);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// The first line that a process prints; the rest is not read.
pub(crate) fn first_line(process: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line
}

/// Sends a signal, such as TERM.
pub(crate) fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status();
    assert!(sent.unwrap().success(), "{name}");
}

/// All that comes on a connection until it is closed.
pub(crate) fn answer(mut connection: TcpStream) -> String {
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// A server of HTTP/1.1 that gives one answer after the other, the last to all that come
/// then, and says when it was asked.
pub(crate) fn answering<A: Into<String>>(answers: impl IntoIterator<Item = A>) -> (String, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answers: Vec<String> = answers.into_iter().map(Into::into).collect();
    let (asked, calls) = mpsc::channel();
    thread::spawn(move || {
        let last = answers.last().cloned().into_iter().cycle();
        for (stream, answer) in listener.incoming().zip(answers.into_iter().chain(last)) {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            let _ = stream.read_exact(&mut body);
            let _ = stream.write_all(answer.as_bytes());
            // Nobody may be left to hear it.
            let _ = asked.send(());
        }
    });
    (endpoint, calls)
}

/// An answer with a body of JSON.
pub(crate) fn json_answer(status: &str, body: &str) -> String {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}
