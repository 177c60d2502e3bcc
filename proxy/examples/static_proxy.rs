//! Runs a proxy from an Envoy bootstrap file: `static_proxy FILE [WORKERS]`. Admin and metrics are on free ports, which
//! are printed. This is what the benchmarks run beside other proxies.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use outrigger_proxy::Settings;
use outrigger_proxy::control::Source;
use outrigger_proxy::control::bootstrap::Bootstrap;
use outrigger_proxy::plane::PlaneSettings;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(file) = words.next() else {
        eprintln!("usage: static_proxy FILE [WORKERS]");
        return ExitCode::from(64);
    };
    let workers = words.next().and_then(|count| count.parse().ok()).unwrap_or(1);
    match serve(&file, workers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("static_proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(file: &str, workers: usize) -> Result<(), Box<dyn std::error::Error>> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings {
        plane: PlaneSettings {
            workers,
            ..PlaneSettings::default()
        },
        source: Source::Static(Box::new(Bootstrap::read(Path::new(file))?)),
        admin: any,
        metrics: any,
        drain: Settings::DRAIN,
        node_id: String::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let proxy = outrigger_proxy::Proxy::start(settings)?;
        println!(
            "admin http://{} metrics http://{}",
            proxy.admin_address(),
            proxy.metrics_address()
        );
        let interrupted = || async {
            // Without signals the proxy simply runs on.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let second = async {
            interrupted().await;
            interrupted().await;
        };
        proxy.serve(interrupted(), second).await;
        Ok(())
    })
}
