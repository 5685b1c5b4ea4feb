//! How JSON is written and read.

use crate::FieldSelector;

/// How JSON is written. The default is what Google's own front ends send.
///
/// ```
/// use protojson::{Defaults, WriteOptions};
///
/// let options = WriteOptions::default().with_defaults(Defaults::WithoutPresence).with_indent(Some(2));
/// assert!(!options.enums_as_integers);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Which fields are written though they hold their default.
    pub defaults: Defaults,
    /// Enum values as numbers, not names.
    pub enums_as_integers: bool,
    /// `display_name`, not `displayName`.
    pub proto_field_names: bool,
    /// How many spaces each level is indented by, on lines of its own; `None`
    /// writes no white space at all.
    pub indent: Option<u8>,
    /// Only these fields; `None` writes all.
    pub fields: Option<FieldSelector>,
}

impl WriteOptions {
    /// Sets [`defaults`](Self::defaults).
    #[must_use]
    pub fn with_defaults(mut self, defaults: Defaults) -> Self {
        self.defaults = defaults;
        self
    }

    /// Sets [`enums_as_integers`](Self::enums_as_integers).
    #[must_use]
    pub fn with_enums_as_integers(mut self, integers: bool) -> Self {
        self.enums_as_integers = integers;
        self
    }

    /// Sets [`proto_field_names`](Self::proto_field_names).
    #[must_use]
    pub fn with_proto_field_names(mut self, proto: bool) -> Self {
        self.proto_field_names = proto;
        self
    }

    /// Sets [`indent`](Self::indent).
    #[must_use]
    pub fn with_indent(mut self, spaces: Option<u8>) -> Self {
        self.indent = spaces;
        self
    }

    /// Sets [`fields`](Self::fields).
    #[must_use]
    pub fn with_fields(mut self, fields: Option<FieldSelector>) -> Self {
        self.fields = fields;
        self
    }
}

/// Which fields are written though they hold their default value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defaults {
    /// None.
    #[default]
    Omit,
    /// Those without presence: there, unset and default are the same. Lists
    /// and maps are among them.
    WithoutPresence,
    /// Those without presence, and every unset message as `null`, so that each
    /// field is there.
    Always,
}

/// How JSON is read.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Passes over fields that the message does not have, and over enum names
    /// that the enum does not have.
    pub ignore_unknown: bool,
}

impl ReadOptions {
    /// Sets [`ignore_unknown`](Self::ignore_unknown).
    #[must_use]
    pub fn with_ignore_unknown(mut self, ignore: bool) -> Self {
        self.ignore_unknown = ignore;
        self
    }
}
