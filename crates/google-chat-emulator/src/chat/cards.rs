//! What the cards of a message must be.
//!
//! Source: the comments of the official protos on `CardWithId` and `Card`: what they call
//! required, and the limits that they give. More than 100 widgets are no error: those beyond
//! are not shown.

use std::collections::HashSet;

use google_chat::proto::google::{
    apps::card::v1::{Button, Card, OnClick, Widget, columns, widget},
    chat::v1::{AccessoryWidget, CardWithId, accessory_widget},
};
use prost::Message;

use super::{refusal::quoted, rules::Violations};

/// The largest card, in bytes.
const CARD: usize = 32 * 1024;
const COLUMNS: usize = 2;
const ITEMS: usize = 100;

/// Checks the cards of a message.
pub(super) fn check(violations: &mut Violations, cards: &[CardWithId]) {
    let mut ids = HashSet::new();
    for (at, CardWithId { card_id, card }) in cards.iter().enumerate() {
        let field = format!("message.cards_v2[{at}]");
        if cards.len() > 1 && card_id.is_empty() {
            violations.add(&format!("{field}.card_id"), "is required if a message has several cards");
        }
        if !card_id.is_empty() && !ids.insert(card_id) {
            violations.add(&format!("{field}.card_id"), format!("{} is that of another card, too", quoted(card_id)));
        }
        match card {
            Some(card) => check_card(violations, &format!("{field}.card"), card),
            None => violations.add(&format!("{field}.card"), "is required"),
        }
    }
}

/// Checks the widgets at the bottom of a message.
pub(super) fn check_accessories(violations: &mut Violations, widgets: &[AccessoryWidget]) {
    for (at, AccessoryWidget { action }) in widgets.iter().enumerate() {
        if let Some(accessory_widget::Action::ButtonList(list)) = action {
            check_buttons(violations, &format!("message.accessory_widgets[{at}].button_list"), &list.buttons);
        }
    }
}

fn check_card(violations: &mut Violations, field: &str, card: &Card) {
    if card.encoded_len() > CARD {
        violations.add(field, format!("has {} bytes; at most {CARD} are allowed", card.encoded_len()));
        return;
    }
    if card.header.as_ref().is_some_and(|header| header.title.is_empty()) {
        violations.add(&format!("{field}.header.title"), "is required");
    }
    for (at, section) in card.sections.iter().enumerate() {
        let field = format!("{field}.sections[{at}].widgets");
        if section.widgets.is_empty() {
            violations.add(&field, "must have at least one widget");
        }
        for (at, widget) in section.widgets.iter().enumerate() {
            check_widget(violations, &format!("{field}[{at}]"), widget);
        }
    }
    let footer = card.fixed_footer.as_ref();
    if footer.is_some_and(|footer| footer.secondary_button.is_some() && footer.primary_button.is_none()) {
        violations.add(&format!("{field}.fixed_footer.primary_button"), "is required beside a secondary_button");
    }
}

fn check_widget(violations: &mut Violations, field: &str, widget: &Widget) {
    use columns::column::widgets::Data as InColumn;
    use widget::Data;

    match &widget.data {
        Some(Data::DecoratedText(text)) if text.text.is_empty() && text.content_text.is_none() => {
            violations.add(&format!("{field}.decorated_text.text"), "is required");
        }
        Some(Data::ButtonList(list)) => check_buttons(violations, &format!("{field}.button_list"), &list.buttons),
        Some(Data::TextInput(input)) => {
            if input.name.is_empty() {
                violations.add(&format!("{field}.text_input.name"), "is required");
            }
            if input.label.is_empty() && input.hint_text.is_empty() {
                violations.add(&format!("{field}.text_input.label"), "is required without a hint_text");
            }
        }
        Some(Data::SelectionInput(input)) => {
            if input.name.is_empty() {
                violations.add(&format!("{field}.selection_input.name"), "is required");
            }
            if input.items.len() > ITEMS {
                let problem = format!("has {} items; at most {ITEMS} are allowed", input.items.len());
                violations.add(&format!("{field}.selection_input.items"), problem);
            }
        }
        Some(Data::Columns(columns)) => {
            let count = columns.column_items.len();
            if count > COLUMNS {
                let problem = format!("has {count} columns; at most {COLUMNS} are allowed");
                violations.add(&format!("{field}.columns.column_items"), problem);
            }
            for (at, column) in columns.column_items.iter().enumerate() {
                for (inner, widget) in column.widgets.iter().enumerate() {
                    if let Some(InColumn::ButtonList(list)) = &widget.data {
                        let field = format!("{field}.columns.column_items[{at}].widgets[{inner}].button_list");
                        check_buttons(violations, &field, &list.buttons);
                    }
                }
            }
        }
        _ => {}
    }
}

fn check_buttons(violations: &mut Violations, field: &str, buttons: &[Button]) {
    for (at, button) in buttons.iter().enumerate() {
        let clicked = |on_click: &OnClick| on_click.data.is_some();
        if !button.on_click.as_deref().is_some_and(clicked) {
            violations.add(&format!("{field}.buttons[{at}].on_click"), "is required");
        }
    }
}
