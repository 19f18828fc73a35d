//! The binary `polybus`.
fn main() {}
