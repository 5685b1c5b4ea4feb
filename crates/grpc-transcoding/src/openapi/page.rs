//! The document as a page for people. It needs no script, and its style is a file of its own,
//! so that a Content-Security-Policy may forbid all else.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter, Write},
};

use super::{
    OpenApi, Plan, TooLarge,
    facts::Facts,
    json::{Json, Object},
    operation::{Content, Operation, Parameter, Place},
    schema::{ERROR, error},
};

/// The style of the page, which it expects at `docs/style.css` beside itself.
pub const STYLE: &str = include_str!("style.css");

/// What a parameter or a property takes of memory until the page is written, in bytes.
const MEMORY: usize = 500;

/// How deep the bodies of examples go, and how many members each object of them has.
const EXAMPLE: (usize, usize) = (2, 3);

impl OpenApi {
    /// Writes a page of HTML that says what the document says: the operations by service with
    /// their parameters, bodies and a line for curl, and the schemas.
    ///
    /// # Errors
    ///
    /// If it would be too large.
    pub fn to_html(&self) -> Result<String, TooLarge> {
        let facts = Facts::read(&self.set);
        let plan = Plan::new(self, &facts);
        let mut schemas = plan.schemas();
        let (mut operations, mut length) = (Vec::new(), 0);
        for item in &plan.items {
            for (key, entry) in &item.operations {
                let operation = plan.operation(entry, &mut schemas);
                let place = (entry.method.method().index(), entry.index);
                let path = item.path.split('#').next().unwrap_or(&item.path);
                length += MEMORY * (1 + operation.parameters.len()) + operation.to_json().size();
                self.check(length + schemas.work)?;
                operations.push((place, key.as_str(), path, operation));
            }
        }
        operations.sort_by_key(|(place, ..)| *place);
        let mut components = BTreeMap::from([(ERROR.to_owned(), error())]);
        while let Some((name, schema)) = schemas.next_component() {
            let properties = schema.get("properties").and_then(Json::as_object);
            length += MEMORY * (1 + properties.map_or(0, |properties| properties.members().count()));
            self.check(length)?;
            components.insert(name, schema);
        }

        let mut page = Page { text: String::new(), components: &components, server: plan.servers.first().cloned() };
        page.head(&plan.title(), &plan.version());
        page.contents(&operations);
        let mut service = "";
        for (_, key, path, operation) in &operations {
            if service != operation.service {
                service = &operation.service;
                put(&mut page.text, format_args!("<h2 id=\"{0}\">{0}</h2>\n", Escaped(service)));
                page.description(&facts.symbol(service).comment);
            }
            page.operation(key, path, operation);
            self.check(page.text.len())?;
        }
        page.text.push_str("<h2 id=\"schemas\">Schemas</h2>\n");
        for (name, schema) in &components {
            page.schema(name, schema);
            self.check(page.text.len())?;
        }
        page.text.push_str("</main>\n</body>\n</html>\n");
        Ok(page.text)
    }
}

/// Text with what means something in HTML escaped.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

/// Appends to a String, which takes all that is written.
fn put(text: &mut String, arguments: fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

struct Page<'p> {
    text: String,
    components: &'p BTreeMap<String, Object>,
    server: Option<String>,
}

impl Page<'_> {
    fn head(&mut self, title: &str, version: &str) {
        let (title, version) = (Escaped(title), Escaped(version));
        put(
            &mut self.text,
            format_args!(
                "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                 <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
                 <link rel=\"stylesheet\" href=\"docs/style.css\">\n</head>\n<body>\n<main>\n\
                 <h1>{title}</h1>\n<p>Version {version}. For tools: <a href=\"openapi.json\">openapi.json</a>, OpenAPI 3.1.</p>\n"
            ),
        );
    }

    /// The services, each with its operations, which come in the order of the services.
    fn contents(&mut self, operations: &[((usize, usize), &str, &str, Operation)]) {
        self.text.push_str("<nav>\n");
        let mut service = "";
        for (_, key, path, operation) in operations {
            if service != operation.service {
                let before = if service.is_empty() { "" } else { "</ul>\n" };
                service = &operation.service;
                put(&mut self.text, format_args!("{before}<p><a href=\"#{0}\">{0}</a></p>\n<ul>\n", Escaped(service)));
            }
            let short = operation.method.rsplit('/').next().unwrap_or_default();
            put(
                &mut self.text,
                format_args!(
                    "<li><a href=\"#{}\">{}</a> <code>{} {}</code></li>\n",
                    Escaped(&operation.id),
                    Escaped(short),
                    Escaped(operation.http_method.as_deref().unwrap_or(key)),
                    Escaped(path)
                ),
            );
        }
        self.text.push_str("</ul>\n<p><a href=\"#schemas\">Schemas</a></p>\n</nav>\n");
    }

    fn operation(&mut self, key: &str, path: &str, operation: &Operation) {
        let state = if operation.deprecated { " <em>deprecated</em>" } else { "" };
        put(
            &mut self.text,
            format_args!(
                "<details>\n<summary><code><b>{}</b> {}</code> {}{state}</summary>\n<p id=\"{}\"><code>{}</code></p>\n",
                Escaped(operation.http_method.as_deref().unwrap_or(key)),
                Escaped(path),
                Escaped(operation.summary.as_deref().unwrap_or_default()),
                Escaped(&operation.id),
                Escaped(&operation.method),
            ),
        );
        self.description(&operation.full_description());
        if !operation.parameters.is_empty() {
            self.text.push_str("<table>\n<tr><th>Parameter</th><th>Type</th><th>Description</th></tr>\n");
            operation.parameters.iter().for_each(|parameter| self.parameter(parameter));
            self.text.push_str("</table>\n");
        }
        if let Some(body) = &operation.body {
            self.text.push_str("<p>Request body: ");
            self.content(&body.content);
            self.text.push_str("</p>\n");
        }
        put(&mut self.text, format_args!("<p>Response: {} ", Escaped(operation.success.0)));
        self.content(&operation.success.1);
        self.text.push_str("</p>\n");
        let line = self.curl(key, path, operation);
        put(&mut self.text, format_args!("<pre>{}</pre>\n", Escaped(&line)));
        if !operation.scopes.is_empty() {
            self.text.push_str("<p>Any of these OAuth scopes:</p>\n<ul>\n");
            for scope in &operation.scopes {
                put(&mut self.text, format_args!("<li><code>{}</code></li>\n", Escaped(scope)));
            }
            self.text.push_str("</ul>\n");
        }
        self.text.push_str("</details>\n");
    }

    fn parameter(&mut self, parameter: &Parameter) {
        let place = if parameter.place == Place::Path { "path" } else { "query" };
        let required = if parameter.required { ", required" } else { "" };
        put(&mut self.text, format_args!("<tr><td><code>{}</code></td><td>", Escaped(&parameter.name)));
        self.kind(&parameter.schema);
        put(&mut self.text, format_args!("<br><small>{place}{required}</small></td><td>"));
        if parameter.deprecated {
            self.text.push_str("<em>deprecated</em> ");
        }
        self.description(&parameter.description);
        self.text.push_str("</td></tr>\n");
    }

    fn content(&mut self, list: &[Content]) {
        for (at, content) in list.iter().enumerate() {
            self.text.push_str(if at > 0 { "; " } else { "" });
            put(&mut self.text, format_args!("<code>{}</code> ", Escaped(content.kind)));
            match &content.item {
                Some(item) => {
                    self.text.push_str("each ");
                    self.kind(item);
                }
                None => self.kind(&content.schema),
            }
        }
    }

    fn schema(&mut self, name: &str, schema: &Object) {
        let state = if schema.get("deprecated").is_some() { " <em>deprecated</em>" } else { "" };
        let name = Escaped(name);
        put(
            &mut self.text,
            format_args!("<details>\n<summary><code>{name}</code>{state}</summary>\n<p id=\"schema-{name}\"></p>\n"),
        );
        self.description(schema.get("description").and_then(Json::as_text).unwrap_or_default());
        match schema.get("properties").and_then(Json::as_object) {
            Some(properties) => self.properties(schema, properties),
            None => {
                self.text.push_str("<p>");
                self.kind(schema);
                self.text.push_str("</p>\n");
            }
        }
        self.text.push_str("</details>\n");
    }

    fn properties(&mut self, schema: &Object, properties: &Object) {
        let required = texts(schema.get("required"));
        self.text.push_str("<table>\n<tr><th>Field</th><th>Type</th><th>Description</th></tr>\n");
        for (name, property) in properties.members() {
            let Some(property) = property.as_object() else { continue };
            put(&mut self.text, format_args!("<tr><td><code>{}</code></td><td>", Escaped(name)));
            self.kind(property);
            for (note, holds) in [
                ("required", required.contains(&name)),
                ("only in responses", property.get("readOnly").is_some()),
                ("only in requests", property.get("writeOnly").is_some()),
                ("deprecated", property.get("deprecated").is_some()),
            ] {
                if holds {
                    put(&mut self.text, format_args!("<br><small>{note}</small>"));
                }
            }
            self.text.push_str("</td><td>");
            self.description(property.get("description").and_then(Json::as_text).unwrap_or_default());
            self.text.push_str("</td></tr>\n");
        }
        self.text.push_str("</table>\n");
    }

    /// The type that a schema stands for, in words.
    fn kind(&mut self, schema: &Object) {
        if let Some(name) = component(schema) {
            return put(&mut self.text, format_args!("<a href=\"#schema-{0}\">{0}</a>", Escaped(name)));
        }
        if let Some(Json::List(choices)) = schema.get("anyOf") {
            for (at, choice) in choices.iter().filter_map(Json::as_object).enumerate() {
                self.text.push_str(if at > 0 { " or " } else { "" });
                self.kind(choice);
            }
            return;
        }
        let values = texts(schema.get("enum"));
        if !values.is_empty() {
            for (at, value) in values.iter().enumerate() {
                self.text.push_str(if at > 0 { ", " } else { "" });
                put(&mut self.text, format_args!("<code>{}</code>", Escaped(value)));
            }
            return;
        }
        match schema.get("type").and_then(Json::as_text) {
            None => self.text.push_str("any value"),
            Some("array") => {
                self.text.push_str("array of ");
                self.nested(schema, "items");
            }
            Some("object") if schema.get("additionalProperties").and_then(Json::as_object).is_some() => {
                self.text.push_str("map of ");
                self.nested(schema, "additionalProperties");
            }
            Some(kind) => {
                self.text.push_str(kind);
                if let Some(format) = schema.get("format").and_then(Json::as_text) {
                    put(&mut self.text, format_args!(" ({})", Escaped(format)));
                }
                if let Some(properties) = schema.get("properties").and_then(Json::as_object) {
                    self.text.push_str(" with");
                    for (at, (name, _)) in properties.members().enumerate() {
                        self.text.push_str(if at > 0 { ", " } else { " " });
                        put(&mut self.text, format_args!("<code>{}</code>", Escaped(name)));
                    }
                }
            }
        }
    }

    fn nested(&mut self, schema: &Object, key: &str) {
        if let Some(inner) = schema.get(key).and_then(Json::as_object) {
            self.kind(inner);
        }
    }

    /// A comment: its paragraphs, with what is between backquotes as code.
    fn description(&mut self, comment: &str) {
        for paragraph in comment.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            self.text.push_str("<p class=\"text\">");
            for (at, part) in paragraph.split('`').enumerate() {
                let (before, after) = if at % 2 == 1 { ("<code>", "</code>") } else { ("", "") };
                put(&mut self.text, format_args!("{before}{}{after}", Escaped(part)));
            }
            self.text.push_str("</p>\n");
        }
    }

    /// The call as a line for a shell.
    fn curl(&self, key: &str, path: &str, operation: &Operation) -> String {
        let method = operation.http_method.as_deref().filter(|method| *method != "*").unwrap_or(key);
        let server = self.server.as_deref().filter(|server| server.contains("://")).unwrap_or("http://localhost:8080");
        // Braces and brackets mean something to curl.
        let path = path.replace('{', "<").replace('}', ">");
        let mut url = format!("{}{path}", server.trim_end_matches('/'));
        let required = operation.parameters.iter().filter(|one| one.place == Place::Query && one.required);
        for (at, parameter) in required.enumerate() {
            put(&mut url, format_args!("{}{1}=<{1}>", if at > 0 { '&' } else { '?' }, parameter.name));
        }
        let mut line = "curl".to_owned();
        if method != "GET" {
            put(&mut line, format_args!(" -X {}", quoted(method)));
        }
        put(&mut line, format_args!(" {}", quoted(&url)));
        if !operation.scopes.is_empty() {
            line.push_str(" \\\n  -H \"Authorization: Bearer $TOKEN\"");
        }
        if let Some(content) = operation.body.as_ref().and_then(|body| body.content.first()) {
            put(&mut line, format_args!(" \\\n  -H 'Content-Type: {}'", content.kind));
            if content.kind == "application/json" {
                let mut example = String::new();
                self.example(&content.schema, EXAMPLE.0).write(&mut example);
                put(&mut line, format_args!(" \\\n  -d {}", quoted(&example)));
            } else {
                line.push_str(" \\\n  --data-binary @FILE");
            }
        }
        line
    }

    /// A value of a schema.
    fn example(&self, schema: &Object, depth: usize) -> Json {
        let known = component(schema).and_then(|name| self.components.get(name));
        let schema = known.unwrap_or(schema);
        if let Some(Json::List(values)) = schema.get("enum") {
            return values.last().cloned().unwrap_or(Json::Bool(false));
        }
        if let Some(Json::List(choices)) = schema.get("anyOf") {
            return choices
                .first()
                .and_then(Json::as_object)
                .map_or(Json::Bool(false), |first| self.example(first, depth));
        }
        match schema.get("type").and_then(Json::as_text) {
            Some("boolean") => true.into(),
            Some("integer" | "number") => 1.into(),
            Some("array") => match schema.get("items").and_then(Json::as_object) {
                Some(items) if depth > 0 => vec![self.example(items, depth - 1)].into(),
                _ => Json::List(Vec::new()),
            },
            Some("string") => match schema.get("format").and_then(Json::as_text) {
                Some("int64" | "uint64") => "1".into(),
                Some("date-time") => "2030-01-01T00:00:00Z".into(),
                Some("google-duration") => "1s".into(),
                Some("byte") => "AA==".into(),
                _ => "text".into(),
            },
            _ => {
                let mut object = Object::new();
                let required = texts(schema.get("required"));
                let properties = schema.get("properties").and_then(Json::as_object).filter(|_| depth > 0);
                for (name, property) in properties.into_iter().flat_map(Object::members) {
                    let Some(property) = property.as_object() else { continue };
                    let rare = ["readOnly", "deprecated"].iter().any(|key| property.get(key).is_some())
                        || texts(property.get("x-field-behavior")).contains(&"IDENTIFIER");
                    if required.contains(&name) || (!rare && object.members().count() < EXAMPLE.1) {
                        object.put(name.to_owned(), self.example(property, depth - 1));
                    }
                }
                object.into()
            }
        }
    }
}

/// The component that a schema refers to.
fn component(schema: &Object) -> Option<&str> {
    schema.get("$ref")?.as_text()?.strip_prefix("#/components/schemas/")
}

fn texts(list: Option<&Json>) -> Vec<&str> {
    match list {
        Some(Json::List(list)) => list.iter().filter_map(Json::as_text).collect(),
        _ => Vec::new(),
    }
}

/// The text as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
