//! `gchat man`.

use std::{fs, io, path::Path};

use clap::Command;
use clap_mangen::Man;

/// Writes a page for each command.
pub(crate) fn write(mut program: Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    program = program.disable_help_subcommand(true);
    program.build();
    let common = sections(&program);
    write_page(&program, &common, folder)
}

fn write_page(command: &Command, common: &[Section], folder: &Path) -> io::Result<()> {
    for command in command.get_subcommands() {
        write_page(command, common, folder)?;
    }
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut own = sections(command);
    for section in common {
        // The settings are those of commands that make calls.
        let calls = command.get_arguments().any(|argument| argument.get_id() == "endpoint");
        match own.iter_mut().find(|own| own.heading == section.heading) {
            Some(own) if calls => own.text.push_str(&format!("\n{}", section.text)),
            None if calls || section.heading == "Exit codes" => own.push(section.clone()),
            _ => {}
        }
    }
    for section in own {
        page.extend_from_slice(section.to_roff().as_bytes());
    }
    fs::write(folder.join(man.get_filename()), page)
}

/// A part of what help says below the flags: a heading with a colon, then lines that are
/// indented.
#[derive(Clone)]
struct Section {
    heading: String,
    text: String,
}

fn sections(command: &Command) -> Vec<Section> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut sections: Vec<Section> = Vec::new();
    for line in help.lines() {
        match (line.strip_suffix(':').filter(|heading| !heading.starts_with(' ')), sections.last_mut()) {
            (Some(heading), _) => sections.push(Section { heading: heading.to_owned(), text: String::new() }),
            (None, Some(section)) => section.text.push_str(&format!("{}\n", line.strip_prefix("  ").unwrap_or(line))),
            (None, None) => {}
        }
    }
    sections
}

impl Section {
    /// The section as roff, with its lines as they are.
    fn to_roff(&self) -> String {
        let heading = match &*self.heading {
            "Exit codes" => "EXIT STATUS".to_owned(),
            heading => heading.to_uppercase(),
        };
        let mut roff = format!(".SH \"{heading}\"\n.nf\n");
        for line in self.text.trim_end().lines() {
            let line = line.replace('\\', "\\\\").replace('-', "\\-").replace('\'', "\\(aq");
            // A dot at the start of a line would be a request.
            roff.push_str(&format!("\\&{line}\n"));
        }
        roff.push_str(".fi\n");
        roff
    }
}
