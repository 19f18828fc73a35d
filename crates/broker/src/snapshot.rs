//! What a snapshot holds: whether the broker stopped cleanly right after it, the users, and the engine's own snapshot.
//!
//! ```text
//! version u8 = 1 | clean u8 | users_len u32 LE | users (JSON) | engine
//! ```

use crate::shard::State;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 6;

/// A snapshot taken apart.
pub(crate) struct Snapshot<'a> {
    /// Nothing happened after it.
    pub(crate) clean: bool,
    pub(crate) users: &'a [u8],
    pub(crate) engine: &'a [u8],
}

/// Puts the state into `out`.
pub(crate) fn encode(state: &State, clean: bool, out: &mut Vec<u8>) -> Result<(), String> {
    let users = state
        .catalog
        .to_bytes()
        .map_err(|error| error.to_string())?;
    let users_len =
        u32::try_from(users.len()).map_err(|_| "there are too many users for a snapshot")?;
    out.clear();
    out.extend_from_slice(&[VERSION, u8::from(clean)]);
    out.extend_from_slice(&users_len.to_le_bytes());
    out.extend_from_slice(&users);
    state.engine.snapshot(out);
    Ok(())
}

/// Takes a snapshot's bytes apart.
pub(crate) fn decode(bytes: &[u8]) -> Result<Snapshot<'_>, String> {
    let cut = || "the snapshot is cut short".to_owned();
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(cut)?;
    let &[version, clean, a, b, c, d] = header else {
        return Err(cut());
    };
    if version != VERSION {
        return Err(format!(
            "the snapshot has version {version}, this program reads {VERSION}"
        ));
    }
    let users_len = u32::from_le_bytes([a, b, c, d]) as usize;
    let (users, engine) = rest.split_at_checked(users_len).ok_or_else(cut)?;
    Ok(Snapshot {
        clean: clean == 1,
        users,
        engine,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_snapshot_is_refused() {
        let bytes = [VERSION, 1, 2, 0, 0, 0, b'{', b'}', 9];
        let snapshot = decode(&bytes).unwrap();
        assert!(snapshot.clean);
        assert_eq!((snapshot.users, snapshot.engine), (&b"{}"[..], &[9][..]));
        for len in 0..8 {
            assert!(decode(&bytes[..len]).is_err(), "{len}");
        }
        assert!(decode(&[9, 0, 0, 0, 0, 0]).is_err());
    }
}
