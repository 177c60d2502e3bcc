//! What is counted: Envoy's statistics of clusters, HTTP and TCP listeners, and listening sockets.

use std::time::Duration;

use super::shards::{Reading, Shard};
use super::{Counter, Gauge, Histogram, Shards};

/// Declares a shard: its fields are the statistics, named as Envoy names them.
macro_rules! shard {
    ($(#[$about:meta])* $shard:ident {
        counters { $($(#[$counter_about:meta])* $counter:ident,)* }
        gauges { $($(#[$gauge_about:meta])* $gauge:ident,)* }
        histograms { $($(#[$histogram_about:meta])* $histogram:ident,)* }
    }) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub struct $shard {
            $($(#[$counter_about])* pub $counter: Counter,)*
            $($(#[$gauge_about])* pub $gauge: Gauge,)*
            $($(#[$histogram_about])* pub $histogram: Histogram,)*
        }

        impl Shard for $shard {
            fn visit(&self, show: &mut dyn FnMut(&'static str, Reading<'_>)) {
                $(show(stringify!($counter), Reading::Counter(self.$counter.get()));)*
                $(show(stringify!($gauge), Reading::Gauge(self.$gauge.get()));)*
                $(show(stringify!($histogram), Reading::Histogram(&self.$histogram));)*
            }
        }
    };
}

/// Counters of a cluster, `cluster.<name>.*`.
pub type ClusterStats = Shards<ClusterShard>;
/// Counters of an HTTP connection manager, `http.<prefix>.*`.
pub type HttpStats = Shards<HttpShard>;
/// Counters of a TCP proxy, `tcp.<prefix>.*`.
pub type TcpStats = Shards<TcpShard>;
/// Counters of a listening address, `listener.<address>.*`.
pub type ListenerStats = Shards<ListenerShard>;

shard! {
    /// A worker's counters of a cluster.
    ClusterShard {
        counters {
            /// Connections opened.
            upstream_cx_total,
            /// Of these, HTTP/1.
            upstream_cx_http1_total,
            /// Of these, HTTP/2.
            upstream_cx_http2_total,
            /// Connections closed.
            upstream_cx_destroy,
            /// Connections that were refused, unreachable or timed out.
            upstream_cx_connect_fail,
            /// Of these, timed out.
            upstream_cx_connect_timeout,
            /// Times the limit of connections was met.
            upstream_cx_overflow,
            /// Connections closed for being idle.
            upstream_cx_idle_timeout,
            /// Times there was no endpoint to connect to.
            upstream_cx_none_healthy,
            /// Answers that broke the protocol.
            upstream_cx_protocol_error,
            /// Bytes read.
            upstream_cx_rx_bytes_total,
            /// Bytes written.
            upstream_cx_tx_bytes_total,
            /// Requests sent.
            upstream_rq_total,
            /// Requests that waited for a connection.
            upstream_rq_pending_total,
            /// Requests refused by a circuit breaker.
            upstream_rq_pending_overflow,
            /// Requests that failed because no connection came about.
            upstream_rq_pending_failure_eject,
            /// Answers that came, whole or not.
            upstream_rq_completed,
            /// Answers with status 1xx.
            upstream_rq_1xx,
            /// Answers with status 2xx.
            upstream_rq_2xx,
            /// Answers with status 3xx.
            upstream_rq_3xx,
            /// Answers with status 4xx.
            upstream_rq_4xx,
            /// Answers with status 5xx.
            upstream_rq_5xx,
            /// Requests given up because the route's time ran out.
            upstream_rq_timeout,
            /// Requests that the upstream reset.
            upstream_rq_rx_reset,
            /// Requests sent again on another connection.
            upstream_rq_retry,
            /// Requests whose client went away before a connection was there.
            upstream_rq_cancelled,
        }
        gauges {
            /// Open connections.
            upstream_cx_active,
            /// Requests in flight.
            upstream_rq_active,
        }
        histograms {
            /// From the request's end to the answer's.
            upstream_rq_time,
            /// From the first SYN to the connection.
            upstream_cx_connect_ms,
        }
    }
}

shard! {
    /// A worker's counters of an HTTP connection manager.
    HttpShard {
        counters {
            /// Connections accepted.
            downstream_cx_total,
            /// Of these, HTTP/1.
            downstream_cx_http1_total,
            /// Of these, HTTP/2.
            downstream_cx_http2_total,
            /// Of these, upgraded to another protocol.
            downstream_cx_upgrades_total,
            /// Connections closed.
            downstream_cx_destroy,
            /// Connections closed for breaking the protocol.
            downstream_cx_protocol_error,
            /// Bytes read.
            downstream_cx_rx_bytes_total,
            /// Bytes written.
            downstream_cx_tx_bytes_total,
            /// Requests read.
            downstream_rq_total,
            /// Of these, over HTTP/1.
            downstream_rq_http1_total,
            /// Of these, over HTTP/2.
            downstream_rq_http2_total,
            /// Answers written.
            downstream_rq_completed,
            /// Answers with status 1xx.
            downstream_rq_1xx,
            /// Answers with status 2xx.
            downstream_rq_2xx,
            /// Answers with status 3xx.
            downstream_rq_3xx,
            /// Answers with status 4xx.
            downstream_rq_4xx,
            /// Answers with status 5xx.
            downstream_rq_5xx,
            /// Requests that the client reset.
            downstream_rq_rx_reset,
            /// Requests that did not arrive in time.
            downstream_rq_timeout,
            /// Requests whose head did not arrive in time.
            downstream_rq_header_timeout,
            /// Requests that were too large.
            downstream_rq_too_large,
            /// Streams reset for being idle.
            downstream_rq_idle_timeout,
            /// Requests without a route.
            no_route,
            /// Requests whose route names a cluster that is not there.
            no_cluster,
            /// Requests that their route answers itself.
            rq_direct_response,
        }
        gauges {
            /// Open connections.
            downstream_cx_active,
            /// Requests in flight.
            downstream_rq_active,
        }
        histograms {
            /// From a request's first byte to its answer's last.
            downstream_rq_time,
            /// From accept to close.
            downstream_cx_length_ms,
        }
    }
}

shard! {
    /// A worker's counters of a TCP proxy.
    TcpShard {
        counters {
            /// Connections accepted.
            downstream_cx_total,
            /// Connections without a cluster to go to.
            downstream_cx_no_route,
            /// Bytes read from clients.
            downstream_cx_rx_bytes_total,
            /// Bytes written to clients.
            downstream_cx_tx_bytes_total,
            /// Connections closed for being idle.
            idle_timeout,
        }
        gauges {
            /// Open connections.
            downstream_cx_active,
        }
        histograms {}
    }
}

shard! {
    /// A worker's counters of a listening address.
    ListenerShard {
        counters {
            /// Connections accepted.
            downstream_cx_total,
            /// Connections closed.
            downstream_cx_destroy,
            /// Connections closed at once because the listener had too many.
            downstream_cx_overflow,
            /// Connections closed at once because the process had too many.
            downstream_global_cx_overflow,
            /// Connections closed at once because they came from another host, where only the own one is served.
            no_filter_chain_match,
            /// Failures of accept, as with too few file descriptors.
            downstream_accept_error,
        }
        gauges {
            /// Open connections.
            downstream_cx_active,
        }
        histograms {
            /// From accept to close.
            downstream_cx_length_ms,
        }
    }
}

impl ClusterShard {
    /// Counts an answer of the upstream: its class, and how long it took.
    pub fn answered(&self, status: u16, took: Duration) {
        self.upstream_rq_completed.inc();
        if let Some(class) = match status / 100 {
            1 => Some(&self.upstream_rq_1xx),
            2 => Some(&self.upstream_rq_2xx),
            3 => Some(&self.upstream_rq_3xx),
            4 => Some(&self.upstream_rq_4xx),
            5 => Some(&self.upstream_rq_5xx),
            _ => None,
        } {
            class.inc();
        }
        self.upstream_rq_time.record(took);
    }
}

impl HttpShard {
    /// Counts an answer to the client: its class, and how long the request took in all.
    pub fn answered(&self, status: u16, took: Duration) {
        self.downstream_rq_completed.inc();
        if let Some(class) = match status / 100 {
            1 => Some(&self.downstream_rq_1xx),
            2 => Some(&self.downstream_rq_2xx),
            3 => Some(&self.downstream_rq_3xx),
            4 => Some(&self.downstream_rq_4xx),
            5 => Some(&self.downstream_rq_5xx),
            _ => None,
        } {
            class.inc();
        }
        self.downstream_rq_time.record(took);
    }
}
