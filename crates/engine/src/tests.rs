//! Whole turns, from batches to effects.

mod basics;
mod consuming;
mod declaring;
pub(crate) mod desk;
mod dying;
mod groups;
mod letters;
mod memory;
mod model;
mod recovering;
