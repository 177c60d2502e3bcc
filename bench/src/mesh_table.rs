//! The table of a real mesh: 100 services in three subsets each, so 300 clusters, as a bootstrap that Envoy and our
//! proxy read alike.
//!
//! Each service has a virtual host with two routes, one of which looks at a header; the measured service is one of
//! them, in the middle.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::case::Case;

/// Services of the mesh.
pub(crate) const SERVICES: usize = 100;
/// Subsets of each of them.
pub(crate) const SUBSETS: usize = 3;
/// The service that is asked.
const MEASURED: usize = 50;
/// The port of every service.
pub(crate) const PORT: u16 = 9080;

const HTTP_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const TCP_PROXY: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const HTTP_OPTIONS: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A service's name.
pub(crate) fn host(service: usize) -> String {
    format!("service-{service:03}.mesh")
}

/// The name and port under which the measured service is asked.
pub(crate) fn measured_host() -> String {
    format!("{}:{PORT}", host(MEASURED))
}

/// The bootstrap: one listener, and the table; the measured service is at `backend`.
pub(crate) fn bootstrap(case: Case, listen: SocketAddr, backend: SocketAddr) -> String {
    let mut text = String::from("static_resources:\n  listeners:\n");
    // Writing to a string does not fail.
    let _ = match case {
        Case::Tcp => tcp_listener(&mut text, listen),
        Case::H1Small | Case::H1Large | Case::H2c => http_listener(&mut text, listen),
    };
    text.push_str("  clusters:\n");
    for service in 0..SERVICES {
        for subset in 1..=SUBSETS {
            let _ = cluster(&mut text, case, service, subset, backend);
        }
    }
    text
}

fn cluster_name(service: usize, subset: usize) -> String {
    format!("outbound|{PORT}|v{subset}|{}", host(service))
}

fn tcp_listener(text: &mut String, listen: SocketAddr) -> std::fmt::Result {
    listener(text, listen)?;
    writeln!(text, "      - name: envoy.filters.network.tcp_proxy")?;
    writeln!(text, "        typed_config:")?;
    writeln!(text, "          \"@type\": {TCP_PROXY}")?;
    writeln!(text, "          stat_prefix: measured")?;
    writeln!(text, "          cluster: \"{}\"", cluster_name(MEASURED, 1))
}

fn http_listener(text: &mut String, listen: SocketAddr) -> std::fmt::Result {
    listener(text, listen)?;
    writeln!(
        text,
        "      - name: envoy.filters.network.http_connection_manager"
    )?;
    writeln!(text, "        typed_config:")?;
    writeln!(text, "          \"@type\": {HTTP_MANAGER}")?;
    writeln!(text, "          stat_prefix: measured")?;
    writeln!(text, "          codec_type: AUTO")?;
    writeln!(text, "          http_filters:")?;
    writeln!(text, "          - name: envoy.filters.http.router")?;
    writeln!(text, "            typed_config: {{\"@type\": {ROUTER}}}")?;
    writeln!(text, "          route_config:")?;
    writeln!(text, "            name: table")?;
    writeln!(text, "            virtual_hosts:")?;
    for service in 0..SERVICES {
        virtual_host(text, service)?;
    }
    Ok(())
}

fn listener(text: &mut String, listen: SocketAddr) -> std::fmt::Result {
    writeln!(text, "  - name: measured")?;
    writeln!(text, "    address: {}", address(listen))?;
    writeln!(text, "    traffic_direction: OUTBOUND")?;
    writeln!(text, "    filter_chains:")?;
    writeln!(text, "    - filters:")
}

fn virtual_host(text: &mut String, service: usize) -> std::fmt::Result {
    let host = host(service);
    writeln!(text, "            - name: \"{host}\"")?;
    writeln!(text, "              domains: [\"{host}\", \"{host}:{PORT}\"]")?;
    writeln!(text, "              routes:")?;
    writeln!(text, "              - match:")?;
    writeln!(text, "                  prefix: /")?;
    writeln!(
        text,
        "                  headers: [{{name: end-user, string_match: {{exact: jason}}}}]"
    )?;
    writeln!(
        text,
        "                route: {{cluster: \"{}\", timeout: 15s}}",
        cluster_name(service, 2)
    )?;
    writeln!(text, "              - match: {{prefix: /}}")?;
    writeln!(
        text,
        "                route: {{cluster: \"{}\", timeout: 15s}}",
        cluster_name(service, 1)
    )
}

fn cluster(
    text: &mut String,
    case: Case,
    service: usize,
    subset: usize,
    backend: SocketAddr,
) -> std::fmt::Result {
    let name = cluster_name(service, subset);
    let endpoint = match service {
        MEASURED => backend,
        // Never connected to: nobody asks for it.
        other => SocketAddr::from(([10, 20, other as u8, subset as u8], PORT)),
    };
    writeln!(text, "  - name: \"{name}\"")?;
    writeln!(text, "    type: STATIC")?;
    writeln!(text, "    connect_timeout: 1s")?;
    writeln!(text, "    lb_policy: ROUND_ROBIN")?;
    if case == Case::H2c {
        writeln!(text, "    typed_extension_protocol_options:")?;
        writeln!(
            text,
            "      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:"
        )?;
        writeln!(text, "        \"@type\": {HTTP_OPTIONS}")?;
        writeln!(
            text,
            "        explicit_http_config: {{http2_protocol_options: {{}}}}"
        )?;
    }
    writeln!(text, "    load_assignment:")?;
    writeln!(text, "      cluster_name: \"{name}\"")?;
    writeln!(
        text,
        "      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {}}}}}]}}]",
        address(endpoint)
    )
}

fn address(address: SocketAddr) -> String {
    format!(
        "{{socket_address: {{address: {}, port_value: {}}}}}",
        address.ip(),
        address.port()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_300_clusters_and_the_measured_one_leads_to_the_backend() {
        let backend: SocketAddr = ([127, 0, 0, 1], 4711).into();

        let text = bootstrap(Case::H1Small, ([127, 0, 0, 1], 80).into(), backend);

        assert_eq!(text.matches("type: STATIC").count(), SERVICES * SUBSETS);
        assert_eq!(text.matches("domains:").count(), SERVICES);
        let (_, measured) = text
            .split_once("- name: \"outbound|9080|v1|service-050.mesh\"")
            .unwrap();
        let (measured, _) = measured.split_once("  - name: \"outbound|9080|v2|").unwrap();
        assert!(
            measured.contains("{address: 127.0.0.1, port_value: 4711}"),
            "{measured}"
        );
    }
}
