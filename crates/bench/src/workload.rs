//! Workloads: what a run does, as data.

use polybus_model::Table;

/// How messages find their queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Routing {
    /// By the default exchange, to each queue in turn.
    Direct,
    /// By a fanout exchange, to all queues.
    Fanout,
    /// By a topic exchange with so many bindings, each message matching one.
    Topic {
        /// Bindings, dealt out to the queues.
        bindings: u32,
    },
    /// By a headers exchange with so many bindings, each message matching one.
    Headers {
        /// Bindings, dealt out to the queues.
        bindings: u32,
    },
}

/// How consumers settle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settling {
    /// Deliveries count as settled.
    Auto,
    /// An ack for each delivery, as most clients do.
    Each {
        /// How many may be unsettled, for each consumer.
        prefetch: u16,
    },
    /// One ack for all that one read held.
    Multiple {
        /// How many may be unsettled, for each consumer.
        prefetch: u16,
    },
}

/// When consumers work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// At the same time as the publishers.
    Together,
    /// After the publishers.
    PublishThenDrain,
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name on the command line.
    pub name: String,
    /// What it is, for people.
    pub about: String,
    /// How many queues.
    pub queues: u32,
    /// Arguments of their declaration.
    pub queue_arguments: Table,
    /// Queues and exchange outlive a restart.
    pub durable: bool,
    /// So do the messages.
    pub persistent: bool,
    /// How messages find their queues.
    pub routing: Routing,
    /// The size of a body. From 8 bytes on order is checked, from 16 on the latency of deliveries is measured.
    pub body_bytes: usize,
    /// With confirms, and at most so many publishes of a connection unconfirmed; none: without confirms.
    pub window: Option<u32>,
    /// So many publishes a second by all publishers, on a fixed schedule; none: as fast as it goes.
    pub rate_per_s: Option<u64>,
    /// Connections that publish.
    pub publishers: u32,
    /// Connections that consume.
    pub consumers: u32,
    /// How consumers settle.
    pub settling: Settling,
    /// When consumers work.
    pub shape: Shape,
    /// Publish so many in all; none: as many as fit the time.
    pub messages: Option<u64>,
    /// Further connections that only exchange heartbeats.
    pub idle_connections: u32,
    /// Too long for a usual comparison: only run when named.
    pub on_demand: bool,
    /// How many times the peer's messages per second are aimed at.
    pub target_ratio: Option<f64>,
}

impl Default for Workload {
    /// A durable queue, 16-byte persistent messages, confirms with a window of 1,000, a publisher and a consumer at once.
    fn default() -> Self {
        Self {
            name: String::new(),
            about: String::new(),
            queues: 1,
            queue_arguments: Table::new(),
            durable: true,
            persistent: true,
            routing: Routing::Direct,
            body_bytes: 16,
            window: Some(1000),
            rate_per_s: None,
            publishers: 1,
            consumers: 1,
            settling: Settling::Auto,
            shape: Shape::Together,
            messages: None,
            idle_connections: 0,
            on_demand: false,
            target_ratio: None,
        }
    }
}

impl Workload {
    /// How many queues get each message.
    #[must_use]
    pub fn copies(&self) -> u64 {
        match self.routing {
            Routing::Fanout => self.queues.into(),
            _ => 1,
        }
    }

    /// The queues of a publisher (of several) or consumer: dealt out, or shared if there are fewer queues.
    pub(crate) fn share(&self, index: u32, of: u32) -> Vec<u32> {
        let queues = self.queues.max(1);
        let of = of.max(1);
        if queues >= of {
            (index..queues).step_by(of as usize).collect()
        } else {
            vec![index % queues]
        }
    }

    /// Does a queue have one consumer only, so that order is strict?
    pub(crate) fn is_one_consumer_each(&self) -> bool {
        self.consumers <= self.queues
    }
}
