//! Resource names, and who is meant by those of users.

use tonic::Status;

use super::refusal;

pub(super) const SPACE: &str = "spaces/{space}";
pub(super) const MEMBER: &str = "spaces/{space}/members/{member}";
pub(super) const MESSAGE: &str = "spaces/{space}/messages/{message}";

/// The variables of a name that has a form: of `spaces/a/messages/b` and
/// `spaces/{space}/messages/{message}`, `a` and `b`.
///
/// # Errors
///
/// INVALID_ARGUMENT, which names the field.
pub(super) fn variables<'n, const N: usize>(field: &str, name: &'n str, form: &str) -> Result<[&'n str; N], Status> {
    let mut found = [""; N];
    let mut next = found.iter_mut();
    let mut parts = name.split('/');
    let fits = form.split('/').all(|expected| match (parts.next(), expected.starts_with('{')) {
        (Some(part), true) => !part.is_empty() && next.next().map(|variable| *variable = part).is_some(),
        (part, _) => part == Some(expected),
    });
    match fits && parts.next().is_none() {
        true => Ok(found),
        false => Err(refusal::invalid_field(field, &format!("must be of the form {form}"))),
    }
}

/// Who is meant by the last part of a user's or a member's name: an email address
/// stands for the id of its user.
pub(super) fn member_id(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains('@') { user_id(last) } else { last.to_owned() }
}

/// An id of 21 digits, as users of Google have, always the same for an address.
pub(super) fn user_id(email: &str) -> String {
    // FNV-1a (RFC 9923).
    let hash = email
        .to_ascii_lowercase()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("1{hash:020}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_whole_form_or_is_refused() {
        assert_eq!(variables("name", "spaces/a/messages/b.c", MESSAGE).unwrap(), ["a", "b.c"]);
        for name in
            ["", "spaces/a", "spaces//messages/b", "spaces/a/messages/", "spaces/a/messages/b/c", "x/a/messages/b"]
        {
            let status = variables::<2>("name", name, MESSAGE).unwrap_err();
            assert_eq!(
                status.message(),
                "Invalid request: name must be of the form spaces/{space}/messages/{message}.",
                "{name}"
            );
        }
    }
}
