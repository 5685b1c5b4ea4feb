//! Links the files of a set: names first, then what refers to them.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use super::{
    Cardinality, Definitions, DescriptorError, Enum, Field, Kind, Message, Method,
    decode::{self, Features, Syntax},
};
use crate::json_mapping::{self, JsonMapping};

type Result<T> = std::result::Result<T, DescriptorError>;

/// Decodes a `FileDescriptorSet`, resolves its names and checks it.
pub(crate) fn link(set: &[u8]) -> Result<Definitions> {
    let files = decode::files(set).map_err(|(read, error)| DescriptorError::encoding(error, read))?;
    if files.is_empty() {
        let problem = "it has no files; write it with protoc --include_imports --descriptor_set_out";
        return Err(DescriptorError::new("", "", problem));
    }
    let mut linker = Linker::default();
    let files = distinct(&files)?;
    for file in &files {
        linker.register(file)?;
    }
    for file in &files {
        linker.define(file)?;
    }
    linker.finish()
}

/// The files of the set by name, each once, with every import present. Sets that were
/// joined may hold a file more than once.
fn distinct<'f, 'a>(files: &'f [decode::File<'a>]) -> Result<Vec<&'f decode::File<'a>>> {
    let mut by_name: HashMap<&str, &decode::File<'a>> = HashMap::new();
    let mut distinct = Vec::with_capacity(files.len());
    for file in files {
        match by_name.get(file.name) {
            Some(first) if *first != file => {
                return Err(DescriptorError::new(
                    file.name,
                    "",
                    "comes twice in the set, and the two differ; keep one",
                ));
            }
            Some(_) => {}
            None => {
                by_name.insert(file.name, file);
                distinct.push(file);
            }
        }
    }
    for file in &distinct {
        if let Some(missing) = file.dependencies.iter().find(|name| !by_name.contains_key(*name)) {
            return Err(DescriptorError::new(
                file.name,
                "",
                format!("imports {missing}, which is not in the set; write the set with its imports"),
            ));
        }
        if let Syntax::Unknown(syntax) = file.syntax {
            return Err(DescriptorError::new(file.name, "", format!("unknown syntax `{syntax}`")));
        }
        if let Syntax::Edition(edition) = file.syntax {
            // EDITION_2023 and EDITION_2024, in descriptor.proto.
            if !(1000..=1001).contains(&edition) {
                return Err(DescriptorError::new(file.name, "", format!("edition number {edition} is not supported")));
            }
        }
    }
    Ok(distinct)
}

/// What a full name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    Package,
    Message(u32),
    Enum(u32),
    /// A field, oneof, enum value, service, method or extension: a name that
    /// is taken.
    Other,
}

#[derive(Default)]
struct Linker<'a> {
    definitions: Definitions,
    symbols: HashMap<Box<str>, Symbol>,
    /// The file that each message is in.
    message_files: Vec<&'a str>,
    /// Extensions, which join their messages once those are whole: the message, the
    /// field, and the file that has it.
    extensions: Vec<(u32, Field, &'a str)>,
}

/// Where in the set a definition stands.
#[derive(Clone, Copy)]
struct Scope<'a> {
    file: &'a str,
    features: Features,
    /// Has the defaults of the features that are not set.
    syntax: Syntax<'a>,
}

impl Scope<'_> {
    fn with(self, features: Features) -> Self {
        Self { features: features.over(self.features), ..self }
    }

    fn explicit_presence(self) -> bool {
        // FIELD_PRESENCE: EXPLICIT 1, IMPLICIT 2, LEGACY_REQUIRED 3.
        self.features.presence.map_or(self.syntax != Syntax::Proto3, |presence| presence != 2)
    }

    fn closed_enum(self) -> bool {
        self.features.enum_type.map_or(self.syntax == Syntax::Proto2, |kind| kind == 2)
    }

    fn packed(self) -> bool {
        self.features.repeated.map_or(self.syntax != Syntax::Proto2, |encoding| encoding == 1)
    }

    fn delimited(self) -> bool {
        self.features.encoding == Some(2)
    }
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

impl<'a> Linker<'a> {
    fn register(&mut self, file: &decode::File<'a>) -> Result<()> {
        let mut package = String::new();
        for part in file.package.split('.').filter(|part| !part.is_empty()) {
            package = join(&package, part);
            match self.symbols.get(package.as_str()) {
                None => {
                    self.symbols.insert(package.as_str().into(), Symbol::Package);
                }
                Some(Symbol::Package) => {}
                Some(_) => {
                    return Err(DescriptorError::new(file.name, &package, "is both a package and something else"));
                }
            }
        }
        for message in &file.messages {
            self.register_message(file.name, file.package, message)?;
        }
        for enumeration in &file.enums {
            self.register_enum(file.name, file.package, enumeration)?;
        }
        for extension in &file.extensions {
            self.name(file.name, join(file.package, extension.name), Symbol::Other)?;
        }
        for service in &file.services {
            let name = join(file.package, service.name);
            for method in &service.methods {
                self.name(file.name, join(&name, method.name), Symbol::Other)?;
            }
            self.name(file.name, name, Symbol::Other)?;
        }
        Ok(())
    }

    fn name(&mut self, file: &str, name: String, symbol: Symbol) -> Result<()> {
        if name.is_empty() || name.ends_with('.') {
            return Err(DescriptorError::new(file, &name, "a definition without a name"));
        }
        match self.symbols.entry(name.into()) {
            Entry::Occupied(taken) => Err(DescriptorError::new(file, taken.key(), "is defined twice")),
            Entry::Vacant(free) => {
                free.insert(symbol);
                Ok(())
            }
        }
    }

    fn register_message(&mut self, file: &'a str, scope: &str, message: &decode::Message<'a>) -> Result<()> {
        let name = join(scope, message.name);
        let index = self.definitions.messages.len() as u32;
        self.name(file, name.clone(), Symbol::Message(index))?;
        let options = message.options.concat().into();
        self.definitions.messages.push(Message { name: name.as_str().into(), options, ..Message::default() });
        self.message_files.push(file);
        for nested in &message.messages {
            self.register_message(file, &name, nested)?;
        }
        for nested in &message.enums {
            self.register_enum(file, &name, nested)?;
        }
        for extension in &message.extensions {
            self.name(file, join(&name, extension.name), Symbol::Other)?;
        }
        Ok(())
    }

    fn register_enum(&mut self, file: &str, scope: &str, enumeration: &decode::Enum<'a>) -> Result<()> {
        let name = join(scope, enumeration.name);
        let index = self.definitions.enums.len() as u32;
        // The values' names stand beside the enum's own, as in C++.
        for (value, _) in &enumeration.values {
            self.name(file, join(scope, value), Symbol::Other)?;
        }
        self.definitions.enums.push(Enum { name: name.as_str().into(), ..Enum::default() });
        self.name(file, name, Symbol::Enum(index))
    }

    fn define(&mut self, file: &decode::File<'a>) -> Result<()> {
        let scope = Scope { file: file.name, features: file.features, syntax: file.syntax };
        for message in &file.messages {
            self.define_message(scope, file.package, message)?;
        }
        for enumeration in &file.enums {
            self.define_enum(scope, file.package, enumeration)?;
        }
        for extension in &file.extensions {
            self.define_extension(scope, file.package, extension)?;
        }
        self.define_methods(file)
    }

    fn define_message(&mut self, outer: Scope<'a>, scope_name: &str, message: &decode::Message<'a>) -> Result<()> {
        let scope = outer.with(message.features);
        let name = join(scope_name, message.name);
        for nested in &message.messages {
            self.define_message(scope, &name, nested)?;
        }
        for nested in &message.enums {
            self.define_enum(scope, &name, nested)?;
        }
        for extension in &message.extensions {
            self.define_extension(scope, &name, extension)?;
        }
        // The oneofs that `optional` makes in proto3 are not oneofs to anybody.
        let synthetic: HashSet<_> =
            message.fields.iter().filter(|f| f.proto3_optional).filter_map(|f| f.oneof).collect();
        let mut numbers = HashMap::new();
        for oneof in (0..message.oneofs as u64).filter(|oneof| !synthetic.contains(oneof)) {
            numbers.insert(oneof, numbers.len() as u16);
        }
        let mut fields = Vec::with_capacity(message.fields.len());
        for field in &message.fields {
            let symbol = join(&name, field.name);
            let json_name = field.json_name.map_or_else(|| camel_case(field.name), str::to_owned);
            let mut linked = self.field(scope, &symbol, field.name, &json_name, field)?;
            if let Some(oneof) = field.oneof.filter(|_| !field.proto3_optional) {
                linked.presence = true;
                let known = numbers.get(&oneof).copied();
                let unknown = || DescriptorError::new(scope.file, &symbol, format!("oneof {oneof} does not exist"));
                linked.oneof = Some(known.ok_or_else(unknown)?);
            }
            fields.push(linked);
        }
        let Some(&Symbol::Message(index)) = self.symbols.get(name.as_str()) else {
            return Err(DescriptorError::new(scope.file, &name, "is not registered"));
        };
        let linked = &mut self.definitions.messages[index as usize];
        linked.fields = fields;
        linked.oneofs = numbers.len() as u16;
        linked.mapping = if message.map_entry {
            JsonMapping::MapEntry
        } else if message.message_set {
            JsonMapping::MessageSet
        } else {
            json_mapping::well_known(&name)
        };
        if !json_mapping::has_expected_fields(linked) {
            return Err(DescriptorError::new(
                scope.file,
                &name,
                "does not have the fields that its kind of message has",
            ));
        }
        Ok(())
    }

    fn define_extension(&mut self, scope: Scope<'a>, scope_name: &str, field: &decode::Field<'a>) -> Result<()> {
        let name = join(scope_name, field.name);
        let key = format!("[{name}]");
        let extendee = self.resolve_message(scope.file, &name, field.extendee)?;
        let mut linked = self.field(scope, &name, &key, &key, field)?;
        linked.presence = linked.cardinality == Cardinality::Singular;
        self.extensions.push((extendee, linked, scope.file));
        Ok(())
    }

    fn field(
        &self,
        outer: Scope<'a>,
        symbol: &str,
        name: &str,
        json_name: &str,
        field: &decode::Field<'a>,
    ) -> Result<Field> {
        let error = |problem: String| DescriptorError::new(outer.file, symbol, problem);
        let scope = outer.with(field.features);
        if !(1..1 << 29).contains(&field.number) {
            return Err(error(format!("field number {} is out of range", field.number)));
        }
        let mut kind =
            Kind::from_number(field.kind).ok_or_else(|| error(format!("field type {} is unknown", field.kind)))?;
        let type_index = match kind {
            Kind::Message | Kind::Group => self.resolve_message(scope.file, symbol, field.type_name)?,
            Kind::Enum => match self.symbols.get(absolute(field.type_name)) {
                Some(Symbol::Enum(index)) => *index,
                _ => return Err(error(format!("unknown enum `{}`", field.type_name))),
            },
            _ => u32::MAX,
        };
        if kind == Kind::Message && scope.delimited() {
            kind = Kind::Group;
        }
        // LABEL_REPEATED, in descriptor.proto.
        let cardinality = if field.label == 3 { Cardinality::Repeated } else { Cardinality::Singular };
        let is_message = matches!(kind, Kind::Message | Kind::Group);
        let packable =
            cardinality == Cardinality::Repeated && !is_message && !matches!(kind, Kind::String | Kind::Bytes);
        Ok(Field {
            number: field.number as u32,
            kind,
            cardinality,
            packed: packable && field.packed.unwrap_or(scope.packed()),
            presence: cardinality == Cardinality::Singular
                && (is_message || field.proto3_optional || scope.explicit_presence()),
            oneof: None,
            type_index,
            name: name.into(),
            json_name: json_name.into(),
            options: field.options.concat().into(),
        })
    }

    fn resolve_message(&self, file: &str, symbol: &str, name: &str) -> Result<u32> {
        match self.symbols.get(absolute(name)) {
            Some(Symbol::Message(index)) => Ok(*index),
            _ => Err(DescriptorError::new(file, symbol, format!("unknown message `{name}`"))),
        }
    }

    fn define_enum(&mut self, outer: Scope<'a>, scope_name: &str, enumeration: &decode::Enum<'a>) -> Result<()> {
        let name = join(scope_name, enumeration.name);
        let Some(&Symbol::Enum(index)) = self.symbols.get(name.as_str()) else {
            return Err(DescriptorError::new(outer.file, &name, "is not registered"));
        };
        if enumeration.values.is_empty() {
            return Err(DescriptorError::new(outer.file, &name, "an enum without values"));
        }
        let linked = &mut self.definitions.enums[index as usize];
        linked.closed = outer.with(enumeration.features).closed_enum();
        linked.values = enumeration.values.iter().map(|(name, number)| ((*name).into(), *number)).collect();
        Ok(())
    }

    fn define_methods(&mut self, file: &decode::File<'a>) -> Result<()> {
        for service in &file.services {
            let service_name = join(file.package, service.name);
            for method in &service.methods {
                let name = join(&service_name, method.name);
                self.definitions.methods.push(Method {
                    path: format!("/{service_name}/{}", method.name).into(),
                    input: self.resolve_message(file.name, &name, method.input)?,
                    output: self.resolve_message(file.name, &name, method.output)?,
                    client_streaming: method.client_streaming,
                    server_streaming: method.server_streaming,
                    options: method.options.concat().into(),
                });
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Definitions> {
        for (extendee, field, file) in self.extensions {
            let message = &mut self.definitions.messages[extendee as usize];
            if message.fields.iter().any(|other| other.number == field.number) {
                let problem = format!("number {} of `{}` is taken", field.number, message.name);
                return Err(DescriptorError::new(file, field.name.trim_matches(['[', ']']), problem));
            }
            message.fields.push(field);
        }
        let mappings: Vec<JsonMapping> = self.definitions.messages.iter().map(|message| message.mapping).collect();
        for (message, file) in self.definitions.messages.iter_mut().zip(&self.message_files) {
            sort_fields(file, message)?;
            mark_maps(message, &mappings);
        }
        Ok(self.definitions)
    }
}

fn sort_fields(file: &str, message: &mut Message) -> Result<()> {
    if message.fields.len() >= usize::from(u16::MAX) {
        return Err(DescriptorError::new(file, &message.name, "more than 65,534 fields"));
    }
    message.fields.sort_by_key(|field| field.number);
    if let Some(pair) = message.fields.windows(2).find(|pair| pair[0].number == pair[1].number) {
        let problem = format!("`{}` and `{}` have the same number", pair[0].name, pair[1].name);
        return Err(DescriptorError::new(file, &message.name, problem));
    }
    Ok(())
}

/// Gives the fields whose messages are entries of maps the cardinality of a map.
fn mark_maps(message: &mut Message, mappings: &[JsonMapping]) {
    for field in &mut message.fields {
        let of_entries = field.is_message() && mappings[field.type_index as usize] == JsonMapping::MapEntry;
        if field.cardinality == Cardinality::Repeated && of_entries {
            field.cardinality = Cardinality::Map;
        }
        // Maps and their entries are length-delimited, whatever an edition's features say
        // of other messages.
        let in_map = field.cardinality == Cardinality::Map || message.mapping == JsonMapping::MapEntry;
        if in_map && field.kind == Kind::Group {
            field.kind = Kind::Message;
        }
    }
}

/// A type name of a descriptor is absolute, with a leading dot.
fn absolute(name: &str) -> &str {
    name.strip_prefix('.').unwrap_or(name)
}

/// The JSON name that protoc gives a field: underscores go, and the letter
/// after each becomes a capital.
fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut capital = false;
    for c in name.chars() {
        if c == '_' {
            capital = true;
        } else {
            camel.push(if capital { c.to_ascii_uppercase() } else { c });
            capital = false;
        }
    }
    camel
}
