//! The config file of a server: each setting is a flag by its long name. So the flags' own
//! parser checks what it says, and there is nothing that only one of the two can do.

use std::{ffi::OsString, path::Path};

use crate::failure::Failure;

/// The commands that take such a file.
const COMMANDS: [&str; 2] = ["gateway", "sidecar"];

/// The arguments with the flags of the file that `--config` names in front of the other
/// flags, which come before them that way; and the file. A list of the file's is left out
/// where the flag is given, since the parser would join the two.
///
/// # Errors
///
/// If the file cannot be read, or has a setting that the command does not have.
pub(crate) fn with_config_file(
    program: &clap::Command,
    mut arguments: Vec<OsString>,
) -> Result<(Vec<OsString>, Option<OsString>), Failure> {
    let is_word = |argument: &OsString| !argument.to_string_lossy().starts_with('-');
    let Some(at) = arguments.iter().skip(1).position(is_word).map(|at| at + 1) else { return Ok((arguments, None)) };
    let name = arguments[at].to_string_lossy().into_owned();
    let Some(command) = program.find_subcommand(&name).filter(|_| COMMANDS.contains(&&*name)) else {
        return Ok((arguments, None));
    };
    let Some(file) = named(&arguments[at + 1..]) else { return Ok((arguments, None)) };
    let path = Path::new(&file);
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("--config: cannot read {}", path.display())).because(error))?;
    let mut flags = flags(command, &text, path)?;
    let given = given(&arguments[at + 1..]);
    flags.retain(|flag| {
        let name = flag_name(flag);
        let mut known = command.get_arguments();
        let known = known.find(|known| known.get_long() == name);
        !known.is_some_and(|known| is_list(known) && given.contains(&name))
    });
    arguments.splice(at + 1..at + 1, flags.into_iter().map(OsString::from));
    Ok((arguments, Some(file)))
}

/// The file that `--config` names, the last one if there are several.
fn named(arguments: &[OsString]) -> Option<OsString> {
    let mut file = None;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--") => break,
            Some("--config") => file = arguments.next().cloned(),
            Some(text) if text.starts_with("--config=") => file = Some(text["--config=".len()..].into()),
            _ => {}
        }
    }
    file
}

/// The long flags among arguments.
fn given(arguments: &[OsString]) -> Vec<Option<&str>> {
    let flags = arguments.iter().take_while(|argument| *argument != "--");
    flags.map(|flag| flag.to_str().and_then(flag_name)).filter(Option::is_some).collect()
}

/// The name of a long flag, which may have its value behind it.
fn flag_name(flag: &str) -> Option<&str> {
    flag.strip_prefix("--")?.split('=').next()
}

/// Whether a flag can be repeated.
fn is_list(flag: &clap::Arg) -> bool {
    matches!(flag.get_action(), clap::ArgAction::Append)
}

#[cfg(not(feature = "full"))]
fn flags(_: &clap::Command, _: &str, _: &Path) -> Result<Vec<String>, Failure> {
    Err(Failure::left_out("--config"))
}

/// The settings of a file as flags.
#[cfg(feature = "full")]
fn flags(command: &clap::Command, text: &str, path: &Path) -> Result<Vec<String>, Failure> {
    use toml::{Spanned, Value};
    let failed = |at: usize, problem: &str| {
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::usage(format!("{}: line {line}: {problem}", path.display()))
    };
    let settings: std::collections::BTreeMap<Spanned<String>, Spanned<Value>> =
        toml::from_str(text).map_err(|error| {
            // The parser's own error shows the line, which may hold a token.
            failed(error.span().unwrap_or_default().start, "this is not TOML; write NAME = VALUE, each name once")
        })?;
    let mut flags = Vec::new();
    for (name, value) in &settings {
        let at = name.span().start;
        let name = name.get_ref();
        let known = command.get_arguments().find(|known| known.get_long() == Some(&**name) && name != "config");
        let Some(known) = known else {
            let shown: String = name.chars().take(40).collect();
            return Err(failed(
                at,
                &format!("there is no setting `{shown}`; gchat {} --help has all flags", command.get_name()),
            ));
        };
        let is_switch = !known.get_action().takes_values();
        let repeats = is_list(known);
        match value.get_ref() {
            Value::Boolean(on) if is_switch => flags.extend(on.then(|| format!("--{name}"))),
            // A flag whose value may be left out.
            Value::Boolean(true) if known.get_num_args().is_some_and(|count| count.min_values() == 0) => {
                flags.push(format!("--{name}"));
            }
            _ if is_switch => return Err(failed(at, &format!("`{name}` is true or false"))),
            Value::Array(values) if repeats => {
                for value in values {
                    let value = scalar(value).ok_or_else(|| failed(at, &format!("`{name}` has a list of texts")))?;
                    flags.push(format!("--{name}={value}"));
                }
            }
            value => {
                let kind = if repeats { "a list of texts" } else { "a text or a number" };
                let value = scalar(value).ok_or_else(|| failed(at, &format!("`{name}` is {kind}")))?;
                flags.push(format!("--{name}={value}"));
            }
        }
    }
    Ok(flags)
}

#[cfg(feature = "full")]
fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(all(test, feature = "full"))]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::*;

    fn program() -> Command {
        let switch = Arg::new("p").long("passthrough").action(ArgAction::SetTrue);
        let list = Arg::new("o").long("cors-origin").action(ArgAction::Append);
        Command::new("gchat").subcommand(
            Command::new("gateway")
                .args([switch, list])
                .args(["listen", "timeout", "config"].map(|n| Arg::new(n).long(n))),
        )
    }

    #[test]
    fn settings_are_flags_before_the_others() {
        let text = "listen = '127.0.0.1:1'\n# a comment\ntimeout = 1.5\npassthrough = true\ncors-origin = ['a', 'b']\n";
        let found = flags(program().find_subcommand("gateway").unwrap(), text, Path::new("f")).unwrap();
        assert_eq!(
            found,
            ["--cors-origin=a", "--cors-origin=b", "--listen=127.0.0.1:1", "--passthrough", "--timeout=1.5"]
        );
        let file = std::env::temp_dir().join(format!("gchat-config-{}.toml", std::process::id()));
        std::fs::write(&file, "timeout = 9\npassthrough = false").unwrap();
        let given = ["gchat", "-v", "gateway", "--config", file.to_str().unwrap(), "--timeout=2"].map(OsString::from);
        let (all, named) = with_config_file(&program(), given.to_vec()).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(named.as_deref(), Some(file.as_os_str()));
        assert_eq!(all[..4], ["gchat", "-v", "gateway", "--timeout=9"].map(OsString::from));
        assert_eq!(all[4..], given[3..]);
    }

    #[test]
    fn a_list_of_the_command_line_replaces_that_of_the_file() {
        let file = std::env::temp_dir().join(format!("gchat-config-list-{}.toml", std::process::id()));
        std::fs::write(&file, "cors-origin = ['a', 'b']").unwrap();
        let file_flag = format!("--config={}", file.display());
        for (flags, origins) in [
            (&["--cors-origin", "c", "--cors-origin=d"][..], &["c", "d"][..]),
            (&["--cors-origin=c"], &["c"]),
            (&["--timeout=1"], &["a", "b"]),
        ] {
            let given: Vec<_> = ["gchat", "gateway", &file_flag].iter().chain(flags).map(OsString::from).collect();
            let (all, _) = with_config_file(&program(), given).unwrap();
            let found = program().get_matches_from(all);
            let found: Vec<_> = found.subcommand().unwrap().1.get_many::<String>("o").unwrap().collect();
            assert_eq!(found, origins, "{flags:?}");
        }
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_setting_that_cannot_be_used_is_named_without_its_value() {
        for (text, problem) in [
            ("a = 1", "f: line 1: there is no setting `a`; gchat gateway --help has all flags"),
            ("\n\nconfig = 'x'", "f: line 3: there is no setting `config`; gchat gateway --help has all flags"),
            ("listen = 'a'\npassthrough = 'ya29.secret'", "f: line 2: `passthrough` is true or false"),
            ("timeout = [1]", "f: line 1: `timeout` is a text or a number"),
            ("cors-origin = [['ya29.secret']]", "f: line 1: `cors-origin` has a list of texts"),
            ("[limits]\ntimeout = 1", "f: line 1: there is no setting `limits`; gchat gateway --help has all flags"),
            ("listen = ya29.secret", "f: line 1: this is not TOML; write NAME = VALUE, each name once"),
            ("timeout = 1\ntimeout = 2", "f: line 2: this is not TOML; write NAME = VALUE, each name once"),
        ] {
            let found = flags(program().find_subcommand("gateway").unwrap(), text, Path::new("f")).unwrap_err();
            assert_eq!(found.text(), problem, "{text}");
        }
    }
}
