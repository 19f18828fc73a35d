//! Whole conversations, client's bytes in and server's bytes out, against a broker of a few lines.

mod conversation;
mod login;
mod world;
