//! An answer that is made to its end, whether or not somebody waits for it.
//!
//! Where an app judges a password, its answer is what counts the guess. hyper drops what it was making as soon as the
//! visitor hangs up; but the app has the password by then, and goes on. Whoever could look elsewhere whether he is in,
//! with a session that he brought along, say, would guess for next to nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http::header::AUTHORIZATION;
use http::{Method, Request};
use pin_project_lite::pin_project;
use tokio::runtime::Handle;

/// Says while an answer is made that it must be made to its end.
#[derive(Clone, Debug)]
pub(crate) struct Lasts(Option<Arc<AtomicBool>>);

impl Lasts {
    /// What brings no password is asked for by most, and costs nothing here.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let may_bring_a_password = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
            || request.uri().query().is_some()
            || request.headers().contains_key(AUTHORIZATION);
        Self(may_bring_a_password.then(Arc::default))
    }

    pub(crate) fn to_the_end(&self) {
        if let Some(lasts) = &self.0 {
            lasts.store(true, Ordering::Relaxed);
        }
    }

    fn is_to_the_end(&self) -> bool {
        self.0.as_ref().is_some_and(|lasts| lasts.load(Ordering::Relaxed))
    }
}

/// The making of an answer, which goes on without its visitor where its [`Lasts`] was told so.
#[derive(Debug)]
pub(crate) struct Lasting<F: Future<Output: Send> + Send + 'static> {
    making: Option<Pin<Box<F>>>,
    lasts: Lasts,
}

pin_project! {
    /// The same for any request: what brings no password needs no box of its own.
    #[project = Projection]
    #[derive(Debug)]
    pub(crate) enum Answering<F: Future<Output: Send>>
    where
        F: Send,
        F: 'static,
    {
        Passing { #[pin] making: F },
        Lasting { making: Lasting<F> },
    }
}

impl<F: Future<Output: Send> + Send + 'static> Lasting<F> {
    pub(crate) fn new(lasts: Lasts, make: impl FnOnce(Lasts) -> F) -> Self {
        Self { making: Some(Box::pin(make(lasts.clone()))), lasts }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Answering<F> {
    pub(crate) fn new(lasts: Lasts, make: impl FnOnce(Lasts) -> F) -> Self {
        match lasts {
            Lasts(None) => Self::Passing { making: make(lasts) },
            lasts => Self::Lasting { making: Lasting::new(lasts, make) },
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Lasting<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(making) = &mut self.making else { return Poll::Pending }; // it was made
        let made = ready!(making.as_mut().poll(context));
        self.making = None;
        Poll::Ready(made)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Answering<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            Projection::Passing { making } => making.poll(context),
            Projection::Lasting { making } => Pin::new(making).poll(context),
        }
    }
}

/// It keeps the place of its connection, so that nobody has more of them under way than he may have.
impl<F: Future<Output: Send> + Send + 'static> Drop for Lasting<F> {
    fn drop(&mut self) {
        if self.lasts.is_to_the_end()
            && let Some(making) = self.making.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(making);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn what_was_told_to_last_ends_without_its_visitor_and_nothing_else_does() {
        for (method, is_told, ends) in
            [(Method::POST, true, true), (Method::POST, false, false), (Method::GET, true, false)]
        {
            let (answer, answered) = oneshot::channel::<()>();
            let (made, mut is_made) = oneshot::channel();
            let request = Request::builder().method(method.clone()).body(()).unwrap();
            let mut answering = Box::pin(Answering::new(Lasts::of(&request), |lasts| async move {
                if is_told {
                    lasts.to_the_end();
                }
                let _ = answered.await;
                let _ = made.send(());
            }));
            let mut context = Context::from_waker(std::task::Waker::noop());
            assert!(answering.as_mut().poll(&mut context).is_pending());
            drop(answering);
            let _ = answer.send(());
            yield_now().await;
            assert_eq!(is_made.try_recv().is_ok(), ends, "{method} {is_told}");
        }
    }
}
