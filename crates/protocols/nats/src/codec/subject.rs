//! What is a subject: words with points between, none of them empty.

/// Whether it can be subscribed to: `*` stands for one word, `>` as the last for one or more.
#[must_use]
pub fn is_valid(subject: &[u8]) -> bool {
    let mut is_rest_seen = false;
    subject.split(|&byte| byte == b'.').all(|word| {
        let is_sound = !is_rest_seen && !word.is_empty() && !word.iter().any(is_blank);
        is_rest_seen = word == b">";
        is_sound
    })
}

/// Whether it can be published to: a valid subject in which no word is a wildcard.
#[must_use]
pub fn is_literal(subject: &[u8]) -> bool {
    subject
        .split(|&byte| byte == b'.')
        .all(|word| !word.is_empty() && word != b"*" && word != b">" && !word.iter().any(is_blank))
}

/// What ends a word of a line, or the line.
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_words_with_points_between() {
        for (subject, valid, literal) in [
            (&b"a"[..], true, true),
            (b"a.b.c", true, true),
            (b"a.*.c", true, false),
            (b"a.>", true, false),
            (b">", true, false),
            (b"*", true, false),
            (b"a*.b>", true, true),
            (b"a.>.b", false, false),
            (b">.a", false, false),
            (b"", false, false),
            (b".", false, false),
            (b".a", false, false),
            (b"a.", false, false),
            (b"a..b", false, false),
            (b"a b", false, false),
            (b"a.b\r", false, false),
            ("größe.☃".as_bytes(), true, true),
        ] {
            let text = String::from_utf8_lossy(subject);
            assert_eq!(
                (is_valid(subject), is_literal(subject)),
                (valid, literal),
                "{text}"
            );
        }
    }
}
