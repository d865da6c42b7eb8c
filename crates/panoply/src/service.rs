use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use tower_layer::Layer;
use tower_service::Service;

use crate::request_body::BoxError;
use crate::{Body, Connection, Rejection, RequestBody, Shield};

/// A service behind a [`Shield`]: the only plumbing there is.
#[derive(Clone, Debug)]
pub struct ShieldService<S> {
    shield: Arc<Shield>,
    inner: S,
    /// Why the inner service will never be ready again.
    failed: Option<Arc<str>>,
}

impl<S> Layer<S> for Shield {
    type Service = ShieldService<S>;

    fn layer(&self, inner: S) -> ShieldService<S> {
        ShieldService { shield: Arc::new(self.clone()), inner, failed: None }
    }
}

impl<S, B, R> Service<Request<B>> for ShieldService<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: HttpBody<Error: Into<BoxError>> + Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
{
    type Response = Response<Body<R>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body<R>>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A shield never errs, so it is ready to say that its inner service failed; that one is not asked again.
        if self.failed.is_none()
            && let Err(error) = ready!(self.inner.poll_ready(context))
        {
            self.failed = Some(error.into().to_string().into());
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shield = Arc::clone(&self.shield);
        // The service that was polled ready is the one to call; a clone takes its place.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let failed = self.failed.clone();
        Box::pin(async move {
            let connection = connection(&request);
            let (answer, _) = shield
                .pass(connection, request, |visitor, mut request| {
                    request.extensions_mut().insert(visitor);
                    let answer = match failed {
                        None => Ok(ready.call(request)),
                        Some(reason) => {
                            Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, reason.as_ref().to_owned()))
                        }
                    };
                    async move {
                        answer?.await.map_err(|error| {
                            Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, error.into().to_string())
                        })
                    }
                })
                .await;
            Ok(answer)
        })
    }
}

/// What the server said of the connection: [`Connection`] itself, or axum's `ConnectInfo`.
fn connection<B>(request: &Request<B>) -> Connection {
    if let Some(connection) = request.extensions().get::<Connection>() {
        return *connection;
    }
    #[cfg(feature = "axum")]
    if let Some(info) = request.extensions().get::<axum::extract::ConnectInfo<std::net::SocketAddr>>() {
        return Connection::plain(info.0);
    }
    Connection::unknown()
}
