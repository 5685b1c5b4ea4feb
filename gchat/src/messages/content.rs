//! What a message says, as flags.

use std::{collections::HashSet, path::PathBuf};

use google_chat::Message;

use super::cards;
use crate::{failure::Failure, input};

#[derive(clap::Args)]
#[command(next_help_heading = "Message")]
pub(super) struct Content {
    /// The text, with Google Chat's marks (*bold*, `code`), or - for standard input
    #[arg(value_name = "TEXT|-")]
    text: Option<String>,
    /// A file with the text
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// A file with a card as JSON, or with cardsV2; or - for standard input; can be repeated
    #[arg(long, value_name = "FILE|-")]
    card: Vec<String>,
}

impl Content {
    /// The message with this content.
    pub(super) fn message(&self) -> Result<Message, Failure> {
        let text = match (&self.text, &self.file) {
            (Some(text), _) => input::message(text)?,
            (None, Some(file)) => input::read(&file.to_string_lossy())?,
            (None, None) => String::new(),
        };
        let mut message = Message::text(text.trim_end_matches(['\n', '\r']));
        for file in &self.card {
            let json = input::read(file)?;
            let cards = cards::read(&json).map_err(|error| Failure::usage(file.clone()).because(error))?;
            message.cards_v2.extend(cards);
        }
        // The API tells the cards of a message apart by their ids.
        let given: HashSet<String> = message.cards_v2.iter().map(|card| card.card_id.clone()).collect();
        let mut free = (1..).map(|number| format!("card-{number}")).filter(|id| !given.contains(id));
        for card in message.cards_v2.iter_mut().filter(|card| card.card_id.is_empty()) {
            card.card_id.extend(free.next());
        }
        Ok(message)
    }

    /// The fields that are given, in proto names.
    pub(super) fn mask(&self) -> Vec<&'static str> {
        let has_text = self.text.is_some() || self.file.is_some();
        [has_text.then_some("text"), (!self.card.is_empty()).then_some("cards_v2")].into_iter().flatten().collect()
    }
}
