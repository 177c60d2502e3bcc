//! A message to a client: who shares which encoded resources, and the gRPC frame made of them without copying.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::pb::envoy::service::discovery::v3 as discovery;
use crate::{Resource, wire};

/// The two variants of the aggregated discovery service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// `StreamAggregatedResources`: a response lists all that was asked for.
    Sotw,
    /// `DeltaAggregatedResources`: a response lists what changed and what is gone.
    Delta,
}

/// A response in either variant.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Which message this becomes.
    pub variant: Variant,
    /// The type of everything in it.
    pub type_url: Cow<'static, str>,
    /// `version_info` or `system_version_info`.
    pub version: String,
    /// The nonce.
    pub nonce: String,
    /// The resources, sorted by name.
    pub resources: Vec<Arc<Resource>>,
    /// Names that are gone; always empty in the state-of-the-world variant.
    pub removed: Vec<Arc<str>>,
}

/// Pieces up to this size are gathered into one chunk; larger ones are passed on by reference.
const COPY_BELOW: usize = 4 * 1024;
/// A gathered chunk is passed on when it has grown to this size.
const CHUNK: usize = 16 * 1024;

impl Reply {
    /// The length of the protobuf message, bytes.
    pub fn encoded_len(&self) -> usize {
        let resources: usize = self
            .resources
            .iter()
            .map(|resource| wire::field_len(2, self.element(resource).len()))
            .sum();
        let removed: usize = self
            .removed
            .iter()
            .map(|name| wire::field_len(6, name.len()))
            .sum();
        wire::bytes_len(1, self.version.len())
            + resources
            + wire::bytes_len(4, self.type_url.len())
            + wire::bytes_len(5, self.nonce.len())
            + removed
    }

    /// The message as chunks of a gRPC frame, its five-byte head included. The encoded resources are shared; what
    /// is made anew is at most a chunk of about 20 KiB at a time.
    pub fn into_frame(self) -> Frame {
        Frame {
            step: Step::Head,
            reply: self,
            gathered: BytesMut::new(),
            large: None,
        }
    }

    /// The message as `DiscoveryResponse`, resources copied.
    pub fn to_sotw(&self) -> discovery::DiscoveryResponse {
        discovery::DiscoveryResponse {
            version_info: self.version.clone(),
            resources: self.resources.iter().map(|resource| resource.to_any()).collect(),
            type_url: self.type_url.clone().into_owned(),
            nonce: self.nonce.clone(),
            ..Default::default()
        }
    }

    /// The message as `DeltaDiscoveryResponse`, resources copied.
    pub fn to_delta(&self) -> discovery::DeltaDiscoveryResponse {
        let resource = |resource: &Arc<Resource>| discovery::Resource {
            name: resource.name().to_string(),
            version: resource.version().to_string(),
            resource: Some(resource.to_any()),
            ..Default::default()
        };
        discovery::DeltaDiscoveryResponse {
            system_version_info: self.version.clone(),
            resources: self.resources.iter().map(resource).collect(),
            type_url: self.type_url.clone().into_owned(),
            removed_resources: self.removed.iter().map(|name| name.to_string()).collect(),
            nonce: self.nonce.clone(),
            ..Default::default()
        }
    }

    fn element(&self, resource: &Resource) -> Bytes {
        match self.variant {
            Variant::Sotw => resource.any_bytes(),
            Variant::Delta => resource.delta_bytes(),
        }
    }
}

/// The chunks of one gRPC frame, made as they are asked for.
#[derive(Debug)]
pub struct Frame {
    step: Step,
    reply: Reply,
    gathered: BytesMut,
    /// A large piece that comes after what is gathered.
    large: Option<Bytes>,
}

#[derive(Debug)]
enum Step {
    Head,
    Resource(usize),
    Done,
}

impl Iterator for Frame {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.gathered.len() >= CHUNK || self.large.is_some() && !self.gathered.is_empty() {
                return Some(self.gathered.split().freeze());
            }
            if let Some(large) = self.large.take() {
                return Some(large);
            }
            match self.step {
                Step::Head => self.gather_head(),
                Step::Resource(place) => self.gather_resource(place),
                Step::Done if self.gathered.is_empty() => return None,
                Step::Done => return Some(self.gathered.split().freeze()),
            }
        }
    }
}

impl Frame {
    fn gather_head(&mut self) {
        let len = self.reply.encoded_len();
        self.gathered
            .reserve(len.saturating_add(5).min(CHUNK + COPY_BELOW));
        self.gathered.put_u8(0);
        self.gathered.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
        wire::put_bytes(&mut self.gathered, 1, self.reply.version.as_bytes());
        self.step = Step::Resource(0);
    }

    fn gather_resource(&mut self, place: usize) {
        let Some(resource) = self.reply.resources.get(place) else {
            return self.gather_tail();
        };
        let element = self.reply.element(resource);
        wire::put_field_head(&mut self.gathered, 2, element.len());
        if element.len() < COPY_BELOW {
            self.gathered.put_slice(&element);
        } else {
            self.large = Some(element);
        }
        self.step = Step::Resource(place + 1);
    }

    fn gather_tail(&mut self) {
        wire::put_bytes(&mut self.gathered, 4, self.reply.type_url.as_bytes());
        wire::put_bytes(&mut self.gathered, 5, self.reply.nonce.as_bytes());
        for name in &self.reply.removed {
            wire::put_field_head(&mut self.gathered, 6, name.len());
            self.gathered.put_slice(name.as_bytes());
        }
        self.step = Step::Done;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{References, TypeUrl};
    use prost::Message;

    fn reply(variant: Variant, sizes: &[usize]) -> Reply {
        let resource = |(place, size): (usize, &usize)| {
            let value = vec![b'x'; *size];
            Arc::new(Resource::from_bytes(
                TypeUrl::Route,
                &format!("r{place}"),
                &value,
                References::none(),
            ))
        };
        Reply {
            variant,
            type_url: TypeUrl::Route.url().into(),
            version: "7/1".into(),
            nonce: "abc-1".into(),
            resources: sizes.iter().enumerate().map(resource).collect(),
            removed: if variant == Variant::Delta {
                vec!["gone".into(), "".into()]
            } else {
                Vec::new()
            },
        }
    }

    fn message(reply: Reply) -> Vec<u8> {
        let len = reply.encoded_len();
        let frame: Vec<u8> = reply.into_frame().flatten().collect();
        assert_eq!(frame[0], 0);
        assert_eq!(frame[1..5], u32::try_from(len).unwrap().to_be_bytes());
        assert_eq!(frame.len(), len + 5);
        frame[5..].to_vec()
    }

    const SIZES: [&[usize]; 5] = [&[], &[0], &[3, 5000, 10, 4096, 4095], &[100_000], &[3000; 40]];

    #[test]
    fn frames_of_both_variants_decode_to_the_same_message() {
        for sizes in SIZES {
            let sotw = reply(Variant::Sotw, sizes);
            let delta = reply(Variant::Delta, sizes);

            let decoded = discovery::DiscoveryResponse::decode(&message(sotw.clone())[..]).unwrap();
            assert_eq!(decoded, sotw.to_sotw());
            let decoded = discovery::DeltaDiscoveryResponse::decode(&message(delta.clone())[..]).unwrap();
            assert_eq!(decoded, delta.to_delta());
        }
    }

    #[test]
    fn large_resources_are_passed_on_by_reference() {
        let reply = reply(Variant::Delta, &[50_000]);
        let shared = reply.resources[0].delta_bytes();

        let chunks: Vec<Bytes> = reply.into_frame().collect();

        assert!(chunks.iter().any(|chunk| chunk.as_ptr() == shared.as_ptr()));
    }

    #[test]
    fn no_gathered_chunk_is_large() {
        for chunk in reply(Variant::Sotw, &[4000; 100]).into_frame() {
            assert!(chunk.len() <= CHUNK + COPY_BELOW + 16, "{}", chunk.len());
        }
    }
}
