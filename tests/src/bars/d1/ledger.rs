//! The books: what the access log says was sent upstream against what arrived there, request by request.
//!
//! The log names the client's address, which no two replays share, and the request's id, which the backend saw. So each
//! request that arrived belongs to one line, each line to one replay, and each replay says what should have arrived.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use outrigger_proxy::h1::corpus::End;
use serde_json::Value;

use super::backend::{Seen, What};
use super::client::{AFTER, Heard, asking};
use super::plan::{self, Replay};
use super::receiver::Named;
use super::wire::{Extent, Message};

/// Fields of requests that the proxy adds.
const ADDED: &[&str] = &["x-request-id", "x-forwarded-proto", "x-forwarded-for"];

/// A line of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    client: String,
    method: String,
    id: String,
    flags: String,
    /// Blank when it was sent nowhere.
    upstream: String,
}

impl Line {
    fn is_sent(&self) -> bool {
        !self.upstream.is_empty() && self.method != "CONNECT"
    }

    /// The request came to its end: it was not cut off by a refusal or by its client.
    fn is_whole(&self) -> bool {
        !matches!(self.flags.as_str(), "DPE" | "DC")
    }
}

/// Reads the proxy's JSON log.
pub(super) fn read(log: &str) -> Result<Vec<Line>> {
    let line = |text: &str| {
        let value: Value =
            serde_json::from_str(text).with_context(|| format!("a log line is not JSON: {text}"))?;
        let field = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Ok(Line {
            client: field("downstream_remote_address"),
            method: field("method"),
            id: field("request_id"),
            flags: field("response_flags"),
            upstream: field("upstream_host"),
        })
    };
    log.lines().map(line).collect()
}

/// Takes the lines of the requests that were sent to a receiver of another make out of the log.
pub(super) fn take_sent_to(lines: &mut Vec<Line>, receiver: SocketAddr) -> Vec<Named> {
    let receiver = receiver.to_string();
    let taken: Vec<Line> = lines.extract_if(.., |line| line.upstream == receiver).collect();
    taken
        .into_iter()
        .map(|line| Named {
            method: line.method,
            id: line.id,
        })
        .collect()
}

/// The balance.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    /// Whole requests that arrived.
    pub(super) arrived: usize,
    /// Whole requests that the log says were sent.
    pub(super) logged: usize,
    /// What arrived and no input accounts for.
    pub(super) smuggled: usize,
    /// What is wrong, by the number of its replay.
    pub(super) wrong: BTreeMap<usize, String>,
    /// What is wrong and belongs to no replay.
    pub(super) stray: Vec<String>,
}

/// Compares the books.
pub(super) fn balance(replays: &[Replay], heard: &[Heard], lines: &[Line], seen: &[Seen]) -> Result<Balance> {
    let mut books = Books::open(lines, seen);
    let mut balance = Balance {
        arrived: books.requests().filter(|(_, message)| message.whole).count(),
        logged: lines
            .iter()
            .filter(|line| line.is_sent() && line.is_whole())
            .count(),
        ..Balance::default()
    };
    for (number, (replay, heard)) in replays.iter().zip(heard).enumerate() {
        let expected = expected(replay, number, heard)?;
        if let Err(problem) = books.settle(replay, heard, &expected) {
            balance.wrong.insert(number, problem);
        }
    }
    for (number, seen) in seen.iter().enumerate() {
        let told = match &seen.what {
            What::Request { message, .. } if !books.settled.contains(&number) => message.to_string(),
            What::Garbage { bytes, problem } => format!("{problem}: {:?}", bytes.escape_ascii().to_string()),
            _ => continue,
        };
        balance.smuggled += 1;
        balance
            .stray
            .push(format!("no input accounts for this at the backend: {told}"));
    }
    let opened = lines
        .iter()
        .filter(|line| line.method == "CONNECT" && !line.upstream.is_empty())
        .count();
    let tunnels = seen
        .iter()
        .filter(|seen| matches!(seen.what, What::Tunnel))
        .count();
    if opened != tunnels {
        balance
            .stray
            .push(format!("the log has {opened} tunnels, the backend saw {tunnels}"));
    }
    Ok(balance)
}

/// What should have arrived for a replay.
fn expected(replay: &Replay, number: usize, heard: &Heard) -> Result<Vec<Message>> {
    let mut expected = match replay.input.case.response {
        false => replay.expected()?,
        true => vec![plan::whole(&asking(replay, number))?],
    };
    if heard.asked_after {
        expected.push(plan::whole(AFTER)?);
    }
    expected.retain(|request| request.method() != b"CONNECT");
    Ok(expected)
}

struct Books<'b> {
    seen: &'b [Seen],
    lines: HashMap<&'b str, Vec<&'b Line>>,
    /// By id, places in `seen`.
    arrived: HashMap<&'b [u8], Vec<usize>>,
    /// By connection, the place in `seen` of the last request.
    last: HashMap<usize, usize>,
    /// Places in `seen` that belong to a replay.
    settled: BTreeSet<usize>,
}

impl<'b> Books<'b> {
    fn open(lines: &'b [Line], seen: &'b [Seen]) -> Books<'b> {
        let mut books = Books {
            seen,
            lines: HashMap::new(),
            arrived: HashMap::new(),
            last: HashMap::new(),
            settled: BTreeSet::new(),
        };
        for line in lines.iter().filter(|line| line.is_sent()) {
            books.lines.entry(&line.client).or_default().push(line);
        }
        for (place, seen) in seen.iter().enumerate() {
            if let What::Request { message, .. } = &seen.what {
                books
                    .arrived
                    .entry(message.field("x-request-id").unwrap_or_default())
                    .or_default()
                    .push(place);
                books.last.insert(seen.connection, place);
            }
        }
        books
    }

    fn requests(&self) -> impl Iterator<Item = (usize, &'b Message)> {
        self.seen
            .iter()
            .enumerate()
            .filter_map(|(place, seen)| match &seen.what {
                What::Request { message, .. } => Some((place, message)),
                _ => None,
            })
    }

    /// Finds what a replay sent upstream, and compares it with what should have arrived.
    fn settle(&mut self, replay: &Replay, heard: &Heard, expected: &[Message]) -> Result<(), String> {
        let client = heard.from.to_string();
        let lines = self.lines.remove(client.as_str()).unwrap_or_default();
        if lines.len() != expected.len() {
            return Err(format!(
                "the log has {} requests sent upstream, expected {}",
                lines.len(),
                expected.len()
            ));
        }
        let mut places = Vec::new();
        for (line, expected) in lines.iter().zip(expected) {
            match (
                self.arrived
                    .remove(line.id.as_bytes())
                    .unwrap_or_default()
                    .as_slice(),
                expected.whole,
            ) {
                // A client that is gone before anything was written takes the whole of it along.
                ([], false) if replay.input.refusal().is_some() || !line.is_whole() => {}
                ([], _) => return Err(format!("in the log and not at the backend: {expected}")),
                ([place], _) => {
                    self.settled.insert(*place);
                    self.compare(replay, line, *place, expected)?;
                    places.push(*place);
                }
                (places, _) => return Err(format!("arrived {} times: {expected}", places.len())),
            }
        }
        let ids: Vec<&str> = lines.iter().map(|line| line.id.as_str()).collect();
        in_step(heard, &ids)?;
        match places.first() {
            Some(place) if replay.input.case.response => self.is_last_on_its_connection(replay, *place),
            _ => Ok(()),
        }
    }

    fn compare(&self, replay: &Replay, line: &Line, place: usize, expected: &Message) -> Result<(), String> {
        let Some(Seen {
            what: What::Request { message, early },
            ..
        }) = self.seen.get(place)
        else {
            return Ok(());
        };
        if !early.is_empty() {
            return Err(format!(
                "{:?} came before the upgrade was granted",
                early.escape_ascii().to_string()
            ));
        }
        if line.is_whole() != message.whole {
            return Err(format!(
                "the log's flags are {}, yet at the backend: {message}",
                line.flags
            ));
        }
        let refused = replay.input.refusal().is_some() && !replay.input.case.response;
        let extent = if refused && !expected.whole {
            Extent::Beginning
        } else {
            Extent::All
        };
        message.differs(expected, ADDED, extent).map_or(Ok(()), Err)
    }

    /// After an answer whose end is in doubt, or that ends its connection, nothing more is sent there.
    fn is_last_on_its_connection(&self, replay: &Replay, place: usize) -> Result<(), String> {
        let keeps = replay.input.case.end == End::Open && !replay.input.has_excess();
        let Some(connection) = self.seen.get(place).map(|seen| seen.connection) else {
            return Ok(());
        };
        match self.last.get(&connection) {
            Some(last) if *last != place && !keeps => {
                Err("the upstream connection was used again".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Every answer of the backend went to the request that it was for, in order.
fn in_step(heard: &Heard, ids: &[&str]) -> Result<(), String> {
    let mut ids = ids.iter();
    for answer in heard.answers.iter().chain(&heard.after) {
        let Some(saw) = answer.field("x-saw") else {
            continue;
        };
        if !ids.any(|id| id.as_bytes() == saw) {
            return Err(format!("an answer is for another request: {answer}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::corpus::load;
    use super::super::plan::plan;
    use super::super::wire::{self, Kind};
    use super::*;

    fn replay(name: &str) -> Replay {
        let inputs = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy/tests/h1_corpus")).unwrap();
        let replays = plan(&inputs, &mut fastrand::Rng::with_seed(1), 0, false);
        replays
            .into_iter()
            .find(|replay| replay.input.case.name == name)
            .unwrap()
    }

    fn heard() -> Heard {
        Heard {
            from: SocketAddr::from(([127, 0, 44, 9], 7)),
            answers: Vec::new(),
            after: None,
            asked_after: false,
            tunnelled: Vec::new(),
            problem: None,
        }
    }

    fn line(id: &str, flags: &str) -> String {
        format!(
            r#"{{"downstream_remote_address":"127.0.44.9:7","method":"GET","request_id":"{id}","response_flags":"{flags}","upstream_host":"127.0.0.1:1"}}"#
        )
    }

    fn seen(connection: usize, text: &str) -> Seen {
        let message = wire::take(text.as_bytes(), Kind::Request).unwrap().unwrap().0;
        Seen {
            connection,
            what: What::Request {
                message,
                early: Vec::new(),
            },
        }
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nx-request-id: 1\r\n\r\n";

    fn of(name: &str, log: &[String], arrived: &[Seen]) -> Balance {
        let lines = read(&log.join("\n")).unwrap();
        balance(&[replay(name)], &[heard()], &lines, arrived).unwrap()
    }

    #[test]
    fn a_request_that_arrived_once_and_was_logged_once_balances() {
        let found = of("plain request", &[line("1", "-")], &[seen(0, GET)]);

        assert_eq!(
            found,
            Balance {
                arrived: 1,
                logged: 1,
                ..Balance::default()
            }
        );
    }

    #[test]
    fn a_request_that_arrived_twice_or_not_or_otherwise_is_wrong() {
        for arrived in [
            vec![],
            vec![seen(0, GET), seen(1, GET)],
            vec![seen(0, &GET.replace("/ ", "/x "))],
        ] {
            let found = of("plain request", &[line("1", "-")], &arrived);
            assert_eq!(found.wrong.len(), 1, "{found:?}");
        }
    }

    #[test]
    fn what_arrives_without_a_line_is_smuggled() {
        let found = of("two different lengths", &[], &[seen(0, GET)]);

        assert_eq!((found.smuggled, found.arrived, found.logged), (1, 1, 0));
    }

    #[test]
    fn what_a_refused_input_sends_upstream_is_wrong_even_when_it_is_logged() {
        let found = of("two different lengths", &[line("1", "-")], &[seen(0, GET)]);

        assert_eq!((found.smuggled, found.wrong.len()), (1, 1));
    }

    #[test]
    fn a_body_that_is_refused_may_have_begun_to_arrive_and_must_not_end() {
        let begun =
            "POST / HTTP/1.1\r\nhost: a\r\nx-request-id: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab";
        let ended = "POST / HTTP/1.1\r\nhost: a\r\nx-request-id: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";

        for arrived in [vec![], vec![seen(0, begun)]] {
            let found = of("data longer than its size", &[line("1", "DPE")], &arrived);
            assert_eq!(found, Balance::default());
        }
        let found = of(
            "data longer than its size",
            &[line("1", "DPE")],
            &[seen(0, ended)],
        );
        assert_eq!((found.arrived, found.logged, found.wrong.len()), (1, 0, 1));
    }

    #[test]
    fn a_connection_that_brought_a_bad_answer_is_not_used_again() {
        let asked = GET.replace("/ ", "/response/0 ");
        let other = GET.replace("id: 1", "id: 2");
        let arrived = [seen(0, &asked), seen(0, &other)];

        let found = of("response with both framings", &[line("1", "UPE")], &arrived);
        assert!(found.wrong[&0].contains("used again"), "{found:?}");

        let found = of("response with a length", &[line("1", "-")], &arrived);
        assert!(found.wrong.is_empty(), "{found:?}");
    }

    #[test]
    fn answers_out_of_step_are_found() {
        let answer = |id: &str| {
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-saw: {id}\r\n\r\n");
            wire::take(text.as_bytes(), Kind::Answer { bodiless: false })
                .unwrap()
                .unwrap()
                .0
        };
        let said = |ids: &[&str]| Heard {
            answers: ids.iter().map(|id| answer(id)).collect(),
            ..heard()
        };

        assert_eq!(in_step(&said(&["1", "2"]), &["1", "2"]), Ok(()));
        assert_eq!(in_step(&said(&["2"]), &["1", "2"]), Ok(()));
        assert!(in_step(&said(&["2", "1"]), &["1", "2"]).is_err());
        assert!(in_step(&said(&["1", "1"]), &["1"]).is_err());
    }
}
