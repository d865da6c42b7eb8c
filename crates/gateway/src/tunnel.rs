//! An upgraded connection, WebSocket above all: bytes both ways until one side ends, or the gateway does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use crate::cuts::Cut;
use crate::websocket::{Frames, going_away};
use crate::worker::Open;

/// What both sides have agreed to speak.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    WebSocket,
    /// In this nobody can say anything but the two.
    Other,
}

/// Joins visitor and app once both have switched. Until one of them ends it, the connection counts as `open`, and the
/// app has as much to do as `busy` says.
pub(crate) fn join(
    visitor: OnUpgrade,
    app: OnUpgrade,
    protocol: Protocol,
    open: Arc<Open>,
    busy: impl Send + 'static,
) {
    tokio::spawn(async move {
        let (visitor, app) = match tokio::try_join!(visitor, app) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "an upgrade was not finished");
                return;
            }
        };
        // A side that goes away ends the tunnel; that is how WebSockets end, and no error of ours.
        tokio::select! {
            () = pass(visitor, app, protocol, open.closing()) => {}
            () = open.life().unread() => open.cut(Cut::Unread),
        }
        drop((open, busy));
    });
}

async fn pass(visitor: Upgraded, app: Upgraded, protocol: Protocol, closing: watch::Receiver<bool>) {
    let (mut visitor, mut app) = (TokioIo::new(visitor), TokioIo::new(app));
    match protocol {
        Protocol::Other => {
            let _ = tokio::io::copy_bidirectional(&mut visitor, &mut app).await;
        }
        Protocol::WebSocket => {
            frames_both_ways(visitor, app, going_away(Some(rand::random())), closing).await;
        }
    }
}

/// Both are told when the gateway closes, and then have a moment to answer.
async fn frames_both_ways(
    visitor: impl AsyncRead + AsyncWrite,
    app: impl AsyncRead + AsyncWrite,
    to_the_app: Vec<u8>,
    mut closing: watch::Receiver<bool>,
) {
    let (from_visitor, to_visitor) = tokio::io::split(visitor);
    let (from_app, to_app) = tokio::io::split(app);
    let down = frames(from_app, to_visitor, going_away(None), closing.clone());
    let up = frames(from_visitor, to_app, to_the_app, closing.clone());
    let late = async {
        closed(&mut closing).await;
        tokio::time::sleep(ANSWER).await;
    };
    tokio::select! {
        _ = async { tokio::try_join!(down, up) } => {}
        () = late => {}
    }
}

/// One way. Once the gateway closes, the frame that is under way is passed to its end, and `goodbye` is the last one
/// (RFC 6455 §5.5.1); what comes then is waited for and goes nowhere.
async fn frames(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    goodbye: Vec<u8>,
    mut closing: watch::Receiver<bool>,
) -> io::Result<()> {
    let (mut frames, mut chunk) = (Frames::default(), vec![0; CHUNK]);
    let (mut is_told, mut has_said) = (false, false);
    while !(has_said && frames.has_closed()) {
        let read = tokio::select! {
            biased;
            () = closed(&mut closing), if !is_told => {
                is_told = true;
                0..0
            }
            read = from.read(&mut chunk) => match read? {
                0 => break,
                read => 0..read,
            },
        };
        let mut rest = chunk.get(read).unwrap_or_default();
        while !has_said {
            if is_told && frames.is_between() {
                // Who has closed already hears nothing more.
                if !frames.has_closed() {
                    to.write_all(&goodbye).await?;
                }
                has_said = true;
            } else if rest.is_empty() {
                break;
            } else {
                let (frame, more) = rest.split_at(frames.take(rest));
                to.write_all(frame).await?;
                rest = more;
            }
        }
        to.flush().await?;
        while !rest.is_empty() {
            rest = rest.get(frames.take(rest)..).unwrap_or_default();
        }
    }
    to.shutdown().await
}

/// Also when the gateway is gone.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// For a frame's end, and then for the answer: both sides have other things to do than to wait for it.
const ANSWER: Duration = Duration::from_secs(3);
const CHUNK: usize = 8 * 1024;
