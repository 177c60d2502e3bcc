//! What an answer to a blocking query means. Bytes and headers in, a decision out, pure.
//!
//! The rules (each of them a bug in some earlier mesh): the next index comes from `X-Consul-Index`; an equal
//! index means that nothing changed; index 0 or a smaller one means that the server began anew, so its answer
//! is dropped and the question asked once without an index; an answer without a leader is used only when it
//! continues the index that was waited on, because a server that just started may know nothing yet.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::error::Error;

/// An HTTP answer, as far as it matters.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// Path that was asked for, without query; for messages.
    pub(super) path: String,
    pub(super) status: u16,
    /// `X-Consul-Index`, as text.
    pub(super) index: Option<String>,
    /// `X-Consul-KnownLeader`.
    pub(super) known_leader: Option<bool>,
    /// `X-Consul-LastContact`: milliseconds since the answering server heard the leader.
    pub(super) last_contact_ms: Option<u64>,
    /// `X-Consul-Results-Filtered-By-ACLs`.
    pub(super) filtered: bool,
    pub(super) content_type: String,
    pub(super) body: Bytes,
}

/// What follows from an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning<T> {
    /// The index did not move.
    Unchanged,
    /// The server began anew: ask again without an index.
    Restarted,
    /// A new reading, and the index to wait on next (`None`: ask again without one).
    News { value: T, next: Option<u64> },
}

/// A reading that can be empty.
pub(super) trait Reading: DeserializeOwned {
    fn is_empty(&self) -> bool;
}

impl<T: DeserializeOwned> Reading for Vec<T> {
    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}

impl Reading for super::wire::Services {
    fn is_empty(&self) -> bool {
        super::wire::Services::is_empty(self)
    }
}

/// Understands the answer to a query that waited on index `asked`.
pub(super) fn understand<T: Reading>(asked: Option<u64>, answer: &Answer) -> Result<Meaning<T>, Error> {
    let garbled = |reason: String| Error::Garbled {
        path: answer.path.clone(),
        reason,
    };
    check_status(answer)?;
    if answer.known_leader == Some(false) && asked.is_none() {
        return Err(Error::NoLeader {
            path: answer.path.clone(),
        });
    }
    let index = match &answer.index {
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| garbled(format!("header X-Consul-Index is {text:?}, expected a number")))?,
        None => {
            return Err(garbled(format!(
                "header X-Consul-Index is missing, is this the address of a consul agent? It sent {}",
                start_of(answer)
            )));
        }
    };
    match asked {
        Some(asked) if index < asked => return Ok(Meaning::Restarted),
        Some(asked) if index == asked => return Ok(Meaning::Unchanged),
        _ => {}
    }
    let value: Option<T> = serde_json::from_slice(&answer.body)
        .map_err(|error| garbled(format!("{error}; it sent {}", start_of(answer))))?;
    let value = value.ok_or_else(|| garbled("it sent null".to_owned()))?;
    if answer.filtered && value.is_empty() {
        return Err(Error::Hidden {
            path: answer.path.clone(),
        });
    }
    Ok(Meaning::News {
        value,
        next: (index > 0).then_some(index),
    })
}

/// An error unless the status is 200.
pub(super) fn check_status(answer: &Answer) -> Result<(), Error> {
    if answer.status == 200 {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&answer.body);
    let line = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no message");
    Err(Error::Status {
        code: answer.status,
        path: answer.path.clone(),
        message: shortened(line.trim()),
    })
}

fn start_of(answer: &Answer) -> String {
    let kind = if answer.content_type.is_empty() {
        "untyped"
    } else {
        &answer.content_type
    };
    let text = String::from_utf8_lossy(&answer.body);
    format!(
        "{} bytes of {kind}: {:?}",
        answer.body.len(),
        shortened(text.trim())
    )
}

/// The first 80 characters.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn answer(index: Option<&str>, body: &str) -> Answer {
        Answer {
            path: "/v1/health/service/a".into(),
            status: 200,
            index: index.map(String::from),
            known_leader: Some(true),
            content_type: "application/json".into(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            ..Answer::default()
        }
    }

    fn meaning(asked: Option<u64>, answer: &Answer) -> String {
        match understand::<Vec<Value>>(asked, answer) {
            Ok(Meaning::Unchanged) => "unchanged".into(),
            Ok(Meaning::Restarted) => "restarted".into(),
            Ok(Meaning::News { value, next }) => format!("{} news, next {next:?}", value.len()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn indexes_decide_what_an_answer_means() {
        for (asked, index, expected) in [
            (None, "7", "1 news, next Some(7)"),
            (Some(7), "8", "1 news, next Some(8)"),
            (Some(7), "7", "unchanged"),
            (Some(7), "6", "restarted"),
            (Some(7), "0", "restarted"),
            (None, "0", "1 news, next None"),
            (
                Some(7),
                "x",
                "answer to /v1/health/service/a is not understood: header X-Consul-Index is \"x\", expected a number",
            ),
            (
                Some(7),
                "-1",
                "answer to /v1/health/service/a is not understood: header X-Consul-Index is \"-1\", expected a number",
            ),
        ] {
            assert_eq!(
                meaning(asked, &answer(Some(index), "[1]")),
                expected,
                "{asked:?} {index}"
            );
        }
    }

    #[test]
    fn an_equal_index_is_not_even_read() {
        assert_eq!(meaning(Some(7), &answer(Some("7"), "<html>")), "unchanged");
    }

    #[test]
    fn what_is_not_a_reading_is_refused_with_a_reason() {
        for (body, expected) in [
            ("null", "it sent null"),
            ("", "EOF while parsing"),
            ("[1,", "EOF while parsing"),
            (
                "<html><body>Bad gateway</body></html>",
                "application/json: \"<html>",
            ),
            ("{\"a\":1}", "invalid type: map"),
        ] {
            let message = meaning(None, &answer(Some("7"), body));
            assert!(message.contains(expected), "{body:?} gave {message:?}");
        }
        let stranger = meaning(None, &answer(None, "[]"));
        assert!(
            stranger.contains("is this the address of a consul agent?"),
            "{stranger}"
        );
    }

    #[test]
    fn statuses_and_missing_leaders_are_failures() {
        let mut refused = answer(Some("7"), "\nPermission denied: token lacks 'service:read'\nmore");
        refused.status = 403;
        assert_eq!(
            meaning(None, &refused),
            "consul answered 403 to /v1/health/service/a: Permission denied: token lacks 'service:read'; give a token with service:read and node:read (service:write to register)"
        );

        let mut leaderless = answer(Some("7"), "[]");
        leaderless.known_leader = Some(false);
        assert!(meaning(None, &leaderless).starts_with("consul knows no leader"));
        assert_eq!(meaning(Some(6), &leaderless), "0 news, next Some(7)");
        assert_eq!(meaning(Some(8), &leaderless), "restarted");
    }

    #[test]
    fn an_empty_answer_that_acls_emptied_is_not_a_reading() {
        let mut hidden = answer(Some("7"), "[]");
        hidden.filtered = true;
        assert!(meaning(None, &hidden).starts_with("the acl token hides every result"));

        let mut partly = answer(Some("7"), "[1]");
        partly.filtered = true;
        assert_eq!(meaning(None, &partly), "1 news, next Some(7)");
    }
}
