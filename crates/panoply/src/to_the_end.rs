use std::future::poll_fn;
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::task::JoinError;

/// Does `work` to its end, also when whoever waits for it gives up: who logs out and closes the window is logged out,
/// and who fails to log in and hangs up has failed.
///
/// What memory answers is done at once, and nothing is started for it. Without tokio the work is dropped with its
/// caller.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    let mut work = Box::pin(work);
    let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
    if let Poll::Ready(done) = first {
        return Ok(done);
    }
    match Handle::try_current() {
        Ok(runtime) => runtime.spawn(work).await,
        Err(_) => Ok(work.await),
    }
}
