//! Redirects and rewrites of a request's path and host, in both generations.

use crate::fields::Fields;
use crate::output::Object;

/// How messages of the first generation name the two fields.
pub(crate) const FIRST_WORDS: &str = "path, host, or both";

/// How messages of the second generation name the two fields.
pub(crate) const SECOND_WORDS: &str = "URI, authority, or both";

/// A new address for the caller: 302 in the first generation, 301 in the second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// Replaces the whole path; empty to keep it.
    pub uri: String,
    /// Replaces the host; empty to keep it.
    pub authority: String,
}

/// Another path and host for the request on its way to the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Replaces the matched prefix, or the path when it was matched whole; empty to keep it. The query stays.
    pub uri: String,
    /// Replaces the host; empty to keep it.
    pub authority: String,
}

impl Redirect {
    pub(crate) fn read(parent: &Fields<'_>, words: &str) -> Option<Redirect> {
        let (uri, authority) = read_pair(parent, "redirect", words)?;
        Some(Redirect { uri, authority })
    }
}

impl Rewrite {
    pub(crate) fn read(parent: &Fields<'_>, words: &str) -> Option<Rewrite> {
        let (uri, authority) = read_pair(parent, "rewrite", words)?;
        Some(Rewrite { uri, authority })
    }
}

/// Both messages have the same fields and the same rule.
fn read_pair(parent: &Fields<'_>, name: &'static str, words: &str) -> Option<(String, String)> {
    let fields = parent.at(name)?.fields()?;
    let uri = fields.text("uri");
    let authority = fields.text("authority");
    if uri.is_empty() && authority.is_empty() {
        fields.problem(format!("{name} must specify {words}"));
    }
    fields.finish();
    Some((uri, authority))
}

pub(crate) fn write(redirect: Option<&Redirect>, rewrite: Option<&Rewrite>, out: &mut Object) {
    if let Some(Redirect { uri, authority }) = redirect {
        out.value("redirect", pair(uri, authority));
    }
    if let Some(Rewrite { uri, authority }) = rewrite {
        out.value("rewrite", pair(uri, authority));
    }
}

fn pair(uri: &str, authority: &str) -> serde_json::Value {
    let mut out = Object::default();
    out.text("uri", uri);
    out.text("authority", authority);
    out.finish()
}
