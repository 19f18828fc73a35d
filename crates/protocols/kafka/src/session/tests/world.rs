//! A client, a session and a broker, in one place and one thread, with a clock that is set by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use polybus_model::{Batch, Event, Lane, LogRequest, LogSettings, Millis, Name, Request};
use polybus_session::{Peer, Protocol, Session};

use super::broker::Broker;
use crate::codec::messages::create_topics::CreatableTopic;
use crate::codec::messages::fetch::{FetchPartition, FetchTopic};
use crate::codec::messages::produce::{PartitionProduceData, TopicProduceData};
use crate::codec::messages::{
    CreateTopicsRequest, CreateTopicsResponse, FetchRequest, MetadataRequest, MetadataResponse,
    ProduceRequest,
};
use crate::codec::{
    BatchBuilder, Message, Reader, RecordHeader, read_response_header, split_frame, write_request,
};
use crate::{Kafka, Settings};

pub(super) struct World {
    pub(super) session: Box<dyn Session>,
    pub(super) broker: Broker,
    pub(super) now: Millis,
    input: BytesMut,
    got: BytesMut,
    correlation: i32,
    /// Bytes are given to the session in pieces of this size.
    pub(super) piece: usize,
}

pub(super) fn settings() -> Settings {
    let random = AtomicU64::new(1);
    let random = move || {
        random
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    Settings::new(0xabcd, Arc::new(random))
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let peer = Peer {
            remote: ([127, 0, 0, 1], 40_000).into(),
            local: ([127, 0, 0, 1], 9092).into(),
            tls: false,
            certificate_name: None,
        };
        Self {
            session: Kafka::new(settings).accept(peer, 0),
            broker: Broker::default(),
            now: 0,
            input: BytesMut::new(),
            got: BytesMut::new(),
            correlation: 0,
            piece: usize::MAX,
        }
    }

    /// A world with a topic of so many partitions.
    pub(super) fn with_topic(name: &str, num_partitions: i32) -> Self {
        let mut world = Self::new();
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.to_owned(),
                num_partitions,
                replication_factor: 1,
                ..CreatableTopic::default()
            }],
            ..CreateTopicsRequest::default()
        };
        let response: CreateTopicsResponse = world.ask(7, &request);
        assert_eq!(response.topics[0].error_code, 0);
        world
    }

    /// Deletes a topic and makes it anew, as another client would.
    pub(super) fn remake(&mut self, name: &str) {
        let name = Name::new(name).unwrap();
        let requests = [
            LogRequest::Delete { name: name.clone() },
            LogRequest::Declare {
                name,
                settings: LogSettings::default(),
                dry_run: false,
            },
        ];
        for request in requests {
            let request = Box::new(request);
            let request = Request::Log { number: 0, request };
            let requests = vec![(Lane::default(), request)];
            self.broker.handle(Batch { requests });
        }
    }

    /// Gives the session bytes, and goes on until nothing moves.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.piece) {
            self.input.extend_from_slice(piece);
            self.turn();
        }
    }

    pub(super) fn turn(&mut self) {
        loop {
            let before = self.input.len();
            if !self.session.is_waiting() && !self.session.is_done() && !self.input.is_empty() {
                self.session.handle_input(&mut self.input, self.now);
            }
            let mut batch = Batch::default();
            self.session.poll_requests(&mut batch);
            let asked = !batch.requests.is_empty();
            for event in self.broker.handle(batch) {
                self.session.handle_event(event, self.now);
            }
            self.write();
            if !asked && (self.input.len() == before || self.session.is_waiting()) {
                return;
            }
        }
    }

    fn write(&mut self) {
        let out = self.session.outbound();
        while !out.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 8];
            let filled = out.slices(&mut slices);
            let bytes: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
            out.advance(bytes.len());
            self.got.extend_from_slice(&bytes);
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.session.handle_event(event, self.now);
        self.turn();
    }

    /// Sends a request; gives its correlation id.
    pub(super) fn send<M: Message>(&mut self, version: i16, request: &M) -> i32 {
        self.correlation += 1;
        let mut bytes = BytesMut::new();
        write_request(
            &mut bytes,
            version,
            self.correlation,
            Some("tests"),
            request,
        );
        self.push(&bytes);
        self.correlation
    }

    /// The next answer's frame.
    pub(super) fn frame(&mut self) -> Option<Bytes> {
        split_frame(&mut self.got, 1 << 30).unwrap()
    }

    /// Takes the next answer, which is to this correlation id.
    pub(super) fn take<M: Message>(&mut self, version: i16, correlation: i32) -> M {
        let frame = self.frame().expect("an answer");
        let mut reader = Reader::new(&frame);
        assert_eq!(
            read_response_header(&mut reader, M::API, version).unwrap(),
            correlation
        );
        let response = M::decode(&mut reader, version).unwrap();
        reader.finish().unwrap();
        response
    }

    /// Sends a request and takes its answer.
    pub(super) fn ask<Q: Message, A: Message>(&mut self, version: i16, request: &Q) -> A {
        let correlation = self.send(version, request);
        self.take(version, correlation)
    }

    pub(super) fn metadata(&mut self, version: i16, request: &MetadataRequest) -> MetadataResponse {
        self.ask(version, request)
    }

    pub(super) fn fault(&self) -> String {
        assert!(self.session.is_done());
        self.session.fault().unwrap_or_default()
    }
}

/// A batch of records with these values, times counting from 1000.
pub(super) fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for (value, time) in values.iter().zip(1000..) {
        let none: [RecordHeader<'_>; 0] = [];
        builder.push(time, Some(b"key"), Some(value.as_bytes()), none.into_iter());
    }
    builder.finish(0, -1).unwrap()
}

pub(super) fn produce(topic: &str, index: i32, acks: i16, records: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData {
                index,
                records: Some(records),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

pub(super) fn fetch(topic: &str, partitions: &[(i32, i64)], max_wait_ms: i32) -> FetchRequest {
    let partitions = partitions
        .iter()
        .map(|(partition, fetch_offset)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        });
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            partitions: partitions.collect(),
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}
