//! `version`: which build this is.

use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output;

/// Print which build this is
#[derive(Args, Clone, Debug)]
pub(crate) struct VersionArgs {
    /// One line
    #[arg(short, long)]
    short: bool,
    /// Form
    #[arg(short, long, value_enum)]
    output: Option<Form>,
}

/// Machine-readable forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Build {
    version: &'static str,
    build_type: &'static str,
    target: String,
}

/// Prints it.
pub(crate) fn run(args: &VersionArgs) -> Result<(), Failure> {
    let build = Build {
        version: env!("CARGO_PKG_VERSION"),
        build_type: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
    };
    match args.output {
        Some(Form::Json) => output::line(output::json(&build)?)?,
        Some(Form::Yaml) => output::put(output::yaml(&build)?)?,
        None if args.short => output::line(format_args!("outrigger-{}-{}", build.version, build.build_type))?,
        None => {
            output::line(format_args!(
                "Version: {}\nBuildType: {}\nTarget: {}",
                build.version, build.build_type, build.target
            ))?;
        }
    }
    Ok(())
}
