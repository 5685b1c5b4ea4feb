//! The file that keeps a login: `authorized_user`, as gcloud writes it too.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{config, failure::Failure};

/// Where the login is kept.
pub(crate) fn path() -> Option<PathBuf> {
    Some(config::folder()?.join("login.json"))
}

pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| Failure::usage(format!("cannot read {}", path.display())).because(error))?;
    // What a parser says may repeat a part of it.
    serde_json::from_str(&text).map_err(|_| Failure::usage(format!("{} is not the file of a login", path.display())))
}

/// Writes the login, for its owner alone: all of it or nothing, also where the machine stops
/// meanwhile.
pub(super) fn write(path: &Path, login: &Value) -> Result<(), Failure> {
    let part = path.with_extension(format!("json.{}", std::process::id()));
    let written = write_part(&part, login).and_then(|()| fs::rename(&part, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&part);
        Failure::machine(format!("cannot write {}", path.display())).because(error)
    })
}

fn write_part(part: &Path, login: &Value) -> io::Result<()> {
    if let Some(folder) = part.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    // One that an earlier process of the same number has left.
    let _ = fs::remove_file(part);
    let mut options = fs::OpenOptions::new();
    // Nothing that came there meanwhile is followed or written over.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(part)?;
    file.write_all(format!("{login:#}\n").as_bytes())?;
    file.sync_all()
}
