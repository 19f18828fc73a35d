//! Class 60: messages.

use super::*;

method! {
    /// Limits what a consumer may hold unsettled.
    BasicQos = (60, 10) {
        /// In octets; only 0, no limit, is there.
        prefetch_size: u32,
        /// In messages; 0: no limit.
        prefetch_count: u16,
        /// For the whole channel instead of each consumer to come (RabbitMQ's reading).
        global: bool,
    }
}
method! {
    /// It is so.
    BasicQosOk = (60, 11) {}
}
method! {
    /// Starts a consumer.
    BasicConsume<'a> = (60, 20) [u16] {
        /// The queue; empty for the channel's last.
        queue: &'a str,
        /// Its tag; empty for a new one.
        consumer_tag: &'a str,
        /// Not to be given this connection's own messages; RabbitMQ ignores it.
        no_local: bool,
        /// Deliveries count as settled.
        no_ack: bool,
        /// The queue has no other consumer.
        exclusive: bool,
        /// No answer is wanted.
        nowait: bool,
        /// Further settings.
        arguments: TableRef<'a>,
    }
}
method! {
    /// It is started.
    BasicConsumeOk<'a> = (60, 21) {
        /// Its tag.
        consumer_tag: &'a str,
    }
}
method! {
    /// Ends a consumer; from the server: its queue is gone.
    BasicCancel<'a> = (60, 30) {
        /// Its tag.
        consumer_tag: &'a str,
        /// No answer is wanted.
        nowait: bool,
    }
}
method! {
    /// It is ended.
    BasicCancelOk<'a> = (60, 31) {
        /// Its tag.
        consumer_tag: &'a str,
    }
}
method! {
    /// Publishes a message; content follows.
    BasicPublish<'a> = (60, 40) [u16] {
        /// The exchange; empty for the default.
        exchange: ShortText<'a>,
        /// The key.
        routing_key: ShortText<'a>,
        /// Give it back if no queue takes it.
        mandatory: bool,
        /// Give it back if no consumer takes it at once; RabbitMQ refuses it.
        immediate: bool,
    }
}
method! {
    /// A message given back; content follows.
    BasicReturn<'a> = (60, 50) {
        /// The reply code.
        reply_code: u16,
        /// The reason in words.
        reply_text: &'a str,
        /// The exchange it was published to.
        exchange: ShortBytes<'a>,
        /// The key it was published with.
        routing_key: ShortBytes<'a>,
    }
}
method! {
    /// A message for a consumer; content follows.
    BasicDeliver<'a> = (60, 60) {
        /// The consumer's tag.
        consumer_tag: ShortBytes<'a>,
        /// What to settle.
        delivery_tag: u64,
        /// It may have been delivered before.
        redelivered: bool,
        /// The exchange it was published to.
        exchange: ShortBytes<'a>,
        /// The key it was published with.
        routing_key: ShortBytes<'a>,
    }
}
method! {
    /// Takes one message.
    BasicGet<'a> = (60, 70) [u16] {
        /// The queue; empty for the channel's last.
        queue: &'a str,
        /// It counts as settled.
        no_ack: bool,
    }
}
method! {
    /// The message taken; content follows.
    BasicGetOk<'a> = (60, 71) {
        /// What to settle.
        delivery_tag: u64,
        /// It may have been delivered before.
        redelivered: bool,
        /// The exchange it was published to.
        exchange: ShortBytes<'a>,
        /// The key it was published with.
        routing_key: ShortBytes<'a>,
        /// Ready messages that remain.
        message_count: u32,
    }
}
method! {
    /// There is none.
    BasicGetEmpty = (60, 72) {} [ShortBytes<'_>]
}
method! {
    /// Done with a delivery; from the server: a publish is taken care of.
    BasicAck = (60, 80) {
        /// Which.
        delivery_tag: u64,
        /// And all before it.
        multiple: bool,
    }
}
method! {
    /// Refuses a delivery.
    BasicReject = (60, 90) {
        /// Which.
        delivery_tag: u64,
        /// Back to the queue.
        requeue: bool,
    }
}
method! {
    /// Gives all unsettled deliveries back; there is no answer.
    BasicRecoverAsync = (60, 100) {
        /// To the queue, not to the same consumer.
        requeue: bool,
    }
}
method! {
    /// Gives all unsettled deliveries back.
    BasicRecover = (60, 110) {
        /// To the queue, not to the same consumer.
        requeue: bool,
    }
}
method! {
    /// They are.
    BasicRecoverOk = (60, 111) {}
}
method! {
    /// Refuses deliveries; from the server: a publish was refused.
    BasicNack = (60, 120) {
        /// Which.
        delivery_tag: u64,
        /// And all before it.
        multiple: bool,
        /// Back to the queue.
        requeue: bool,
    }
}
