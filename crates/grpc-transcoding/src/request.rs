//! A message becomes an HTTP request.

use tonic::Status;

use super::{http_body, query};
use crate::{
    json::{
        self, WriteOptions,
        merged::{self, Fields},
        text::{self, Base64},
    },
    schema::{Body, HttpRule, MessageType, Method, MethodType, NO_ONEOF, Tables, percent, wire::WireError},
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
    /// The content type of a body that is an HttpBody.
    pub(crate) content_type: Option<Vec<u8>>,
}

/// How enum values are written, and asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enums {
    /// By name, as JSON has them unless something else is said.
    Names,
    /// By number, with `$alt=json;enum-encoding=int` for the answer.
    Numbers,
}

impl Method {
    /// Transcodes a request message, given as its wire bytes, into the HTTP
    /// request that it is: verb, path and query, and the body with its content
    /// type. Nothing is added, and nothing is sent.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if no binding fits the message, with every path that
    /// was tried, or if it sets a field that HTTP/JSON cannot carry;
    /// UNIMPLEMENTED if the method has no HTTP rule.
    pub fn to_http(&self, wire: &[u8]) -> Result<http::Request<Vec<u8>>, Status> {
        let target = transcode(self.tables(), self.table(), wire, Enums::Names)?;
        let mut request = http::Request::builder().method(target.verb).uri(target.target);
        if target.body.is_some() {
            let kind = target.content_type.unwrap_or_else(|| b"application/json".to_vec());
            request = request.header(http::header::CONTENT_TYPE, kind);
        }
        request
            .body(target.body.unwrap_or_default())
            .map_err(|error| Status::internal(format!("the request cannot be built: {error}")))
    }
}

/// Transcodes the message `wire` by the first binding of the method whose path
/// its fields fit into.
///
/// # Errors
///
/// INVALID_ARGUMENT if no binding fits, with every path that was tried; if a
/// field is set that neither path, query nor body can carry; or if the message
/// has no JSON form. UNIMPLEMENTED if the method has no HTTP rule.
pub(crate) fn transcode<'t>(
    tables: &Tables,
    method: &'t MethodType,
    wire: &[u8],
    enums: Enums,
) -> Result<Target<'t>, Status> {
    let name = method.path.trim_start_matches('/');
    let unusable = || method.unusable.iter().map(|rule| format!("{}: {}", rule.binding, rule.problem));
    if method.rules.is_empty() {
        let mut problem = unusable().collect::<Vec<_>>().join("; ");
        problem = match problem.is_empty() {
            true => "has no HTTP rule (google.api.http)".to_owned(),
            false => format!("has no HTTP rule that can be used: {problem}"),
        };
        return Err(Status::unimplemented(format!(
            "{name} {problem}, so that it cannot be called over HTTP/JSON; call it over gRPC"
        )));
    }
    let input = &tables.messages[method.input as usize];
    let invalid = |problem: String| Status::invalid_argument(format!("{name}: {problem}"));
    let fields = Fields::read(tables, input, &[wire]).map_err(|error| invalid(error.to_string()))?;
    let mut tried = Vec::new();
    for rule in &method.rules {
        let values = variables(tables, input, rule, &fields).map_err(invalid)?;
        match rule.template.expand(&values) {
            Ok(path) => return by_rule(tables, method, rule, wire, fields, path, enums).map_err(invalid),
            Err(error) => tried.push(format!("{} {}: {error}", rule.verb, rule.template)),
        }
    }
    tried.extend(unusable());
    Err(invalid(format!("no HTTP binding fits the request: {}", tried.join("; "))))
}

/// The values of a template's variables; empty for one that is not set and has no default
/// that may stand in the path.
fn variables(
    tables: &Tables,
    input: &MessageType,
    rule: &HttpRule,
    fields: &Fields<'_>,
) -> Result<Vec<String>, String> {
    rule.variables.iter().map(|path| variable(tables, input, path, fields)).collect()
}

fn variable(tables: &Tables, message: &MessageType, path: &[u16], fields: &Fields<'_>) -> Result<String, String> {
    let Some((first, below)) = path.split_first() else { return Ok(String::new()) };
    let index = usize::from(*first);
    let (field, found) = (&message.fields[index], fields.of(index));
    if !below.is_empty() {
        let nested = tables.message_of(field);
        let fields = Fields::read(tables, nested, &merged::pieces(found)).map_err(|error| error.to_string())?;
        return variable(tables, nested, below, &fields);
    }
    if found.is_empty() && field.oneof != NO_ONEOF {
        return Ok(String::new());
    }
    let text = text::singular(tables, field, found, Base64::UrlSafe);
    let text = text.map_err(|error| format!("field `{}`: {error}", field.json_name))?;
    Ok(text.unwrap_or_default().into_owned())
}

/// The variables of a method's first binding as `x-goog-request-params` has them:
/// `name=spaces/AAAA`, percent-encoded but for slashes. Those without a value are
/// left out.
///
/// # Errors
///
/// If the bytes are not such a message.
pub(crate) fn routing_params(tables: &Tables, method: &MethodType, wire: &[u8]) -> Result<String, String> {
    let mut params = String::new();
    let Some(rule) = method.rules.first() else { return Ok(params) };
    let input = &tables.messages[method.input as usize];
    let fields = Fields::read(tables, input, &[wire]).map_err(|error| error.to_string())?;
    let values = variables(tables, input, rule, &fields)?;
    for (name, value) in rule.template.variables().zip(values) {
        if value.is_empty() {
            continue;
        }
        if !params.is_empty() {
            params.push('&');
        }
        params.push_str(name);
        params.push('=');
        for (at, segment) in value.split('/').enumerate() {
            if at > 0 {
                params.push('/');
            }
            percent::encode(&mut params, segment);
        }
    }
    Ok(params)
}

fn by_rule<'t>(
    tables: &Tables,
    method: &MethodType,
    rule: &'t HttpRule,
    wire: &[u8],
    fields: Fields<'_>,
    mut target: String,
    enums: Enums,
) -> Result<Target<'t>, String> {
    let input = &tables.messages[method.input as usize];
    let problem = |error: WireError| error.to_string();
    // The body is the message without what the path binds.
    let stripped;
    let (rest, fields) = if rule.variables.is_empty() {
        (wire, fields)
    } else {
        let paths: Vec<&[u16]> = rule.variables.iter().map(|path| &**path).collect();
        stripped = strip(tables, input, &paths, &fields).map_err(problem)?;
        (&*stripped, Fields::read(tables, input, &[&stripped]).map_err(problem)?)
    };
    let options = WriteOptions { enums_as_integers: enums == Enums::Numbers, ..WriteOptions::default() };
    let mut content_type = None;
    let mut raw = |wire: &[u8]| {
        let (kind, data) = http_body::read(wire).map_err(problem)?;
        content_type = Some(kind.to_vec());
        Ok::<_, String>(Some(data.to_vec()))
    };
    let body = match rule.body {
        Body::None => None,
        Body::Rest if http_body::is(input) => raw(rest)?,
        Body::Field(index) if http_body::is_field(tables, &input.fields[usize::from(index)]) => {
            raw(&merged::pieces(fields.of(usize::from(index))).concat())?
        }
        Body::Field(index) if fields.of(usize::from(index)).is_empty() => None,
        Body::Rest => {
            let mut body = Vec::new();
            json::write(tables, input, rest, &mut body, &options).map_err(|error| error.to_string())?;
            Some(body)
        }
        Body::Field(index) => {
            let field = &input.fields[usize::from(index)];
            let mut body = Vec::with_capacity(rest.len() * 3);
            json::write_field(tables, input, field, rest, &mut body, &options).map_err(|error| error.to_string())?;
            Some(body)
        }
    };
    if rule.body != Body::Rest {
        let bound = |index: usize| rule.variables.iter().any(|path| **path == [index as u16]);
        let skip = |index: usize| rule.body == Body::Field(index as u16) || bound(index);
        query::put_message(&mut target, tables, input, "", &fields, &[method.input], &skip)?;
    }
    if enums == Enums::Numbers {
        query::put_parameter(&mut target, "$alt", "json;enum-encoding=int");
    }
    Ok(Target { rule, verb: rule.verb.clone(), target, body, content_type })
}

/// The data that a message of an upload adds to the body that the first one
/// began.
///
/// # Errors
///
/// If the bytes are not such a message.
pub(crate) fn more_data(tables: &Tables, method: &MethodType, rule: &HttpRule, wire: &[u8]) -> Result<Vec<u8>, String> {
    let input = &tables.messages[method.input as usize];
    let body = match rule.body {
        Body::Field(index) => http_body::content(input.fields[usize::from(index)].number, wire),
        _ => Ok(wire.to_vec()),
    };
    let body = body.map_err(|error| error.to_string())?;
    http_body::read(&body).map(|(_, data)| data.to_vec()).map_err(|error| error.to_string())
}

/// Whether the requests of a method are HttpBodies, by any of its bindings.
pub(crate) fn takes_http_body(tables: &Tables, method: &MethodType) -> bool {
    method.rules.iter().any(|rule| super::accept::takes_http_body(tables, method, rule))
}

/// The message without the fields at the ends of `paths`.
fn strip(tables: &Tables, message: &MessageType, paths: &[&[u16]], fields: &Fields<'_>) -> Result<Vec<u8>, WireError> {
    let mut kept = Vec::new();
    for found in fields.set() {
        let index = found[0].index;
        let below: Vec<&[u16]> = paths
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| **first == index)
            .map(|at| at.1)
            .collect();
        if below.is_empty() {
            found.iter().for_each(|occurrence| kept.extend_from_slice(occurrence.whole));
        } else if below.iter().all(|rest| !rest.is_empty()) {
            let field = &message.fields[usize::from(index)];
            let nested = tables.message_of(field);
            let fields = Fields::read(tables, nested, &merged::pieces(found))?;
            field.put_content(&mut kept, &strip(tables, nested, &below, &fields)?);
        }
    }
    Ok(kept)
}
