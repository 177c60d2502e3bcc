//! Request ids in the shape of a version 4 UUID, from a fast source of the worker's own.
//!
//! They tie log lines together and need be unique, not secret, so the system's random source is asked for the seed only.

use std::cell::RefCell;

/// Where a worker's request ids come from.
#[derive(Debug)]
pub(crate) struct RequestIds {
    draw: RefCell<fastrand::Rng>,
}

impl RequestIds {
    pub(crate) fn new(draw: fastrand::Rng) -> RequestIds {
        RequestIds {
            draw: RefCell::new(draw),
        }
    }

    /// A new id: `6ba7b810-9dad-41d1-80b4-00c04fd430c8`.
    pub(crate) fn next(&self) -> [u8; 36] {
        let id = uuid::Builder::from_random_bytes(self.draw.borrow_mut().u128(..).to_ne_bytes()).into_uuid();
        let mut text = [0; 36];
        id.as_hyphenated().encode_lower(&mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_shape_of_a_random_uuid_and_differ() {
        let ids = RequestIds::new(fastrand::Rng::with_seed(7));
        let first = uuid::Uuid::try_parse_ascii(&ids.next()).expect("a UUID");
        assert_eq!(first.get_version_num(), 4);
        assert_ne!(ids.next(), ids.next());
    }
}
