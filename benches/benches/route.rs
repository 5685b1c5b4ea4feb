//! A request through the gateway, in the process, with 5,000 bindings: what a path with
//! percent escapes, a long one and an unknown one cost beside a plain one. The backend
//! answers at once, so that the rest of a request is the same for all.

use std::{convert::Infallible, hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use google_chat::grpc_transcoding::{DescriptorPool, HttpRules, server::Gateway};
use http::{Request, Response};
use http_body_util::Full;
use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
    ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use tonic::{Status, body::Body};
use tower::{ServiceExt, service_fn};

const BINDINGS: usize = 5_000;

fn len_delimited(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    prost::encoding::encode_varint(u64::from(number << 3 | 2), out);
    prost::encoding::encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// A service with one method for each binding, which has another literal in its third
/// segment; and two whose paths are long.
fn rules() -> HttpRules {
    let long = "/a/*".repeat(15);
    let templates = (0..BINDINGS).map(|i| format!("/v1/{{name=projects/*/things{i}/*}}"));
    let templates: Vec<String> =
        templates.chain([format!("/v2/{{name=b{long}}}"), "/v3/{name=**}".to_owned()]).collect();
    let field = FieldDescriptorProto {
        name: Some("name".to_owned()),
        number: Some(1),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::String.into()),
        ..Default::default()
    };
    let method = |i| MethodDescriptorProto {
        name: Some(format!("Get{i}")),
        input_type: Some(".bench.Thing".to_owned()),
        output_type: Some(".bench.Thing".to_owned()),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("bench.proto".to_owned()),
        package: Some("bench".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some("Thing".to_owned()),
            field: vec![field],
            ..Default::default()
        }],
        service: vec![ServiceDescriptorProto {
            name: Some("Things".to_owned()),
            method: (0..templates.len()).map(method).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    // google.api.Http: rules, each with its selector and `get`.
    let mut http = Vec::new();
    for (i, template) in templates.iter().enumerate() {
        let mut rule = Vec::new();
        len_delimited(&mut rule, 1, format!("bench.Things.Get{i}").as_bytes());
        len_delimited(&mut rule, 2, template.as_bytes());
        len_delimited(&mut http, 1, &rule);
    }
    let set = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    let pool = DescriptorPool::decode(&set).expect("descriptors");
    HttpRules::with_config(&pool, &http).expect("a service config")
}

fn route(c: &mut Criterion) {
    let answer = || Status::not_found("nothing is here").into_http::<Body>();
    let backend = service_fn(move |_: Request<Body>| async move { Ok::<Response<Body>, Infallible>(answer()) });
    let gateway = Gateway::new(rules(), backend).expect("a gateway");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = c.benchmark_group("route");
    for (name, path) in [
        ("plain", "/v1/projects/p/things4321/x".to_owned()),
        ("percent in the value", "/v1/projects/p%C3%A9/things4321/x%20y".to_owned()),
        ("percent in a literal", "/v1/%70rojects/p/thing%734321/x".to_owned()),
        ("31 segments", format!("/v2/b{}", "/a/x".repeat(15))),
        ("30 segments of **", format!("/v3{}", "/x".repeat(29))),
        ("unknown", "/v1/projects/p/nothing/x".to_owned()),
        ("unknown, percent", "/v1/none%21/y".to_owned()),
        ("unknown, 30 segments", format!("/v1/projects/p{}", "/things1".repeat(27))),
        ("200 slashes", "/".repeat(200)),
        ("60,000 slashes", "/".repeat(60_000)),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let request = Request::get(path.as_str()).body(Full::<Bytes>::default()).expect("a request");
                black_box(runtime.block_on(gateway.clone().oneshot(request)))
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500)).sample_size(30);
    targets = route
}
criterion_main!(benches);
