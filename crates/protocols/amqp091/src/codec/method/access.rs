//! Class 30: access tickets, which are out of use; old clients still ask for one.

use super::*;

method! {
    /// Asks for a ticket.
    AccessRequest<'a> = (30, 10) {
        /// What for.
        realm: &'a str,
        /// For this client alone.
        exclusive: bool,
        /// To look.
        passive: bool,
        /// To change.
        active: bool,
        /// To publish.
        write: bool,
        /// To consume.
        read: bool,
    }
}
method! {
    /// The ticket.
    AccessRequestOk = (30, 11) {
        /// Its number.
        ticket: u16,
    }
}
