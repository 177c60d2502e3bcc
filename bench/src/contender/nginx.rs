//! nginx: one process, one backend, connections to it kept, no log.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Site, write};
use crate::case::Case;

/// Where distributions put the module for plain TCP.
const STREAM_MODULES: [&str; 3] = [
    "/usr/lib/nginx/modules/ngx_stream_module.so",
    "/usr/lib64/nginx/modules/ngx_stream_module.so",
    "/usr/share/nginx/modules/ngx_stream_module.so",
];

/// The module for plain TCP, where it is installed.
pub(super) fn stream_module() -> Option<PathBuf> {
    STREAM_MODULES
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}

pub(super) fn configure(site: &Site<'_>) -> Result<Vec<OsString>> {
    let section = match site.case {
        Case::H1Small | Case::H1Large => http(site, ""),
        Case::H2c => http(site, " http2"),
        Case::Tcp => stream(site),
    };
    let module = match (site.case, stream_module()) {
        (Case::Tcp, Some(path)) => format!("load_module {};\n", path.display()),
        _ => String::new(),
    };
    let folder = site.folder.display();
    let text = format!(
        "{module}daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
{section}"
    );
    let path = write(site, "nginx.conf", &text)?;
    let prefix: &Path = site.folder;
    let mut args: Vec<OsString> = vec!["-e".into(), "stderr".into(), "-p".into(), prefix.into()];
    args.extend([
        "-c".into(),
        path.canonicalize().context("cannot find nginx.conf")?.into(),
    ]);
    Ok(args)
}

fn http(site: &Site<'_>, protocol: &str) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {}/{kind};\n", site.folder.display()))
        .concat();
    format!(
        "http {{
    access_log off;
{temporary}    keepalive_requests 1000000000;
    upstream service {{
        server {};
        keepalive 128;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {}{protocol};
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
        }}
    }}
}}
",
        site.backend, site.listen
    )
}

fn stream(site: &Site<'_>) -> String {
    format!(
        "stream {{
    server {{
        listen {};
        proxy_pass {};
    }}
}}
",
        site.listen, site.backend
    )
}
