//! What `gchat gateway` and `gchat sidecar` bear of their clients and of the server behind
//! them.

use std::time::Duration;

use google_chat::grpc_transcoding::{
    client::BackendLimits,
    server::{GatewayLayer, Limits, SidecarLayer},
};

/// Times are in seconds, with a fraction if need be.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Bounds {
    /// The largest request, and the largest message of an answer, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 * 1024 * 1024)]
    pub(crate) max_message_size: usize,
    /// How long a call may take whose client does not ask for less; 0 for no limit
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = optional)]
    timeout: Limit,
    /// How long a stream may be without a message; 0 for no limit
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = optional)]
    stream_idle_timeout: Limit,
    /// How long the head of a request may take
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = time)]
    head_timeout: Duration,
    /// How long the body of a request may take
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = time)]
    body_timeout: Duration,
    /// How long a client may stop reading its response before it is disconnected
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = time)]
    write_timeout: Duration,
    /// How long a connection is kept without requests
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = time)]
    idle_timeout: Duration,
    /// After how long a silent HTTP/2 client is pinged; 0 for never
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = optional)]
    ping_interval: Limit,
    /// How many connections there may be
    #[arg(long, value_name = "COUNT", default_value = "4096", value_parser = count)]
    max_connections: usize,
    /// How many connections one address may have; any number, by default
    #[arg(long, value_name = "COUNT", value_parser = count)]
    max_connections_per_peer: Option<usize>,
    /// How many requests may be under way
    #[arg(long, value_name = "COUNT", default_value = "4096", value_parser = count)]
    max_requests: usize,
    /// How many requests may be under way on one HTTP/2 connection
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_streams: u32,
    /// How many bytes of large bodies are held, of all requests together
    #[arg(long, value_name = "BYTES", default_value_t = 256 * 1024 * 1024)]
    max_body_memory: usize,
    /// How large the headers of a request may be that go on to the backend
    #[arg(long, value_name = "BYTES", default_value_t = 8 * 1024)]
    max_metadata_size: usize,
    /// How many connections to the backend there may be for calls, and as many for streams.
    /// Of the limits of the backend, HTTP/JSON has the time to connect alone
    #[arg(long, value_name = "COUNT", default_value = "8", value_parser = count)]
    backend_connections: usize,
    /// How many calls or streams one connection to the backend may carry, and how many
    /// calls may stream their requests, each over a connection of its own
    #[arg(long, value_name = "COUNT", default_value = "100", value_parser = count)]
    backend_streams: usize,
    /// How many calls may wait for a place on a connection to the backend
    #[arg(long, value_name = "COUNT", default_value = "1000", value_parser = count)]
    backend_queue: usize,
    /// How long a call may wait for that
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = time)]
    backend_queue_timeout: Duration,
    /// How long connecting to the backend may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = time)]
    pub(crate) backend_connect_timeout: Duration,
    /// After how long a silent backend is pinged while calls wait; 0 for never. gRPC
    /// servers that are not configured take no more than one in 300 seconds
    #[arg(long, value_name = "SECONDS", default_value = "310", value_parser = optional)]
    backend_ping_interval: Limit,
    /// How many bytes of a stream are taken before its client takes them
    #[arg(long, value_name = "BYTES", default_value_t = 128 * 1024, value_parser = clap::value_parser!(u32).range(1..))]
    backend_stream_window: u32,
}

/// A time, or none.
#[derive(Clone, Copy)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

impl Bounds {
    pub(crate) fn server(&self) -> Limits {
        Limits::default()
            .head_time(self.head_timeout)
            .body_time(self.body_timeout)
            .answer_time(self.answer_time())
            .write_time(self.write_timeout)
            .idle_time(self.idle_timeout)
            .ping(self.ping_interval.0)
            .connections(self.max_connections)
            .connections_per_peer(self.max_connections_per_peer.unwrap_or(usize::MAX))
            .requests(self.max_requests)
            .streams(self.max_streams)
    }

    /// How long a request may be without a response, as the last resort: longer than what
    /// ends it with a reason. Without a limit of those there is none here.
    fn answer_time(&self) -> Duration {
        let (Some(timeout), Some(idle)) = (self.timeout.0, self.stream_idle_timeout.0) else { return Duration::MAX };
        Duration::from_secs(600).max(timeout.max(idle) + Duration::from_secs(10))
    }

    pub(crate) fn backend(&self) -> BackendLimits {
        BackendLimits::default()
            .connections(self.backend_connections)
            .streams(self.backend_streams)
            .queue(self.backend_queue)
            .queue_time(self.backend_queue_timeout)
            .connect_timeout(self.backend_connect_timeout)
            .ping(self.backend_ping_interval.0)
            .stream_window(self.backend_stream_window)
    }

    pub(crate) fn gateway(&self, layer: GatewayLayer) -> GatewayLayer {
        layer
            .max_message_size(self.max_message_size)
            .timeout(self.timeout.0)
            .stream_idle_timeout(self.stream_idle_timeout.0)
            .max_body_memory(self.max_body_memory)
            .max_metadata_size(self.max_metadata_size)
    }

    pub(crate) fn sidecar(&self, layer: SidecarLayer) -> SidecarLayer {
        layer
            .max_message_size(self.max_message_size)
            .timeout(self.timeout.0)
            .stream_idle_timeout(self.stream_idle_timeout.0)
            .max_body_memory(self.max_body_memory)
            .max_metadata_size(self.max_metadata_size)
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("not a whole number".to_owned()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    optional(text)?.0.ok_or_else(|| "must be more than 0".to_owned())
}

/// Reads a time in seconds, where 0 is none.
pub(crate) fn optional(text: &str) -> Result<Limit, String> {
    // A year is as good as none, and clocks can say when it ends.
    let longest = Duration::from_secs(365 * 86_400);
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| "not a number of seconds".to_owned())?;
    Ok(Limit((!time.is_zero()).then_some(time.min(longest))))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        bounds: Bounds,
    }

    #[test]
    fn the_last_resort_comes_after_the_limits_that_are_set() {
        for (flags, time) in [
            (&["", "--stream-idle-timeout=60"][..], Duration::from_secs(600)),
            (&["", "--timeout=1800"], Duration::from_secs(1810)),
            (&["", "--stream-idle-timeout=7200"], Duration::from_secs(7210)),
            (&["", "--timeout=0"], Duration::MAX),
            (&["", "--stream-idle-timeout=0"], Duration::MAX),
        ] {
            assert_eq!(Flags::parse_from(flags).bounds.answer_time(), time, "{flags:?}");
        }
    }
}
