//! What can be set of the connections.

use std::time::Duration;

use super::Kind;

/// The largest window that HTTP/2 has (RFC 9113, section 6.9.1).
const LARGEST_WINDOW: u32 = i32::MAX as u32;

/// The window of a stream whose response is taken at once.
const PROMPT_WINDOW: u32 = 1024 * 1024;

/// The limits of the connections to a gRPC server ([`Grpc::with_limits`](crate::client::Grpc::with_limits)).
#[derive(Clone, Debug)]
#[must_use]
pub struct BackendLimits {
    connections: usize,
    streams: usize,
    pub(super) queue: usize,
    pub(super) queue_time: Duration,
    pub(super) stream_window: u32,
    pub(super) connect: Duration,
    pub(super) ping: Option<Duration>,
    pub(super) idle: Duration,
}

impl Default for BackendLimits {
    fn default() -> Self {
        Self {
            connections: 8,
            streams: 100,
            queue: 1_000,
            queue_time: Duration::from_secs(10),
            stream_window: 128 * 1024,
            connect: Duration::from_secs(10),
            // Servers of gRPC close connections that are pinged more often than every five minutes.
            ping: Some(Duration::from_secs(310)),
            idle: Duration::from_secs(90),
        }
    }
}

impl BackendLimits {
    /// Sets how many connections there may be for calls that end soon, and as many for
    /// those that last. At least 1; the default is 8.
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count.max(1);
        self
    }

    /// Sets how many calls one connection may carry at a time, where the server allows
    /// as many. At least 1; the default is 100. As many calls may stream their requests at a
    /// time, each over a connection of its own.
    pub fn streams(mut self, count: usize) -> Self {
        self.streams = count.clamp(1, 100_000);
        self
    }

    /// Sets how many calls may wait for a place, of each kind. Further calls fail with
    /// UNAVAILABLE at once. At least 1; the default is 1,000.
    pub fn queue(mut self, count: usize) -> Self {
        self.queue = count.max(1);
        self
    }

    /// Sets how long a call may wait for a place; then it fails with
    /// UNAVAILABLE. The default is 10 seconds.
    pub fn queue_time(mut self, time: Duration) -> Self {
        self.queue_time = time;
        self
    }

    /// Sets how many bytes of a response that lasts are taken from the server before
    /// its reader takes them. The default is 128 KiB.
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.stream_window = bytes.clamp(1, LARGEST_WINDOW);
        self
    }

    /// Sets how long connecting may take, until the server has sent its HTTP/2
    /// settings. The default is 10 seconds.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect = time;
        self
    }

    /// Sets after how long without a sign of the server it is pinged while calls wait;
    /// a connection without a response within 20 seconds is closed. The default is
    /// 310 seconds, because gRPC servers close connections that ping more often than
    /// every 300 seconds, unless they are configured.
    pub fn ping(mut self, interval: Option<Duration>) -> Self {
        self.ping = interval;
        self
    }

    /// Sets how long a connection is kept without calls. The default is 90 seconds.
    pub fn idle(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    pub(super) fn connections_of(&self, kind: Kind) -> usize {
        if kind == Kind::Sending { self.streams } else { self.connections }
    }

    pub(super) fn streams_of(&self, kind: Kind) -> usize {
        if kind == Kind::Sending { 1 } else { self.streams }
    }

    /// The windows of a stream and of a connection: one that is not read leaves room for
    /// all others.
    pub(super) fn windows(&self, kind: Kind) -> (u32, u32) {
        let streams = u32::try_from(self.streams_of(kind)).unwrap_or(u32::MAX);
        let wanted = if kind == Kind::Prompt { PROMPT_WINDOW } else { self.stream_window };
        let stream = wanted.min(LARGEST_WINDOW / streams);
        (stream, (stream * streams).max(65_535))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_are_not_read_leave_room_in_the_connections_window() {
        for (streams, window) in [(1, 1), (1, u32::MAX), (100, 128 * 1024), (100, u32::MAX), (100_000, u32::MAX)] {
            let limits = BackendLimits::default().streams(streams).stream_window(window);
            for kind in [Kind::Prompt, Kind::Lasting, Kind::Sending] {
                let (stream, connection) = limits.windows(kind);
                let all = u64::from(stream) * limits.streams_of(kind) as u64;
                assert!(u64::from(connection) >= all && stream > 0, "{streams} {window} {kind:?}");
                assert!(connection <= LARGEST_WINDOW, "{streams} {window} {kind:?}");
            }
        }
    }
}
