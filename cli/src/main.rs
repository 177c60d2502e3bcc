//! The binary: one program that is every role of the mesh and every verb of its operator.
//!
//! Called by the name `istioctl` it answers in that voice, with the verbs and flags that existing scripts use.

mod args;
mod connection;
mod demo;
mod failure;
mod input;
mod kubeconfig;
mod object;
mod output;
mod pilot;
mod roles;
mod suggest;
mod verbs;

use std::process::ExitCode;

use failure::Failure;

fn main() -> ExitCode {
    // A second provider can only have been installed by this very line: there is no other.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let called_by = args::called_by(std::env::args_os().next());
    let call = match args::parse(&called_by, std::env::args_os()) {
        Ok(call) => call,
        Err(refusal) => return refusal,
    };
    match args::dispatch(call, &called_by) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => Failure::report(failure),
    }
}
