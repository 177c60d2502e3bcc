//! Scripted exchanges with the ADS server's state machine: no sockets, every output spelt out.
//!
//! A script is a text file of exchanges. Each starts with a sentence that it proves, and the variant:
//!
//! ```text
//! ## a wildcard client gets every cluster [delta]
//! = 1 | cds a=1>a b=1 | eds a=1        a snapshot: generation, then NAME=CONTENT>NAMES IT REFERS TO
//! > cds node                           a request; `node` is a valid node, `node=ID` that one
//! < node                               what must come out, all of it and in this order
//! < cds a=1 b=1 nonce=1
//! > cds nonce=1
//! < acked 1
//! + 5s                                 time passes
//! ```
//!
//! In requests: names (`a` in the state-of-the-world variant, `+a -b` in delta), `nonce=N`, `nack="why"`, and in delta
//! `have:a=CONTENT` for a version held before (`have:a=?` for a foreign one). References of listeners and routes are
//! clusters, `@r` a route configuration; of clusters, endpoints. `url=TEXT` instead of a short type name asks for any
//! type. Expected: `node`, replies (`-c` for removed, content `empty` for an assignment without endpoints),
//! `acked N`, `nacked N "why" [names refused]`, `withdrawn TYPE names`, `closed CODE beginning of the message`.
//! A line whose first word is `#` is a comment.

mod parse;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::server::{Event, Observed, Output, Reply, Stream, Variant};
use crate::{Resource, TypeUrl};

/// One exchange.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The file that it stands in.
    pub file: String,
    /// The line of its sentence, from 1.
    pub line: usize,
    /// What it proves.
    pub sentence: String,
    /// The variant of its stream.
    pub variant: Variant,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
struct Step {
    line: usize,
    action: Action,
    expected: Vec<String>,
}

#[derive(Debug, Clone)]
enum Action {
    Happens(Event),
    Passes(Duration),
}

/// An exchange that did not go as written, or a script that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `file:line`.
    pub place: String,
    /// The sentence that does not hold.
    pub sentence: String,
    /// What came out, and what should have.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}\n{}", self.place, self.sentence, self.message)
    }
}

/// How a set of exchanges went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The sentences that hold, with the variant.
    pub passed: Vec<String>,
    /// The ones that do not.
    pub failed: Vec<Failure>,
}

impl fmt::Display for Report {
    /// Failures in full, then one line: `N exchanges passed, M failed`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failed {
            writeln!(out, "{failure}")?;
        }
        write!(
            out,
            "{} exchanges passed, {} failed",
            self.passed.len(),
            self.failed.len()
        )
    }
}

/// Reads the exchanges of one script. `file` is its name in messages.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(file: &str, text: &str) -> Result<Vec<Exchange>, Failure> {
    parse::parse(file, text)
}

/// Runs every exchange of the `.txt` files of a folder, in the order of their names. A file that cannot be read, and a
/// folder without exchanges, count as failures.
pub fn run_folder(folder: &Path) -> Report {
    let mut report = Report::default();
    let trouble = |place: String, message: String| Failure {
        place,
        sentence: "the scripts can be read".into(),
        message,
    };
    let mut paths = match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect::<Vec<_>>(),
        Err(error) => {
            report
                .failed
                .push(trouble(folder.display().to_string(), error.to_string()));
            return report;
        }
    };
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    for path in paths {
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match std::fs::read_to_string(&path) {
            Ok(text) => report.add(&file, &text),
            Err(error) => report.failed.push(trouble(file, error.to_string())),
        }
    }
    if report.passed.is_empty() && report.failed.is_empty() {
        report
            .failed
            .push(trouble(folder.display().to_string(), "no exchange found".into()));
    }
    report
}

impl Report {
    /// Runs every exchange of one script.
    pub fn add(&mut self, file: &str, text: &str) {
        match parse(file, text) {
            Err(failure) => self.failed.push(failure),
            Ok(exchanges) => {
                for exchange in exchanges {
                    match exchange.run() {
                        Ok(()) => self.passed.push(exchange.title()),
                        Err(failure) => self.failed.push(failure),
                    }
                }
            }
        }
    }
}

impl Exchange {
    /// The sentence and the variant.
    pub fn title(&self) -> String {
        format!("{} [{}]", self.sentence, variant_name(self.variant))
    }

    /// Plays the exchange against a fresh state machine.
    ///
    /// # Errors
    /// The first step whose outputs are not the expected ones.
    pub fn run(&self) -> Result<(), Failure> {
        let mut now = Duration::ZERO;
        let mut stream = Stream::new(self.variant, "", now);
        for step in &self.steps {
            let event = match &step.action {
                Action::Happens(event) => event.clone(),
                Action::Passes(time) => {
                    now += *time;
                    Event::Tick
                }
            };
            let seen: Vec<String> = stream.on(now, event).iter().filter_map(describe).collect();
            if !agrees(&seen, &step.expected) {
                return Err(Failure {
                    place: format!("{}:{}", self.file, step.line),
                    sentence: self.title(),
                    message: format!(
                        "  expected {}\n  seen     {}",
                        listed(&step.expected),
                        listed(&seen)
                    ),
                });
            }
        }
        Ok(())
    }
}

/// Equal line by line; of a `closed` line, the beginning is enough.
fn agrees(seen: &[String], expected: &[String]) -> bool {
    seen.len() == expected.len()
        && seen.iter().zip(expected).all(|(seen, expected)| {
            seen == expected || expected.starts_with("closed ") && seen.starts_with(expected.as_str())
        })
}

fn listed(lines: &[String]) -> String {
    if lines.is_empty() {
        "nothing".into()
    } else {
        lines.join("\n           ")
    }
}

fn describe(output: &Output) -> Option<String> {
    match output {
        Output::Node(_) => Some("node".into()),
        Output::Send(reply) => Some(describe_reply(reply)),
        Output::Close(status) => Some(format!("closed {:?} {}", status.code(), status.message())),
        // A message that goes out is described by its reply.
        Output::Told(Observed::Sent(_) | Observed::Settled { .. } | Observed::Closed { .. }) => None,
        Output::Told(Observed::Acked(push)) => Some(format!("acked {}", push.nonce)),
        Output::Told(Observed::Nacked {
            push,
            message,
            refused,
        }) => Some(format!("nacked {} {message:?}{}", push.nonce, spaced(refused))),
        Output::Told(Observed::Withdrawn { kind, names }) => {
            Some(format!("withdrawn {}{}", kind.short(), spaced(names)))
        }
    }
}

fn describe_reply(reply: &Reply) -> String {
    let kind = TypeUrl::from_url(&reply.type_url);
    let mut text = kind.map_or_else(
        || format!("url={}", reply.type_url),
        |kind| kind.short().to_owned(),
    );
    for resource in &reply.resources {
        text.push_str(&format!(" {}={}", resource.name(), content(resource)));
    }
    for name in &reply.removed {
        text.push_str(&format!(" -{name}"));
    }
    text.push_str(&format!(" nonce={}", reply.nonce));
    text
}

fn content(resource: &Resource) -> String {
    if resource.kind() == TypeUrl::Endpoint && *resource == Resource::empty_assignment(resource.name()) {
        return "empty".into();
    }
    String::from_utf8_lossy(&resource.value()).into_owned()
}

fn spaced(names: &[Arc<str>]) -> String {
    names.iter().map(|name| format!(" {name}")).collect()
}

fn variant_name(variant: Variant) -> &'static str {
    match variant {
        Variant::Sotw => "sotw",
        Variant::Delta => "delta",
    }
}
