//! What is refused before it is a request of anybody's: it is answered, counted and logged, and its connection ends.

use http::{StatusCode, Version};
use tokio::time::Instant;

use super::{LINGER, linger, write_reply};
use crate::deadline::{Deadline, after};
use crate::exchange::{Session, http_listener};
use crate::h1::{Persistence, Refusal};
use crate::http1::Http1;
use crate::message::Side;
use crate::reply::{Flag, REASON, Reply};
use crate::report;

/// Answers a head that the codec refused, and closes.
pub(crate) async fn head(http: Http1, session: &Session, timer: Deadline, refusal: Refusal) {
    if let Some((_, listener)) = http_listener(&session.table(), session.address) {
        let shard = listener.stats.shard(session.worker.index);
        match refusal {
            Refusal::HeadTimeout => shard.downstream_rq_header_timeout.inc(),
            Refusal::HeadersTooLarge | Refusal::TooManyHeaders => shard.downstream_rq_too_large.inc(),
            _ => shard.downstream_cx_protocol_error.inc(),
        }
    }
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let reply = Reply::new(status, Flag::DownstreamProtocolError, refusal);
    request(http, session, timer, &reply).await;
}

/// Sends an answer of our own outside of any exchange, and closes.
pub(super) async fn request(mut http: Http1, session: &Session, mut timer: Deadline, reply: &Reply) {
    let reason = reply.reason();
    let body = reply.body();
    let fields: [(&str, &[u8]); 2] = [("content-type", b"text/plain"), (REASON, reason.as_bytes())];
    let sent = body.len() as u64;
    write_reply(
        &mut http,
        reply.status,
        &fields,
        body.into(),
        false,
        Persistence::Close,
    );
    let flushed = timer
        .within(after(Instant::now(), Some(LINGER)), |cx| http.poll_flush(cx))
        .await;
    if let Some((_, listener)) = http_listener(&session.table(), session.address) {
        let shard = listener.stats.shard(session.worker.index);
        let traffic = http.take_traffic();
        shard.downstream_rq_http1_total.inc();
        shard.downstream_cx_rx_bytes_total.add(traffic.read);
        shard.downstream_cx_tx_bytes_total.add(traffic.written);
    }
    report::refused(session, Version::HTTP_11, Some(reply), sent);
    if matches!(flushed, Ok(Ok(()))) {
        linger(http, timer).await;
    }
}
