//! How an instance of a destination is chosen.

use std::time::Duration;

use crate::choice::Choice;
use crate::fields::{Fields, Message};
use crate::output::Object;

/// The way to choose an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadBalancer {
    /// Without regard to the request.
    Simple(SimpleBalancer),
    /// Equal requests go to the same instance.
    ConsistentHash(ConsistentHash),
}

/// Ways that do not look at the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SimpleBalancer {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with fewer active requests of two that are drawn.
    LeastConn,
    /// Any.
    Random,
    /// Where the caller's connection was going anyway.
    Passthrough,
}

impl Choice for SimpleBalancer {
    const VALUES: &'static [(i64, &'static str, SimpleBalancer)] = &[
        (0, "ROUND_ROBIN", SimpleBalancer::RoundRobin),
        (1, "LEAST_CONN", SimpleBalancer::LeastConn),
        (2, "RANDOM", SimpleBalancer::Random),
        (3, "PASSTHROUGH", SimpleBalancer::Passthrough),
    ];
}

impl Message for LoadBalancer {
    fn read(fields: &Fields<'_>) -> LoadBalancer {
        let set = fields.one_of(&["simple", "consistentHash"]);
        if set.is_empty() {
            fields.problem("load balancer must have simple or consistentHash");
        }
        match fields.message("consistentHash") {
            Some(hash) => LoadBalancer::ConsistentHash(hash),
            None => LoadBalancer::Simple(fields.choice("simple").unwrap_or_default()),
        }
    }

    fn write(&self, out: &mut Object) {
        match self {
            LoadBalancer::Simple(simple) => out.choice("simple", Some(*simple)),
            LoadBalancer::ConsistentHash(hash) => out.message("consistentHash", Some(hash)),
        }
    }
}

/// Choice by a hash of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistentHash {
    /// What is hashed.
    pub key: HashKey,
    /// Fewest points on the ring; absent for 1024.
    pub minimum_ring_size: Option<u64>,
}

/// What of a request is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The value of this header.
    Header(String),
    /// The value of a cookie, which is made when the request has none.
    Cookie {
        /// Name of the cookie.
        name: String,
        /// Path of a new cookie; empty for none.
        path: String,
        /// Life of a new cookie; zero for the session.
        ttl: Duration,
    },
    /// The caller's address.
    SourceIp,
}

impl Message for ConsistentHash {
    fn read(fields: &Fields<'_>) -> ConsistentHash {
        ConsistentHash {
            key: read_key(fields),
            minimum_ring_size: fields.integer("minimumRingSize").filter(|size| *size != 0),
        }
    }

    fn write(&self, out: &mut Object) {
        match &self.key {
            HashKey::Header(name) => out.value("httpHeaderName", name.as_str()),
            HashKey::Cookie { name, path, ttl } => {
                let mut cookie = Object::default();
                cookie.text("name", name);
                cookie.text("path", path);
                cookie.duration("ttl", Some(*ttl));
                out.value("httpCookie", cookie.finish());
            }
            HashKey::SourceIp => out.value("useSourceIp", true),
        }
        out.opt("minimumRingSize", self.minimum_ring_size);
    }
}

fn read_key(fields: &Fields<'_>) -> HashKey {
    fields.one_of(&["httpHeaderName", "httpCookie", "useSourceIp"]);
    let source_ip = fields.flag("useSourceIp");
    if let Some(cookie) = fields.at("httpCookie") {
        let Some(cookie) = cookie.fields() else {
            return HashKey::SourceIp;
        };
        let name = cookie.text("name");
        if name.is_empty() {
            cookie.problem_at("name", "name required for HttpCookie");
        }
        if !cookie.has("ttl") {
            cookie.problem_at("ttl", "ttl required for HttpCookie");
        }
        let key = HashKey::Cookie {
            name,
            path: cookie.text("path"),
            ttl: cookie.duration_or_zero("ttl").unwrap_or_default(),
        };
        cookie.finish();
        return key;
    }
    let header = fields.text("httpHeaderName");
    if header.is_empty() && !source_ip {
        fields.problem("consistentHash must have one of httpHeaderName, httpCookie, useSourceIp");
    }
    if header.is_empty() {
        HashKey::SourceIp
    } else {
        HashKey::Header(header)
    }
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::trial::check;

    #[test]
    fn load_balancers_are_checked() {
        for (balancer, expected) in [
            ("{simple: PASSTHROUGH}", &[] as &[&str]),
            (
                "{consistentHash: {httpHeaderName: x, minimumRingSize: 2048}}",
                &[],
            ),
            (
                "{consistentHash: {httpCookie: {name: user, path: /, ttl: 0s}}}",
                &[],
            ),
            ("{consistentHash: {useSourceIp: true}}", &[]),
            ("{}", &[": load balancer must have simple or consistentHash"]),
            (
                "{simple: RANDOM, consistentHash: {useSourceIp: true}}",
                &[".consistentHash: only one of simple, consistentHash may be set"],
            ),
            (
                "{simple: BEST}",
                &[
                    ".simple: must be one of ROUND_ROBIN, LEAST_CONN, RANDOM, PASSTHROUGH, found the text \"BEST\"",
                ],
            ),
            (
                "{consistentHash: {}}",
                &[".consistentHash: consistentHash must have one of httpHeaderName, httpCookie, useSourceIp"],
            ),
            (
                "{consistentHash: {httpCookie: {}}}",
                &[
                    ".consistentHash.httpCookie.name: name required for HttpCookie",
                    ".consistentHash.httpCookie.ttl: ttl required for HttpCookie",
                ],
            ),
            (
                "{consistentHash: {httpHeaderName: x, useSourceIp: true, minimumRingSize: -1}}",
                &[
                    ".consistentHash.useSourceIp: only one of httpHeaderName, useSourceIp may be set",
                    ".consistentHash.minimumRingSize: -1 is not in range 0..9223372036854775807",
                ],
            ),
        ] {
            let expected: Vec<String> = expected
                .iter()
                .map(|problem| format!("spec.trafficPolicy.loadBalancer{problem}"))
                .collect();
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            let spec = format!("{{host: a.b, trafficPolicy: {{loadBalancer: {balancer}}}}}");
            check(Kind::DestinationRule, &[(&spec, &expected)]);
        }
    }
}
