//! What every `main` does: read the options, run, and turn a fault into one line and an exit code.

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use crate::{Fault, Options};

/// The options that every program has.
const VALUED_ALWAYS: [&str; 2] = ["address", "prefix"];

/// Writes a line to the console. Unlike `println!` it does not panic when nobody reads any more (`pos | head`).
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Runs a program: exit code 0 when it is done, 1 after a fault, 2 when it was called wrongly.
pub fn run<F>(
    program: &str,
    usage: &str,
    valued: &[&str],
    flags: &[&str],
    main: impl FnOnce(Options) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), Fault>>,
{
    let words = || std::env::args().skip(1);
    if words().any(|word| word == "--help" || word == "-h") {
        say(usage.trim());
        return ExitCode::SUCCESS;
    }
    let valued: Vec<&str> = VALUED_ALWAYS.iter().chain(valued).copied().collect();
    let result = Options::read(words(), &valued, flags).and_then(|options| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Fault::own("cannot start the runtime", error))?;
        let result = runtime.block_on(main(options));
        // A thread that waits for the keyboard must not keep the program alive.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let _ = writeln!(io::stderr().lock(), "{program}: {fault}");
            if matches!(fault, Fault::Usage(_)) {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Returns when someone asks the program to stop: Ctrl-C, or the usual signal of service managers.
pub async fn stop_asked() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
