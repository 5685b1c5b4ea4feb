//! The JSON files that Google's tools write, of every type.

use std::{path::Path, sync::Arc};

use ::http::HeaderValue;
use serde_json::Value;

use super::{
    Credentials, CredentialsError, Universe,
    external_account::{self, ExternalAccount},
    http::Http,
    iam::ServiceAccount,
    key::Key,
    login::Login,
    renewable::{How, Renewable},
    variable,
};

/// The members of a JSON object.
#[derive(Clone, Copy)]
pub(super) struct Members<'a>(pub(super) &'a Value);

impl<'a> Members<'a> {
    pub(super) fn required(&self, name: &str) -> Result<&'a str, String> {
        match self.optional(name)? {
            Some(text) => Ok(text),
            None => Err(format!("it has no {name}; make or download the file again")),
        }
    }

    pub(super) fn optional(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.0.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(Value::Null) | None => Ok(None),
            Some(_) => Err(format!("its {name} is not a text")),
        }
    }
}

/// What a file is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A service account's key, and nothing else.
    Key,
    Credentials,
    /// Application default credentials, of which the environment says more.
    Default,
}

/// What is the same for a file and the credentials inside it.
struct Context {
    purpose: Use,
    universe: Universe,
    http: Arc<Http>,
    /// That which comes before the file's own.
    quota_project: Option<String>,
}

/// Reads the text of a file. `place` is the file, if it is known. Every problem is in words of
/// this crate's own: what a parser says may repeat what it was given.
pub(super) fn read(json: &str, purpose: Use, place: Option<&Path>) -> Result<Credentials, CredentialsError> {
    let (what, file) = match purpose {
        Use::Key => ("the service account's key", "a key's file"),
        Use::Credentials | Use::Default => ("the credentials", "a credentials file"),
    };
    let json = json.trim_start_matches('\u{feff}');
    let parsed = serde_json::from_str(json)
        .map_err(|error| format!("it is not the JSON of {file} (line {}, column {})", error.line(), error.column()));
    let read = parsed.and_then(|json: Value| {
        if !json.is_object() {
            return Err(format!("it is not a JSON object; give the content of {file} as it is"));
        }
        let members = Members(&json);
        let universe = Universe::of_file(members.optional("universe_domain")?, purpose == Use::Default)?;
        let quota_project = (purpose == Use::Default).then(|| variable("GOOGLE_CLOUD_QUOTA_PROJECT")).flatten();
        let context = Context { purpose, universe, http: Arc::default(), quota_project };
        credentials(members, place.map(|path| path.display().to_string()), &context)
    });
    read.map_err(|problem| CredentialsError::new(format!("{what} cannot be used: {problem}")))
}

/// Reads the file at a path. The error does not repeat the path of a file that cannot be read,
/// which may be a key that came to a wrong place.
pub(super) fn read_file(path: &Path, purpose: Use) -> Result<Credentials, CredentialsError> {
    let bytes = external_account::read(path)
        .map_err(|error| CredentialsError::caused_by(format!("the file cannot be read: {error}"), error))?;
    let json = std::str::from_utf8(&bytes).map_err(|_| CredentialsError::new("the file is not a text"))?;
    read(json, purpose, Some(path))
}

fn credentials(members: Members<'_>, place: Option<String>, context: &Context) -> Result<Credentials, String> {
    const OTHERS: [&str; 5] = [
        "authorized_user",
        "external_account",
        "external_account_authorized_user",
        "gdch_service_account",
        "impersonated_service_account",
    ];
    let quota_project = members.optional("quota_project_id")?.map(str::to_owned);
    let quota_project = context.quota_project.clone().or(quota_project);
    if quota_project.as_ref().is_some_and(|project| HeaderValue::try_from(project).is_err()) {
        return Err("its quota_project_id, or GOOGLE_CLOUD_QUOTA_PROJECT, is no project's id".to_owned());
    }
    let renewable = |how, place: Option<String>| {
        Credentials::renewable(Renewable::new(how, Arc::clone(&context.http), quota_project.clone(), place))
    };
    let impersonated = |source, url: &str| {
        let delegates = members.0["delegates"].as_array().into_iter().flatten().map(|delegate| {
            let delegate = delegate.as_str().ok_or("its delegates are not texts")?;
            // Both forms are documented: an address, and a resource name.
            Ok::<_, String>(delegate.rsplit('/').next().unwrap_or_default().to_owned())
        });
        let lifetime = members.0["service_account_impersonation"]["token_lifetime_seconds"].as_u64();
        let token_uri = members.optional("token_uri")?;
        let delegates = delegates.collect::<Result<_, _>>()?;
        ServiceAccount::of_url(source, url, delegates, lifetime, token_uri, &context.universe)
            .map(|account| How::ServiceAccount(Box::new(account)))
    };
    let kind = members.0.get("type").map(|kind| kind.as_str().unwrap_or_default());
    if context.purpose == Use::Key && kind.is_some_and(|kind| OTHERS.contains(&kind)) {
        let kind = kind.unwrap_or_default();
        return Err(format!("credentials of the type {kind} are no service account's key; use Credentials::from_json"));
    }
    let how = match kind {
        // Keys that people wrote by hand may have no type.
        None | Some("service_account") => How::Key(Box::new(Key::read(&members)?)),
        Some("authorized_user") => How::Login(Box::new(Login::read(&members, &context.universe)?)),
        Some("external_account_authorized_user") => How::Login(Box::new(Login::read_workforce(&members)?)),
        Some("external_account") => {
            let account = How::ExternalAccount(Box::new(ExternalAccount::read(&members)?));
            match members.optional("service_account_impersonation_url")? {
                None => account,
                Some(url) => impersonated(renewable(account, None), url)?,
            }
        }
        Some("impersonated_service_account") => {
            let source = members.0.get("source_credentials").filter(|source| source.is_object());
            let source = Members(source.ok_or("it has no source_credentials; make or download the file again")?);
            let source = credentials(source, None, context);
            let source = source.map_err(|problem| format!("its source_credentials: {problem}"))?;
            impersonated(source, members.required("service_account_impersonation_url")?)?
        }
        Some(kind) if OTHERS.contains(&kind) => {
            return Err(format!("credentials of the type {kind} are not supported"));
        }
        Some(_) => {
            return Err(
                "its type is not known; use the key of a service account (type service_account), or a file that \
                        gcloud has written"
                    .to_owned(),
            );
        }
    };
    Ok(renewable(how, place))
}
