//! `gchat media`.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use google_chat::{
    Client,
    proto::google::chat::v1::{Attachment, AttachmentDataRef, GetMessageRequest, attachment::DataRef},
};
use serde_json::json;

use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Output},
};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Download the attachments of a message, or one of them
    #[command(after_help = HELP)]
    Download(Download),
}

const HELP: &str = "\
Examples:
  gchat media download spaces/AAQAjCNSsU0/messages/8H-dkYt.8H-dkYt
  gchat media download spaces/AAQAjCNSsU0/messages/8H-dkYt.8H-dkYt --to files/
  gchat media download \\
      spaces/AAQAjCNSsU0/messages/8H-dkYt.8H-dkYt/attachments/AATT --to - |
      less";

#[derive(clap::Args)]
pub(crate) struct Download {
    /// The message: spaces/{space}/messages/{message}; an attachment of it:
    /// …/attachments/{attachment}; or the resourceName of an attachmentDataRef
    name: String,
    /// The file or the folder to write to, or - for standard output [default: the
    /// attachment's name, in this folder]
    #[arg(long, value_name = "FILE|FOLDER|-")]
    to: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
    /// How to print what was written [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    let Command::Download(args) = command;
    let chat = args.connection.client()?;
    let attachments = attachments(&chat, &args).await?;
    let to_stdout = args.to.as_deref() == Some(Path::new("-"));
    let folder = match &args.to {
        None => Some(PathBuf::new()),
        Some(to) if to_stdout || !(to.is_dir() || to.as_os_str().to_string_lossy().ends_with('/')) => None,
        Some(to) => Some(to.clone()),
    };
    if folder.is_none() && attachments.len() != 1 {
        return Err(Failure::usage(format!(
            "{} has {} attachments; give --to a folder, or name one of them: {}",
            args.name,
            attachments.len(),
            attachments.iter().map(|one| &*one.name).collect::<Vec<_>>().join(" ")
        )));
    }
    let output = Output::or_usual(args.output);
    let mut taken = HashSet::new();
    for (number, attachment) in (1..).zip(&attachments) {
        let resource_name = resource_name(attachment)?;
        if to_stdout {
            return copy(&chat, resource_name, &mut io::stdout().lock()).await.map(drop);
        }
        let path = match (&folder, &args.to) {
            (Some(folder), _) => {
                let name = file_name(&attachment.content_name).unwrap_or_else(|| format!("attachment-{number}"));
                folder.join(free(&mut taken, name, number))
            }
            (None, to) => to.clone().unwrap_or_default(),
        };
        let bytes = download(&chat, resource_name, &path, args.overwrite).await?;
        let text = match output {
            Output::Name => path.display().to_string(),
            Output::Json => {
                let (name, kind) = (&attachment.name, &attachment.content_type);
                json!({"file": path.display().to_string(), "bytes": bytes, "name": name, "contentType": kind})
                    .to_string()
            }
            Output::Table => format!("{bytes:10} {:30} {}", attachment.content_type, path.display()),
        };
        let text = if output == Output::Json { output::plain_json(&text) } else { output::plain(&text) };
        output::write(format!("{text}\n").as_bytes())?;
    }
    Ok(())
}

/// What is to be downloaded.
async fn attachments(chat: &Client, args: &Download) -> Result<Vec<Attachment>, Failure> {
    let (message, one) = match args.name.split_once("/attachments/") {
        Some((message, _)) => (message, true),
        None => (&*args.name, false),
    };
    if !message.starts_with("spaces/") || !message.contains("/messages/") {
        let data = AttachmentDataRef { resource_name: args.name.clone(), ..AttachmentDataRef::default() };
        return Ok(vec![data.into()]);
    }
    // Only an app can get an attachment by itself.
    let request = GetMessageRequest::of(message);
    let message = chat.get_message(request).timeout(args.connection.timeout()).await?;
    let attachments: Vec<Attachment> =
        message.attachment.into_iter().filter(|attachment| !one || attachment.name == args.name).collect();
    if attachments.is_empty() {
        let what = if one { "there is no attachment" } else { "there are no attachments to" };
        return Err(Failure::new(crate::failure::Exit::NotFound, format!("{what} {}", args.name)));
    }
    Ok(attachments)
}

fn resource_name(attachment: &Attachment) -> Result<&str, Failure> {
    match &attachment.data_ref {
        Some(DataRef::AttachmentDataRef(data)) if !data.resource_name.is_empty() => Ok(&data.resource_name),
        Some(DataRef::DriveDataRef(drive)) => Err(Failure::usage(format!(
            "{} is a file in Google Drive, which Google Chat has no copy of; download it there: \
             https://drive.google.com/open?id={}",
            attachment.name, drive.drive_file_id
        ))),
        _ => Err(Failure::machine(format!("the server does not say where the data of {} is", attachment.name))),
    }
}

/// The name of a file, as a server says it, without a way to another folder.
fn file_name(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = output::plain(name).trim().trim_start_matches('.').to_owned();
    (!name.is_empty()).then_some(name)
}

/// A name that no other attachment has, on a file system to which `A` is `a` as well.
fn free(taken: &mut HashSet<String>, name: String, number: usize) -> String {
    let mut names = std::iter::once(name.clone()).chain((number..).map(|number| format!("{number}-{name}")));
    names.find(|name| taken.insert(name.to_lowercase())).unwrap_or(name)
}

/// Downloads to a file, which is there whole or not at all.
async fn download(chat: &Client, resource_name: &str, path: &Path, overwrite: bool) -> Result<u64, Failure> {
    let trouble = |error: io::Error| Failure::machine(format!("cannot write {}", path.display())).because(error);
    let is_there = || Failure::usage(format!("{} is there already; add --overwrite to replace it", path.display()));
    if !overwrite && fs::symlink_metadata(path).is_ok() {
        return Err(is_there());
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(trouble)?;
    }
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let file = OpenOptions::new().write(true).create_new(true).open(&part).map_err(trouble)?;
    let written = fill(chat, resource_name, file, path).await.and_then(|bytes| {
        if overwrite {
            fs::rename(&part, path).map_err(trouble)?;
        } else {
            // Over no file that has appeared meanwhile.
            fs::hard_link(&part, path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => is_there(),
                _ => trouble(error),
            })?;
        }
        Ok(bytes)
    });
    let _ = fs::remove_file(&part);
    written
}

async fn fill(chat: &Client, resource_name: &str, mut file: File, path: &Path) -> Result<u64, Failure> {
    let bytes = copy(chat, resource_name, &mut file).await?;
    let trouble = |error| Failure::machine(format!("cannot write {}", path.display())).because(error);
    file.sync_all().map_err(trouble)?;
    Ok(bytes)
}

async fn copy(chat: &Client, resource_name: &str, to: &mut impl Write) -> Result<u64, Failure> {
    let trouble = |error: io::Error| Failure::machine("cannot write the attachment").because(error);
    let mut media = chat.download(resource_name).await?;
    let mut bytes = 0;
    while let Some(chunk) = media.chunk().await? {
        match to.write_all(&chunk) {
            // Nobody reads on, as when piped to `head`: that is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(bytes),
            other => other.map_err(trouble)?,
        }
        bytes += chunk.len() as u64;
    }
    to.flush().map_err(trouble)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_do_not_overwrite_one_another() {
        let mut taken = HashSet::new();
        let names = (1..).zip(["a", "a", "2-a", "A", "b"]);
        let names: Vec<String> = names.map(|(number, name)| free(&mut taken, name.to_owned(), number)).collect();
        assert_eq!(names, ["a", "2-a", "3-2-a", "4-A", "b"]);
    }

    #[test]
    fn a_servers_name_of_a_file_leads_nowhere_else() {
        for (name, file) in [
            ("report.pdf", Some("report.pdf")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\Windows\\a.txt", Some("a.txt")),
            (".bashrc", Some("bashrc")),
            ("a\u{1b}[2Jb", Some("a [2Jb")),
            ("..", None),
            ("a/", None),
            ("", None),
        ] {
            assert_eq!(file_name(name).as_deref(), file, "{name:?}");
        }
    }
}
