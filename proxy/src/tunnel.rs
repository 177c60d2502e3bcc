//! Two sides that carry each other's bytes: an upgraded or CONNECTed client and its upstream.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::deadline::{Deadline, after};
use crate::message::{Broken, Flow, Side};

/// Bytes carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// From the client.
    pub(crate) up: u64,
    /// To the client.
    pub(crate) down: u64,
    /// Both sides have closed and been told of each other's end.
    pub(crate) orderly: bool,
}

/// Carries bytes both ways until both sides have closed, one has failed, or nothing moved for `idle`. What was read
/// from either side already goes first. A side that closes is passed on as such: the other may still send.
pub(crate) async fn carry(
    client: &mut impl Side,
    upstream: &mut impl Side,
    timer: &mut Deadline,
    idle: Option<Duration>,
) -> Moved {
    client.become_raw();
    upstream.become_raw();
    let mut up = Flow::default();
    let mut down = Flow::default();
    let mut moved_at = Instant::now();
    let orderly = poll_fn(|cx| {
        let mut moved = false;
        let up_over = poll_way(cx, &mut up, client, upstream, &mut moved);
        let down_over = poll_way(cx, &mut down, upstream, client, &mut moved);
        match (up_over, down_over) {
            (Err(_), _) | (_, Err(_)) => return Poll::Ready(false),
            (Ok(true), Ok(true)) => return Poll::Ready(true),
            _ => {}
        }
        if moved {
            moved_at = Instant::now();
        }
        timer.poll(cx, after(moved_at, idle)).map(|()| false)
    })
    .await;
    Moved {
        up: up.bytes,
        down: down.bytes,
        orderly,
    }
}

/// Moves one way. True when it is over and the other end was told.
fn poll_way(
    cx: &mut Context<'_>,
    flow: &mut Flow,
    from: &mut impl Side,
    to: &mut impl Side,
    moved: &mut bool,
) -> Result<bool, Broken> {
    if flow.is_done() {
        return Ok(true);
    }
    match flow.poll(cx, from, to, moved) {
        Poll::Pending => Ok(false),
        Poll::Ready(Ok(())) => {
            to.shut();
            Ok(true)
        }
        Poll::Ready(Err(broken)) => Err(broken),
    }
}
