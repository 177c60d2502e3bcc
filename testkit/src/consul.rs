//! A real Consul agent in development mode: own ports, own data, gone when dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peers;
use crate::process::Process;

/// A fresh agent elects itself in about a second; a busy machine takes longer.
const READY: Duration = Duration::from_secs(60);

/// Ports are free when they are picked and may be taken when Consul binds them.
const ATTEMPTS: usize = 5;

/// The token that may do everything, where ACLs are on.
const MANAGEMENT_TOKEN: &str = "6f1b2c3d-0000-4000-8000-00000000a11c";

/// What kind of Consul to start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Turn ACLs on and deny what no token allows.
    pub acl: bool,
    /// Serve HTTPS that wants a client certificate, beside plain HTTP.
    pub tls: bool,
    /// Name of the datacenter; default `dc1`.
    pub datacenter: Option<String>,
    /// Join this other datacenter, by its [`Consul::wan`].
    pub join: Option<SocketAddr>,
}

/// A running agent.
#[derive(Debug)]
pub struct Consul {
    process: Process,
    program: PathBuf,
    options: Options,
    ports: Ports,
    folder: TempDir,
    version: (u32, u32),
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    http: u16,
    https: u16,
    server: u16,
    serf_lan: u16,
    serf_wan: u16,
}

impl Consul {
    /// Starts a plain agent and waits until it has a leader and knows itself.
    ///
    /// # Errors
    /// The peer is not in the cache (the message names the command that fetches it), or it does not get ready.
    pub fn start() -> Result<Consul> {
        Consul::start_with(&Options::default())
    }

    /// Starts an agent of this kind.
    ///
    /// # Errors
    /// As [`Consul::start`].
    pub fn start_with(options: &Options) -> Result<Consul> {
        let program = peers::find("consul")?;
        let version = version(&program)?;
        let mut folder = tempfile::tempdir()?;
        if options.tls {
            make_certificates(&program, folder.path())?;
        }
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let ports = free_ports()?;
            let process = launch(&program, options, ports, folder.path(), version)?;
            let mut consul = Consul {
                process,
                program: program.clone(),
                options: options.clone(),
                ports,
                folder,
                version,
            };
            match consul.wait_until_ready() {
                Ok(()) => return Ok(consul),
                Err(reason) if consul.process.output().contains("address already in use") => {
                    last = Some(reason);
                    consul.process.kill();
                    folder = consul.folder;
                }
                Err(reason) => return Err(reason),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("consul was not started")))
    }

    /// Base address of its HTTP API.
    pub fn address(&self) -> String {
        format!("http://{}", self.http())
    }

    /// Base address of its HTTPS API, with [`Options::tls`].
    pub fn https_address(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.https)
    }

    /// A PEM file, with [`Options::tls`]: `ca`, `client` or `client-key`.
    pub fn pem(&self, name: &str) -> PathBuf {
        let file = match name {
            "client" => "dc1-client-consul-0.pem",
            "client-key" => "dc1-client-consul-0-key.pem",
            _ => "consul-agent-ca.pem",
        };
        self.folder.path().join(file)
    }

    /// Where other datacenters join it.
    pub fn wan(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.serf_wan).into()
    }

    /// The token that may do everything, with [`Options::acl`].
    pub fn management_token(&self) -> &'static str {
        MANAGEMENT_TOKEN
    }

    /// Its process, to freeze or to look at.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it; what it knew is gone, as always in development mode.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Consul::stop`], on the same ports, and waits until it is ready.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = launch(
            &self.program,
            &self.options,
            self.ports,
            self.folder.path(),
            self.version,
        )?;
        self.wait_until_ready()
    }

    /// GET with the management token where there is one; the body of a 200.
    ///
    /// # Errors
    /// No answer, or another status.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.call("GET", path, None)
    }

    /// PUT of JSON with the management token where there is one; the body of a 200.
    ///
    /// # Errors
    /// No answer, or another status.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.call("PUT", path, Some(body))
    }

    fn http(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.http).into()
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let token = self.options.acl.then_some(MANAGEMENT_TOKEN);
        call(self.http(), token, method, path, body)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let (http, token) = (self.http(), self.options.acl.then_some(MANAGEMENT_TOKEN));
        self.process.until(READY, "a leader", || {
            let leader = call(http, token, "GET", "/v1/status/leader", None)?;
            ensure!(
                leader.as_str().is_some_and(|leader| !leader.is_empty()),
                "no leader"
            );
            let nodes = call(http, token, "GET", "/v1/catalog/nodes", None)?;
            ensure!(
                nodes.as_array().is_some_and(|nodes| !nodes.is_empty()),
                "it does not know itself"
            );
            Ok(())
        })
    }
}

fn launch(
    program: &Path,
    options: &Options,
    ports: Ports,
    folder: &Path,
    version: (u32, u32),
) -> Result<Process> {
    let settings = folder.join("consul.json");
    std::fs::write(&settings, settings_text(options, ports, folder, version))?;
    let mut command = Command::new(program);
    command
        .args(["agent", "-dev", "-log-level", "warn", "-config-file"])
        .arg(&settings)
        .arg("-data-dir")
        .arg(folder.join("data"));
    Process::start("consul", &mut command, &folder.join("consul.log"))
}

#[allow(
    clippy::indexing_slicing,
    reason = "assigning to a key of a JSON object makes its place"
)]
fn settings_text(options: &Options, ports: Ports, folder: &Path, version: (u32, u32)) -> String {
    let mut settings = json!({
        "datacenter": options.datacenter.as_deref().unwrap_or("dc1"),
        "node_name": format!("node-{}", options.datacenter.as_deref().unwrap_or("dc1")),
        "bind_addr": "127.0.0.1",
        "client_addr": "127.0.0.1",
        "disable_update_check": true,
        "ports": {
            "http": ports.http,
            "https": if options.tls { i32::from(ports.https) } else { -1 },
            "dns": -1,
            "grpc": -1,
            "server": ports.server,
            "serf_lan": ports.serf_lan,
            "serf_wan": ports.serf_wan,
        },
    });
    if version >= (1, 14) {
        settings["ports"]["grpc_tls"] = json!(-1);
    }
    if let Some(other) = options.join {
        settings["retry_join_wan"] = json!([other.to_string()]);
        settings["retry_interval_wan"] = json!("1s");
    }
    if options.acl {
        let token = if version >= (1, 11) {
            "initial_management"
        } else {
            "master"
        };
        settings["acl"] = json!({
            "enabled": true,
            "default_policy": "deny",
            "tokens": { token: MANAGEMENT_TOKEN, "agent": MANAGEMENT_TOKEN },
        });
    }
    if options.tls {
        let certificate = json!(folder.join("dc1-server-consul-0.pem"));
        let key = json!(folder.join("dc1-server-consul-0-key.pem"));
        let authority = json!(folder.join("consul-agent-ca.pem"));
        if version >= (1, 12) {
            settings["tls"] = json!({"https": {
                "ca_file": authority, "cert_file": certificate, "key_file": key, "verify_incoming": true,
            }});
        } else {
            settings["ca_file"] = authority;
            settings["cert_file"] = certificate;
            settings["key_file"] = key;
            settings["verify_incoming_https"] = json!(true);
        }
    }
    settings.to_string()
}

fn make_certificates(program: &Path, folder: &Path) -> Result<()> {
    for args in [
        &["ca", "create"][..],
        &[
            "cert",
            "create",
            "-server",
            "-dc",
            "dc1",
            "-additional-ipaddress",
            "127.0.0.1",
        ],
        &["cert", "create", "-client"],
    ] {
        let output = Command::new(program)
            .arg("tls")
            .args(args)
            .current_dir(folder)
            .output()?;
        ensure!(
            output.status.success(),
            "consul tls {args:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Major and minor version, from `Consul v1.19.2`.
fn version(program: &Path) -> Result<(u32, u32)> {
    let output = Command::new(program)
        .arg("version")
        .output()
        .context("consul version")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |part: Option<&str>| part.and_then(|part| part.parse().ok());
    let mut parts = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("Consul v")
        .split('.');
    match (number(parts.next()), number(parts.next())) {
        (Some(major), Some(minor)) => Ok((major, minor)),
        _ => bail!("{} does not say which version it is: {text:?}", program.display()),
    }
}

fn free_ports() -> Result<Ports> {
    let mut held = Vec::new();
    let mut next = || -> Result<u16> {
        loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = tcp.local_addr()?.port();
            // Gossip wants the same number for UDP.
            if let Ok(udp) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
                held.push((tcp, udp));
                return Ok(port);
            }
        }
    };
    Ok(Ports {
        http: next()?,
        https: next()?,
        server: next()?,
        serf_lan: next()?,
        serf_wan: next()?,
    })
}

/// One request on a connection of its own, by hand: the examiner shares no code with what it examines.
fn call(
    address: SocketAddr,
    token: Option<&str>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value> {
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let token = token
        .map(|token| format!("X-Consul-Token: {token}\r\n"))
        .unwrap_or_default();
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    write!(
        connection,
        "{method} {path} HTTP/1.0\r\nHost: consul\r\n{token}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "{method} {path} gave {status}: {}", body.trim());
    match body.trim() {
        "" => Ok(Value::Null),
        text => serde_json::from_str(text).with_context(|| format!("{method} {path} gave {text:?}")),
    }
}
