//! What a workload needs on the broker: made before a run, taken away after it.

use polybus_model::{Table, Value};

use crate::error::BenchError;
use crate::link::{Link, Target};
use crate::workload::{Routing, Workload};

pub(crate) const EXCHANGE: &str = "polybus-bench";

pub(crate) fn queue_name(queue: u32) -> String {
    format!("polybus-bench.{queue}")
}

/// The key of the messages that match binding `index`.
pub(crate) fn topic_key(index: u32) -> String {
    format!("tenant.{index}.created")
}

/// Words, one word, any words: a third each, so that a search has to look down several branches.
fn topic_pattern(index: u32) -> String {
    match index % 3 {
        0 => format!("tenant.{index}.created"),
        1 => format!("tenant.{index}.#"),
        _ => format!("*.{index}.created"),
    }
}

/// The headers of the messages that match binding `index`.
pub(crate) fn header_table(index: u32) -> Table {
    let mut table = Table::new();
    table.push("kind", Value::text("order"));
    table.push("tenant", Value::text(&index.to_string()));
    table
}

/// Makes queues, exchange and bindings anew.
pub(crate) fn set_up(target: &Target, workload: &Workload) -> Result<(), BenchError> {
    let mut link = Link::open(target, 0)?;
    link.open_channel(1)?;
    clear(&mut link, workload)?;
    for queue in 0..workload.queues {
        link.declare_queue(
            &queue_name(queue),
            workload.durable,
            &workload.queue_arguments,
        )?;
    }
    let queues = workload.queues.max(1);
    let none = Table::new();
    match workload.routing {
        Routing::Direct => {}
        Routing::Fanout => {
            link.declare_exchange(EXCHANGE, "fanout", workload.durable)?;
            for queue in 0..workload.queues {
                link.bind(&queue_name(queue), EXCHANGE, "", &none, true)?;
            }
        }
        Routing::Topic { bindings } => {
            link.declare_exchange(EXCHANGE, "topic", workload.durable)?;
            for index in 0..bindings {
                let queue = queue_name(index % queues);
                let is_last = index + 1 == bindings;
                link.bind(&queue, EXCHANGE, &topic_pattern(index), &none, is_last)?;
            }
        }
        Routing::Headers { bindings } => {
            link.declare_exchange(EXCHANGE, "headers", workload.durable)?;
            for index in 0..bindings {
                let mut arguments = header_table(index);
                arguments.push("x-match", Value::text("all"));
                let queue = queue_name(index % queues);
                let is_last = index + 1 == bindings;
                link.bind(&queue, EXCHANGE, "", &arguments, is_last)?;
            }
        }
    }
    link.close()
}

/// Takes all away again.
pub(crate) fn tear_down(target: &Target, workload: &Workload) -> Result<(), BenchError> {
    let mut link = Link::open(target, 0)?;
    link.open_channel(1)?;
    clear(&mut link, workload)?;
    link.close()
}

fn clear(link: &mut Link, workload: &Workload) -> Result<(), BenchError> {
    link.delete_exchange(EXCHANGE)?;
    for queue in 0..workload.queues {
        link.delete_queue(&queue_name(queue))?;
    }
    Ok(())
}
