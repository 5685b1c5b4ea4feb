//! The access log: a line for each request, when it has ended.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use google_chat::grpc_transcoding::rpc::code_name;
use http::{Method, Version};
use serde::Serialize;
use tonic::Code;

/// How many lines wait at most for who reads them. Requests never wait: what comes beyond
/// that is counted, and left out.
const WAITING: usize = 8 * 1024;

/// How long lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(5);

/// How long the last lines may take to be written when the server ends.
const LAST: Duration = Duration::from_secs(1);

/// The longest method, path and user agent that are logged, in letters.
const LONGEST: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// A line of JSON
    Json,
    /// A line for people
    Text,
}

/// What is said of a request. There is nothing of its query, its headers but one, or its
/// body: each may hold a token, or what somebody wrote.
pub(super) struct Entry<'e> {
    pub(super) begun: SystemTime,
    pub(super) took: Duration,
    pub(super) peer: Option<SocketAddr>,
    pub(super) method: &'e Method,
    pub(super) path: &'e str,
    pub(super) version: Version,
    pub(super) user_agent: &'e str,
    /// `None` if the client was gone before there was an answer.
    pub(super) status: Option<u16>,
    pub(super) code: Option<Code>,
    pub(super) bytes: u64,
    /// The client did not wait for the whole answer.
    pub(super) cancelled: bool,
}

/// Writes lines on a thread of its own, so that a slow reader holds up no request.
#[derive(Clone)]
pub(crate) struct AccessLog {
    form: Form,
    lines: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

enum Item {
    Line(String),
    /// What is dropped once all lines before it are written.
    Written(Sender<()>),
}

impl AccessLog {
    pub(super) fn start(form: Form) -> Self {
        Self::to(form, io::stdout())
    }

    pub(super) fn to(form: Form, out: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&lost);
        std::thread::spawn(move || write(&waiting, &count, out));
        Self { form, lines, lost }
    }

    pub(super) fn log(&self, entry: &Entry<'_>) {
        if self.lines.try_send(Item::Line(entry.line(self.form))).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Waits until the lines so far are written, as long as that takes no more than a moment.
    pub(super) fn finish(&self) {
        let (written, all) = channel();
        let lines = self.lines.clone();
        // There may be no place for it as long as nobody reads the log.
        std::thread::spawn(move || lines.send(Item::Written(written)));
        let _ = all.recv_timeout(LAST);
    }
}

/// Writes lines as they come, many at once where many wait. Ends when nobody reads them.
fn write(lines: &Receiver<Item>, lost: &AtomicU64, mut out: impl Write) {
    let mut text = String::new();
    let mut failing = false;
    while let Ok(first) = lines.recv() {
        // To be woken for each line costs a request more than the rest of its log.
        std::thread::sleep(GATHER);
        text.clear();
        let mut written = None;
        for item in std::iter::once(first).chain(lines.try_iter().take(1_000)) {
            match item {
                Item::Line(line) => text.push_str(&line),
                Item::Written(sender) => written = Some(sender),
            }
        }
        let missing = lost.swap(0, Relaxed);
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => failing = false,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return,
            // A disk that is full has room again when somebody has made some.
            Err(error) => {
                if !failing {
                    crate::output::say(&format!(
                        "warning: the access log cannot be written: {error}; requests are missing in it until it can be"
                    ));
                }
                failing = true;
            }
        }
        drop(written);
        if missing > 0 {
            crate::output::say(&format!(
                "warning: the access log is read too slowly; {missing} requests are not in it"
            ));
        }
    }
}

impl Entry<'_> {
    fn line(&self, form: Form) -> String {
        let protocol = match self.version {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        let [method, path, user_agent] = [self.method.as_str(), self.path, self.user_agent].map(shortened);
        let code = self.code.map(code_name);
        if form == Form::Json {
            let line = Line {
                time: time(self.begun),
                peer: self.peer,
                protocol,
                method,
                path,
                status: self.status,
                code,
                duration_ms: self.took.as_micros() as f64 / 1_000.0,
                bytes: self.bytes,
                cancelled: self.cancelled,
                user_agent,
            };
            // There is nothing in it that JSON cannot have.
            return serde_json::to_string(&line).unwrap_or_default() + "\n";
        }
        let mut line = format!(
            "{} {} {:?} {} {} {}B {:.3}ms {user_agent:?}",
            time(self.begun),
            self.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string()),
            format!("{method} {path} {protocol}"),
            self.status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
            code.unwrap_or("-"),
            self.bytes,
            self.took.as_micros() as f64 / 1_000.0,
        );
        line.push_str(if self.cancelled { " cancelled\n" } else { "\n" });
        line
    }
}

#[derive(Serialize)]
struct Line<'l> {
    time: String,
    peer: Option<SocketAddr>,
    protocol: &'l str,
    method: Cow<'l, str>,
    path: Cow<'l, str>,
    status: Option<u16>,
    code: Option<&'l str>,
    duration_ms: f64,
    bytes: u64,
    cancelled: bool,
    user_agent: Cow<'l, str>,
}

pub(super) fn shortened(text: &str) -> Cow<'_, str> {
    // The letters of a text that has no more bytes need not be counted.
    let end = if text.len() > LONGEST { text.char_indices().nth(LONGEST) } else { None };
    end.map_or(text.into(), |(end, _)| format!("{}…", &text[..end]).into())
}

/// A time as RFC 3339 has it, in UTC with milliseconds.
fn time(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years that begin in March have their leap day at the end, and 400 of them are 146,097
    // days.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, era * 400 + year) } else { (month - 9, era * 400 + year + 1) };
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let mut text = String::with_capacity(24);
    let millis = since.subsec_millis();
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
    text
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_795_851_296, "2026-11-28T07:34:56.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(time(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_line_is_one_line_whatever_is_asked() {
        let entry = Entry {
            begun: UNIX_EPOCH,
            took: Duration::from_micros(1_500),
            peer: None,
            method: &Method::POST,
            path: "/a\"\n/ü",
            version: Version::HTTP_2,
            user_agent: &"x\r\n".repeat(1_000),
            status: Some(200),
            code: Some(Code::NotFound),
            bytes: 7,
            cancelled: true,
        };
        let text = entry.line(Form::Text);
        assert!(
            text.starts_with(r#"1970-01-01T00:00:00.000Z - "POST /a\"\n/ü HTTP/2" 200 NOT_FOUND 7B 1.500ms "x"#),
            "{text}"
        );
        assert!(text.ends_with(" cancelled\n") && text.lines().count() == 1 && text.len() < 4_000, "{text}");
        let json = entry.line(Form::Json);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&value["path"], &value["code"], &value["duration_ms"]),
            (&"/a\"\n/ü".into(), &"NOT_FOUND".into(), &1.5.into())
        );
        assert_eq!(json.lines().count(), 1);
    }

    fn entry(method: &Method) -> Entry<'_> {
        Entry {
            begun: UNIX_EPOCH,
            took: Duration::ZERO,
            peer: None,
            method,
            path: "/",
            version: Version::HTTP_11,
            user_agent: "",
            status: None,
            code: None,
            bytes: 0,
            cancelled: false,
        }
    }

    fn lines_of(text: &[u8]) -> usize {
        text.iter().filter(|byte| **byte == b'\n').count()
    }

    #[test]
    fn a_long_method_is_shortened() {
        let method = Method::from_bytes(&[b'A'; 10_000]).unwrap();
        for form in [Form::Json, Form::Text] {
            let line = entry(&method).line(form);
            assert!(line.contains("A…") && line.len() < 1_000, "{line}");
        }
    }

    /// Takes each text, but fails for some of them first.
    #[derive(Clone)]
    pub(in crate::serving) struct Disk {
        failures: Arc<Mutex<Vec<io::ErrorKind>>>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Disk {
        pub(in crate::serving) fn failing(failures: &[io::ErrorKind]) -> Self {
            Self { failures: Arc::new(Mutex::new(failures.to_vec())), text: Arc::default() }
        }

        pub(in crate::serving) fn text(&self) -> Vec<u8> {
            self.text.lock().unwrap().clone()
        }
    }

    impl Write for Disk {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            match self.failures.lock().unwrap().pop() {
                Some(failure) => Err(failure.into()),
                None => self.text.lock().unwrap().write(text),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_end_waits_for_the_last_lines() {
        let disk = Disk::failing(&[]);
        let log = AccessLog::to(Form::Text, disk.clone());
        for _ in 0..5_000 {
            log.log(&entry(&Method::GET));
        }
        log.finish();
        assert_eq!(lines_of(&disk.text()), 5_000);
    }

    #[test]
    fn a_failure_costs_its_lines_and_not_the_log() {
        for (failure, lines) in [(io::ErrorKind::StorageFull, 1), (io::ErrorKind::BrokenPipe, 0)] {
            let disk = Disk::failing(&[failure]);
            let log = AccessLog::to(Form::Text, disk.clone());
            for _ in 0..2 {
                log.log(&entry(&Method::GET));
                log.finish();
            }
            assert_eq!(lines_of(&disk.text()), lines, "{failure}");
        }
    }

    #[test]
    fn what_nobody_reads_in_time_is_counted_and_not_waited_for() {
        let (lines, waiting) = sync_channel(1);
        let log = AccessLog { form: Form::Text, lines, lost: Arc::default() };
        for _ in 0..3 {
            log.log(&entry(&Method::GET));
        }
        assert_eq!(log.lost.load(Relaxed), 2);
        let lost = Arc::clone(&log.lost);
        drop(log);
        let mut written = Vec::new();
        write(&waiting, &lost, &mut written);
        assert_eq!((lines_of(&written), lost.load(Relaxed)), (1, 0));
    }
}
