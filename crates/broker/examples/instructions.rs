//! A fixed amount of work for callgrind, which prints nothing: each step of a message's way is a function `step_...`, whose
//! instructions `scripts/bench-instructions.py` reads off callgrind's account.
//!
//! `instructions <shape> <batches>`

#![allow(missing_docs, unreachable_pub)]

#[path = "../../server/src/allocator.rs"]
mod allocator;
#[path = "../benches/world/mod.rs"]
mod world;

use std::process::ExitCode;

use world::{BATCH, BLOCK, LIVE_SHAPES, LiveShape, LiveWorld, SHAPES, World};

/// As the server has it.
#[global_allocator]
static ALLOCATOR: allocator::Mimalloc = allocator::Mimalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let batches = arguments.next().and_then(|text| text.parse().ok());
    if let Some((shape, batches)) = LIVE_SHAPES
        .iter()
        .find(|shape| shape.name == name)
        .zip(batches)
    {
        return live(*shape, batches);
    }
    let shape = SHAPES.iter().find(|shape| shape.name == name);
    let (Some(shape), Some(batches)) = (shape, batches) else {
        return ExitCode::from(2);
    };
    let mut world = World::new(*shape);
    for _ in 0..batches {
        world.round();
    }
    if !shape.waits {
        world.step_8_subscribe();
        world.consume();
        world.step_3_commit();
    }
    if world.delivered() == batches * BATCH as u64 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn live(shape: LiveShape, batches: u64) -> ExitCode {
    let mut world = LiveWorld::new(shape);
    for _ in 0..batches {
        world.round();
    }
    let each = (BLOCK * shape.subscribers) as u64;
    if world.delivered() == batches * each {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
