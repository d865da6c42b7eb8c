//! Sends a request to a place of the app, and to another where the first cannot have acted on it.
//!
//! What was never written goes on to the next place. What was written, and brought no byte of an answer, is sent again
//! only if it is idempotent and has no body, once, to another place, and within the site's budget: nobody holds a body
//! back for it, and a sick app is not asked twice as much as a sound one.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use panoply::Rejection;

use super::origin_form;
use crate::places::Asker;
use crate::upstream::{Failure, Lease, NoTurn, Outgoing, Target, Tried, Turn, Upstreams};

/// One request until it has an answer.
#[derive(Debug)]
pub(super) struct Exchange<'e> {
    upstreams: &'e Upstreams,
    asker: Asker<'e>,
    /// When the visitor's body was at its end, if there is one; 0: not yet.
    progress: Option<&'e AtomicU64>,
    /// Whether it may be sent a second time.
    again: Again,
    tried: Tried,
}

/// Whether a request that may have been acted on may be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It may: it is idempotent (RFC 9110 §9.2.2) and has no body.
    May,
    /// It is not idempotent, or was sent again already: only where the app says that it did nothing.
    IfRefused,
    /// It has a body, which is gone, or was refused more than once.
    MayNot,
}

/// An answer, and where it came from.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) answer: Response<Incoming>,
    pub(super) lease: Lease,
    pub(super) index: usize,
}

/// What is left of a request that has no answer.
enum Left {
    /// Nothing of it was written, and here it is.
    Unsent(Request<Outgoing>),
    /// It may have been acted on; here is another like it, where it may be sent again.
    Sent(Option<Request<Outgoing>>),
}

impl<'e> Exchange<'e> {
    pub(super) fn new(
        upstreams: &'e Upstreams,
        asker: Asker<'e>,
        progress: Option<&'e AtomicU64>,
        again: Again,
    ) -> Self {
        Self { upstreams, asker, progress, again, tried: Tried::default() }
    }

    /// Sends `request`, to the place that the visitor `had` if that is well. All but the usual way, on a connection that
    /// is there, is boxed: it is large, and few requests need it.
    pub(super) async fn run(
        mut self,
        request: Request<Outgoing>,
        had: Option<usize>,
    ) -> Result<Answered, Rejection> {
        let mut turn = self.turn(had)?;
        let Some(mut lease) = turn.target.idle() else { return Box::pin(self.go_on(turn, request)).await };
        let stale = lease.rested >= STALE;
        let copy = if stale { self.copy(&request) } else { self.copy_for(&request, &lease) }.map(Box::new);
        match self.send(turn.target, &mut lease, request).await {
            Ok(answer) => Ok(answered(&mut turn, answer, lease)),
            Err(fault) => Box::pin(self.recover(turn, fault, stale, copy.map(|copy| *copy))).await,
        }
    }

    /// A connection that was there failed. If the app had closed it while it lay idle, that is no failure.
    async fn recover(
        mut self,
        turn: Turn<'e>,
        fault: Fault,
        stale: bool,
        copy: Option<Request<Outgoing>>,
    ) -> Result<Answered, Rejection> {
        let (turn, request) = match (fault, copy) {
            (Fault::Unsent(request), _) => (turn, *request),
            (Fault::Broken(Broken { acted: Acted::Not, .. }), Some(copy)) => (turn, copy),
            (Fault::Broken(Broken { acted: Acted::Perhaps, .. }), Some(copy))
                if self.again == Again::May && (stale || self.may_share_again(&turn)) =>
            {
                self.again = Again::IfRefused;
                (turn, copy)
            }
            (fault, copy) => {
                let (why, left) = self.lost(&turn, fault, copy)?;
                drop(turn);
                self.next(why, left)?
            }
        };
        self.go_on(turn, request).await
    }

    /// On new connections, until there is an answer or no place to go.
    async fn go_on(
        mut self,
        mut turn: Turn<'e>,
        mut request: Request<Outgoing>,
    ) -> Result<Answered, Rejection> {
        loop {
            let (why, left) = match self.upstreams.connect(turn.target).await {
                Err(error) => {
                    let why = unreachable(turn.target, &error);
                    turn.failed(Failure::Refused, why.reason());
                    (why, Left::Unsent(request))
                }
                Ok(mut lease) => {
                    let copy = self.copy_for(&request, &lease);
                    match self.send(turn.target, &mut lease, request).await {
                        Ok(answer) => return Ok(answered(&mut turn, answer, lease)),
                        Err(fault) => match (fault, copy) {
                            // The app did nothing, and may do it on its next connection; once.
                            (Fault::Broken(Broken { acted: Acted::Not, .. }), Some(copy)) => {
                                self.again = Again::MayNot;
                                request = copy;
                                continue;
                            }
                            (Fault::Broken(Broken { acted: Acted::Perhaps, .. }), Some(copy))
                                if self.again == Again::May && self.may_share_again(&turn) =>
                            {
                                self.again = Again::IfRefused;
                                request = copy;
                                continue;
                            }
                            (fault, copy) => self.lost(&turn, fault, copy)?,
                        },
                    }
                }
            };
            drop(turn);
            (turn, request) = self.next(why, left)?;
        }
    }

    /// Charges the place with what went wrong there, unless it was the visitor: then it is over.
    fn lost(
        &self,
        turn: &Turn<'_>,
        fault: Fault,
        copy: Option<Request<Outgoing>>,
    ) -> Result<(Rejection, Left), Rejection> {
        let target = turn.target;
        let (failure, why, left) = match fault {
            Fault::Unsent(request) => {
                let reason = format!("the app at {target} closed a new connection");
                (Failure::Broken, Rejection::new(StatusCode::BAD_GATEWAY, reason), Left::Unsent(*request))
            }
            Fault::Broken(Broken { error, .. }) if error.is_user() && self.progress.is_some() => {
                return Err(Rejection::new(StatusCode::BAD_REQUEST, "the body of the request ended early"));
            }
            Fault::Broken(Broken { error, acted }) => {
                let cause =
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                let reason = format!("the app at {target} broke the connection: {cause}");
                let mut rejection = Rejection::new(StatusCode::BAD_GATEWAY, reason);
                if acted != Acted::Not && self.progress.is_none_or(|whole| whole.load(Ordering::Relaxed) > 0)
                {
                    rejection = rejection.may_have_acted();
                }
                let may = acted == Acted::Perhaps && self.again == Again::May;
                let left = Left::Sent(copy.filter(|_| may));
                (Failure::Broken, rejection, left)
            }
            Fault::Slow => {
                // Perhaps nobody is at its other end any more.
                target.forget_shared();
                let reason =
                    format!("the app at {target} gave no answer for {}", self.upstreams.terms().answer);
                let copy = copy.filter(|_| self.again == Again::May);
                (Failure::Slow, Rejection::new(StatusCode::GATEWAY_TIMEOUT, reason), Left::Sent(copy))
            }
        };
        // An upload that broke off may be the visitor's doing, which HTTP/2 does not tell.
        if !(target.is_shared() && self.progress.is_some() && failure == Failure::Broken) {
            turn.failed(failure, why.reason());
        }
        Ok((why, left))
    }

    /// Whether a request that was on a shared connection when that ended may go to the same place once more: an app that
    /// is alone ends connections too, also such as have just been used.
    fn may_share_again(&self, turn: &Turn<'_>) -> bool {
        turn.target.is_shared() && !self.has_others() && self.upstreams.may_send_again()
    }

    /// Where what is `left` of the request goes next; nowhere, for the reason `why`.
    fn next(&mut self, why: Rejection, left: Left) -> Result<(Turn<'e>, Request<Outgoing>), Rejection> {
        if self.tried.count() >= MOST_TRIES || !self.has_others() {
            return Err(why);
        }
        match left {
            Left::Unsent(request) => Ok((self.turn(None)?, request)),
            Left::Sent(Some(request)) if self.upstreams.may_send_again() => {
                self.again = Again::IfRefused;
                let turn = self.turn(None)?;
                turn.target.asked_again();
                Ok((turn, request))
            }
            Left::Sent(_) => Err(why),
        }
    }

    fn turn(&mut self, had: Option<usize>) -> Result<Turn<'e>, Rejection> {
        let turn = self.upstreams.turn(had, self.tried, self.asker).map_err(|none| match none {
            NoTurn::Nowhere => Rejection::new(StatusCode::BAD_GATEWAY, "nothing says where the app is"),
            NoTurn::Full => {
                Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait for the app already")
                    .retry_after(SOON)
            }
        })?;
        self.tried.add(turn.index);
        Ok(turn)
    }

    /// Whether there are places where the request has not been.
    fn has_others(&self) -> bool {
        self.upstreams.targets().len() > self.tried.count() as usize
    }

    /// A copy, where it could be of use: there is another place to go, or an app that says when it did nothing.
    fn copy_for(&self, request: &Request<Outgoing>, lease: &Lease) -> Option<Request<Outgoing>> {
        let useful = lease.is_shared() || (self.again == Again::May && self.has_others());
        if useful { self.copy(request) } else { None }
    }

    /// The same request again, where it has no body.
    fn copy(&self, request: &Request<Outgoing>) -> Option<Request<Outgoing>> {
        if self.again == Again::MayNot {
            return None;
        }
        let mut copy = Request::new(Either::Right(Empty::new()));
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        Some(copy)
    }

    async fn send(
        &self,
        target: &Target,
        lease: &mut Lease,
        mut request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, Fault> {
        if lease.is_shared() {
            target.address_to(&mut request);
        } else if request.uri().authority().is_some() {
            *request.uri_mut() = origin_form(request.uri()); // it was at an HTTP/2 app before
        }
        let before = lease.received.bytes();
        let mut fault = match self.answer(lease, request).await {
            Ok(answer) => return Ok(answer),
            Err(None) => return Err(Fault::Slow),
            Err(Some(fault)) => fault,
        };
        if let Some(request) = fault.take_message() {
            return Err(Fault::Unsent(Box::new(request)));
        }
        let error = fault.into_error();
        let acted = match lease.is_shared() {
            true if lease.was_refused(&error) => Acted::Not,
            false if lease.received.bytes() != before => Acted::Surely,
            _ => Acted::Perhaps,
        };
        Err(Fault::Broken(Broken { error, acted }))
    }

    /// The head of the answer; nothing when it did not come in time.
    async fn answer(
        &self,
        lease: &mut Lease,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, Option<TrySendError<Request<Outgoing>>>> {
        let deadline = self.upstreams.terms().answer.duration();
        let mut answer = std::pin::pin!(lease.send(request));
        let mut has_ended = false;
        loop {
            match tokio::time::timeout(deadline, answer.as_mut()).await {
                Ok(answered) => return answered.map_err(Some),
                // Until the body is there it is the visitor who is waited for, and `limits` says how long. From then
                // on the app has its time.
                Err(_) if !has_ended && self.progress.is_some() => {
                    has_ended = self.progress.is_some_and(|whole| whole.load(Ordering::Relaxed) != 0);
                }
                Err(_) => return Err(None),
            }
        }
    }
}

enum Fault {
    /// Nothing was written; here is the request again.
    Unsent(Box<Request<Outgoing>>),
    Broken(Broken),
    Slow,
}

struct Broken {
    error: hyper::Error,
    acted: Acted,
}

/// Whether the app did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acted {
    /// It says that it did not.
    Not,
    /// No byte of an answer came.
    Perhaps,
    /// Something of an answer came.
    Surely,
}

fn answered(turn: &mut Turn<'_>, answer: Response<Incoming>, mut lease: Lease) -> Answered {
    turn.answered();
    lease.busy = turn.busy.take();
    Answered { answer, lease, index: turn.index }
}

fn unreachable(target: &Target, error: &io::Error) -> Rejection {
    let status = match error.kind() {
        io::ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    };
    Rejection::new(status, format!("no connection to the app at {target}: {error}"))
}

/// Node's five seconds are over soon: from here on the app may be closing the connection as we write.
const STALE: Duration = Duration::from_secs(1);
/// Of many places that are down, these many are tried by one request; each may take as long as a connection may.
const MOST_TRIES: u32 = 3;
/// When to come back: a burst is over by then, and whoever hangs was found out.
const SOON: Duration = Duration::from_secs(5);
