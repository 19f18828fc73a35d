//! Letting a peer in: with SASL PLAIN, or as the user of those that do not log in.

use polybus_model::{Credentials, Error, Kind, Lane, Name, Reply, Request};

use super::pending::{Body, Step};
use super::{Connection, Phase, dispatch};
use crate::codec::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use crate::codec::{Api, CodecError, Message, Reader, RequestHeader};
use crate::error::Code;

/// The mechanisms that are offered.
const MECHANISMS: &[&str] = &["PLAIN"];
/// The user, and the first password, of a fresh data folder.
const FIRST_USER: &str = "guest";

/// How a peer that is being looked at proves who it is, and so how it is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Login {
    /// Not at all.
    Anonymous,
    /// By a request.
    Sasl { version: i16, correlation: i32 },
    /// By bytes without a request around them.
    Raw,
}

impl Connection {
    /// A peer that does not log in.
    pub(super) fn begin_anonymous(&mut self) {
        let credentials = match &self.core.settings.anonymous {
            Some(user) => Credentials::Anonymous { user: user.clone() },
            // As whoever says `guest` and `guest`: from this machine, while that is its password.
            None => Credentials::Password {
                user: FIRST_USER.to_owned(),
                password: FIRST_USER.to_owned(),
            },
        };
        self.prove(credentials, Login::Anonymous);
    }

    fn prove(&mut self, credentials: Credentials, login: Login) {
        self.user = Some(match &credentials {
            Credentials::Password { user, .. }
            | Credentials::Certificate { user }
            | Credentials::Anonymous { user } => user.clone(),
        });
        let request = Request::Authenticate(credentials);
        self.core.requests.push((Lane::default(), request));
        self.phase = Phase::Proving(login);
    }

    /// SASL bytes without a request around them.
    pub(super) fn begin_raw(&mut self, token: &[u8]) -> Result<(), String> {
        let credentials =
            plain(token).ok_or_else(|| "its SASL PLAIN bytes could not be read".to_owned())?;
        self.prove(credentials, Login::Raw);
        Ok(())
    }

    /// SaslHandshake and SaslAuthenticate; none if that version is not spoken.
    pub(super) fn handle_login(
        &mut self,
        api: Api,
        header: &RequestHeader,
        reader: &mut Reader<'_>,
    ) -> Option<Result<Step, CodecError>> {
        if !dispatch::is_spoken_handshake(api, header.version) {
            return None;
        }
        let step = if api == Api::SaslHandshake {
            SaslHandshakeRequest::decode(reader, header.version)
                .map(|request| self.choose(&request.mechanism, header.version))
        } else {
            SaslAuthenticateRequest::decode(reader, header.version)
                .map(|request| self.authenticate(&request.auth_bytes, header))
        };
        Some(step)
    }

    fn choose(&mut self, mechanism: &str, version: i16) -> Step {
        let code = match self.phase {
            Phase::Fresh if MECHANISMS.contains(&mechanism) => {
                self.phase = Phase::Chosen {
                    is_raw: version == 0,
                };
                Code::NONE
            }
            Phase::Fresh => Code::UNSUPPORTED_SASL_MECHANISM,
            _ => Code::ILLEGAL_SASL_STATE,
        };
        Step::answer(SaslHandshakeResponse {
            error_code: code.0,
            mechanisms: MECHANISMS.iter().map(|&name| name.to_owned()).collect(),
        })
    }

    fn authenticate(&mut self, token: &[u8], header: &RequestHeader) -> Step {
        if !matches!(self.phase, Phase::Chosen { .. }) {
            let text = "SaslAuthenticate comes after SaslHandshake, once".to_owned();
            return Step::answer(refused(Code::ILLEGAL_SASL_STATE, text));
        }
        let Some(credentials) = plain(token) else {
            let text =
                "Invalid SASL/PLAIN response: it is not [user] NUL user NUL password".to_owned();
            self.phase = Phase::Fresh;
            return Step::answer(refused(Code::SASL_AUTHENTICATION_FAILED, text));
        };
        self.prove(
            credentials,
            Login::Sasl {
                version: header.version,
                correlation: header.correlation_id,
            },
        );
        // It is answered when the broker has.
        Step::Silent
    }

    /// The broker has looked at who it is, or let it into the namespace.
    pub(super) fn handle_login_reply(
        &mut self,
        result: Result<Reply, Box<Error>>,
    ) -> Result<(), String> {
        let (login, is_proven) = match &self.phase {
            Phase::Proving(login) => (*login, false),
            Phase::Entering(login) => (*login, true),
            _ => return Ok(()),
        };
        if let Err(error) = result {
            return Err(self.refuse(login, &error));
        }
        if !is_proven {
            let namespace = Name::new(&self.core.settings.namespace)
                .map_err(|_| "kafka.namespace is too long for a name".to_owned())?;
            self.core
                .requests
                .push((Lane::default(), Request::Open { namespace }));
            self.phase = Phase::Entering(login);
            return Ok(());
        }
        self.phase = Phase::Running;
        match login {
            Login::Anonymous => {}
            Login::Sasl {
                version,
                correlation,
            } => {
                SaslAuthenticateResponse::default().write(&mut self.core.out, version, correlation)
            }
            Login::Raw => self.core.out.staged().extend_from_slice(&[0; 4]),
        }
        Ok(())
    }

    /// Tells the peer, where there are words for it, and the operator.
    fn refuse(&mut self, login: Login, error: &Error) -> String {
        let user = self.user.take().unwrap_or_default();
        let why = match &error.kind {
            Kind::BadCredentials => "the user or password is wrong".to_owned(),
            Kind::AccessRefused(text) => text.clone(),
            _ => error.to_string(),
        };
        match login {
            Login::Sasl {
                version,
                correlation,
            } => {
                let text = "Authentication failed: Invalid username or password".to_owned();
                refused(Code::SASL_AUTHENTICATION_FAILED, text).write(
                    &mut self.core.out,
                    version,
                    correlation,
                );
                format!("the login of user '{user}' was refused: {why}")
            }
            Login::Raw => format!("the login of user '{user}' was refused: {why}"),
            Login::Anonymous => format!(
                "it does not log in and may not be user '{user}': {why}; it has to log in (SASL PLAIN), or kafka.anonymous \
                 has to name a user for such clients"
            ),
        }
    }
}

fn refused(code: Code, text: String) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        error_code: code.0,
        error_message: Some(text),
        ..SaslAuthenticateResponse::default()
    }
}

/// `[authorization] NUL user NUL password`.
fn plain(token: &[u8]) -> Option<Credentials> {
    let text = std::str::from_utf8(token).ok()?;
    let mut parts = text.split('\0');
    let (on_behalf_of, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let is_sound = parts.next().is_none()
        && !user.is_empty()
        && (on_behalf_of.is_empty() || on_behalf_of == user);
    is_sound.then(|| Credentials::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_read_or_refused() {
        let read = |token: &[u8]| match plain(token)? {
            Credentials::Password { user, password } => Some((user, password)),
            _ => None,
        };
        let both = Some(("u".to_owned(), "p".to_owned()));
        assert_eq!(read(b"\0u\0p"), both);
        assert_eq!(read(b"u\0u\0p"), both);
        for bad in [
            &b"other\0u\0p"[..],
            b"u\0p",
            b"\0u\0p\0",
            b"\0\0p",
            b"\0\xff\0p",
            b"",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
