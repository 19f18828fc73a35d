//! What a message's whole way costs but the sockets and the disk: figures are per message, in batches of a hundred, from the
//! publisher's bytes to the settlement, and step by step.
//!
//! `cargo bench -p polybus-broker --bench way`

#![allow(missing_docs, unreachable_pub)]

#[path = "../../server/src/allocator.rs"]
#[allow(unused_imports, reason = "its tests come without a harness here")]
mod allocator;
mod world;

use divan::Bencher;
use divan::counter::ItemsCount;
use world::{BATCH, BLOCK, LIVE_SHAPES, LiveWorld, SHAPES, Shape, World};

/// As the server has it.
#[global_allocator]
static ALLOCATOR: allocator::Mimalloc = allocator::Mimalloc;

const BACKLOG_BATCHES: usize = 100;

fn main() {
    divan::main();
}

fn named(name: &str) -> Shape {
    *SHAPES
        .iter()
        .find(|shape| shape.name == name)
        .unwrap_or(&SHAPES[0])
}

#[divan::bench(args = ["durable-16b", "durable-16b-acked-together", "durable-1kib", "transient-16b"], sample_count = 50, sample_size = 20)]
fn whole(bencher: Bencher<'_, '_>, name: &str) {
    let mut world = World::new(named(name));
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench_local(|| world.round());
    assert_eq!(world.delivered() % BATCH as u64, 0);
}

#[divan::bench(args = 0..LIVE_SHAPES.len(), sample_count = 50, sample_size = 20)]
fn live(bencher: Bencher<'_, '_>, shape: usize) {
    let mut world = LiveWorld::new(LIVE_SHAPES[shape]);
    bencher
        .counter(ItemsCount::new(BLOCK))
        .bench_local(|| world.round());
    assert!(world.delivered() > 0);
}

/// One step is timed, the others are taken around it.
fn step(bencher: Bencher<'_, '_>, name: &str, before: fn(&mut World), timed: fn(&mut World)) {
    let world = std::cell::RefCell::new(World::new(named(name)));
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(|| before(&mut world.borrow_mut()))
        .bench_local_values(|()| timed(&mut world.borrow_mut()));
}

/// The rest of the last round, and the first steps of this one.
fn until(steps: usize) -> fn(&mut World) {
    fn all(world: &mut World, steps: usize) {
        world.step_3_commit();
        world.step_4_confirm();
        world.consume();
        world.step_7_settle();
        let steps_in_order: [fn(&mut World); 4] = [
            World::step_1_parse,
            World::step_2_publish,
            World::step_3_commit,
            World::step_4_confirm,
        ];
        world.read();
        for step in steps_in_order.iter().take(steps) {
            step(world);
        }
    }
    match steps {
        0 => |world| {
            world.publisher.submit();
            all(world, 0);
        },
        1 => |world| all(world, 1),
        2 => |world| all(world, 2),
        3 => |world| all(world, 3),
        _ => |world| all(world, 4),
    }
}

const COUNT: u32 = 500;

#[divan::bench(sample_count = COUNT, sample_size = 1)]
fn step_1_parse(bencher: Bencher<'_, '_>) {
    step(bencher, "durable-16b", until(0), World::step_1_parse);
}

#[divan::bench(sample_count = COUNT, sample_size = 1)]
fn step_2_publish(bencher: Bencher<'_, '_>) {
    step(bencher, "durable-16b", until(1), World::step_2_publish);
}

#[divan::bench(sample_count = COUNT, sample_size = 1)]
fn step_3_commit(bencher: Bencher<'_, '_>) {
    step(bencher, "durable-16b", until(2), World::step_3_commit);
}

#[divan::bench(sample_count = COUNT, sample_size = 1)]
fn step_5_deliver(bencher: Bencher<'_, '_>) {
    step(bencher, "durable-16b", until(4), |world| {
        world.step_5_deliver();
    });
}

#[divan::bench(sample_count = COUNT, sample_size = 1)]
fn step_6_parse_acks(bencher: Bencher<'_, '_>) {
    let before = |world: &mut World| {
        world.step_7_settle();
        until(4)(world);
        world.step_5_deliver();
        world.make_acks();
    };
    step(bencher, "durable-16b", before, World::step_6_parse_acks);
}

#[divan::bench(sample_count = COUNT, sample_size = 1)]
fn step_7_settle(bencher: Bencher<'_, '_>) {
    let before = |world: &mut World| {
        until(4)(world);
        world.step_5_deliver();
        world.make_acks();
        world.step_6_parse_acks();
    };
    step(bencher, "durable-16b", before, World::step_7_settle);
}

/// Ten thousand wait; then a consumer comes and takes them all.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn drain_backlog(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(BATCH * BACKLOG_BATCHES))
        .with_inputs(|| {
            let mut world = World::new(named("durable-16b-backlog"));
            for _ in 0..BACKLOG_BATCHES {
                world.round();
            }
            world
        })
        .bench_local_values(|mut world| {
            world.step_8_subscribe();
            world.consume();
            world.step_3_commit();
            world
        });
}
