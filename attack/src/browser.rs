//! What a web page can have a browser send to a server on the user's own machine.

use std::{collections::BTreeSet, net::SocketAddr};

use serde_json::Value;

use crate::{
    Attack, Result, Row, http1, listed,
    program::{Process, Stage},
};

const EVIL: &str = "Origin: https://evil.example\r\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const TEXT: &str = "Content-Type: text/plain\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const CROSS_SITE: &str = "Sec-Fetch-Site: cross-site\r\n";
const SPACE: &str = r#"{"displayName":"From a page","spaceType":"SPACE"}"#;
/// A token that must not come out again.
const TOKEN: &str = "ya29.secret-of-the-user";

pub(crate) fn attacks() -> Vec<Attack> {
    vec![
        Attack { name: "browser/spaces", run: |stage| Box::pin(spaces(stage, false)) },
        Attack { name: "browser/spaces-by-gateway", run: |stage| Box::pin(spaces(stage, true)) },
        Attack { name: "browser/emulator-state", run: |stage| Box::pin(state(stage)) },
        Attack { name: "browser/rebinding", run: |stage| Box::pin(rebinding(stage)) },
        Attack { name: "browser/tokens", run: |stage| Box::pin(tokens(stage)) },
    ]
}

/// A request as a browser would send it, with `\r\n` after each header.
fn request(method: &str, target: &str, host: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

async fn json(address: SocketAddr, request: &str) -> Result<Value> {
    let answer = http1::exchange(address, request).await?;
    match answer.status {
        200 => Ok(serde_json::from_slice(&answer.body)?),
        status => Err(format!("a proper client's request was answered {status}: {}", answer.text()).into()),
    }
}

/// Creates a space as a proper client does; its name.
async fn create(emulator: SocketAddr, display_name: &str) -> Result<String> {
    let body = format!(r#"{{"displayName":"{display_name}","spaceType":"SPACE"}}"#);
    let space = json(emulator, &http1::post(emulator, "/v1/spaces", &body)).await?;
    Ok(space["name"].as_str().unwrap_or_default().to_owned())
}

/// The names of all spaces.
async fn names(emulator: SocketAddr) -> Result<BTreeSet<String>> {
    let list = json(emulator, &http1::get(emulator, "/v1/spaces?pageSize=1000")).await?;
    let spaces = list["spaces"].as_array().into_iter().flatten();
    Ok(spaces.filter_map(|space| space["name"].as_str()).map(str::to_owned).collect())
}

/// Pages that would create and delete spaces, straight at the emulator or by way of a gateway.
async fn spaces(stage: &Stage, by_gateway: bool) -> Result<Row> {
    let emulator = stage.emulator(&[])?;
    let gateway: Option<Process> = match by_gateway {
        false => None,
        true => {
            let schema = stage.fresh("chat.bin");
            let output = schema.display().to_string();
            stage.command(&["schema", "--output", &output]).status()?;
            Some(stage.gateway_of(&schema, emulator.address, &[])?)
        }
    };
    let target = gateway.as_ref().map_or(emulator.address, |gateway| gateway.address);
    let own = target.to_string();
    let (mut count, mut harm) = (0, Vec::new());
    let deletes = ["?$httpMethod=DELETE", "?%24httpMethod=DELETE", "?a=b&$httpMethod=DELETE"];
    let mut cases: Vec<(String, &str, bool, &str, String, &str)> = Vec::new();
    for delete in deletes {
        for (what, headers) in [
            ("a form", format!("{FORM}{EVIL}{CROSS_SITE}")),
            ("a form of an old browser", FORM.to_owned()),
            ("a form of plain text", TEXT.to_owned()),
            ("a form whose origin is null", format!("{FORM}Origin: null\r\n")),
            ("a fetch without a body", String::new()),
            ("a fetch without a body, cross-site", format!("{EVIL}{CROSS_SITE}")),
            ("a fetch of JSON", format!("{JSON}{EVIL}")),
        ] {
            cases.push((format!("{what}, {delete}"), "POST", true, delete, headers, ""));
        }
    }
    cases.push((
        "a fetch with an override".to_owned(),
        "POST",
        true,
        "",
        format!("X-HTTP-Method-Override: DELETE\r\n{EVIL}"),
        "",
    ));
    cases.push(("a DELETE".to_owned(), "DELETE", true, "", EVIL.to_owned(), ""));
    cases.push(("a DELETE, cross-site".to_owned(), "DELETE", true, "", CROSS_SITE.to_owned(), ""));
    for (what, headers) in [
        ("a body without a type", String::new()),
        ("a body without a type, cross-site", format!("{EVIL}{CROSS_SITE}")),
        ("plain text", TEXT.to_owned()),
        ("a form of JSON", FORM.to_owned()),
        ("JSON of another origin", format!("{JSON}{EVIL}")),
        ("JSON of the origin null", format!("{JSON}Origin: null\r\n")),
        ("JSON, cross-site", format!("{JSON}{CROSS_SITE}")),
        ("JSON, same-site", format!("{JSON}Sec-Fetch-Site: same-site\r\n")),
    ] {
        cases.push((format!("{what} to create"), "POST", false, "", headers, SPACE));
    }
    let mut victim = create(emulator.address, "Victim").await?;
    let mut before = names(emulator.address).await?;
    for (what, method, at_space, query, headers, body) in cases {
        let path = if at_space { format!("/v1/{victim}{query}") } else { "/v1/spaces".to_owned() };
        // Refused by closing the connection is refused as well.
        drop(http1::exchange(target, request(method, &path, &own, &headers, body)).await);
        count += 1;
        let after = names(emulator.address).await?;
        if after != before {
            harm.push(what);
            if !after.contains(&victim) {
                victim = create(emulator.address, &format!("Victim {count}")).await?;
            }
            before = names(emulator.address).await?;
        }
    }
    let by = if by_gateway { " by way of a gateway" } else { "" };
    Ok(Row {
        attack: format!("{count} requests that pages of other origins can send{by}, to create and delete spaces"),
        limit: "nothing changes; a proper client still creates a space".to_owned(),
        held: harm.is_empty(),
        outcome: format!("{} of {count} changed the spaces{}", harm.len(), listed(&harm)),
    })
}

/// Pages that would change the emulator: its clock, its faults, its settings.
async fn state(stage: &Stage) -> Result<Row> {
    let emulator = stage.emulator(&[])?;
    let address = emulator.address;
    let own = address.to_string();
    let (mut count, mut harm) = (0, Vec::new());
    for (what, headers) in [
        ("plain text", TEXT.to_owned()),
        ("a body without a type", String::new()),
        ("a form", format!("{FORM}{EVIL}{CROSS_SITE}")),
        ("JSON of another origin", format!("{JSON}{EVIL}")),
        ("JSON, cross-site", format!("{JSON}{CROSS_SITE}")),
    ] {
        for (method, target, body) in [
            ("POST", "/emulator/clock", r#"{"advance":3600}"#),
            ("POST", "/emulator/faults", r#"{"next":["unavailable"]}"#),
            ("PATCH", "/emulator/settings", r#"{"apiEnabled":false}"#),
        ] {
            let before = observed(address).await?;
            drop(http1::exchange(address, request(method, target, &own, &headers, body)).await);
            count += 1;
            if observed(address).await? != before {
                harm.push(format!("{method} {target} as {what}"));
            }
            // As it was, for the next.
            json(address, &patch(address, r#"{"apiEnabled":true}"#)).await?;
        }
    }
    Ok(Row {
        attack: format!("{count} requests of pages to the emulator's clock, faults and settings"),
        limit: "nothing changes; a proper client still moves the clock".to_owned(),
        held: harm.is_empty(),
        outcome: format!("{} of {count} changed something{}", harm.len(), listed(&harm)),
    })
}

fn patch(emulator: SocketAddr, body: &str) -> String {
    request("PATCH", "/emulator/settings", &emulator.to_string(), JSON, body)
}

/// What a call is answered with, the clock, and the settings.
async fn observed(emulator: SocketAddr) -> Result<(u16, Value, Value)> {
    let call = http1::exchange(emulator, http1::get(emulator, "/v1/spaces")).await?;
    let clock = json(emulator, &http1::post(emulator, "/emulator/clock", r#"{"advance":0}"#)).await?;
    let settings = json(emulator, &http1::get(emulator, "/emulator/settings")).await?;
    Ok((call.status, clock, settings))
}

/// A page whose host name was made to resolve to 127.0.0.1: for the browser it is one origin
/// with the server.
async fn rebinding(stage: &Stage) -> Result<Row> {
    let emulator = stage.emulator(&[])?;
    let schema = stage.fresh("chat.bin");
    let output = schema.display().to_string();
    stage.command(&["schema", "--output", &output]).status()?;
    let gateway = stage.gateway_of(&schema, emulator.address, &[])?;
    let (mut count, mut harm) = (0, Vec::new());
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.1", "[2001:db8::1]"] {
        for (server, address, targets) in [
            ("emulator", emulator.address, &["/emulator/calls", "/emulator/settings", "/", "/v1/spaces"][..]),
            ("gateway", gateway.address, &["/v1/spaces"]),
        ] {
            let host = format!("{host}:{}", address.port());
            for target in targets {
                count += 1;
                let answer = http1::exchange(address, request("GET", target, &host, "", "")).await;
                if answer.is_ok_and(|answer| answer.status == 200) {
                    harm.push(format!("{server} {target} as {host}"));
                }
            }
            let before = names(emulator.address).await?;
            count += 1;
            let create = request("POST", "/v1/spaces", &host, &format!("{JSON}Origin: http://{host}\r\n"), SPACE);
            drop(http1::exchange(address, create).await);
            if names(emulator.address).await? != before {
                harm.push(format!("{server} creates as {host}"));
            }
        }
    }
    Ok(Row {
        attack: format!("{count} requests with foreign host names on loopback (DNS rebinding)"),
        limit: "only loopback's and configured host names are served".to_owned(),
        held: harm.is_empty(),
        outcome: format!("{} of {count} were served{}", harm.len(), listed(&harm)),
    })
}

/// Tokens that callers sent do not come out again.
async fn tokens(stage: &Stage) -> Result<Row> {
    let emulator = stage.emulator(&[])?;
    let address = emulator.address;
    for (target, headers) in [
        ("/v1/spaces".to_owned(), format!("Authorization: Bearer {TOKEN}\r\n")),
        ("/v1/spaces".to_owned(), format!("X-Goog-Api-Key: {TOKEN}\r\nCookie: session={TOKEN}\r\n")),
        (format!("/v1/spaces?access_token={TOKEN}"), String::new()),
        (format!("/v1/spaces?key={TOKEN}"), String::new()),
    ] {
        drop(http1::exchange(address, request("GET", &target, &address.to_string(), &headers, "")).await?);
    }
    let (mut shown, mut calls) = (Vec::new(), 0);
    for target in ["/emulator/calls", "/"] {
        let answer = http1::exchange(address, http1::get(address, target)).await?;
        calls += answer.text().matches("/v1/spaces").count();
        let count = answer.text().matches(TOKEN).count();
        if count > 0 {
            shown.push(format!("{count} times at {target}"));
        }
    }
    Ok(Row {
        attack: "calls with secrets in headers and in the query; then the list of calls is read".to_owned(),
        limit: "no secret comes out".to_owned(),
        held: shown.is_empty() && calls > 0,
        outcome: match shown.is_empty() {
            true => format!("the calls are listed ({calls} mentions), no secret is shown"),
            false => format!("the secret is shown {}", shown.join(", ")),
        },
    })
}
