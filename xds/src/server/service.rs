//! The gRPC service: opens a stream for a caller that may, and gives it a task.
//!
//! This is written on tonic's service traits instead of its generated server, because the generated one encodes every
//! message for every client; here the encoded resources are handed to HTTP/2 as they are.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use prost::Message;
use tokio::sync::{mpsc, watch};
use tonic::body::Body;
use tonic::codec::{DecodeBuf, Decoder};
use tonic::server::NamedService;
use tonic::{Status, Streaming};

use super::body::{Progress, ReplyBody};
use super::listen::Peer;
use super::observer::{Caller, Snapshots};
use super::pace::Pace;
use super::reply::Variant;
use super::settings::Settings;
use super::stream::Event;
use super::task::StreamTask;
use crate::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};

const SOTW_PATH: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
const DELTA_PATH: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// The aggregated discovery service, both variants. Clones share everything. Must be called within a tokio runtime.
#[derive(Clone)]
pub struct AdsService {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) snapshots: Arc<dyn Snapshots>,
    pub(super) settings: Settings,
    pub(super) pace: Pace,
    pub(super) closing: watch::Sender<bool>,
}

impl std::fmt::Debug for AdsService {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("AdsService")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

impl AdsService {
    /// A service that hands out what `snapshots` gives.
    pub fn new(snapshots: Arc<dyn Snapshots>, settings: Settings) -> AdsService {
        let pace = Pace::new(settings.streams_per_second, settings.burst);
        let closing = watch::Sender::new(false);
        AdsService {
            shared: Arc::new(Shared {
                snapshots,
                settings,
                pace,
                closing,
            }),
        }
    }

    /// The limits in force.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Ends every stream with `UNAVAILABLE`, and every later one at once.
    pub fn close(&self) {
        self.shared.closing.send_replace(true);
    }

    fn open<M>(&self, request: Request<Body>, variant: Variant, event: fn(Box<M>) -> Event) -> Response<Body>
    where
        M: Message + Default + 'static,
    {
        let peer = request.extensions().get::<Peer>().cloned();
        let caller = caller(&request, peer.as_ref());
        if let Err(status) = self.shared.snapshots.admit(&caller) {
            return status.into_http();
        }
        let decoder = ProstDecoder::<M>(PhantomData);
        let max_request = Some(self.shared.settings.max_request);
        let requests = Streaming::new_request(decoder, request.into_body(), None, max_request);
        let (items, receiver) = mpsc::channel(self.shared.settings.queue.max(1));
        let progress = Progress::new();
        let body = ReplyBody::new(receiver, Arc::clone(&progress));
        let task = StreamTask::new(Arc::clone(&self.shared), variant, caller, peer, items, progress);
        // The task ends with its stream: when the client goes, is cut, or the service is closed.
        tokio::spawn(task.run(requests, event));
        let mut response = Response::new(Body::new(body));
        response
            .headers_mut()
            .insert("content-type", http::HeaderValue::from_static("application/grpc"));
        response
    }
}

impl NamedService for AdsService {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl tower::Service<Request<Body>> for AdsService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = match request.uri().path() {
            SOTW_PATH => self.open::<DiscoveryRequest>(request, Variant::Sotw, Event::Sotw),
            DELTA_PATH => self.open::<DeltaDiscoveryRequest>(request, Variant::Delta, Event::Delta),
            other => Status::unimplemented(format!("no method {other}")).into_http(),
        };
        ready(Ok(response))
    }
}

fn caller(request: &Request<Body>, peer: Option<&Peer>) -> Caller {
    let authorization = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    Caller {
        address: peer.map(|peer| peer.address),
        authorization: authorization.map(str::to_owned),
    }
}

/// Decodes the messages of a stream of requests.
struct ProstDecoder<M>(PhantomData<fn() -> M>);

impl<M: Message + Default> Decoder for ProstDecoder<M> {
    type Item = M;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<M>, Status> {
        M::decode(buffer)
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("the request does not decode: {error}")))
    }
}
