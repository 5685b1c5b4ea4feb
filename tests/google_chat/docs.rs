//! The tables of docs/ have what the code has.

use google_chat_emulator::Settings;

/// The text in back quotes that begins each row of the table under a heading.
fn first_column<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    rows(page, heading).map(|row| row.split('`').nth(1).unwrap_or_else(|| panic!("{row}"))).collect()
}

fn rows<'a>(page: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    let section = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading}")).1;
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    // The first two are the header and the line under it.
    lines.take_while(|line| line.starts_with('|')).skip(2)
}

#[test]
fn the_table_of_errors_has_every_kind() {
    let source = include_str!("../../src/client/error_kind.rs");
    let body = source.split_once("pub enum ErrorKind {").unwrap().1.split_once("\n}").unwrap().0;
    let kinds = body.lines().map(str::trim).filter(|line| !line.starts_with("//")).filter_map(|line| {
        line.strip_suffix(',') // the variants carry no data
    });
    let kinds: Vec<&str> = kinds.collect();
    assert!(kinds.len() > 20, "{kinds:?}");
    assert_eq!(first_column(include_str!("../../docs/errors.md"), "## Kinds"), kinds);
}

#[test]
fn the_table_of_settings_has_every_setting_and_its_default() {
    let page = include_str!("../../docs/emulator.md");
    let serde_json::Value::Object(settings) = serde_json::to_value(Settings::default()).unwrap() else { panic!() };
    let mut expected: Vec<_> = settings.iter().map(|(name, value)| format!("| `{name}` | `{value}` | ")).collect();
    let mut found: Vec<_> = rows(page, "### Settings").map(|row| row.splitn(4, '|').collect::<Vec<_>>()).collect();
    found.sort();
    expected.sort();
    let found: Vec<_> = found.iter().map(|cells| format!("|{}|{}| ", cells[1], cells[2])).collect();
    assert_eq!(found, expected);
}
