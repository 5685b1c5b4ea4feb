//! JSON values as the document has them: members stay in the order in which they are put.
//!
//! serde_json keeps that order only if some crate of the program asks for it.

use std::{borrow::Cow, fmt::Write};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Bool(bool),
    Int(i64),
    Text(Cow<'static, str>),
    List(Vec<Json>),
    Object(Object),
}

/// The members of a JSON object, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object(Vec<(Cow<'static, str>, Json)>);

impl Object {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The object and one more member. A key comes once: that is up to the caller.
    pub(super) fn with(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Json>) -> Self {
        self.put(key, value);
        self
    }

    pub(super) fn put(&mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Json>) {
        self.0.push((key.into(), value.into()));
    }

    /// Adds a text unless it is empty.
    pub(super) fn put_text(&mut self, key: &'static str, text: impl Into<Cow<'static, str>>) {
        let text = text.into();
        if !text.is_empty() {
            self.put(key, Json::Text(text));
        }
    }

    /// Adds a member that is `true`, if it is.
    pub(super) fn put_flag(&mut self, key: &'static str, flag: bool) {
        if flag {
            self.put(key, true);
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// About how long its text is, and so how much memory it takes.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + 4 + value.size()).sum()
    }
}

impl Json {
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Bool(_) | Self::Int(_) => 8,
            Self::Text(text) => text.len() + 2,
            Self::List(list) => list.iter().map(|value| value.size() + 1).sum(),
            Self::Object(object) => object.size(),
        }
    }

    /// Appends the value as text.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            // A String takes all that is written.
            Self::Int(value) => _ = write!(out, "{value}"),
            Self::Text(text) => write_text(out, text),
            Self::List(list) => {
                out.push('[');
                for (at, value) in list.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(object) => object.write(out),
        }
    }
}

impl Object {
    /// Appends the object as text.
    pub(super) fn write(&self, out: &mut String) {
        out.push('{');
        for (at, (key, value)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_text(out, key);
            out.push(':');
            value.write(out);
        }
        out.push('}');
    }
}

/// Appends a JSON string.
pub(super) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            control => _ = write!(out, "\\u{control:04x}"),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Json {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<&'static str> for Json {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_order_is_kept() {
        let object = Object::new()
            .with("b", "q\"\\\n\t\u{1}é")
            .with("a", vec![Json::Int(-1), true.into(), Object::new().into()]);
        let mut text = String::new();
        object.write(&mut text);
        assert_eq!(text, r#"{"b":"q\"\\\n\t\u0001é","a":[-1,true,{}]}"#);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["b"], "q\"\\\n\t\u{1}é");
    }
}
