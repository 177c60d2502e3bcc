//! Why a message was refused: one variant, one status and one sentence each.

/// Declares the refusals: variant, the status a client is answered with, the name in logs and headers, the
/// sentence.
macro_rules! refusals {
    ($($variant:ident = $status:literal $name:literal: $sentence:literal;)*) => {
        /// A reason to refuse a message. The connection it came from is always closed after it.
        ///
        /// Towards a client the proxy answers [`Refusal::status`]; when an upstream's response is refused the
        /// client gets 502 instead. `Display` gives the sentence, lower case and without a full stop.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $(#[doc = $sentence] $variant,)*
        }

        impl Refusal {
            /// Every refusal, in the order of the table.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$variant,)*];

            /// The status code a client is answered with: 400, 408, 414, 417, 431, 501 or 505.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Refusal::$variant => $status,)* }
            }

            /// The stable name for logs, metrics and the reason header, such as `content-length-repeated`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Refusal::$variant => $name,)* }
            }

            /// The sentence that `Display` shows.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Refusal::$variant => $sentence,)* }
            }
        }
    };
}

refusals! {
    RequestLine = 400 "request-line": "the request line is not method, target and version with one space between them";
    Method = 400 "method": "the method has other characters than A-Z, - and _";
    MethodTooLong = 501 "method-too-long": "the method is longer than 32 bytes";
    Version = 505 "version": "the HTTP version is not one that is served here";
    TargetTooLong = 414 "target-too-long": "the request target is longer than the limit";
    TargetByte = 400 "target-byte": "the request target has bytes outside visible ASCII";
    TargetFragment = 400 "target-fragment": "the request target has a # in it";
    TargetEscape = 400 "target-escape": "the request target has a % that is not followed by two hex digits";
    TargetForm = 400 "target-form": "the request target is neither a path, an http URL, host:port for CONNECT nor * for OPTIONS";
    StatusLine = 400 "status-line": "the status line is not version, a code of 100 to 599 and a reason";
    HeadersTooLarge = 431 "headers-too-large": "the header section is larger than the limit";
    TooManyHeaders = 431 "too-many-headers": "the header section has more fields than the limit";
    ControlByte = 400 "control-byte": "the head has a NUL or another control byte";
    BareCr = 400 "bare-cr": "the head has a CR that does not end a line";
    FoldedLine = 400 "folded-line": "a header line starts with a space or tab";
    BlankName = 400 "blank-name": "a header line has nothing before its colon";
    NoColon = 400 "no-colon": "a header line has no colon";
    SpaceBeforeColon = 400 "space-before-colon": "a header name is followed by a space before its colon";
    NameByte = 400 "name-byte": "a header name has characters that a name cannot have";
    Underscore = 400 "underscore": "a header name has an underscore, which a gateway does not let in";
    HostMissing = 400 "host-missing": "there is no Host field, or it is blank";
    HostRepeated = 400 "host-repeated": "there is more than one Host field";
    HostMalformed = 400 "host-malformed": "the host is not a name or address with an optional port";
    HostDiffers = 400 "host-differs": "the host of the request target is not the one in the Host field";
    ContentLengthRepeated = 400 "content-length-repeated": "there is more than one Content-Length field";
    ContentLengthMalformed = 400 "content-length-malformed": "the Content-Length is not a plain decimal number";
    ContentLengthTooLarge = 400 "content-length-too-large": "the Content-Length is not below 2^63";
    ContentLengthAndTransferEncoding = 400 "both-framings": "there are both a Content-Length and a Transfer-Encoding field";
    ContentLengthForbidden = 400 "content-length-forbidden": "this kind of message cannot have a body, yet a Content-Length announces one";
    TransferEncodingRepeated = 400 "transfer-encoding-repeated": "there is more than one Transfer-Encoding field";
    TransferEncodingUnknown = 400 "transfer-encoding-unknown": "the Transfer-Encoding is not exactly chunked";
    TransferEncodingOn10 = 400 "transfer-encoding-on-1.0": "an HTTP/1.0 message has a Transfer-Encoding field";
    TransferEncodingForbidden = 400 "transfer-encoding-forbidden": "this kind of message cannot have a body, yet a Transfer-Encoding announces one";
    FramingSpace = 400 "framing-space": "a tab stands beside the value of a field that frames or routes the message";
    Expectation = 417 "expectation": "the Expect field asks for something other than 100-continue";
    ChunkSize = 400 "chunk-size": "a chunk size is not 1 to 16 hex digits that are followed by CRLF or an extension";
    ChunkTooLarge = 400 "chunk-too-large": "a chunk size is not below 2^63";
    ChunkLine = 400 "chunk-line": "a line of the chunked body does not end in CRLF";
    ChunkExtension = 400 "chunk-extension": "a chunk extension has no name or has a control byte";
    ChunkExtensionsTooLarge = 400 "chunk-extensions-too-large": "the chunk extensions of the body are larger than the limit";
    TrailersTooLarge = 400 "trailers-too-large": "the trailer section is larger than the limit or has too many fields";
    TrailerMalformed = 400 "trailer-malformed": "a trailer line is not a well-formed header line that ends in CRLF";
    TrailerForbidden = 400 "trailer-forbidden": "a trailer field would frame, route or authenticate the message";
    BodyCut = 400 "body-cut": "the connection ended before the body did";
    HeadCut = 400 "head-cut": "the connection ended inside a head";
    HeadTimeout = 408 "head-timeout": "the head did not arrive in time";
    SwitchUnasked = 400 "switch-unasked": "the upstream switched protocols without having been asked to";
    SwitchMalformed = 400 "switch-malformed": "a 101 response does not name the one protocol that it switches to";
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Refusal;

    #[test]
    fn every_refusal_has_a_name_and_sentence_of_its_own() {
        let names: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
        let sentences: BTreeSet<_> = Refusal::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        assert_eq!(sentences.len(), Refusal::ALL.len());
        assert!(
            Refusal::ALL
                .iter()
                .all(|refusal| (400..600).contains(&refusal.status()))
        );
    }
}
