//! Messages whose JSON form is not an object of their fields, on their way
//! from JSON.

use super::{
    ParseError, mask, number,
    read::{Parsed, Parser},
    time,
};
use crate::descriptor::{JsonMapping, MessageType};
use crate::wire::{put_len, put_uint, put_varint};

pub(super) fn read(parser: &mut Parser<'_>, message: &MessageType, depth: u32) -> Parsed {
    match message.shape {
        JsonMapping::Timestamp => seconds_and_nanos(parser, "an RFC 3339 timestamp", time::parse_timestamp),
        JsonMapping::Duration => seconds_and_nanos(parser, "a duration such as \"1.5s\"", time::parse_duration),
        JsonMapping::FieldMask => field_mask(parser),
        JsonMapping::Wrapper => match message.fields.first() {
            Some(field) => parser.wrapped(field, depth),
            None => Ok(()),
        },
        JsonMapping::Struct => match message.fields.first() {
            Some(fields) => parser.map(fields, depth),
            None => Ok(()),
        },
        JsonMapping::ListValue => {
            let Some(values) = message.fields.first() else { return Ok(()) };
            parser.list(|parser, _| {
                parser.out.extend_from_slice(values.tag_bytes());
                parser.sized(|parser| parser.message(parser.tables.message_of(values), depth - 1))
            })
        }
        JsonMapping::Value => value(parser, message, depth),
        JsonMapping::Any => any(parser, depth),
        JsonMapping::Empty => parser.members(message, depth, None),
        JsonMapping::Plain | JsonMapping::MapEntry | JsonMapping::MessageSet => Ok(()),
    }
}

fn seconds_and_nanos(parser: &mut Parser<'_>, what: &str, parse: fn(&[u8]) -> Option<(i64, i32)>) -> Parsed {
    let start = parser.position();
    let text = parser.string_bytes()?;
    let Some((seconds, nanos)) = parse(&text) else {
        parser.seek(start);
        return Err(parser.expected(what));
    };
    if seconds != 0 {
        put_uint(parser.out, 1, seconds as u64);
    }
    if nanos != 0 {
        put_uint(parser.out, 2, i64::from(nanos) as u64);
    }
    Ok(())
}

fn field_mask(parser: &mut Parser<'_>) -> Parsed {
    let start = parser.position();
    let text = parser.string()?;
    let mut snake = Vec::new();
    for path in mask::paths(&text).filter(|_| !text.is_empty()) {
        if !mask::is_path(path.as_bytes()) {
            return Err(ParseError::new(format!("`{path}` is not a path of a field mask in JSON names"), start));
        }
        snake.clear();
        mask::put_snake(&mut snake, path.as_bytes());
        put_len(parser.out, 1, &snake);
    }
    Ok(())
}

fn value(parser: &mut Parser<'_>, message: &MessageType, depth: u32) -> Parsed {
    let nested = |parser: &mut Parser<'_>, number: u32| {
        let Some(field) = message.field(number) else { return Ok(()) };
        parser.out.extend_from_slice(field.tag_bytes());
        parser.sized(|parser| parser.message(parser.tables.message_of(field), depth - 1))
    };
    match parser.peek() {
        Some(b'n') => {
            parser.literal("null")?;
            put_uint(parser.out, 1, 0);
        }
        Some(b't') => {
            parser.literal("true")?;
            put_uint(parser.out, 4, 1);
        }
        Some(b'f') => {
            parser.literal("false")?;
            put_uint(parser.out, 4, 0);
        }
        Some(b'"') => {
            let text = parser.string_bytes()?;
            put_len(parser.out, 3, &text);
        }
        Some(b'{') => nested(parser, 5)?,
        Some(b'[') => nested(parser, 6)?,
        Some(b'-' | b'0'..=b'9') => {
            let start = parser.position();
            let text = parser.number()?;
            let number = number::parse_double(text, false)
                .ok_or_else(|| ParseError::new("a number beyond the range of a double", start))?;
            put_varint(parser.out, 2 << 3 | 1);
            parser.out.extend_from_slice(&number.to_le_bytes());
        }
        _ => return Err(parser.expected("a value")),
    }
    Ok(())
}

fn any(parser: &mut Parser<'_>, depth: u32) -> Parsed {
    if parser.empty_object() {
        return Ok(());
    }
    let start = parser.position();
    let Some((url, type_at)) = parser.type_url(depth)? else {
        return Err(ParseError::new("an Any without `@type`", start));
    };
    let name = match url.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name,
        _ => return Err(ParseError::new(format!("`@type` {url:?} is not of the form `host/full.Name`"), start)),
    };
    let Some(inner) = parser.tables.message(name) else {
        return Err(ParseError::new(format!("the schema has no message `{name}`, which an Any holds"), start));
    };
    if depth <= 1 {
        return Err(parser.error("the text nests deeper than 100 levels"));
    }
    put_len(parser.out, 1, url.as_bytes());
    let before = parser.out.len();
    parser.out.push(2 << 3 | 2);
    let content = parser.out.len();
    parser.sized(|parser| match inner.shape {
        JsonMapping::Plain | JsonMapping::MapEntry | JsonMapping::MessageSet | JsonMapping::Empty => {
            parser.members(inner, depth - 1, Some(type_at))
        }
        _ => {
            let mut seen = false;
            parser.each_member(|parser, key, key_at| match key {
                b"@type" => parser.any_type(type_at, key_at, depth),
                b"value" if !seen => {
                    seen = true;
                    parser.message(inner, depth - 1).map_err(|error| error.within("value"))
                }
                _ => Err(ParseError::new("unknown field", key_at).within(&String::from_utf8_lossy(key))),
            })?;
            if seen { Ok(()) } else { Err(ParseError::new("an Any of this type without `value`", start)) }
        }
    })?;
    if parser.out.len() == content + 1 {
        // An empty value is not written.
        parser.out.truncate(before);
    }
    Ok(())
}
