use super::*;
use crate::scratch::assert_same;

fn typed(line: &str) -> Result<Typed, clap::Error> {
    let words = line.split_whitespace().map(Into::into);
    parse(std::iter::once("polybus".into()).chain(words), Vec::new())
}

#[test]
fn the_command_line_holds_together() {
    command().debug_assert();
}

#[test]
fn settings_are_flags_of_serve_and_the_folder_of_all() {
    let serve = typed("--data d serve --amqp-listen off --durability none").unwrap();
    let expected = [
        ("data", "d"),
        ("durability", "none"),
        ("amqp.listen", "off"),
    ];
    assert_eq!(
        serve.sources.flags,
        expected.map(|(key, value)| (key, value.to_owned()))
    );
    let list = typed("queues list --data d --json --config c.toml").unwrap();
    assert_eq!(list.sources.flags, [("data", "d".to_owned())]);
    assert_eq!(list.sources.file, Some("c.toml".into()));
    assert!(list.json);
    assert!(typed("queues list --durability none").is_err());
}

#[test]
fn typos_are_told_with_what_was_meant() {
    for (line, meant) in [
        ("serve --amqp-lisen off", "'--amqp-listen'"),
        ("serv", "'serve'"),
        ("queues lst", "'list'"),
    ] {
        let error = typed(line).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(meant), "{error}");
    }
}

#[test]
fn bench_has_its_own_flags_beside_those_of_all() {
    let bench = typed("bench --workload ack-16b window-1 --seconds 0.5 --json").unwrap();
    assert!(bench.json);
    let What::Bench(args) = bench.what else {
        unreachable!("that is another command");
    };
    assert_eq!(args.workloads, ["ack-16b", "window-1"]);
    assert_eq!(args.address, "127.0.0.1:5672");
}

/// Each command's help, one after the other.
fn helps(command: &mut Command, path: &str, page: &mut String) {
    let help = command.render_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let name = if path.is_empty() { "polybus" } else { path };
    page.push_str(&format!(
        "\n## {name}\n```text\n{}\n```\n",
        lines.join("\n").trim_end()
    ));
    let names: Vec<String> = command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    for inner in names {
        if let Some(found) = command.find_subcommand_mut(&inner) {
            helps(found, &format!("{name} {inner}"), page);
        }
    }
}

const HEAD: &str = "\
# Command line
<!-- Made from crates/server/src/cli.rs; `BLESS=1 cargo test -p polybus-server` writes it anew. -->

`polybus serve` runs the broker; `polybus bench` speaks AMQP to any broker; every other command talks to a running polybus over its control
socket, `control.sock` in the data folder (only the user that runs the broker may open it). A broker elsewhere than `./data` is named with `--data` or `--control-socket`, or by the
same configuration as its own.

| exit code | |
|---|---|
| 0 | it is done; for `serve`: it was stopped by a signal and everything is on disk; for `status`: the broker is ready |
| 1 | it failed: the broker refused, the message went nowhere, `serve` could not start or its disk failed |
| 2 | the command line or the configuration is wrong |
| 3 | no broker answers |

`polybus bench` declares queues and a topic whose names begin with `polybus-bench`, publishes and consumes, checks that nothing was lost,
doubled or reordered (which would be a failure, not a figure), and deletes them. On a terminal a line on the standard error output tells how
far it is; the table (or JSON) goes to the standard output. With `--pid` of a broker on the same machine it also measures its processor time and
memory. What each workload came to on one machine, beside RabbitMQ: [performance.md](performance.md).

`polybus serve` prints what listens where, how durable it is and what to try next, and then a line `ready` on the standard output.
The log goes to the standard error output. SIGTERM and SIGINT stop it: clients are told, everything is written; a second signal ends it at once.
";

#[test]
fn the_reference_page_is_what_the_helps_say() {
    // As written: dev-dependencies of the workspace may switch on the wrapping of helps.
    let mut command = command().term_width(0);
    command.build();
    let mut page = HEAD.to_owned();
    helps(&mut command, "", &mut page);
    assert_same(&page, "../../docs/reference/command-line.md");
}
