//! What the programs of the shop agree on, and nothing else: the sale message and the names on the broker.
//!
//! ```text
//! pos --sale.created--> [sales_exchange] --+--> [billing_queue]   --> billing
//!                                          +--> [inventory_queue] --> inventory
//!      refused messages --> [sales_dead] --+--> [billing_dead_letters]
//!                                          +--> [inventory_dead_letters]
//! ```
//!
//! No messaging library appears here: a program in any language could honour the same contract.

mod amount;
mod catalogue;
mod names;
mod sale;

pub use amount::{Amount, AmountError};
pub use catalogue::{PRODUCTS, Product, product};
pub use names::{ATTEMPTS_MAX, CONTENT_TYPE, HEADER_ATTEMPT, HEADER_QUEUE, HEADER_REASON, Names};
pub use sale::{Item, Refusal, SaleDetails, VERSION};
