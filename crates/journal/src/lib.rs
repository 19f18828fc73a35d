//! polybus-journal
