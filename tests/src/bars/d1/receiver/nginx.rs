//! nginx: one process that reads every request to its end, logs it, and answers 200. The answer comes from a second server
//! inside it: nginx that answers by itself does so before it has read the body.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use outrigger_testkit::process::Process;

use super::{Counted, Named};
use crate::process::must_be_free;

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running nginx.
pub(super) struct Nginx {
    process: Process,
    log: PathBuf,
}

impl Nginx {
    /// Starts it on `address` with all its files in `folder`.
    pub(super) fn start(address: SocketAddr, folder: &Path) -> Result<Nginx> {
        must_be_free("nginx", address)?;
        let log = folder.join("nginx-requests.log");
        let settings = folder.join("nginx.conf");
        std::fs::write(&settings, configuration(address, folder, &log))?;
        let mut command = Command::new(program()?);
        command.arg("-e").arg("stderr").arg("-p").arg(folder);
        command.arg("-c").arg(&settings);
        let mut process = Process::start("nginx", &mut command, &folder.join("nginx.log"))?;
        process.until(PATIENCE, "listening", || Ok(TcpStream::connect(address)?))?;
        Ok(Nginx { process, log })
    }

    /// Ends it, and gives what it counted: it writes each line of its log at once.
    pub(super) fn finish(mut self) -> Result<Counted> {
        self.process.kill();
        let log = std::fs::read_to_string(&self.log).context("nginx has written no log")?;
        Ok(read(&log))
    }
}

fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join("nginx"))
        .find(|program| program.is_file())
        .context("nginx is not installed; `cargo xtask peers nginx` installs it")
}

/// Nothing is put right that the proxy passes on: blank path segments, underscores and odd field names stay.
fn configuration(address: SocketAddr, folder: &Path, log: &Path) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {}/{kind};\n", folder.display()))
        .concat();
    format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    log_format named '$status|$request_method|$http_x_request_id';
    access_log {} named;
{temporary}    keepalive_requests 1000000000;
    large_client_header_buffers 4 128k;
    client_max_body_size 0;
    merge_slashes off;
    underscores_in_headers on;
    ignore_invalid_headers off;
    server {{
        listen {address};
        location / {{ proxy_pass http://unix:{inner}:; }}
    }}
    server {{
        listen unix:{inner};
        access_log off;
        location / {{ return 200 ok; }}
    }}
}}
",
        folder.display(),
        log.display(),
        inner = folder.join("inner").display(),
    )
}

/// A request that nginx refuses before it has read its head has no id: it closes the connection behind that.
fn read(log: &str) -> Counted {
    let mut counted = Counted::default();
    for line in log.lines() {
        match line.split('|').collect::<Vec<_>>().as_slice() {
            ["400", _, "-"] => counted.unread += 1,
            [_, method, id] => counted.read.push(Named {
                method: (*method).to_owned(),
                id: (*id).to_owned(),
            }),
            _ => counted.garbage.push(format!("a line of nginx's log is {line:?}")),
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_what_was_read_and_counts_what_was_not() {
        let counted = read("200|GET|7\n400|-|-\n405|TRACE|8\n200|GET|-\nodd\n");

        let named: Vec<String> = counted.read.iter().map(Named::to_string).collect();
        assert_eq!(named, ["GET 7", "TRACE 8", "GET -"]);
        assert_eq!((counted.unread, counted.garbage.len()), (1, 1));
    }
}
