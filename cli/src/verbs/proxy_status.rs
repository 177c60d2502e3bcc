//! `proxy-status`: which proxies are connected, and how far each has followed.

use clap::Args;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;
use crate::pilot::{Pilot, PilotArgs, Proxy};

/// Show every connected proxy and whether it runs the newest configuration
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  outrigger proxy-status
  outrigger proxy-status reviews-v2
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

/// Machine-readable forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
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
        Some(Form::Json) => anstream::println!("{}", output::json(&proxies)?),
        Some(Form::Yaml) => anstream::print!("{}", output::yaml(&proxies)?),
        None if proxies.is_empty() => anstream::println!("No proxies are connected to {}.", pilot.address()),
        None => print(&proxies),
    }
    Ok(())
}

fn print(proxies: &[Proxy]) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["PROXY", "CDS", "LDS", "EDS", "RDS", "GENERATION", "VERSION"]);
    for proxy in proxies {
        table.add_row([
            proxy.id.clone(),
            proxy.clusters.to_string(),
            proxy.listeners.to_string(),
            proxy.endpoints.to_string(),
            proxy.routes.to_string(),
            proxy.acked_version.to_string(),
            proxy.version.clone(),
        ]);
    }
    anstream::println!("{}", table.trim_fmt());
    let red = anstyle::AnsiColor::Red.on_default();
    for (id, refusal) in proxies
        .iter()
        .filter_map(|proxy| Some((&proxy.id, proxy.refusal.as_ref()?)))
    {
        anstream::println!("{red}{id} refused {refusal}{red:#}");
    }
}
