//! Where the broker is: `HOST:PORT`, or a whole `amqp://user:password@host:port/vhost`.

use std::{fmt, str::FromStr};

use lapin::uri::{AMQPScheme, AMQPUri};

use crate::Fault;

/// The address of a broker, with the credentials to use there (`guest`/`guest` unless told).
#[derive(Clone, Debug)]
pub struct Address {
    pub(crate) uri: AMQPUri,
}

impl FromStr for Address {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let uri = if text.contains("://") {
            text.to_owned()
        } else {
            format!("amqp://{text}/%2f")
        };
        let bad = |why: &str| {
            Fault::Usage(format!(
                "`{text}` is no address: {why}; write 127.0.0.1:5672"
            ))
        };
        let uri = AMQPUri::from_str(&uri).map_err(|error| bad(&error))?;
        if uri.scheme == AMQPScheme::AMQPS {
            return Err(bad("the shop is built without TLS"));
        }
        if text.is_empty() || text.starts_with(':') {
            return Err(bad("the host is missing"));
        }
        Ok(Self { uri })
    }
}

/// Host and port only: a password is never shown.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_understood_and_no_password_is_shown() {
        let plain: Address = "127.0.0.1:26672".parse().unwrap();
        assert_eq!(
            (plain.to_string().as_str(), plain.uri.vhost.as_str()),
            ("127.0.0.1:26672", "/")
        );
        let whole: Address = "amqp://ada:secret@example.org/shop".parse().unwrap();
        assert_eq!(whole.to_string(), "example.org:5672");
        assert_eq!(whole.uri.vhost, "shop");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":5672",
            "localhost:notaport",
            "http://localhost",
            "amqps://localhost",
        ] {
            assert!(
                matches!(text.parse::<Address>(), Err(Fault::Usage(_))),
                "{text:?}"
            );
        }
    }
}
