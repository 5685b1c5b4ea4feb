//! Reading a `FileDescriptorSet`, borrowed from its bytes.
//!
//! prost's own descriptor types drop extensions, and with them the options of other
//! packages (`google.api.http`), so the few fields that matter are read here. Field
//! numbers are those of `google/protobuf/descriptor.proto`.

use crate::wire::{self, Payload, WireError};

type Read<T> = Result<T, WireError>;

/// Calls `each` with the number and payload of every field.
fn fields<'a>(bytes: &'a [u8], mut each: impl FnMut(u32, Payload<'a>) -> Read<()>) -> Read<()> {
    wire::fields(bytes).try_for_each(|field| {
        let (tag, payload) = field?;
        each(tag >> 3, payload)
    })
}

fn text<'a>(payload: Payload<'a>) -> Read<&'a str> {
    std::str::from_utf8(payload.bytes()).map_err(|_| WireError::Utf8)
}

/// The syntax or edition of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Syntax<'a> {
    #[default]
    Proto2,
    Proto3,
    Edition(u64),
    Unknown(&'a str),
}

/// Options whose defaults a file's syntax sets and inner scopes override.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Features {
    pub(super) presence: Option<u64>,
    pub(super) enum_type: Option<u64>,
    pub(super) repeated: Option<u64>,
    pub(super) encoding: Option<u64>,
}

impl Features {
    fn read(bytes: &[u8]) -> Read<Self> {
        let mut features = Self::default();
        fields(bytes, |number, payload| {
            let slot = match number {
                1 => &mut features.presence,
                2 => &mut features.enum_type,
                3 => &mut features.repeated,
                5 => &mut features.encoding,
                _ => return Ok(()),
            };
            *slot = Some(payload.bits());
            Ok(())
        })?;
        Ok(features)
    }

    /// These, over what the scope around them says.
    pub(super) fn over(self, outer: Self) -> Self {
        Self {
            presence: self.presence.or(outer.presence),
            enum_type: self.enum_type.or(outer.enum_type),
            repeated: self.repeated.or(outer.repeated),
            encoding: self.encoding.or(outer.encoding),
        }
    }
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    pub(super) package: &'a str,
    pub(super) dependencies: Vec<&'a str>,
    pub(super) messages: Vec<Message<'a>>,
    pub(super) enums: Vec<Enum<'a>>,
    pub(super) services: Vec<Service<'a>>,
    pub(super) extensions: Vec<Field<'a>>,
    pub(super) syntax: Syntax<'a>,
    pub(super) features: Features,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) name: &'a str,
    pub(super) fields: Vec<Field<'a>>,
    pub(super) messages: Vec<Message<'a>>,
    pub(super) enums: Vec<Enum<'a>>,
    pub(super) extensions: Vec<Field<'a>>,
    pub(super) oneofs: usize,
    pub(super) map_entry: bool,
    pub(super) message_set: bool,
    /// The occurrences of its options, which protobuf merges.
    pub(super) options: Vec<&'a [u8]>,
    pub(super) features: Features,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) json_name: Option<&'a str>,
    pub(super) extendee: &'a str,
    pub(super) number: u64,
    pub(super) label: u64,
    pub(super) kind: u64,
    pub(super) type_name: &'a str,
    pub(super) oneof: Option<u64>,
    pub(super) proto3_optional: bool,
    pub(super) packed: Option<bool>,
    /// The occurrences of its options, which protobuf merges.
    pub(super) options: Vec<&'a [u8]>,
    pub(super) features: Features,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Enum<'a> {
    pub(super) name: &'a str,
    pub(super) values: Vec<(&'a str, i32)>,
    pub(super) features: Features,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    pub(super) methods: Vec<Method<'a>>,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Method<'a> {
    pub(super) name: &'a str,
    pub(super) input: &'a str,
    pub(super) output: &'a str,
    pub(super) client_streaming: bool,
    pub(super) server_streaming: bool,
    /// The occurrences of its options, which protobuf merges.
    pub(super) options: Vec<&'a [u8]>,
}

/// The files of a `FileDescriptorSet`; or how many were read, and what is wrong with
/// the next one or with the set.
pub(super) fn files(set: &[u8]) -> Result<Vec<File<'_>>, (usize, WireError)> {
    let mut files = Vec::new();
    let read = fields(set, |number, payload| {
        if number == 1 {
            files.push(file(payload.bytes())?);
        }
        Ok(())
    });
    match read {
        Ok(()) => Ok(files),
        Err(error) => Err((files.len(), error)),
    }
}

fn file(bytes: &[u8]) -> Read<File<'_>> {
    let mut file = File::default();
    fields(bytes, |number, payload| {
        match number {
            1 => file.name = text(payload)?,
            2 => file.package = text(payload)?,
            3 => file.dependencies.push(text(payload)?),
            4 => file.messages.push(message(payload.bytes(), 0)?),
            5 => file.enums.push(enumeration(payload.bytes())?),
            6 => file.services.push(service(payload.bytes())?),
            7 => file.extensions.push(field(payload.bytes())?),
            8 => file.features = features_at(payload.bytes(), 50)?,
            12 => {
                file.syntax = match text(payload)? {
                    "" | "proto2" => Syntax::Proto2,
                    "proto3" => Syntax::Proto3,
                    // The edition's number is in a field of its own.
                    "editions" => file.syntax,
                    other => Syntax::Unknown(other),
                }
            }
            14 => file.syntax = Syntax::Edition(payload.bits()),
            _ => {}
        }
        Ok(())
    })?;
    Ok(file)
}

fn features_at(options: &[u8], at: u32) -> Read<Features> {
    let mut features = Features::default();
    fields(options, |number, payload| {
        if number == at {
            features = Features::read(payload.bytes())?;
        }
        Ok(())
    })?;
    Ok(features)
}

fn message(bytes: &[u8], depth: u32) -> Read<Message<'_>> {
    if depth > wire::DEPTH {
        return Err(WireError::Depth);
    }
    let mut message = Message::default();
    fields(bytes, |number, payload| {
        match number {
            1 => message.name = text(payload)?,
            2 => message.fields.push(field(payload.bytes())?),
            3 => message.messages.push(self::message(payload.bytes(), depth + 1)?),
            4 => message.enums.push(enumeration(payload.bytes())?),
            6 => message.extensions.push(field(payload.bytes())?),
            7 => {
                message.options.push(payload.bytes());
                fields(payload.bytes(), |number, payload| {
                    match number {
                        1 => message.message_set = payload.bits() != 0,
                        7 => message.map_entry = payload.bits() != 0,
                        12 => message.features = Features::read(payload.bytes())?,
                        _ => {}
                    }
                    Ok(())
                })?;
            }
            8 => message.oneofs += 1,
            _ => {}
        }
        Ok(())
    })?;
    Ok(message)
}

fn field(bytes: &[u8]) -> Read<Field<'_>> {
    let mut field = Field::default();
    fields(bytes, |number, payload| {
        match number {
            1 => field.name = text(payload)?,
            2 => field.extendee = text(payload)?,
            3 => field.number = payload.bits(),
            4 => field.label = payload.bits(),
            5 => field.kind = payload.bits(),
            6 => field.type_name = text(payload)?,
            8 => {
                field.options.push(payload.bytes());
                fields(payload.bytes(), |number, payload| {
                    match number {
                        2 => field.packed = Some(payload.bits() != 0),
                        21 => field.features = Features::read(payload.bytes())?,
                        _ => {}
                    }
                    Ok(())
                })?;
            }
            9 => field.oneof = Some(payload.bits()),
            10 => field.json_name = Some(text(payload)?),
            17 => field.proto3_optional = payload.bits() != 0,
            _ => {}
        }
        Ok(())
    })?;
    Ok(field)
}

fn enumeration(bytes: &[u8]) -> Read<Enum<'_>> {
    let mut enumeration = Enum::default();
    fields(bytes, |number, payload| {
        match number {
            1 => enumeration.name = text(payload)?,
            2 => {
                let mut value = ("", 0);
                fields(payload.bytes(), |number, payload| {
                    match number {
                        1 => value.0 = text(payload)?,
                        2 => value.1 = payload.bits() as i32,
                        _ => {}
                    }
                    Ok(())
                })?;
                enumeration.values.push(value);
            }
            3 => enumeration.features = features_at(payload.bytes(), 7)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(enumeration)
}

fn service(bytes: &[u8]) -> Read<Service<'_>> {
    let mut service = Service::default();
    fields(bytes, |number, payload| {
        match number {
            1 => service.name = text(payload)?,
            2 => service.methods.push(method(payload.bytes())?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(service)
}

fn method(bytes: &[u8]) -> Read<Method<'_>> {
    let mut method = Method::default();
    fields(bytes, |number, payload| {
        match number {
            1 => method.name = text(payload)?,
            2 => method.input = text(payload)?,
            3 => method.output = text(payload)?,
            4 => {
                // Whoever reads an option may count on the others.
                fields(payload.bytes(), |_, _| Ok(()))?;
                method.options.push(payload.bytes());
            }
            5 => method.client_streaming = payload.bits() != 0,
            6 => method.server_streaming = payload.bits() != 0,
            _ => {}
        }
        Ok(())
    })?;
    Ok(method)
}
