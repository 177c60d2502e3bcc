//! How a command ends when it does not end well: what is printed, and with which exit code.

use std::io::Write as _;
use std::process::ExitCode;

pub(crate) use outrigger_client::error::{chain, root};

/// A command that did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The call itself makes no sense: exit code 64, as `sysexits` has it.
    Usage(String),
    /// Each message stands for one thing that went wrong: exit code 1.
    Failed(Vec<String>),
    /// The reader of what is printed has seen enough: no message, and no failure.
    ReaderGone,
}

impl Failure {
    /// One thing went wrong.
    pub(crate) fn one(message: impl Into<String>) -> Self {
        Failure::Failed(vec![message.into()])
    }

    /// Prints to standard error and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let red = anstyle::AnsiColor::Red.on_default().bold();
        let (messages, code) = match self {
            Failure::Usage(message) => (vec![message], 64),
            Failure::Failed(messages) => (messages, 1),
            Failure::ReaderGone => return ExitCode::SUCCESS,
        };
        for message in messages {
            tell(format_args!("{red}Error:{red:#} {message}"));
        }
        ExitCode::from(code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::one(chain(error.as_ref()))
    }
}

/// Prints a warning to standard error; the command goes on.
pub(crate) fn warn(message: impl std::fmt::Display) {
    let yellow = anstyle::AnsiColor::Yellow.on_default().bold();
    tell(format_args!("{yellow}Warning:{yellow:#} {message}"));
}

/// Prints a line to standard error.
pub(crate) fn tell(line: impl std::fmt::Display) {
    // Where that cannot be written either, nobody is left to tell.
    let _ = writeln!(anstream::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_cause_once() {
        let error = anyhow::anyhow!("connection refused")
            .context("cannot reach pilot")
            .context("no status");

        assert_eq!(
            chain(error.as_ref()),
            "no status: cannot reach pilot: connection refused"
        );
    }
}
