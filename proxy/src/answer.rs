//! The head of an upstream's answer, whichever protocol it came in, and how it is passed to either kind of client.

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};

use crate::h1::{BodyFraming, Edits, Persistence, ResponseHead, StatusLine, Version, write_response_head};
use crate::message::Fault;
use crate::request::{apply, declared};

/// The head of an answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Http1(ResponseHead),
    Http2 {
        parts: Box<http::response::Parts>,
        /// The head is all there is.
        ended: bool,
        /// It grants the tunnel that was asked for.
        tunnel: bool,
    },
}

/// How an answer goes to an HTTP/1 client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framed {
    /// What the head says.
    said: BodyFraming,
    /// What follows the head: nothing after HEAD, whatever it says.
    pub(crate) body: BodyFraming,
}

impl Framed {
    /// No body, and nothing said about one.
    pub(crate) const NONE: Framed = Framed {
        said: BodyFraming::None,
        body: BodyFraming::None,
    };
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Answer::Http1(head) => head.status(),
            Answer::Http2 { parts, .. } => parts.status,
        }
    }

    /// True when the connection carries another protocol from here on.
    pub(crate) fn is_tunnel(&self) -> bool {
        match self {
            Answer::Http1(head) => head.is_tunnel(),
            Answer::Http2 { tunnel, .. } => *tunnel,
        }
    }

    /// The protocol that the connection changes to, where the answer names one.
    pub(crate) fn switches_to(&self) -> Option<&[u8]> {
        match self {
            Answer::Http1(head) => head.upgrade(),
            Answer::Http2 { .. } => None,
        }
    }

    /// True when the upstream lets its connection be used again after this answer.
    pub(crate) fn keeps_connection(&self) -> bool {
        match self {
            Answer::Http1(head) => head.keep_alive(),
            Answer::Http2 { .. } => true,
        }
    }

    /// True when another head follows.
    pub(crate) fn is_interim(&self) -> bool {
        matches!(self, Answer::Http1(head) if head.is_interim())
    }

    /// How it is framed for an HTTP/1 client of `version`; `to_head` says that HEAD was asked.
    pub(crate) fn framed(&self, version: Version, to_head: bool) -> Framed {
        match self {
            Answer::Http1(head) => Framed {
                said: head.declared().towards(version),
                body: head.framing().towards(version),
            },
            Answer::Http2 { parts, ended, .. } => {
                let bodiless = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
                let said = match declared(&parts.headers, *ended) {
                    BodyFraming::None if !bodiless && !to_head => BodyFraming::Length(0),
                    BodyFraming::Length(_) if parts.status == StatusCode::NO_CONTENT => BodyFraming::None,
                    said => said,
                };
                let said = said.towards(version);
                Framed {
                    said,
                    body: if bodiless || to_head {
                        BodyFraming::None
                    } else {
                        said
                    },
                }
            }
        }
    }

    /// Appends the head for an HTTP/1 client.
    pub(crate) fn write(
        &self,
        out: &mut BytesMut,
        framed: Framed,
        edits: &Edits<'_>,
        persistence: Persistence<'_>,
    ) {
        match self {
            Answer::Http1(head) => {
                let line = StatusLine {
                    status: head.status(),
                    reason: head.reason(),
                };
                write_response_head(out, &line, head.fields(), edits, framed.said, persistence);
            }
            Answer::Http2 { parts, tunnel, .. } => {
                let status = if *tunnel {
                    StatusCode::SWITCHING_PROTOCOLS
                } else {
                    parts.status
                };
                let line = StatusLine::of(status);
                write_response_head(out, &line, &parts.headers, edits, framed.said, persistence);
            }
        }
    }

    /// The head for an HTTP/2 client, and whether it is all there is.
    ///
    /// # Errors
    /// When a header cannot stand in HTTP/2.
    pub(crate) fn to_http2(&self, edits: &Edits<'_>) -> Result<(http::Response<()>, bool), Fault> {
        let mut headers = HeaderMap::new();
        let ended = match self {
            Answer::Http1(head) => {
                headers.reserve(head.fields().len() + 2);
                head.fields().copy_into(&mut headers)?;
                if let BodyFraming::Length(length) = head.declared() {
                    headers.insert(http::header::CONTENT_LENGTH, length.into());
                }
                head.framing().is_empty() && !head.is_tunnel()
            }
            Answer::Http2 { parts, ended, .. } => {
                headers.clone_from(&parts.headers);
                *ended
            }
        };
        apply(edits, &mut headers);
        let mut response = http::Response::new(());
        // HTTP/2 has no 101: a tunnel is granted by 200 (RFC 8441 §5).
        *response.status_mut() = if self.is_tunnel() {
            StatusCode::OK
        } else {
            self.status()
        };
        *response.headers_mut() = headers;
        Ok((response, ended))
    }
}
