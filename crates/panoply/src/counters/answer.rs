use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::store::StoreError;

/// What counters answer: at once where this process's memory can say, else some time.
///
/// Memory's decision is a plain call: nothing is boxed, and nothing waits.
pub struct Answer<'a, T>(State<'a, T>);

enum State<'a, T> {
    Now(Option<Result<T, StoreError>>),
    Later(Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>),
}

impl<'a, T> Answer<'a, T> {
    /// It is known already.
    pub const fn now(answer: Result<T, StoreError>) -> Self {
        Self(State::Now(Some(answer)))
    }

    /// Somebody else has to be asked.
    pub fn later(answer: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> Self {
        Self(State::Later(Box::pin(answer)))
    }
}

/// Nothing in it is pinned but what is boxed.
impl<T> Unpin for Answer<'_, T> {}

impl<T> Future for Answer<'_, T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            // Polled again after its answer, it never ends: a future's caller may not do that.
            State::Now(answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
            State::Later(answer) => answer.as_mut().poll(context),
        }
    }
}

impl<T> fmt::Debug for Answer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}
