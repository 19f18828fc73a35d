//! The SASL mechanisms: a response to credentials.

use polybus_model::Credentials;

use crate::codec::TableRef;

/// A mechanism.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mechanism {
    Plain,
    AmqPlain,
    External,
}

impl Mechanism {
    /// The mechanism of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Plain, Self::AmqPlain, Self::External]
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::AmqPlain => "AMQPLAIN",
            Self::External => "EXTERNAL",
        }
    }

    /// What a response says; none if it is malformed. `certificate` is the name in the peer's verified certificate.
    pub(crate) fn credentials(
        self,
        response: &[u8],
        certificate: Option<&str>,
    ) -> Option<(String, Credentials)> {
        let (user, password) = match self {
            Self::Plain => plain(response)?,
            Self::AmqPlain => amqplain(response)?,
            Self::External => {
                let user = certificate?.to_owned();
                return Some((user.clone(), Credentials::Certificate { user }));
            }
        };
        Some((user.clone(), Credentials::Password { user, password }))
    }
}

/// `[authorization] NUL user NUL password`.
fn plain(response: &[u8]) -> Option<(String, String)> {
    let mut parts = response.split(|byte| *byte == 0);
    let (_, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some((text(user)?, text(password)?))
}

/// The entries of a table, `LOGIN` and `PASSWORD` among them.
fn amqplain(response: &[u8]) -> Option<(String, String)> {
    let table = TableRef::new(response);
    table.check().ok()?;
    let field = |name: &[u8]| text(table.lookup(name)?.as_text()?);
    Some((field(b"LOGIN")?, field(b"PASSWORD")?))
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use polybus_model::{Table, Value};

    use super::*;
    use crate::codec::encode_table;

    fn password(mechanism: Mechanism, response: &[u8]) -> Option<(String, String)> {
        match mechanism.credentials(response, Some("cn"))?.1 {
            Credentials::Password { user, password } => Some((user, password)),
            other => Some((other.user().to_owned(), String::new())),
        }
    }

    #[test]
    fn responses_are_read_or_refused() {
        let both = Some(("u".to_owned(), "p".to_owned()));
        assert_eq!(password(Mechanism::Plain, b"\0u\0p"), both);
        assert_eq!(password(Mechanism::Plain, b"other\0u\0p"), both);
        assert_eq!(password(Mechanism::Plain, b"u\0p"), None);
        assert_eq!(password(Mechanism::Plain, b"\0u\0p\0x"), None);
        let mut table = Table::new();
        table.push("LOGIN", Value::text("u"));
        assert_eq!(password(Mechanism::AmqPlain, &encode_table(&table)), None);
        table.push("PASSWORD", Value::text("p"));
        assert_eq!(password(Mechanism::AmqPlain, &encode_table(&table)), both);
        assert_eq!(password(Mechanism::AmqPlain, b"\x05LOG"), None);
        let certificate = Some(("cn".to_owned(), String::new()));
        assert_eq!(password(Mechanism::External, b""), certificate);
    }
}
