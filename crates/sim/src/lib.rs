//! polybus-sim
