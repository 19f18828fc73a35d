//! Which protocol a connection speaks: its first bytes decide.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use polybus_session::{Claim, Protocol};
use tokio::io::{AsyncRead, AsyncReadExt};

/// No protocol needs more to tell.
const SNIFF_BYTES_MAX: usize = 64;

/// Reads until a protocol claims the bytes; gives them with it. Where none does, the first is taken: it tells the peer in its
/// own words; where there is only one, nothing is read. None if the peer left without a byte.
pub(crate) async fn sniff<S: AsyncRead + Unpin>(
    socket: &mut S,
    protocols: &[Arc<dyn Protocol>],
) -> io::Result<Option<(Arc<dyn Protocol>, BytesMut)>> {
    if let [only] = protocols {
        return Ok(Some((Arc::clone(only), BytesMut::new())));
    }
    let mut first = BytesMut::with_capacity(SNIFF_BYTES_MAX);
    loop {
        let read = socket.read_buf(&mut first).await?;
        if first.is_empty() {
            return Ok(None);
        }
        let mut may_tell = false;
        for protocol in protocols {
            match protocol.claims(&first) {
                Claim::Yes => return Ok(Some((Arc::clone(protocol), first))),
                Claim::No => {}
                Claim::NeedMore => may_tell = true,
            }
        }
        if !may_tell || read == 0 || first.len() >= SNIFF_BYTES_MAX {
            return Ok(protocols
                .first()
                .map(|protocol| (Arc::clone(protocol), first)));
        }
    }
}
