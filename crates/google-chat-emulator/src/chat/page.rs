//! Pages of lists. A token holds where the next page begins, and a fingerprint of the call's
//! other arguments: the documentation does not say what comes of a token with other
//! arguments, and here it is refused.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prost_types::Timestamp;
use tonic::Status;

use super::refusal;

/// Where an item stands in a list. Items come in the order of their positions.
pub(super) type Position = (u64, u64);

/// A time as a part of a position.
pub(super) fn micros(time: Option<Timestamp>) -> u64 {
    let time = time.unwrap_or_default();
    let micros = time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos / 1_000));
    u64::try_from(micros).unwrap_or_default()
}

/// A name as a part of a position, which tells what has the same time apart.
pub(super) fn fingerprint(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The page that a call asks for.
pub(super) struct Page {
    size: usize,
    /// The position of the last item of the page before.
    after: Option<Position>,
    arguments: u64,
}

impl Page {
    /// The page that a size and a token stand for. A size of 0 is `usual`, and one above
    /// `most` is `most`.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT.
    pub(super) fn new(
        size: i32,
        token: &str,
        (usual, most): (usize, usize),
        arguments: impl Hash,
    ) -> Result<Self, Status> {
        let size = match usize::try_from(size) {
            Ok(0) => usual,
            Ok(size) => size.min(most),
            Err(_) => return Err(refusal::invalid_field("page_size", "must not be negative")),
        };
        let mut hasher = DefaultHasher::new();
        arguments.hash(&mut hasher);
        let mut page = Self { size, after: None, arguments: hasher.finish() };
        if !token.is_empty() {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| <[u8; 24]>::try_from(bytes).ok());
            let bytes = bytes.ok_or_else(|| refusal::invalid_field("page_token", "is none of this method's"))?;
            let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| bytes[at * 8 + byte]));
            if number(0) != page.arguments {
                let problem = "is of a call with other arguments; repeat those of the first page";
                return Err(refusal::invalid_field("page_token", problem));
            }
            page.after = Some((number(1), number(2)));
        }
        Ok(page)
    }

    /// The items of the page, and the token of the next one, which is empty if there is none.
    pub(super) fn cut<T>(&self, items: impl Iterator<Item = (Position, T)>) -> (Vec<T>, String) {
        let mut items = items.filter(|(position, _)| self.after.is_none_or(|after| *position > after));
        let (mut page, mut last) = (Vec::new(), None);
        for (position, item) in items.by_ref().take(self.size) {
            page.push(item);
            last = Some(position);
        }
        let token = match (items.next(), last) {
            (Some(_), Some(last)) => {
                let numbers = [self.arguments, last.0, last.1].map(u64::to_be_bytes);
                URL_SAFE_NO_PAD.encode(numbers.concat())
            }
            _ => String::new(),
        };
        (page, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_on_where_the_last_one_ended_though_items_go() {
        let page = |size, token: &str, arguments: &str| Page::new(size, token, (2, 3), arguments);
        let items = |gone: u64| (1..=5).filter(move |at| *at != gone).map(|at| ((at, 0), at));
        let (first, token) = page(0, "", "a").unwrap().cut(items(0));
        assert_eq!(first, [1, 2]);
        let (second, token) = page(9, &token, "a").unwrap().cut(items(2));
        assert_eq!((second, &*token), (vec![3, 4, 5], ""));
        let (all, token) = page(3, "", "a").unwrap().cut(items(5).take(3));
        assert_eq!((all.len(), &*token), (3, ""));
    }

    #[test]
    fn a_token_belongs_to_its_arguments() {
        let (_, token) = Page::new(1, "", (1, 1), "a").unwrap().cut([((1, 1), ()), ((1, 2), ())].into_iter());
        for (size, token, arguments, problem) in [
            (-1, "", "a", "page_size must not be negative"),
            (1, "x", "a", "page_token is none of this method's"),
            (1, &*token, "b", "page_token is of a call with other arguments; repeat those of the first page"),
        ] {
            let status = Page::new(size, token, (1, 1), arguments).err().unwrap();
            assert_eq!(status.message(), format!("Invalid request: {problem}."));
        }
    }
}
