//! The binary `polybus`: sockets, TLS, configuration and the command line around the broker. Wiring only.
//!
//! ```text
//! cli -> config -> serve -> listener -> connection (one per socket) -> session | broker
//!    `-> control (client) ~ control.sock ~> control (server) -> broker's administration
//! ```

#[cfg(feature = "mimalloc")]
mod allocator;
mod cli;
mod clock;
mod config;
mod connection;
mod control;
mod http;
mod link;
mod listener;
mod log;
#[cfg(feature = "mimalloc")]
mod memory;
mod monitoring;
mod protocols;
#[cfg(test)]
mod scratch;
mod serve;
mod stop;
mod table;
mod tls;
mod websocket;

use std::process::ExitCode;

use cli::console::{Failure, print, tell};
use cli::{Typed, What};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: allocator::Mimalloc = allocator::Mimalloc;

fn main() -> ExitCode {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let typed = match cli::parse(std::env::args_os(), environment) {
        Ok(typed) => typed,
        Err(error) => {
            let text = error.render().to_string();
            if error.use_stderr() {
                tell(&text);
            } else {
                print(&text);
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(typed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(typed: Typed) -> Result<(), Failure> {
    if let What::Completions { shell } = typed.what {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut cli::command(), "polybus", &mut script);
        print(&String::from_utf8_lossy(&script));
        return Ok(());
    }
    if let What::Bench(args) = &typed.what {
        return cli::commands::bench(args, typed.json);
    }
    let resolved = config::resolve(&typed.sources).map_err(Failure::Wrong)?;
    match typed.what {
        What::Serve => serve::serve(&resolved),
        What::Config => {
            if typed.json {
                print(&format!("{:#}\n", config::as_json(&resolved)));
            } else {
                print(&config::as_table(&resolved));
                for note in &resolved.notes {
                    tell(&format!("polybus: note: {note}\n"));
                }
            }
            Ok(())
        }
        What::Replay(replay) => {
            cli::replay::run(&replay, typed.json, &resolved.config.control_socket())
        }
        what => cli::commands::run(what, typed.json, &resolved.config.control_socket()),
    }
}
