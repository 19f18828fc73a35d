//! "Did you mean": the known name that takes the fewest edits.

/// The name of `known` nearest to `wrong`, if it is near enough to be what was meant.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (edits(wrong, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3))
        .map(|(_, name)| name)
}

/// The insertions, deletions and replacements from one to the other. Of hostile length: it is cut.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(200).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, cell) in to.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            let here = (diagonal + usize::from(a != *b))
                .min(above + 1)
                .min(left + 1);
            (diagonal, left, *cell) = (above, here, here);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        assert_eq!(edits("listen", "listen"), 0);
        assert_eq!(edits("lisen", "listen"), 1);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
    }

    #[test]
    fn names_what_was_meant() {
        let known = ["amqp.listen", "amqp.tls-listen", "data"];
        assert_eq!(
            nearest("amqp.lisen", known.into_iter()),
            Some("amqp.listen")
        );
        assert_eq!(nearest("dat", known.into_iter()), Some("data"));
        assert_eq!(nearest("entirely-else", known.into_iter()), None);
    }
}
