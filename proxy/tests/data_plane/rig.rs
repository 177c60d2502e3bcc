//! A plane with a table of the test's own, and small backends and clients.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use outrigger_proxy::control::{Life, Ports};
use outrigger_proxy::listen::Sockets;
use outrigger_proxy::plane::{Plane, PlaneSettings};
use outrigger_proxy::stats::{HttpStats, ListenerStats, Sample, TcpStats, Value};
use outrigger_proxy::table::{
    Action, Cluster, ClusterInfo, Current, Direction, Endpoint, EndpointSet, Health, HttpListener,
    HttpVersion, Listener, ListenerKind, Matcher, Member, Names, PathMatch, Route, RouteTable, Table, Target,
    VirtualHost,
};

/// How long a test waits for anything before it fails.
pub(crate) const LATE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LATE, "{what}: not within {LATE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A running plane.
pub(crate) struct Rig {
    pub(crate) current: Arc<Current>,
    pub(crate) life: Arc<Life>,
    pub(crate) names: Names,
    pub(crate) plane: Option<Plane>,
    pub(crate) sockets: Option<Sockets>,
    listeners: Vec<Arc<Listener>>,
    clusters: Vec<Option<Arc<Cluster>>>,
    serial: u64,
    workers: usize,
}

impl Rig {
    pub(crate) fn new() -> Rig {
        Rig::with(PlaneSettings {
            memory_budget: None,
            ..PlaneSettings::default()
        })
    }

    pub(crate) fn with(settings: PlaneSettings) -> Rig {
        let current = Current::new(Table::default());
        let life = Life::new("a table");
        let (plane, sockets) = Plane::start(&settings, &current, &life).expect("the plane starts");
        Rig {
            current,
            life,
            names: Names::default(),
            plane: Some(plane),
            sockets: Some(sockets),
            listeners: Vec::new(),
            clusters: Vec::new(),
            serial: 0,
            workers: settings.workers,
        }
    }

    /// A cluster of these endpoints, or the same one with others.
    pub(crate) fn cluster(&mut self, name: &str, endpoints: &[SocketAddr]) -> &mut Rig {
        self.cluster_with(name, endpoints, false, |_| {})
    }

    pub(crate) fn cluster_with(
        &mut self,
        name: &str,
        endpoints: &[SocketAddr],
        mesh_h2: bool,
        change: impl FnOnce(&mut ClusterInfo),
    ) -> &mut Rig {
        let id = self.names.slot(name);
        self.clusters.resize(self.names.len(), None);
        let before = self.clusters[id.index()].clone();
        let info = match &before {
            Some(cluster) => Arc::clone(&cluster.info),
            None => {
                let mut info = ClusterInfo::new(name, self.workers);
                info.connect_timeout = Duration::from_secs(2);
                change(&mut info);
                Arc::new(info)
            }
        };
        let member = |address: &SocketAddr| {
            let known = before
                .as_ref()
                .and_then(|cluster| cluster.endpoints.find(*address));
            let endpoint = match known {
                Some(member) => Arc::clone(&member.endpoint),
                None => Arc::new(Endpoint::new(*address, mesh_h2, None)),
            };
            Member {
                endpoint,
                weight: 1,
                health: Health::Healthy,
            }
        };
        let endpoints = Arc::new(EndpointSet::new(endpoints.iter().map(member).collect(), 50));
        self.clusters[id.index()] = Some(Arc::new(Cluster { id, info, endpoints }));
        self
    }

    /// An HTTP listener on a free port that sends everything to `cluster`.
    pub(crate) fn http(&mut self, cluster: &str) -> SocketAddr {
        self.http_with(cluster, Direction::Outbound, None, |_| {})
    }

    pub(crate) fn http_with(
        &mut self,
        cluster: &str,
        direction: Direction,
        timeout: Option<Duration>,
        change: impl FnOnce(&mut HttpListener),
    ) -> SocketAddr {
        let target = Target::One(self.names.slot(cluster));
        self.clusters.resize(self.names.len(), None);
        let routes =
            RouteTable::new("test", vec![any_host(Action::Forward { target, timeout })]).expect("routes");
        let mut http = HttpListener::new(Arc::new(routes), "test", Arc::new(HttpStats::new(self.workers)));
        change(&mut http);
        self.listen(direction, ListenerKind::Http(http))
    }

    /// A TCP listener on a free port.
    pub(crate) fn tcp(&mut self, target: Target) -> SocketAddr {
        let stats = Arc::new(TcpStats::new(self.workers));
        let tcp = outrigger_proxy::table::TcpListener::new(target, "test", stats);
        self.listen(Direction::Outbound, ListenerKind::Tcp(tcp))
    }

    pub(crate) fn listen(&mut self, direction: Direction, kind: ListenerKind) -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("an address");
        self.sockets
            .as_mut()
            .expect("open")
            .adopt(vec![socket])
            .expect("adopted");
        self.listeners.push(Arc::new(Listener {
            name: address.to_string().into(),
            address,
            direction,
            own_host_only: false,
            kind,
            stats: Arc::new(ListenerStats::new(self.workers)),
        }));
        address
    }

    /// Takes a listener away, from the next swap on.
    pub(crate) fn remove(&mut self, address: SocketAddr) -> Arc<Listener> {
        let position = self
            .listeners
            .iter()
            .position(|listener| listener.address == address)
            .expect("it is there");
        self.listeners.remove(position)
    }

    /// Puts the table in force, as the control thread does.
    pub(crate) fn swap(&mut self) {
        self.serial += 1;
        let before = self.current.load();
        let table = Table::new(self.serial, self.listeners.clone(), self.clusters.clone()).expect("a table");
        let table = Arc::new(table);
        self.current.swap(Arc::clone(&table));
        let sockets = self.sockets.as_mut().expect("open");
        for listener in table.listeners() {
            sockets.open(listener.address);
        }
        for listener in before.listeners() {
            if table.listener(listener.address).is_none() {
                sockets.close(listener.address);
            }
        }
    }

    /// A counter of a cluster.
    pub(crate) fn counted(&self, cluster: &str, name: &str) -> u64 {
        let id = self.names.find(cluster).expect("a cluster");
        let samples = self.clusters[id.index()]
            .as_ref()
            .expect("delivered")
            .info
            .stats
            .samples();
        value(&samples, name)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.sockets.take();
        self.life.drain();
        if let Some(plane) = self.plane.take() {
            plane.finish(Instant::now());
        }
    }
}

/// A statistic by its name.
pub(crate) fn value(samples: &[Sample], name: &str) -> u64 {
    let sample = samples
        .iter()
        .find(|sample| sample.name == name)
        .expect("a known statistic");
    match sample.value {
        Value::Counter(count) => count,
        Value::Gauge(count) => count.try_into().expect("not negative"),
        Value::Histogram(_) => panic!("{name} is a histogram"),
    }
}

/// A virtual host for every host with one route for every path.
pub(crate) fn any_host(action: Action) -> (VirtualHost, Vec<String>) {
    let matcher = Matcher::new(PathMatch::Prefix("".into()), Vec::new());
    let route = Route {
        name: "all".into(),
        matcher,
        action,
    };
    (
        VirtualHost {
            name: "any".into(),
            routes: Box::new([route]),
        },
        vec!["*".to_owned()],
    )
}

/// A backend that serves each connection with `serve` on a thread of its own.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Backend {
    pub(crate) fn start(
        serve: impl Fn(TcpStream, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (Arc::clone(&connections), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                stream.set_nodelay(true).expect("a socket option");
                let number = count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                // A connection that breaks is what some tests are about.
                std::thread::spawn(move || serve(stream, number).ok());
            }
        });
        Backend { address, connections }
    }

    /// A backend that gives each request to `answer`, as long as the connection lasts; what it returns is written.
    pub(crate) fn http(answer: impl Fn(Message) -> Vec<u8> + Send + Sync + 'static) -> Backend {
        Backend::start(move |stream, _| {
            let mut writer = stream.try_clone()?;
            let mut reader = BufReader::new(stream);
            while let Some(request) = Message::read(&mut reader, false)? {
                writer.write_all(&answer(request))?;
            }
            Ok(())
        })
    }

    /// A backend that says what it was sent: the first line, the headers and the body.
    pub(crate) fn echo() -> Backend {
        Backend::http(|request| {
            let mut body = format!("{}\n", request.first).into_bytes();
            for (name, value) in &request.headers {
                body.extend_from_slice(format!("{name}: {value}\n").as_bytes());
            }
            body.push(b'\n');
            body.extend_from_slice(&request.body);
            answer_of(&body)
        })
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// `200 OK` with this body.
pub(crate) fn answer_of(body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// A request or a response, read whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) first: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Message {
    /// Reads a message; `None` at the end of the stream. With `bodiless` no body follows whatever the head says.
    pub(crate) fn read(reader: &mut impl BufRead, bodiless: bool) -> io::Result<Option<Message>> {
        let mut message = Message::default();
        if reader.read_line(&mut message.first)? == 0 {
            return Ok(None);
        }
        message.first.truncate(message.first.trim_end().len());
        message.headers = fields(reader)?;
        let interim = message.first.starts_with("HTTP/1.1 1");
        if bodiless || interim || message.first.contains(" 204 ") || message.first.contains(" 304 ") {
            return Ok(Some(message));
        }
        if message.header("transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
                if length == 0 {
                    break;
                }
                let start = message.body.len();
                message.body.resize(start + length + 2, 0);
                reader.read_exact(&mut message.body[start..])?;
                message.body.truncate(start + length);
            }
            message.trailers = fields(reader)?;
        } else if let Some(length) = message.header("content-length") {
            message.body.resize(length.parse().map_err(io::Error::other)?, 0);
            reader.read_exact(&mut message.body)?;
        } else if message.first.starts_with("HTTP/") {
            reader.read_to_end(&mut message.body)?;
        }
        Ok(Some(message))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        self.first
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn fields(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(fields);
        };
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// A client's connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the proxy accepts");
        stream.set_read_timeout(Some(LATE)).expect("a socket option");
        stream.set_nodelay(true).expect("a socket option");
        let reader = BufReader::new(stream.try_clone().expect("a second handle"));
        Client { stream, reader }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the proxy reads");
    }

    /// The next response.
    pub(crate) fn answer(&mut self) -> Message {
        Message::read(&mut self.reader, false)
            .expect("a whole response")
            .expect("a response")
    }

    /// The next response, to HEAD.
    pub(crate) fn answer_to_head(&mut self) -> Message {
        Message::read(&mut self.reader, true)
            .expect("a whole response")
            .expect("a response")
    }

    pub(crate) fn get(&mut self, path: &str) -> Message {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: reviews:9080\r\n\r\n").as_bytes());
        self.answer()
    }

    /// True when the proxy has closed.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.reader.read(&mut [0]), Ok(0))
    }
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|place| (place.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// Explicit HTTP/2, for [`Rig::cluster_with`].
pub(crate) fn http2(info: &mut ClusterInfo) {
    info.http = HttpVersion::Http2;
}
