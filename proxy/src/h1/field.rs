//! The header fields of a head: one shared slice of bytes and a table of where each name and value lies in
//! it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    refusal::Refusal,
    rules::{Role, Rules},
    syntax::members,
};

/// The fields that the codec or the proxy looks at; each is recognised once, while the head is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Any other name.
    Other,
    /// `authorization`
    Authorization,
    /// `connection`
    Connection,
    /// `content-length`
    ContentLength,
    /// `cookie`
    Cookie,
    /// `expect`
    Expect,
    /// `forwarded`
    Forwarded,
    /// `host`
    Host,
    /// `http2-settings`
    Http2Settings,
    /// `keep-alive`
    KeepAlive,
    /// `proxy-authenticate`
    ProxyAuthenticate,
    /// `proxy-authorization`
    ProxyAuthorization,
    /// `proxy-connection`
    ProxyConnection,
    /// `te`
    Te,
    /// `trailer`
    Trailer,
    /// `transfer-encoding`
    TransferEncoding,
    /// `upgrade`
    Upgrade,
    /// `user-agent`
    UserAgent,
    /// `x-forwarded-for`
    XForwardedFor,
    /// `x-forwarded-proto`
    XForwardedProto,
    /// `x-istio-attributes`
    XIstioAttributes,
    /// `x-request-id`
    XRequestId,
}

impl Known {
    /// Recognises a name of any case.
    #[must_use]
    pub fn of(name: &[u8]) -> Known {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            2 if is("te") => Known::Te,
            4 if is("host") => Known::Host,
            6 if is("cookie") => Known::Cookie,
            6 if is("expect") => Known::Expect,
            7 if is("upgrade") => Known::Upgrade,
            7 if is("trailer") => Known::Trailer,
            9 if is("forwarded") => Known::Forwarded,
            10 if is("connection") => Known::Connection,
            10 if is("keep-alive") => Known::KeepAlive,
            10 if is("user-agent") => Known::UserAgent,
            12 if is("x-request-id") => Known::XRequestId,
            13 if is("authorization") => Known::Authorization,
            14 if is("content-length") => Known::ContentLength,
            14 if is("http2-settings") => Known::Http2Settings,
            15 if is("x-forwarded-for") => Known::XForwardedFor,
            16 if is("proxy-connection") => Known::ProxyConnection,
            17 if is("transfer-encoding") => Known::TransferEncoding,
            17 if is("x-forwarded-proto") => Known::XForwardedProto,
            18 if is("proxy-authenticate") => Known::ProxyAuthenticate,
            18 if is("x-istio-attributes") => Known::XIstioAttributes,
            19 if is("proxy-authorization") => Known::ProxyAuthorization,
            _ => Known::Other,
        }
    }

    /// Whether the field concerns one connection only, or is written anew by the codec, and so never passes
    /// through.
    ///
    /// `expect` is among them because the proxy answers `100 Continue` itself, and `host` because the request
    /// line's writer emits it.
    #[must_use]
    pub const fn stays_here(self) -> bool {
        matches!(
            self,
            Known::Connection
                | Known::ContentLength
                | Known::Expect
                | Known::Host
                | Known::Http2Settings
                | Known::KeepAlive
                | Known::ProxyAuthenticate
                | Known::ProxyAuthorization
                | Known::ProxyConnection
                | Known::Te
                | Known::TransferEncoding
                | Known::Upgrade
        )
    }
}

/// A place in the head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    at: u32,
    len: u32,
}

impl Span {
    /// Where `part` lies in `whole`; blank when it does not lie in it at all, as the parser's empty values
    /// may.
    pub(super) fn of(whole: &[u8], part: &[u8]) -> Span {
        let at = part
            .as_ptr()
            .addr()
            .checked_sub(whole.as_ptr().addr())
            .unwrap_or(usize::MAX);
        if at.saturating_add(part.len()) > whole.len() {
            return Span::default();
        }
        match (u32::try_from(at), u32::try_from(part.len())) {
            (Ok(at), Ok(len)) => Span { at, len },
            _ => Span::default(),
        }
    }

    /// The bytes of this place.
    pub(super) fn get(self, whole: &[u8]) -> &[u8] {
        whole.get(self.range()).unwrap_or_default()
    }

    /// The place as a range of offsets.
    fn range(self) -> std::ops::Range<usize> {
        let at = self.at as usize;
        at..at + self.len as usize
    }
}

/// One field: where its name and value lie, what it is, and whether it passes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    name: Span,
    value: Span,
    pub(super) known: Known,
    /// Whether the field goes no further than this connection.
    stays: bool,
}

impl Slot {
    /// Whether the field counts for nothing here, because Connection names it: it was for the connection only, and the
    /// next hop will not see it either.
    const fn is_disowned(&self) -> bool {
        self.stays && !self.known.stays_here()
    }

    /// Whether it is a field of that name that counts.
    fn is_called(&self, head: &[u8], name: &[u8]) -> bool {
        self.name.get(head).eq_ignore_ascii_case(name) && !self.is_disowned()
    }
}

/// The header fields of one head, in the order they came.
#[derive(Debug, Clone)]
pub struct Fields {
    head: Bytes,
    slots: Vec<Slot>,
}

/// What the Connection fields of a head ask for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ConnectionOptions {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
}

impl Fields {
    /// Takes the parser's fields over into `slots`, whose memory is reused, and recognises each name. `role`
    /// is where the proxy stands towards the sender: an upstream is met as by a sidecar even at a gateway.
    pub(super) fn build(
        head: Bytes,
        parsed: &[httparse::Header<'_>],
        mut slots: Vec<Slot>,
        role: Role,
        rules: &Rules,
    ) -> Result<Fields, Refusal> {
        if parsed.len() > rules.header_count {
            return Err(Refusal::TooManyHeaders);
        }
        slots.clear();
        for header in parsed {
            let name = header.name.as_bytes();
            if role == Role::Gateway && name.contains(&b'_') {
                return Err(Refusal::Underscore);
            }
            let known = Known::of(name);
            slots.push(Slot {
                name: Span::of(&head, name),
                value: Span::of(&head, header.value),
                known,
                stays: known.stays_here(),
            });
        }
        Ok(Fields { head, slots })
    }

    /// The whole head, first line included, as it came.
    #[must_use]
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// Every field as it came, those of this connection included.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.slots
            .iter()
            .map(|slot| (slot.name.get(&self.head), slot.value.get(&self.head)))
    }

    /// The fields that may pass on: neither hop-by-hop, nor named by Connection, nor written anew by the
    /// codec.
    pub fn forwardable(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.slots
            .iter()
            .filter(|slot| !slot.stays)
            .map(|slot| (slot.name.get(&self.head), slot.value.get(&self.head)))
    }

    /// The value of the first field of that kind, unless Connection names it. `Known::Other` finds nothing of use.
    #[must_use]
    pub fn known(&self, known: Known) -> Option<&[u8]> {
        self.slots
            .iter()
            .find(|slot| slot.known == known && !slot.is_disowned())
            .map(|slot| slot.value.get(&self.head))
    }

    /// The values of all fields called `name`, of any case, in order; of none that Connection names.
    pub fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.slots
            .iter()
            .filter(move |slot| slot.is_called(&self.head, name))
            .map(|slot| slot.value.get(&self.head))
    }

    /// The value of the first field called `name`, of any case, unless Connection names it.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.slots
            .iter()
            .find(|slot| slot.is_called(&self.head, name))
            .map(|slot| slot.value.get(&self.head))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Appends the forwardable fields to `map`, for a next hop that speaks HTTP/2. Values share one copy of the head:
    /// the compression of HTTP/2 remembers them for long, which must not hold the buffer that the head was read into.
    ///
    /// # Errors
    /// [`Refusal::NameByte`] when a name or value is beyond what the map holds, which no head that was let in
    /// can have.
    pub fn copy_into(&self, map: &mut HeaderMap) -> Result<(), Refusal> {
        let head = Bytes::copy_from_slice(&self.head);
        for slot in self.slots.iter().filter(|slot| !slot.stays) {
            let name = HeaderName::from_bytes(slot.name.get(&self.head)).map_err(|_| Refusal::NameByte)?;
            let value = HeaderValue::from_maybe_shared(head.slice(slot.value.range()))
                .map_err(|_| Refusal::NameByte)?;
            map.try_append(name, value).map_err(|_| Refusal::TooManyHeaders)?;
        }
        Ok(())
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    pub(super) fn value(&self, slot: &Slot) -> &[u8] {
        slot.value.get(&self.head)
    }

    /// Gives the field table back for its memory.
    pub(super) fn into_slots(self) -> Vec<Slot> {
        self.slots
    }

    /// Refuses a tab between the colon and the value, or after it: some servers take it as part of the value.
    pub(super) fn plain_spaces(&self, slot: &Slot) -> Result<(), Refusal> {
        let before = self.head.get(..slot.value.range().start).unwrap_or_default();
        let after = self.head.get(slot.value.range().end..).unwrap_or_default();
        let before = before.iter().rev().find(|&&byte| byte != b' ');
        let after = after.iter().find(|&&byte| byte != b' ');
        if before == Some(&b'\t') || after == Some(&b'\t') {
            Err(Refusal::FramingSpace)
        } else {
            Ok(())
        }
    }

    /// Reads the Connection fields, and keeps back the fields they name. More members than a head may have
    /// fields are refused.
    pub(super) fn read_connection(&mut self, rules: &Rules) -> Result<ConnectionOptions, Refusal> {
        let mut options = ConnectionOptions::default();
        let mut count = 0;
        let Fields { head, slots } = self;
        for index in 0..slots.len() {
            let Some(Slot {
                known: Known::Connection,
                value,
                ..
            }) = slots.get(index).copied()
            else {
                continue;
            };
            for member in members(value.get(head)) {
                count += 1;
                if count > rules.header_count {
                    return Err(Refusal::TooManyHeaders);
                }
                if member.eq_ignore_ascii_case(b"close") {
                    options.close = true;
                } else if member.eq_ignore_ascii_case(b"keep-alive") {
                    options.keep_alive = true;
                } else if member.eq_ignore_ascii_case(b"upgrade") {
                    options.upgrade = true;
                } else {
                    for slot in slots.iter_mut() {
                        slot.stays |= slot.name.get(head).eq_ignore_ascii_case(member);
                    }
                }
            }
        }
        Ok(options)
    }

    /// Keeps back every field of that kind.
    pub(super) fn keep_back(&mut self, known: Known) {
        for slot in self.slots.iter_mut().filter(|slot| slot.known == known) {
            slot.stays = true;
        }
    }

    /// The one protocol that the Upgrade field names; none when it is repeated, a list, malformed, or `h2c`,
    /// which would carry requests past everything that reads this connection.
    pub(super) fn upgrade(&self) -> Option<Span> {
        let mut found = self.slots.iter().filter(|slot| slot.known == Known::Upgrade);
        let (Some(only), None) = (found.next(), found.next()) else {
            return None;
        };
        let protocol = only.value.get(&self.head);
        let well_formed = protocol.split(|&byte| byte == b'/').all(super::syntax::is_token)
            && protocol.iter().filter(|&&byte| byte == b'/').count() <= 1;
        let smuggles = protocol.eq_ignore_ascii_case(b"h2c") || protocol.eq_ignore_ascii_case(b"h2");
        (well_formed && !smuggles).then_some(only.value)
    }
}
