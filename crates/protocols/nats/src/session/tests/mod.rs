//! Whole conversations, client's bytes in and server's bytes out, against a broker of a few lines.

mod conversation;
mod jetstream;
mod login;
mod world;
