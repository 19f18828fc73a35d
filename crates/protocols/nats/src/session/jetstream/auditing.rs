//! Requests of the API are told to whoever listens for it: with their answers, and what they did.
//!
//! What always holds: where nobody listens nothing is kept of a request but what its answer needs.

use polybus_model::Millis;
use serde_json::{Value, json};

use super::Connection;
use crate::mapping::jetstream::Advisory;

/// A request that is to be told.
#[derive(Debug)]
pub(super) struct Asked {
    subject: Vec<u8>,
    body: Vec<u8>,
    at: Millis,
}

impl Connection {
    /// Notes a request, if somebody may hear of it.
    pub(super) fn note_asked(&mut self, subject: &[u8], body: &[u8], now: Millis) {
        let asked = self.jetstream.watched().events().then(|| Asked {
            subject: subject.to_vec(),
            body: body.to_vec(),
            at: now,
        });
        self.jetstream.asked = asked.map(Box::new);
    }

    /// What the request that is being answered did, if that is told.
    pub(super) fn action_of(&self, kind: &str, says: &Value) -> Option<Advisory> {
        let asked = self.jetstream.asked.as_ref()?;
        let client = self.client_info();
        Advisory::action(kind, &asked.subject, says, (asked.at, &client))
    }

    /// The request is answered.
    pub(super) fn tell_asked(&mut self, action: Option<Advisory>, answer: &[u8]) {
        let Some(asked) = self.jetstream.asked.take() else {
            return;
        };
        let server = &self.settings.server_name;
        let client = self.client_info();
        let audit = Advisory::api(server, client, &asked.subject, &asked.body, answer);
        for advisory in action.into_iter().chain([audit]) {
            let subject = advisory.subject.clone();
            let told = advisory.text(self.made_up_id(), asked.at);
            self.jetstream
                .answers
                .add_aside(subject.as_bytes(), b"", b"", &told);
        }
    }

    /// Who asks.
    fn client_info(&self) -> Value {
        let mut info = json!({
            "host": self.peer.remote.ip().to_string(),
            "id": self.info.client_id,
            "acc": "$G",
            "server": self.settings.server_name,
            "kind": "Client",
            "client_type": "nats",
        });
        let said = [
            ("user", &self.user),
            ("name", &self.connect.name),
            ("lang", &self.connect.lang),
            ("ver", &self.connect.version),
        ];
        for (key, value) in said {
            if let Some(value) = value {
                info[key] = value.as_str().into();
            }
        }
        info
    }
}
