//! polybus-session
