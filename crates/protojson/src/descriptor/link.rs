//! From descriptors to tables: names first, then what refers to them.

use std::collections::{HashMap, HashSet};

use super::{
    DescriptorError,
    decode::{self, Features, Syntax},
    table::{
        Cardinality, Common, EnumType, Field, JsonMapping, Key, Kind, MessageType, MethodType, Symbol, TRUTHS, Tables,
        quoted,
    },
};
use crate::names::NameTable;

type Result<T> = std::result::Result<T, DescriptorError>;

pub(super) fn link(set: &[u8]) -> Result<Tables> {
    let files = decode::files(set).map_err(|(read, error)| DescriptorError::encoding(error, read))?;
    if files.is_empty() {
        let problem = "it has no files; write it with protoc --include_imports --descriptor_set_out";
        return Err(DescriptorError::new("", "", problem));
    }
    let mut compiler = Compiler::default();
    let files = distinct(&files)?;
    for file in &files {
        compiler.register(file)?;
    }
    for file in &files {
        compiler.define(file)?;
    }
    let mut tables = compiler.finish()?;
    for file in &files {
        methods(&mut tables, file)?;
    }
    let paths = tables.methods.iter().zip(0..).map(|(method, index)| (&*method.path, index));
    tables.method_paths = NameTable::new(paths);
    Ok(tables)
}

/// Adds the methods of a file.
fn methods(tables: &mut Tables, file: &decode::File<'_>) -> Result<()> {
    for service in &file.services {
        let service_name = join(file.package, service.name);
        for method in &service.methods {
            let name = join(&service_name, method.name);
            let message = |type_name: &str| match tables.symbols.get(absolute(type_name)) {
                Some(Symbol::Message(index)) => Ok(*index),
                _ => Err(DescriptorError::new(file.name, &name, format!("unknown message `{type_name}`"))),
            };
            let (input, output) = (message(method.input)?, message(method.output)?);
            let path: Box<str> = format!("/{service_name}/{}", method.name).into();
            tables.methods.push(MethodType {
                path,
                input,
                output,
                client_streaming: method.client_streaming,
                server_streaming: method.server_streaming,
                options: method.options.concat().into(),
            });
        }
    }
    Ok(())
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

#[derive(Default)]
struct Compiler<'a> {
    tables: Tables,
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
    /// Whether a proto3 field of one value has no presence, and so on: what
    /// the syntax says where features do not.
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

impl<'a> Compiler<'a> {
    fn register(&mut self, file: &decode::File<'a>) -> Result<()> {
        let mut package = String::new();
        for part in file.package.split('.').filter(|part| !part.is_empty()) {
            package = join(&package, part);
            match self.tables.symbols.get(package.as_str()) {
                None => {
                    self.tables.symbols.insert(package.as_str().into(), Symbol::Package);
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
        match self.tables.symbols.entry(name.into()) {
            std::collections::hash_map::Entry::Occupied(taken) => {
                Err(DescriptorError::new(file, taken.key(), "is defined twice"))
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(symbol);
                Ok(())
            }
        }
    }

    fn register_message(&mut self, file: &'a str, scope: &str, message: &decode::Message<'a>) -> Result<()> {
        let name = join(scope, message.name);
        let index = self.tables.messages.len() as u32;
        self.name(file, name.clone(), Symbol::Message(index))?;
        self.tables.messages.push(MessageType { name: name.as_str().into(), ..MessageType::default() });
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
        let index = self.tables.enums.len() as u32;
        // The values' names stand beside the enum's own, as in C++.
        for (value, _) in &enumeration.values {
            self.name(file, join(scope, value), Symbol::Other)?;
        }
        self.tables.enums.push(EnumType { name: name.as_str().into(), ..EnumType::default() });
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
        Ok(())
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
            let mut compiled = self.field(scope, &symbol, field.name, &json_name, field)?;
            if let Some(oneof) = field.oneof.filter(|_| !field.proto3_optional) {
                compiled.presence = true;
                compiled.oneof = *numbers.get(&oneof).ok_or_else(|| {
                    DescriptorError::new(scope.file, &symbol, format!("oneof {oneof} does not exist"))
                })?;
            }
            fields.push(compiled);
        }
        let Some(&Symbol::Message(index)) = self.tables.symbols.get(name.as_str()) else {
            return Err(DescriptorError::new(scope.file, &name, "is not registered"));
        };
        let table = &mut self.tables.messages[index as usize];
        table.fields.append(&mut fields);
        table.oneofs = numbers.len() as u16;
        table.shape = if message.map_entry {
            JsonMapping::MapEntry
        } else if message.message_set {
            JsonMapping::MessageSet
        } else {
            well_known(&name)
        };
        if !has_expected_fields(table) {
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
        let mut compiled = self.field(scope, &name, &key, &key, field)?;
        compiled.presence = compiled.cardinality == Cardinality::Singular;
        self.extensions.push((extendee, compiled, scope.file));
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
            Kind::Enum => match self.tables.symbols.get(absolute(field.type_name)) {
                Some(Symbol::Enum(index)) => *index,
                _ => return Err(error(format!("unknown enum `{}`", field.type_name))),
            },
            _ => u32::MAX,
        };
        if kind == Kind::Message && scope.delimited() {
            kind = Kind::Group;
        }
        let mut compiled = Field::new(name, json_name, field.number as u32, kind);
        compiled.type_index = type_index;
        // LABEL_REPEATED, in descriptor.proto.
        if field.label == 3 {
            compiled.cardinality = Cardinality::Repeated;
            let packable = !matches!(kind, Kind::String | Kind::Bytes | Kind::Message | Kind::Group);
            compiled.packed = packable && field.packed.unwrap_or(scope.packed());
        }
        compiled.presence = compiled.cardinality == Cardinality::Singular
            && (compiled.is_message() || field.proto3_optional || scope.explicit_presence());
        compiled.options = field.options.concat().into();
        compiled.set_tag();
        Ok(compiled)
    }

    fn resolve_message(&self, file: &str, symbol: &str, name: &str) -> Result<u32> {
        match self.tables.symbols.get(absolute(name)) {
            Some(Symbol::Message(index)) => Ok(*index),
            _ => Err(DescriptorError::new(file, symbol, format!("unknown message `{name}`"))),
        }
    }

    fn define_enum(&mut self, outer: Scope<'a>, scope_name: &str, enumeration: &decode::Enum<'a>) -> Result<()> {
        let name = join(scope_name, enumeration.name);
        let Some(&Symbol::Enum(index)) = self.tables.symbols.get(name.as_str()) else {
            return Err(DescriptorError::new(outer.file, &name, "is not registered"));
        };
        if enumeration.values.is_empty() {
            return Err(DescriptorError::new(outer.file, &name, "an enum without values"));
        }
        let table = &mut self.tables.enums[index as usize];
        table.closed = outer.with(enumeration.features).closed_enum();
        table.null = name == "google.protobuf.NullValue";
        table.numbers = enumeration.values.iter().map(|(_, number)| *number).collect();
        table.names = NameTable::new(enumeration.values.iter().enumerate().map(|(i, (name, _))| (*name, i as u32)));
        table.values = enumeration.values.iter().map(|(name, number)| (*number, Key::new(&quoted(name)))).collect();
        // A stable sort, so that of several names the first stays first.
        table.values.sort_by_key(|(number, _)| *number);
        table.values.dedup_by_key(|(number, _)| *number);
        Ok(())
    }

    fn finish(mut self) -> Result<Tables> {
        for (extendee, field, file) in std::mem::take(&mut self.extensions) {
            let table = &mut self.tables.messages[extendee as usize];
            if table.fields.iter().any(|other| other.number == field.number) {
                let problem = format!("number {} of `{}` is taken", field.number, table.name);
                return Err(DescriptorError::new(file, field.name.trim_matches(['[', ']']), problem));
            }
            table.fields.push(field);
        }
        let shapes: Vec<JsonMapping> = self.tables.messages.iter().map(|table| table.shape).collect();
        for (table, file) in self.tables.messages.iter_mut().zip(&self.message_files) {
            seal(file, table, &shapes, &self.tables.enums)?;
        }
        Ok(self.tables)
    }
}

/// Sorts the fields and builds the look-ups.
fn seal(file: &str, table: &mut MessageType, shapes: &[JsonMapping], enums: &[EnumType]) -> Result<()> {
    if table.fields.len() >= usize::from(u16::MAX) {
        return Err(DescriptorError::new(file, &table.name, "more than 65,534 fields"));
    }
    table.fields.sort_by_key(|field| field.number);
    if let Some(pair) = table.fields.windows(2).find(|pair| pair[0].number == pair[1].number) {
        let problem = format!("`{}` and `{}` have the same number", pair[0].name, pair[1].name);
        return Err(DescriptorError::new(file, &table.name, problem));
    }
    let shape_of_table = table.shape;
    let mut json_names = HashSet::new();
    for field in &mut table.fields {
        let shape = field.is_message().then(|| shapes[field.type_index as usize]);
        if field.cardinality == Cardinality::Repeated && shape == Some(JsonMapping::MapEntry) {
            field.cardinality = Cardinality::Map;
        }
        // Maps and their entries have lengths, whatever an edition's features say
        // of other messages.
        let in_map = field.cardinality == Cardinality::Map || shape_of_table == JsonMapping::MapEntry;
        if in_map && field.kind == Kind::Group {
            field.kind = Kind::Message;
            field.set_tag();
        }
        // The items of a MessageSet have a form of their own.
        if field.cardinality == Cardinality::Singular && shape_of_table != JsonMapping::MessageSet {
            field.set_common(match field.kind {
                Kind::Bool => Common::Bool,
                Kind::String => Common::Text,
                Kind::Enum if enums[field.type_index as usize].is_plain() => Common::Enum,
                Kind::Message if shape == Some(JsonMapping::Plain) => Common::Message,
                Kind::Message if shape == Some(JsonMapping::Timestamp) => Common::Timestamp,
                _ => Common::No,
            });
        }
        // proto2 lets two fields have one JSON name; the first of them is read,
        // so the others are not to be guessed.
        if !json_names.insert(field.json_name.clone()) {
            field.hide_key();
        }
    }
    table.settings = table.fields.len() <= TRUTHS && table.fields.iter().all(|field| field.truth != u32::MAX);
    table.heads = table.fields.iter().map(|field| field.json_key.head()).collect();
    let names = table.fields.iter().enumerate();
    table.names = NameTable::new(
        names
            .clone()
            .map(|(i, field)| (&*field.json_name, i as u32))
            .chain(names.map(|(i, field)| (&*field.name, i as u32))),
    );
    // The low numbers, as long as the table stays about as large as the fields.
    let limit = table.fields.len() as u32 * 4 + 32;
    let top = table.fields.iter().map(|field| field.number).filter(|number| *number < limit).max();
    let mut dense = vec![0; top.map_or(0, |top| top as usize + 1)];
    for (i, field) in table.fields.iter().enumerate() {
        if let Some(slot) = dense.get_mut(field.number as usize) {
            *slot = i as u16 + 1;
        }
    }
    table.dense = dense.into();
    Ok(())
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

fn well_known(name: &str) -> JsonMapping {
    match name.strip_prefix("google.protobuf.") {
        Some("Any") => JsonMapping::Any,
        Some("Timestamp") => JsonMapping::Timestamp,
        Some("Duration") => JsonMapping::Duration,
        Some("FieldMask") => JsonMapping::FieldMask,
        Some("Struct") => JsonMapping::Struct,
        Some("Value") => JsonMapping::Value,
        Some("ListValue") => JsonMapping::ListValue,
        Some("Empty") => JsonMapping::Empty,
        Some(
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value" | "BoolValue"
            | "StringValue" | "BytesValue",
        ) => JsonMapping::Wrapper,
        _ => JsonMapping::Plain,
    }
}

/// Whether a message that the codec treats by its shape has the fields that
/// the codec then counts on.
fn has_expected_fields(table: &MessageType) -> bool {
    let has = |number: u32, allowed: &[Kind]| {
        table.fields.iter().any(|field| field.number == number && allowed.contains(&field.kind))
    };
    match table.shape {
        JsonMapping::Any => has(1, &[Kind::String]) && has(2, &[Kind::Bytes]),
        JsonMapping::Timestamp | JsonMapping::Duration => has(1, &[Kind::Int64]) && has(2, &[Kind::Int32]),
        JsonMapping::FieldMask => has(1, &[Kind::String]),
        JsonMapping::Struct | JsonMapping::ListValue => has(1, &[Kind::Message]),
        JsonMapping::Value => {
            has(1, &[Kind::Enum])
                && has(2, &[Kind::Double])
                && has(3, &[Kind::String])
                && has(4, &[Kind::Bool])
                && has(5, &[Kind::Message])
                && has(6, &[Kind::Message])
        }
        JsonMapping::Wrapper => {
            let scalar = |field: &Field| !field.is_message() && field.kind != Kind::Enum;
            table.fields.len() == 1 && table.fields[0].number == 1 && scalar(&table.fields[0])
        }
        JsonMapping::MapEntry => {
            table.fields.len() == 2
                && table.fields.iter().any(|field| field.number == 2)
                && table.fields.iter().any(|field| {
                    field.number == 1
                        && !matches!(
                            field.kind,
                            Kind::Double | Kind::Float | Kind::Bytes | Kind::Enum | Kind::Message | Kind::Group
                        )
                })
        }
        JsonMapping::Plain | JsonMapping::MessageSet | JsonMapping::Empty => true,
    }
}
