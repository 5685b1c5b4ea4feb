//! Messages whose JSON form is not an object of their fields, on their way
//! from JSON.

use std::borrow::Cow;

use crate::{
    JsonMapping, ParseError,
    lexer::{OBJECT, Parsed},
    mask, number,
    plan::MessagePlan,
    read::Parser,
    time,
    wire::{self, put_len, put_uint},
};

pub(crate) fn read(parser: &mut Parser<'_>, message: &MessagePlan, depth: u32) -> Parsed {
    match message.mapping {
        JsonMapping::Timestamp => seconds_and_nanos(parser, time::TIMESTAMP, time::parse_timestamp),
        JsonMapping::Duration => seconds_and_nanos(parser, time::DURATION, time::parse_duration),
        JsonMapping::FieldMask => field_mask(parser),
        JsonMapping::Wrapper => parser.single(&message.fields[0], depth, false),
        JsonMapping::Struct => parser.map(&message.fields[0], depth),
        JsonMapping::ListValue => {
            let values = &message.fields[0];
            parser.list(|parser| {
                parser.out.extend_from_slice(values.tag_bytes());
                parser.sized(|parser| parser.message(parser.plan.message_of(values), depth - 1))
            })
        }
        JsonMapping::Value => value(parser, message, depth),
        JsonMapping::Any => any(parser, depth),
        JsonMapping::Empty => parser.members(message, depth, None),
        JsonMapping::Plain | JsonMapping::MapEntry | JsonMapping::MessageSet => Ok(()),
    }
}

fn seconds_and_nanos(parser: &mut Parser<'_>, what: &str, parse: fn(&[u8]) -> Option<(i64, i32)>) -> Parsed {
    let start = parser.input.position();
    let text = parser.input.string_bytes()?;
    let Some((seconds, nanos)) = parse(&text) else {
        parser.input.at = start;
        return Err(parser.input.expected(what));
    };
    time::encode(parser.out, seconds, nanos);
    Ok(())
}

fn field_mask(parser: &mut Parser<'_>) -> Parsed {
    let start = parser.input.position();
    let text = parser.input.string()?;
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

fn value(parser: &mut Parser<'_>, message: &MessagePlan, depth: u32) -> Parsed {
    let nested = |parser: &mut Parser<'_>, number: u32| {
        let Some(field) = message.field(number) else { return Ok(()) };
        parser.out.extend_from_slice(field.tag_bytes());
        parser.sized(|parser| parser.message(parser.plan.message_of(field), depth - 1))
    };
    match parser.input.peek() {
        Some(b'n') => {
            parser.input.literal("null")?;
            put_uint(parser.out, 1, 0);
        }
        Some(b't') => {
            parser.input.literal("true")?;
            put_uint(parser.out, 4, 1);
        }
        Some(b'f') => {
            parser.input.literal("false")?;
            put_uint(parser.out, 4, 0);
        }
        Some(b'"') => {
            let text = parser.input.string_bytes()?;
            put_len(parser.out, 3, &text);
        }
        Some(b'{') => nested(parser, 5)?,
        Some(b'[') => nested(parser, 6)?,
        Some(b'-' | b'0'..=b'9') => {
            let start = parser.input.position();
            let text = parser.input.number()?;
            let number = number::parse_double(text, false)
                .ok_or_else(|| ParseError::new("a number beyond the range of a double", start))?;
            parser.out.push(2 << 3 | wire::FIXED64);
            parser.out.extend_from_slice(&number.to_le_bytes());
        }
        _ => return Err(parser.input.expected("a value")),
    }
    Ok(())
}

fn any(parser: &mut Parser<'_>, depth: u32) -> Parsed {
    let start = parser.input.position();
    if parser.input.eat(b'{') && parser.input.eat(b'}') {
        return Ok(());
    }
    parser.input.at = start;
    let Some((url, type_at)) = parser.type_url(depth)? else {
        return Err(ParseError::new("an Any without `@type`", start));
    };
    let name = match url.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name,
        _ => return Err(ParseError::new(format!("`@type` {url:?} is not of the form `host/full.Name`"), start)),
    };
    let Some(inner) = parser.plan.message(name) else {
        return Err(ParseError::new(format!("the schema has no message `{name}`, which an Any holds"), start));
    };
    if depth <= 1 {
        return Err(parser.input.too_deep());
    }
    put_len(parser.out, 1, url.as_bytes());
    let before = parser.out.len();
    parser.out.push(2 << 3 | wire::LEN);
    let content = parser.out.len();
    parser.sized(|parser| {
        if inner.mapping.is_object() || inner.mapping == JsonMapping::Empty {
            parser.members(inner, depth - 1, Some(type_at))
        } else {
            parser.any_value(inner, depth, type_at, start)
        }
    })?;
    if parser.out.len() == content + 1 {
        // An empty value is not written.
        parser.out.truncate(before);
    }
    Ok(())
}

impl<'p> Parser<'p> {
    /// Reads the object, at `start`, of an Any whose message has a JSON form of its own:
    /// that is its `value`.
    fn any_value(&mut self, inner: &MessagePlan, depth: u32, type_at: usize, start: usize) -> Parsed {
        let mut seen = false;
        let mut more = self.input.open(&OBJECT)?;
        while more {
            let (key, key_at) = self.input.key()?;
            match &*key {
                b"@type" => self.pass_type(type_at, key_at, depth)?,
                b"value" if !seen => {
                    seen = true;
                    self.message(inner, depth - 1).map_err(|error| error.within("value"))?;
                }
                _ => return Err(ParseError::new("unknown field", key_at).within(&String::from_utf8_lossy(&key))),
            }
            more = self.input.next(&OBJECT)?;
        }
        if seen { Ok(()) } else { Err(ParseError::new("an Any of this type without `value`", start)) }
    }

    /// Passes over the `@type` of an Any, which was read at `type_at`.
    pub(crate) fn pass_type(&mut self, type_at: usize, key_at: usize, depth: u32) -> Parsed {
        if self.input.at != type_at {
            return Err(ParseError::new("`@type` comes twice", key_at));
        }
        self.input.skip(depth)
    }

    /// The `@type` of the object at this place, and where its value is, without advancing.
    /// The first of them, if there are more.
    fn type_url(&mut self, depth: u32) -> Parsed<Option<(Cow<'p, str>, usize)>> {
        if self.input.peek() != Some(b'{') {
            return Err(self.input.expected("an object"));
        }
        let start = self.input.at;
        let known = self.type_places.as_ref().and_then(|places| places.get(&start).copied());
        let place = match known.or_else(|| self.first_key_is_type()) {
            Some(at) => Some(at),
            None => {
                self.input.at = start;
                let places = self.type_places.get_or_insert_default();
                self.input.skip_with(depth, &mut |object, key, value| {
                    if key == b"@type" {
                        places.entry(object).or_insert(value);
                    }
                })?;
                places.get(&start).copied()
            }
        };
        let url = match place {
            Some(at) => {
                self.input.at = at;
                Some((self.input.string()?, at))
            }
            None => None,
        };
        self.input.at = start;
        Ok(url)
    }

    /// Where the value of `@type` is, if that key comes first in the object at this place.
    fn first_key_is_type(&mut self) -> Option<usize> {
        if !self.input.eat(b'{') {
            return None;
        }
        let (key, _) = self.input.key().ok()?;
        (*key == *b"@type").then_some(self.input.at)
    }
}
