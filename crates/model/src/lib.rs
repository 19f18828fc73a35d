//! polybus-model
