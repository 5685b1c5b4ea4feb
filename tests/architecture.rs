//! Each floor imports only the floors under it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The floors of the house, and what the crate's root re-exports of them.
const FLOORS: [(&str, &str, u8); 8] = [
    ("proto", "CreateSpaceRequest Space", 0),
    ("schema", "Schema SchemaError", 1),
    ("json", "", 2),
    ("transcoding", "", 3),
    ("transport", "", 4),
    ("policy", "", 5),
    ("credentials", "Credentials CredentialsError", 5),
    ("client", "Channel Client ClientBuilder ClientError CreateSpace CreatedSpace ENDPOINT Error Wire", 6),
];

fn floor(name: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(module, exports, _)| *module == name || exports.split(' ').any(|export| export == name))
        .map(|(.., floor)| *floor)
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The names that follow `crate::` in the code, groups opened up.
fn imports(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let ident = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let Some(group) = rest.strip_prefix('{') else {
            names.push(ident(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    names.push(ident(group[start..i].trim()));
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    names.push(ident(group[start..i].trim()));
                    start = i + 1;
                }
                _ => {}
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn each_floor_imports_only_the_floors_under_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    let mut files = Vec::new();
    sources(&src, &mut files);
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let relative = file.strip_prefix(&src).unwrap();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let own = floor(module).unwrap_or_else(|| panic!("{module} is on no floor; add it to FLOORS"));
        let code: String = fs::read_to_string(file)
            .unwrap()
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(|line| format!("{line}\n"))
            .collect();
        for name in imports(&code) {
            let other = floor(&name).unwrap_or_else(|| panic!("{}: crate::{name} is on no floor", file.display()));
            assert!(other <= own, "{} (floor {own}) imports crate::{name} (floor {other})", file.display());
            let knows_chat = other == 0 && (1..6).contains(&own);
            assert!(!knows_chat, "{} imports crate::{name}: floors 1 to 5 know nothing of Chat", file.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} imports were found");
}
