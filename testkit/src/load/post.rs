//! The POST requests of the load: which ids are POSTs, what body each carries, and whether the backends saw each as it
//! should be. Pure.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

use crate::backend::Post;

/// Body of a request of the load.
pub(super) type Body = BoxBody<Bytes, Infallible>;

/// Every third request is a POST.
pub(super) fn is_post(id: u64) -> bool {
    id.is_multiple_of(3)
}

/// The body of request `id`: blank unless it is a POST. Half of the POSTs tell their length, the others do not.
pub(super) fn body(id: u64) -> Body {
    if !is_post(id) {
        return Full::new(Bytes::new()).boxed();
    }
    let mut head = content(id);
    if id.is_multiple_of(2) {
        return Full::new(head).boxed();
    }
    let tail = head.split_off(head.len() / 2);
    BodyExt::boxed(StreamBody::new(stream::iter([
        Ok(Frame::data(head)),
        Ok(Frame::data(tail)),
    ])))
}

/// What a POST with this id carries: up to a kilobyte that no other id has.
fn content(id: u64) -> Bytes {
    let times = usize::try_from(id % 64).unwrap_or_default() + 1;
    format!("post {id}\n").repeat(times).into()
}

/// What the backends' records say about the POSTs of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Ids that came more than once.
    pub(super) doubled: u64,
    /// What was answered and never came, or came with another body: a sentence for each.
    pub(super) wrong: Vec<String>,
}

/// Compares what was sent (each POST's id, and whether it was answered) with what came. A POST that failed may have
/// come once or not at all.
pub(super) fn compare(sent: &HashMap<u64, bool>, seen: &[Post]) -> Findings {
    let mut findings = Findings::default();
    let mut times: BTreeMap<u64, u32> = BTreeMap::new();
    for post in seen.iter().filter(|post| sent.contains_key(&post.id)) {
        *times.entry(post.id).or_default() += 1;
        // The body of a request that failed may well have broken off; what came of it must still be its own.
        let answered = sent.get(&post.id).is_some_and(|answered| *answered);
        let as_sent = match &post.body {
            Some(body) => *body == content(post.id),
            None => !answered,
        };
        if !as_sent {
            findings
                .wrong
                .push(format!("request {}: its POST came with another body", post.id));
        }
    }
    findings.doubled = times.values().filter(|times| **times > 1).count() as u64;
    let unseen = sent
        .iter()
        .filter(|(id, answered)| **answered && !times.contains_key(id));
    for (id, _) in unseen {
        findings.wrong.push(format!(
            "request {id}: its POST was answered and came to no backend"
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(id: u64) -> Post {
        Post {
            id,
            body: Some(content(id)),
        }
    }

    #[test]
    fn an_answered_post_comes_exactly_once_and_as_sent() {
        let sent = HashMap::from([(0, true), (3, true)]);

        assert_eq!(compare(&sent, &[came(0), came(3)]), Findings::default());
        assert_eq!(compare(&sent, &[came(0), came(3), came(0)]).doubled, 1);
        assert_eq!(compare(&sent, &[came(0)]).wrong.len(), 1);
        let altered = Post {
            id: 3,
            body: Some(content(4)),
        };
        assert_eq!(compare(&sent, &[came(0), altered]).wrong.len(), 1);
        assert_eq!(
            compare(&sent, &[came(0), Post { id: 3, body: None }]).wrong.len(),
            1
        );
    }

    #[test]
    fn a_failed_post_comes_at_most_once() {
        let sent = HashMap::from([(3, false)]);

        assert_eq!(compare(&sent, &[]), Findings::default());
        assert_eq!(compare(&sent, &[Post { id: 3, body: None }]), Findings::default());
        assert_eq!(compare(&sent, &[came(3), came(3)]).doubled, 1);
    }

    #[test]
    fn what_other_clients_post_is_not_counted() {
        assert_eq!(compare(&HashMap::new(), &[came(3), came(3)]), Findings::default());
    }
}
