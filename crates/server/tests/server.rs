//! The binary as people and programs meet it: started, asked, stopped.
#![allow(clippy::unwrap_used)] // Helpers of tests are no tests to clippy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A folder of its own for each test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("polybus-server-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polybus"));
        command
            .current_dir(&self.0)
            .args(line.split_whitespace())
            .stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POLYBUS_")) {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs a command that succeeds; gives what it prints.
    fn ask(&self, line: &str) -> String {
        let output = self.run(line);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "polybus {line}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that fails; gives its exit code and its one line.
    fn fail(&self, line: &str) -> (i32, String) {
        let output = self.run(line);
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), error)
    }

    /// Starts a broker and waits until it is ready.
    fn serve(&self, flags: &str) -> Broker {
        let mut command = self.command(&format!(
            "serve --log-level warn --kafka-listen off --nats-listen off {flags}"
        ));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.ends_with("\nready\n") {
            assert!(
                out.read_line(&mut said).unwrap() > 0,
                "it ended before it was ready: {said}"
            );
        }
        Broker { child, said }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

struct Broker {
    child: Child,
    said: String,
}

impl Broker {
    fn port(&self) -> u16 {
        let line = self
            .said
            .lines()
            .find(|line| line.trim_start().starts_with("amqp "))
            .unwrap();
        let address = line.split_whitespace().nth(1).unwrap();
        address.rsplit(':').next().unwrap().parse().unwrap()
    }

    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn it_is_asked_and_stopped() {
    let folder = Folder::new();
    let broker = folder.serve("--amqp-listen 127.0.0.1:0");
    assert!(folder.ask("status").starts_with("state        ready\n"));
    assert!(
        folder
            .ask("status --json")
            .contains(&format!("127.0.0.1:{}", broker.port()))
    );
    assert_eq!(folder.ask("namespaces list"), "NAME\n/\n");
    assert!(folder.ask("topics list").contains("amq.topic"));
    assert!(folder.ask("queues list").starts_with("NAME"));
    assert_eq!(folder.ask("queues list --json"), "[]\n");
    let unrouted = "polybus: no queue took the message: nothing is bound for that topic and key\n";
    assert_eq!(
        folder.fail("publish --key nowhere --body x"),
        (1, unrouted.into())
    );
    let (code, error) = folder.fail("queues purge nowhere");
    assert_eq!(code, 1);
    assert!(
        error.contains("'nowhere'") && error.lines().count() == 1,
        "{error}"
    );
    broker.stop();
    let gone = "polybus: no broker answers at ./data/control.sock; start one with `polybus serve`, or name its folder with --data\n";
    assert_eq!(folder.fail("status"), (3, gone.into()));
}

#[test]
fn a_topic_is_given_a_log_that_is_replayed() {
    let folder = Folder::new();
    let broker = folder.serve("--amqp-listen 127.0.0.1:0");
    // A topic that was there before: RabbitMQ's exchange.
    folder.ask("topics log add amq.fanout --retention 7d --retention-size 1GiB --partitions 2");
    let shown = folder.ask("topics log list");
    assert!(
        shown.contains("amq.fanout") && shown.contains("604800000"),
        "{shown}"
    );
    assert!(shown.contains("1073741824"), "{shown}");
    for body in ["one", "two"] {
        folder.ask(&format!("publish --topic amq.fanout --key k --body {body}"));
    }
    let replay = folder.ask("replay amq.fanout --to topic amq.topic --dry-run --json");
    assert!(replay.contains("\"copied\": 2"), "{replay}");
    let (code, error) = folder.fail("topics log add amq.fanout");
    assert_eq!(
        (code, error.as_str()),
        (1, "polybus: topic 'amq.fanout' has a log already\n")
    );
    folder.ask("topics log set amq.fanout --retention off --retention-size off");
    let shown = folder.ask("topics log list --json");
    assert!(shown.contains("\"retention_ms\": null"), "{shown}");
    assert!(shown.contains("\"retention_bytes\": null"), "{shown}");
    let (code, error) = folder.fail("topics log set amq.fanout --partitions 1");
    assert!(code == 1 && error.lines().count() == 1, "{error}");
    let (code, error) = folder.fail("queues delete amq.fanout");
    assert!(
        code == 1 && error.contains("polybus topics log delete"),
        "{error}"
    );
    broker.stop();
    let broker = folder.serve("--amqp-listen 127.0.0.1:0");
    assert!(folder.ask("topics log list").contains("amq.fanout"));
    folder.ask("topics log delete amq.fanout");
    assert!(!folder.ask("topics log list").contains("amq.fanout"));
    assert!(
        folder.ask("topics list").contains("amq.fanout"),
        "the topic was there before"
    );
    assert_eq!(folder.fail("topics log delete amq.fanout").0, 1);
    broker.stop();
}

#[test]
fn users_namespaces_and_permissions_survive_a_restart() {
    let folder = Folder::new();
    let broker = folder.serve("--amqp-listen off");
    folder.ask("users add billing --password secret --tag monitoring");
    folder.ask("namespaces add shop");
    assert!(folder.ask("namespaces add shop").contains("already"));
    folder.ask("permissions set billing --namespace shop --configure ^$ --write sales.* --read .*");
    let (code, error) = folder.fail("users add billing --password other");
    assert!(
        code == 1 && error.contains("'billing' exists already"),
        "{error}"
    );
    broker.stop();

    let broker = folder.serve("--amqp-listen off");
    let users = folder.ask("users list");
    assert!(
        users
            .lines()
            .any(|line| line.split_whitespace().eq(["billing", "yes", "monitoring"])),
        "{users}"
    );
    let permissions = folder.ask("permissions list");
    let expected = ["billing", "shop", "^$", "sales.*", ".*"];
    assert!(
        permissions
            .lines()
            .any(|line| line.split_whitespace().eq(expected)),
        "{permissions}"
    );
    folder.ask("users delete billing");
    assert!(!folder.ask("permissions list").contains("billing"));
    broker.stop();
}

#[test]
fn a_password_may_come_on_the_standard_input() {
    let folder = Folder::new();
    let _broker = folder.serve("--amqp-listen off");
    let mut adding = folder
        .command("users add inventory")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    adding.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    assert!(adding.wait().unwrap().success());
    let (code, error) = folder.fail("users add other");
    assert!(
        code == 2 && error.contains("the password is empty"),
        "{error}"
    );
}

#[test]
fn a_taken_port_and_a_locked_folder_are_told_with_the_way_out() {
    let folder = Folder::new();
    let broker = folder.serve("--amqp-listen 127.0.0.1:0");
    let port = broker.port();
    let (code, error) = folder.fail(&format!(
        "serve --data other --kafka-listen off --nats-listen off --amqp-listen 127.0.0.1:{port}"
    ));
    assert_eq!(code, 1);
    assert!(
        error.contains(&format!("amqp.listen: port {port} is taken")),
        "{error}"
    );
    assert!(error.contains("--amqp-listen"), "{error}");
    let (code, error) = folder
        .fail("serve --amqp-listen off --kafka-listen off --nats-listen off --log-level error");
    assert_eq!(code, 1);
    assert!(
        error.contains("data") && error.lines().count() == 1,
        "{error}"
    );
    // The one that runs is not disturbed.
    folder.ask("status");
}

#[test]
fn a_broker_that_was_killed_starts_again_in_its_folder() {
    let folder = Folder::new();
    let mut broker = folder.serve("--amqp-listen off");
    folder.ask("namespaces add shop");
    broker.child.kill().unwrap();
    broker.child.wait().unwrap();
    assert!(Path::new(&folder.0).join("data/control.sock").exists());
    assert_eq!(folder.fail("status").0, 3);
    let _broker = folder.serve("--amqp-listen off");
    assert_eq!(folder.ask("namespaces list"), "NAME\n/\nshop\n");
}

#[test]
fn whoever_is_past_the_limit_or_silent_is_closed() {
    let folder = Folder::new();
    let broker = folder
        .serve("--amqp-listen 127.0.0.1:0 --limits-connections 1 --amqp-handshake-timeout 300ms");
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", broker.port())).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream
    };
    let mut first = connect();
    let mut past = connect();
    assert_eq!(past.read(&mut [0; 9]).unwrap_or(0), 0);
    assert_eq!(first.read(&mut [0; 9]).unwrap_or(0), 0);
}

#[test]
fn another_protocol_is_told_what_is_spoken_here() {
    let folder = Folder::new();
    let broker = folder.serve("--amqp-listen 127.0.0.1:0");
    let mut stream = TcpStream::connect(("127.0.0.1", broker.port())).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"AMQP\0\0\x09\x01");
}

#[test]
fn settings_in_force_and_mistakes_in_them() {
    let folder = Folder::new();
    std::fs::write(
        folder.0.join("polybus.toml"),
        "[amqp]\nlisten = \"127.0.0.1:1\"\n",
    )
    .unwrap();
    let shown = folder.ask("config --durability none");
    assert!(
        shown.lines().any(|line| line.split_whitespace().eq([
            "amqp.listen",
            "127.0.0.1:1",
            "polybus.toml:2"
        ])),
        "{shown}"
    );
    assert!(
        shown.lines().any(|line| line.split_whitespace().eq([
            "durability",
            "none",
            "flag",
            "--durability"
        ])),
        "{shown}"
    );
    std::fs::write(
        folder.0.join("polybus.toml"),
        "[amqp]\nlissen = \"127.0.0.1:1\"\n",
    )
    .unwrap();
    let error =
        "polybus: polybus.toml:2: 'amqp.lissen' is no setting; did you mean 'amqp.listen'?\n";
    assert_eq!(folder.fail("serve"), (2, error.into()));
    assert_eq!(folder.fail("config --config none.toml").0, 2);
}

#[test]
fn completions_for_every_shell() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            folder
                .ask(&format!("completions {shell}"))
                .contains("amqp-listen"),
            "{shell}"
        );
    }
}
