//! polybus-engine
