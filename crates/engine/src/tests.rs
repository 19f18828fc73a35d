//! Whole turns, from batches to effects.

mod basics;
pub(crate) mod desk;
