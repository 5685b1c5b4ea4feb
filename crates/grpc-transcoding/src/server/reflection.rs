//! gRPC server reflection, from both sides, with the descriptors' own bytes: types
//! that were generated from `descriptor.proto` would drop the HTTP rules.
//!
//! Source: [grpc.reflection.v1](https://github.com/grpc/grpc/blob/master/src/proto/grpc/reflection/v1/reflection.proto).

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::Full;
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto};
use tonic::{Code, Status, body::Body};
use tower::{Service, ServiceExt};

use super::{BoxError, grpc_response::GrpcResponse, idle::Silence, inner::boxed};
use crate::{
    DescriptorPool,
    rpc::{
        MESSAGE_LIMIT, chain,
        deadline::Deadline,
        frame::{self, Frames},
        response,
    },
};

/// The method, in both versions; their messages are alike.
const METHODS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The largest response that is taken from a server: one file's descriptor.
const LIMIT: usize = 4 * MESSAGE_LIMIT;

/// How many services and files a server may name, and how large all files may be together:
/// several times what Google's public APIs have.
const FILES: usize = 64 * 1024;
const SCHEMA: usize = 128 * 1024 * 1024;

/// How long a server may take over one response.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a caller may take until its next question.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(string, optional, tag = "3")]
    file_by_filename: Option<String>,
    #[prost(string, optional, tag = "4")]
    file_containing_symbol: Option<String>,
    #[prost(message, optional, tag = "5")]
    file_containing_extension: Option<Extension>,
    #[prost(string, optional, tag = "6")]
    all_extension_numbers_of_type: Option<String>,
    #[prost(string, optional, tag = "7")]
    list_services: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Extension {
    #[prost(string, tag = "1")]
    containing_type: String,
    #[prost(int32, tag = "2")]
    number: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(string, tag = "1")]
    valid_host: String,
    #[prost(message, optional, tag = "2")]
    original_request: Option<Question>,
    #[prost(message, optional, tag = "4")]
    files: Option<Files>,
    #[prost(message, optional, tag = "5")]
    extensions: Option<Extensions>,
    #[prost(message, optional, tag = "6")]
    services: Option<Services>,
    #[prost(message, optional, tag = "7")]
    error: Option<Refusal>,
}

/// Also a `FileDescriptorSet`, whose files have the same number.
#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    descriptors: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct Extensions {
    #[prost(string, tag = "1")]
    base_type_name: String,
    #[prost(int32, repeated, tag = "2")]
    numbers: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    service: Vec<Named>,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Refusal {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Asks a server for its descriptors: every service's file, with its imports.
///
/// `backend` sends gRPC calls to the server, as `Grpc` does.
///
/// # Errors
///
/// UNIMPLEMENTED if the server has no reflection; INTERNAL if what it says is no
/// schema; RESOURCE_EXHAUSTED if it has more than 65,536 files or services, or more than
/// 128 MiB of them; and whatever else the calls end with.
pub async fn reflect<S>(backend: S) -> Result<DescriptorPool, Status>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    DescriptorPool::decode(&reflect_set(backend).await?).map_err(|error| broken(&error))
}

/// What is wrong with what a server says.
fn broken(problem: &dyn fmt::Display) -> Status {
    Status::internal(format!("the server's reflection: {problem}"))
}

/// Asks a server for its descriptors as [`reflect`] does, and gives them as an encoded
/// `FileDescriptorSet`, as [`Reflection`] takes them. The files are in the order of their
/// names, so that the same schema has the same bytes.
///
/// # Errors
///
/// As for [`reflect`], but for a schema that cannot be used.
pub async fn reflect_set<S>(backend: S) -> Result<Vec<u8>, Status>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let list = Question { list_services: Some(String::new()), ..Question::default() };
    let mut path = METHODS[0];
    let services = match ask(&backend, path, &list).await {
        Err(status) if status.code() == Code::Unimplemented => {
            path = METHODS[1];
            ask(&backend, path, &list).await?
        }
        other => other?,
    };
    let too_many =
        || Status::resource_exhausted(format!("the server's reflection has more than {FILES} files or services"));
    let services = services.services.unwrap_or_default().service;
    if services.len() > FILES {
        return Err(too_many());
    }
    let services = services.into_iter().filter(|service| !service.name.starts_with("grpc.reflection."));
    let mut wanted: VecDeque<Question> = services
        .map(|service| Question { file_containing_symbol: Some(service.name), ..Question::default() })
        .collect();
    let mut known: BTreeMap<String, Bytes> = BTreeMap::new();
    let (mut asked, mut size) = (HashSet::new(), 0);
    while let Some(question) = wanted.pop_front() {
        if question.file_by_filename.as_ref().is_some_and(|name| known.contains_key(name)) {
            continue;
        }
        for bytes in ask(&backend, path, &question).await?.files.unwrap_or_default().descriptors {
            let file = FileDescriptorProto::decode(bytes.clone()).map_err(|error| broken(&error))?;
            size += bytes.len();
            // Some servers send the imports along each time.
            if let Some(before) = known.insert(file.name().to_owned(), bytes) {
                size -= before.len();
            }
            if size > SCHEMA {
                return Err(Status::resource_exhausted(format!(
                    "the server's reflection has more than {SCHEMA} bytes"
                )));
            }
            for name in file.dependency {
                if !known.contains_key(&name) && asked.insert(name.clone()) {
                    wanted.push_back(Question { file_by_filename: Some(name), ..Question::default() });
                }
            }
            if asked.len() > FILES || known.len() > FILES {
                return Err(too_many());
            }
        }
    }
    Ok(Files { descriptors: known.into_values().collect() }.encode_to_vec())
}

async fn ask<S>(backend: &S, path: &'static str, question: &Question) -> Result<Answer, Status>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let mut call = Request::post(path).body(Body::new(Full::new(framed(question)?))).unwrap_or_default();
    call.headers_mut().insert(CONTENT_TYPE, response::GRPC);
    call.headers_mut().insert(http::header::TE, HeaderValue::from_static("trailers"));
    let deadline = Deadline::after(Some(PATIENCE));
    let Ok(response) = backend.clone().oneshot(call).await;
    let (_, mut incoming) = GrpcResponse::new(response.map(boxed), LIMIT, deadline)?;
    let answer = incoming.next().await?.ok_or_else(|| Status::internal("the server's reflection gave no response"))?;
    let answer = Answer::decode(answer).map_err(|error| {
        Status::internal(format!("the response of the server's reflection cannot be read: {error}"))
    })?;
    match answer.error {
        Some(refusal) => {
            Err(Status::new(Code::from(refusal.code), format!("the server's reflection: {}", refusal.message)))
        }
        None => Ok(answer),
    }
}

fn framed(message: &impl Message) -> Result<Bytes, Status> {
    let mut room = frame::room(message.encoded_len());
    message.encode(&mut room).map_err(|error| Status::internal(error.to_string()))?;
    frame::frame(room)
}

/// A tower service that answers gRPC server reflection, versions v1 and v1alpha,
/// with descriptors as they were given: HTTP rules and other options are kept.
#[derive(Clone)]
pub struct Reflection(Arc<Known>);

#[derive(Default)]
struct Known {
    files: HashMap<String, Bytes>,
    /// The file of each message, enum, value, field, extension, service and method.
    symbols: HashMap<String, String>,
    /// The files of the extensions of each message, by their numbers.
    extensions: HashMap<String, BTreeMap<i32, String>>,
    services: Vec<String>,
}

impl Reflection {
    /// Whether it is this that a path leads to.
    pub fn serves(path: &str) -> bool {
        METHODS.contains(&path)
    }

    /// Answers with the files of descriptor sets, each an encoded
    /// `FileDescriptorSet`. Of two files with one name the first is kept.
    ///
    /// # Errors
    ///
    /// If one is no such set.
    pub fn new(descriptor_sets: &[&[u8]]) -> Result<Self, prost::DecodeError> {
        let mut known = Known::default();
        for set in descriptor_sets {
            for bytes in Files::decode(*set)?.descriptors {
                let file = FileDescriptorProto::decode(bytes.clone())?;
                let name = file.name().to_owned();
                if !known.files.contains_key(&name) {
                    known.add(&file);
                    known.files.insert(name, bytes);
                }
            }
        }
        Ok(Self(Arc::new(known)))
    }
}

impl fmt::Debug for Reflection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reflection").field("services", &self.0.services).finish_non_exhaustive()
    }
}

impl Known {
    fn add(&mut self, file: &FileDescriptorProto) {
        let scope = file.package().to_owned();
        for message in &file.message_type {
            self.add_message(file.name(), &scope, message);
        }
        for one in &file.enum_type {
            self.add_enum(file.name(), &scope, one);
        }
        for service in &file.service {
            let name = within(&scope, service.name());
            for method in &service.method {
                self.symbols.insert(within(&name, method.name()), file.name().to_owned());
            }
            self.symbols.insert(name.clone(), file.name().to_owned());
            self.services.push(name);
        }
        self.add_extensions(file.name(), &scope, &file.extension);
    }

    fn add_message(&mut self, file: &str, scope: &str, message: &DescriptorProto) {
        let name = within(scope, message.name());
        for field in &message.field {
            self.symbols.insert(within(&name, field.name()), file.to_owned());
        }
        for oneof in &message.oneof_decl {
            self.symbols.insert(within(&name, oneof.name()), file.to_owned());
        }
        for nested in &message.nested_type {
            self.add_message(file, &name, nested);
        }
        for one in &message.enum_type {
            self.add_enum(file, &name, one);
        }
        self.add_extensions(file, &name, &message.extension);
        self.symbols.insert(name, file.to_owned());
    }

    fn add_enum(&mut self, file: &str, scope: &str, one: &prost_types::EnumDescriptorProto) {
        // The values are beside the enum, as in C++.
        for value in &one.value {
            self.symbols.insert(within(scope, value.name()), file.to_owned());
        }
        self.symbols.insert(within(scope, one.name()), file.to_owned());
    }

    fn add_extensions(&mut self, file: &str, scope: &str, extensions: &[prost_types::FieldDescriptorProto]) {
        for extension in extensions {
            let extended = extension.extendee().trim_start_matches('.').to_owned();
            self.extensions.entry(extended).or_default().insert(extension.number(), file.to_owned());
            self.symbols.insert(within(scope, extension.name()), file.to_owned());
        }
    }

    fn answer(&self, question: Question) -> Answer {
        let mut answer = Answer { valid_host: question.host.clone(), ..Answer::default() };
        let files = |name: Option<&String>| {
            let bytes = self.files.get(name?)?;
            Some(Files { descriptors: vec![bytes.clone()] })
        };
        let asked = match &question {
            Question { file_by_filename: Some(name), .. } => {
                answer.files = files(Some(name));
                name
            }
            Question { file_containing_symbol: Some(symbol), .. } => {
                answer.files = files(self.symbols.get(symbol.trim_start_matches('.')));
                symbol
            }
            Question { file_containing_extension: Some(extension), .. } => {
                let of_type = self.extensions.get(&extension.containing_type);
                answer.files = files(of_type.and_then(|numbers| numbers.get(&extension.number)));
                &extension.containing_type
            }
            Question { all_extension_numbers_of_type: Some(name), .. } => {
                let numbers = self.extensions.get(name).map(|numbers| numbers.keys().copied().collect());
                if numbers.is_some() || self.symbols.contains_key(name) {
                    let numbers = numbers.unwrap_or_default();
                    answer.extensions = Some(Extensions { base_type_name: name.clone(), numbers });
                }
                name
            }
            Question { list_services: Some(all), .. } => {
                let named = |name: &String| Named { name: name.clone() };
                answer.services = Some(Services { service: self.services.iter().map(named).collect() });
                all
            }
            _ => {
                let message = "the request asks for nothing that is known here".to_owned();
                answer.error = Some(Refusal { code: Code::InvalidArgument as i32, message });
                ""
            }
        };
        if answer.files.is_none() && answer.services.is_none() && answer.extensions.is_none() && answer.error.is_none()
        {
            answer.error = Some(Refusal { code: Code::NotFound as i32, message: format!("{asked} is not known here") });
        }
        answer.original_request = Some(question);
        answer
    }
}

fn within(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

impl<B> Service<Request<B>> for Reflection
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Request<B>) -> Self::Future {
        let encoding = call.headers().get(&response::GRPC_ENCODING).map(HeaderValue::as_bytes);
        let frames = Frames::new(encoding, MESSAGE_LIMIT);
        let answers = Answers {
            questions: Box::pin(call.into_body()),
            frames,
            silence: Silence::new(Some(PAUSE)),
            known: Arc::clone(&self.0),
            ended: false,
        };
        Box::pin(std::future::ready(Ok(response::grpc(answers, HeaderMap::new()))))
    }
}

/// The body of a response: one message for each of the call's, as they come.
struct Answers<B> {
    questions: Pin<Box<B>>,
    frames: Frames,
    silence: Silence,
    known: Arc<Known>,
    ended: bool,
}

impl<B> Answers<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// The next answer, or the status at the end.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        loop {
            if let Some(message) = self.frames.next()? {
                let question = Question::decode(message)
                    .map_err(|error| Status::invalid_argument(format!("the request cannot be read: {error}")))?;
                return Poll::Ready(framed(&self.known.answer(question)));
            }
            let Poll::Ready(piece) = self.questions.as_mut().poll_frame(context) else {
                return self.silence.poll(context).map(|_| {
                    Err(Status::deadline_exceeded(format!("no question came for {PAUSE:?}; ask by another call")))
                });
            };
            self.silence.broken();
            match piece {
                Some(Ok(piece)) => self.frames.push(piece.into_data().unwrap_or_default()),
                Some(Err(error)) => return Poll::Ready(Err(Status::cancelled(chain(&*error.into())))),
                None => return Poll::Ready(Err(Status::ok(""))),
            }
        }
    }
}

impl<B> http_body::Body for Answers<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let frame = match std::task::ready!(this.poll_next(context)) {
            Ok(answer) => Frame::data(answer),
            Err(status) => {
                this.ended = true;
                Frame::trailers(response::trailers(&status))
            }
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> Vec<u8> {
        let file = prost_types::FileDescriptorProto {
            name: Some("a.proto".to_owned()),
            package: Some("a".to_owned()),
            message_type: vec![DescriptorProto { name: Some("M".to_owned()), ..Default::default() }],
            service: vec![prost_types::ServiceDescriptorProto { name: Some("S".to_owned()), ..Default::default() }],
            ..Default::default()
        };
        prost_types::FileDescriptorSet { file: vec![file] }.encode_to_vec()
    }

    #[test]
    fn what_is_not_known_is_an_answer_too() {
        let set = set();
        let known = Reflection::new(&[&set, &set]).unwrap().0;
        assert_eq!(known.services, ["a.S"]);
        let symbol = |name: &str| Question { file_containing_symbol: Some(name.to_owned()), ..Question::default() };
        assert_eq!(known.answer(symbol("a.M")).files.unwrap().descriptors.len(), 1);
        let refused = known.answer(symbol("a.N")).error.unwrap();
        assert_eq!((refused.code, &*refused.message), (Code::NotFound as i32, "a.N is not known here"));
        assert_eq!(known.answer(Question::default()).error.unwrap().code, Code::InvalidArgument as i32);
        let numbers = Question { all_extension_numbers_of_type: Some("a.M".to_owned()), ..Question::default() };
        assert!(known.answer(numbers).extensions.unwrap().numbers.is_empty());
        assert!(Reflection::new(&[b"\xff"]).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_asks_nothing_is_not_waited_for() {
        let silent = http_body_util::StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Status>>());
        let call = Request::post(METHODS[0]).body(silent).unwrap();
        let answer = Reflection::new(&[&set()]).unwrap().oneshot(call).await.unwrap();
        let whole = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
        assert_eq!(whole.trailers().unwrap()["grpc-status"], "4");
    }

    #[tokio::test]
    async fn a_schema_comes_back_as_it_was_given() {
        let schema = reflect(Reflection::new(&[&set()]).unwrap()).await.unwrap();
        assert!(schema.message("a.M").is_some());
        let gone = tower::service_fn(|_: Request<Body>| async { Ok(Status::unimplemented("no").into_http()) });
        assert_eq!(reflect(gone).await.unwrap_err().code(), Code::Unimplemented);
    }

    /// Answers each question with as many services, or with a file with as many imports and as
    /// large a name, as it is told.
    fn endless(
        services: usize,
        imports: usize,
        name: usize,
    ) -> impl Clone + Service<Request<Body>, Response = Response<Body>, Error = Infallible> {
        let number = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        tower::service_fn(move |call: Request<Body>| {
            let number = Arc::clone(&number);
            async move {
                let body = crate::rpc::collect(call.into_body(), LIMIT).await.unwrap();
                let question = Question::decode(frame::unary(body, None, LIMIT).unwrap()).unwrap();
                let mut answer = Answer::default();
                if question.list_services.is_some() {
                    let service = (0..services).map(|at| Named { name: format!("a.S{at}") }).collect();
                    answer.services = Some(Services { service });
                } else {
                    let fresh = || number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let file = FileDescriptorProto {
                        name: Some(format!("{}{}", "x".repeat(name), fresh())),
                        dependency: (0..imports).map(|_| format!("{}.proto", fresh())).collect(),
                        ..Default::default()
                    };
                    answer.files = Some(Files { descriptors: vec![file.encode_to_vec().into()] });
                }
                let body = response::Unary::Message(framed(&answer).unwrap());
                Ok(response::grpc(body, HeaderMap::new()))
            }
        })
    }

    #[tokio::test]
    async fn a_schema_without_an_end_is_given_up() {
        for (services, imports, name, problem) in [
            (FILES + 1, 0, 0, "more than 65536 files or services"),
            (1, FILES + 1, 0, "more than 65536 files or services"),
            (1, 1_000, 0, "more than 65536 files or services"),
            (1, 1, 3 * MESSAGE_LIMIT, "more than 134217728 bytes"),
        ] {
            let status = reflect_set(endless(services, imports, name)).await.unwrap_err();
            assert!(
                status.code() == Code::ResourceExhausted && status.message().contains(problem),
                "{services} {imports} {name}: {status}"
            );
        }
    }
}
