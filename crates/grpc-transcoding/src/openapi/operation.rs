//! One binding as an operation.

use super::{
    facts::{self, Facts},
    json::{Json, Object},
    path::Path,
    query,
    schema::{ERROR, Schemas, array, nullable, paragraph, reference},
};
use crate::{Binding, MethodBindings, binding::Body, http_body};
use protojson::{Cardinality, FieldDescriptor, JsonMapping, MessageDescriptor};

/// What an HTTP binding takes and gives.
pub(super) struct Operation {
    pub(super) id: String,
    /// The full name of the service.
    pub(super) service: String,
    /// `package.Service/Method`.
    pub(super) method: String,
    /// The path template, as the rule has it.
    pub(super) template: String,
    pub(super) summary: Option<String>,
    pub(super) description: String,
    pub(super) deprecated: bool,
    pub(super) parameters: Vec<Parameter>,
    /// Whether there are more query parameters than are listed.
    pub(super) more_parameters: bool,
    /// The fields of the path, and their values in terms of its parameters.
    pub(super) path_fields: Vec<(String, String)>,
    pub(super) body: Option<RequestBody>,
    /// The description of a success, and what it has by media type.
    pub(super) success: (&'static str, Vec<Content>),
    pub(super) streaming: Option<&'static str>,
    /// Whether a server refuses its calls.
    pub(super) unserved: bool,
    /// The OAuth scopes, any of which allows the call.
    pub(super) scopes: Vec<String>,
    /// The host of the service, if it is another one than the document's.
    pub(super) host: Option<String>,
    /// The operation that has the HTTP method and the path of this one.
    pub(super) hidden_by: Option<String>,
    /// The HTTP method, if it is none that a path item has a member for.
    pub(super) http_method: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
}

pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) required: bool,
    pub(super) deprecated: bool,
    pub(super) description: String,
    pub(super) schema: Object,
    /// Whether it stands for any number of segments.
    pub(super) many: bool,
    /// The oneofs of the request that it sets, each with the member.
    pub(super) oneofs: Vec<(String, String)>,
}

pub(super) struct RequestBody {
    pub(super) description: String,
    pub(super) required: bool,
    pub(super) content: Vec<Content>,
}

/// A media type, and the schema of a body of that type.
pub(super) struct Content {
    pub(super) kind: &'static str,
    pub(super) schema: Object,
    /// Of a stream of texts, the schema of each.
    pub(super) item: Option<Object>,
}

/// How long the value of a variable may be that its parameters have in their descriptions:
/// each of them has all of it.
const LONG_VALUE: usize = 500;

/// The id of an operation: the method's full name, and the number of the binding from the
/// second one on.
pub(super) fn id(method: &MethodBindings, index: usize) -> String {
    let name = method.method().path()[1..].replace('/', ".");
    if index == 0 { name } else { format!("{name}.binding{}", index + 1) }
}

/// The full name of the service of a method.
pub(super) fn service(method: &MethodBindings) -> &str {
    let path = &method.method().path()[1..];
    path.split_once('/').map_or(path, |(service, _)| service)
}

impl Operation {
    /// The operation of a method's binding at this place, whose path is `path`.
    pub(super) fn new(method: &MethodBindings, index: usize, path: &Path, schemas: &mut Schemas<'_>) -> Self {
        let binding = &method.bindings()[index];
        let rule = binding.resolved();
        let symbol = schemas.facts.symbol(&id(method, 0));
        let descriptor = method.method();
        let values: Vec<String> = (0..rule.variables.len()).map(|variable| path.value(binding, variable)).collect();
        let mut parameters = path_parameters(binding, path, &values, schemas);
        let (query, more_parameters) = query::parameters(rule, schemas);
        parameters.extend(query);
        let streaming = match (descriptor.is_client_streaming(), descriptor.is_server_streaming()) {
            (true, true) => Some("bidirectional"),
            (true, false) => Some("client"),
            (false, true) => Some("server"),
            (false, false) => None,
        };
        Self {
            id: id(method, index),
            service: service(method).to_owned(),
            method: descriptor.path()[1..].to_owned(),
            template: binding.template().to_string(),
            summary: facts::summary(&symbol.comment),
            description: symbol.comment.clone(),
            deprecated: symbol.deprecated,
            parameters,
            more_parameters,
            path_fields: rule.variables.iter().map(ToString::to_string).zip(values).collect(),
            body: request_body(method, binding, schemas),
            success: success(binding, schemas),
            streaming,
            unserved: !binding.is_servable(),
            scopes: Vec::new(),
            host: None,
            hidden_by: None,
            http_method: None,
        }
    }

    /// The comment on the method, and what else is to be known.
    pub(super) fn full_description(&self) -> String {
        let mut description = self.description.clone();
        if self.more_parameters {
            paragraph(&mut description, "There are more query parameters than are listed here.");
        }
        if self.unserved {
            paragraph(
                &mut description,
                "Not served over HTTP: the method streams its requests, and its rule has no body for them. Call it over gRPC.",
            );
        }
        if let Some(other) = &self.hidden_by {
            paragraph(
                &mut description,
                &format!(
                    "A server that has `{other}` too never serves this operation: its HTTP method and path are the same."
                ),
            );
        }
        description
    }

    /// The operation object.
    pub(super) fn to_json(&self) -> Object {
        let mut json = Object::new().with("operationId", self.id.clone()).with("tags", vec![self.service.clone()]);
        json.put_text("summary", self.summary.clone().unwrap_or_default());
        json.put_text("description", self.full_description());
        json.put_flag("deprecated", self.deprecated);
        if let Some(host) = &self.host {
            json.put("servers", vec![Object::new().with("url", format!("https://{host}"))]);
        }
        if !self.parameters.is_empty() {
            json.put("parameters", self.parameters.iter().map(Parameter::to_json).collect::<Vec<_>>());
        }
        if let Some(body) = &self.body {
            json.put("requestBody", body.to_json());
        }
        let (description, content) = &self.success;
        let mut success = Object::new().with("description", *description);
        success.put("content", contents(content));
        let error = Object::new().with("application/json", Object::new().with("schema", reference(ERROR)));
        let error = Object::new().with("description", "An error.").with("content", error);
        json.put("responses", Object::new().with("200", success).with("default", error));
        if !self.scopes.is_empty() {
            let any = |scope: &String| Object::new().with("oauth2", vec![scope.clone()]);
            json.put("security", self.scopes.iter().map(any).collect::<Vec<_>>());
        }
        json.put("x-grpc-method", self.method.clone());
        json.put("x-grpc-path-template", self.template.clone());
        if let Some(streaming) = self.streaming {
            json.put("x-grpc-streaming", streaming);
        }
        if !self.path_fields.is_empty() {
            let mut fields = Object::new();
            self.path_fields.iter().for_each(|(field, value)| fields.put(field.clone(), value.clone()));
            json.put("x-grpc-path-fields", fields);
        }
        if let Some(method) = &self.http_method {
            json.put("x-http-method", method.clone());
        }
        json.put_flag("x-grpc-unserved", self.unserved);
        if let Some(other) = &self.hidden_by {
            json.put("x-hidden-by", other.clone());
        }
        json
    }
}

impl Parameter {
    fn to_json(&self) -> Object {
        let place = if self.place == Place::Path { "path" } else { "query" };
        let mut json = Object::new().with("name", self.name.clone()).with("in", place);
        json.put_text("description", self.description.clone());
        json.put_flag("required", self.required);
        json.put_flag("deprecated", self.deprecated);
        json.put("schema", self.schema.clone());
        json.put_flag("x-multi-segment", self.many);
        if !self.oneofs.is_empty() {
            let mut oneofs = Object::new();
            self.oneofs.iter().for_each(|(oneof, member)| oneofs.put(oneof.clone(), member.clone()));
            json.put("x-oneofs", oneofs);
        }
        json
    }
}

impl RequestBody {
    fn to_json(&self) -> Object {
        let mut json = Object::new();
        json.put_text("description", self.description.clone());
        json.put("content", contents(&self.content));
        json.put_flag("required", self.required);
        json
    }
}

fn contents(list: &[Content]) -> Object {
    let mut json = Object::new();
    for content in list {
        let mut media = Object::new().with("schema", content.schema.clone());
        if let Some(item) = &content.item {
            // As OpenAPI 3.2 has it.
            media.put("x-itemSchema", item.clone());
        }
        json.put(content.kind, media);
    }
    json
}

/// A body of any media type. Some tools know none but the first of these.
fn any_content() -> Vec<Content> {
    let content =
        |kind| Content { kind, schema: Object::new().with("type", "string").with("format", "binary"), item: None };
    ["application/octet-stream", "*/*"].map(content).into()
}

fn path_parameters(binding: &Binding, path: &Path, values: &[String], schemas: &mut Schemas<'_>) -> Vec<Parameter> {
    let rule = binding.resolved();
    let parameter = |parameter: &super::path::Parameter| {
        let field = parameter.variable.map(|index| &rule.variables[index]);
        let leaf = field.and_then(|field| field.leaf());
        let text = Object::new().with("type", "string");
        let mut description = String::new();
        let mut schema = match leaf {
            Some(leaf) if parameter.whole => schemas.text(leaf).unwrap_or(text),
            _ => text,
        };
        if let (Some(index), Some(field)) = (parameter.variable, field) {
            if parameter.whole {
                description = variable_comment(rule, index, schemas.facts);
            } else if values[index].len() <= LONG_VALUE {
                description = format!("The field `{field}` is `{}`.", values[index]);
            }
        }
        if parameter.many {
            paragraph(
                &mut description,
                "Any number of path segments, none included. Its slashes are sent as they are, which OpenAPI has no way to say.",
            );
        } else if schema.members().eq([("type", &Json::from("string"))]) {
            schema.put("pattern", "^[^/]+$");
        }
        Parameter {
            name: parameter.name.clone(),
            place: Place::Path,
            required: true,
            deprecated: false,
            description,
            schema,
            many: parameter.many,
            oneofs: Vec::new(),
        }
    };
    path.parameters.iter().map(parameter).collect()
}

/// The comment on the field of a variable.
fn variable_comment(rule: &crate::binding::Resolved, index: usize, facts: &Facts<'_>) -> String {
    let mut message = rule.input.clone();
    let mut comment = String::new();
    for field in rule.variables[index].fields() {
        comment.clone_from(&facts.field(&message, field).comment);
        if let Some(nested) = field.message() {
            message = nested;
        }
    }
    comment
}

fn field_at(message: &MessageDescriptor, index: u16) -> Option<FieldDescriptor<'_>> {
    message.fields().nth(usize::from(index))
}

fn request_body(method: &MethodBindings, binding: &Binding, schemas: &mut Schemas<'_>) -> Option<RequestBody> {
    let rule = binding.resolved();
    let patch = binding.http_method() == Some(&http::Method::PATCH);
    let (schema, description, required) = match rule.body {
        Body::None => return None,
        Body::Rest => {
            let bound: Vec<u16> = rule
                .variables
                .iter()
                .filter_map(|path| if let [index] = path.indices() { Some(*index) } else { None })
                .collect();
            let description = String::new();
            let needed = rule.input.fields().filter(|field| !bound.contains(&field.index()));
            let required = needed.into_iter().any(|field| schemas.is_required(&rule.input, field));
            let schema = match http_body::is(&rule.input) {
                true => None,
                false if rule.input.json_mapping() != JsonMapping::Plain => Some(schemas.message(&rule.input)),
                false if bound.is_empty() => {
                    let schema = schemas.message(&rule.input);
                    Some(demanding(schema, &rule.input, schemas))
                }
                false => {
                    let schema = schemas.object(&rule.input, &bound, true);
                    Some(schema.with("x-grpc-message", rule.input.name().to_owned()))
                }
            };
            (schema, description, required)
        }
        Body::Field(index) => {
            let field = field_at(&rule.input, index)?;
            let required = schemas.is_required(&rule.input, field);
            let description = schemas.facts.field(&rule.input, field).comment.clone();
            let schema = (!rule.takes_http_body).then(|| {
                let schema = schemas.field(field);
                // An update may leave out what it does not change.
                let message = field.message().filter(|_| !patch && field.cardinality() == Cardinality::Singular);
                match message.filter(|message| message.json_mapping() == JsonMapping::Plain) {
                    Some(message) => demanding(schema, &message, schemas),
                    None => schema,
                }
            });
            (schema, description, required)
        }
    };
    let content = match schema {
        None => any_content(),
        Some(schema) if method.method().is_client_streaming() => {
            let lines = Object::new().with("type", "string");
            vec![
                Content { kind: "application/json", schema: array(schema.clone()), item: None },
                Content { kind: "application/x-ndjson", schema: lines, item: Some(schema) },
            ]
        }
        Some(schema) => vec![Content { kind: "application/json", schema, item: None }],
    };
    Some(RequestBody { description, required, content })
}

/// The reference to a message, with the fields that a request must have. The component does
/// not say that if responses have it, too. The names stand beside the reference, so that
/// clients that are generated keep to its type.
fn demanding(schema: Object, message: &MessageDescriptor, schemas: &Schemas<'_>) -> Object {
    let names = if schemas.is_in_responses(message) { schemas.required(message) } else { Vec::new() };
    if names.is_empty() { schema } else { schema.with("required", names) }
}

fn success(binding: &Binding, schemas: &mut Schemas<'_>) -> (&'static str, Vec<Content>) {
    let rule = binding.resolved();
    let streams = rule.method.is_server_streaming();
    if rule.gives_http_body {
        return ("The content, of the media type that the server says.", any_content());
    }
    let schema = match rule.response_body.and_then(|index| field_at(&rule.output, index)) {
        // A message that is not set is null.
        Some(field) if field.is_message() && field.cardinality() == Cardinality::Singular => {
            nullable(schemas.field(field))
        }
        Some(field) => schemas.field(field),
        None => schemas.message(&rule.output),
    };
    if !streams {
        return ("A success.", vec![Content { kind: "application/json", schema, item: None }]);
    }
    let text = || Object::new().with("type", "string");
    let schema = Object::new().with("anyOf", vec![schema, reference(ERROR)]);
    let content = vec![
        Content { kind: "application/json", schema: array(schema.clone()), item: None },
        Content { kind: "application/x-ndjson", schema: text(), item: Some(schema.clone()) },
        Content { kind: "text/event-stream", schema: text(), item: Some(schema) },
    ];
    let description = "A stream of messages: a JSON array, a line each, or an event each, as `Accept` asks. \
                       If it fails on the way, the last one is the body of an error.";
    (description, content)
}
