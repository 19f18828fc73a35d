//! Sessions without a socket: a client's frames on one side, a broker that fits on a page on the other.

mod broker;
mod channels;
mod consuming;
mod handshake;
mod heartbeat;
mod hostile;
mod publishing;
mod runs;
mod streams;
mod world;
