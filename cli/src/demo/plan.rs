//! What the demo starts: every process as the command that a user would type. Pure; nothing is started here.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use outrigger_bookinfo::{Role, Version};

/// The port that every service of the sample offers.
pub(crate) const SERVICE_PORT: u16 = 9080;
/// Where the application itself listens, behind its sidecar.
const APP_PORT: u16 = 19080;
/// Where a sidecar takes the application's outgoing requests.
pub(crate) const HTTP_PROXY_PORT: u16 = 15002;

/// The services, in the order in which they start: those that are asked first.
pub(crate) const ROLES: [Role; 6] = [
    Role::Ratings,
    Role::Details,
    Role::Reviews(Version::V1),
    Role::Reviews(Version::V2),
    Role::Reviews(Version::V3),
    Role::Productpage,
];

/// The registry that the demo's services are found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Registry {
    /// A file that lists the services.
    Static,
    /// A Consul agent in which each service is registered.
    Consul,
}

impl Registry {
    /// The DNS suffix of the services' names.
    pub(crate) fn domain(self) -> &'static str {
        match self {
            Registry::Static => "mesh",
            Registry::Consul => "service.consul",
        }
    }
}

/// Who proxies for productpage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DataPlane {
    /// Outrigger's own proxy everywhere.
    Outrigger,
    /// A stock Envoy beside productpage, Outrigger's proxy elsewhere.
    Envoy,
}

/// Where things listen. All of it is loopback.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// The control plane's address.
    pub(crate) control: Ipv4Addr,
    /// The gateway's address and port.
    pub(crate) gateway: std::net::SocketAddrV4,
    /// First three bytes of the workloads' addresses.
    pub(crate) workloads: [u8; 3],
}

impl Addresses {
    /// The address that `role` owns.
    pub(crate) fn of(&self, role: Role) -> Ipv4Addr {
        let last = match role {
            Role::Productpage => 1,
            Role::Details => 2,
            Role::Ratings => 3,
            Role::Reviews(Version::V1) => 11,
            Role::Reviews(Version::V2) => 12,
            Role::Reviews(Version::V3) => 13,
        };
        let [a, b, c] = self.workloads;
        Ipv4Addr::new(a, b, c, last)
    }
}

/// Everything that decides what is started.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    /// Where the services are found.
    pub(crate) registry: Registry,
    /// Base URL of the Consul agent.
    pub(crate) consul: String,
    /// Who proxies for productpage.
    pub(crate) data_plane: DataPlane,
    /// Where things listen.
    pub(crate) addresses: Addresses,
    /// Folder for files and logs.
    pub(crate) folder: PathBuf,
    /// The stock Envoy's binary.
    pub(crate) envoy: PathBuf,
}

/// Which binary a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// This very binary.
    Outrigger,
    /// Another one, by path.
    Other(PathBuf),
}

/// One process of the demo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Short name, also that of its log file.
    pub(crate) name: String,
    /// What is run.
    pub(crate) program: Program,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Environment beyond what the demo itself has.
    pub(crate) env: Vec<(String, String)>,
    /// It is ready when this URL answers 200.
    pub(crate) ready: String,
}

impl Process {
    /// The command as a user would type it.
    pub(crate) fn command_line(&self) -> String {
        let mut words: Vec<String> = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        words.push(match &self.program {
            Program::Outrigger => "outrigger".to_owned(),
            Program::Other(path) => path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
        });
        words.extend(self.args.iter().map(|word| quoted(word)));
        words.join(" ")
    }
}

/// Quotes a word for a shell where it needs it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Every address that the demo's processes listen on.
pub(crate) fn addresses(choices: &Choices) -> Vec<SocketAddrV4> {
    let Addresses { control, gateway, .. } = choices.addresses;
    let on = |ip: Ipv4Addr, ports: &[u16]| {
        ports
            .iter()
            .map(|port| SocketAddrV4::new(ip, *port))
            .collect::<Vec<_>>()
    };
    let mut all = on(control, &[8080, 15010, 15007, 9093]);
    all.push(gateway);
    all.extend(on(*gateway.ip(), &[15000, 15020]));
    for role in ROLES {
        let ports = [APP_PORT, SERVICE_PORT, 15000, 15020, HTTP_PROXY_PORT];
        all.extend(on(choices.addresses.of(role), &ports));
    }
    all
}

/// The control plane.
pub(crate) fn control_plane(choices: &Choices) -> Process {
    let control = choices.addresses.control;
    let store = choices.folder.join("store").display().to_string();
    let mut args = words(&[
        "serve",
        "--data-dir",
        &store,
        "--domain",
        choices.registry.domain(),
    ]);
    match choices.registry {
        Registry::Static => {
            let services = services_file(&choices.folder).display().to_string();
            args.extend(words(&["--registries", "static", "--static-services", &services]));
        }
        Registry::Consul => args.extend(words(&[
            "--registries",
            "consul",
            "--consul-server-url",
            &choices.consul,
        ])),
    }
    if control != Ipv4Addr::LOCALHOST {
        for (flag, port) in [
            ("--api-address", 8080),
            ("--grpc-address", 15010),
            ("--http-address", 15007),
            ("--monitoring-address", 9093),
        ] {
            args.extend([flag.to_owned(), format!("{control}:{port}")]);
        }
    }
    Process {
        name: "control-plane".into(),
        program: Program::Outrigger,
        args,
        env: Vec::new(),
        ready: format!("http://{control}:15007/ready"),
    }
}

/// The sidecar of `role`.
pub(crate) fn sidecar(role: Role, choices: &Choices) -> Process {
    let address = choices.addresses.of(role);
    if role == Role::Productpage && choices.data_plane == DataPlane::Envoy {
        return Process {
            name: format!("{role}-envoy"),
            program: Program::Other(choices.envoy.clone()),
            args: words(&[
                "-c",
                &envoy_file(&choices.folder).display().to_string(),
                "--concurrency",
                "1",
            ]),
            env: Vec::new(),
            ready: format!("http://{address}:15000/ready"),
        };
    }
    let mut args = words(&[
        "proxy",
        "sidecar",
        "--address",
        &address.to_string(),
        "--id",
        &role.to_string(),
    ]);
    args.extend(words(&[
        "--service",
        role.service(),
        "--domain",
        choices.registry.domain(),
    ]));
    args.extend(words(&["--inbound", &inbound(role, choices)]));
    args.extend(words(&[
        "--http-proxy-port",
        &HTTP_PROXY_PORT.to_string(),
        "--outbound-virtual",
        "off",
    ]));
    args.extend(discovery(choices));
    Process {
        name: format!("{role}-sidecar"),
        program: Program::Outrigger,
        args,
        env: Vec::new(),
        ready: format!("http://{address}:15020/ready"),
    }
}

/// The gateway through which browsers come in.
pub(crate) fn gateway(choices: &Choices) -> Process {
    let address = *choices.addresses.gateway.ip();
    let mut args = words(&[
        "proxy",
        "gateway",
        "--address",
        &address.to_string(),
        "--id",
        "gateway-v1",
    ]);
    args.extend(words(&[
        "--service",
        "istio-ingressgateway",
        "--domain",
        choices.registry.domain(),
    ]));
    args.extend(words(&["--labels", "istio=ingressgateway"]));
    args.extend(discovery(choices));
    Process {
        name: "gateway".into(),
        program: Program::Outrigger,
        args,
        env: Vec::new(),
        ready: format!("http://{address}:15020/ready"),
    }
}

/// The application itself.
pub(crate) fn app(role: Role, choices: &Choices) -> Process {
    let address = choices.addresses.of(role);
    let listen = format!("{address}:{APP_PORT}");
    Process {
        name: role.to_string(),
        program: Program::Outrigger,
        args: words(&["bookinfo", &role.to_string(), "--listen", &listen]),
        env: vec![("HTTP_PROXY".into(), format!("http://{address}:{HTTP_PROXY_PORT}"))],
        ready: format!("http://{listen}/health"),
    }
}

/// What a sidecar is told of its application: `port=address:port`.
pub(crate) fn inbound(role: Role, choices: &Choices) -> String {
    format!("{SERVICE_PORT}={}:{APP_PORT}", choices.addresses.of(role))
}

/// The file that the static registry reads.
pub(crate) fn services_file(folder: &Path) -> PathBuf {
    folder.join("services.yaml")
}

/// The stock Envoy's bootstrap.
pub(crate) fn envoy_file(folder: &Path) -> PathBuf {
    folder.join("productpage-envoy.yaml")
}

/// The static registry's file: one entry a service, one instance a process.
pub(crate) fn services_text(choices: &Choices) -> String {
    let mut text = String::from("# Services of the demo. Edit while it runs: the change is picked up.\n");
    for service in ["productpage", "details", "reviews", "ratings"] {
        text.push_str(&format!(
            "- host: {service}.{}\n  ports:\n  - {{name: http, port: {SERVICE_PORT}, protocol: http}}\n  instances:\n",
            choices.registry.domain()
        ));
        for role in ROLES.into_iter().filter(|role| role.service() == service) {
            text.push_str(&format!(
                "  - {{address: {}, port: {SERVICE_PORT}, labels: {{app: {service}, version: {}}}}}\n",
                choices.addresses.of(role),
                role.version()
            ));
        }
    }
    text
}

fn discovery(choices: &Choices) -> Vec<String> {
    match choices.addresses.control {
        Ipv4Addr::LOCALHOST => Vec::new(),
        control => words(&["--discovery-address", &format!("{control}:15010")]),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn choices(registry: Registry, data_plane: DataPlane) -> Choices {
        Choices {
            registry,
            consul: "http://127.0.0.1:8500".into(),
            data_plane,
            addresses: Addresses {
                control: Ipv4Addr::LOCALHOST,
                gateway: "127.0.0.1:9081".parse().unwrap(),
                workloads: [127, 0, 10],
            },
            folder: "demo".into(),
            envoy: "bin/envoy".into(),
        }
    }

    #[test]
    fn a_command_line_can_be_typed_as_it_is_printed() {
        let app = app(Role::Details, &choices(Registry::Static, DataPlane::Outrigger));

        assert_eq!(
            app.command_line(),
            "HTTP_PROXY=http://127.0.10.2:15002 outrigger bookinfo details-v1 --listen 127.0.10.2:19080"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn the_sidecar_takes_its_clients_and_the_app_stays_behind_it() {
        let sidecar = sidecar(
            Role::Reviews(Version::V2),
            &choices(Registry::Consul, DataPlane::Outrigger),
        );

        assert_eq!(
            sidecar.command_line(),
            "outrigger proxy sidecar --address 127.0.10.12 --id reviews-v2 --service reviews --domain service.consul \
             --inbound 9080=127.0.10.12:19080 --http-proxy-port 15002 --outbound-virtual off"
        );
    }

    #[test]
    fn only_productpage_gets_the_stock_envoy() {
        let choices = choices(Registry::Static, DataPlane::Envoy);

        let others: Vec<_> = ROLES
            .into_iter()
            .filter(|role| sidecar(*role, &choices).program != Program::Outrigger)
            .collect();

        assert_eq!(others, [Role::Productpage]);
    }

    #[test]
    fn the_services_file_lists_three_versions_of_reviews() {
        let text = services_text(&choices(Registry::Static, DataPlane::Outrigger));

        let reviews = text
            .split("- host: ")
            .find(|entry| entry.starts_with("reviews.mesh"))
            .unwrap();
        assert_eq!(reviews.matches("version: v").count(), 3, "{text}");
    }
}
