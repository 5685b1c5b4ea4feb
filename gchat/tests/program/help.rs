//! Help, man pages and completions.

use super::support::{ended, folder, gchat, text};

/// Every command by its words.
const COMMANDS: [&[&str]; 43] = [
    &[],
    &["spaces"],
    &["spaces", "create"],
    &["spaces", "setup"],
    &["spaces", "search"],
    &["spaces", "find-direct-message"],
    &["spaces", "find-group-chats"],
    &["spaces", "get"],
    &["spaces", "list"],
    &["spaces", "update"],
    &["spaces", "delete"],
    &["spaces", "complete-import"],
    &["auth"],
    &["auth", "login"],
    &["auth", "status"],
    &["auth", "logout"],
    &["auth", "print-access-token"],
    &["members"],
    &["members", "add"],
    &["members", "remove"],
    &["members", "list"],
    &["members", "get"],
    &["members", "update"],
    &["messages"],
    &["messages", "send"],
    &["messages", "list"],
    &["messages", "get"],
    &["messages", "edit"],
    &["messages", "delete"],
    &["reactions"],
    &["reactions", "add"],
    &["reactions", "list"],
    &["reactions", "remove"],
    &["media"],
    &["media", "download"],
    &["call"],
    &["explain"],
    &["doctor"],
    &["emulator"],
    &["gateway"],
    &["sidecar"],
    &["schema"],
    &["completions"],
];

fn help(command: &[&str], columns: &str) -> String {
    let output = gchat(&[command, &["--help"]].concat()).env("COLUMNS", columns).output().unwrap();
    text(&output.stdout).to_owned()
}

/// What stands below the flags: from the first heading of its own on.
fn below(help: &str) -> &str {
    let headings = ["\nExamples:\n", "\nEnvironment:\n", "\nChecks:\n"];
    headings.iter().filter_map(|heading| help.find(heading)).min().map_or("", |at| &help[at..])
}

#[test]
fn examples_are_whole_at_80_columns() {
    for command in COMMANDS {
        let (narrow, wide) = (help(command, "80"), help(command, "200"));
        assert_eq!(below(&narrow), below(&wide), "{command:?}");
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{command:?}: {narrow}");
        assert!(
            matches!(command, ["auth" | "spaces" | "members" | "messages" | "reactions" | "media"])
                || !below(&narrow).is_empty(),
            "{command:?}: {narrow}"
        );
    }
}

#[test]
fn flags_stand_under_the_heading_of_what_they_are_about() {
    let help = help(&["spaces", "create"], "80");
    let heading = |flag: &str| {
        let at = help.find(&format!("      {flag} ")).unwrap_or_else(|| panic!("{flag}: {help}"));
        let heading = help[..at].lines().rev().find(|line| !line.is_empty() && !line.starts_with(' '));
        heading.unwrap().to_owned()
    };
    for (flag, expected) in [
        ("--from-json", "Options:"),
        ("--display-name", "Space:"),
        ("--customer", "Space:"),
        ("--from", "Many rows:"),
        ("--rate", "Many rows:"),
        ("--endpoint", "Connection:"),
    ] {
        assert_eq!(heading(flag), expected, "{flag}");
    }
}

#[test]
#[cfg_attr(not(feature = "full"), ignore = "needs --features full")]
fn completions_and_man_pages_are_written() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = gchat(&["completions", shell]).output().unwrap();
        assert!(text(&output.stdout).contains("complete-import"), "{shell}");
    }
    // The folders are made, as on a machine that has no manual of its user's yet.
    let folder = folder("home-without-man").join("share/man/man1");
    assert_eq!(ended(&gchat(&["man", folder.to_str().unwrap()]).output().unwrap()), (0, "", ""));
    for (page, sections) in [
        ("gchat.1", &["NAME", "SYNOPSIS", "OPTIONS", "ENVIRONMENT", "FILES", "EXIT STATUS"][..]),
        ("gchat-spaces-create.1", &["CONNECTION", "EXAMPLES", "ENVIRONMENT", "FILES", "EXIT STATUS"]),
        ("gchat-spaces-list.1", &["EXAMPLES", "ENVIRONMENT", "FILES", "EXIT STATUS"]),
        ("gchat-gateway.1", &["EXAMPLES", "SHUTDOWN", "EXIT STATUS"]),
    ] {
        let page = std::fs::read_to_string(folder.join(page)).unwrap();
        let headings: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .map(|heading| heading.trim_matches('"'))
            .collect();
        for section in sections {
            assert_eq!(headings.iter().filter(|heading| *heading == section).count(), 1, "{section}: {headings:?}");
        }
    }
    let page = std::fs::read_to_string(folder.join("gchat-spaces-create.1")).unwrap();
    assert!(page.contains("\\-\\-retry\\-failed"), "{page}");
    // An example stays on its lines, and a backslash is one.
    let example = "\\&gchat spaces create \\-\\-display\\-name \"Launch room\" \\\\\n\\&    \\-\\-customer";
    assert!(page.contains(example), "{page}");
}
