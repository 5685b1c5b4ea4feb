//! Reading `google.api.HttpRule`, borrowed from its bytes.
//!
//! Field numbers are those of `google/api/http.proto`.

use protojson::wire::{DEPTH, Payload, Reader, WireError};

type Read<T> = Result<T, WireError>;

/// A `google.api.HttpRule`.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpRule<'a> {
    /// The HTTP method; `*` for any.
    pub(crate) method: &'a str,
    pub(crate) template: &'a str,
    pub(crate) body: &'a str,
    pub(crate) response_body: &'a str,
    pub(crate) additional: Vec<HttpRule<'a>>,
    /// Why its bytes could not be read.
    pub(crate) malformed: Option<WireError>,
}

impl<'a> HttpRule<'a> {
    /// The rule among encoded `MethodOptions`. Protobuf merges the occurrences of an
    /// option, but only tools that are broken write it twice: the last one holds.
    pub(crate) fn of_options(options: &'a [u8]) -> Option<Self> {
        /// `google.api.http`, an extension of `MethodOptions`.
        const HTTP: u32 = 72_295_728;
        let mut rule = None;
        // The pool has read the options before, so that they can be read.
        let _ = fields(options, |number, payload| {
            if number == HTTP {
                rule = Some(Self::decode(payload.bytes()));
            }
            Ok(())
        });
        rule
    }

    /// A rule that cannot be read costs its method the binding, not the set.
    fn decode(bytes: &'a [u8]) -> Self {
        rule(bytes, 0).unwrap_or_else(|error| Self { malformed: Some(error), ..Self::default() })
    }
}

/// A `google.api.Http`, as a service config has it.
#[derive(Debug, Default)]
pub(crate) struct Http<'a> {
    /// The rules, each with its selector.
    pub(crate) rules: Vec<(&'a str, HttpRule<'a>)>,
    pub(crate) fully_decode_reserved_expansion: bool,
}

impl<'a> Http<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Read<Self> {
        let mut http = Self::default();
        fields(bytes, |number, payload| {
            match number {
                1 => {
                    let mut selector = "";
                    fields(payload.bytes(), |number, payload| {
                        if number == 1 {
                            selector = text(payload)?;
                        }
                        Ok(())
                    })?;
                    http.rules.push((selector, HttpRule::decode(payload.bytes())));
                }
                2 => http.fully_decode_reserved_expansion = payload.bits() != 0,
                _ => {}
            }
            Ok(())
        })?;
        Ok(http)
    }
}

fn rule(bytes: &[u8], depth: u32) -> Read<HttpRule<'_>> {
    if depth > DEPTH {
        return Err(WireError::Depth);
    }
    let mut rule = HttpRule::default();
    fields(bytes, |number, payload| {
        match number {
            2..=6 => {
                rule.method = ["GET", "PUT", "POST", "DELETE", "PATCH"][number as usize - 2];
                rule.template = text(payload)?;
            }
            7 => rule.body = text(payload)?,
            8 => {
                fields(payload.bytes(), |number, payload| {
                    match number {
                        1 => rule.method = text(payload)?,
                        2 => rule.template = text(payload)?,
                        _ => {}
                    }
                    Ok(())
                })?;
            }
            11 => rule.additional.push(self::rule(payload.bytes(), depth + 1)?),
            12 => rule.response_body = text(payload)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(rule)
}

/// Calls `each` with the number and payload of every field.
pub(crate) fn fields<'a>(bytes: &'a [u8], mut each: impl FnMut(u32, Payload<'a>) -> Read<()>) -> Read<()> {
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.field()? {
        each(tag >> 3, payload)?;
    }
    Ok(())
}

fn text<'a>(payload: Payload<'a>) -> Read<&'a str> {
    std::str::from_utf8(payload.bytes()).map_err(|_| WireError::Utf8)
}
