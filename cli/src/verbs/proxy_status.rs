//! `proxy-status`: which proxies are connected, and how far each has followed.

use clap::Args;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;
use crate::pilot::{Pilot, PilotArgs, Proxy, Registry, Sync};
use crate::verbs::get::aligned;

/// Show every connected proxy and whether it runs the newest configuration
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  outrigger proxy-status
  outrigger proxy-status reviews-v2
  outrigger proxy-status -o wide     with the version that each runs, and since when it is connected
  outrigger ps -o json")]
pub(crate) struct ProxyStatusArgs {
    /// Only this proxy: its id, or a part of it
    proxy: Option<String>,
    /// Form
    #[arg(short, long, value_enum)]
    output: Option<Form>,
    #[command(flatten)]
    pilot: PilotArgs,
}

/// Other forms than the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// The table, with the version of the store that each proxy runs and since when it is connected.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Prints it.
pub(crate) async fn run(args: ProxyStatusArgs, connection: &Connection) -> Result<(), Failure> {
    let pilot = Pilot::new(&args.pilot, connection)?;
    let mut proxies = pilot.proxies().await?;
    if let Some(wanted) = &args.proxy {
        proxies.retain(|proxy| proxy.id.contains(wanted.as_str()));
        if proxies.is_empty() {
            return Err(Failure::one(format!(
                "no connected proxy's id contains {wanted:?}"
            )));
        }
    }
    match args.output {
        Some(Form::Json) => output::line(output::json(&proxies)?)?,
        Some(Form::Yaml) => output::put(output::yaml(&proxies)?)?,
        form => {
            if proxies.is_empty() {
                output::line(format_args!("No proxies are connected to {}.", pilot.address()))?;
            } else {
                output::put(table(&proxies, pilot.address(), form == Some(Form::Wide)))?;
            }
            let refused = proxies.iter().flat_map(|proxy| {
                let id = &proxy.id;
                proxy
                    .refusals
                    .iter()
                    .map(move |refusal| format!("{id} refused {refusal}"))
            });
            let registries = pilot.registries().await?;
            let red = anstyle::AnsiColor::Red.on_default();
            for line in refused.chain(registries.iter().filter_map(Registry::trouble)) {
                output::line(format_args!("{red}{line}{red:#}"))?;
            }
        }
    }
    Ok(())
}

/// The columns of the reference, and two more when wide.
fn table(proxies: &[Proxy], pilot: &str, wide: bool) -> String {
    let pilot = pilot.split_once("://").map_or(pilot, |(_, address)| address);
    let mut header = vec!["PROXY", "CDS", "LDS", "EDS", "RDS", "PILOT", "VERSION"];
    if wide {
        header.extend(["GENERATION", "CONNECTED SINCE"]);
    }
    let mut rows = vec![header.into_iter().map(str::to_owned).collect()];
    for proxy in proxies {
        let endpoints = match proxy.endpoints {
            Sync::Synced => format!("{} ({}%)", proxy.endpoints, proxy.endpoint_percent),
            other => other.to_string(),
        };
        let mut row = vec![
            proxy.id.clone(),
            proxy.clusters.to_string(),
            proxy.listeners.to_string(),
            endpoints,
            proxy.routes.to_string(),
            pilot.to_owned(),
            proxy.version.clone(),
        ];
        if wide {
            row.extend([proxy.acked_version.to_string(), proxy.since.clone()]);
        }
        rows.push(row);
    }
    aligned(&rows, |width| width + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_those_of_the_reference() {
        let proxy = Proxy {
            id: "web".into(),
            acked_version: 3,
            version: "1".into(),
            since: "2020-01-01T00:00:00Z".into(),
            clusters: Sync::Synced,
            listeners: Sync::Refused,
            endpoints: Sync::Synced,
            endpoint_percent: 100,
            routes: Sync::NotSent,
            refusals: Vec::new(),
        };

        assert_eq!(
            table(&[proxy], "http://127.0.0.1:15007", false),
            "PROXY  CDS     LDS      EDS            RDS       PILOT            VERSION\n\
             web    SYNCED  REFUSED  SYNCED (100%)  NOT SENT  127.0.0.1:15007  1\n"
        );
    }
}
