//! The programs under attack: starting them, and looking at them from outside.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// How long a program may take to start, also where a build without optimization makes a key.
const START: Duration = Duration::from_secs(60);

/// What all attacks share: the program, where files go, and how thorough they are.
pub(crate) struct Stage {
    pub(crate) gchat: PathBuf,
    pub(crate) quick: bool,
    /// Empty at the start.
    pub(crate) directory: PathBuf,
    /// The schema of the attacks' backend.
    pub(crate) schema: PathBuf,
    gateway_help: String,
}

impl Stage {
    pub(crate) fn new(gchat: PathBuf, quick: bool) -> Result<Self> {
        let gchat = fs::canonicalize(&gchat).map_err(|error| format!("{}: {error}", gchat.display()))?;
        let directory = std::env::temp_dir().join(format!("gchat-attack-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let schema = directory.join("attack.bin");
        fs::write(&schema, crate::backend::schema(&directory, None)?)?;
        // Nothing of the user's own.
        fs::write(directory.join("config.toml"), "")?;
        let help = Command::new(&gchat).args(["gateway", "--help"]).output()?;
        if !help.status.success() {
            return Err(format!("{} gateway --help: {}", gchat.display(), String::from_utf8_lossy(&help.stderr)).into());
        }
        let gateway_help = String::from_utf8(help.stdout)?;
        Ok(Self { gchat, quick, directory, schema, gateway_help })
    }

    /// One of two numbers: that of the bounded form, or that of the full one.
    pub(crate) fn pick<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// A path in the directory, with nothing at it.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        let path = self.directory.join(name);
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", path.display()));
        }
        path
    }

    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(&self.gchat);
        for name in ["ENDPOINT", "WIRE", "CREDENTIALS", "SUBJECT", "ACCESS_TOKEN"] {
            command.env_remove(format!("GCHAT_{name}"));
        }
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
            command.env_remove(name);
        }
        command.env("GCHAT_CONFIG", self.directory.join("config.toml")).args(arguments);
        command
    }

    /// Starts a gateway in front of a backend with the attacks' schema.
    pub(crate) fn gateway(&self, backend: SocketAddr, more: &[&str]) -> Result<Process> {
        self.gateway_of(&self.schema, backend, more)
    }

    /// Starts a gateway in front of a backend with a schema.
    pub(crate) fn gateway_of(&self, schema: &Path, backend: SocketAddr, more: &[&str]) -> Result<Process> {
        let (backend, schema) = (format!("http://{backend}"), schema.display().to_string());
        let arguments = ["gateway", "--backend", &backend, "--descriptor-set", &schema, "--listen", "127.0.0.1:0"];
        Process::start(self.command(&[&arguments, more].concat()))
    }

    /// The same, with a limit of the system on the descriptors that it may have open.
    pub(crate) fn narrow_gateway(&self, backend: SocketAddr, files: usize, more: &[&str]) -> Result<Process> {
        let (backend, schema) = (format!("http://{backend}"), self.schema.display().to_string());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(&self.gchat);
        command.args(["gateway", "--backend", &backend, "--descriptor-set", &schema, "--listen", "127.0.0.1:0"]);
        command.args(more);
        Process::start(command)
    }

    /// Starts a sidecar in front of a server with the attacks' schema.
    pub(crate) fn sidecar(&self, upstream: SocketAddr, more: &[&str]) -> Result<Process> {
        let (upstream, schema) = (format!("http://{upstream}"), self.schema.display().to_string());
        let arguments = ["sidecar", "--wire", "http", "--upstream", &upstream, "--descriptor-set", &schema];
        Process::start(self.command(&[&arguments[..], &["--listen", "127.0.0.1:0"], more].concat()))
    }

    /// Starts an emulator.
    pub(crate) fn emulator(&self, more: &[&str]) -> Result<Process> {
        Process::start(self.command(&[&["emulator", "--listen", "127.0.0.1:0"], more].concat()))
    }

    /// The arguments that set a flag of `gchat gateway`, if there is one.
    pub(crate) fn set<'f>(&self, flag: &'f str, value: &'f str) -> Vec<&'f str> {
        if self.gateway_help.contains(&format!("{flag} <")) { vec![flag, value] } else { Vec::new() }
    }

    /// A rule, with the flag that sets it and the flag's default.
    pub(crate) fn limit(&self, rule: &str, flag: &str) -> String {
        let Some((_, help)) = self.gateway_help.split_once(&format!("{flag} <")) else {
            return format!("{rule} (no flag `{flag}`)");
        };
        // Until the next flag's line.
        let help = help.split("\n      --").next().unwrap_or_default();
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        match words.split_once("[default: ").and_then(|(_, rest)| rest.split_once(']')) {
            Some((default, _)) => format!("{rule} (`{flag}`, default {default})"),
            None => format!("{rule} (`{flag}`)"),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A running server; killed when it goes out of scope.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    errors: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a server that prints where it listens.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let errors = Arc::<Mutex<String>>::default();
        let kept = Arc::clone(&errors);
        let reader = thread::spawn(move || {
            for line in stderr.map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(std::io::Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() < 10_000 {
                    kept.push_str(&line);
                    kept.push('\n');
                }
            }
        });
        let (found, address) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(std::io::Result::ok) {
                let address = line.split_once("listening at ").and_then(|(_, url)| url.trim().split("://").nth(1));
                if let Some(address) = address.and_then(|address| address.parse().ok()) {
                    let _ = found.send(address);
                }
            }
        });
        let address = address.recv_timeout(START);
        let Ok(address) = address else {
            let _ = child.kill();
            let _ = child.wait();
            let _ = reader.join();
            let errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
            return Err(format!("the server did not start: {}", errors.trim()).into());
        };
        Ok(Self { child, address, errors })
    }

    /// What it wrote to its standard error.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).ok_or("the process has no id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until it ends, for a time at most.
    pub(crate) async fn ended(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        let begun = Instant::now();
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || begun.elapsed() >= within {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    /// The memory that it has now, in MiB.
    pub(crate) fn memory(&self) -> Result<usize> {
        let status = fs::read_to_string(self.proc("status"))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Ok(kib.ok_or("the system does not say how much memory the server has")?.trim().parse::<usize>()? / 1024)
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(self.proc("fd"))?.count())
    }

    /// The processor time that its threads have taken.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let mut nanos = 0;
        for task in fs::read_dir(self.proc("task"))? {
            // A thread may end meanwhile.
            let Ok(stat) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanos += stat.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command that should end by itself gave.
pub(crate) struct Run {
    pub(crate) output: Output,
    pub(crate) took: Duration,
    /// Whether it was killed because it took too long.
    pub(crate) killed: bool,
}

impl Run {
    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

/// Runs a command to its end, or kills it after a time.
pub(crate) async fn run(mut command: Command, stdout: Stdio, within: Duration) -> Result<Run> {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn()?;
    let outputs = [read_all(child.stdout.take()), read_all(child.stderr.take())];
    let mut killed = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() >= within && !killed {
            child.kill()?;
            killed = true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let took = begun.elapsed();
    let [stdout, stderr] = outputs.map(|output| output.join().unwrap_or_default());
    Ok(Run { output: Output { status, stdout, stderr }, took, killed })
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut all);
        }
        all
    })
}
