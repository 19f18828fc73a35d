//! A process of the demo, with its output in a file. It never outlives the demo: dropping it kills it.

use std::{
    env,
    ffi::OsStr,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use shop_link::Fault;

/// How many lines of a log are shown when a program failed.
const LINES_SHOWN: usize = 8;

/// A running (or ended) program.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts one of the shop's programs, which lie beside this one; its output goes to `FOLDER/LOG.log`.
    pub(crate) fn of_the_shop(
        name: &str,
        log: &str,
        folder: &Path,
        options: &[&str],
    ) -> Result<Self, Fault> {
        let here = env::current_exe()
            .map_err(|error| Fault::own("cannot find the shop's programs", error))?;
        let path = here.with_file_name(format!("{name}{}", env::consts::EXE_SUFFIX));
        if !path.is_file() {
            return Err(Fault::Own(format!(
                "{} is not built; run `cargo build --manifest-path examples/shop/Cargo.toml` first",
                path.display()
            )));
        }
        Self::start(log, &path, folder, options)
    }

    /// Starts a program; its output is added to `FOLDER/NAME.log`.
    pub(crate) fn start<S: AsRef<OsStr>>(
        name: &str,
        path: &Path,
        folder: &Path,
        words: &[S],
    ) -> Result<Self, Fault> {
        let log = folder.join(format!("{name}.log"));
        let fault = |error| Fault::own(format_args!("cannot start {}", path.display()), error);
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(fault)?;
        let errors = output.try_clone().map_err(fault)?;
        let child = Command::new(path)
            .args(words)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(fault)?;
        Ok(Self {
            name: name.to_owned(),
            log,
            child,
        })
    }

    /// Kills it without warning, as a power cut would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// A fault when it is not running any more.
    pub(crate) fn expect_running(&mut self) -> Result<(), Fault> {
        match self.ended() {
            Some(status) => Err(self.failed(format_args!("ended ({status})"))),
            None => Ok(()),
        }
    }

    /// Everything it has written so far.
    pub(crate) fn output(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// A fault with the last lines of its log.
    pub(crate) fn failed(&self, what: impl std::fmt::Display) -> Fault {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        if lines.is_empty() {
            return Fault::Own(format!("{} {what} and wrote nothing", self.name));
        }
        let last = lines
            .get(lines.len().saturating_sub(LINES_SHOWN)..)
            .unwrap_or_default()
            .join("\n    ");
        Fault::Own(format!("{} {what}; its last lines:\n    {last}", self.name))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
