//! An HTTP request becomes a message.

use std::collections::HashMap;

use bytes::Bytes;
use tonic::Status;

use super::{
    frame, http_body,
    query::{self, Parameters},
};
use crate::{
    json::{self, ReadOptions, WriteOptions},
    schema::{Body, Field, HttpRule, MessageType, MethodType, NO_ONEOF, Tables, wire::put_len},
};

/// Query parameters that belong to the API's front end, not to the request. Those that
/// [`System`] does not read are passed over.
///
/// `callback` asks for JSONP: an answer as a script that calls a function. It is passed
/// over as well, and the answer is JSON, since any web page can read a script.
///
/// Source: <https://cloud.google.com/apis/docs/system-parameters>.
const SYSTEM: [&str; 18] = [
    "alt",
    "$alt",
    "prettyPrint",
    "$prettyPrint",
    "fields",
    "$fields",
    "key",
    "$key",
    "access_token",
    "oauth_token",
    "callback",
    "$callback",
    "quotaUser",
    "userProject",
    "$.xgafv",
    "$httpMethod",
    "uploadType",
    "upload_protocol",
];

/// What the system parameters of a request ask for.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) write: WriteOptions,
    /// `alt=sse`: a stream as server-sent events.
    pub(crate) events: bool,
    /// `access_token` or `oauth_token`: the caller's, in place of the `authorization`
    /// header.
    pub(crate) access_token: Option<String>,
}

impl System {
    /// Reads them, over what the gateway does by itself.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a form of answer that is not offered.
    pub(crate) fn read(
        tables: &Tables,
        method: &MethodType,
        rule: &HttpRule,
        query: &Parameters<'_>,
        mut write: WriteOptions,
    ) -> Result<Self, Status> {
        let (mut events, mut access_token) = (false, None);
        let input = &tables.messages[method.input as usize];
        for (key, value) in query {
            // A field of the request comes before a system parameter of that name.
            if rule.body != Body::Rest && query::resolve(tables, input, key).is_some() {
                continue;
            }
            match &**key {
                "prettyPrint" | "$prettyPrint" => write.indent = (value == "true").then_some(2),
                "alt" | "$alt" => {
                    let mut parts = value.split(';');
                    match parts.next() {
                        Some("json") => {}
                        Some("media") if gives_http_body(tables, method, rule) => {}
                        Some("sse") => events = true,
                        _ => {
                            return Err(Status::invalid_argument(format!(
                                "`{key}={value}` is not offered; ask for json or sse"
                            )));
                        }
                    }
                    write.enums_as_integers |= parts.any(|part| part == "enum-encoding=int");
                }
                "access_token" | "oauth_token" => access_token = Some(value.to_string()),
                _ => {}
            }
        }
        Ok(Self { write, events, access_token })
    }
}

/// Transcodes a request into the method's request message, framed.
///
/// # Errors
///
/// INVALID_ARGUMENT with the parameter or the place in the body that is wrong.
pub(crate) fn transcode(
    tables: &Tables,
    method: &MethodType,
    rule: &HttpRule,
    values: &[String],
    query: &Parameters<'_>,
    body: &[u8],
    options: &ReadOptions,
) -> Result<Bytes, Status> {
    let invalid = |problem: String| Status::invalid_argument(problem);
    let input = &tables.messages[method.input as usize];
    let mut wire = frame::room(body.len());
    let blank = body.iter().all(u8::is_ascii_whitespace);
    match rule.body {
        Body::None if !blank => return Err(invalid("this method takes no body; send its fields in the query".into())),
        Body::Rest if !blank => {
            json::read(tables, input, body, &mut wire, options).map_err(|error| bad_json(&error))?;
        }
        Body::Field(index) if !blank => {
            let field = &input.fields[usize::from(index)];
            json::read_field(tables, field, body, &mut wire, options).map_err(|error| bad_json(&error))?;
        }
        _ => {}
    }
    around_body(tables, input, rule, values, query, wire)
}

/// The same for a binding whose body is an HttpBody: `body` is that, encoded.
///
/// # Errors
///
/// INVALID_ARGUMENT with the parameter that is wrong.
pub(crate) fn transcode_raw(
    tables: &Tables,
    method: &MethodType,
    rule: &HttpRule,
    values: &[String],
    query: &Parameters<'_>,
    body: &[u8],
) -> Result<Bytes, Status> {
    let input = &tables.messages[method.input as usize];
    let mut wire = frame::room(body.len() + 8);
    match rule.body {
        Body::Field(index) => put_len(&mut wire, input.fields[usize::from(index)].number, body),
        _ => wire.extend_from_slice(body),
    }
    around_body(tables, input, rule, values, query, wire)
}

/// Whether the body of a request is an HttpBody's, by that binding.
pub(crate) fn takes_http_body(tables: &Tables, method: &MethodType, rule: &HttpRule) -> bool {
    let input = &tables.messages[method.input as usize];
    match rule.body {
        Body::None => false,
        Body::Rest => http_body::is(input),
        Body::Field(index) => http_body::is_field(tables, &input.fields[usize::from(index)]),
    }
}

/// Adds what query and path say to what the body said.
fn around_body(
    tables: &Tables,
    input: &MessageType,
    rule: &HttpRule,
    values: &[String],
    query: &Parameters<'_>,
    mut wire: Vec<u8>,
) -> Result<Bytes, Status> {
    let invalid = |problem: String| Status::invalid_argument(problem);
    let mut seen: Vec<Vec<&Field>> = Vec::new();
    let mut oneofs = Oneofs::default();
    if let Body::Field(index) = rule.body
        && wire.len() > frame::HEADER
    {
        oneofs.insert(&[&input.fields[usize::from(index)]]).map_err(invalid)?;
    }
    for (key, value) in query {
        let path = query::resolve(tables, input, key).filter(|_| rule.body != Body::Rest);
        let Some(path) = path else {
            // A field of the request comes before a system parameter of that name.
            if SYSTEM.contains(&&**key) {
                continue;
            }
            return Err(invalid(format!("unknown query parameter `{key}`")));
        };
        refuse_bound(rule, input.fields.as_slice(), &path, key)?;
        let repeated = path.last().is_some_and(|leaf| leaf.cardinality == crate::schema::Cardinality::Repeated);
        let same = |other: &Vec<&Field>| {
            other.len() == path.len() && other.iter().zip(&path).all(|(one, other)| std::ptr::eq(*one, *other))
        };
        if !repeated && seen.iter().any(same) {
            return Err(invalid(format!("query parameter `{key}` comes twice")));
        }
        oneofs.insert(&path).map_err(invalid)?;
        query::put_text(&mut wire, tables, &path, value)
            .map_err(|problem| invalid(format!("query parameter `{key}`: {problem}")))?;
        seen.push(path);
    }
    // The path comes last, so that it wins over a body that says otherwise.
    for (indices, value) in rule.variables.iter().zip(values) {
        let mut message = input;
        let mut path = Vec::new();
        for index in indices {
            let field = &message.fields[usize::from(*index)];
            path.push(field);
            if field.is_message() {
                message = tables.message_of(field);
            }
        }
        let bound = path.last().map_or("", |field| &*field.json_name);
        oneofs.insert(&path).map_err(invalid)?;
        query::put_text(&mut wire, tables, &path, value)
            .map_err(|problem| invalid(format!("`{bound}` in the path: {problem}")))?;
    }
    frame::frame(wire)
}

/// The member that is set of each oneof, by the path that leads to it.
#[derive(Default)]
struct Oneofs(HashMap<(String, u16), String>);

impl Oneofs {
    /// Takes note of the fields along a path.
    ///
    /// # Errors
    ///
    /// If another member of one of their oneofs is set.
    fn insert(&mut self, path: &[&Field]) -> Result<(), String> {
        let mut prefix = String::new();
        for field in path {
            if field.oneof != NO_ONEOF {
                let set = self.0.entry((prefix.clone(), field.oneof)).or_insert_with(|| field.json_name.to_string());
                if **set != *field.json_name {
                    return Err(format!("`{prefix}{set}` and `{prefix}{}` are of one oneof; set one", field.json_name));
                }
            }
            prefix.push_str(&field.json_name);
            prefix.push('.');
        }
        Ok(())
    }
}

fn bad_json(error: &json::ParseError) -> Status {
    Status::invalid_argument(format!("Invalid JSON payload received. {error}"))
}

/// A query may not say again what path or body say.
fn refuse_bound(rule: &HttpRule, fields: &[Field], path: &[&Field], key: &str) -> Result<(), Status> {
    let Some(first) = path.first() else { return Ok(()) };
    if let Body::Field(index) = rule.body
        && fields[usize::from(index)].number == first.number
    {
        return Err(Status::invalid_argument(format!("query parameter `{key}` is a field of the body")));
    }
    let is_bound = |variable: &str| variable.split('.').eq(path.iter().map(|field| &*field.name));
    if rule.template.variables().any(is_bound) {
        return Err(Status::invalid_argument(format!("query parameter `{key}` is a field of the path")));
    }
    Ok(())
}

/// Writes a reply as the JSON that the binding answers with.
///
/// # Errors
///
/// INTERNAL if the reply has no JSON form.
pub(crate) fn reply(
    tables: &Tables,
    method: &MethodType,
    rule: &HttpRule,
    wire: &[u8],
    options: &WriteOptions,
) -> Result<Vec<u8>, Status> {
    let output = &tables.messages[method.output as usize];
    let mut body = Vec::with_capacity(wire.len() * 3 + 16);
    let written = match rule.response_body {
        Some(index) => json::write_field(tables, output, &output.fields[usize::from(index)], wire, &mut body, options),
        None => json::write(tables, output, wire, &mut body, options),
    };
    written.map_err(|error| Status::internal(format!("the reply has no JSON form: {error}")))?;
    Ok(body)
}

/// Whether the method's replies are HttpBodies, by that binding.
pub(crate) fn gives_http_body(tables: &Tables, method: &MethodType, rule: &HttpRule) -> bool {
    let output = &tables.messages[method.output as usize];
    match rule.response_body {
        Some(index) => http_body::is_field(tables, &output.fields[usize::from(index)]),
        None => http_body::is(output),
    }
}

/// The content type and the data of a reply that is an HttpBody.
///
/// # Errors
///
/// INTERNAL if the bytes are no such reply.
pub(crate) fn http_body_reply(
    tables: &Tables,
    method: &MethodType,
    rule: &HttpRule,
    wire: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), Status> {
    let output = &tables.messages[method.output as usize];
    let read = || {
        let body = match rule.response_body {
            Some(index) => http_body::content(output.fields[usize::from(index)].number, wire)?,
            None => wire.to_vec(),
        };
        let (kind, data) = http_body::read(&body)?;
        Ok::<_, crate::schema::wire::WireError>((kind.to_vec(), data.to_vec()))
    };
    read().map_err(|error| Status::internal(format!("the reply is no {}: {error}", output.name)))
}

/// Takes an answer's body, whatever it is, as a reply that is an HttpBody,
/// framed.
pub(crate) fn read_http_body(
    tables: &Tables,
    method: &MethodType,
    rule: &HttpRule,
    content_type: &[u8],
    data: &[u8],
) -> Result<Bytes, Status> {
    let body = http_body::write(content_type, data);
    let mut wire = frame::room(body.len() + 8);
    match rule.response_body {
        Some(index) => {
            let output = &tables.messages[method.output as usize];
            put_len(&mut wire, output.fields[usize::from(index)].number, &body);
        }
        None => wire.extend_from_slice(&body),
    }
    frame::frame(wire)
}

/// Reads an answer's JSON as the method's reply, framed.
///
/// # Errors
///
/// INTERNAL if the body is not the JSON form of the reply.
pub(crate) fn read_reply(tables: &Tables, method: &MethodType, rule: &HttpRule, body: &[u8]) -> Result<Bytes, Status> {
    let output = &tables.messages[method.output as usize];
    // A server may be newer than the schema.
    let options = ReadOptions { ignore_unknown: true };
    let mut wire = frame::room(body.len());
    if body.iter().all(u8::is_ascii_whitespace) {
        return frame::frame(wire);
    }
    let read = match rule.response_body {
        Some(index) => json::read_field(tables, &output.fields[usize::from(index)], body, &mut wire, &options),
        None => json::read(tables, output, body, &mut wire, &options),
    };
    read.map_err(|error| Status::internal(format!("the answer is not the JSON form of {}: {error}", output.name)))?;
    frame::frame(wire)
}
