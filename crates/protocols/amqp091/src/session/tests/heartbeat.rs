use polybus_model::Event;

use super::world::*;
use crate::codec::*;

#[test]
fn silence_is_filled_and_a_silent_peer_is_cut_off() {
    let mut world = World::new();
    world.shake_hands(131_072, 10);
    world.wait_until(4_999);
    assert!(world.take().is_empty());
    world.wait_until(5_000);
    assert_eq!(world.take(), ["0 heartbeat"]);
    world.wait_until(24_999);
    assert!(!world.session.is_done());
    world.wait_until(25_000);
    assert!(world.session.is_done());
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut world = World::new();
    world.shake_hands(131_072, 10);
    for round in 1..10 {
        world.wait_until(round * 20_000);
        world.push(&[8, 0, 0, 0, 0, 0, 0, 0xce]);
    }
    assert!(!world.session.is_done());
    world.wait_until(9 * 20_000 + 25_000);
    assert!(world.session.is_done());
}

#[test]
fn what_is_sent_anyway_needs_no_heartbeat() {
    let mut world = World::new();
    world.shake_hands(131_072, 10);
    world.wait_until(4_000);
    world.send(1, &ChannelOpen {});
    world.wait_until(8_999);
    assert_eq!(world.take(), ["1 channel.open_ok"]);
    world.wait_until(9_000);
    assert_eq!(world.take(), ["0 heartbeat"]);
}

#[test]
fn none_is_none() {
    let mut world = World::new();
    world.shake_hands(131_072, 0);
    assert_eq!(world.session.poll_timeout(), None);
}

#[test]
fn a_peer_that_is_not_listened_to_is_not_cut_off() {
    let mut world = World::new();
    world.shake_hands(131_072, 10);
    world.send(1, &ChannelOpen {});
    world.event(Event::Blocked {
        reason: "low on disk",
    });
    world.publish(1, "", "q", b"x");
    world.wait_until(100_000);
    assert!(!world.session.is_done());
    world.event(Event::Unblocked);
    world.wait_until(124_999);
    assert!(!world.session.is_done());
    world.wait_until(125_000);
    assert!(world.session.is_done());

    let mut world = World::new();
    world.shake_hands(131_072, 10);
    world.send(1, &ChannelOpen {});
    world.broker_sleeps = true;
    world.send(1, &declare("q"));
    world.wait_until(100_000);
    assert!(!world.session.is_done());
}

#[test]
fn a_close_that_is_not_answered_ends_all_the_same() {
    let mut world = World::with_channel();
    world.send(
        1,
        &BasicQos {
            prefetch_size: 1,
            prefetch_count: 1,
            global: false,
        },
    );
    assert_eq!(
        world.take(),
        ["0 connection.close 540 NOT_IMPLEMENTED - prefetch_size!=0 (1) (60,10)"]
    );
    world.wait_until(9_999);
    assert!(!world.session.is_done());
    world.wait_until(10_000);
    assert!(world.session.is_done());
}
