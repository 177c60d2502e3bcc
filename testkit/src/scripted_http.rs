//! An HTTP/1.1 server that sends exactly the bytes a script says, when it says: for lies that no honest
//! server library would tell.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request head larger than this ends the connection.
const LARGEST_HEAD: usize = 64 << 10;

/// Connections open at once; more wait.
const CONNECTIONS: usize = 1024;

/// The head of a request. Bodies are not read: scripted servers are asked, not told.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Path with query, as sent.
    pub target: String,
    /// The whole head.
    pub head: String,
}

impl Asked {
    /// The path without query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The value of a query parameter, as sent; `Some("")` for one without a value.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Send these bytes after this time; keep the connection.
    Send(Duration, Vec<u8>),
    /// Send these bytes at once and close the connection.
    SendAndClose(Vec<u8>),
    /// Say nothing and keep the connection.
    Hang,
}

/// The bytes of a well-formed answer.
pub fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A running server. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct ScriptedServer {
    /// Where it listens.
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl ScriptedServer {
    /// Listens on a free loopback port and answers by `script`.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Result<ScriptedServer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(script)));
        Ok(ScriptedServer {
            address,
            _tasks: tasks,
        })
    }
}

async fn accept<S: Fn(&Asked) -> Reply + Send + Sync + 'static>(listener: TcpListener, script: Arc<S>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        if let Ok((connection, _)) = listener.accept().await {
            let script = Arc::clone(&script);
            connections.spawn(async move {
                // A peer that goes away ends its connection, which is all there is to do.
                let _ = serve(connection, &*script).await;
            });
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut connection: TcpStream, script: &(impl Fn(&Asked) -> Reply + Sync)) -> std::io::Result<()> {
    while let Some(asked) = read_head(&mut connection).await? {
        match script(&asked) {
            Reply::Send(after, bytes) => {
                tokio::time::sleep(after).await;
                connection.write_all(&bytes).await?;
            }
            Reply::SendAndClose(bytes) => {
                connection.write_all(&bytes).await?;
                return connection.shutdown().await;
            }
            Reply::Hang => std::future::pending().await,
        }
    }
    Ok(())
}

async fn read_head(connection: &mut TcpStream) -> std::io::Result<Option<Asked>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LARGEST_HEAD || connection.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok(Some(Asked { target, head }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_headers_are_found() {
        let asked = Asked {
            target: "/v1/x?index=7&stale=&flag".into(),
            head: "GET /v1/x?index=7&stale=&flag HTTP/1.1\r\nX-Consul-Token: abc\r\n\r\n".into(),
        };

        assert_eq!(asked.path(), "/v1/x");
        assert_eq!(
            (asked.query("index"), asked.query("stale"), asked.query("flag")),
            (Some("7"), Some(""), Some(""))
        );
        assert_eq!(asked.query("wait"), None);
        assert_eq!(asked.header("x-consul-token"), Some("abc"));
    }

    #[tokio::test]
    async fn the_script_decides_every_byte() {
        let server = ScriptedServer::start(|asked| match asked.path() {
            "/half" => Reply::SendAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()),
            _ => Reply::Send(Duration::ZERO, answer("200 OK", &[("X-A", "b")], "whole")),
        })
        .await
        .unwrap();
        let mut connection = TcpStream::connect(server.address).await.unwrap();
        connection.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let whole = b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nwhole";
        let mut seen = vec![0; whole.len()];
        connection.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, whole);

        connection.write_all(b"GET /half HTTP/1.1\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(b"\r\n\r\nhalf"));
    }
}
