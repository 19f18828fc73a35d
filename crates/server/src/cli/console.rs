//! The person at the console: what is printed, what is asked, how it ends.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Passwords and bodies from the standard input are not longer.
const INPUT_BYTES_MAX: u64 = 512 << 20;

/// How a command fails.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It could not be done: exit code 1.
    Failed(String),
    /// The command line or the configuration is wrong: exit code 2.
    Wrong(String),
    /// No broker answers: exit code 3.
    Unreachable(String),
}

impl Failure {
    /// Tells the reason and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (code, reason) = match self {
            Self::Failed(reason) => (1, reason),
            Self::Wrong(reason) => (2, reason),
            Self::Unreachable(reason) => (3, reason),
        };
        tell(&format!("polybus: {reason}\n"));
        ExitCode::from(code)
    }
}

/// Prints to the standard output. Whoever closed it does not want more.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Prints to the standard error output.
pub(crate) fn tell(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// A password: asked for without showing it, or the first line of the standard input.
pub(crate) fn password(user: &str) -> Result<String, Failure> {
    let input = io::stdin();
    let mut line = String::new();
    let read = if input.is_terminal() {
        tell(&format!("Password for {user}: "));
        let read = hidden(|| input.lock().take(64 * 1024).read_line(&mut line));
        tell("\n");
        read
    } else {
        input.lock().take(64 * 1024).read_line(&mut line)
    };
    read.map_err(|error| Failure::Failed(format!("cannot read the password: {error}")))?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(Failure::Wrong(
            "the password is empty; give one with --password or on the standard input".into(),
        ));
    }
    Ok(password.to_owned())
}

/// Everything on the standard input.
pub(crate) fn input() -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    let read = io::stdin()
        .lock()
        .take(INPUT_BYTES_MAX)
        .read_to_end(&mut all);
    read.map_err(|error| Failure::Failed(format!("cannot read the standard input: {error}")))?;
    Ok(all)
}

/// Reads while the terminal does not show what is typed.
fn hidden<T>(read: impl FnOnce() -> T) -> T {
    let Ok(before) = tcgetattr(io::stdin()) else {
        return read();
    };
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &quiet);
    let result = read();
    let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &before);
    result
}
