//! Runs one bar: `bar C1 [--short]`. Prints the figure last; exit code 0 when the promise holds, else 1.

use std::process::ExitCode;

use clap::Parser;
use outrigger_tests::bars::{self, Length};

/// Hold one promise to its figure
#[derive(Parser)]
struct Args {
    /// A1, B1, C1, D1 or X3
    name: String,
    /// Fewer rounds, same assertions
    #[arg(long)]
    short: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    // A second provider can only have been installed by this very line: there is no other.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args = Args::parse();
    let length = if args.short { Length::Short } else { Length::Full };
    let began = std::time::Instant::now();
    let outcome = match args.name.to_ascii_uppercase().as_str() {
        "A1" => bars::a1::run(length).await,
        "B1" => bars::b1::run(length).await,
        "C1" => bars::c1::run(length).await,
        "D1" => bars::d1::run(length).await,
        "X3" => bars::x3::run(length).await,
        other => {
            eprintln!("there is no bar {other:?}; expected A1, B1, C1, D1 or X3");
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(figure) => {
            let verdict = if figure.holds {
                "1 passed, 0 failed"
            } else {
                "0 passed, 1 failed"
            };
            println!("{verdict} in {:.1} s", began.elapsed().as_secs_f64());
            println!("{}", figure.line);
            if figure.holds {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("{}: {error:#}", args.name);
            ExitCode::FAILURE
        }
    }
}
