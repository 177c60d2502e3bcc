//! The ways in which an input is replayed: whole, with a request behind it, cut in pieces, at both roles.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use outrigger_proxy::h1::corpus::End;

use super::corpus::Input;
use super::wire::{self, Kind, Message};

/// A request that is sent right behind an input. Behind a refused one it must not arrive anywhere.
pub(super) const BEHIND: &[u8] = b"GET /behind HTTP/1.1\r\nhost: behind\r\n\r\n";
/// What an HTTP/2 connection begins with, as far as HTTP/1 can read it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Inputs longer than this are not sent byte by byte.
const TRICKLED: usize = 160;
/// Inputs longer than this are cut at every byte near their ends, and between those at every [`STRIDE`]th, from another
/// one on in each run. They are long by the same few bytes again and again; the codec's own tests cut them at each.
const LONG: usize = 10_000;
/// What is near an end.
const NEAR: usize = 160;
/// A prime, so that no period of an input hides behind it.
const STRIDE: usize = 251;

/// Where the proxy stands when it gets an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Door {
    /// At the edge, where names with an underscore are refused.
    pub(super) gateway: bool,
    /// HTTP/1.0 is served.
    pub(super) http10: bool,
    /// HTTP/2 is not looked for.
    pub(super) http1: bool,
    /// Who stands behind it.
    pub(super) receiver: Receiver,
}

/// Who receives what the proxy passes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Receiver {
    /// The raw recorder.
    #[default]
    Recorder,
    /// A server on hyper.
    Hyper,
    /// nginx.
    Nginx,
}

impl Receiver {
    /// All of them.
    pub(super) const ALL: [Receiver; 3] = [Receiver::Recorder, Receiver::Hyper, Receiver::Nginx];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Receiver::Recorder => "recorder",
            Receiver::Hyper => "hyper",
            Receiver::Nginx => "nginx",
        }
    }
}

impl Door {
    /// Every kind of listener.
    pub(super) fn all() -> impl Iterator<Item = Door> {
        let kinds = |receiver| {
            (0..8u16).map(move |bits| Door {
                gateway: bits & 1 != 0,
                http10: bits & 2 != 0,
                http1: bits & 4 != 0,
                receiver,
            })
        };
        Receiver::ALL.into_iter().flat_map(kinds)
    }

    /// The one for an input.
    fn of(input: &Input) -> Door {
        Door {
            gateway: input.case.gateway,
            http10: input.case.http10,
            http1: input.case.input.starts_with(PREFACE),
            receiver: Receiver::Recorder,
        }
    }

    /// The port of its listener.
    pub(super) fn port(self) -> u16 {
        let receiver = match self.receiver {
            Receiver::Recorder => 0,
            Receiver::Hyper => 8,
            Receiver::Nginx => 16,
        };
        8080 + u16::from(self.gateway) + 2 * u16::from(self.http10) + 4 * u16::from(self.http1) + receiver
    }
}

/// One way to replay an input.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) input: Arc<Input>,
    pub(super) door: Door,
    /// Where what is sent, by the client or for an answer by the backend, is cut.
    pub(super) cuts: Vec<usize>,
    /// [`BEHIND`] is the last that is sent.
    pub(super) behind: bool,
}

impl fmt::Display for Replay {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.door.gateway { "gateway" } else { "sidecar" };
        let receiver = self.door.receiver.name();
        write!(out, "{} [{role}, {receiver} behind it", self.input.place)?;
        if self.behind {
            out.write_str(", one more request after it")?;
        }
        match self.cuts.as_slice() {
            [] => out.write_str("]"),
            cuts if cuts.len() > TRICKLED / 8 => out.write_str(", byte by byte]"),
            cuts => {
                let at: Vec<String> = cuts.iter().map(usize::to_string).collect();
                write!(out, ", cut at {}]", at.join(" "))
            }
        }
    }
}

impl Replay {
    /// What is sent, in its pieces.
    pub(super) fn pieces(&self) -> Vec<Vec<u8>> {
        let behind: &[u8] = if self.behind { BEHIND } else { b"" };
        pieces(&[&self.input.case.input, behind].concat(), &self.cuts)
    }

    /// What must arrive at the backend, and in this order.
    pub(super) fn expected(&self) -> Result<Vec<Message>> {
        let mut expected = self.input.passing.clone();
        if self.behind && self.input.case.end == End::Open {
            expected.push(whole(BEHIND)?);
        }
        Ok(expected)
    }
}

/// Reads one whole request of the bar's own.
pub(super) fn whole(bytes: &[u8]) -> Result<Message> {
    let taken = wire::take(bytes, Kind::Request).map_err(|problem| anyhow!(problem))?;
    Ok(taken.context("the bar's own request has no end")?.0)
}

/// Every way in which the inputs are replayed: each whole, with a request behind it where that means something, cut at
/// `rounds` sets of places that `random` chooses, and with `everywhere` in two at every byte and also byte by byte. What is
/// refused anywhere is also sent to the other role.
pub(super) fn plan(
    inputs: &[Arc<Input>],
    random: &mut fastrand::Rng,
    rounds: usize,
    everywhere: bool,
) -> Vec<Replay> {
    let mut replays = Vec::new();
    for input in inputs {
        let case = &input.case;
        let door = Door::of(input);
        let mut add = |door: Door, cuts: Vec<usize>, behind: bool| {
            replays.push(Replay {
                input: Arc::clone(input),
                door,
                cuts,
                behind,
            });
        };
        let refused = matches!(case.end, End::Refused { .. });
        let doors = match refused && !case.response && !case.gateway {
            true => vec![
                door,
                Door {
                    gateway: true,
                    ..door
                },
            ],
            false => vec![door],
        };
        let may_follow = !case.response && (refused || matches!(case.end, End::Open | End::Close));
        for &door in &doors {
            add(door, Vec::new(), false);
            if may_follow {
                add(door, Vec::new(), true);
            }
        }
        for (round, &door) in (0..rounds).zip(doors.iter().cycle()) {
            let behind = may_follow && round % 2 == 1;
            let length = case.input.len() + if behind { BEHIND.len() } else { 0 };
            let cuts = some(limit(input, length), random);
            add(door, cuts, behind);
        }
        if everywhere {
            let every = every(limit(input, case.input.len()), random);
            for (cut, &door) in every.into_iter().zip(doors.iter().cycle()) {
                add(door, vec![cut], false);
            }
            if case.input.len() <= TRICKLED && !input.has_excess() {
                add(door, (1..case.input.len()).collect(), false);
            }
        }
    }
    replays
}

/// The accepted requests for the servers that others wrote: each whole and cut in two, with a request behind it where that
/// may be. Upgrades and tunnels are left out: those servers grant none.
pub(super) fn for_receivers(inputs: &[Arc<Input>], random: &mut fastrand::Rng) -> Vec<Replay> {
    let mut replays = Vec::new();
    for input in inputs {
        let case = &input.case;
        if case.response || !matches!(case.end, End::Open | End::Close) {
            continue;
        }
        for receiver in [Receiver::Hyper, Receiver::Nginx] {
            let door = Door {
                receiver,
                ..Door::of(input)
            };
            for (cuts, behind) in [
                (Vec::new(), false),
                (Vec::new(), true),
                (some(case.input.len(), random), false),
                (some(case.input.len() + BEHIND.len(), random), true),
            ] {
                replays.push(Replay {
                    input: Arc::clone(input),
                    door,
                    cuts,
                    behind,
                });
            }
        }
    }
    replays
}

/// Below which place an input of `length` bytes may be cut. Bytes that an upstream sends behind its answer stay together
/// with the end of it: sent later, they would be the answer to whatever is asked next, and nobody could tell.
fn limit(input: &Input, length: usize) -> usize {
    match input.passing.first() {
        Some(first) if input.case.response && input.has_excess() => {
            let head = input
                .case
                .input
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
                .unwrap_or_default();
            head + 4 + first.body.len()
        }
        _ => length,
    }
}

/// One to five places below `limit`.
fn some(limit: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    let mut places: Vec<usize> = match limit {
        0..=1 => Vec::new(),
        limit => (0..random.usize(1..=5)).map(|_| random.usize(1..limit)).collect(),
    };
    places.sort_unstable();
    places.dedup();
    places
}

/// Every place below `limit`; of a long input the ones near its ends and some between.
fn every(limit: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    if limit <= LONG {
        return (1..limit).collect();
    }
    let between = (NEAR + random.usize(..STRIDE)..limit - NEAR).step_by(STRIDE);
    (1..NEAR).chain(between).chain(limit - NEAR..limit).collect()
}

fn pieces(bytes: &[u8], places: &[usize]) -> Vec<Vec<u8>> {
    let starts = std::iter::once(0).chain(places.iter().copied());
    let ends = places.iter().copied().chain(std::iter::once(bytes.len()));
    starts
        .zip(ends)
        .map(|(start, end)| bytes.get(start..end).unwrap_or_default().to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::corpus::load;
    use super::*;

    fn inputs() -> Vec<Arc<Input>> {
        load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy/tests/h1_corpus")).unwrap()
    }

    #[test]
    fn pieces_are_the_whole_input_again() {
        let mut random = fastrand::Rng::with_seed(1);
        for replay in plan(&inputs(), &mut random, 4, true) {
            let behind: &[u8] = if replay.behind { BEHIND } else { b"" };
            assert_eq!(
                replay.pieces().concat(),
                [&replay.input.case.input, behind].concat(),
                "{replay}"
            );
        }
    }

    #[test]
    fn an_input_is_cut_in_two_at_every_byte() {
        let replays = plan(&inputs(), &mut fastrand::Rng::with_seed(1), 0, true);

        let cuts: std::collections::BTreeSet<usize> = replays
            .iter()
            .filter(|replay| replay.input.case.name == "two different lengths")
            .filter_map(|replay| match replay.cuts.as_slice() {
                [cut] => Some(*cut),
                _ => None,
            })
            .collect();
        let length = inputs()
            .iter()
            .find(|input| input.case.name == "two different lengths")
            .map(|input| input.case.input.len());
        assert_eq!(
            cuts.into_iter().collect::<Vec<_>>(),
            (1..length.unwrap()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_long_input_is_cut_at_every_byte_near_its_ends_and_now_and_then_between() {
        let places = every(70_000, &mut fastrand::Rng::with_seed(1));

        assert!((1..160).all(|place| places.contains(&place)));
        assert!((69_840..70_000).all(|place| places.contains(&place)));
        assert!(places.is_sorted_by(|one, next| next - one <= 411 && next > one));
    }

    #[test]
    fn what_is_refused_goes_to_both_roles_and_has_a_request_behind_it() {
        let replays = plan(&inputs(), &mut fastrand::Rng::with_seed(1), 0, false);

        let of = |name: &str| -> Vec<_> {
            let same = replays.iter().filter(|replay| replay.input.case.name == name);
            same.map(|replay| (replay.door.gateway, replay.behind)).collect()
        };
        assert_eq!(
            of("two different lengths"),
            [(false, false), (false, true), (true, false), (true, true)]
        );
        assert_eq!(of("underscore at a gateway"), [(true, false), (true, true)]);
        assert_eq!(of("underscore at a sidecar"), [(false, false), (false, true)]);
        assert_eq!(of("body shorter than its length"), [(false, false)]);
    }

    #[test]
    fn every_door_has_a_port_of_its_own() {
        let ports: std::collections::BTreeSet<u16> = Door::all().map(Door::port).collect();
        assert_eq!(ports.len(), 24);
    }
}
