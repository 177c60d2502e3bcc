//! A stock Envoy's bootstrap: nothing in it but where pilot is and who this proxy is.

use std::path::PathBuf;

use anyhow::{Result, bail};
use outrigger_bookinfo::Role;

use crate::demo::plan::{Choices, HTTP_PROXY_PORT, inbound};

/// The bootstrap for the sidecar of `role`.
pub(crate) fn bootstrap(role: Role, choices: &Choices) -> String {
    let address = choices.addresses.of(role);
    let control = choices.addresses.control;
    let domain = choices.registry.domain();
    let inbound = inbound(role, choices);
    let service = role.service();
    format!(
        r#"# A stock Envoy that is given nothing but pilot's address and its own name.
node:
  id: sidecar~{address}~{role}~{domain}
  cluster: {service}
  metadata:
    INBOUND: "{inbound}"
    HTTP_PROXY_PORT: "{HTTP_PROXY_PORT}"
    OUTBOUND_VIRTUAL: "off"
admin:
  address:
    socket_address: {{address: {address}, port_value: 15000}}
dynamic_resources:
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services:
    - envoy_grpc: {{cluster_name: pilot}}
  lds_config: {{resource_api_version: V3, ads: {{}}}}
  cds_config: {{resource_api_version: V3, ads: {{}}}}
static_resources:
  clusters:
  - name: pilot
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: pilot
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {{address: {control}, port_value: 15010}}
"#
    )
}

/// Finds a stock Envoy: on the PATH, else among the peers that `cargo xtask peers` fetched.
pub(crate) fn find() -> Result<PathBuf> {
    find_program("envoy", "envoy-1.40.0/envoy")
}

/// Finds a Consul agent's binary in the same places.
pub(crate) fn find_consul() -> Result<PathBuf> {
    find_program("consul", "consul-1.19.2/consul")
}

fn find_program(name: &str, peer: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .collect();
    places.push(peers_folder().join(peer));
    match places.into_iter().find(|place| place.is_file()) {
        Some(found) => Ok(found),
        None => bail!(
            "there is no {name} on the PATH nor in {}; install one, or run `cargo xtask peers {name}` in a clone",
            peers_folder().display()
        ),
    }
}

/// The cache that `cargo xtask peers` fills.
fn peers_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("OUTRIGGER_PEERS") {
        return PathBuf::from(folder);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"));
    cache.join("outrigger").join("peers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::plan::tests::choices;
    use crate::demo::plan::{DataPlane, Registry};

    #[test]
    fn the_bootstrap_is_yaml_that_names_pilot_alone() {
        let text = bootstrap(Role::Productpage, &choices(Registry::Static, DataPlane::Envoy));

        let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read["node"]["id"], "sidecar~127.0.10.1~productpage-v1~mesh");
        assert_eq!(read["static_resources"]["clusters"].as_array().unwrap().len(), 1);
        assert!(read["static_resources"].get("listeners").is_none());
    }
}
