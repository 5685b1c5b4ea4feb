//! The metadata server of a machine in Google Cloud.
//!
//! Source: "View and query VM metadata" of Compute Engine, and its list of predefined metadata
//! keys.

use std::time::SystemTime;

use serde_json::json;

use super::{
    PROJECT, Principal, SCOPE,
    reply::{Asked, Reply},
    token::{Issued, Tokens},
};
use crate::Settings;

const FLAVOR: &str = "metadata-flavor";
const GOOGLE: &str = "Google";

pub(super) fn respond(asked: &Asked<'_>, tokens: &mut Tokens, settings: &Settings, now: SystemTime) -> Reply {
    let text = |status, text: &str| Reply { status, ..Reply::text(text) };
    let reply = if asked.headers.get(FLAVOR).is_none_or(|flavor| flavor != GOOGLE) {
        text(403, "Missing required header: Metadata-Flavor: Google")
    } else {
        let path = asked.path.trim_start_matches("/computeMetadata/v1/").trim_end_matches('/');
        match (path, &settings.metadata_account) {
            ("", _) => text(200, "computeMetadata/\n"),
            ("project/project-id", _) => text(200, PROJECT),
            ("universe/universe-domain", _) => text(200, "googleapis.com"),
            (path, Some(account)) => match path.strip_prefix("instance/service-accounts/") {
                Some(path) => service_account(path, account, asked, tokens, settings, now),
                None => text(404, "not found"),
            },
            _ => text(404, "service account not found"),
        }
    };
    reply.with_header(FLAVOR, GOOGLE)
}

/// Answers for the account that the machine runs as.
fn service_account(
    path: &str,
    account: &str,
    asked: &Asked<'_>,
    tokens: &mut Tokens,
    settings: &Settings,
    now: SystemTime,
) -> Reply {
    let (name, what) = path.split_once('/').unwrap_or((path, ""));
    if name != "default" && name != account {
        return Reply { status: 404, ..Reply::text("service account not found") };
    }
    let in_full = |scope: &String| if scope.contains("://") { scope.clone() } else { format!("{SCOPE}{scope}") };
    let allowed: Vec<String> = settings.metadata_scopes.iter().map(in_full).collect();
    match what {
        "" => Reply::json(&json!({"aliases": ["default"], "email": account, "scopes": allowed})),
        "email" => Reply::text(account),
        "scopes" => Reply::text(allowed.iter().map(|scope| format!("{scope}\n")).collect::<String>()),
        "token" => {
            // What is asked for and not allowed is left out, without a word. A part of
            // `cloud-platform` is allowed with it; the scopes of Google Chat are none.
            let chat = format!("{SCOPE}chat.");
            let all_of_cloud = allowed.contains(&format!("{SCOPE}cloud-platform"));
            let is_given = |scope: &&str| {
                allowed.iter().any(|allowed| allowed == scope) || all_of_cloud && !scope.starts_with(&chat)
            };
            let wanted = asked.parameter("scopes");
            let given: Vec<&str> = match &wanted {
                Some(wanted) => wanted.split(',').filter(is_given).collect(),
                None => allowed.iter().map(String::as_str).collect(),
            };
            let issued = Issued {
                principal: Principal::ServiceAccount(account.to_owned()),
                scopes: super::scopes(&given.join(" ")),
                client_id: None,
            };
            tokens.answer(issued, settings, now).map_or_else(|refused| refused, |answer| Reply::json(&answer))
        }
        _ => Reply { status: 404, ..Reply::text("not found") },
    }
}
