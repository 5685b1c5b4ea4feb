//! What a gateway says of itself: the OpenAPI document of what it serves, and a page.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
        REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Full;
use tokio::sync::OnceCell;
use tonic::{Status, body::Body};

use crate::{
    openapi::{OpenApi, STYLE, TooLarge},
    rpc::{gzip, header},
};

/// The pages, made when the first request comes.
pub(super) struct Docs {
    pub(super) document: OpenApi,
    pages: OnceCell<Pages>,
}

struct Pages {
    document: Result<Page, TooLarge>,
    page: Result<Page, TooLarge>,
    style: Page,
}

struct Page {
    content_type: &'static str,
    tag: HeaderValue,
    plain: Bytes,
    packed: Bytes,
}

/// The page runs no script, and has nothing but its own style.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where they are.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Document,
    Page,
    Style,
}

impl Place {
    /// The place that a request asks for.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let place = match path {
            "/openapi.json" => Self::Document,
            "/docs" => Self::Page,
            "/docs/style.css" => Self::Style,
            _ => return None,
        };
        [Method::GET, Method::HEAD].contains(method).then_some(place)
    }
}

impl Docs {
    pub(super) fn new(document: OpenApi) -> Self {
        Self { document, pages: OnceCell::new() }
    }

    /// The response to a request for a place.
    ///
    /// # Errors
    ///
    /// If the document, or the page, would be too large.
    pub(super) async fn answer(self: &Arc<Self>, place: Place, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        if self.pages.get().is_none() {
            let own = Arc::clone(self);
            // In a task of its own: were it to end with the request, every client that goes
            // away could have the work begin again.
            let made = tokio::spawn(async move {
                let document = own.document.clone();
                // It may take seconds.
                let make = || tokio::task::spawn_blocking(move || Pages::new(&document));
                own.pages.get_or_try_init(make).await.is_ok()
            });
            let _ = made.await;
        }
        let pages = self.pages.get().ok_or_else(|| Status::internal("the pages cannot be made"))?;
        let page = match place {
            Place::Document => pages.document.as_ref(),
            Place::Page => pages.page.as_ref(),
            Place::Style => Ok(&pages.style),
        };
        let page = page.map_err(|error| Status::unimplemented(error.to_string()))?;
        Ok(page.response(headers))
    }
}

impl Pages {
    fn new(document: &OpenApi) -> Self {
        Self {
            document: document.to_json().map(|text| Page::new("application/json", text.into())),
            page: document.to_html().map(|text| Page::new("text/html; charset=utf-8", text.into())),
            style: Page::new("text/css; charset=utf-8", Bytes::from_static(STYLE.as_bytes())),
        }
    }
}

impl Page {
    fn new(content_type: &'static str, plain: Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        plain.hash(&mut hasher);
        // Weak, since it stands for both encodings.
        let tag = HeaderValue::try_from(format!("W/\"{:016x}\"", hasher.finish()));
        let tag = tag.unwrap_or(HeaderValue::from_static("W/\"\""));
        Self { content_type, tag, packed: gzip::compress(&plain).into(), plain }
    }

    fn response(&self, headers: &HeaderMap) -> Response<Body> {
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        let tag = self.tag.to_str().unwrap_or_default().trim_start_matches("W/");
        let same = |one: &str| one == "*" || one.trim_start_matches("W/") == tag;
        let unchanged = known.flat_map(|tags| tags.split(',')).any(|one| same(one.trim()));
        let packs = header::prefers_gzip(headers);
        let body = if packs { &self.packed } else { &self.plain };
        let mut response = Response::new(Body::empty());
        let answer = response.headers_mut();
        let fixed = |name: HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
        answer.extend([
            fixed(CONTENT_TYPE, self.content_type),
            fixed(CACHE_CONTROL, "no-cache"),
            fixed(CONTENT_SECURITY_POLICY, POLICY),
            fixed(X_CONTENT_TYPE_OPTIONS, "nosniff"),
            fixed(REFERRER_POLICY, "no-referrer"),
            fixed(VARY, "accept-encoding"),
            (ETAG, self.tag.clone()),
        ]);
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        answer.insert(CONTENT_LENGTH, body.len().into());
        if packs {
            answer.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        *response.body_mut() = Body::new(Full::new(body.clone()));
        response
    }
}
