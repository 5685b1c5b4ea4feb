//! How calls travel, and the choice where it is left to the network.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::sync::OnceCell;
use tonic::{Status, body::Body};
use tower::{Service, ServiceExt};

use super::{BoxError, Connector, Origin, failure::unavailable};
use crate::rpc::{deadline::Deadline, response::failure};

/// How calls travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// gRPC where the network between lets HTTP/2 through, else HTTP/JSON.
    ///
    /// The first connection decides, for as long as the client lives: gRPC if TLS
    /// agreed on HTTP/2 there (ALPN). Without TLS it is gRPC on loopback, else
    /// HTTP/JSON. A response never decides, whatever it is.
    #[default]
    Auto,
    /// gRPC over HTTP/2.
    Grpc,
    /// HTTP/JSON, by gRPC Transcoding. Passes wherever HTTP passes.
    HttpJson,
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "gRPC or HTTP/JSON",
            Self::Grpc => "gRPC",
            Self::HttpJson => "HTTP/JSON",
        })
    }
}

/// Which of the protocols calls use. Clones share the choice.
#[derive(Clone, Debug)]
pub struct Choice {
    /// `None` where the choice is fixed.
    connector: Option<Connector>,
    chosen: Arc<OnceCell<Wire>>,
}

impl Choice {
    /// Leaves the choice to the first connection that `connector` makes to `origin`, as
    /// [`Wire::Auto`] says.
    pub fn auto(connector: Connector, origin: &Origin) -> Self {
        let known = match origin.is_https() {
            true => None,
            false if origin.is_confidential() => Some(Wire::Grpc),
            false => Some(Wire::HttpJson),
        };
        Self { connector: Some(connector), chosen: Arc::new(OnceCell::new_with(known)) }
    }

    /// Has all calls use one protocol: HTTP/JSON, unless it is [`Wire::Grpc`].
    pub fn fixed(wire: Wire) -> Self {
        Self { connector: None, chosen: Arc::new(OnceCell::new_with(Some(wire))) }
    }

    /// The choice; `None` as long as no connection has decided.
    pub fn get(&self) -> Option<Wire> {
        self.chosen.get().copied()
    }

    /// The choice, for which a connection is made where none has decided yet.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE if there is no connection.
    pub async fn decide(&self) -> Result<Wire, Status> {
        let (None, Some(connector)) = (self.get(), &self.connector) else {
            return Ok(self.get().unwrap_or_default());
        };
        let choose = async || Ok(if connector.speaks_h2().await? { Wire::Grpc } else { Wire::HttpJson });
        let chosen = self.chosen.get_or_try_init(choose).await;
        chosen.copied().map_err(|error: BoxError| unavailable("the request failed", &*error))
    }
}

/// A service that sends calls by one of two, gRPC or HTTP/JSON, as
/// [`Wire::Auto`] says. Clones share the choice.
///
/// ```
/// # fn over(pool: grpc_transcoding::DescriptorPool) -> Result<(), Box<dyn std::error::Error>> {
/// use grpc_transcoding::client::{Auto, Choice, Grpc, HttpJson, Origin, connector};
///
/// let endpoint = "https://library.googleapis.com";
/// let origin = Origin::parse(endpoint)?;
/// let connector = connector(&origin)?;
/// let service = Auto::by(Choice::auto(connector.clone(), &origin))
///     .http_json(HttpJson::builder(pool, endpoint).build_connecting(connector.clone())?)
///     .grpc(Grpc::over(connector, origin));
/// // LibraryClient::new(service), or any other generated stub
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Auto<G = (), J = ()> {
    grpc: G,
    http_json: J,
    choice: Choice,
}

impl Auto {
    /// Begins to make the service for a choice. The services for both protocols are to be
    /// set.
    pub fn by(choice: Choice) -> Self {
        Self { grpc: (), http_json: (), choice }
    }
}

impl<G, J> Auto<G, J> {
    /// Sets the service that sends calls as gRPC.
    #[must_use]
    pub fn grpc<S>(self, grpc: S) -> Auto<S, J> {
        Auto { grpc, http_json: self.http_json, choice: self.choice }
    }

    /// Sets the service that sends calls as HTTP/JSON.
    #[must_use]
    pub fn http_json<S>(self, http_json: S) -> Auto<G, S> {
        Auto { grpc: self.grpc, http_json, choice: self.choice }
    }
}

impl<G, J> Service<Request<Body>> for Auto<G, J>
where
    G: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    G::Future: Send,
    J: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    J::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Which of the two it will be is not known yet.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Request<Body>) -> Self::Future {
        match self.choice.get() {
            Some(Wire::Grpc) => return Box::pin(self.grpc.clone().oneshot(call)),
            Some(_) => return Box::pin(self.http_json.clone().oneshot(call)),
            None => {}
        }
        let this = self.clone();
        let deadline = Deadline::of(call.headers());
        let response = Box::pin(async move {
            match this.choice.decide().await {
                Ok(Wire::Grpc) => this.grpc.oneshot(call).await,
                Ok(_) => this.http_json.oneshot(call).await,
                Err(status) => Ok(failure(status)),
            }
        });
        deadline.hold(response, |expired| Ok(expired.into_http()))
    }
}
