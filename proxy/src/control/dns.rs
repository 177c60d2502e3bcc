//! Names of STRICT_DNS clusters, resolved again and again on the control thread.
//!
//! A name that cannot be resolved keeps the addresses it had. Resolution is by our own resolver everywhere (hosts file,
//! `search` and `ndots` of `/etc/resolv.conf`), never by the C library's.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hickory_resolver::TokioResolver;
use outrigger_xds::client;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::table::Health;
use crate::table::from_xds::{Discovery, DnsTarget, EndpointSpec};

/// Results that may wait for the control thread.
const QUEUE: usize = 16;
/// Longest time that an answer is believed.
const LONGEST_REFRESH: Duration = Duration::from_secs(3600);

/// The clusters being resolved, one task each.
#[derive(Debug)]
pub(super) struct Resolutions {
    tasks: BTreeMap<String, (Discovery, JoinHandle<()>)>,
    sender: mpsc::Sender<(String, Vec<EndpointSpec>)>,
    results: mpsc::Receiver<(String, Vec<EndpointSpec>)>,
}

impl Default for Resolutions {
    fn default() -> Self {
        let (sender, results) = mpsc::channel(QUEUE);
        Resolutions {
            tasks: BTreeMap::new(),
            sender,
            results,
        }
    }
}

impl Resolutions {
    /// Resolves exactly these clusters from now on.
    pub(super) fn follow(&mut self, wanted: BTreeMap<String, Discovery>) {
        self.tasks.retain(|name, (discovery, task)| {
            let keep = wanted.get(name) == Some(discovery);
            if !keep {
                task.abort();
            }
            keep
        });
        for (name, discovery) in wanted {
            if !self.tasks.contains_key(&name) {
                let task = tokio::spawn(resolve(name.clone(), discovery.clone(), self.sender.clone()));
                self.tasks.insert(name, (discovery, task));
            }
        }
    }

    /// The next cluster with new endpoints.
    pub(super) async fn next(&mut self) -> (String, Vec<EndpointSpec>) {
        match self.results.recv().await {
            Some(result) => result,
            // `self` holds a sender, so the channel is never closed.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Resolutions {
    fn drop(&mut self) {
        for (_, task) in self.tasks.values() {
            task.abort();
        }
    }
}

/// Resolves one cluster until it is aborted; reports changes, and the first result whatever it is.
async fn resolve(cluster: String, discovery: Discovery, sender: mpsc::Sender<(String, Vec<EndpointSpec>)>) {
    let Discovery::Dns {
        targets,
        refresh,
        respect_ttl,
        v4_only,
        v6_only,
    } = discovery
    else {
        return;
    };
    let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
    let mut known: Vec<Vec<IpAddr>> = vec![Vec::new(); targets.len()];
    let mut reported = None;
    loop {
        let mut valid = LONGEST_REFRESH;
        for (target, addresses) in targets.iter().zip(&mut known) {
            match lookup(resolver.as_ref().map_err(ToString::to_string), &target.host).await {
                Ok((mut found, ttl)) => {
                    found.retain(|ip| if ip.is_ipv4() { !v6_only } else { !v4_only });
                    found.sort_unstable();
                    *addresses = found;
                    valid = valid.min(ttl);
                }
                Err(error) => {
                    tracing::warn!(%cluster, host = %target.host, %error, "name not resolved, addresses kept");
                    valid = refresh;
                }
            }
        }
        let endpoints = endpoints(&targets, &known);
        if reported.as_ref() != Some(&endpoints) {
            reported = Some(endpoints.clone());
            if sender.send((cluster.clone(), endpoints)).await.is_err() {
                return;
            }
        }
        let wait = if respect_ttl { valid.max(refresh) } else { refresh };
        tokio::time::sleep(wait.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
    }
}

fn endpoints(targets: &[DnsTarget], known: &[Vec<IpAddr>]) -> Vec<EndpointSpec> {
    let mut endpoints: Vec<EndpointSpec> = Vec::new();
    for (target, addresses) in targets.iter().zip(known) {
        for ip in addresses {
            let address = SocketAddr::new(*ip, target.port);
            if !endpoints.iter().any(|endpoint| endpoint.address == address) {
                let weight = target.weight;
                endpoints.push(EndpointSpec {
                    address,
                    weight,
                    health: Health::Healthy,
                    mesh_h2: false,
                });
            }
        }
    }
    endpoints
}

/// Addresses of a host, and how long they are good.
async fn lookup(
    resolver: Result<&TokioResolver, String>,
    host: &str,
) -> Result<(Vec<IpAddr>, Duration), String> {
    if let Ok(ip) = host.parse() {
        return Ok((vec![ip], LONGEST_REFRESH));
    }
    let found = resolver?
        .lookup_ip(host)
        .await
        .map_err(|error| error.to_string())?;
    Ok((
        found.iter().collect(),
        found.valid_until().saturating_duration_since(Instant::now()),
    ))
}

/// Our resolver for the control plane's own name.
pub(super) fn resolver() -> client::Resolver {
    Arc::new(|host, port| {
        async move {
            let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
            let (addresses, _) = lookup(resolver.as_ref().map_err(ToString::to_string), &host)
                .await
                .map_err(io::Error::other)?;
            Ok(addresses
                .into_iter()
                .map(|ip| SocketAddr::new(ip, port))
                .collect())
        }
        .boxed()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(host: &str) -> BTreeMap<String, Discovery> {
        let targets = vec![DnsTarget {
            host: host.to_owned(),
            port: 80,
            weight: 2,
        }];
        let refresh = Duration::from_secs(5);
        let discovery = Discovery::Dns {
            targets,
            refresh,
            respect_ttl: false,
            v4_only: true,
            v6_only: false,
        };
        BTreeMap::from([("c".to_owned(), discovery)])
    }

    #[tokio::test]
    async fn a_literal_address_and_localhost_are_resolved_without_asking_a_server() {
        let mut resolutions = Resolutions::default();
        for (host, expected) in [("192.0.2.1", "192.0.2.1:80"), ("localhost", "127.0.0.1:80")] {
            resolutions.follow(dns(host));
            let (cluster, endpoints) = resolutions.next().await;
            assert_eq!(cluster, "c");
            assert_eq!(endpoints[0].address.to_string(), expected);
            assert_eq!(endpoints[0].weight, 2);
        }
        resolutions.follow(BTreeMap::new());
        assert!(resolutions.tasks.is_empty());
    }
}
