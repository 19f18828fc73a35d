//! The session against a broker that keeps its logs in memory: what a client sends and what it gets, byte for byte.

mod broker;
mod consumer_groups;
mod conversation;
mod login;
mod quotas;
mod reading;
mod transactions;
mod world;
mod writing;
