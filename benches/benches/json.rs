//! The codec beside its peers, bytes to bytes: `write` from wire bytes to JSON,
//! `read` from JSON to wire bytes, each into a buffer that is used again where
//! the peer can.
//!
//! The floor is `floor`: a copy of the JSON and simdutf8's validation of it.

use std::{hint::black_box, time::Duration};

use benches::{
    DESCRIPTOR_SET,
    bench::SpaceList,
    buffa_peer,
    google::chat::v1::{Space, space},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use google_chat::protojson::{self, ReadOptions, WriteOptions};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::{Serialize, de::DeserializeOwned};

fn request() -> Space {
    Space {
        display_name: "Launch room for the spring release".to_owned(),
        space_type: 1,
        customer: Some("customers/my_customer".to_owned()),
        space_details: Some(space::SpaceDetails {
            description: "Where we plan the launch, day by day".to_owned(),
            guidelines: "Be kind; use threads, please.".to_owned(),
        }),
        space_permission_settings: Some(space::SpacePermissionSettings::PredefinedPermissionSettings(1)),
        ..Space::default()
    }
}

#[allow(deprecated, reason = "answers hold the deprecated type, too")]
fn response() -> Space {
    let setting = |members| {
        Some(space::PermissionSetting {
            managers_allowed: true,
            assistant_managers_allowed: Some(true),
            members_allowed: members,
        })
    };
    Space {
        name: "spaces/AAQAjCNSsU0".to_owned(),
        r#type: 1,
        space_threading_state: 2,
        space_history_state: 2,
        import_mode: true,
        create_time: Some(pbjson_types::Timestamp { seconds: 1_795_513_800, nanos: 123_456_000 }),
        last_active_time: Some(pbjson_types::Timestamp { seconds: 1_795_517_400, nanos: 654_321_000 }),
        import_mode_expire_time: Some(pbjson_types::Timestamp { seconds: 1_803_289_800, nanos: 123_456_000 }),
        admin_installed: true,
        membership_count: Some(space::MembershipCount { joined_direct_human_user_count: 17, joined_group_count: 2 }),
        access_settings: Some(space::AccessSettings {
            access_state: 2,
            audience: "audiences/default".to_owned(),
            ..Default::default()
        }),
        customer: Some("customers/C01abc23d".to_owned()),
        space_uri: "https://chat.google.com/room/AAQAjCNSsU0?cls=11".to_owned(),
        external_user_allowed: true,
        space_permission_settings: Some(space::SpacePermissionSettings::PermissionSettings(
            space::PermissionSettings {
                manage_members_and_groups: setting(true),
                modify_space_details: setting(false),
                toggle_history: setting(true),
                use_at_mention_all: setting(false),
                manage_apps: setting(true),
                manage_webhooks: setting(false),
                post_messages: setting(true),
                reply_messages: setting(true),
                view_space_membership: setting(true),
            },
        )),
        space_details: Some(space::SpaceDetails {
            description: "Where we plan the launch of the spring release, day by day, and keep what was decided: \
                 who does what, by when, and what we wait for"
                .to_owned(),
            guidelines: "Be kind; use threads, please.".to_owned(),
        }),
        ..request()
    }
}

fn text_heavy() -> Space {
    // 2 % escapes, and a character of more than one byte now and then.
    let unit = "Write what you would say aloud, and answer in the thread; Grüße aus Köln,\nsaid \"we\" – 日本 ";
    let guidelines: String = unit.chars().cycle().take(5_000).collect();
    Space { space_details: Some(space::SpaceDetails { guidelines, ..Default::default() }), ..request() }
}

/// `M` is prost's type with pbjson's serde code, `B` is buffa's.
fn compare<M, B>(c: &mut Criterion, name: &str, message: &M)
where
    M: Message + prost::Name + Default + Serialize + DeserializeOwned,
    B: buffa::Message + Serialize + DeserializeOwned,
{
    let schema = protojson::DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let ours = schema.message(&M::full_name()).unwrap();
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let reflected = pool.get_message_by_name(&M::full_name()).unwrap();

    let wire = message.encode_to_vec();
    let mut json = Vec::new();
    ours.write_json(&wire, &mut json, &WriteOptions::default()).unwrap();
    // All do the same work: what one writes, each reads back to the same message.
    let theirs: M = serde_json::from_slice(&json).unwrap();
    assert_eq!(theirs.encode_to_vec(), wire);
    assert_eq!(serde_json::from_slice::<B>(&json).unwrap().encode_to_vec(), wire);
    let mut back = Vec::new();
    ours.read_json(&json, &mut back, &ReadOptions::default()).unwrap();
    assert_eq!(M::decode(back.as_slice()).unwrap().encode_to_vec(), wire);
    println!("{name}: {} bytes of wire, {} of JSON", wire.len(), json.len());

    let mut group = c.benchmark_group(format!("write/{name}"));
    group.throughput(Throughput::Bytes(json.len() as u64));
    let mut out = Vec::with_capacity(json.len() * 2);
    group.bench_function("google-chat", |b| {
        b.iter(|| {
            out.clear();
            ours.write_json(black_box(&wire), &mut out, &WriteOptions::default()).unwrap();
            black_box(&out);
        });
    });
    group.bench_function("pbjson", |b| {
        b.iter(|| {
            out.clear();
            let message = M::decode(black_box(wire.as_slice())).unwrap();
            serde_json::to_writer(&mut out, &message).unwrap();
            black_box(&out);
        });
    });
    group.bench_function("prost-reflect", |b| {
        b.iter(|| {
            out.clear();
            let message = DynamicMessage::decode(reflected.clone(), black_box(wire.as_slice())).unwrap();
            serde_json::to_writer(&mut out, &message).unwrap();
            black_box(&out);
        });
    });
    group.bench_function("buffa", |b| {
        b.iter(|| {
            out.clear();
            let message = B::decode_from_slice(black_box(&wire)).unwrap();
            serde_json::to_writer(&mut out, &message).unwrap();
            black_box(&out);
        });
    });
    group.bench_function("floor", |b| {
        b.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&json));
            black_box(simdutf8::basic::from_utf8(&out).unwrap());
        });
    });
    group.finish();

    let mut group = c.benchmark_group(format!("read/{name}"));
    group.throughput(Throughput::Bytes(json.len() as u64));
    group.bench_function("google-chat", |b| {
        b.iter(|| {
            out.clear();
            ours.read_json(black_box(&json), &mut out, &ReadOptions::default()).unwrap();
            black_box(&out);
        });
    });
    group.bench_function("pbjson", |b| {
        b.iter(|| {
            out.clear();
            let message: M = serde_json::from_slice(black_box(&json)).unwrap();
            message.encode(&mut out).unwrap();
            black_box(&out);
        });
    });
    group.bench_function("prost-reflect", |b| {
        b.iter(|| {
            out.clear();
            let mut deserializer = serde_json::Deserializer::from_slice(black_box(&json));
            let message = DynamicMessage::deserialize(reflected.clone(), &mut deserializer).unwrap();
            message.encode(&mut out).unwrap();
            black_box(&out);
        });
    });
    group.bench_function("buffa", |b| {
        b.iter(|| {
            out.clear();
            let message: B = serde_json::from_slice(black_box(&json)).unwrap();
            message.encode(&mut out);
            black_box(&out);
        });
    });
    group.finish();
}

fn json(c: &mut Criterion) {
    compare::<_, buffa_peer::google::chat::v1::Space>(c, "request", &request());
    compare::<_, buffa_peer::google::chat::v1::Space>(c, "response", &response());
    compare::<_, buffa_peer::google::chat::v1::Space>(c, "text", &text_heavy());
    compare::<_, buffa_peer::bench::SpaceList>(c, "list", &SpaceList { spaces: vec![response(); 1_000] });
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500)).sample_size(30);
    targets = json
}
criterion_main!(benches);
