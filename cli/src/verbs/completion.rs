//! `completion`: a script for the user's shell.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output;

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

/// Prints the script for `command` under the name that the user typed.
pub(crate) fn run(args: &CompletionArgs, mut command: Command) -> Result<(), Failure> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    output::put(String::from_utf8_lossy(&script))
}
