//! What of records is told to those who listen to a key, copies and reports: as what is published there. Reports are led no further.

use polybus_model::{LiveNote, Message, Name};

use crate::turn::Turn;
use crate::{Engine, Store};

impl Engine {
    /// Tells those who listen to a message's key of it; true if it would lead on, beside that.
    pub(crate) fn tell_copy(
        &mut self,
        namespace: u32,
        topic: &Name,
        message: &Message,
        note: &LiveNote,
        turn: &mut Turn<'_, impl Store>,
    ) -> bool {
        let Self {
            namespaces,
            sessions,
            live,
            options,
            ..
        } = self;
        let Some(found) = namespaces.get_mut(namespace) else {
            return false;
        };
        let Ok(topic) = found.router.live_topic(topic.as_str()) else {
            return false;
        };
        let (listeners, leads_on) = found.router.hear(topic, message.key());
        found.router.live.offer(listeners, |number, listener| {
            live.hand_single(
                (number, listener),
                (message, Some(note)),
                sessions,
                options.live_pending_max,
                turn,
            )
        });
        self.end_told(namespace, turn);
        leads_on
    }
}
