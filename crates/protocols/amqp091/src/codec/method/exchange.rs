//! Class 40: exchanges.

use super::*;

method! {
    /// Makes an exchange, or asks whether it is there.
    ExchangeDeclare<'a> = (40, 10) [u16] {
        /// Its name.
        exchange: &'a str,
        /// Its type.
        kind: &'a str,
        /// Only ask.
        passive: bool,
        /// It outlives a restart.
        durable: bool,
        /// It goes with its last binding.
        auto_delete: bool,
        /// Only other exchanges publish to it.
        internal: bool,
        /// No answer is wanted.
        nowait: bool,
        /// Further settings.
        arguments: TableRef<'a>,
    }
}
method! {
    /// It is there.
    ExchangeDeclareOk = (40, 11) {}
}
method! {
    /// Deletes an exchange.
    ExchangeDelete<'a> = (40, 20) [u16] {
        /// Its name.
        exchange: &'a str,
        /// Only if nothing is bound to it.
        if_unused: bool,
        /// No answer is wanted.
        nowait: bool,
    }
}
method! {
    /// It is gone.
    ExchangeDeleteOk = (40, 21) {}
}
method! {
    /// Binds an exchange to another.
    ExchangeBind<'a> = (40, 30) [u16] {
        /// Where messages go.
        destination: &'a str,
        /// Where they come from.
        source: &'a str,
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
    ExchangeBindOk = (40, 31) {}
}
method! {
    /// Takes such a binding away.
    ExchangeUnbind<'a> = (40, 40) [u16] {
        /// Where messages went.
        destination: &'a str,
        /// Where they came from.
        source: &'a str,
        /// The key.
        routing_key: &'a str,
        /// No answer is wanted.
        nowait: bool,
        /// Further settings.
        arguments: TableRef<'a>,
    }
}
method! {
    /// It is unbound.
    ExchangeUnbindOk = (40, 51) {}
}
