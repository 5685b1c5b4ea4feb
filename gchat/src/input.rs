//! What a command reads.

use std::io::{self, Read};

use google_chat::{
    grpc_transcoding::HttpRules,
    protojson::{DescriptorPool, MethodDescriptor},
};

use crate::{failure::Failure, output};

/// A file's text, or standard input's for `-`.
pub(crate) fn read(source: &str) -> Result<String, Failure> {
    let read = if source == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(source)
    };
    read.map_err(|error| Failure::usage(format!("cannot read {source}")).because(error))
}

/// The message that an argument gives: JSON, or `-` for standard input.
pub(crate) fn message(argument: &str) -> Result<String, Failure> {
    if argument == "-" { read("-") } else { Ok(argument.to_owned()) }
}

/// Asks whether to delete, unless `yes` says so. To ask, somebody must be there.
///
/// # Errors
///
/// If the answer is not yes, or there is none.
pub(crate) fn confirm(what: &str, yes: bool) -> Result<(), Failure> {
    use std::io::{IsTerminal, Write, stderr, stdin};
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(Failure::usage(format!("deleting {what} cannot be undone; add --yes to do it")));
    }
    let question = format!("Delete {}? This cannot be undone. [y/N] ", output::plain(what));
    stderr().write_all(question.as_bytes()).map_err(Failure::machine)?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(Failure::machine)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::usage("nothing was deleted")),
    }
}

/// A schema from a file with a descriptor set, or the embedded one.
pub(crate) fn schema(file: Option<&std::path::Path>) -> Result<DescriptorPool, Failure> {
    let Some(file) = file else { return Ok(output::schema().clone()) };
    DescriptorPool::decode(&descriptor_set(file)?)
        .map_err(|error| Failure::usage(file.display().to_string()).because(error))
}

/// The HTTP rules of a schema; with those of its methods that have none, if they are asked
/// for.
pub(crate) fn rules(schema: &DescriptorPool, unbound_methods: bool) -> HttpRules {
    let rules = HttpRules::new(schema);
    if unbound_methods { rules.with_unbound_methods() } else { rules }
}

/// A file's descriptor set, as it is.
pub(crate) fn descriptor_set(file: &std::path::Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::usage(format!("cannot read {}", file.display())).because(error))
}

/// The method of a name: `pkg.Service/Method` or `pkg.Service.Method`.
pub(crate) fn method(schema: &DescriptorPool, name: &str) -> Result<MethodDescriptor, Failure> {
    let name = name.trim_start_matches('/');
    let path = match name.contains('/') {
        true => format!("/{name}"),
        false => {
            name.rsplit_once('.').map_or_else(|| format!("/{name}"), |(service, method)| format!("/{service}/{method}"))
        }
    };
    schema.method(&path).ok_or_else(|| {
        let like = schema.methods().find(|method| method.path().ends_with(&path[path.rfind('/').unwrap_or(0)..]));
        let hint = like.map_or_else(String::new, |method| format!("; did you mean {}?", &method.path()[1..]));
        Failure::usage(format!("the schema has no method {}{hint}", &path[1..]))
    })
}

/// The wire bytes of a method's request, from its JSON.
pub(crate) fn request(method: &MethodDescriptor, json: &str) -> Result<Vec<u8>, Failure> {
    method.input().from_json(json).map_err(|error| Failure::usage("the request").because(error))
}
