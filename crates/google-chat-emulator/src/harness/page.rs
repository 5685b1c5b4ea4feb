//! The page at `/`, for people: the newest spaces, the last messages and the last calls, the
//! newest first.

use std::time::SystemTime;

use google_chat::{
    Space,
    grpc_transcoding::rpc::{code_name, is_grpc},
    proto::google::chat::v1::{Message, space::SpaceType},
};
use tonic::Code;

use super::{Received, State};
use crate::lock;

/// How many of each the page shows.
const SHOWN: usize = 50;
/// How many characters of a message the page shows.
const TEXT: usize = 200;

pub(super) fn page(state: &State) -> String {
    let now = state.organization.now();
    let spaces: String = state.chat.newest(SHOWN).iter().map(space_row).collect();
    let messages: String = state.chat.newest_messages().iter().map(message_row).collect();
    let calls = lock(&state.log).last(SHOWN);
    let calls: String = calls.iter().rev().map(|call| call_row(call, now)).collect();
    let table = |head: &str, rows: &str, none: &str| match rows {
        "" => format!("<p class=none>{none}</p>"),
        rows => format!("<table><tr>{head}</tr>\n{rows}</table>"),
    };
    format!(
        include_str!("page.html"),
        address = state.endpoint(),
        spaces = table("<th>Name<th>Display name<th>Kind<th>Members<th>Created", &spaces, "No space was created yet."),
        messages = table("<th>Space<th>Sender<th>Message<th>Sent", &messages, "No message was sent yet."),
        calls = table("<th>Ago<th>Call<th>Protocol<th>Client<th>Outcome", &calls, "No call came yet."),
    )
}

fn space_row(space: &Space) -> String {
    let members = space.membership_count.unwrap_or_default();
    let (people, groups) = (members.joined_direct_human_user_count, members.joined_group_count);
    let members = if groups > 0 { format!("{people} and {groups} groups") } else { people.to_string() };
    let import = if space.import_mode { ", in import mode" } else { "" };
    let kind = SpaceType::try_from(space.space_type).unwrap_or_default().as_str_name();
    let created = space.create_time.map_or_else(String::new, |time| time.to_string());
    format!(
        "<tr><td><code>{}</code><td>{}<td>{kind}{import}<td>{members}<td>{created}</tr>\n",
        escaped(&space.name),
        escaped(&space.display_name)
    )
}

fn message_row((space, message): &(String, Message)) -> String {
    let shown: String = message.text.chars().take(TEXT).collect();
    let cut = if shown.len() < message.text.len() { "…" } else { "" };
    let more = [("card", message.cards_v2.len()), ("attachment", message.attachment.len())];
    let more: String =
        more.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!(" [{what}: {count}]")).collect();
    let sender = message.sender.as_ref().map_or("", |sender| &sender.name);
    let sent = message.create_time.map_or_else(String::new, |time| time.to_string());
    let reply = if message.thread_reply { "↳ " } else { "" };
    format!(
        "<tr><td>{}<td><code>{}</code><td>{reply}{}{cut}{more}<td>{sent}</tr>\n",
        escaped(space),
        escaped(sender),
        escaped(&shown)
    )
}

fn call_row(call: &Received, now: SystemTime) -> String {
    let ago = now.duration_since(call.at).unwrap_or_default().as_secs();
    let protocol = if is_grpc(&call.headers) { "gRPC" } else { "HTTP/JSON" };
    let agent = call.headers.get("x-goog-api-client").or_else(|| call.headers.get("user-agent"));
    let agent = agent.map_or_else(String::new, |agent| escaped(&String::from_utf8_lossy(agent.as_bytes())));
    let (class, outcome) = match call.code {
        Some(Code::Ok) => ("", "OK"),
        Some(code) => (" class=failed", code_name(code)),
        None => (" class=failed", "no response"),
    };
    let (method, target) = (escaped(call.method.as_str()), escaped(&call.target));
    format!(
        "<tr><td>{ago} s<td><code>{method} {target}</code><td>{protocol}<td><code>{agent}</code>\
         <td{class}>{outcome}</tr>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
