//! Routes: virtual hosts, and what is done with a request that matches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{ClusterId, HostMap, Matcher, TableError};

/// A compiled RouteConfiguration.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// `outbound|9080||reviews.service.consul`, `http_proxy`, `http.80`.
    pub name: Arc<str>,
    hosts: HostMap,
    virtual_hosts: Box<[VirtualHost]>,
}

impl RouteTable {
    /// Compiles `virtual_hosts`, each with its domains. A blank, malformed or doubled domain is an error.
    pub fn new(
        name: impl Into<Arc<str>>,
        virtual_hosts: Vec<(VirtualHost, Vec<String>)>,
    ) -> Result<RouteTable, TableError> {
        let name = name.into();
        let mut hosts = HostMap::default();
        let mut names = HashMap::new();
        let mut compiled = Vec::with_capacity(virtual_hosts.len());
        for ((position, index), (virtual_host, domains)) in (0u32..).zip(0usize..).zip(virtual_hosts) {
            if let Some(first) = names.insert(Arc::clone(&virtual_host.name), index) {
                let message = format!(
                    "{:?} is already the name of virtual_hosts[{first}]",
                    virtual_host.name
                );
                return Err(TableError::new(
                    &*name,
                    format!("virtual_hosts[{index}].name"),
                    message,
                ));
            }
            for (domain, nth) in domains.iter().zip(0..) {
                hosts.insert(domain, position).map_err(|message| {
                    TableError::new(&*name, format!("virtual_hosts[{index}].domains[{nth}]"), message)
                })?;
            }
            compiled.push(virtual_host);
        }
        Ok(RouteTable {
            name,
            hosts,
            virtual_hosts: compiled.into(),
        })
    }

    /// The same with the ports of requested hosts left aside, as `ignore_port_in_host_matching` asks.
    #[must_use]
    pub fn ignoring_ports(mut self, ignore: bool) -> RouteTable {
        if ignore {
            self.hosts.ignore_ports();
        }
        self
    }

    /// A route table that answers nothing.
    pub fn empty(name: impl Into<Arc<str>>) -> RouteTable {
        RouteTable {
            name: name.into(),
            ..RouteTable::default()
        }
    }

    /// The virtual host that serves `host` (an authority, with or without port, in any case).
    pub fn virtual_host(&self, host: &str) -> Option<&VirtualHost> {
        self.virtual_hosts.get(self.hosts.find(host)? as usize)
    }

    /// Every cluster that some route may forward to, possibly more than once.
    pub fn clusters(&self) -> impl Iterator<Item = ClusterId> {
        let routes = self
            .virtual_hosts
            .iter()
            .flat_map(|virtual_host| &virtual_host.routes);
        routes.flat_map(|route| match &route.action {
            Action::Forward { target, .. } => target.clusters(),
            Action::Respond { .. } => Vec::new(),
        })
    }
}

/// A virtual host: routes tried in order.
#[derive(Debug)]
pub struct VirtualHost {
    /// `reviews.service.consul:9080`.
    pub name: Arc<str>,
    /// The first that matches wins.
    pub routes: Box<[Route]>,
}

/// What is done with a request that matches.
#[derive(Debug)]
pub struct Route {
    /// The rule that asked for it; blank when pilot names none.
    pub name: Arc<str>,
    /// Which requests it is for.
    pub matcher: Matcher,
    /// What happens to them.
    pub action: Action,
}

/// What happens to a request.
#[derive(Debug)]
pub enum Action {
    /// It goes to a cluster.
    Forward {
        /// Which one.
        target: Target,
        /// For the whole answer to arrive, from the end of the request; `None` is without limit.
        timeout: Option<Duration>,
    },
    /// It is answered here.
    Respond {
        /// 200-599.
        status: u16,
        /// May be empty; at most 4 KiB.
        body: Bytes,
    },
}

/// One cluster or a choice among several.
#[derive(Clone, Debug)]
pub enum Target {
    /// Always this one.
    One(ClusterId),
    /// By weight.
    Weighted(Weighted),
}

impl Target {
    /// The cluster for this request; draws only when there is a choice.
    pub fn choose(&self, draw: &mut fastrand::Rng) -> ClusterId {
        match self {
            Target::One(id) => *id,
            Target::Weighted(weighted) => weighted.at(draw.u32(..weighted.total)),
        }
    }

    /// The clusters it may choose.
    pub fn clusters(&self) -> Vec<ClusterId> {
        match self {
            Target::One(id) => vec![*id],
            Target::Weighted(weighted) => weighted.choices().map(|(_, id)| id).collect(),
        }
    }
}

/// Clusters with weights.
#[derive(Clone, Debug)]
pub struct Weighted {
    total: u32,
    /// Running sum of the weights, and the cluster; clusters of weight 0 are left out.
    choices: Box<[(u32, ClusterId)]>,
}

impl Weighted {
    /// A choice by these weights; the error says that all are 0 or their sum too large.
    pub fn new(weights: impl IntoIterator<Item = (u32, ClusterId)>) -> Result<Weighted, String> {
        let mut total = 0u32;
        let mut choices = Vec::new();
        for (weight, id) in weights {
            if weight > 0 {
                total = total
                    .checked_add(weight)
                    .ok_or("the sum of the weights must be below 4294967296")?;
                choices.push((total, id));
            }
        }
        if total == 0 {
            return Err("at least one weight must be above 0".to_owned());
        }
        Ok(Weighted {
            total,
            choices: choices.into(),
        })
    }

    /// The sum of the weights, above 0.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Each cluster of weight above 0 with its running sum.
    pub fn choices(&self) -> impl Iterator<Item = (u32, ClusterId)> {
        self.choices.iter().copied()
    }

    /// The cluster that owns `point`, which is below the total; the last one beyond it.
    fn at(&self, point: u32) -> ClusterId {
        let found = self
            .choices
            .iter()
            .find(|(sum, _)| point < *sum)
            .or(self.choices.last());
        found.map_or(ClusterId(u32::MAX), |(_, id)| *id)
    }
}
