//! A session of the administrator's own.

use std::collections::VecDeque;

use polybus_model::{Batch, Event, Lane, Reply, Request};
use polybus_session::Peer;

use super::{Failure, Result, named, told};
use crate::broker::Broker;
use crate::connection::Connection;

/// A short-lived session of the administrator's own, allowed everything.
pub(super) struct Visitor {
    connection: Connection,
    events: VecDeque<Event>,
}

impl Visitor {
    pub(super) fn enter(broker: &Broker, namespace: &str) -> Result<Self> {
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let peer = Peer {
            remote: nowhere,
            local: nowhere,
            tls: false,
            certificate_name: None,
        };
        let mut connection = broker
            .connect("admin", &peer)
            .map_err(|error| Failure(error.to_string()))?;
        connection.enter_freely(&named(namespace)?).map_err(told)?;
        Ok(Self {
            connection,
            events: VecDeque::new(),
        })
    }

    pub(super) fn submit(&mut self, request: Request) {
        self.connection.submit(&mut Batch {
            requests: vec![(Lane(0), request)],
        });
    }

    pub(super) fn submit_all(&mut self, batch: &mut Batch) {
        self.connection.submit(batch);
    }

    pub(super) fn ask(&mut self, request: Request) -> Result<Reply> {
        self.submit(request);
        loop {
            match self.next_event()? {
                Event::Reply { result, .. } => return result.map_err(told),
                Event::Failed { error, .. } => return Err(told(error)),
                _ => {}
            }
        }
    }

    pub(super) fn next_event(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return match event {
                    Event::Shutdown { reason } => Err(Failure(reason)),
                    event => Ok(event),
                };
            }
            self.connection.wait_for_events();
            let mut events = Vec::new();
            self.connection.take_events(&mut events);
            self.events.extend(events);
        }
    }
}
