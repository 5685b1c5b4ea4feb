//! A message becomes an HTTP request.

use tonic::Status;

use super::query;
use crate::{
    json::{self, WriteOptions},
    schema::{
        Body, HttpRule, MessageType, MethodType, Tables,
        wire::{DEPTH, LEN, Reader, put_len},
    },
};

/// An HTTP request without its headers.
#[derive(Debug)]
pub(crate) struct Target<'t> {
    /// The binding that fits.
    pub(crate) rule: &'t HttpRule,
    pub(crate) verb: http::Method,
    /// Path and query, percent-encoded.
    pub(crate) target: String,
    pub(crate) body: Option<Vec<u8>>,
}

/// Transcodes the message `wire` by the first binding of the method whose path
/// its fields fit into.
///
/// # Errors
///
/// INVALID_ARGUMENT if no binding fits, with every path that was tried; if a
/// field is set that neither path, query nor body can carry; or if the message
/// has no JSON form. UNIMPLEMENTED if the method has no HTTP rule.
pub(crate) fn transcode<'t>(tables: &Tables, method: &'t MethodType, wire: &[u8]) -> Result<Target<'t>, Status> {
    let name = method.path.trim_start_matches('/');
    if method.rules.is_empty() {
        return Err(Status::unimplemented(format!(
            "{name} has no HTTP rule (google.api.http), so that it cannot be called over HTTP/JSON; call it over gRPC"
        )));
    }
    let input = &tables.messages[method.input as usize];
    let mut tried = String::new();
    for rule in &method.rules {
        let values = variables(tables, input, rule, wire).map_err(Status::invalid_argument)?;
        match rule.template.expand(&values) {
            Ok(path) => {
                return by_rule(tables, input, rule, wire, path)
                    .map_err(|problem| Status::invalid_argument(format!("{name}: {problem}")));
            }
            Err(error) => {
                let separator = if tried.is_empty() { "" } else { "; " };
                tried.push_str(&format!("{separator}{} {}: {error}", rule.verb, rule.template));
            }
        }
    }
    Err(Status::invalid_argument(format!("{name}: no HTTP binding fits the request: {tried}")))
}

fn variables(tables: &Tables, input: &MessageType, rule: &HttpRule, wire: &[u8]) -> Result<Vec<String>, String> {
    rule.variables
        .iter()
        .map(|path| {
            let Some((leaf, parents)) = path.split_last() else { return Ok(String::new()) };
            let (mut message, mut bytes) = (input, wire.to_vec());
            for parent in parents {
                let field = &message.fields[usize::from(*parent)];
                bytes = content(field.number, &bytes)?;
                message = tables.message_of(field);
            }
            let field = &message.fields[usize::from(*leaf)];
            query::scalar_text(tables, message, field, &bytes)
        })
        .collect()
}

/// The merged content of a message field.
fn content(number: u32, wire: &[u8]) -> Result<Vec<u8>, String> {
    let mut merged = Vec::new();
    let mut reader = Reader::new(wire);
    while let Some((tag, payload)) = reader.field().map_err(|error| error.to_string())? {
        if tag == number << 3 | u32::from(LEN) {
            merged.extend_from_slice(payload.bytes());
        }
    }
    Ok(merged)
}

fn by_rule<'t>(
    tables: &Tables,
    input: &MessageType,
    rule: &'t HttpRule,
    wire: &[u8],
    mut target: String,
) -> Result<Target<'t>, String> {
    // The body is the message without what the path binds.
    let stripped;
    let rest = if rule.variables.is_empty() {
        wire
    } else {
        let paths: Vec<&[u16]> = rule.variables.iter().map(|path| &**path).collect();
        stripped = strip(tables, input, &paths, wire)?;
        &stripped
    };
    let options = WriteOptions::default();
    let body = match rule.body {
        Body::None => None,
        Body::Rest => {
            let mut body = Vec::new();
            json::write(tables, input, rest, &mut body, &options).map_err(|error| error.to_string())?;
            Some(body)
        }
        Body::Field(index) => {
            let field = &input.fields[usize::from(index)];
            let mut set = false;
            let mut reader = Reader::new(rest);
            while let Some((tag, _)) = reader.field().map_err(|error| error.to_string())? {
                set |= tag >> 3 == field.number;
            }
            if set {
                let mut body = Vec::with_capacity(rest.len() * 3);
                json::write_field(tables, input, field, rest, &mut body, &options)
                    .map_err(|error| error.to_string())?;
                Some(body)
            } else {
                None
            }
        }
    };
    if rule.body != Body::Rest {
        let in_body = match rule.body {
            Body::Field(index) => Some(input.fields[usize::from(index)].number),
            _ => None,
        };
        let bound: Vec<u32> = rule
            .variables
            .iter()
            .filter(|path| path.len() == 1)
            .map(|path| input.fields[usize::from(path[0])].number)
            .collect();
        let skip = |field: &crate::schema::Field| Some(field.number) == in_body || bound.contains(&field.number);
        query::put_message(&mut target, tables, input, "", rest, DEPTH, &skip)?;
    }
    Ok(Target { rule, verb: rule.verb.clone(), target, body })
}

/// The message without the fields at the ends of `paths`.
fn strip(tables: &Tables, message: &MessageType, paths: &[&[u16]], wire: &[u8]) -> Result<Vec<u8>, String> {
    let mut kept = Vec::with_capacity(wire.len());
    let mut reader = Reader::new(wire);
    loop {
        let before = reader.rest();
        let Some((tag, payload)) = reader.field().map_err(|error| error.to_string())? else { return Ok(kept) };
        let whole = &before[..before.len() - reader.rest().len()];
        let index = message.index_of(tag >> 3);
        let below: Vec<&[u16]> = paths
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| index == Some(usize::from(**first)))
            .map(|(_, rest)| rest)
            .collect();
        if below.is_empty() {
            kept.extend_from_slice(whole);
        } else if below.iter().all(|rest| !rest.is_empty()) {
            let Some(field) = message.field(tag >> 3) else { continue };
            let inner = strip(tables, tables.message_of(field), &below, payload.bytes())?;
            put_len(&mut kept, field.number, &inner);
        }
    }
}
