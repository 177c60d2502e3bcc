//! Whether a client heard what the corpus promises it.

use outrigger_proxy::h1::corpus::End;

use super::client::Heard;
use super::plan::Replay;
use super::wire::{Extent, Message};

/// The proxy's own reason for an answer of its own.
const REASON: &str = "x-outrigger-reason";
/// Fields of answers that the proxy adds.
const ADDED: &[&str] = &["server"];

/// Compares what was heard with what must be.
///
/// # Errors
/// The first difference.
pub(super) fn judge(replay: &Replay, heard: &Heard) -> Result<(), String> {
    if let Some(problem) = &heard.problem {
        let before: String = heard
            .answers
            .iter()
            .map(|answer| format!("; before that: {answer}"))
            .collect();
        return Err(format!("{problem}{before}"));
    }
    if replay.input.case.response {
        answer(replay, heard)
    } else {
        request(replay, heard)
    }
}

/// A request case: an answer of the backend for each that passes on whole, then the refusal if there is one.
fn request(replay: &Replay, heard: &Heard) -> Result<(), String> {
    let expected = replay.expected().map_err(|error| error.to_string())?;
    let mut answers = heard.answers.iter();
    for request in expected.iter().filter(|request| request.whole) {
        let answer = answers
            .next()
            .ok_or("a request that passes on was not answered")?;
        let granted = if request.field("upgrade").is_some() {
            101
        } else {
            200
        };
        let served = request.method() == b"CONNECT" || answer.field("x-saw").is_some();
        if answer.status() != granted || !served {
            return Err(format!("expected {granted} from the backend, heard {answer}"));
        }
    }
    if let Some((status, sentence)) = replay.input.refusal() {
        let refusal = answers
            .next()
            .ok_or_else(|| format!("expected {status}, heard nothing"))?;
        is_refusal(refusal, status, sentence)?;
    }
    if let Some(more) = answers.next() {
        return Err(format!("there is one more answer: {more}"));
    }
    if replay.input.case.end == End::Tunnel && heard.tunnelled != replay.input.tunnelled() {
        return Err(format!(
            "the tunnel brought back {:?}",
            heard.tunnelled.escape_ascii().to_string()
        ));
    }
    Ok(())
}

/// An answer case: what passes on, or 502; and behind it the next exchange is in step.
fn answer(replay: &Replay, heard: &Heard) -> Result<(), String> {
    let (interim, last) = shown(&replay.input.passing);
    let (said, end) = match heard.answers.split_last() {
        Some((last, before)) if !last.is_interim() => (before, Some(last)),
        _ => (heard.answers.as_slice(), None),
    };
    // The proxy answers the expectation of a client itself.
    let said: Vec<&Message> = said.iter().filter(|answer| answer.status() != 100).collect();
    if said.len() != interim.len() {
        return Err(format!(
            "expected {} interim answers, heard {}",
            interim.len(),
            said.len()
        ));
    }
    for (said, interim) in said.into_iter().zip(interim) {
        different(said, interim)?;
    }
    match (&replay.input.case.end, last, end) {
        (End::Refused { .. }, None, Some(end)) => is_bad_gateway(replay, end)?,
        (End::Incomplete, None, Some(end))
            if matches!(end.status(), 502 | 503) && end.field(REASON).is_some() => {}
        // What came before the fault has passed on, in however many pieces it came, and must not look complete.
        (_, Some(last), Some(end)) => different(end, last)?,
        (_, _, None) => return Err("there is no answer".to_owned()),
        (_, None, Some(end)) => return Err(format!("expected an answer of the proxy's own, heard {end}")),
    }
    if replay.input.case.end == End::Tunnel && heard.tunnelled != replay.input.tunnelled() {
        return Err(format!(
            "the tunnel brought {:?}",
            heard.tunnelled.escape_ascii().to_string()
        ));
    }
    match &heard.after {
        Some(after) if after.status() == 200 && after.field("x-saw").is_some() => Ok(()),
        Some(after) => Err(format!("the request behind it was answered {after}")),
        None if heard.asked_after => Err("the request behind it was not answered".to_owned()),
        None => Ok(()),
    }
}

/// The answers that a client may hear: interim ones, and the first final one.
fn shown(passing: &[Message]) -> (Vec<&Message>, Option<&Message>) {
    let last = passing.iter().find(|message| !message.is_interim());
    let interim = passing.iter().take_while(|message| message.is_interim());
    (interim.filter(|message| message.status() != 100).collect(), last)
}

fn different(seen: &Message, expected: &Message) -> Result<(), String> {
    seen.differs(expected, ADDED, Extent::All).map_or(Ok(()), Err)
}

fn is_bad_gateway(replay: &Replay, answer: &Message) -> Result<(), String> {
    let sentence = replay.input.refusal().map_or("", |(_, sentence)| sentence);
    is_refusal(answer, 502, sentence)
}

/// An answer of the proxy's own with this status, whole, that gives the reason.
fn is_refusal(answer: &Message, status: u16, sentence: &str) -> Result<(), String> {
    let reason = String::from_utf8_lossy(answer.field(REASON).unwrap_or_default());
    if answer.status() == status && answer.whole && !sentence.is_empty() && reason.ends_with(sentence) {
        Ok(())
    } else {
        Err(format!("expected {status} because {sentence}, heard {answer}"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::Path;

    use super::super::corpus::load;
    use super::super::plan::{Replay, plan};
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

    fn heard(answers: &[&str]) -> Heard {
        let read = |text: &&str| {
            let kind = Kind::Answer { bodiless: false };
            wire::take(text.as_bytes(), kind).unwrap().unwrap().0
        };
        Heard {
            from: SocketAddr::from(([127, 0, 0, 1], 1)),
            answers: answers.iter().map(read).collect(),
            after: None,
            asked_after: false,
            tunnelled: Vec::new(),
            problem: None,
        }
    }

    const SERVED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-saw: 1\r\n\r\nok\n";

    fn refused(status: &str, sentence: &str) -> String {
        format!("HTTP/1.1 {status} x\r\nx-outrigger-reason: DPE {sentence}\r\ncontent-length: 0\r\n\r\n")
    }

    #[test]
    fn a_refusal_needs_its_status_and_its_reason() {
        let replay = replay("two different lengths");
        let sentence = "there is more than one Content-Length field";

        assert_eq!(judge(&replay, &heard(&[&refused("400", sentence)])), Ok(()));
        assert!(judge(&replay, &heard(&[&refused("431", sentence)])).is_err());
        assert!(judge(&replay, &heard(&[&refused("400", "something else")])).is_err());
        assert!(judge(&replay, &heard(&[])).is_err());
        assert!(judge(&replay, &heard(&[SERVED])).is_err());
        assert!(judge(&replay, &heard(&[&refused("400", sentence), SERVED])).is_err());
    }

    #[test]
    fn an_accepted_request_is_answered_by_the_backend_and_only_once() {
        let replay = replay("plain request");

        assert_eq!(judge(&replay, &heard(&[SERVED])), Ok(()));
        assert!(judge(&replay, &heard(&[])).is_err());
        assert!(judge(&replay, &heard(&[SERVED, SERVED])).is_err());
        assert!(judge(&replay, &heard(&[&refused("400", "no")])).is_err());
    }

    #[test]
    fn a_bad_answer_becomes_502_and_the_next_exchange_is_in_step() {
        let replay = replay("response with both framings");
        let refusal = refused(
            "502",
            "there are both a Content-Length and a Transfer-Encoding field",
        );
        let mut good = heard(&[&refusal]);
        good.asked_after = true;
        assert!(judge(&replay, &good).is_err());

        good.after = heard(&[SERVED]).answers.pop();
        assert_eq!(judge(&replay, &good), Ok(()));
        assert!(judge(&replay, &heard(&[SERVED])).is_err());
        assert!(judge(&replay, &heard(&[])).is_err());
    }

    #[test]
    fn an_answer_that_was_cut_must_not_look_complete() {
        let replay = replay("response cut in its length");

        let begun = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi";
        assert_eq!(judge(&replay, &heard(&[begun])), Ok(()));
        assert!(judge(&replay, &heard(&[])).is_err());
        for other in [
            "content-length: 2\r\n\r\nhi",
            "content-length: 5\r\n\r\nh",
            "content-length: 5\r\n\r\nother",
        ] {
            assert!(judge(&replay, &heard(&[&format!("HTTP/1.1 200 OK\r\n{other}")])).is_err());
        }
    }

    #[test]
    fn an_answer_passes_on_as_written_with_the_name_of_the_proxy() {
        let replay = replay("103, then 200");
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        let last = "HTTP/1.1 200 OK\r\nserver: outrigger\r\ncontent-length: 0\r\n\r\n";

        assert_eq!(judge(&replay, &heard(&[hints, last])), Ok(()));
        assert!(judge(&replay, &heard(&[last])).is_err());
        assert!(judge(&replay, &heard(&[hints, SERVED])).is_err());
    }
}
