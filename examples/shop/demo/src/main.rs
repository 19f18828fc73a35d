//! The whole shop in one command: starts a broker and the programs, breaks things on purpose, and checks that nothing was
//! lost and nothing happened twice.
//!
//! `story` tells and does it step by step; `broker` and `program` run the processes; `queues` looks into the broker; `audit`
//! compares what the till sold with what billing and inventory wrote.

mod audit;
mod broker;
mod program;
mod queues;
mod story;

use std::{env, fs, path::PathBuf, process::ExitCode};

use shop_link::{Fault, Options, run, say, stop_asked};
use uuid::Uuid;

use crate::{broker::Broker, story::Story};

const USAGE: &str = "
demo: runs the whole shop, breaks it on purpose, and shows that everything adds up

  POLYBUS_BIN=PATH demo       starts the broker at PATH itself, with its data in a temporary folder
  demo --address HOST:PORT    uses a running broker, under names of its own, and cleans up after itself;
                              without --restart-command the broker is not restarted
  --restart-command CMD       how to kill and start again the broker at --address (run by sh -c)
  --quick                     fewer sales: about 10 seconds instead of 30
  --keep                      keeps the folder with the logs and files also when all is well
";

fn main() -> ExitCode {
    run(
        "demo",
        USAGE,
        &["restart-command"],
        &["quick", "keep"],
        demo,
    )
}

async fn demo(options: Options) -> Result<(), Fault> {
    let id = Uuid::new_v4().simple().to_string();
    let id = id.get(..8).unwrap_or(&id);
    let folder = env::temp_dir().join(format!("shop-demo-{id}"));
    let broker = match options.text("address") {
        Some(address) => {
            if options.has("prefix") {
                return Err(Fault::Usage(
                    "the demo chooses its --prefix itself".to_owned(),
                ));
            }
            Broker::running(address, options.text("restart-command"))?
        }
        None if options.has("restart-command") => {
            return Err(Fault::Usage(
                "--restart-command belongs to --address".to_owned(),
            ));
        }
        None => Broker::own(binary()?, &folder)?,
    };
    let prefix = if broker.is_own() {
        String::new()
    } else {
        format!("demo-{id}.")
    };
    fs::create_dir_all(&folder).map_err(|error| {
        Fault::own(
            format_args!("cannot make the folder {}", folder.display()),
            error,
        )
    })?;

    let mut story = Story::new(broker, prefix, folder.clone(), options.has("quick"));
    let result = tokio::select! {
        result = story.tell() => result,
        () = stop_asked() => Err(Fault::Own("stopped before the end".to_owned())),
    };
    story.end().await;
    if result.is_ok() && !options.has("keep") {
        let _ = fs::remove_dir_all(&folder);
    } else {
        say(format_args!(
            "The logs and files of this run: {}",
            folder.display()
        ));
    }
    result
}

/// The broker's binary, as the environment names it.
fn binary() -> Result<PathBuf, Fault> {
    let path = env::var_os("POLYBUS_BIN").map(PathBuf::from).ok_or_else(|| {
        Fault::Usage("which broker? Set POLYBUS_BIN to the polybus binary, or give --address HOST:PORT of a running one".to_owned())
    })?;
    if path.is_file() {
        // The path may be relative to where we are now.
        path.canonicalize()
            .map_err(|error| Fault::own(path.display(), error))
    } else {
        Err(Fault::Usage(format!(
            "POLYBUS_BIN names {}, which is no file; build the broker first",
            path.display()
        )))
    }
}
