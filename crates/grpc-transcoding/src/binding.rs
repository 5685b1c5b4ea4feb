//! A method by one of its HTTP rules: messages to HTTP and back, in four directions.
//!
//! `google.api.HttpBody` is a case inside each of them.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use bytes::Bytes;
use protojson::{
    Base64, Cardinality, FieldDescriptor, FieldPath, FieldSelector, MergedMessage, MessageDescriptor, MethodDescriptor,
    ParseError, ReadOptions, TextError, WriteError, WriteOptions, wire::put_len,
};

use crate::{
    ExpandError, MethodBindings, PathTemplate, Query, TranscodeError, TranscodeErrorKind, http_body, percent, query,
    system_params,
};

/// One HTTP binding of a method, resolved. Cheap to clone.
#[derive(Clone)]
pub struct Binding(Arc<Resolved>);

pub(crate) struct Resolved {
    pub(crate) method: MethodDescriptor,
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
    pub(crate) http_method: http::Method,
    /// `custom` with the kind `*`: any HTTP method.
    pub(crate) any_http_method: bool,
    pub(crate) template: PathTemplate,
    /// The fields of the template's variables.
    pub(crate) variables: Vec<FieldPath>,
    pub(crate) body: Body,
    /// The response field that makes up the body.
    pub(crate) response_body: Option<u16>,
    /// The fields that are left to the query, and whether each is required.
    pub(crate) query: Vec<(u16, bool)>,
    pub(crate) takes_http_body: bool,
    pub(crate) gives_http_body: bool,
    /// The method's path as gRPC requests it, if it can be.
    #[cfg(all(feature = "server", not(target_family = "wasm")))]
    pub(crate) call_uri: Option<http::Uri>,
}

/// Which part of the request message is the HTTP body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    /// Every field that the path does not bind.
    Rest,
    /// The field with this index.
    Field(u16),
}

/// How messages are written and read as JSON.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// How JSON is written. [`WriteOptions::enums_as_integers`] also asks for them so in
    /// the response, by `$alt=json;enum-encoding=int`, as Google's clients do.
    pub write: WriteOptions,
    /// How JSON is read.
    pub read: ReadOptions,
    /// Passes over query parameters that are neither fields of the request nor system
    /// parameters; by default they are errors.
    pub ignore_unknown_query: bool,
}

impl Options {
    /// Sets how JSON is written.
    #[must_use]
    pub fn with_write(mut self, write: WriteOptions) -> Self {
        self.write = write;
        self
    }

    /// Sets how JSON is read.
    #[must_use]
    pub fn with_read(mut self, read: ReadOptions) -> Self {
        self.read = read;
        self
    }

    /// Sets whether query parameters that nobody knows are passed over.
    #[must_use]
    pub fn with_ignore_unknown_query(mut self, ignore: bool) -> Self {
        self.ignore_unknown_query = ignore;
        self
    }
}

/// An HTTP request without its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The HTTP method.
    pub method: http::Method,
    /// Path and query, percent-encoded.
    pub target: String,
    /// The body; `None` where the binding has none, or a field that is not set.
    pub payload: Option<HttpPayload>,
}

/// The body of an HTTP request or response, and its content type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPayload {
    /// The content type; `None` for an HttpBody that leaves it open.
    pub content_type: Option<Cow<'static, [u8]>>,
    /// The body.
    pub body: Bytes,
}

const JSON: &[u8] = b"application/json";

impl HttpPayload {
    /// A body of JSON.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self { content_type: Some(Cow::Borrowed(JSON)), body: body.into() }
    }

    /// A body that is an encoded `google.api.HttpBody`.
    fn of_http_body(message: &[u8]) -> Result<Self, WriteError> {
        let (content_type, data) = http_body::decode(message).map_err(WriteError::from)?;
        let content_type = (!content_type.is_empty()).then(|| Cow::Owned(content_type.to_vec()));
        Ok(Self { content_type, body: Bytes::copy_from_slice(data) })
    }

    fn to_http_body(&self) -> Vec<u8> {
        http_body::encode(self.content_type.as_deref().unwrap_or_default(), &self.body)
    }

    fn is_blank(&self) -> bool {
        self.body.iter().all(u8::is_ascii_whitespace)
    }
}

impl HttpRequest {
    /// The request with its content type, and no other header.
    ///
    /// # Errors
    ///
    /// If the target is too long for a URL, or a content type holds what a header cannot.
    pub fn into_http(self) -> Result<http::Request<Bytes>, TranscodeError> {
        let mut request = http::Request::builder().method(self.method).uri(self.target);
        let (content_type, body) = match self.payload {
            Some(payload) => (payload.content_type, payload.body),
            None => (None, Bytes::new()),
        };
        if let Some(content_type) = content_type {
            request = request.header(http::header::CONTENT_TYPE, &*content_type);
        }
        request
            .body(body)
            .map_err(|error| TranscodeError::request(format!("the request cannot be built: {error}")).caused_by(error))
    }
}

impl MethodBindings {
    /// Makes the HTTP request of a message, by the first binding whose path its fields fit
    /// into, and says which.
    ///
    /// # Errors
    ///
    /// If no binding fits, with every path that was tried; if a field is set that neither
    /// path, query nor body can carry; if the message has no JSON form; or if the method
    /// has no HTTP rule.
    pub fn encode_request(&self, message: &[u8], options: &Options) -> Result<(&Binding, HttpRequest), TranscodeError> {
        let name = self.method().path().trim_start_matches('/');
        let unusable = || self.unusable().iter().map(|rule| format!("{}: {}", rule.binding, rule.problem));
        let Some(first) = self.bindings().first() else {
            let mut problem = unusable().collect::<Vec<_>>().join("; ");
            problem = match problem.is_empty() {
                true => "has no HTTP rule (google.api.http)".to_owned(),
                false => format!("has no HTTP rule that can be used: {problem}"),
            };
            return Err(TranscodeError::new(
                TranscodeErrorKind::Unsupported,
                format!("{name} {problem}, so that it cannot be called over HTTP/JSON; call it over gRPC"),
            ));
        };
        let merged = first.merge_input(message)?;
        let mut tried = Vec::new();
        for binding in self.bindings() {
            match binding.expand(&merged)? {
                Ok(path) => return Ok((binding, binding.request(message, merged, path, options)?)),
                Err(error) => tried.push(format!("{} {}: {error}", binding.0.http_method, binding.0.template)),
            }
        }
        tried.extend(unusable());
        Err(TranscodeError::request(format!("{name}: no HTTP binding fits the request: {}", tried.join("; "))))
    }

    /// Makes the HTTP request of a message as [`MethodBindings::encode_request`] does, with
    /// its content type and no other header. [`Router::from_http`](crate::Router::from_http)
    /// is the inverse.
    ///
    /// # Errors
    ///
    /// As for [`MethodBindings::encode_request`].
    pub fn to_http(&self, message: &[u8]) -> Result<http::Request<Bytes>, TranscodeError> {
        self.encode_request(message, &Options::default())?.1.into_http()
    }

    /// The variables of the main binding as `x-goog-request-params` has them:
    /// `name=spaces/AAAA`, percent-encoded but for slashes. Those without a value are left
    /// out.
    ///
    /// # Errors
    ///
    /// If the bytes are no such message.
    ///
    /// Source: [AIP-4222](https://google.aip.dev/client-libraries/4222).
    pub fn routing_params(&self, message: &[u8]) -> Result<String, TranscodeError> {
        let mut params = String::new();
        let Some(first) = self.bindings().first() else { return Ok(params) };
        let values = first.values(&first.merge_input(message)?)?;
        for (name, value) in first.0.template.variables().zip(values) {
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
}

impl Binding {
    pub(crate) fn new(resolved: Resolved) -> Self {
        Self(Arc::new(resolved))
    }

    /// The method.
    pub fn method(&self) -> &MethodDescriptor {
        &self.0.method
    }

    /// The HTTP method; `None` for any, as `custom` with the kind `*` has it. A client
    /// sends POST then.
    pub fn http_method(&self) -> Option<&http::Method> {
        (!self.0.any_http_method).then_some(&self.0.http_method)
    }

    /// The path template.
    pub fn template(&self) -> &PathTemplate {
        &self.0.template
    }

    /// Whether the body of a request is a `google.api.HttpBody`'s.
    pub fn takes_http_body(&self) -> bool {
        self.0.takes_http_body
    }

    /// Whether the body of a response is a `google.api.HttpBody`'s.
    pub fn gives_http_body(&self) -> bool {
        self.0.gives_http_body
    }

    /// Whether the requests of the method are a stream of JSON messages in one body.
    pub fn takes_json_stream(&self) -> bool {
        self.0.method.is_client_streaming() && !self.0.takes_http_body && self.0.body != Body::None
    }

    /// Whether a server can make calls of HTTP requests by the binding: of a method that
    /// streams its requests only if the rule has a body for them.
    pub fn is_servable(&self) -> bool {
        !self.0.method.is_client_streaming() || self.0.body != Body::None
    }

    pub(crate) fn resolved(&self) -> &Resolved {
        &self.0
    }

    /// What a gRPC call of the method requests; `None` if its name cannot be in a URL.
    #[cfg(all(feature = "server", not(target_family = "wasm")))]
    pub(crate) fn call_uri(&self) -> Option<&http::Uri> {
        self.0.call_uri.as_ref()
    }

    fn invalid(&self, problem: impl fmt::Display) -> TranscodeError {
        TranscodeError::request(format!("{}: {problem}", self.0.method.path().trim_start_matches('/')))
    }

    fn unwritable(&self, error: WriteError) -> TranscodeError {
        self.invalid(&error).caused_by(error)
    }

    fn merge_input<'a>(&'a self, message: &'a [u8]) -> Result<MergedMessage<'a>, TranscodeError> {
        self.0.input.merge(message).map_err(|error| self.unwritable(error))
    }

    /// The values of the template's variables; empty for one that is not set and has no
    /// default that may stand in the path.
    fn values(&self, message: &MergedMessage<'_>) -> Result<Vec<String>, TranscodeError> {
        let value = |path: &FieldPath| {
            let text = message.text(path, Base64::UrlSafe);
            let text = text.map_err(|error| {
                let field = error.path().to_owned();
                let problem = error.problem().to_owned();
                self.invalid(format!("field `{field}`: {problem}")).caused_by(error)
            })?;
            Ok(text.unwrap_or_default().into_owned())
        };
        self.0.variables.iter().map(value).collect()
    }

    fn expand(&self, message: &MergedMessage<'_>) -> Result<Result<String, ExpandError>, TranscodeError> {
        Ok(self.0.template.expand(&self.values(message)?))
    }

    /// Makes the HTTP request of a message.
    ///
    /// # Errors
    ///
    /// If the fields do not fit into the path; if one is set that neither path, query nor
    /// body can carry; or if the message has no JSON form.
    pub fn encode_request(&self, message: &[u8], options: &Options) -> Result<HttpRequest, TranscodeError> {
        let merged = self.merge_input(message)?;
        let path = self.expand(&merged)?.map_err(|error| self.invalid(&error).caused_by(error))?;
        self.request(message, merged, path, options)
    }

    fn request(
        &self,
        message: &[u8],
        merged: MergedMessage<'_>,
        mut target: String,
        options: &Options,
    ) -> Result<HttpRequest, TranscodeError> {
        let rule = &*self.0;
        let fail = |error| self.unwritable(error);
        // The body is the message without what the path binds.
        let stripped;
        let (rest, merged) = if rule.variables.is_empty() {
            (message, merged)
        } else {
            let paths: Vec<&[u16]> = rule.variables.iter().map(FieldPath::indices).collect();
            stripped = without(&merged, &paths).map_err(fail)?;
            (&*stripped, rule.input.merge(&stripped).map_err(fail)?)
        };
        let payload = match rule.body {
            Body::None => None,
            Body::Rest if rule.takes_http_body => Some(HttpPayload::of_http_body(rest).map_err(fail)?),
            Body::Field(index) if rule.takes_http_body => {
                Some(HttpPayload::of_http_body(&merged.field(index).content()).map_err(fail)?)
            }
            Body::Field(index) if !merged.field(index).is_set() => None,
            Body::Rest => {
                let mut body = Vec::new();
                rule.input.write_json(rest, &mut body, &options.write).map_err(fail)?;
                Some(HttpPayload::json(body))
            }
            Body::Field(index) => {
                let mut body = Vec::with_capacity(rest.len() * 3);
                merged.field(index).descriptor().write_json(rest, &mut body, &options.write).map_err(fail)?;
                Some(HttpPayload::json(body))
            }
        };
        for (index, required) in &rule.query {
            query::put_top_level(&mut target, &rule.input, merged.field(*index), *required).map_err(|refused| {
                match refused {
                    query::Refused::Unwritable(problem) => self.invalid(problem),
                    query::Refused::Unsupported(problem) => {
                        let name = self.0.method.path().trim_start_matches('/');
                        TranscodeError::new(TranscodeErrorKind::Unsupported, format!("{name}: {problem}"))
                    }
                }
            })?;
        }
        if options.write.enums_as_integers {
            query::put_parameter(&mut target, "$alt", "json;enum-encoding=int");
        }
        Ok(HttpRequest { method: rule.http_method.clone(), target, payload })
    }

    /// The data that a further message of an upload adds to the body that the first one
    /// began.
    ///
    /// # Errors
    ///
    /// If the bytes are no such message.
    pub fn encode_more(&self, message: &[u8]) -> Result<Bytes, TranscodeError> {
        let merged = self.merge_input(message)?;
        let payload = match self.0.body {
            Body::Field(index) => HttpPayload::of_http_body(&merged.field(index).content()),
            _ => HttpPayload::of_http_body(message),
        };
        payload.map(|payload| payload.body).map_err(|error| self.unwritable(error))
    }

    /// Reads a request: appends to `out` the encoded request message that the values of
    /// the path's variables, the query and the body make up.
    ///
    /// # Errors
    ///
    /// With the parameter or the place in the body that is wrong.
    pub fn decode_request(
        &self,
        variables: &[String],
        query: &Query<'_>,
        payload: &HttpPayload,
        options: &Options,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let start = out.len();
        self.decode_body(payload, options, out)?;
        let has_body = out.len() > start;
        self.put_texts(variables, query, has_body, options, out)
    }

    /// Appends to `out` what the body alone says of the request message.
    pub(crate) fn decode_body(
        &self,
        payload: &HttpPayload,
        options: &Options,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let rule = &*self.0;
        match rule.body {
            _ if rule.takes_http_body => put_http_body(out, self.body_field(), payload),
            Body::None if !payload.is_blank() => {
                return Err(TranscodeError::request("this method takes no body; send its fields in the query"));
            }
            Body::Rest if !payload.is_blank() => {
                rule.input.read_json(&payload.body, out, &options.read).map_err(bad_json)?;
            }
            Body::Field(_) if !payload.is_blank() => {
                if let Some(field) = self.body_field() {
                    field.read_json(&payload.body, out, &options.read).map_err(bad_json)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn body_field(&self) -> Option<FieldDescriptor<'_>> {
        match self.0.body {
            Body::Field(index) => self.0.input.fields().nth(usize::from(index)),
            _ => None,
        }
    }

    /// Adds what query and path say to what the body said.
    pub(crate) fn put_texts(
        &self,
        variables: &[String],
        query: &Query<'_>,
        has_body: bool,
        options: &Options,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let rule = &*self.0;
        let mut seen: Vec<FieldPath> = Vec::new();
        let mut oneofs = Oneofs::default();
        if let Some(field) = self.body_field().filter(|_| has_body) {
            oneofs.insert([field])?;
        }
        for (key, value) in query.pairs() {
            let path = self.query_field(key);
            let Some(path) = path else {
                // A field of the request comes before a system parameter of that name.
                if system_params::is_known(key) || options.ignore_unknown_query {
                    continue;
                }
                return Err(TranscodeError::request(format!("unknown query parameter `{key}`")));
            };
            self.refuse_bound(&path, key)?;
            let repeated = path.leaf().is_some_and(|leaf| leaf.cardinality() == Cardinality::Repeated);
            if !repeated && seen.contains(&path) {
                return Err(TranscodeError::request(format!("query parameter `{key}` comes twice")));
            }
            oneofs.insert(path.fields())?;
            path.put_text(out, value).map_err(|problem| bad_text(format!("query parameter `{key}`"), problem))?;
            seen.push(path);
        }
        // The path comes last, so that it wins over a body that says otherwise.
        for (path, value) in rule.variables.iter().zip(variables) {
            oneofs.insert(path.fields())?;
            path.put_text(out, value).map_err(|problem| {
                let bound = path.leaf().map_or("", |field| field.json_name());
                bad_text(format!("`{bound}` in the path"), problem)
            })?;
        }
        Ok(())
    }

    /// The field that a query parameter gives, if it is one of the request's.
    pub(crate) fn query_field(&self, key: &str) -> Option<FieldPath> {
        if self.0.body == Body::Rest { None } else { FieldPath::parse(&self.0.input, key).ok() }
    }

    /// A query may not say again what path or body say.
    fn refuse_bound(&self, path: &FieldPath, key: &str) -> Result<(), TranscodeError> {
        if let (Body::Field(index), Some(first)) = (self.0.body, path.indices().first())
            && index == *first
        {
            return Err(TranscodeError::request(format!("query parameter `{key}` is a field of the body")));
        }
        if self.0.variables.contains(path) {
            return Err(TranscodeError::request(format!("query parameter `{key}` is a field of the path")));
        }
        Ok(())
    }

    /// Reads which fields of a response are to be written. `name` is the parameter that asks
    /// for them.
    pub(crate) fn select(&self, name: &str, fields: &str) -> Result<FieldSelector, TranscodeError> {
        if self.0.gives_http_body {
            let problem = format!("`{name}`: the response is not JSON, of which it could select fields; leave it out");
            return Err(TranscodeError::request(problem));
        }
        let selected = match self.response_field() {
            Some(field) => field.select(fields),
            None => self.0.output.select(fields),
        };
        selected.map_err(|error| bad_text(format!("`{name}`"), error))
    }

    /// Writes a response message as the body that the binding responds with.
    ///
    /// # Errors
    ///
    /// If the message has no JSON form.
    pub fn encode_response(&self, message: &[u8], options: &WriteOptions) -> Result<HttpPayload, TranscodeError> {
        let output = &self.0.output;
        if self.0.gives_http_body {
            let payload = match self.response_field() {
                Some(field) => output
                    .merge(message)
                    .and_then(|merged| HttpPayload::of_http_body(&merged.field(field.index()).content())),
                None => HttpPayload::of_http_body(message),
            };
            return payload.map_err(|error| {
                TranscodeError::response(format!("the response is no {}: {error}", output.name())).caused_by(error)
            });
        }
        let mut body = Vec::with_capacity(message.len() * 3 + 16);
        let written = match self.response_field() {
            Some(field) => field.write_json(message, &mut body, options),
            None => output.write_json(message, &mut body, options),
        };
        written.map_err(|error| {
            TranscodeError::response(format!("the response has no JSON form: {error}")).caused_by(error)
        })?;
        Ok(HttpPayload::json(body))
    }

    /// Reads a response's body: appends to `out` the encoded response message. A field that
    /// the pool does not know is passed over, since a server may be newer.
    ///
    /// # Errors
    ///
    /// If the body is not the JSON form of the response.
    pub fn decode_response(&self, payload: &HttpPayload, out: &mut Vec<u8>) -> Result<(), TranscodeError> {
        if self.0.gives_http_body {
            put_http_body(out, self.response_field(), payload);
            return Ok(());
        }
        if payload.is_blank() {
            return Ok(());
        }
        let output = &self.0.output;
        let options = ReadOptions::default().with_ignore_unknown(true);
        let read = match self.response_field() {
            Some(field) => field.read_json(&payload.body, out, &options),
            None => output.read_json(&payload.body, out, &options),
        };
        read.map_err(|error| {
            let problem = format!("the response is not the JSON form of {}: {error}", output.name());
            TranscodeError::response(problem).caused_by(error)
        })
    }

    fn response_field(&self) -> Option<FieldDescriptor<'_>> {
        self.0.response_body.and_then(|index| self.0.output.fields().nth(usize::from(index)))
    }

    /// Whether an object with this key cannot be the JSON of a response, but for fields
    /// that the pool does not know.
    #[cfg(feature = "client")]
    pub(crate) fn has_no_response_field(&self, key: &str) -> bool {
        let nested;
        let message = match self.response_field() {
            None => &self.0.output,
            Some(field) if field.cardinality() == Cardinality::Map => return false,
            Some(field) if field.cardinality() == Cardinality::Repeated => return true,
            Some(field) => match field.message() {
                None => return true,
                Some(message) => {
                    nested = message;
                    &nested
                }
            },
        };
        use protojson::JsonMapping::{Any, Struct, Value};
        let any_key = matches!(message.json_mapping(), Any | Struct | Value);
        !any_key && message.field_named(key).is_none()
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({}: {self})", self.0.method.path())
    }
}

/// HTTP method and path template: `POST /v1/spaces`; `*` for any HTTP method.
impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.http_method().map_or("*", http::Method::as_str);
        write!(f, "{method} {}", self.0.template)
    }
}

fn put_http_body(out: &mut Vec<u8>, field: Option<FieldDescriptor<'_>>, payload: &HttpPayload) {
    let body = payload.to_http_body();
    match field {
        Some(field) => put_len(out, field.number(), &body),
        None => out.extend_from_slice(&body),
    }
}

fn bad_json(error: ParseError) -> TranscodeError {
    TranscodeError::request(format!("Invalid JSON payload received. {error}")).caused_by(error)
}

fn bad_text(place: String, error: TextError) -> TranscodeError {
    TranscodeError::request(format!("{place}: {error}")).caused_by(error)
}

/// The message without the fields at the ends of `paths`.
fn without(message: &MergedMessage<'_>, paths: &[&[u16]]) -> Result<Vec<u8>, WriteError> {
    let mut kept = Vec::new();
    for field in message.fields() {
        let index = field.descriptor().index();
        let below: Vec<&[u16]> = paths
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| **first == index)
            .map(|at| at.1)
            .collect();
        if below.is_empty() {
            field.encoded().for_each(|occurrence| kept.extend_from_slice(occurrence));
        } else if below.iter().all(|rest| !rest.is_empty())
            && let Some(nested) = field.message()?
        {
            field.descriptor().put_message(&mut kept, &without(&nested, &below)?);
        }
    }
    Ok(kept)
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
    fn insert<'p>(&mut self, path: impl IntoIterator<Item = FieldDescriptor<'p>>) -> Result<(), TranscodeError> {
        let mut path = path.into_iter().peekable();
        let mut prefix = String::new();
        while let Some(field) = path.next() {
            let name = field.json_name();
            if let Some(oneof) = field.oneof() {
                let set = self.0.entry((prefix.clone(), oneof)).or_insert_with(|| name.to_owned());
                if set != name {
                    let problem = format!("`{prefix}{set}` and `{prefix}{name}` are of one oneof; set one");
                    return Err(TranscodeError::request(problem));
                }
            }
            if path.peek().is_some() {
                prefix.push_str(name);
                prefix.push('.');
            }
        }
        Ok(())
    }
}
