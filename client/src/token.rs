//! Who may use a control port: the mesh token, and the rule for binds wider than loopback.
//!
//! One token guards the config API, xDS and later Mixer and CSR, until certificates do it. It travels as
//! `Authorization: Bearer TOKEN` over HTTP and as `authorization` metadata over gRPC, with the same value.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Shortest token accepted, in bytes: 16 bytes of base64 or hex are beyond guessing over a network.
pub const SHORTEST_TOKEN: usize = 16;

/// Longest token file read, in bytes.
const LONGEST_TOKEN: usize = 4096;

/// A shared secret. It is never printed: `Debug` shows no part of it.
#[derive(Clone, PartialEq, Eq)]
pub struct MeshToken(String);

/// The token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("token file {path}: {reason}; write the mesh token into it, or leave --token-file out")]
    Unreadable {
        /// Path that was given.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The content is no token.
    #[error(
        "{origin}: {found}, want one line of {SHORTEST_TOKEN} to {LONGEST_TOKEN} visible ASCII characters; \
         `openssl rand -hex 32` makes a good one"
    )]
    Unusable {
        /// Where the text came from.
        origin: String,
        /// What is wrong with it; never the text itself.
        found: String,
    },
}

impl MeshToken {
    /// Takes a text as the token; blanks at both ends are dropped.
    ///
    /// # Errors
    /// When it is shorter than [`SHORTEST_TOKEN`], longer than 4 KiB, or has other than visible ASCII characters.
    pub fn new(origin: &str, text: &str) -> Result<Self, TokenError> {
        let token = text.trim();
        let unusable = |found: String| TokenError::Unusable {
            origin: origin.to_owned(),
            found,
        };
        if token.len() < SHORTEST_TOKEN || token.len() > LONGEST_TOKEN {
            return Err(unusable(format!("token of {} bytes", token.len())));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unusable(
                "token with blanks, control or non-ASCII characters".into(),
            ));
        }
        Ok(MeshToken(token.to_owned()))
    }

    /// Reads the token from a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no usable token.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        let bytes = fs::read(path).map_err(|reason| TokenError::Unreadable {
            path: path.to_owned(),
            reason,
        })?;
        let origin = format!("token file {}", path.display());
        let text = String::from_utf8(bytes).map_err(|_| TokenError::Unusable {
            origin: origin.clone(),
            found: "content is not text".into(),
        })?;
        MeshToken::new(&origin, &text)
    }

    /// The bare secret, for a client that writes its own header. Do not print it.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// The value of the `Authorization` header or `authorization` metadata. Mark it sensitive where that is possible.
    pub fn header_value(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// True when a header value carries this token. Takes the same time wherever two texts of one length differ.
    pub fn matches(&self, header: &str) -> bool {
        let Some((scheme, given)) = header.split_once(' ') else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer") && same_bytes(given.trim().as_bytes(), self.0.as_bytes())
    }
}

impl fmt::Debug for MeshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeshToken(..)")
    }
}

fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let difference = left
        .iter()
        .zip(right)
        .fold(0u8, |found, (l, r)| black_box(found | (l ^ r)));
    difference == 0
}

/// How a control port is guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Bound to loopback only; whoever is on this host may call.
    Loopback,
    /// Callers show the mesh token, on loopback too.
    Token(MeshToken),
    /// Anyone who reaches the port may call: asked for with `--allow-anonymous`, and shown by `/ready`.
    Anonymous,
}

impl Access {
    /// True when a caller with this `Authorization` value may go on.
    pub fn admits(&self, authorization: Option<&str>) -> bool {
        match self {
            Access::Loopback | Access::Anonymous => true,
            Access::Token(token) => authorization.is_some_and(|header| token.matches(header)),
        }
    }
}

/// Shown on status pages: `loopback`, `token` or `anonymous`.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::Loopback => "loopback",
            Access::Token(_) => "token",
            Access::Anonymous => "anonymous",
        })
    }
}

/// A control port would be open to strangers.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "control port {0} is reachable from other hosts and unguarded; give --token-file FILE, bind 127.0.0.1, \
     or say --allow-anonymous if that is meant"
)]
pub struct BindRefused(pub SocketAddr);

/// Refuses to bind a control port wider than loopback without a token or an explicit permission.
///
/// # Errors
/// [`BindRefused`] for an address that is not loopback under [`Access::Loopback`].
pub fn check_bind(address: SocketAddr, access: &Access) -> Result<(), BindRefused> {
    match access {
        Access::Loopback if !is_loopback(address.ip()) => Err(BindRefused(address)),
        Access::Loopback | Access::Token(_) | Access::Anonymous => Ok(()),
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> MeshToken {
        MeshToken::new("test", " 0123456789abcdef\n").unwrap()
    }

    #[test]
    fn only_the_whole_token_in_a_bearer_header_matches() {
        for (header, expected) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer 0123456789abcdef", true),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer 0123456789abcde", false),
            ("Bearer ", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
            ("", false),
        ] {
            assert_eq!(token().matches(header), expected, "{header:?}");
        }
        assert!(token().matches(&token().header_value()));
    }

    #[test]
    fn the_token_is_not_printed() {
        assert_eq!(format!("{:?}", Access::Token(token())), "Token(MeshToken(..))");
    }

    #[test]
    fn short_long_and_binary_tokens_are_refused_without_showing_them() {
        for text in [
            "",
            "short",
            "has a blank in its middle",
            "ümlaut-0123456789",
            &"x".repeat(5000),
        ] {
            let message = MeshToken::new("token file t", text).unwrap_err().to_string();

            assert!(message.starts_with("token file t: token "), "{message}");
            assert!(text.is_empty() || !message.contains(text), "{message}");
        }
    }

    #[test]
    fn a_token_is_read_from_a_file_and_a_missing_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "0123456789abcdef\n").unwrap();

        assert_eq!(MeshToken::from_file(&path).unwrap(), token());
        let missing = MeshToken::from_file(&directory.path().join("none"))
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("none") && missing.contains("--token-file"),
            "{missing}"
        );
    }

    #[test]
    fn a_bind_beyond_loopback_needs_a_token_or_a_permission() {
        for (address, access, allowed) in [
            ("127.0.0.1:8080", Access::Loopback, true),
            ("127.9.9.9:8080", Access::Loopback, true),
            ("[::1]:8080", Access::Loopback, true),
            ("[::ffff:127.0.0.1]:8080", Access::Loopback, true),
            ("0.0.0.0:8080", Access::Loopback, false),
            ("[::]:8080", Access::Loopback, false),
            ("10.0.0.1:8080", Access::Loopback, false),
            ("0.0.0.0:8080", Access::Token(token()), true),
            ("0.0.0.0:8080", Access::Anonymous, true),
        ] {
            assert_eq!(
                check_bind(address.parse().unwrap(), &access).is_ok(),
                allowed,
                "{address} {access}"
            );
        }
    }

    #[test]
    fn only_token_access_asks_for_a_header() {
        assert!(Access::Loopback.admits(None));
        assert!(Access::Anonymous.admits(None));
        assert!(!Access::Token(token()).admits(None));
        assert!(Access::Token(token()).admits(Some("Bearer 0123456789abcdef")));
    }
}
