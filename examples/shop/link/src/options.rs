//! Options on the command line: `--name value`, `--name=value` and `--flag`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use shop_contracts::Names;

use crate::{Address, Fault};

/// What was given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Options {
    given: BTreeMap<String, String>,
}

impl Options {
    /// Reads the options. `valued` and `flags` are the known names without their dashes.
    ///
    /// # Errors
    /// [`Fault::Usage`] for what is not known or lacks its value.
    pub fn read(
        words: impl Iterator<Item = String>,
        valued: &[&str],
        flags: &[&str],
    ) -> Result<Self, Fault> {
        let mut given = BTreeMap::new();
        let mut words = words;
        while let Some(word) = words.next() {
            let Some(option) = word.strip_prefix("--") else {
                return Err(Fault::Usage(format!("`{word}` is no option")));
            };
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            };
            let value = if flags.contains(&name) && value.is_none() {
                String::new()
            } else if valued.contains(&name) {
                value
                    .or_else(|| words.next())
                    .ok_or_else(|| Fault::Usage(format!("--{name} needs a value")))?
            } else {
                return Err(Fault::Usage(format!("`{word}` is no option")));
            };
            if given.insert(name.to_owned(), value).is_some() {
                return Err(Fault::Usage(format!("--{name} is given twice")));
            }
        }
        Ok(Self { given })
    }

    /// Whether a flag or option is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The text of an option.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// The value of an option, read as what the caller wants.
    ///
    /// # Errors
    /// [`Fault::Usage`] when it cannot be read so.
    pub fn value<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>, Fault> {
        let read = |text: &str| {
            text.parse()
                .map_err(|error| Fault::Usage(format!("--{name} cannot be `{text}`: {error}")))
        };
        self.text(name).map(read).transpose()
    }

    /// The broker's address: `--address`, else 127.0.0.1:5672.
    ///
    /// # Errors
    /// [`Fault::Usage`] when it is no address.
    pub fn address(&self) -> Result<Address, Fault> {
        self.text("address").unwrap_or("127.0.0.1:5672").parse()
    }

    /// The names on the broker, with `--prefix` in front.
    #[must_use]
    pub fn names(&self) -> Names {
        Names::with_prefix(self.text("prefix").unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, Fault> {
        Options::read(
            line.split_whitespace().map(str::to_owned),
            &["count", "address"],
            &["quick"],
        )
    }

    #[test]
    fn options_are_read_in_both_spellings() {
        let options = read("--count 3 --address=127.0.0.1:1 --quick").unwrap();
        assert_eq!(options.value::<u64>("count").unwrap(), Some(3));
        assert_eq!(options.address().unwrap().to_string(), "127.0.0.1:1");
        assert!(options.has("quick"));
    }

    #[test]
    fn mistakes_are_named() {
        for line in [
            "count",
            "--count",
            "--cuont 3",
            "--quick=yes",
            "--count 1 --count 2",
        ] {
            assert!(matches!(read(line), Err(Fault::Usage(_))), "{line}");
        }
        assert!(
            read("--count three")
                .unwrap()
                .value::<u64>("count")
                .is_err()
        );
    }
}
