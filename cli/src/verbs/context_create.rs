//! `context-create`: writes the API server's address where every later command finds it.

use clap::Args;

use crate::connection::{Connection, address_of_server};
use crate::failure::Failure;
use crate::kubeconfig::Kubeconfig;
use crate::output;

/// Write a kubeconfig context for a config API server
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  outrigger context-create --api-server http://127.0.0.1:8080
  outrigger context-create --api-server http://10.0.0.5:8080 --context mesh")]
pub(crate) struct ContextCreateArgs {
    /// Address of the config API server
    #[arg(long, value_name = "URL")]
    api_server: Option<String>,
    /// Name of the context
    #[arg(long, value_name = "NAME", default_value = "istio")]
    context: String,
}

/// Adds the context to the kubeconfig and makes it current.
pub(crate) fn run(args: &ContextCreateArgs, connection: &Connection) -> Result<(), Failure> {
    let Some(server) = &args.api_server else {
        return Err(Failure::Usage(
            "specify the the Istio api server IP (--api-server URL)".into(),
        ));
    };
    let server = address_of_server(server, "--api-server")?;
    let mut config = Kubeconfig::read(&Kubeconfig::default_path(connection.kubeconfig.as_deref()))?;
    let created = config.create_context(&args.context, &server);
    config.write()?;
    if created.switched {
        output::line(format_args!("kubeconfig context switched to {:?}", args.context))?;
    }
    output::line("Context created")?;
    Ok(())
}
