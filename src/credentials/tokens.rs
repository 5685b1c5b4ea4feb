//! The tokens that a source gave: one for each set of scopes. A token is fetched once,
//! however many callers wait for it, and again some time before its end.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::HeaderValue;
use tokio::{sync::watch, time::Instant};

use super::{TokenError, TokenErrorKind, lock};

/// How long before its end a token is not used any more, and how long before
/// that another is fetched.
const MARGIN: Duration = Duration::from_secs(30);
const AHEAD: Duration = Duration::from_secs(300);
/// How long nobody tries again where another could not be fetched ahead.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a token is used at most, whatever its source says.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What fetches a token. A box, since fetching one may need the token of another source.
pub(super) type Fetch = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send>>;

#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, Arc<Slot>>>);

/// The token for one set of scopes.
#[derive(Default)]
struct Slot {
    token: Mutex<Option<Token>>,
    /// The exchange that is under way, for all who wait for it.
    exchange: Mutex<Option<Exchange>>,
}

/// The outcome of an exchange, once there is one.
type Exchange = watch::Receiver<Option<Result<Token, TokenError>>>;

#[derive(Clone)]
pub(super) struct Token {
    header: HeaderValue,
    /// When to fetch another, and when to use this one no more.
    renew: Instant,
    end: Instant,
}

impl Token {
    /// A token that was asked for at a time, and lives this long from then on.
    pub(super) fn new(header: HeaderValue, asked: Instant, life: Duration) -> Self {
        let life = life.min(LONGEST);
        // A token that lives no longer than the margins is used for most of its
        // life all the same.
        let end = life.saturating_sub(MARGIN.min(life / 10));
        Self { header, renew: asked + end.saturating_sub(AHEAD.min(life / 2)), end: asked + end }
    }
}

impl Tokens {
    /// A token for the scopes; not the one that was rejected.
    pub(super) async fn token(
        &self,
        scopes: &str,
        rejected: Option<&HeaderValue>,
        fetch: impl FnOnce() -> Fetch,
    ) -> Result<HeaderValue, TokenError> {
        let slot = {
            let mut slots = lock(&self.0);
            match slots.get(scopes) {
                Some(slot) => Arc::clone(slot),
                None => Arc::clone(slots.entry(scopes.to_owned()).or_default()),
            }
        };
        let is_taken = |token: &Token| rejected != Some(&token.header);
        if let Some(token) = slot.token().filter(is_taken) {
            let is_young = |token: &Token| Instant::now() < token.renew;
            if !is_young(&token) {
                // If it fails, the token still holds for a while.
                drop(slot.exchange(is_young, fetch));
            }
            return Ok(token.header);
        }
        let mut exchange = slot.exchange(is_taken, fetch);
        let outcome = exchange.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        match outcome {
            Ok(Some(outcome)) => outcome.map(|token| token.header),
            _ => Err(TokenError::new(TokenErrorKind::Unavailable, "the exchange for a token was given up")),
        }
    }
}

impl Slot {
    fn token(&self) -> Option<Token> {
        lock(&self.token).clone().filter(|token| Instant::now() < token.end)
    }

    /// The exchange that is under way, or a new one, unless one has just ended with a token that
    /// `serves`. It goes on by itself, so that a caller who does not wait any longer takes it from
    /// nobody.
    fn exchange(self: &Arc<Self>, serves: impl Fn(&Token) -> bool, fetch: impl FnOnce() -> Fetch) -> Exchange {
        let mut under_way = lock(&self.exchange);
        // One whose task is gone, with its runtime, has no outcome any more.
        if let Some(exchange) = under_way.as_ref().filter(|exchange| exchange.has_changed().is_ok()) {
            return exchange.clone();
        }
        if let Some(token) = self.token().filter(serves) {
            return watch::channel(Some(Ok(token))).1;
        }
        let (outcome, exchange) = watch::channel(None);
        *under_way = Some(exchange.clone());
        let (fetch, slot) = (fetch(), Arc::clone(self));
        tokio::spawn(async move {
            let fetched = fetch.await;
            match (&fetched, &mut *lock(&slot.token)) {
                (Ok(token), kept) => *kept = Some(token.clone()),
                (Err(_), Some(kept)) => kept.renew = Instant::now() + PAUSE,
                (Err(_), None) => {}
            }
            *lock(&slot.exchange) = None;
            outcome.send_replace(Some(fetched));
        });
        exchange
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    fn token(name: &'static str) -> Token {
        Token::new(HeaderValue::from_static(name), Instant::now(), Duration::from_secs(3_600))
    }

    /// The clock of the test runs ahead where nothing happens.
    #[tokio::test(start_paused = true)]
    async fn a_fetch_ahead_that_fails_is_not_tried_at_every_call() {
        let (tokens, fetches) = (Tokens::default(), Arc::new(AtomicU32::new(0)));
        let fetch = || -> Fetch {
            let first = fetches.fetch_add(1, Relaxed) == 0;
            let failed = TokenError::new(TokenErrorKind::Unavailable, "no");
            Box::pin(async move { if first { Ok(token("first")) } else { Err(failed) } })
        };
        tokens.token("", None, fetch).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3_600) - AHEAD).await;
        // Each call is a second after the one before.
        for _ in 0..21 {
            assert_eq!(tokens.token("", None, fetch).await.unwrap(), "first");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(fetches.load(Relaxed), 1 + 3);
    }

    /// A caller may have looked for a token just before an exchange ended.
    #[tokio::test]
    async fn a_token_that_has_just_come_is_not_fetched_again() {
        let slot = Arc::new(Slot::default());
        *lock(&slot.token) = Some(token("first"));
        let serves = |serves: bool| {
            let mut exchange = slot.exchange(|_| serves, || Box::pin(async { Ok(token("second")) }));
            async move { exchange.wait_for(Option::is_some).await.unwrap().clone().unwrap().unwrap().header }
        };
        assert_eq!(serves(true).await, "first");
        assert_eq!(serves(false).await, "second");
    }
}
