//! The driver against a session that speaks lines and a broker that is a list.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use bytes::Bytes;
use polybus_model::{Body, Delivery, Message, MessageParts, Origin, Reply, SubscriberId};
use polybus_session::{Outbound, PeerSummary};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

use super::*;
use crate::stop::Connections;

/// `ask` waits for an answer, `say X` is said back, `quit` ends it; after `beat` a second of silence does too.
#[derive(Default)]
struct Lines {
    outbound: Outbound,
    requests: Vec<(Lane, Request)>,
    is_waiting: bool,
    is_done: bool,
    is_greeted: bool,
    heard: Option<Millis>,
    /// Replies that it waits for in silence.
    knocks: u8,
}

impl Lines {
    fn say(&mut self, text: &str) {
        self.outbound.staged().extend_from_slice(text.as_bytes());
        self.outbound.staged().extend_from_slice(b"\n");
    }
}

impl Session for Lines {
    fn handle_input(&mut self, input: &mut BytesMut, now: Millis) {
        self.heard = self.heard.map(|_| now);
        while !self.is_waiting && !self.is_done {
            let Some(end) = input.iter().position(|b| *b == b'\n') else {
                return;
            };
            let line = input.split_to(end + 1);
            self.is_greeted = true;
            match std::str::from_utf8(&line)
                .unwrap()
                .trim_end()
                .split_once(' ')
            {
                Some(("say", text)) => self.say(text),
                _ if line.starts_with(b"knock") => {
                    self.is_waiting = true;
                    self.knocks = 2;
                }
                _ if line.starts_with(b"beat") => self.heard = Some(now),
                _ if line.starts_with(b"ask") => {
                    self.is_waiting = true;
                    self.requests
                        .push((Lane(1), Request::Flow { active: true }));
                }
                _ => {
                    self.say("bye");
                    self.is_done = true;
                }
            }
        }
    }

    fn handle_event(&mut self, event: Event, _: Millis) {
        match event {
            // As a login: the first reply is followed by a request, the second ends the wait.
            Event::Reply { .. } if self.knocks > 0 => {
                self.knocks -= 1;
                self.is_waiting = self.knocks > 0;
                if self.is_waiting {
                    self.requests
                        .push((Lane(1), Request::Flow { active: true }));
                }
            }
            Event::Reply { .. } => {
                self.is_waiting = false;
                self.say("answer");
            }
            Event::Delivery(delivery) => {
                let body = Bytes::copy_from_slice(delivery.message.body());
                self.outbound.push_shared(body);
            }
            Event::Shutdown { reason } => {
                self.say(&reason);
                self.is_done = true;
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Millis) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.say("cut");
            self.is_done = true;
        }
    }

    fn handle_eof(&mut self, _: Millis) {
        self.say("end");
        self.is_done = true;
    }

    fn poll_requests(&mut self, batch: &mut Batch) {
        batch.requests.append(&mut self.requests);
    }

    fn poll_timeout(&self) -> Option<Millis> {
        self.heard.map(|at| at + 1000)
    }

    fn outbound(&mut self) -> &mut Outbound {
        &mut self.outbound
    }

    fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn summary(&self) -> PeerSummary {
        PeerSummary {
            state: if self.is_greeted {
                "running"
            } else {
                "handshake"
            },
            ..PeerSummary::default()
        }
    }
}

#[derive(Default)]
struct Inner {
    events: Vec<Event>,
    waker: Option<Waker>,
    has_pressure: bool,
    batches: usize,
    drained: usize,
    is_dropped: bool,
}

/// A broker that answers everything.
#[derive(Clone, Default)]
struct FakeLink(Arc<Mutex<Inner>>);

impl FakeLink {
    fn tell(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.0.lock().unwrap();
        change(&mut inner);
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }
}

struct Held(FakeLink);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().is_dropped = true;
    }
}

impl Link for Held {
    fn submit(&mut self, batch: &mut Batch) {
        let mut inner = self.0.0.lock().unwrap();
        inner.batches += 1;
        for (lane, request) in batch.requests.drain(..) {
            match request {
                Request::Drained { bytes } => inner.drained += bytes,
                _ => inner.events.push(Event::Reply {
                    lane,
                    result: Ok(Reply::Done),
                }),
            }
        }
    }

    fn take_events(&mut self, into: &mut Vec<Event>) {
        into.append(&mut self.0.0.lock().unwrap().events);
    }

    fn poll_events(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.0.lock().unwrap();
        if inner.events.is_empty() {
            inner.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn may_read(&self) -> bool {
        !self.0.0.lock().unwrap().has_pressure
    }

    fn update_summary(&mut self, _: PeerSummary) {}
}

struct Running {
    peer: DuplexStream,
    link: FakeLink,
    all: Connections,
    task: JoinHandle<End>,
}

fn start(buffer: usize) -> Running {
    start_with(buffer, b"")
}

fn driver(
    near: DuplexStream,
    link: &FakeLink,
    all: &Connections,
    first: &[u8],
) -> Driver<DuplexStream, Held> {
    let clock = Clock::start();
    Driver::new(
        near,
        Box::new(Lines::default()),
        Held(link.clone()),
        all.enter(1).unwrap(),
        clock,
        BytesMut::from(first),
        clock.now() + 10_000,
    )
}

/// One whose first bytes were read before.
fn start_with(buffer: usize, first: &[u8]) -> Running {
    let (near, peer) = tokio::io::duplex(buffer);
    let link = FakeLink::default();
    let all = Connections::default();
    let driver = driver(near, &link, &all, first);
    Running {
        peer,
        link,
        all,
        task: tokio::spawn(driver.run()),
    }
}

async fn all_that_comes(peer: &mut DuplexStream) -> String {
    let mut text = String::new();
    peer.read_to_string(&mut text).await.unwrap();
    text
}

fn delivery(bytes: usize) -> Event {
    let message = Message::new(MessageParts {
        origin: Origin(0),
        topic: b"",
        key: b"",
        properties: b"",
        body: Body::Copied(&vec![b'x'; bytes]),
        durable: false,
        priority: None,
        ttl: None,
        deaths: None,
    });
    Event::Delivery(Delivery {
        lane: Lane(1),
        subscriber: SubscriberId(1),
        lease: None,
        message,
        redelivered: false,
        attempts: None,
    })
}

/// Notes that it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn whoever_stops_waiting_without_a_word_is_woken_by_what_comes() {
    let (near, mut peer) = tokio::io::duplex(1 << 16);
    let (link, all) = (FakeLink::default(), Connections::default());
    let mut run = std::pin::pin!(driver(near, &link, &all, b"").run());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut poll = || {
        woken.0.store(false, Ordering::Relaxed);
        let polled = run.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    };
    poll();
    peer.write_all(b"knock\n").await.unwrap();
    poll();
    // The second reply comes with the request for it, and leaves nothing to write.
    link.tell(|inner| {
        inner.events.push(Event::Reply {
            lane: Lane(1),
            result: Ok(Reply::Done),
        });
    });
    poll();
    assert_eq!(link.0.lock().unwrap().batches, 1);
    peer.write_all(b"say hello\n").await.unwrap();
    assert!(woken.0.load(Ordering::Relaxed), "a timer has to come first");
}

#[tokio::test]
async fn what_is_sent_at_once_is_answered_in_order() {
    let mut running = start(1 << 16);
    running
        .peer
        .write_all(b"say 1\nask\nsay 2\nask\nask\nsay 3\nquit\nsay 4\n")
        .await
        .unwrap();
    let text = all_that_comes(&mut running.peer).await;
    assert_eq!(text, "1\nanswer\n2\nanswer\nanswer\n3\nbye\n");
    drop(running.peer);
    assert!(matches!(running.task.await.unwrap(), End::Done));
    assert_eq!(running.all.count(), 0);
    assert!(running.link.0.lock().unwrap().is_dropped);
}

#[tokio::test]
async fn input_before_the_end_counts() {
    let mut running = start(1 << 16);
    running.peer.write_all(b"ask\nask\n").await.unwrap();
    running.peer.shutdown().await.unwrap();
    assert_eq!(
        all_that_comes(&mut running.peer).await,
        "answer\nanswer\nend\n"
    );
}

#[tokio::test(start_paused = true)]
async fn after_what_was_read_before_the_socket_is_read() {
    let mut running = start_with(1 << 16, b"say ");
    let began = Instant::now();
    // It sleeps before more comes, and no timer is to wake it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.peer.write_all(b"1\n").await.unwrap();
    running.peer.shutdown().await.unwrap();
    assert_eq!(all_that_comes(&mut running.peer).await, "1\nend\n");
    assert!(began.elapsed() < Duration::from_secs(2));
    drop(running.peer);
    assert!(matches!(running.task.await.unwrap(), End::Done));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_cut_after_the_handshake_timeout_and_a_talking_one_is_not() {
    let silent = start(100);
    let mut talking = start(100);
    talking.peer.write_all(b"say hello\n").await.unwrap();
    assert!(matches!(silent.task.await.unwrap(), End::HandshakeTimeout));
    tokio::time::sleep(Duration::from_secs(60)).await;
    talking.peer.write_all(b"quit\n").await.unwrap();
    assert_eq!(all_that_comes(&mut talking.peer).await, "hello\nbye\n");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_not_read_and_does_not_hold_up_the_end() {
    let mut running = start(4096);
    let long = format!("say {}\n", "x".repeat(1000));
    let flood = async {
        for _ in 0..1_000_000 {
            running.peer.write_all(long.as_bytes()).await.unwrap();
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(5), flood)
            .await
            .is_err()
    );
    running.all.stop(Duration::from_secs(60)).await;
    assert!(matches!(running.task.await.unwrap(), End::ClosingTimeout));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_under_pressure() {
    let mut running = start(1 << 16);
    running.link.tell(|inner| inner.has_pressure = true);
    tokio::task::yield_now().await;
    running.peer.write_all(b"say 1\nquit\n").await.unwrap();
    let mut byte = [0];
    let read = running.peer.read(&mut byte);
    assert!(
        tokio::time::timeout(Duration::from_secs(5), read)
            .await
            .is_err()
    );
    running.link.tell(|inner| inner.has_pressure = false);
    assert_eq!(all_that_comes(&mut running.peer).await, "1\nbye\n");
}

#[tokio::test]
async fn deliveries_are_written_and_reported_in_large_steps() {
    let mut running = start(10_000);
    running.peer.write_all(b"say hello\n").await.unwrap();
    let expected: usize = (0..100)
        .map(|_| match delivery(20_000) {
            Event::Delivery(delivery) => delivery.message.memory_size(),
            _ => 0,
        })
        .sum();
    running
        .link
        .tell(|inner| inner.events.extend((0..100).map(|_| delivery(20_000))));
    let mut bytes = vec![0; 6 + 100 * 20_000];
    running.peer.read_exact(&mut bytes).await.unwrap();
    running.peer.write_all(b"quit\n").await.unwrap();
    assert_eq!(all_that_comes(&mut running.peer).await, "bye\n");
    let inner = running.link.0.lock().unwrap();
    assert_eq!(inner.drained, expected);
    assert!(inner.batches <= 10, "{}", inner.batches);
}

#[tokio::test]
async fn a_stop_is_told_to_the_peer() {
    let mut running = start(1 << 16);
    running.peer.write_all(b"say hello\n").await.unwrap();
    let mut hello = [0; 6];
    running.peer.read_exact(&mut hello).await.unwrap();
    let all = running.all.clone();
    let stopping = tokio::spawn(async move { all.stop(Duration::from_secs(5)).await });
    assert_eq!(
        all_that_comes(&mut running.peer).await,
        "the broker is stopping\n"
    );
    drop(running.peer);
    stopping.await.unwrap();
    assert!(matches!(running.task.await.unwrap(), End::Done));
}

#[tokio::test]
async fn a_reset_ends_only_its_connection() {
    let running = start(1 << 16);
    drop(running.peer);
    assert!(matches!(
        running.task.await.unwrap(),
        End::Done | End::Lost(_)
    ));
    assert!(running.link.0.lock().unwrap().is_dropped);
}

#[tokio::test]
async fn the_broker_knows_of_the_end_before_the_peer_does() {
    let mut running = start(2);
    running.peer.write_all(b"quit\n").await.unwrap();
    let mut byte = [0];
    running.peer.read_exact(&mut byte).await.unwrap();
    assert!(running.link.0.lock().unwrap().is_dropped);
    assert_eq!(all_that_comes(&mut running.peer).await, "ye\n");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_not_listened_to_is_not_missed() {
    let mut running = start(1 << 16);
    running.peer.write_all(b"beat\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    running.link.tell(|inner| inner.has_pressure = true);
    tokio::time::sleep(Duration::from_millis(500)).await;
    running.peer.write_all(b"say 1\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(4700)).await;
    running.link.tell(|inner| inner.has_pressure = false);
    tokio::time::sleep(Duration::from_millis(900)).await;
    running.peer.write_all(b"say 2\n").await.unwrap();
    assert_eq!(all_that_comes(&mut running.peer).await, "1\n2\ncut\n");
}
