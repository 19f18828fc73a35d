//! The settings of keyed logs as bytes.
//!
//! ```text
//! flags u8 (1 expires, 2 sealed, 4 denies removal, 8 denies purge, 16 rolls up) | when full u8 | keeps u8 |
//! records_max option | key_records_max option | duplicates_ms u64 | marker_ms option
//! ```

use polybus_model::{Keeps, KeyedSettings, WhenFull};

use crate::record::Corrupt;
use crate::record::codec::{Bounded, Put};
use crate::record::settings::{flags, put_flags};

pub(crate) fn put(out: &mut Vec<u8>, settings: &KeyedSettings) {
    let flags = [
        settings.expires,
        settings.sealed,
        settings.denies_removal,
        settings.denies_purge,
        settings.rolls_up,
    ];
    put_flags(out, flags);
    out.put_u8(match settings.when_full {
        WhenFull::DropOldest => 0,
        WhenFull::Refuse => 1,
        WhenFull::RefuseKey => 2,
    });
    out.put_u8(match settings.keeps {
        Keeps::All => 0,
        Keeps::Wanted => 1,
        Keeps::Unsettled => 2,
    });
    out.put_option(settings.records_max);
    out.put_option(settings.key_records_max);
    out.put_u64(settings.duplicates_ms);
    out.put_option(settings.marker_ms);
}

pub(crate) fn read(from: &mut Bounded<'_>) -> Result<KeyedSettings, Corrupt> {
    let [expires, sealed, denies_removal, denies_purge, rolls_up] = flags(from)?;
    let when_full = match from.u8()? {
        0 => WhenFull::DropOldest,
        1 => WhenFull::Refuse,
        2 => WhenFull::RefuseKey,
        other => return Err(Corrupt(format!("{other} is no way to be full"))),
    };
    let keeps = match from.u8()? {
        0 => Keeps::All,
        1 => Keeps::Wanted,
        2 => Keeps::Unsettled,
        other => return Err(Corrupt(format!("{other} is no way to keep records"))),
    };
    Ok(KeyedSettings {
        records_max: from.option()?,
        key_records_max: from.option()?,
        when_full,
        keeps,
        duplicates_ms: from.u64()?,
        expires,
        marker_ms: from.option()?,
        sealed,
        denies_removal,
        denies_purge,
        rolls_up,
    })
}
