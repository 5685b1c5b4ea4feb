//! The access log: a line for each request, when it has ended.

use std::{
    fmt::Write as _,
    io::{self, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
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

/// The longest user agent and path that are logged, in letters.
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
    lines: SyncSender<String>,
    lost: Arc<AtomicU64>,
}

impl AccessLog {
    pub(super) fn start(form: Form) -> Self {
        let (lines, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&lost);
        std::thread::spawn(move || write(&waiting, &count, io::stdout()));
        Self { form, lines, lost }
    }

    pub(super) fn log(&self, entry: &Entry<'_>) {
        if self.lines.try_send(entry.line(self.form)).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

/// Writes lines as they come, many at once where many wait. Ends when nobody reads them.
fn write(lines: &Receiver<String>, lost: &AtomicU64, mut out: impl Write) {
    let mut text = String::new();
    while let Ok(line) = lines.recv() {
        text.clear();
        text.push_str(&line);
        text.extend(lines.try_iter().take(1_000));
        let missing = lost.swap(0, Relaxed);
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
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
        let peer = self.peer.map(|peer| peer.to_string());
        let (path, user_agent) = (shortened(self.path), shortened(self.user_agent));
        let code = self.code.map(code_name);
        if form == Form::Json {
            let line = Line {
                time: time(self.begun),
                peer,
                protocol,
                method: self.method.as_str(),
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
            peer.as_deref().unwrap_or("-"),
            format!("{} {path} {protocol}", self.method),
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
    peer: Option<String>,
    protocol: &'l str,
    method: &'l str,
    path: String,
    status: Option<u16>,
    code: Option<&'l str>,
    duration_ms: f64,
    bytes: u64,
    cancelled: bool,
    user_agent: String,
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
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
mod tests {
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

    #[test]
    fn what_nobody_reads_in_time_is_counted_and_not_waited_for() {
        let (lines, waiting) = sync_channel(1);
        let log = AccessLog { form: Form::Text, lines, lost: Arc::default() };
        let entry = Entry {
            begun: UNIX_EPOCH,
            took: Duration::ZERO,
            peer: None,
            method: &Method::GET,
            path: "/",
            version: Version::HTTP_11,
            user_agent: "",
            status: None,
            code: None,
            bytes: 0,
            cancelled: false,
        };
        for _ in 0..3 {
            log.log(&entry);
        }
        assert_eq!(log.lost.load(Relaxed), 2);
        let lost = Arc::clone(&log.lost);
        drop(log);
        let mut written = Vec::new();
        write(&waiting, &lost, &mut written);
        assert_eq!((written.iter().filter(|byte| **byte == b'\n').count(), lost.load(Relaxed)), (1, 0));
    }
}
