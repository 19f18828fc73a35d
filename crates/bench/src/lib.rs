//! polybus-bench
