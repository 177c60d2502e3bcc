//! The inputs of the corpus that a running proxy can be given, and what must come of each.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use outrigger_proxy::h1::corpus::{self, Asked, Case, End};

use super::wire::{self, Kind, Message};

/// One input of the corpus.
#[derive(Debug)]
pub(super) struct Input {
    /// `heads.txt:12: plain request`.
    pub(super) place: String,
    pub(super) case: Case,
    /// What passes on, in the order of the corpus; the last may be cut off.
    pub(super) passing: Vec<Message>,
}

impl Input {
    /// The status and the sentence of the refusal that must come of it.
    pub(super) fn refusal(&self) -> Option<(u16, &'static str)> {
        let End::Refused { status, name } = &self.case.end else {
            return None;
        };
        let known = outrigger_proxy::h1::Refusal::ALL
            .iter()
            .find(|refusal| refusal.name() == name);
        Some((*status, known.map_or("", |refusal| refusal.sentence())))
    }

    /// What follows the head of an input that opens a tunnel.
    pub(super) fn tunnelled(&self) -> &[u8] {
        let end = self
            .case
            .input
            .windows(4)
            .position(|window| window == b"\r\n\r\n");
        end.and_then(|end| self.case.input.get(end + 4..))
            .unwrap_or_default()
    }

    /// An answer that ends with its connection, or with less than it promised: the backend closes behind it.
    pub(super) fn ends_with_its_connection(&self) -> bool {
        match &self.case.end {
            End::Refused { name, .. } => name == "body-cut",
            End::Incomplete => true,
            End::Close => answers_until_close(&self.case),
            End::Open | End::Tunnel => false,
        }
    }

    /// An answer with bytes behind it that nobody asked for.
    pub(super) fn has_excess(&self) -> bool {
        self.passing
            .iter()
            .filter(|message| !message.is_interim())
            .count()
            > 1
    }
}

/// Every input of `folder` that a running proxy can be given, in the order of files and lines.
pub(super) fn load(folder: &Path) -> Result<Vec<Arc<Input>>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut inputs = Vec::new();
    for path in paths {
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for case in corpus::parse(&text).map_err(|problem| anyhow!("{file}: {problem}"))? {
            // The proxy opens tunnels itself: no upstream of its is ever asked to CONNECT.
            if case.response && case.asked == Asked::Connect {
                continue;
            }
            let place = format!("{file}:{}: {}", case.line, case.name);
            let passing = passing(&case).with_context(|| place.clone())?;
            inputs.push(Arc::new(Input { place, case, passing }));
        }
    }
    Ok(inputs)
}

/// How the messages of a case are read.
fn kind(case: &Case) -> Kind {
    match case.response {
        true => Kind::Answer {
            bodiless: case.asked == Asked::Head,
        },
        false => Kind::Request,
    }
}

/// True for an answer without a length: its end is that of its connection.
fn answers_until_close(case: &Case) -> bool {
    let mut rest = case.input.as_slice();
    while let (true, Ok(Some((message, taken)))) = (case.response, wire::take(rest, kind(case))) {
        if !message.is_interim() {
            return message.framing == wire::Framing::UntilClose;
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    false
}

/// The messages that pass on, each with the target that the corpus says it arrives with.
fn passing(case: &Case) -> Result<Vec<Message>> {
    let kind = kind(case);
    let mut messages = Vec::new();
    for (bytes, target) in case.forwarded.iter().zip(&case.arriving) {
        let taken =
            wire::take(bytes, kind).map_err(|problem| anyhow!("what passes on is wrong: {problem}"))?;
        let (mut message, _) = taken.context("what passes on has no whole head")?;
        if let Some(target) = target {
            message.first = [message.method(), b" ", target, b" HTTP/1.1"].concat();
        }
        messages.push(message);
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Vec<Arc<Input>> {
        load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy/tests/h1_corpus")).unwrap()
    }

    #[test]
    fn the_corpus_has_enough_inputs_of_every_kind() {
        let inputs = inputs();

        assert!(inputs.len() >= 150);
        let count = |wanted: &dyn Fn(&Input) -> bool| inputs.iter().filter(|input| wanted(input)).count();
        assert!(count(&|input| input.refusal().is_some()) >= 100);
        assert!(count(&|input| input.case.response) >= 40);
        assert!(count(&|input| input.case.gateway) >= 2);
        assert!(count(&|input| input.has_excess()) >= 1);
        assert!(count(&|input| input.case.end == End::Tunnel && !input.tunnelled().is_empty()) >= 2);
    }

    #[test]
    fn a_request_arrives_with_the_target_that_the_corpus_says() {
        let inputs = inputs();
        let named = |name: &str| inputs.iter().find(|input| input.case.name == name).unwrap();

        assert_eq!(
            named("path with dots and slashes is left to the normaliser").passing[0].target(),
            b"/b"
        );
        assert_eq!(named("asterisk on OPTIONS").passing[0].target(), b"*");
        assert_eq!(named("connect").passing[0].target(), b"a:443");
    }
}
