//! Classes 85 and 90: confirms and transactions.

use super::*;

method! {
    /// Asks for confirms on this channel.
    ConfirmSelect = (85, 10) {
        /// No answer is wanted.
        nowait: bool,
    }
}
method! {
    /// It is so.
    ConfirmSelectOk = (85, 11) {}
}
method! {
    /// Makes the channel transactional.
    TxSelect = (90, 10) {}
}
method! {
    /// It is so.
    TxSelectOk = (90, 11) {}
}
method! {
    /// Puts the transaction in force.
    TxCommit = (90, 20) {}
}
method! {
    /// It is in force.
    TxCommitOk = (90, 21) {}
}
method! {
    /// Drops the transaction.
    TxRollback = (90, 30) {}
}
method! {
    /// It is dropped.
    TxRollbackOk = (90, 31) {}
}
