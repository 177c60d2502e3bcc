//! Log lines on standard error: text or JSON, with levels that can be set per scope.

use anyhow::{Context, Result};
use clap::Args;
use tracing_subscriber::EnvFilter;

/// How a role logs.
#[derive(Args, Clone, Debug)]
pub(crate) struct Logging {
    /// Levels, as LEVEL or SCOPE=LEVEL separated by commas
    #[arg(
        long,
        env = "OUTRIGGER_LOG",
        value_name = "LEVELS",
        default_value = "info",
        help_heading = "Logging"
    )]
    log_level: String,
    /// One JSON object a line
    #[arg(long, env = "OUTRIGGER_LOG_JSON", help_heading = "Logging")]
    log_json: bool,
}

impl Logging {
    /// Starts logging for the whole process.
    pub(crate) fn start(&self) -> Result<()> {
        let filter = EnvFilter::try_new(&self.log_level)
            .with_context(|| format!("--log-level {:?} is not LEVEL or SCOPE=LEVEL", self.log_level))?;
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        let started = if self.log_json {
            builder.json().try_init()
        } else {
            builder.with_ansi(false).try_init()
        };
        started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
    }
}
