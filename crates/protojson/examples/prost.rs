//! JSON for prost's messages, by their descriptor set: `cargo run -p protojson --example prost`.
//!
//! The message is written by hand here, so that the example needs no build script. With one,
//! `prost_build` generates it (with `enable_type_names`), and the set is the file that
//! `file_descriptor_set_path` names.

use protojson::DescriptorPool;

#[derive(Clone, PartialEq, prost::Message)]
struct Room {
    #[prost(string, tag = "1")]
    display_name: String,
    #[prost(int64, tag = "2")]
    seats: i64,
}

impl prost::Name for Room {
    const NAME: &'static str = "Room";
    const PACKAGE: &'static str = "example";
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = DescriptorPool::decode(include_bytes!("../tests/room.bin"))?;
    let room = Room { display_name: "Library".to_owned(), seats: 12 };

    let json = pool.to_json(&room)?;
    println!("{json}");
    assert_eq!(json, r#"{"displayName":"Library","seats":"12"}"#);

    let back: Room = pool.from_json(&json)?;
    assert_eq!(back, room);

    let error = pool.from_json::<Room>(r#"{"displayName": "Library", "chairs": 12}"#).unwrap_err();
    println!("{error}");
    Ok(())
}
