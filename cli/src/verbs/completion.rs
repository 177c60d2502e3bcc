//! `completion`: a script for the user's shell.

use clap::{Args, Command};
use clap_complete::Shell;

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
pub(crate) fn run(args: &CompletionArgs, mut command: Command) {
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut std::io::stdout());
}
