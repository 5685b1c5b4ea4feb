//! Where spans go, and of which traces: by flags, and by the environment variables that
//! OpenTelemetry's SDKs have.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use google_chat::grpc_transcoding::{
    HttpRules,
    client::{Connector, Grpc, Origin},
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    Shared, Tracer,
    export::{EVERY, Exporter, Queue},
    otlp::{KeyValue, Resource},
};
use crate::failure::Failure;

#[derive(clap::Args)]
#[command(next_help_heading = "Tracing")]
pub(crate) struct TraceFlags {
    /// Send OpenTelemetry spans to the collector at this URL, by OTLP over gRPC [default:
    /// what OTEL_EXPORTER_OTLP_ENDPOINT says]
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// The share of traces that are recorded, from 0 to 1, of those that begin here; others
    /// are recorded if their caller's part is
    #[arg(long, value_name = "RATIO", default_value = "1", value_parser = share)]
    trace_sample: f64,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "not a number from 0 to 1".to_owned())
}

/// A variable that is set, and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl TraceFlags {
    /// What records spans, if that is asked for.
    ///
    /// # Errors
    ///
    /// If the collector's URL or a variable cannot be used.
    pub(in crate::serving) fn tracer(
        &self,
        rules: &HttpRules,
        scheme: &'static str,
    ) -> Result<Option<Tracer>, Failure> {
        let endpoint = self.otlp_endpoint.clone().map(|url| ("--otlp-endpoint", url));
        let of_environment = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let mut named = of_environment.into_iter().filter_map(|name| Some((name, variable(name)?)));
        let Some((source, url)) = endpoint.or_else(|| named.next()) else { return Ok(None) };
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            match variable(name).as_deref() {
                None | Some("grpc") => {}
                Some(other) => {
                    return Err(Failure::usage(format!(
                        "{name} is {other}, but spans are sent over gRPC only; set it to grpc, and {source} to the \
                         collector's port for that, which is 4317 mostly"
                    )));
                }
            }
        }
        let origin = Origin::parse(&url).map_err(|error| Failure::usage(format!("{source}: {}", error.problem())))?;
        let mut connector = Connector::builder();
        if let Some(file) = variable("OTEL_EXPORTER_OTLP_CERTIFICATE") {
            let unreadable = || Failure::usage(format!("OTEL_EXPORTER_OTLP_CERTIFICATE: cannot read {file}"));
            connector =
                connector.root_certificates(&std::fs::read(&file).map_err(|error| unreadable().because(error))?);
        }
        let connector = connector.build(&origin).map_err(Failure::machine)?;
        let delay = variable("OTEL_BSP_SCHEDULE_DELAY").map(|text| text.parse().map(Duration::from_millis)).transpose();
        let every = delay.map_err(|_| Failure::usage("OTEL_BSP_SCHEDULE_DELAY: write milliseconds"))?.unwrap_or(EVERY);
        let exporter = Exporter {
            collector: Grpc::over(connector, origin),
            every,
            url,
            headers: headers()?,
            resource: resource()?,
        };
        // In 2^56 steps, of which an f64 has all.
        let steps = (1_u64 << 56) as f64;
        let threshold = ((1.0 - self.trace_sample) * steps) as u64;
        let (rules, queue) = (RwLock::new(rules.clone()), Queue::to(exporter));
        Ok(Some(Tracer(Arc::new(Shared { threshold, rules, scheme, queue }))))
    }
}

/// Who sends the spans, as `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say.
fn resource() -> Result<Resource, Failure> {
    let mut attributes = pairs("OTEL_RESOURCE_ATTRIBUTES")?;
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        attributes.retain(|(known, _)| known != "service.name");
        attributes.push(("service.name".to_owned(), name));
    }
    for (key, value) in [("service.name", "gchat"), ("service.version", env!("CARGO_PKG_VERSION"))] {
        if !attributes.iter().any(|(known, _)| known == key) {
            attributes.push((key.to_owned(), value.to_owned()));
        }
    }
    Ok(Resource { attributes: attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect() })
}

/// What else is sent to the collector, such as a key.
fn headers() -> Result<HeaderMap, Failure> {
    let name = "OTEL_EXPORTER_OTLP_HEADERS";
    let mut headers = HeaderMap::new();
    for (key, value) in pairs(name)? {
        let unusable = || Failure::usage(format!("{name}: `{key}` and its value cannot be sent as a header"));
        let mut value = HeaderValue::try_from(value).map_err(|_| unusable())?;
        value.set_sensitive(true);
        headers.append(HeaderName::try_from(&key).map_err(|_| unusable())?, value);
    }
    Ok(headers)
}

/// The pairs of a variable: `key=value`, separated by commas, with percent-escapes. They may
/// be keys, so that an error does not show them.
fn pairs(name: &str) -> Result<Vec<(String, String)>, Failure> {
    let text = variable(name).unwrap_or_default();
    let pair = |text: &str| {
        // The escapes are those of forms, but a plus and an ampersand stand for themselves.
        let text = text.replace('+', "%2B").replace('&', "%26");
        let (key, value) = form_urlencoded::parse(text.as_bytes()).next()?;
        (text.contains('=') && !key.is_empty()).then(|| (key.into_owned(), value.into_owned()))
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pairs: Option<Vec<_>> = parts.map(pair).collect();
    pairs.ok_or_else(|| Failure::usage(format!("{name}: write key=value, separated by commas")))
}
