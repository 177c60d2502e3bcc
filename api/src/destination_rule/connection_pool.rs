//! Limits towards a destination, and when an instance of it is set aside.

use std::time::Duration;

use crate::choice::Choice;
use crate::fields::{Fields, Message};
use crate::output::Object;

/// Limits; at least one of the two is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionPool {
    /// Limits on connections.
    pub tcp: Option<TcpPool>,
    /// Limits on requests.
    pub http: Option<HttpPool>,
}

impl Message for ConnectionPool {
    fn read(fields: &Fields<'_>) -> ConnectionPool {
        if !fields.has("tcp") && !fields.has("http") {
            fields.problem("connection pool must have at least one field");
        }
        ConnectionPool {
            tcp: fields.message("tcp"),
            http: fields.message("http"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.message("tcp", self.tcp.as_ref());
        out.message("http", self.http.as_ref());
    }
}

/// Limits on connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpPool {
    /// Most connections; absent for 1024.
    pub max_connections: Option<u32>,
    /// Time to connect; absent for the mesh's, 1 s.
    pub connect_timeout: Option<Duration>,
    /// Probes on idle connections; absent for the mesh's.
    pub tcp_keepalive: Option<TcpKeepalive>,
}

impl Message for TcpPool {
    fn read(fields: &Fields<'_>) -> TcpPool {
        let pool = TcpPool {
            max_connections: fields.count("maxConnections", "max connections must be non-negative"),
            connect_timeout: fields.duration("connectTimeout", "connect timeout invalid: "),
            tcp_keepalive: fields.message("tcpKeepalive"),
        };
        if !["maxConnections", "connectTimeout", "tcpKeepalive"]
            .into_iter()
            .any(|name| fields.has(name))
        {
            fields.problem("TCP connection pool must have at least one field");
        }
        pool
    }

    fn write(&self, out: &mut Object) {
        out.opt("maxConnections", self.max_connections);
        out.duration("connectTimeout", self.connect_timeout);
        out.message("tcpKeepalive", self.tcp_keepalive.as_ref());
    }
}

/// Probes on idle connections; absent values are the operating system's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Unanswered probes that end a connection.
    pub probes: Option<u32>,
    /// Idle time before the first probe.
    pub time: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
}

impl Message for TcpKeepalive {
    fn read(fields: &Fields<'_>) -> TcpKeepalive {
        TcpKeepalive {
            probes: fields.integer("probes").filter(|probes| *probes != 0),
            time: fields.duration("time", "keepalive time invalid: "),
            interval: fields.duration("interval", "keepalive interval invalid: "),
        }
    }

    fn write(&self, out: &mut Object) {
        out.opt("probes", self.probes);
        out.duration("time", self.time);
        out.duration("interval", self.interval);
    }
}

/// Limits on requests. A 0 in a document means absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpPool {
    /// Most requests that wait for a connection; absent for 1024.
    pub http1_max_pending_requests: Option<u32>,
    /// Most requests at once; absent for 1024.
    pub http2_max_requests: Option<u32>,
    /// Requests after which a connection is closed; absent for no limit.
    pub max_requests_per_connection: Option<u32>,
    /// Most retries at once; absent for 1024.
    pub max_retries: Option<u32>,
    /// Idle time after which a connection is closed; absent for no limit.
    pub idle_timeout: Option<Duration>,
    /// Kept, without effect.
    pub h2_upgrade_policy: Option<H2UpgradePolicy>,
}

/// Whether HTTP/1.1 towards a service becomes HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum H2UpgradePolicy {
    /// As the mesh says.
    Default,
    /// Never.
    DoNotUpgrade,
    /// Always.
    Upgrade,
}

impl Choice for H2UpgradePolicy {
    const VALUES: &'static [(i64, &'static str, H2UpgradePolicy)] = &[
        (0, "DEFAULT", H2UpgradePolicy::Default),
        (1, "DO_NOT_UPGRADE", H2UpgradePolicy::DoNotUpgrade),
        (2, "UPGRADE", H2UpgradePolicy::Upgrade),
    ];
}

impl Message for HttpPool {
    fn read(fields: &Fields<'_>) -> HttpPool {
        let names = [
            "http1MaxPendingRequests",
            "http2MaxRequests",
            "maxRequestsPerConnection",
            "maxRetries",
            "idleTimeout",
            "h2UpgradePolicy",
        ];
        if !names.into_iter().any(|name| fields.has(name)) {
            fields.problem("HTTP connection pool must have at least one field");
        }
        HttpPool {
            http1_max_pending_requests: fields.count(
                "http1MaxPendingRequests",
                "http1 max pending requests must be non-negative",
            ),
            http2_max_requests: fields.count("http2MaxRequests", "http2 max requests must be non-negative"),
            max_requests_per_connection: fields.count(
                "maxRequestsPerConnection",
                "max requests per connection must be non-negative",
            ),
            max_retries: fields.count("maxRetries", "max retries must be non-negative"),
            idle_timeout: fields.duration("idleTimeout", "idle timeout invalid: "),
            h2_upgrade_policy: fields.choice("h2UpgradePolicy"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.opt("http1MaxPendingRequests", self.http1_max_pending_requests);
        out.opt("http2MaxRequests", self.http2_max_requests);
        out.opt("maxRequestsPerConnection", self.max_requests_per_connection);
        out.opt("maxRetries", self.max_retries);
        out.duration("idleTimeout", self.idle_timeout);
        out.choice("h2UpgradePolicy", self.h2_upgrade_policy);
    }
}

/// When an instance is set aside. Its presence alone turns ejection on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Answers 502, 503 or 504 in a row that eject an instance; absent for 5.
    pub consecutive_errors: Option<u32>,
    /// How often instances are judged; absent for 10 s.
    pub interval: Option<Duration>,
    /// How long the first ejection lasts; absent for 30 s.
    pub base_ejection_time: Option<Duration>,
    /// Largest share of instances that may be ejected, percent; absent for 10.
    pub max_ejection_percent: Option<u32>,
    /// Share of healthy instances below which health is no longer looked at, percent; absent for 50.
    pub min_health_percent: Option<u32>,
}

impl Message for OutlierDetection {
    fn read(fields: &Fields<'_>) -> OutlierDetection {
        OutlierDetection {
            consecutive_errors: fields.count(
                "consecutiveErrors",
                "outlier detection consecutive errors must be non-negative",
            ),
            interval: fields.duration("interval", "outlier detection interval invalid: "),
            base_ejection_time: fields.duration(
                "baseEjectionTime",
                "outlier detection base ejection time invalid: ",
            ),
            max_ejection_percent: read_percent(fields, "maxEjectionPercent", "max ejection percent"),
            min_health_percent: read_percent(fields, "minHealthPercent", "min health percent"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.opt("consecutiveErrors", self.consecutive_errors);
        out.duration("interval", self.interval);
        out.duration("baseEjectionTime", self.base_ejection_time);
        out.opt("maxEjectionPercent", self.max_ejection_percent);
        out.opt("minHealthPercent", self.min_health_percent);
    }
}

fn read_percent(fields: &Fields<'_>, name: &'static str, what: &str) -> Option<u32> {
    let percent = fields.integer::<i32>(name)?;
    let read = u32::try_from(percent).ok().filter(|percent| *percent <= 100);
    if read.is_none() {
        fields.problem_at(
            name,
            format!("{what} invalid: percentage {percent} is not in range 0..100"),
        );
    }
    read
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::trial::check;

    #[test]
    fn limits_and_ejection_are_checked() {
        for (policy, expected) in [
            (
                "{connectionPool: {tcp: {maxConnections: 100, connectTimeout: 30ms, tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}}, http: {http1MaxPendingRequests: 1, http2MaxRequests: 1000, maxRequestsPerConnection: 10, maxRetries: 3, idleTimeout: 1h, h2UpgradePolicy: UPGRADE}}}",
                &[] as &[&str],
            ),
            (
                "{connection_pool: {http: {http1_max_pending_requests: 1, http2_max_requests: 2}}}",
                &[],
            ),
            ("{outlierDetection: {}}", &[]),
            (
                "{outlierDetection: {consecutiveErrors: 7, interval: 5m, baseEjectionTime: 15m, maxEjectionPercent: 100, minHealthPercent: 0}}",
                &[],
            ),
            (
                "{connectionPool: {}}",
                &["connectionPool: connection pool must have at least one field"],
            ),
            (
                "{connectionPool: {tcp: {}, http: {}}}",
                &[
                    "connectionPool.tcp: TCP connection pool must have at least one field",
                    "connectionPool.http: HTTP connection pool must have at least one field",
                ],
            ),
            (
                "{connectionPool: {tcp: {maxConnections: -1, connectTimeout: 0s, tcpKeepalive: {probes: -1, time: 0s, interval: 1us}}}}",
                &[
                    "connectionPool.tcp.maxConnections: max connections must be non-negative, found -1",
                    "connectionPool.tcp.connectTimeout: connect timeout invalid: duration must be greater than 1ms",
                    "connectionPool.tcp.tcpKeepalive.probes: -1 is not in range 0..4294967295",
                    "connectionPool.tcp.tcpKeepalive.time: keepalive time invalid: duration must be greater than 1ms",
                    "connectionPool.tcp.tcpKeepalive.interval: keepalive interval invalid: duration must be greater than 1ms",
                ],
            ),
            (
                "{connectionPool: {http: {http1MaxPendingRequests: -1, http2MaxRequests: -1, maxRequestsPerConnection: -1, maxRetries: -1, idleTimeout: 0s}}}",
                &[
                    "connectionPool.http.http1MaxPendingRequests: http1 max pending requests must be non-negative, found -1",
                    "connectionPool.http.http2MaxRequests: http2 max requests must be non-negative, found -1",
                    "connectionPool.http.maxRequestsPerConnection: max requests per connection must be non-negative, found -1",
                    "connectionPool.http.maxRetries: max retries must be non-negative, found -1",
                    "connectionPool.http.idleTimeout: idle timeout invalid: duration must be greater than 1ms",
                ],
            ),
            (
                "{outlierDetection: {consecutiveErrors: -1, interval: 0s, baseEjectionTime: 0s, maxEjectionPercent: 101, minHealthPercent: -1}}",
                &[
                    "outlierDetection.consecutiveErrors: outlier detection consecutive errors must be non-negative, found -1",
                    "outlierDetection.interval: outlier detection interval invalid: duration must be greater than 1ms",
                    "outlierDetection.baseEjectionTime: outlier detection base ejection time invalid: duration must be greater than 1ms",
                    "outlierDetection.maxEjectionPercent: max ejection percent invalid: percentage 101 is not in range 0..100",
                    "outlierDetection.minHealthPercent: min health percent invalid: percentage -1 is not in range 0..100",
                ],
            ),
        ] {
            let expected: Vec<String> = expected
                .iter()
                .map(|problem| format!("spec.trafficPolicy.{problem}"))
                .collect();
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            check(
                Kind::DestinationRule,
                &[(&format!("{{host: a.b, trafficPolicy: {policy}}}"), &expected)],
            );
        }
    }
}
