//! An accepted connection: which protocol it speaks, and who serves it.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::Instant;

use crate::accept::Accepted;
use crate::buffer::Filled;
use crate::client::{http1, http2};
use crate::deadline::{Deadline, after};
use crate::exchange::Session;
use crate::h1::Refusal;
use crate::http1::Http1;
use crate::own_host::calls_from_here;
use crate::stats::{HttpStats, ListenerStats};
use crate::table::{Codec, Listener, ListenerKind};
use crate::tcp;
use crate::worker::{Presence, Worker};

/// What an HTTP/2 client says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves an accepted connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, accepted: Accepted) {
    let Accepted {
        stream,
        listener: address,
        peer,
        seat,
    } = accepted;
    let Ok(stream) = stream.stream() else { return };
    // Small messages must not wait for acknowledgements; a socket that refuses this works all the same.
    let _ = stream.set_nodelay(true);
    let presence = worker.enter();
    let session = Rc::new(Session {
        worker,
        address,
        peer,
    });
    let table = session.table();
    let Some(listener) = table.listener(address) else {
        return;
    };
    let own = || stream.local_addr().ok().map(|own| own.ip());
    if listener.own_host_only && !calls_from_here(peer.ip(), own) {
        let shard = listener.stats.shard(session.worker.index);
        return shard.no_filter_chain_match.inc();
    }
    let open = Open::new(listener, session.worker.index);
    let codec = match &listener.kind {
        ListenerKind::Http(http) => Some(http.codec),
        ListenerKind::Tcp(_) => None,
    };
    drop(table);
    match codec {
        Some(codec) => serve_http(Http1::new(stream), session, presence, codec, &open).await,
        None => Box::pin(tcp::serve(stream, session)).await,
    }
    drop(seat);
}

/// Looks at the first bytes, and serves the protocol they are of.
async fn serve_http(mut http: Http1, session: Rc<Session>, presence: Presence, codec: Codec, open: &Open) {
    let mut timer = Deadline::default();
    let protocol = match codec {
        Codec::Http1 => Protocol::Http1,
        Codec::Http2 => Protocol::Http2,
        Codec::Auto => look(&mut http, &session, &presence, &mut timer).await,
    };
    match protocol {
        Protocol::Http1 => {
            open.count_http1();
            http1::serve(http, session, presence, timer).await;
        }
        Protocol::Http2 => {
            open.count_http2();
            Box::pin(http2::serve(http, session, presence, timer)).await;
        }
        Protocol::Unclear => {
            open.count_http1();
            Box::pin(http1::refused::head(http, &session, timer, Refusal::HeadTimeout)).await;
        }
        Protocol::None => {}
    }
}

/// What a connection speaks.
enum Protocol {
    Http1,
    Http2,
    /// It began, and did not go on in time.
    Unclear,
    /// It said nothing.
    None,
}

/// Looks at the first bytes.
async fn look(http: &mut Http1, session: &Session, presence: &Presence, timer: &mut Deadline) -> Protocol {
    let start = Instant::now();
    let mut began = None;
    poll_fn(|cx| {
        loop {
            match speaks_http2(http.waiting()) {
                Some(true) => return Poll::Ready(Protocol::Http2),
                Some(false) => return Poll::Ready(Protocol::Http1),
                None => {}
            }
            match http.poll_fill(cx) {
                Poll::Ready(Ok(Filled::Bytes)) => {}
                Poll::Ready(_) if http.waiting().is_empty() => return Poll::Ready(Protocol::None),
                // What there is may still be a request that the codec has something to say about.
                Poll::Ready(_) => return Poll::Ready(Protocol::Http1),
                Poll::Pending => break,
            }
        }
        presence.watch(cx.waker());
        if http.waiting().is_empty() {
            let due = after(start, Some(session.first_byte()));
            return timer.poll(cx, due).map(|()| Protocol::None);
        }
        // What may become the preface has as much time as the head of a request.
        let (began, limit) = *began.get_or_insert_with(|| (Instant::now(), session.head_time()));
        timer.poll(cx, after(began, limit)).map(|()| Protocol::Unclear)
    })
    .await
}

/// Whether a connection that begins with these bytes speaks HTTP/2; `None` while that cannot be told.
fn speaks_http2(first: &[u8]) -> Option<bool> {
    match PREFACE.get(..first.len()) {
        Some(start) if start == first => (first.len() == PREFACE.len()).then_some(true),
        Some(_) => Some(false),
        None => Some(first.starts_with(PREFACE)),
    }
}

/// Counts a connection as long as it is open.
struct Open {
    listener: Arc<ListenerStats>,
    http: Option<Arc<HttpStats>>,
    worker: usize,
    start: Instant,
}

impl Open {
    fn new(listener: &Listener, worker: usize) -> Open {
        let shard = listener.stats.shard(worker);
        shard.downstream_cx_total.inc();
        shard.downstream_cx_active.inc();
        let http = match &listener.kind {
            ListenerKind::Http(http) => {
                let shard = http.stats.shard(worker);
                shard.downstream_cx_total.inc();
                shard.downstream_cx_active.inc();
                Some(Arc::clone(&http.stats))
            }
            ListenerKind::Tcp(_) => None,
        };
        Open {
            listener: Arc::clone(&listener.stats),
            http,
            worker,
            start: Instant::now(),
        }
    }

    fn count_http1(&self) {
        if let Some(http) = &self.http {
            http.shard(self.worker).downstream_cx_http1_total.inc();
        }
    }

    fn count_http2(&self) {
        if let Some(http) = &self.http {
            http.shard(self.worker).downstream_cx_http2_total.inc();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let lasted = self.start.elapsed();
        let shard = self.listener.shard(self.worker);
        shard.downstream_cx_active.dec();
        shard.downstream_cx_destroy.inc();
        shard.downstream_cx_length_ms.record(lasted);
        if let Some(http) = &self.http {
            let shard = http.shard(self.worker);
            shard.downstream_cx_active.dec();
            shard.downstream_cx_destroy.inc();
            shard.downstream_cx_length_ms.record(lasted);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::accept::{Seats, Socketed};
    use crate::access_log::{AccessLog, Style, Target};
    use crate::stats::{TcpStats, Value};
    use crate::table::{self, Current, Direction, Names, Table, TcpListener};
    use crate::worker::WorkerSettings;

    /// A connection costs this many bytes besides its socket, its worker's entry and, while it is busy, its buffers.
    const LARGEST_FUTURE: usize = 4096;

    #[tokio::test]
    async fn the_future_of_a_connection_stays_small() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("a connection");
        let log = AccessLog::start(&Target::Off, Style::Text).expect("no log");
        let current = Current::new(Table::default());
        let worker = Worker::new(0, WorkerSettings { mesh_http2: true }, &current, log.sink(), 1);
        let seat = Seats::new().take(&Arc::default()).expect("a seat");
        let accepted = Accepted {
            stream: Socketed::Here(stream),
            listener: address,
            peer: address,
            seat,
        };

        let size = size_of_val(&serve(worker, accepted));

        assert!(size <= LARGEST_FUTURE, "{size} bytes");
    }

    #[tokio::test]
    async fn a_listener_for_its_own_host_closes_a_strangers_connection_and_counts_it() {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = socket.local_addr().expect("an address");
        let mut client = tokio::net::TcpStream::connect(address)
            .await
            .expect("a connection");
        let (stream, _) = socket.accept().await.expect("a connection");
        let cluster = Names::default().slot("c");
        let stats = Arc::new(ListenerStats::new(1));
        let listener = Listener {
            name: "proxy".into(),
            address,
            direction: Direction::Outbound,
            own_host_only: true,
            kind: ListenerKind::Tcp(TcpListener::new(
                table::Target::One(cluster),
                "proxy",
                Arc::new(TcpStats::new(1)),
            )),
            stats: Arc::clone(&stats),
        };
        let table = Table::new(1, vec![Arc::new(listener)], vec![None]).expect("a table");
        let log = AccessLog::start(&Target::Off, Style::Text).expect("no log");
        let current = Current::new(table);
        let worker = Worker::new(0, WorkerSettings { mesh_http2: true }, &current, log.sink(), 1);
        let accepted = Accepted {
            stream: Socketed::Here(stream),
            listener: address,
            peer: "10.0.0.8:5".parse().expect("an address"),
            seat: Seats::new().take(&Arc::default()).expect("a seat"),
        };

        serve(worker, accepted).await;

        let heard = client.read(&mut [0]).await;
        assert_eq!(heard.expect("an end in peace"), 0);
        let samples = stats.samples();
        let count = samples
            .iter()
            .find(|sample| sample.name == "no_filter_chain_match");
        assert!(matches!(count.expect("counted").value, Value::Counter(1)));
    }

    #[test]
    fn http2_is_told_by_its_whole_preface_and_anything_else_by_its_first_different_byte() {
        assert_eq!(speaks_http2(b""), None);
        assert_eq!(speaks_http2(b"G"), Some(false));
        assert_eq!(speaks_http2(b"P"), None);
        assert_eq!(speaks_http2(b"POST / HTTP/1.1"), Some(false));
        assert_eq!(speaks_http2(&PREFACE[..23]), None);
        assert_eq!(speaks_http2(PREFACE), Some(true));
        let more = [PREFACE, b"\0\0"].concat();
        assert_eq!(speaks_http2(&more), Some(true));
        assert_eq!(speaks_http2(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), Some(false));
    }
}
