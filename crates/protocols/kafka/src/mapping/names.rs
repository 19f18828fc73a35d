//! What Kafka takes as a topic's name.

/// The greatest length of a topic's name.
const NAME_BYTES_MAX: usize = 249;

/// True for a name that a new topic can have: letters, digits, `.`, `_` and `-`.
pub(crate) fn is_topic_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "A.b_c-9", "...", "__x"] {
            assert!(is_topic_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a b", "ä", "a/b", &"a".repeat(250)] {
            assert!(!is_topic_name(bad), "{bad}");
        }
    }
}
