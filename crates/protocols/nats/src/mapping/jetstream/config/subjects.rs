//! Which subjects a stream can take.

use super::StreamConfig;
use crate::codec::is_valid;
use crate::mapping::jetstream::ApiError;
use crate::session::filter;

/// Subjects of the server itself: what overlaps with them, what may be taken of them all the same, and whose they are.
const OWN: [(&str, &str, &str); 4] = [
    ("$JS.>", "$JS.EVENT.>", "jetstream"),
    ("$JSC.>", "$JS.EVENT.>", "jetstream"),
    ("$NRG.>", "$JS.EVENT.>", "jetstream"),
    ("$SYS.>", "$SYS.ACCOUNT.>", "system"),
];

impl StreamConfig {
    /// Whether a stream can take these subjects.
    pub(super) fn check_subjects(&self) -> Result<(), ApiError> {
        let refused = |text: &str| Err(ApiError::invalid_config(text));
        for (at, subject) in self.subjects.iter().enumerate() {
            if !is_valid(subject.as_bytes()) {
                return refused("invalid subject");
            }
            if subject == ">" && !self.no_ack {
                return refused("capturing all subjects requires no-ack to be true");
            }
            let ours = filter(subject.as_bytes());
            let is_own = |(own, free, _): &&(&str, &str, &str)| {
                ours.overlaps(&filter(own.as_bytes())) && !filter(free.as_bytes()).covers(&ours)
            };
            if let Some((.., whose)) = OWN.iter().find(is_own)
                && !self.no_ack
            {
                let text =
                    format!("subjects that overlap with {whose} api require no-ack to be true");
                return refused(&text);
            }
            let others = self.subjects.get(at + 1..).unwrap_or_default();
            let mut others = others.iter();
            if let Some(other) = others.find(|other| filter(other.as_bytes()).overlaps(&ours)) {
                let text = format!("subject {subject:?} overlaps with {other:?}");
                return refused(&text);
            }
        }
        Ok(())
    }
}
