//! Kafka's protocol as Kafka 4 speaks it, so that its clients and tools run unchanged.
//!
//! ```text
//! bytes -> codec -> requests, record batches
//! bytes <- codec <- responses
//! ```
//! Nothing here does input or output, reads a clock or knows the engine.

pub mod codec;
