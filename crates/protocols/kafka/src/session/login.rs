//! Letting a peer in: with SASL PLAIN or SCRAM, by its certificate, or as the user of those that do not log in.
//!
//! ```text
//! PLAIN: token -> Proving -> Entering -> Running
//! SCRAM: token -> Salting (the broker is asked for the salt) -> Challenged -> token -> Proving -> Entering -> Running
//! ```

use bytes::Bytes;
use polybus_model::{Credentials, Error, Kind, Lane, Name, Reply, Request, ScramHash};
use polybus_session::scram::{Scram, signed};

use super::pending::{Body, Step};
use super::{Connection, Phase, dispatch};
use crate::codec::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use crate::codec::{Api, CodecError, Message, Reader, RequestHeader};
use crate::error::Code;

/// The user, and the first password, of a fresh data folder.
const FIRST_USER: &str = "guest";
/// What a peer is told that is not let in, whatever the reason.
const REFUSED: &str = "Authentication failed: Invalid username or password";

/// The mechanisms that are offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mechanism {
    Plain,
    Scram(ScramHash),
}

impl Mechanism {
    const ALL: [Self; 3] = [
        Self::Plain,
        Self::Scram(ScramHash::Sha256),
        Self::Scram(ScramHash::Sha512),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(hash) => hash.name(),
        }
    }
}

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
        let credentials = match (
            &self.core.peer.certificate_name,
            &self.core.settings.anonymous,
        ) {
            // The operator has chosen who signs certificates: so its name is proven.
            (Some(user), _) => Credentials::Certificate { user: user.clone() },
            (None, Some(user)) => Credentials::Anonymous { user: user.clone() },
            // As whoever says `guest` and `guest`: from this machine, while that is its password.
            (None, None) => Credentials::Password {
                user: FIRST_USER.to_owned(),
                password: FIRST_USER.to_owned(),
            },
        };
        self.prove(credentials, Login::Anonymous);
    }

    fn prove(&mut self, credentials: Credentials, login: Login) {
        self.user = Some(credentials.user().to_owned());
        self.ask_broker(Request::Authenticate(credentials));
        self.phase = Phase::Proving(login);
    }

    fn ask_broker(&mut self, request: Request) {
        self.core.requests.push((Lane::default(), request));
    }

    /// SASL bytes without a request around them.
    pub(super) fn begin_raw(&mut self, token: &[u8]) -> Result<(), String> {
        self.take_token(token, Login::Raw)
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

    fn choose(&mut self, name: &str, version: i16) -> Step {
        let mechanism = Mechanism::ALL.into_iter().find(|one| one.name() == name);
        let code = match (&self.phase, mechanism) {
            (Phase::Fresh, Some(mechanism)) => {
                self.phase = Phase::Chosen {
                    mechanism,
                    is_raw: version == 0,
                };
                Code::NONE
            }
            (Phase::Fresh, None) => Code::UNSUPPORTED_SASL_MECHANISM,
            _ => Code::ILLEGAL_SASL_STATE,
        };
        let names = Mechanism::ALL.iter().map(|one| one.name().to_owned());
        Step::answer(SaslHandshakeResponse {
            error_code: code.0,
            mechanisms: names.collect(),
        })
    }

    fn authenticate(&mut self, token: &[u8], header: &RequestHeader) -> Step {
        if !matches!(self.phase, Phase::Chosen { .. } | Phase::Challenged { .. }) {
            let text = "SaslAuthenticate comes after SaslHandshake, once".to_owned();
            return Step::answer(refused(Code::ILLEGAL_SASL_STATE, text));
        }
        let login = Login::Sasl {
            version: header.version,
            correlation: header.correlation_id,
        };
        match self.take_token(token, login) {
            // It is answered when the broker has.
            Ok(()) => Step::Silent,
            Err(text) => {
                self.phase = Phase::Fresh;
                Step::answer(refused(Code::SASL_AUTHENTICATION_FAILED, text))
            }
        }
    }

    /// Takes what a mechanism has the peer say; the text says what is wrong with it.
    fn take_token(&mut self, token: &[u8], login: Login) -> Result<(), String> {
        match std::mem::replace(&mut self.phase, Phase::Fresh) {
            Phase::Chosen {
                mechanism: Mechanism::Plain,
                ..
            } => {
                let credentials = plain(token)
                    .ok_or("Invalid SASL/PLAIN response: it is not [user] NUL user NUL password")?;
                self.prove(credentials, login);
            }
            Phase::Chosen {
                mechanism: Mechanism::Scram(hash),
                ..
            } => {
                let scram = Scram::begin(hash, token).map_err(|error| error.to_string())?;
                self.user = Some(scram.user().to_owned());
                let user = scram.user().to_owned();
                self.ask_broker(Request::LookUpSalt { user, hash });
                self.phase = Phase::Salting(login, scram);
            }
            Phase::Challenged { scram, .. } => {
                let credentials = scram.finish(token).map_err(|error| error.to_string())?;
                self.prove(credentials, login);
            }
            other => self.phase = other,
        }
        Ok(())
    }

    /// The broker has looked at who it is, or let it into the namespace.
    pub(super) fn handle_login_reply(
        &mut self,
        result: Result<Reply, Box<Error>>,
    ) -> Result<(), String> {
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => return Err(self.refuse(&error)),
        };
        match (std::mem::replace(&mut self.phase, Phase::Fresh), reply) {
            (Phase::Salting(login, mut scram), Reply::Salt { salt, iterations }) => {
                let nonce = self.core.settings.random_id();
                let challenge = scram.challenge(&nonce, &salt, iterations);
                self.tell(login, challenge.into());
                let is_raw = matches!(login, Login::Raw);
                self.phase = Phase::Challenged { scram, is_raw };
            }
            (Phase::Proving(login), reply) => {
                let token = match reply {
                    Reply::Proven { signature } => signed(&signature),
                    _ => Bytes::new(),
                };
                let namespace = Name::new(&self.core.settings.namespace)
                    .map_err(|_| "kafka.namespace is too long for a name".to_owned())?;
                self.ask_broker(Request::Open { namespace });
                self.phase = Phase::Entering(login, token);
            }
            (Phase::Entering(login, token), _) => {
                self.phase = Phase::Running;
                let user = self.user.as_deref().unwrap_or_default();
                user.clone_into(&mut self.core.throttle.user);
                self.tell(login, token);
            }
            (other, _) => self.phase = other,
        }
        Ok(())
    }

    /// Gives the peer the mechanism's bytes.
    fn tell(&mut self, login: Login, auth_bytes: Bytes) {
        match login {
            Login::Anonymous => {}
            Login::Sasl {
                version,
                correlation,
            } => {
                let response = SaslAuthenticateResponse {
                    auth_bytes,
                    ..SaslAuthenticateResponse::default()
                };
                response.write(&mut self.core.out, version, correlation);
            }
            Login::Raw => {
                let len = u32::try_from(auth_bytes.len()).unwrap_or(0);
                let out = self.core.out.staged();
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(&auth_bytes);
            }
        }
    }

    /// Tells the peer, where there are words for it, and the operator.
    fn refuse(&mut self, error: &Error) -> String {
        let user = self.user.take().unwrap_or_default();
        let why = match &error.kind {
            Kind::BadCredentials => "the user or password is wrong".to_owned(),
            Kind::AccessRefused(text) => text.clone(),
            _ => error.to_string(),
        };
        match self.phase {
            Phase::Proving(Login::Anonymous) | Phase::Entering(Login::Anonymous, _) => {
                return format!(
                    "it does not log in and may not be user '{user}': {why}; it has to log in (SASL PLAIN or SCRAM), or \
                     kafka.anonymous has to name a user for such clients"
                );
            }
            Phase::Salting(
                Login::Sasl {
                    version,
                    correlation,
                },
                _,
            )
            | Phase::Proving(Login::Sasl {
                version,
                correlation,
            })
            | Phase::Entering(
                Login::Sasl {
                    version,
                    correlation,
                },
                _,
            ) => {
                refused(Code::SASL_AUTHENTICATION_FAILED, REFUSED.to_owned()).write(
                    &mut self.core.out,
                    version,
                    correlation,
                );
            }
            _ => {}
        }
        format!("the login of user '{user}' was refused: {why}")
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
