//! Clients of pilot as a proxy would be one: every cluster and listener, their endpoints and routes, all accepted.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::{Result, bail};
use outrigger_xds::client::{Client, Settings, Subscription, Update, connect};
use outrigger_xds::pb::envoy::config::cluster::v3::Cluster;
use outrigger_xds::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use outrigger_xds::pb::envoy::config::listener::v3::{Listener, filter};
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use outrigger_xds::pb::google::protobuf::Any;
use outrigger_xds::{NodeInfo, TypeUrl, unpack};
use tokio::task::{JoinHandle, spawn_local};

use super::board::Board;
use crate::mesh_table::SERVICES;

/// Clients that are connected until this is dropped.
#[derive(Debug)]
pub(super) struct Crowd {
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Crowd {
    /// Connects this many clients; what they hold they write on the board.
    pub(super) fn connect(clients: usize, xds: SocketAddr, board: &Board) -> Result<Crowd> {
        let mut crowd = Crowd { tasks: Vec::new() };
        for number in 0..clients {
            let subscription = Subscription::new(&node(number)?)
                .with_all(TypeUrl::Cluster)
                .with_all(TypeUrl::Listener);
            let client = connect(Settings::new(xds.to_string()), subscription).map_err(anyhow::Error::msg)?;
            crowd
                .tasks
                .push(spawn_local(follow(client, number, board.clone())));
        }
        Ok(crowd)
    }

    /// An error when a client has given up.
    pub(super) fn must_be_well(&self) -> Result<()> {
        match self.tasks.iter().position(JoinHandle::is_finished) {
            None => Ok(()),
            Some(client) => bail!("client {client} of pilot has given up"),
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn node(number: usize) -> Result<NodeInfo> {
    let [.., high, low] = number.to_be_bytes();
    let address = Ipv4Addr::new(127, 78, high, low);
    let mut node = NodeInfo::from_id(&format!("sidecar~{address}~bench-{number}~mesh"))?;
    node.user_agent_name = "outrigger".to_owned();
    Ok(node)
}

/// Takes updates in until the client is gone.
async fn follow(mut client: Client, number: usize, board: Board) -> Result<()> {
    let handle = client.handle();
    let mut clusters = BTreeSet::new();
    let mut listeners = BTreeSet::new();
    let mut routes = BTreeSet::new();
    while let Some(update) = client.next().await {
        let now = Instant::now();
        for upsert in &update.upserts {
            board.arrived(number, &upsert.value, now);
        }
        handle.judge(update.ticket.clone(), Ok(())).await;
        match update.kind {
            TypeUrl::Cluster => {
                if merge(&mut clusters, &update, endpoints_name)? {
                    handle.subscribe(TypeUrl::Endpoint, names(&clusters)).await;
                }
            }
            TypeUrl::Listener => {
                if merge(&mut listeners, &update, routes_name)? {
                    handle.subscribe(TypeUrl::Route, names(&listeners)).await;
                }
            }
            TypeUrl::Route => {
                routes.extend(update.upserts.into_iter().map(|upsert| upsert.name));
                if routes.len() >= SERVICES {
                    board.ready(number);
                }
            }
            TypeUrl::Endpoint | TypeUrl::VirtualHost | TypeUrl::Secret => {}
        }
    }
    bail!("the client's task has ended")
}

/// Pairs of a resource's name and the name of what it needs besides.
type Needs = BTreeSet<(String, String)>;

/// Brings `known` up to date; true when something is needed that was not, or no more.
fn merge(known: &mut Needs, update: &Update, needed: fn(&Any) -> Result<Option<String>>) -> Result<bool> {
    let before = known.clone();
    let changed = |name: &String| {
        update.removed.contains(name) || update.upserts.iter().any(|upsert| upsert.name == *name)
    };
    known.retain(|(name, _)| !changed(name));
    for upsert in &update.upserts {
        let any = Any {
            type_url: update.kind.url().to_owned(),
            value: upsert.value.to_vec(),
        };
        if let Some(need) = needed(&any)? {
            known.insert((upsert.name.clone(), need));
        }
    }
    Ok(*known != before)
}

fn names(needs: &Needs) -> BTreeSet<String> {
    needs.iter().map(|(_, need)| need.clone()).collect()
}

/// The name under which a cluster's endpoints are asked for.
fn endpoints_name(any: &Any) -> Result<Option<String>> {
    let cluster: Cluster = unpack(any)?;
    let eds = ClusterDiscoveryType::Type(DiscoveryType::Eds as i32);
    if cluster.cluster_discovery_type != Some(eds) {
        return Ok(None);
    }
    let other = cluster.eds_cluster_config.map(|config| config.service_name);
    Ok(other.filter(|name| !name.is_empty()).or(Some(cluster.name)))
}

/// The name under which a listener's routes are asked for.
fn routes_name(any: &Any) -> Result<Option<String>> {
    let listener: Listener = unpack(any)?;
    let filters = listener.filter_chains.into_iter().flat_map(|chain| chain.filters);
    for filter in filters {
        let Some(filter::ConfigType::TypedConfig(config)) = filter.config_type else {
            continue;
        };
        let Ok(manager) = unpack::<HttpConnectionManager>(&config) else {
            continue;
        };
        if let Some(RouteSpecifier::Rds(rds)) = manager.route_specifier {
            return Ok(Some(rds.route_config_name));
        }
    }
    Ok(None)
}
