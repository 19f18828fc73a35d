//! The story: what happens, in order, with a line for whoever meets messaging for the first time.

use std::{fmt, path::PathBuf, time::Duration};

use shop_contracts::{ATTEMPTS_MAX, Names};
use shop_link::{Address, Fault, say};
use tokio::time::{Instant, sleep};

use crate::{
    audit::{Booked, Invoiced, Report, Sold},
    broker::Broker,
    program::Program,
    queues,
};

/// How long anything may take before the demo gives up waiting for it.
const PATIENCE_S: u64 = 45;
/// Pieces of each product at the start.
const STOCK_INITIAL: &str = "10000";

/// How much happens.
#[derive(Clone, Copy, Debug)]
struct Scale {
    sales: u64,
    rate: u64,
    pause: Duration,
    outage: Duration,
}

/// The demo while it runs.
#[derive(Debug)]
pub(crate) struct Story {
    broker: Broker,
    prefix: String,
    names: Names,
    folder: PathBuf,
    scale: Scale,
    begun: Instant,
    /// How many sales the till was told to make.
    planned: u64,
    /// Whether there is anything on the broker to clean up.
    opened: bool,
    billing: Option<Program>,
    inventory: Option<Program>,
    pos: Option<Program>,
}

impl Story {
    pub(crate) fn new(broker: Broker, prefix: String, folder: PathBuf, quick: bool) -> Self {
        let scale = if quick {
            Scale {
                sales: 320,
                rate: 80,
                pause: Duration::from_millis(700),
                outage: Duration::from_millis(300),
            }
        } else {
            Scale {
                sales: 1200,
                rate: 50,
                pause: Duration::from_secs(4),
                outage: Duration::from_secs(2),
            }
        };
        Self {
            names: Names::with_prefix(&prefix),
            broker,
            prefix,
            folder,
            scale,
            begun: Instant::now(),
            planned: 0,
            opened: false,
            billing: None,
            inventory: None,
            pos: None,
        }
    }

    /// Plays the whole story.
    pub(crate) async fn tell(&mut self) -> Result<(), Fault> {
        self.open_the_shop().await?;
        self.sell().await?;
        self.stop_billing_for_a_while().await?;
        self.send_a_broken_message().await?;
        self.pull_the_plug().await?;
        self.wait_for_the_end().await?;
        self.audit().await
    }

    /// Ends what still runs, and leaves nothing behind on a broker of others.
    pub(crate) async fn end(&mut self) {
        (self.pos, self.billing, self.inventory) = (None, None, None);
        if !self.broker.is_own()
            && self.opened
            && let Ok(address) = self.address()
            && let Err(fault) = queues::clean_up(&address, &self.names).await
        {
            say(format_args!(
                "Could not remove the demo's queues ({}...): {fault}",
                self.prefix
            ));
        }
        self.broker.stop();
    }

    async fn open_the_shop(&mut self) -> Result<(), Fault> {
        if self.broker.is_own() {
            self.step("Start the broker: the post office between the programs. It keeps each message on disk until it is dealt with.");
        } else {
            self.step("Use the broker that runs already, with names that begin with `demo-`, so that nothing else is touched.");
        }
        self.broker.start().await?;
        self.detail(format_args!("the broker is ready at {}", self.address()?));

        self.step("Start billing (writes invoices) and inventory (keeps the stock). Each gets a queue: its own mailbox.");
        self.opened = true;
        self.start_billing()?;
        let options = ["--db", "inventory.sqlite", "--initial", STOCK_INITIAL];
        self.inventory = Some(self.program("inventory", &options)?);
        for queue in [
            self.names.billing_queue.clone(),
            self.names.inventory_queue.clone(),
        ] {
            self.wait_for_consumer(&queue).await?;
            self.detail(format_args!("{queue} is there, and someone listens"));
        }
        Ok(())
    }

    async fn sell(&mut self) -> Result<(), Fault> {
        let Scale {
            sales, rate, pause, ..
        } = self.scale;
        self.step(format_args!(
            "Start pos, the till: {sales} sales, {rate} a second. It publishes each once; the broker puts a copy into both queues."
        ));
        self.start_pos(sales)?;
        sleep(pause).await;
        self.show_progress()
    }

    async fn stop_billing_for_a_while(&mut self) -> Result<(), Fault> {
        self.keep_selling().await?;
        self.step("Kill billing, in the middle of its work. Nobody else has to care: its messages wait in the queue.");
        if let Some(mut billing) = self.billing.take() {
            billing.kill();
        }
        sleep(self.scale.pause).await;
        self.show_progress()?;
        let address = self.address()?;
        let queue = self.names.billing_queue.clone();
        let waiting = queues::depth(&address, &queue)
            .await?
            .unwrap_or_default()
            .waiting;
        self.detail(format_args!("{waiting} messages wait in {queue}"));
        if waiting == 0 {
            return Err(Fault::Own(format!(
                "no message waits in {queue}, though billing is stopped and pos sells"
            )));
        }

        self.step("Start billing again. It works off what waited; what it had in hand when it died is delivered again.");
        self.start_billing()?;
        let deadline = self.deadline();
        while queues::depth(&address, &queue)
            .await?
            .unwrap_or_default()
            .waiting
            > 0
        {
            self.expect_running()?;
            self.expect_before(deadline, "billing did not catch up")?;
            sleep(Duration::from_millis(100)).await;
        }
        self.detail("billing has caught up");
        Ok(())
    }

    async fn send_a_broken_message(&mut self) -> Result<(), Fault> {
        self.step(format_args!(
            "Publish a broken message that nobody can read. Inventory tries it {ATTEMPTS_MAX} times, then it is put aside as a dead letter."
        ));
        let mut bad = self.program_logged("pos", "pos-bad", &["--bad", "1"])?;
        let deadline = self.deadline();
        let address = self.address()?;
        let letters = [
            self.names.billing_dead_letters.clone(),
            self.names.inventory_dead_letters.clone(),
        ];
        for queue in &letters {
            while queues::depth(&address, queue)
                .await?
                .unwrap_or_default()
                .waiting
                == 0
            {
                self.expect_running()?;
                self.expect_before(
                    deadline,
                    format_args!("the broken message did not arrive in {queue}"),
                )?;
                sleep(Duration::from_millis(100)).await;
            }
        }
        while bad.ended().is_none() {
            self.expect_before(deadline, "the broken message was not confirmed")?;
            sleep(Duration::from_millis(50)).await;
        }
        self.detail(format_args!(
            "it lies in {} and {}; the sales behind it went on",
            letters[0], letters[1]
        ));
        Ok(())
    }

    async fn pull_the_plug(&mut self) -> Result<(), Fault> {
        if !self.broker.can_restart() {
            self.step("Left out: killing the broker, since it is not ours. (--restart-command tells how, or POLYBUS_BIN starts one.)");
            return Ok(());
        }
        self.step("Kill the broker itself (SIGKILL, like a power cut) while pos is publishing, and start it again.");
        self.keep_selling().await?;
        self.show_progress()?;
        self.broker.kill_and_restart(self.scale.outage).await?;
        self.detail("the broker is back, with what was on its disk; the programs connect again by themselves");
        self.detail("pos publishes again what was not confirmed, with the same sale ids");
        Ok(())
    }

    async fn wait_for_the_end(&mut self) -> Result<(), Fault> {
        self.step("Let pos finish, and billing and inventory work off the rest.");
        let deadline = self.deadline();
        let summary = self.wait_for_pos().await?;
        self.detail(summary);
        let sold = self.sold()?.count();
        // What is still missing at the deadline is for the audit to tell.
        while (self.invoiced()?.count() < sold || self.booked()?.count() < sold)
            && Instant::now() < deadline
        {
            self.expect_running()?;
            sleep(Duration::from_millis(100)).await;
        }
        // Acks travel after the work is done.
        sleep(Duration::from_millis(300)).await;
        Ok(())
    }

    async fn audit(&mut self) -> Result<(), Fault> {
        self.step("The audit: does everything add up?");
        let address = self.address()?;
        let (sold, invoiced, booked) = (self.sold()?, self.invoiced()?, self.booked()?);
        let mut report = Report::default();
        report.invoices(&sold, self.planned, &invoiced);
        report.stock(&sold, &booked);
        for queue in [&self.names.billing_queue, &self.names.inventory_queue] {
            report.empty(
                queue,
                queues::depth(&address, queue)
                    .await?
                    .map(|depth| depth.waiting),
            );
        }
        let names = &self.names;
        for (name, from, attempts) in [
            (
                &names.inventory_dead_letters,
                &names.inventory_queue,
                ATTEMPTS_MAX,
            ),
            (&names.billing_dead_letters, &names.billing_queue, 1),
        ] {
            let letters = queues::dead_letters(&address, name).await?;
            report.dead_letter(name, from, attempts, &letters);
        }
        let again = |program: &Option<Program>, words: &str| {
            program
                .as_ref()
                .map_or(0, |program| program.output().matches(words).count())
        };
        self.detail(format_args!(
            "messages that came a second time and were recognised: {} at billing, {} at inventory",
            again(&self.billing, "is invoiced already"),
            again(&self.inventory, "is booked already"),
        ));
        report.finish()?;
        say(format_args!(
            "\nEverything adds up: {} sales, each invoiced once and booked once. ({:.0} seconds)",
            sold.count(),
            self.begun.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// Waits until pos has done all that it was told, and returns its last line.
    async fn wait_for_pos(&mut self) -> Result<String, Fault> {
        let Some(mut pos) = self.pos.take() else {
            return Ok(String::new());
        };
        let deadline = self.deadline();
        let status = loop {
            if let Some(status) = pos.ended() {
                break status;
            }
            self.expect_running()?;
            if Instant::now() > deadline {
                return Err(pos.failed(format_args!("was not done after {PATIENCE_S} seconds")));
            }
            sleep(Duration::from_millis(100)).await;
        };
        if !status.success() {
            return Err(pos.failed(format_args!("failed ({status})")));
        }
        Ok(pos.output().lines().last().unwrap_or_default().to_owned())
    }

    /// Something is about to be killed in the middle of publishing: on a slow machine pos may be done by now, and sells more.
    async fn keep_selling(&mut self) -> Result<(), Fault> {
        let left = self.planned.saturating_sub(self.sold()?.count() as u64);
        if left > self.scale.rate {
            return Ok(());
        }
        self.wait_for_pos().await?;
        self.detail("pos is nearly done; it sells some more");
        self.start_pos(self.scale.sales / 2)
    }

    fn start_pos(&mut self, sales: u64) -> Result<(), Fault> {
        let (count, rate) = (sales.to_string(), self.scale.rate.to_string());
        let options = [
            "--count",
            &count,
            "--rate",
            &rate,
            "--roll",
            "till-roll.jsonl",
        ];
        self.pos = Some(self.program("pos", &options)?);
        self.planned += sales;
        Ok(())
    }

    fn start_billing(&mut self) -> Result<(), Fault> {
        self.billing = Some(self.program("billing", &["--ledger", "billing-ledger.jsonl"])?);
        Ok(())
    }

    /// A program of the shop that knows where the broker is.
    fn program(&self, name: &str, options: &[&str]) -> Result<Program, Fault> {
        self.program_logged(name, name, options)
    }

    fn program_logged(&self, name: &str, log: &str, options: &[&str]) -> Result<Program, Fault> {
        let mut words = vec!["--address", self.broker.address(), "--prefix", &self.prefix];
        words.extend(options);
        Program::of_the_shop(name, log, &self.folder, &words)
    }

    async fn wait_for_consumer(&mut self, queue: &str) -> Result<(), Fault> {
        let address = self.address()?;
        let deadline = self.deadline();
        while queues::depth(&address, queue)
            .await?
            .unwrap_or_default()
            .consumers
            == 0
        {
            self.expect_running()?;
            self.expect_before(deadline, format_args!("nobody listens to {queue}"))?;
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    fn expect_running(&mut self) -> Result<(), Fault> {
        [&mut self.billing, &mut self.inventory]
            .into_iter()
            .flatten()
            .try_for_each(Program::expect_running)
    }

    fn expect_before(&self, deadline: Instant, what: impl fmt::Display) -> Result<(), Fault> {
        if Instant::now() < deadline {
            return Ok(());
        }
        Err(Fault::Own(format!("{what} within {PATIENCE_S} seconds")))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(PATIENCE_S)
    }

    fn address(&self) -> Result<Address, Fault> {
        self.broker.address().parse()
    }

    fn sold(&self) -> Result<Sold, Fault> {
        Sold::read(&self.folder.join("till-roll.jsonl"))
    }

    fn invoiced(&self) -> Result<Invoiced, Fault> {
        Invoiced::read(&self.folder.join("billing-ledger.jsonl"))
    }

    fn booked(&self) -> Result<Booked, Fault> {
        Booked::read(&self.folder.join("inventory.sqlite"))
    }

    fn show_progress(&self) -> Result<(), Fault> {
        let confirmed = self
            .pos
            .as_ref()
            .map_or(0, |pos| pos.output().matches("  confirmed ").count());
        let (invoiced, booked) = (self.invoiced()?.count(), self.booked()?.count());
        self.detail(format_args!(
            "so far {confirmed} sales confirmed, {invoiced} invoiced, {booked} booked"
        ));
        Ok(())
    }

    fn step(&self, line: impl fmt::Display) {
        say(format_args!(
            "\n[{:>4.1} s] {line}",
            self.begun.elapsed().as_secs_f64()
        ));
    }

    fn detail(&self, line: impl fmt::Display) {
        say(format_args!("         {line}"));
    }
}
