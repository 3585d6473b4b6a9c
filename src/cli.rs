//! The commands. In: the command line. Out: an exit code: 0 fine or allowed, 1 denied or invalid
//! configuration, 2 usage, 3 challenged.

pub mod administration;
pub mod audit;
pub mod check;
pub mod explain;
pub mod locks;
pub mod orphans;
pub mod reach;
pub mod replay;
pub mod schema;
pub mod sessions;
pub mod signals;
pub mod test;

use crate::{app, demo, telemetry};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// A zero-trust, identity-aware reverse proxy for apps that know nothing of identity.
#[derive(Parser)]
#[command(name = "doorward", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy.
    Run {
        /// The configuration file.
        #[arg(short, long, default_value = "config/doorward.yaml")]
        config: PathBuf,
    },
    /// Say everything that is wrong with a configuration file, and warn of what can't be meant.
    Check {
        /// The configuration file.
        #[arg(short, long, default_value = "config/doorward.yaml")]
        config: PathBuf,
    },
    /// Print the JSON Schema of the configuration file, or the schema of policies.
    Schema {
        /// What policies in Cedar's syntax are checked against.
        #[arg(long)]
        cedar: bool,
    },
    /// Say what would be decided of a request, and why; exits with 0 (allow), 1 (deny) or 3 (another sign-in is asked for).
    Explain(Box<explain::Arguments>),
    /// Decide recorded requests again under another configuration: who would lose access, and who would gain it.
    Replay(replay::Arguments),
    /// Try cases of your own against the rules; exits with 0 where all are decided as expected, else with 1.
    Test(test::Arguments),
    /// Look after the audit trail.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Say who could reach an app, and under which conditions: by the rules, not by any log.
    WhoCan(reach::WhoCan),
    /// Say what somebody could reach, and under which conditions.
    WhatCan(reach::WhatCan),
    /// Set up and verify the streams of security events of the process that runs.
    Signals(signals::Arguments),
    /// Say who is signed in at the process that runs, and end sessions there.
    Sessions(sessions::Arguments),
    /// Lock people and devices out at the process that runs, and let them in again.
    Locks(locks::Arguments),
    /// Say who has signed in once and is mentioned by no provider any more.
    Orphans(orphans::Arguments),
    /// Run a whole installation on this machine to try things out: provider, apps, certificates and all.
    Demo {
        /// The port for browsers; the five after it are used too.
        #[arg(long, default_value_t = 8443)]
        port: u16,
        /// Where to keep what the demo makes.
        #[arg(long, default_value = "state/demo")]
        state: PathBuf,
    },
}

/// Everything that ends the process is waited for this long: by then requests have ended.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Two cryptographic providers can be linked in; the choice must not be left to chance. Only a second call fails.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    match arguments.command {
        Command::Run { config } => match app::Inherited::take() {
            Ok(inherited) => run(async move { app::run(&config, inherited, || ()).await.map_err(|error| error.to_string()) }),
            Err(error) => report(Err(format!("the sockets that were handed over can't be taken: {error}"))),
        },
        Command::Check { config } => show(check::check(&config)),
        Command::Schema { cedar: true } => {
            print!("{}", schema::cedar());
            ExitCode::SUCCESS
        }
        Command::Explain(arguments) => show(explain::run(*arguments)),
        Command::Replay(arguments) => show(replay::run(&arguments)),
        Command::Test(arguments) => show(test::run(&arguments)),
        Command::Audit(audit::Command::Verify(arguments)) => show(audit::verify(&arguments)),
        Command::WhoCan(arguments) => show(reach::who(&arguments)),
        Command::WhatCan(arguments) => show(reach::what(&arguments)),
        Command::Signals(arguments) => show(signals::run(arguments)),
        Command::Schema { cedar: false } => {
            report(schema::schema().map(|schema| print!("{schema}")).map_err(|error| error.to_string()))
        }
        Command::Sessions(arguments) => show(sessions::run(arguments)),
        Command::Locks(arguments) => show(locks::run(arguments)),
        Command::Orphans(arguments) => show(orphans::run(&arguments)),
        Command::Demo { port, state } => run(demonstrate(demo::Options { port, state })),
    }
}

async fn demonstrate(options: demo::Options) -> Result<(), String> {
    let demo = demo::prepare(&options).await.map_err(|error| error.to_string())?;
    app::run(&demo.config, app::Inherited::default(), || println!("{}", demo.welcome)).await.map_err(|error| error.to_string())
}

fn run(main: impl Future<Output = Result<(), String>>) -> ExitCode {
    telemetry::logs::start();
    match runtime().map(|runtime| (runtime.block_on(main), runtime)) {
        Ok((outcome, runtime)) => {
            runtime.shutdown_timeout(SHUTDOWN);
            report(outcome)
        }
        Err(error) => report(Err(error.to_string())),
    }
}

/// Control's runtime: the workers have their own.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).thread_name("control").enable_all().build()
}

fn show(verdict: check::Verdict) -> ExitCode {
    eprint!("{}", verdict.problems);
    print!("{}", verdict.output);
    ExitCode::from(verdict.code)
}

fn report(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("doorward: {error}");
            ExitCode::FAILURE
        }
    }
}
