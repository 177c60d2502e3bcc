//! DestinationPolicy: how one version of a service is called (`spec/traffic-v1alpha2.md` §2).

use std::time::Duration;

use crate::choice::Choice;
use crate::custom::Custom;
use crate::fields::{Fields, Message};
use crate::output::Object;
use crate::service_ref::ServiceRef;

/// A policy for the callers of one version of a service. It attaches to exactly the version whose labels equal
/// those of the destination; without labels to the service as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationPolicy {
    /// The service and version that is called.
    pub destination: ServiceRef,
    /// The callers; absent for all.
    pub source: Option<ServiceRef>,
    /// How instances are chosen; absent for round robin.
    pub load_balancing: Option<LoadBalancing>,
    /// When calls are cut off; absent for never.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Somebody else's policy: kept, without effect.
    pub custom: Option<Custom>,
}

impl Message for DestinationPolicy {
    fn read(fields: &Fields<'_>) -> DestinationPolicy {
        if !fields.has("destination") {
            fields.problem_at("destination", "destination is required in the destination policy");
        }
        DestinationPolicy {
            destination: fields
                .message("destination")
                .unwrap_or_else(|| ServiceRef::host("")),
            source: fields.message("source"),
            load_balancing: fields.message("loadBalancing"),
            circuit_breaker: fields.message("circuitBreaker"),
            custom: fields.custom("custom"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.message("destination", Some(&self.destination));
        out.message("source", self.source.as_ref());
        out.message("loadBalancing", self.load_balancing.as_ref());
        out.message("circuitBreaker", self.circuit_breaker.as_ref());
        out.custom("custom", self.custom.as_ref());
    }
}

/// How an instance is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadBalancing {
    /// One of the known ways.
    Named(Balancer),
    /// Somebody else's: kept, without effect.
    Custom(Custom),
}

/// The ways to choose an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Balancer {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with fewer active requests of two that are drawn.
    LeastConn,
    /// Any.
    Random,
}

impl Choice for Balancer {
    const VALUES: &'static [(i64, &'static str, Balancer)] = &[
        (0, "ROUND_ROBIN", Balancer::RoundRobin),
        (1, "LEAST_CONN", Balancer::LeastConn),
        (2, "RANDOM", Balancer::Random),
    ];
}

impl Message for LoadBalancing {
    fn read(fields: &Fields<'_>) -> LoadBalancing {
        let set = fields.one_of(&["name", "custom"]);
        if set.is_empty() {
            fields.problem("must set load balancing if specified");
        }
        match fields.custom("custom") {
            Some(custom) => LoadBalancing::Custom(custom),
            None => LoadBalancing::Named(fields.choice("name").unwrap_or_default()),
        }
    }

    fn write(&self, out: &mut Object) {
        match self {
            LoadBalancing::Named(balancer) => out.choice("name", Some(*balancer)),
            LoadBalancing::Custom(custom) => out.custom("custom", Some(custom)),
        }
    }
}

/// When calls are cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CircuitBreaker {
    /// Limits, and ejection of instances that fail.
    Simple(SimpleBreaker),
    /// Somebody else's: kept, without effect.
    Custom(Custom),
}

impl Message for CircuitBreaker {
    fn read(fields: &Fields<'_>) -> CircuitBreaker {
        let set = fields.one_of(&["simpleCb", "custom"]);
        if set.is_empty() {
            fields.problem("must set simpleCb or custom if circuitBreaker is specified");
        }
        match fields.custom("custom") {
            Some(custom) => CircuitBreaker::Custom(custom),
            None => CircuitBreaker::Simple(fields.message("simpleCb").unwrap_or_default()),
        }
    }

    fn write(&self, out: &mut Object) {
        match self {
            CircuitBreaker::Simple(simple) => out.message("simpleCb", Some(simple)),
            CircuitBreaker::Custom(custom) => out.custom("custom", Some(custom)),
        }
    }
}

/// Limits of a version, and when an instance is set aside. Its presence alone turns ejection on. A 0 in a
/// document means absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimpleBreaker {
    /// Most connections; absent for 1024.
    pub max_connections: Option<u32>,
    /// Most requests that wait for a connection; absent for 1024.
    pub http_max_pending_requests: Option<u32>,
    /// Most requests at once; absent for 1024.
    pub http_max_requests: Option<u32>,
    /// Most retries at once; absent for 3.
    pub http_max_retries: Option<u32>,
    /// Requests after which a connection is closed; absent for no limit, 1 turns keep-alive off.
    pub http_max_requests_per_connection: Option<u32>,
    /// 5xx answers in a row that eject an instance; absent for 5.
    pub http_consecutive_errors: Option<u32>,
    /// How long the first ejection lasts; absent for 30 s.
    pub sleep_window: Option<Duration>,
    /// How often instances are judged; absent for 10 s.
    pub http_detection_interval: Option<Duration>,
    /// Largest share of instances that may be ejected, percent; absent for 10.
    pub http_max_ejection_percent: Option<u32>,
}

impl Message for SimpleBreaker {
    fn read(fields: &Fields<'_>) -> SimpleBreaker {
        let count =
            |name: &'static str| fields.count(name, &format!("circuitBreaker {name} must be in range [0..]"));
        let max_ejection = fields.count(
            "httpMaxEjectionPercent",
            "circuitBreaker httpMaxEjectionPercent invalid",
        );
        if let Some(percent) = max_ejection.filter(|percent| *percent > 100) {
            fields.problem_at(
                "httpMaxEjectionPercent",
                format!("circuitBreaker httpMaxEjectionPercent invalid: percentage {percent} is not in range 0..100"),
            );
        }
        SimpleBreaker {
            max_connections: count("maxConnections"),
            http_max_pending_requests: count("httpMaxPendingRequests"),
            http_max_requests: count("httpMaxRequests"),
            http_max_retries: count("httpMaxRetries"),
            http_max_requests_per_connection: count("httpMaxRequestsPerConnection"),
            http_consecutive_errors: count("httpConsecutiveErrors"),
            sleep_window: fields.duration(
                "sleepWindow",
                "circuitBreaker sleepWindow must be in range [0..]: ",
            ),
            http_detection_interval: fields.duration(
                "httpDetectionInterval",
                "circuitBreaker httpDetectionInterval must be in range [0..]: ",
            ),
            http_max_ejection_percent: max_ejection,
        }
    }

    fn write(&self, out: &mut Object) {
        out.opt("maxConnections", self.max_connections);
        out.opt("httpMaxPendingRequests", self.http_max_pending_requests);
        out.opt("httpMaxRequests", self.http_max_requests);
        out.opt("httpMaxRetries", self.http_max_retries);
        out.opt(
            "httpMaxRequestsPerConnection",
            self.http_max_requests_per_connection,
        );
        out.opt("httpConsecutiveErrors", self.http_consecutive_errors);
        out.duration("sleepWindow", self.sleep_window);
        out.duration("httpDetectionInterval", self.http_detection_interval);
        out.opt("httpMaxEjectionPercent", self.http_max_ejection_percent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::resource::Spec;
    use crate::trial::{accepted, check};

    #[test]
    fn policies_are_checked() {
        check(
            Kind::DestinationPolicy,
            &[
                (
                    "{destination: {service: a.b, labels: {version: v1}}, source: {service: c.d}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, loadBalancing: {name: RANDOM}, custom: {'@type': x}}",
                    &[],
                ),
                ("{destination: {service: a.b}, load_balancing: {name: 1}}", &[]),
                (
                    "{destination: {service: a.b}, loadBalancing: {custom: {'@type': x}}, circuitBreaker: {custom: {'@type': y}}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, circuitBreaker: {simpleCb: {}}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, circuitBreaker: {simpleCb: {maxConnections: 1, httpMaxPendingRequests: 1, httpMaxRequests: 2, httpMaxRetries: 3, httpMaxRequestsPerConnection: 1, httpConsecutiveErrors: 4, sleepWindow: 500ms, httpDetectionInterval: 1s, httpMaxEjectionPercent: 100}}}",
                    &[],
                ),
                (
                    "{}",
                    &["spec.destination: destination is required in the destination policy"],
                ),
                (
                    "{destination: {service: a.b}, source: {}}",
                    &["spec.source: name or service is mandatory for a service reference"],
                ),
                (
                    "{destination: {service: a.b}, loadBalancing: {}}",
                    &["spec.loadBalancing: must set load balancing if specified"],
                ),
                (
                    "{destination: {service: a.b}, loadBalancing: {name: round_robin}}",
                    &[
                        "spec.loadBalancing.name: must be one of ROUND_ROBIN, LEAST_CONN, RANDOM, found the text \"round_robin\"",
                    ],
                ),
                (
                    "{destination: {service: a.b}, loadBalancing: {name: 9}}",
                    &[
                        "spec.loadBalancing.name: must be one of ROUND_ROBIN, LEAST_CONN, RANDOM, found the number 9",
                    ],
                ),
                (
                    "{destination: {service: a.b}, loadBalancing: {name: RANDOM, custom: {'@type': x}}}",
                    &["spec.loadBalancing.custom: only one of name, custom may be set"],
                ),
                (
                    "{destination: {service: a.b}, circuitBreaker: {}}",
                    &["spec.circuitBreaker: must set simpleCb or custom if circuitBreaker is specified"],
                ),
                (
                    "{destination: {service: a.b}, circuitBreaker: {simpleCb: {maxConnections: -1, httpMaxPendingRequests: -1, httpMaxRequests: -1, httpMaxRetries: -1, httpMaxRequestsPerConnection: -1, httpConsecutiveErrors: -1, sleepWindow: 0s, httpDetectionInterval: 0s, httpMaxEjectionPercent: 101}}}",
                    &[
                        "spec.circuitBreaker.simpleCb.maxConnections: circuitBreaker maxConnections must be in range [0..], found -1",
                        "spec.circuitBreaker.simpleCb.httpMaxPendingRequests: circuitBreaker httpMaxPendingRequests must be in range [0..], found -1",
                        "spec.circuitBreaker.simpleCb.httpMaxRequests: circuitBreaker httpMaxRequests must be in range [0..], found -1",
                        "spec.circuitBreaker.simpleCb.httpMaxRetries: circuitBreaker httpMaxRetries must be in range [0..], found -1",
                        "spec.circuitBreaker.simpleCb.httpMaxRequestsPerConnection: circuitBreaker httpMaxRequestsPerConnection must be in range [0..], found -1",
                        "spec.circuitBreaker.simpleCb.httpConsecutiveErrors: circuitBreaker httpConsecutiveErrors must be in range [0..], found -1",
                        "spec.circuitBreaker.simpleCb.sleepWindow: circuitBreaker sleepWindow must be in range [0..]: duration must be greater than 1ms",
                        "spec.circuitBreaker.simpleCb.httpDetectionInterval: circuitBreaker httpDetectionInterval must be in range [0..]: duration must be greater than 1ms",
                        "spec.circuitBreaker.simpleCb.httpMaxEjectionPercent: circuitBreaker httpMaxEjectionPercent invalid: percentage 101 is not in range 0..100",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn a_zero_counts_as_left_out() {
        let resource = accepted(
            Kind::DestinationPolicy,
            "{destination: {service: a.b}, circuitBreaker: {simpleCb: {maxConnections: 0}}}",
        );
        let Spec::DestinationPolicy(policy) = resource.spec else {
            panic!("{resource:?}")
        };
        assert_eq!(
            policy.circuit_breaker,
            Some(CircuitBreaker::Simple(SimpleBreaker::default()))
        );
    }
}
