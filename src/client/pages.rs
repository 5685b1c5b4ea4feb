//! All pages of a method that lists, and all of their items.

use std::{
    collections::HashSet,
    fmt,
    future::{IntoFuture, poll_fn},
    hash::BuildHasher,
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use futures_core::Stream;
use tonic::Status;

use super::{
    Error,
    call::{Boxed, Call, MethodRequest},
};
use crate::proto::google::chat::v1::{SearchSpacesRequest, SearchSpacesResponse, Space};

/// The request of a method that responds with a page of a list
/// ([AIP-158](https://google.aip.dev/158)). Generated from the protos.
pub trait PageRequest: MethodRequest {
    /// What the list holds.
    type Item;

    /// The token that asks for a page; empty for the first.
    fn page_token_mut(&mut self) -> &mut String;

    /// The token of the page after this one; empty on the last.
    fn next_page_token(page: &Self::Response) -> &str;

    /// The items of a page.
    fn items(page: Self::Response) -> Vec<Self::Item>;
}

/// Not generated, since its pages have two lists.
impl PageRequest for SearchSpacesRequest {
    type Item = Space;

    fn page_token_mut(&mut self) -> &mut String {
        &mut self.page_token
    }

    fn next_page_token(page: &SearchSpacesResponse) -> &str {
        &page.next_page_token
    }

    fn items(page: SearchSpacesResponse) -> Vec<Space> {
        let found: Vec<Space> = page.results.into_iter().filter_map(|result| result.space).collect();
        // Before there were results, a page had its spaces in this field.
        #[allow(deprecated, reason = "servers of before have no other")]
        let before = page.spaces;
        if found.is_empty() { before } else { found }
    }
}

impl<Rq: PageRequest> Call<Rq> {
    /// All pages, from the one that the request asks for, as a stream. Each is a call of its own,
    /// with the same request but for the page's token, and is made when the one before was
    /// taken: to drop the stream ends the list.
    ///
    /// A page can be empty though more follow. `page_size` is how many items a page has at
    /// most; it does not limit the list.
    pub fn pages(self) -> Pages<Rq> {
        Pages { state: State::Next, call: self, tokens: HashSet::new() }
    }

    /// The items of all pages, as a stream; see [`pages`](Self::pages).
    ///
    /// ```no_run
    /// # async fn example(chat: google_chat::Client) -> Result<(), google_chat::Error> {
    /// let mut members = chat.list_memberships("spaces/AAQAjCNSsU0").items();
    /// while let Some(membership) = members.next().await {
    ///     println!("{}", membership?.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn items(self) -> Items<Rq> {
        Items { pages: self.pages(), page: Vec::new().into_iter() }
    }
}

/// All pages of a list: see [`Call::pages`]. It ends after an error.
#[must_use = "a stream does nothing until it is polled"]
pub struct Pages<Rq: PageRequest> {
    state: State<Rq::Response>,
    call: Call<Rq>,
    /// Hashes of the tokens of the pages that were asked for. A token may be long, and a list may
    /// have very many pages.
    tokens: HashSet<u64>,
}

enum State<P> {
    /// The next page can be asked for.
    Next,
    /// A page was asked for.
    Asked(Boxed<P>),
    /// The token of the next page is that of a page before.
    Repeated,
    Ended,
}

/// The items of all pages of a list: see [`Call::items`]. It ends after an error.
#[must_use = "a stream does nothing until it is polled"]
pub struct Items<Rq: PageRequest> {
    pages: Pages<Rq>,
    page: vec::IntoIter<Rq::Item>,
}

// Nothing in them is pinned: the future of a page has a box of its own.
impl<Rq: PageRequest> Unpin for Pages<Rq> {}
impl<Rq: PageRequest> Unpin for Items<Rq> {}

impl<Rq: PageRequest> Pages<Rq> {
    /// The next page; `None` after the last, and after an error.
    pub async fn next(&mut self) -> Option<Result<Rq::Response, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl<Rq: PageRequest> Stream for Pages<Rq> {
    type Item = Result<Rq::Response, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Next => this.state = State::Asked(this.call.clone().into_future()),
                State::Asked(page) => {
                    let page = ready!(page.as_mut().poll(context));
                    this.state = match &page {
                        Ok(page) => this.call.after(page, &mut this.tokens),
                        Err(_) => State::Ended,
                    };
                    return Poll::Ready(Some(page));
                }
                State::Repeated => {
                    this.state = State::Ended;
                    let status = Status::internal(
                        "the server gave the token of a page before as that of the next page, so that the list would \
                         not end; list again, from the first page",
                    );
                    return Poll::Ready(Some(Err(this.call.failed(status))));
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl<Rq: PageRequest> Call<Rq> {
    /// Has the request ask for the page after `page`, if there is one.
    fn after(&mut self, page: &Rq::Response, tokens: &mut HashSet<u64>) -> State<Rq::Response> {
        let token = Rq::next_page_token(page).to_owned();
        if token.is_empty() {
            return State::Ended;
        }
        let next = tokens.hasher().hash_one(&token);
        let asked = std::mem::replace(self.request.page_token_mut(), token);
        tokens.insert(tokens.hasher().hash_one(&asked));
        if tokens.contains(&next) { State::Repeated } else { State::Next }
    }
}

impl<Rq: PageRequest> Items<Rq> {
    /// The next item; `None` after the last, and after an error.
    pub async fn next(&mut self) -> Option<Result<Rq::Item, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl<Rq: PageRequest> Stream for Items<Rq> {
    type Item = Result<Rq::Item, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(item) = this.page.next() {
                return Poll::Ready(Some(Ok(item)));
            }
            match ready!(Pin::new(&mut this.pages).poll_next(context)) {
                Some(Ok(page)) => this.page = Rq::items(page).into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let ended = matches!(self.pages.state, State::Ended);
        (self.page.len(), ended.then_some(self.page.len()))
    }
}

impl<Rq: PageRequest> fmt::Debug for Pages<Rq> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("call", &self.call).finish_non_exhaustive()
    }
}

impl<Rq: PageRequest> fmt::Debug for Items<Rq> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("pages", &self.pages).finish_non_exhaustive()
    }
}
