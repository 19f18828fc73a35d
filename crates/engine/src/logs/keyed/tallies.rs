//! Messages that add: each has the number for a body that its key has come to with it.
//!
//! What always holds: in a log that adds, every record's number is known by its offset, in memory.

use polybus_model::{
    Addition, KeyedError, KeyedSettings, LogError, Message, Tally, TallyError, Terms,
};

use super::Keyed;
use crate::logs::partition::Partition;

/// What a message makes of the number that its key has come to; none if it does not add, and need not.
pub(super) fn sum(
    partition: &Partition,
    message: &Message,
    terms: Option<&Terms>,
    rules: &KeyedSettings,
) -> Result<Option<Tally>, LogError> {
    let fail = |error: TallyError| Err(KeyedError::Tally(error).into());
    let adds = terms.and_then(|terms| Some((terms, terms.adds.as_ref()?)));
    let (terms, added) = match adds {
        None if rules.tallies => return fail(TallyError::Missing),
        None => return Ok(None),
        Some((_, Addition::Unreadable)) => return fail(TallyError::Unreadable),
        Some(_) if !rules.tallies => return fail(TallyError::Off),
        Some((terms, Addition::Of(added))) => (terms, added),
    };
    if !message.body().is_empty() {
        return fail(TallyError::Body);
    }
    let expects = terms.log.is_some()
        || terms.offset.is_some()
        || terms.last_of_key.is_some()
        || terms.last_id.is_some();
    if expects || terms.roll_up.is_some() {
        return fail(TallyError::Unreadable);
    }
    let keyed = partition.keyed.as_ref().ok_or(LogError::NotFound)?;
    match keyed.sum_of(message.key()) {
        Ok(None) => Ok(Some(added.clone())),
        Ok(Some(sum)) => Ok(Some(sum.plus(added))),
        Err(error) => fail(error),
    }
}

impl Keyed {
    /// The number that a key has come to, if it has records.
    fn sum_of(&self, key: &[u8]) -> Result<Option<&Tally>, TallyError> {
        let Some(last) = self.keys.key(key).and_then(|key| key.last_before(u64::MAX)) else {
            return Ok(None);
        };
        let sum = self.sums.get(&last);
        sum.map(Some).ok_or(TallyError::Broken)
    }
}
