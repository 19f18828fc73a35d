//! polybus-broker
