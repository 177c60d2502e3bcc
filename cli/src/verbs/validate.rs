//! `validate`: everything that can be said about a file without a server.

use clap::Args;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::input::{self, Files};
use crate::output;

/// Check files without storing anything
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  outrigger validate -f rules/
  cat rule.yaml | outrigger validate -f -")]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    files: Files,
}

/// Checks what was handed in.
pub(crate) fn run(args: &ValidateArgs, connection: &Connection) -> Result<(), Failure> {
    let objects = input::read(&args.files, connection)?;
    if objects.is_empty() {
        return Err(args.files.empty("validate"));
    }
    for parsed in &objects {
        input::print_warnings(parsed);
    }
    for file in &args.files.file {
        output::line(format_args!("{:?} is valid", file.display().to_string()))?;
    }
    Ok(())
}
