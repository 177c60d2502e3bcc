//! `completion`: a script for the user's shell.

use std::io::{ErrorKind, Write};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::Failure;

/// Print a completion script
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  source <(outrigger completion)
  outrigger completion zsh > ~/.zfunc/_outrigger")]
pub(crate) struct CompletionArgs {
    /// Which shell
    #[arg(value_enum, default_value = "bash")]
    shell: Shell,
}

/// Prints the script for `command` under the name that the user typed. A reader that closes early has enough.
pub(crate) fn run(args: &CompletionArgs, mut command: Command) -> Result<(), Failure> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    match std::io::stdout().write_all(&script) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::one(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
