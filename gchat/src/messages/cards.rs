//! Cards from a file: in each of the forms in which people have them.

use google_chat::{
    Message,
    proto::google::{apps::card::v1::Card, chat::v1::CardWithId},
    protojson::ParseError,
};
use serde_json::Value;

use crate::output;

/// Reads one card (`{"header": …, "sections": …}`), one with its id (`{"cardId": …, "card": …}`),
/// or those of a message (`{"cardsV2": [ … ]}`, as Google's card builder has them, or the list
/// alone).
///
/// # Errors
///
/// If the text is none of these; the line and the column are those of the text.
pub(super) fn read(json: &str) -> Result<Vec<CardWithId>, String> {
    let schema = output::schema();
    let told = |error: ParseError| error.to_string();
    // Text that is no JSON at all is refused as a card.
    let value: Value = serde_json::from_str(json).unwrap_or_default();
    let has = |names: [&str; 2]| names.iter().any(|name| value.get(name).is_some());
    if has(["cardsV2", "cards_v2"]) {
        let message: Message = schema.from_json(json).map_err(told)?;
        let only_cards = Message { cards_v2: message.cards_v2.clone(), ..Message::default() };
        match message == only_cards {
            true => Ok(message.cards_v2),
            false => Err("there is more than cards in it; give the text and the rest by flags".to_owned()),
        }
    } else if has(["card", "cardId"]) || has(["card", "card_id"]) {
        Ok(vec![schema.from_json(json).map_err(told)?])
    } else if value.is_array() {
        // In a line of its own, so that columns stay what they are.
        let message: Message = schema.from_json(format!("{{\"cardsV2\":\n{json}\n}}")).map_err(|error| {
            let place = if error.path().is_empty() { String::new() } else { format!("{}: ", error.path()) };
            format!("{place}{} (line {}, column {})", error.problem(), error.line() - 1, error.column())
        })?;
        Ok(message.cards_v2)
    } else {
        let card: Card = schema.from_json(json).map_err(told)?;
        Ok(vec![CardWithId { card: Some(card), ..CardWithId::default() }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_read_in_every_form() {
        let card = r#"{"header":{"title":"T"}}"#;
        let with_id = format!(r#"{{"cardId":"c","card":{card}}}"#);
        for (json, ids) in [
            (card.to_owned(), &[""][..]),
            (with_id.clone(), &["c"]),
            (format!(r#"{{"cardsV2":[{with_id},{with_id}]}}"#), &["c", "c"]),
            (format!(r#"{{"cards_v2":[{with_id}]}}"#), &["c"]),
            (format!(" [{with_id}]"), &["c"]),
        ] {
            let cards = read(&json).unwrap();
            let title = |card: &CardWithId| card.card.as_ref()?.header.as_ref().map(|header| header.title.clone());
            assert!(cards.iter().all(|card| title(card).as_deref() == Some("T")), "{json}");
            assert_eq!(cards.iter().map(|card| &*card.card_id).collect::<Vec<_>>(), ids, "{json}");
        }
        for (json, problem) in [
            ("{\n  \"header\": {\"titel\": \"T\"}}", "header.titel: unknown field (line 2, column 14)"),
            ("[\n{\"card\": {\"x\": 1}}]", "x: unknown field (line 2, column 11)"),
            ("{\"cardsV2\": 3}", "cardsV2"),
            ("{\"cardsV2\": [], \"text\": \"a\"}", "there is more than cards in it"),
            ("{\n\"header\":", "line 2"),
            ("", "line 1"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(problem), "{json}: {error}");
        }
    }
}
