//! Class 50: queues.

use super::*;

method! {
    /// Makes a queue, or asks whether it is there.
    QueueDeclare<'a> = (50, 10) [u16] {
        /// Its name; empty for a new one, or the channel's last.
        queue: &'a str,
        /// Only ask.
        passive: bool,
        /// It outlives a restart.
        durable: bool,
        /// It is this connection's alone.
        exclusive: bool,
        /// It goes with its last consumer.
        auto_delete: bool,
        /// No answer is wanted.
        nowait: bool,
        /// Further settings.
        arguments: TableRef<'a>,
    }
}
method! {
    /// It is there.
    QueueDeclareOk<'a> = (50, 11) {
        /// Its name.
        queue: &'a str,
        /// Its ready messages.
        message_count: u32,
        /// Its consumers.
        consumer_count: u32,
    }
}
method! {
    /// Binds a queue to an exchange.
    QueueBind<'a> = (50, 20) [u16] {
        /// The queue; empty for the channel's last.
        queue: &'a str,
        /// The exchange.
        exchange: &'a str,
        /// The key.
        routing_key: &'a str,
        /// No answer is wanted.
        nowait: bool,
        /// Further settings.
        arguments: TableRef<'a>,
    }
}
method! {
    /// It is bound.
    QueueBindOk = (50, 21) {}
}
method! {
    /// Drops a queue's ready messages.
    QueuePurge<'a> = (50, 30) [u16] {
        /// The queue; empty for the channel's last.
        queue: &'a str,
        /// No answer is wanted.
        nowait: bool,
    }
}
method! {
    /// They are gone.
    QueuePurgeOk = (50, 31) {
        /// How many there were.
        message_count: u32,
    }
}
method! {
    /// Deletes a queue.
    QueueDelete<'a> = (50, 40) [u16] {
        /// The queue; empty for the channel's last.
        queue: &'a str,
        /// Only without consumers.
        if_unused: bool,
        /// Only without messages.
        if_empty: bool,
        /// No answer is wanted.
        nowait: bool,
    }
}
method! {
    /// It is gone.
    QueueDeleteOk = (50, 41) {
        /// How many messages it had.
        message_count: u32,
    }
}
method! {
    /// Takes a queue's binding away.
    QueueUnbind<'a> = (50, 50) [u16] {
        /// The queue; empty for the channel's last.
        queue: &'a str,
        /// The exchange.
        exchange: &'a str,
        /// The key.
        routing_key: &'a str,
        /// Further settings.
        arguments: TableRef<'a>,
    }
}
method! {
    /// It is unbound.
    QueueUnbindOk = (50, 51) {}
}
