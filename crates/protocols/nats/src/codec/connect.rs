//! CONNECT: what a client says of itself.

use serde::Deserialize;

/// What a client says of itself. A field that it leaves out is as here.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// Each operation is answered with `+OK`.
    pub verbose: bool,
    /// Subjects are checked.
    pub pedantic: bool,
    /// It gets what it publishes itself.
    pub echo: bool,
    /// It reads and may send headers.
    pub headers: bool,
    /// It is told at once when nobody hears a request.
    pub no_responders: bool,
    /// Which protocol: 1 reads INFO at any time.
    pub protocol: i64,
    /// The user.
    pub user: Option<String>,
    /// The password.
    pub pass: Option<String>,
    /// A token instead.
    pub auth_token: Option<String>,
    /// A public key instead,
    pub nkey: Option<String>,
    /// and the server's nonce signed with it.
    pub sig: Option<String>,
    /// A signed claim instead.
    pub jwt: Option<String>,
    /// What it calls itself.
    pub name: Option<String>,
    /// Its language,
    pub lang: Option<String>,
    /// and version.
    pub version: Option<String>,
}

impl Connect {
    /// Reads the JSON; none if it is none.
    #[must_use]
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Whether it says who it is.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        let said = |field: &Option<String>| field.as_ref().is_some_and(|text| !text.is_empty());
        [&self.user, &self.auth_token, &self.nkey, &self.jwt]
            .into_iter()
            .any(said)
    }
}

impl Default for Connect {
    /// As someone is taken who never says CONNECT: a person at a terminal.
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            protocol: 0,
            user: None,
            pass: None,
            auth_token: None,
            nkey: None,
            sig: None,
            jwt: None,
            name: None,
            lang: None,
            version: None,
        }
    }
}

impl std::fmt::Debug for Connect {
    /// Without what is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("name", &self.name)
            .field("lang", &self.lang)
            .field("version", &self.version)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_for_a_person_at_a_terminal() {
        assert_eq!(Connect::parse(b"{}"), Some(Connect::default()));
        let json = br#"{"verbose":false,"pedantic":false,"echo":false,"headers":true,"no_responders":true,
            "protocol":1,"user":"u","pass":"p","lang":"x","version":"1.2","name":"n","unknown":[{}]}"#;
        let connect = Connect::parse(json).unwrap();
        assert!(!connect.verbose && !connect.echo && connect.headers && connect.has_credentials());
        assert!(!format!("{connect:?}").contains("\"p\""));
        for bad in [&b""[..], b"{", b"3", b"{\"verbose\":3}", b"\xff"] {
            assert_eq!(Connect::parse(bad), None);
        }
    }
}
