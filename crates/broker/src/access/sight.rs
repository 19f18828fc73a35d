//! What of a namespace's logs members of groups may find with patterns: those that their session may describe.

use std::sync::Arc;

use polybus_model::{Batch, GroupRequest, Guarded, Operation, Request, Sight};

use super::Grants;

/// Says it in every sign of life of a batch; the generation is the one that the grants are of.
pub(crate) fn show(batch: &mut Batch, grants: &Arc<Grants>, generation: u64) {
    for (_, request) in &mut batch.requests {
        if let Request::Group { request, .. } = request
            && let GroupRequest::Beat(beat) = &mut **request
        {
            beat.sight = if grants.allows_all() {
                Sight::all(generation)
            } else {
                let grants = Arc::clone(grants);
                Sight::of(generation, move |name| {
                    grants.allows(Operation::Describe, Guarded::Topic, name)
                })
            };
        }
    }
}
