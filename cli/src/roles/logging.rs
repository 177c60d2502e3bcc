//! Log lines on standard error: text or JSON, with levels that can be set per scope.

use anyhow::{Context, Result, bail};
use clap::Args;
use tracing::level_filters::LevelFilter;
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
        let filter = filter(&self.log_level)?;
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

/// Levels by scope. A word alone must be a level: the library takes any other for a scope, and then logs nothing else.
fn filter(levels: &str) -> Result<EnvFilter> {
    let parts = || levels.split(',').map(str::trim);
    let level = |word: &str| word.parse::<LevelFilter>().is_ok();
    match parts().find(|part| !level(part.rsplit_once('=').map_or(part, |(_, level)| level))) {
        Some(wrong) => bail!(
            "--log-level {wrong:?} is not LEVEL or SCOPE=LEVEL; the levels are off, error, warn, info, debug and trace"
        ),
        None => EnvFilter::try_new(levels).with_context(|| format!("--log-level {levels:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_told_from_slips() {
        for good in ["info", "WARN,outrigger_pilot=debug", "off"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for wrong in ["lud", "outrigger_pilot", "info,xds=lud"] {
            let error = filter(wrong).unwrap_err().to_string();
            assert!(error.contains("the levels are"), "{wrong}: {error}");
        }
    }
}
