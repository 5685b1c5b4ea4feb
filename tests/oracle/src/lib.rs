//! What the tests beside independent implementations share: random messages, made by the
//! descriptors of prost-reflect.
//!
//! These tests are a package of their own because of what they depend on: protox and its parser,
//! prost-reflect, proptest. No other test needs those.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// A source of choices: splitmix64, so that a seed is a message.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// Any number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.word() % limit
    }

    /// One of the choices.
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Numbers of all sizes, small ones most often.
    pub fn number(&mut self) -> u64 {
        let bits = self.of(&[0, 1, 3, 7, 8, 14, 31, 32, 33, 52, 63, 64]);
        let number = if bits == 64 { self.word() } else { self.word() & ((1 << bits) - 1) };
        if self.below(4) == 0 { (number as i64).wrapping_neg() as u64 } else { number }
    }

    /// Some pieces of text after one another, among them what JSON escapes.
    pub fn text(&mut self) -> String {
        const PIECES: [&str; 12] =
            ["", "a", "Launch room", "\"", "\\", "\n\t", "\u{1}", "ü", "日本", "\u{1F680}", "sixteen bytes 16", "</>"];
        (0..self.below(6)).map(|_| self.of(&PIECES)).collect()
    }
}

/// Writes a varint.
pub fn varint(out: &mut Vec<u8>, value: u64) {
    prost::encoding::encode_varint(value, out);
}

/// Writes the tag of a field.
pub fn tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    varint(out, u64::from(number << 3 | wire_type));
}

/// Writes a field that has its length before it.
pub fn len_delimited(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    tag(out, number, 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// A message as wire bytes: fields in any order, some more than once, some that
/// the schema does not have. What has no JSON form is left out.
pub fn message(dice: &mut Dice, descriptor: &MessageDescriptor, depth: u32) -> Vec<u8> {
    let mut out = Vec::new();
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            let limits = [-62_135_596_800_i64, 0, 1_795_513_800, 951_782_400, 253_402_300_799];
            tag(&mut out, 1, 0);
            varint(&mut out, dice.of(&limits) as u64);
            tag(&mut out, 2, 0);
            varint(&mut out, dice.of(&[0, 1, 999, 1_000, 123_456_000, 500_000_000, 999_999_999]));
            return out;
        }
        "google.protobuf.Duration" => {
            let (seconds, nanos) =
                dice.of(&[(0_i64, 1_i32), (-1, -500_000_000), (315_576_000_000, 0), (7, 1_000), (0, -7)]);
            tag(&mut out, 1, 0);
            varint(&mut out, seconds as u64);
            tag(&mut out, 2, 0);
            varint(&mut out, i64::from(nanos) as u64);
            return out;
        }
        "google.protobuf.FieldMask" => {
            let paths = ["display_name", "*", "a.b_c.`Key_1, \"é\"`.d", "labels.`a.b`"];
            for _ in 0..dice.below(3) {
                len_delimited(&mut out, 1, dice.of(&paths).as_bytes());
            }
            return out;
        }
        "google.protobuf.Value" => {
            let member = if depth == 0 { 1 + dice.below(4) } else { 1 + dice.below(6) };
            let field = descriptor.get_field(member as u32).expect("has six");
            if member == 2 {
                tag(&mut out, 2, 1);
                out.extend_from_slice(&dice.of(&[0.0_f64, -0.5, 1e300, 7.0]).to_le_bytes());
            } else {
                value(dice, &field, depth, &mut out);
            }
            return out;
        }
        _ => {}
    }
    let mut fields: Vec<_> = descriptor.fields().collect();
    let whole = is_struct_entry(descriptor);
    fields.retain(|_| whole || dice.below(4) == 0);
    if dice.below(3) == 0 && !fields.is_empty() {
        // Out of order, and again.
        let at = dice.below(fields.len() as u64) as usize;
        fields.rotate_left(at);
        let again = fields[dice.below(fields.len() as u64) as usize].clone();
        fields.push(again);
    }
    for field in fields {
        if dice.below(30) == 0 {
            tag(&mut out, 7_777, 0);
            varint(&mut out, 1);
        }
        let times = if field.is_list() || field.is_map() { dice.below(4) } else { 1 };
        if field.is_packable_list(dice) {
            let mut packed = Vec::new();
            for _ in 0..times {
                scalar(dice, &field.kind(), &mut packed);
            }
            len_delimited(&mut out, field.number(), &packed);
            continue;
        }
        for _ in 0..times {
            value(dice, &field, depth, &mut out);
        }
    }
    out
}

/// Whether it is an entry of a Struct, which must have its value.
fn is_struct_entry(descriptor: &MessageDescriptor) -> bool {
    descriptor.parent_message().is_some_and(|parent| parent.full_name() == "google.protobuf.Struct")
}

trait Packable {
    fn is_packable_list(&self, dice: &mut Dice) -> bool;
}

impl Packable for FieldDescriptor {
    /// Packed and unpacked are both legal, whatever is declared.
    fn is_packable_list(&self, dice: &mut Dice) -> bool {
        let scalar = !matches!(self.kind(), Kind::String | Kind::Bytes | Kind::Message(_));
        self.is_list() && scalar && dice.below(2) == 0
    }
}

fn wire_type(kind: &Kind) -> u32 {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => 1,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => 5,
        Kind::String | Kind::Bytes | Kind::Message(_) => 2,
        _ => 0,
    }
}

fn scalar(dice: &mut Dice, kind: &Kind, out: &mut Vec<u8>) {
    match kind {
        Kind::Double => {
            let special = [0.0, -0.0, 1.5, -1e-300, f64::MAX, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324];
            let bits = if dice.below(2) == 0 { dice.of(&special).to_bits() } else { dice.word() };
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Kind::Float => {
            // Not the largest: prost-reflect refuses to read its digits back.
            let special = [0.0, -0.0, 1.5, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE];
            let bits = if dice.below(2) == 0 { dice.of(&special).to_bits() } else { dice.word() as u32 };
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Kind::Fixed64 | Kind::Sfixed64 => out.extend_from_slice(&dice.number().to_le_bytes()),
        Kind::Fixed32 | Kind::Sfixed32 => out.extend_from_slice(&(dice.number() as u32).to_le_bytes()),
        Kind::Bool => varint(out, dice.below(2)),
        // prost-reflect keeps what a closed enum does not have; the conformance
        // suite, which we pass, counts that as unknown.
        Kind::Enum(kind) if kind.name() == "Closed" => varint(out, i64::from(dice.of(&[0, 1, -1])) as u64),
        Kind::Enum(kind) if kind.name() == "NullValue" => varint(out, 0),
        Kind::Enum(_) => varint(out, i64::from(dice.of(&[0, 1, -1, 2, 1_000_000])) as u64),
        Kind::Int32 => varint(out, i64::from(dice.number() as i32) as u64),
        Kind::Uint32 | Kind::Sint32 => varint(out, u64::from(dice.number() as u32)),
        _ => varint(out, dice.number()),
    }
}

/// One value with its tag.
pub fn value(dice: &mut Dice, field: &FieldDescriptor, depth: u32, out: &mut Vec<u8>) {
    let kind = field.kind();
    match &kind {
        Kind::Message(inner) if depth == 0 && is_struct_entry(inner) => {}
        Kind::Message(inner) => {
            let content = if depth == 0 { Vec::new() } else { message(dice, inner, depth - 1) };
            // A Value must have a value.
            if depth == 0 && inner.full_name() == "google.protobuf.Value" {
                len_delimited(out, field.number(), &message(dice, inner, 0));
            } else if field.is_group() {
                tag(out, field.number(), 3);
                out.extend_from_slice(&content);
                tag(out, field.number(), 4);
            } else {
                len_delimited(out, field.number(), &content);
            }
        }
        Kind::String => len_delimited(out, field.number(), dice.text().as_bytes()),
        Kind::Bytes => {
            let content: Vec<u8> = (0..dice.below(7)).map(|_| dice.word() as u8).collect();
            len_delimited(out, field.number(), &content);
        }
        kind => {
            tag(out, field.number(), wire_type(kind));
            scalar(dice, kind, out);
        }
    }
}
