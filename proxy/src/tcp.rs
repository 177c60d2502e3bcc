//! A TCP connection that is passed on as it is, byte for byte, to an endpoint of a cluster.

mod carry;

use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::access_log::Headless;
use crate::exchange::Session;
use crate::in_flight::InFlight;
use crate::reply::Flag;
use crate::table::{Cluster, InFlight as AtEndpoint, ListenerKind, TcpListener};
use crate::upstream::connect::{Berth, ConnectError, connect};
use carry::Carried;

/// Serves a connection to its end.
pub(crate) async fn serve(client: TcpStream, session: Rc<Session>) {
    let start = Instant::now();
    let table = session.table();
    let Some(ListenerKind::Tcp(listener)) = table.listener(session.address).map(|listener| &listener.kind)
    else {
        return;
    };
    let stats = Arc::clone(&listener.stats);
    let shard = stats.shard(session.worker.index);
    shard.downstream_cx_total.inc();
    shard.downstream_cx_active.inc();

    let cluster = table
        .cluster(
            listener
                .target
                .choose(session.worker.balancer.borrow_mut().draw()),
        )
        .cloned();
    let opened = match &cluster {
        Some(cluster) => open(&session, listener, cluster).await,
        None => {
            shard.downstream_cx_no_route.inc();
            Err(Flag::NoCluster)
        }
    };
    let (idle, logged) = (
        listener.idle_timeout,
        listener.access_log && session.worker.log.is_on(),
    );
    // The connection may outlive many tables.
    drop(table);

    let mut carried = Carried::default();
    let (flag, upstream) = match opened {
        Err(flag) => (flag, None),
        Ok((stream, berth, _at_endpoint)) => {
            let place = stream.peer_addr().ok();
            let counted = InFlight::enter(berth.info(), berth.info().stats.shard(session.worker.index));
            carried = carry::carry(client, stream, idle).await;
            drop(counted);
            if carried.was_idle {
                shard.idle_timeout.inc();
            }
            (Flag::None, place)
        }
    };
    shard.downstream_cx_rx_bytes_total.add(carried.up);
    shard.downstream_cx_tx_bytes_total.add(carried.down);
    shard.downstream_cx_active.dec();
    if logged {
        session.worker.log.write_headless(&Headless {
            peer: session.peer,
            took: start.elapsed(),
            version: None,
            status: 0,
            flag: flag.letters(),
            received: carried.up,
            sent: carried.down,
            upstream,
            cluster: cluster.as_ref().map_or("", |cluster| &cluster.info.name),
        });
    }
}

/// Connects to an endpoint of `cluster`; another one is tried as often as the listener says.
async fn open(
    session: &Session,
    listener: &TcpListener,
    cluster: &Cluster,
) -> Result<(TcpStream, Berth, AtEndpoint), Flag> {
    let mut last = Flag::NoHealthyUpstream;
    for _ in 0..listener.max_connect_attempts.max(1) {
        let picked = session.worker.balancer.borrow_mut().pick(cluster).cloned();
        let Some(endpoint) = picked else {
            cluster
                .info
                .stats
                .shard(session.worker.index)
                .upstream_cx_none_healthy
                .inc();
            return Err(Flag::NoHealthyUpstream);
        };
        match connect(&session.worker, &cluster.info, &endpoint).await {
            Ok((stream, berth)) => return Ok((stream, berth, endpoint.enter())),
            Err(ConnectError::Overflow { .. }) => return Err(Flag::UpstreamOverflow),
            Err(error) => {
                last = Flag::UpstreamConnectFailure;
                tracing::debug!(
                    cluster = %cluster.info.name, endpoint = %endpoint.address, %error, "a TCP connection failed"
                );
            }
        }
    }
    Err(last)
}
