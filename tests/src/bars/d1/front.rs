//! The proxy under test: its configuration, and how it is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::backend::SCRIPTED;
use super::plan::{Door, Receiver};
use crate::process::Process;

/// Where the proxy under test stands.
pub(super) const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 44, 1);

/// The places to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upstreams {
    pub(super) plain: SocketAddr,
    pub(super) scripted: SocketAddr,
    pub(super) tunnels: SocketAddr,
    pub(super) hyper: SocketAddr,
    pub(super) nginx: SocketAddr,
}

/// Starts the proxy with its files in `folder` and waits until it serves.
pub(super) async fn start(folder: &Path, log: &Path, upstreams: Upstreams) -> Result<Process> {
    let bootstrap = folder.join("bootstrap.json");
    std::fs::write(&bootstrap, configuration(upstreams).to_string())?;
    let mut args: Vec<String> = [
        "proxy",
        "gateway",
        "--workers",
        "1",
        "--drain",
        "5s",
        "--access-log-format",
        "json",
    ]
    .map(str::to_owned)
    .into();
    for (flag, value) in [
        ("--address", PROXY.to_string()),
        ("--static", bootstrap.display().to_string()),
        ("--access-log", log.display().to_string()),
    ] {
        args.extend([flag.to_owned(), value]);
    }
    let mut proxy = Process::start("proxy", &args, folder, (PROXY, 15020).into())?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    proxy
        .wait_until_ready(&client, &format!("http://{PROXY}:15020/ready"))
        .await?;

    Ok(proxy)
}

/// The proxy's configuration: a listener for each kind of door, and five places to go.
fn configuration(upstreams: Upstreams) -> Value {
    const TYPES: &str = "type.googleapis.com/envoy.extensions";
    let socket = |address: SocketAddr| json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}});
    let cluster = |(name, address): (&str, SocketAddr)| {
        json!({"name": name, "type": "STATIC", "connect_timeout": "2s", "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(address)}}]}],
        }})
    };
    let to = |name: &str| json!({"cluster": name, "timeout": "0s"});
    let connect = json!([{"name": ":method", "string_match": {"exact": "CONNECT"}}]);
    let recorded = json!([
        {"name": "connect", "match": {"prefix": "/", "headers": connect}, "route": to("tunnels")},
        {"name": "response", "match": {"prefix": SCRIPTED}, "route": to("scripted")},
        {"name": "rest", "match": {"prefix": "/"}, "route": to("plain")},
        {"name": "asterisk", "match": {"path": "*"}, "route": to("plain")},
    ]);
    let all_to = |name: &str| {
        json!([
            {"name": "rest", "match": {"prefix": "/"}, "route": to(name)},
            {"name": "asterisk", "match": {"path": "*"}, "route": to(name)},
        ])
    };
    let routes = |receiver: Receiver| {
        let routes = match receiver {
            Receiver::Recorder => recorded.clone(),
            Receiver::Hyper | Receiver::Nginx => all_to(receiver.name()),
        };
        json!({"name": "http_proxy", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]})
    };
    let listener = |door: Door| {
        let manager = json!({
            "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": format!("door_{}", door.port()),
            "codec_type": if door.http1 { "HTTP1" } else { "AUTO" },
            "http_protocol_options": {"accept_http_10": door.http10},
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "route_config": routes(door.receiver),
            "access_log": [{"name": "log", "typed_config": {
                "@type": format!("{TYPES}.access_loggers.stream.v3.StdoutAccessLog"),
            }}],
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                "@type": format!("{TYPES}.filters.http.router.v3.Router"),
            }}],
        });
        json!({
            "name": format!("door_{}", door.port()),
            "address": socket(SocketAddr::from((PROXY, door.port()))),
            // A listener without a direction stands at the edge.
            "traffic_direction": if door.gateway { "UNSPECIFIED" } else { "OUTBOUND" },
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
            }]}],
        })
    };
    let clusters = [
        ("plain", upstreams.plain),
        ("scripted", upstreams.scripted),
        ("tunnels", upstreams.tunnels),
        (Receiver::Hyper.name(), upstreams.hyper),
        (Receiver::Nginx.name(), upstreams.nginx),
    ];
    json!({"static_resources": {
        "listeners": Door::all().map(listener).collect::<Vec<_>>(),
        "clusters": clusters.map(cluster),
    }})
}

#[cfg(test)]
mod tests {
    use outrigger_proxy::control::bootstrap::Bootstrap;

    use super::*;

    #[test]
    fn the_proxy_can_read_its_configuration() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));

        let upstreams = Upstreams {
            plain: address,
            scripted: address,
            tunnels: address,
            hyper: address,
            nginx: address,
        };

        let bootstrap = Bootstrap::parse(&configuration(upstreams).to_string()).unwrap();

        assert_eq!((bootstrap.listeners.len(), bootstrap.clusters.len()), (24, 5));
    }
}
