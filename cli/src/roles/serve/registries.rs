//! Starting the chosen registries, and what their names mean for short host names.

use outrigger_api::host::ShortNames;
use outrigger_registry::consul::{Settings, Tls, Token};
use outrigger_registry::{ConsulRegistry, RegistryHandle, StaticRegistry, saved};

use crate::failure::{Failure, chain};
use crate::roles::serve::settings::{ConsulChoice, RegistryChoice, Resolved};

/// Starts each registry, in the order in which the first one wins. What each had read is kept in the data directory,
/// so that a registry which is away when this process starts again is not an empty one.
pub(super) fn start(settings: &Resolved) -> Result<Vec<RegistryHandle>, Failure> {
    let folder = settings.data_dir.join("registries");
    let kept = |choice| Ok(saved::keep(one(choice)?, &folder, &origin(choice)));
    settings.registries.iter().map(kept).collect()
}

fn one(choice: &RegistryChoice) -> Result<RegistryHandle, Failure> {
    match choice {
        RegistryChoice::Static(path) => Ok(StaticRegistry::start("static", path.clone())),
        RegistryChoice::Consul(consul) => {
            ConsulRegistry::start(consul_settings(consul)).map_err(|error| Failure::one(chain(&error)))
        }
    }
}

/// Where a registry reads from: what was saved of another place does not stand in for it.
fn origin(choice: &RegistryChoice) -> String {
    match choice {
        RegistryChoice::Static(path) => std::path::absolute(path)
            .unwrap_or_else(|_| path.clone())
            .display()
            .to_string(),
        RegistryChoice::Consul(consul) => format!("{} {}", consul.url, consul.datacenters.join(",")),
    }
}

fn consul_settings(choice: &ConsulChoice) -> Settings {
    let (cert_file, key_file) = match &choice.client_certificate {
        Some((certificate, key)) => (Some(certificate.clone()), Some(key.clone())),
        None => (None, None),
    };
    Settings {
        address: choice.url.clone(),
        token: choice.token_file.clone().map_or(Token::None, Token::File),
        tls: Tls {
            ca_file: choice.ca_file.clone(),
            cert_file,
            key_file,
        },
        datacenters: choice.datacenters.clone(),
        default_protocol: choice.default_protocol,
        ..Settings::default()
    }
}

/// How `name: reviews` in a rule becomes a host: by `--domain`, else by each registry's own suffix.
pub(super) fn short_names(settings: &Resolved) -> ShortNames {
    let by_domain = settings.domain.iter().map(|domain| format!("{{name}}.{domain}"));
    let by_registry = settings.registries.iter().filter_map(|choice| match choice {
        RegistryChoice::Consul(_) => Some("{name}.service.consul".to_owned()),
        RegistryChoice::Static(_) => None,
    });
    let mut template: Vec<String> = by_domain.chain(by_registry).collect();
    template.dedup();
    ShortNames { template }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::serve::settings::Written;

    fn names(flags: &str) -> Vec<String> {
        let written: Written = serde_json::from_str(flags).unwrap();
        short_names(&written.resolve().unwrap()).template
    }

    #[test]
    fn another_consul_or_datacenter_is_another_place() {
        let origin = |flags: &str| {
            let written: Written = serde_json::from_str(flags).unwrap();
            written
                .resolve()
                .unwrap()
                .registries
                .iter()
                .map(origin)
                .collect::<Vec<_>>()
        };
        let consul = |more: &str| origin(&format!(r#"{{"registries": "consul"{more}}}"#));

        assert_eq!(consul(""), consul(""));
        assert_ne!(
            consul(""),
            consul(r#", "consul_server_url": "http://10.0.0.1:8500""#)
        );
        assert_ne!(consul(""), consul(r#", "consul_datacenters": "dc1,dc2""#));
    }

    #[test]
    fn the_domain_comes_before_what_a_registry_would_say() {
        assert_eq!(names(r#"{"registries": "consul"}"#), ["{name}.service.consul"]);
        assert_eq!(
            names(r#"{"registries": "consul", "domain": "mesh"}"#),
            ["{name}.mesh", "{name}.service.consul"]
        );
        assert_eq!(
            names(r#"{"registries": "consul", "domain": "service.consul"}"#),
            ["{name}.service.consul"]
        );
    }
}
