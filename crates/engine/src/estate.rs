//! What a deleted queue leaves behind: messages that had died in it and have to be read from the journal before they can be
//! dead-lettered.
//!
//! ```text
//! deleted queue --dying--> estate --loads--> letters, in order --> gone
//! ```
//! What always holds: an estate keeps the places of its messages, so their segments stay; nobody can see or reach it; it ends with
//! its namespace. It is in memory only: a crash before its loads have come ends it, as the journal says that the queue is gone.

use std::mem;

use polybus_model::Message;
use rustc_hash::FxHashMap;

use crate::letters::Next;
use crate::queue::Queue;
use crate::turn::Turn;
use crate::{Engine, Store};

/// By the queues' incarnations.
pub(crate) type Estates = FxHashMap<u64, Box<Queue>>;

impl Engine {
    /// Ends what a deleted queue held, but for what is dying: that is dead-lettered, as soon as it is in memory.
    pub(crate) fn leave_estate(&mut self, mut queue: Box<Queue>, turn: &mut Turn<'_, impl Store>) {
        let dying = mem::take(&mut queue.dying);
        queue.release_all(turn.store);
        queue.dying = dying;
        self.settle_estate(queue, turn);
    }

    /// A load brought messages of a queue that is gone.
    pub(crate) fn estate_loaded(
        &mut self,
        incarnation: u64,
        messages: &[(u64, Message)],
        turn: &mut Turn<'_, impl Store>,
    ) {
        if let Some(mut queue) = self.estates.remove(&incarnation) {
            queue.place_loaded(messages);
            self.settle_estate(queue, turn);
        }
    }

    /// Posts what is in memory, and keeps the rest.
    fn settle_estate(&mut self, mut queue: Box<Queue>, turn: &mut Turn<'_, impl Store>) {
        loop {
            match queue.next_letter(&self.options.header_readers, turn) {
                Next::Letter(message, more_keys) => {
                    self.post(queue.namespace, &message, &more_keys, turn);
                }
                Next::Nowhere => {}
                Next::Later => {
                    self.estates.insert(queue.incarnation, queue);
                    return;
                }
                Next::None => return,
            }
        }
    }

    /// The namespace goes, and with it where letters would have gone.
    pub(crate) fn drop_estates(&mut self, namespace: u32, turn: &mut Turn<'_, impl Store>) {
        self.estates.retain(|_, queue| {
            let stays = queue.namespace != namespace;
            if !stays {
                queue.release_all(turn.store);
            }
            stays
        });
    }
}
