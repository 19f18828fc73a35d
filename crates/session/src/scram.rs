//! A login by challenge and proof, as RFC 5802 and 7677 have it: what the messages say. Whoever keeps the keys does the sums.
//!
//! ```text
//! n,,n=user,r=nonce           -> Scram::begin        -> the broker is asked for the salt
//! r=nonce+ours,s=salt,i=4096  <- Scram::challenge
//! c=biws,r=nonce+ours,p=proof -> Scram::finish       -> Credentials::Scram
//! v=signature                 <- signed
//! ```
//! What always holds: nothing here tells whether there is such a user. A channel is not bound: where a client says that it could
//! be, that is left alone; where it insists, it is refused.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use polybus_model::{Credentials, ScramHash, ScramProof};

/// A client's nonce may have so many bytes.
const NONCE_BYTES_MAX: usize = 256;

/// Why a client's message was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScramError {
    /// It is not what the mechanism says comes here.
    Malformed,
    /// It asks for something that is not there: a bound channel, an extension, to act for another user.
    Unsupported,
    /// It does not go on from what was said before.
    Mismatch,
}

impl fmt::Display for ScramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the SCRAM message could not be read",
            Self::Unsupported => {
                "channel binding, extensions and acting for another user are not supported with SCRAM"
            }
            Self::Mismatch => "the SCRAM message does not go on from the one before",
        })
    }
}

impl std::error::Error for ScramError {}

/// One login, on the server's side.
#[derive(Debug)]
pub struct Scram {
    hash: ScramHash,
    user: String,
    /// What stands before the client's first message proper: `n,,`.
    header: String,
    /// The client's first message without that.
    first: String,
    /// The nonces: the client's, then with ours behind it.
    nonce: String,
    /// What it was told.
    challenge: String,
}

impl Scram {
    /// Takes the client's first message.
    ///
    /// # Errors
    /// [`ScramError`] says what is wrong with it.
    pub fn begin(hash: ScramHash, message: &[u8]) -> Result<Self, ScramError> {
        let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let (binding, rest) = text.split_once(',').ok_or(ScramError::Malformed)?;
        let (other, first) = rest.split_once(',').ok_or(ScramError::Malformed)?;
        if !matches!(binding, "n" | "y") {
            return Err(ScramError::Unsupported);
        }
        let mut fields = first.split(',');
        let name = fields.next().unwrap_or_default();
        if name.starts_with("m=") {
            return Err(ScramError::Unsupported);
        }
        let user = user_of(field(Some(name), "n=")?)?;
        let nonce = field(fields.next(), "r=")?;
        if user.is_empty() || !is_nonce(nonce) {
            return Err(ScramError::Malformed);
        }
        let acts_for_other = !other.is_empty() && user_of(field(Some(other), "a=")?)? != user;
        if acts_for_other || fields.next().is_some() {
            return Err(ScramError::Unsupported);
        }
        Ok(Self {
            hash,
            user,
            header: format!("{binding},{other},"),
            first: first.to_owned(),
            nonce: nonce.to_owned(),
            challenge: String::new(),
        })
    }

    /// Who the client says it is.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The hash function.
    #[must_use]
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// What to tell the client; `ours` is a nonce that nobody can guess.
    pub fn challenge(&mut self, ours: &str, salt: &[u8], iterations: u32) -> String {
        self.nonce.push_str(ours);
        let salt = STANDARD.encode(salt);
        self.challenge = format!("r={},s={salt},i={iterations}", self.nonce);
        self.challenge.clone()
    }

    /// Takes the client's last message.
    ///
    /// # Errors
    /// [`ScramError`] says what is wrong with it.
    pub fn finish(self, message: &[u8]) -> Result<Credentials, ScramError> {
        let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let (said, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| ScramError::Malformed);
        let proof = decode(proof)?;
        let mut fields = said.split(',');
        let header = decode(field(fields.next(), "c=")?)?;
        let nonce = field(fields.next(), "r=")?;
        if fields.next().is_some() {
            return Err(ScramError::Unsupported);
        }
        // Before the challenge the nonce is the client's own, and nothing can go on from it.
        let is_next = !self.challenge.is_empty() && nonce == self.nonce;
        if !is_next || header != self.header.as_bytes() || proof.len() != self.hash.bytes() {
            return Err(ScramError::Mismatch);
        }
        let said = format!("{},{},{said}", self.first, self.challenge);
        Ok(Credentials::Scram(ScramProof {
            user: self.user,
            hash: self.hash,
            said: said.into(),
            proof: proof.into(),
        }))
    }
}

/// What to tell a client that has proven itself.
#[must_use]
pub fn signed(signature: &[u8]) -> Bytes {
    format!("v={}", STANDARD.encode(signature)).into()
}

fn field<'a>(text: Option<&'a str>, name: &str) -> Result<&'a str, ScramError> {
    let value = text.and_then(|text| text.strip_prefix(name));
    value.ok_or(ScramError::Malformed)
}

fn is_nonce(nonce: &str) -> bool {
    (1..=NONCE_BYTES_MAX).contains(&nonce.len())
        && nonce.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A user's name: `=2C` stands for a comma and `=3D` for an equals sign.
fn user_of(name: &str) -> Result<String, ScramError> {
    let mut parts = name.split('=');
    let mut user = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (letter, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(ScramError::Malformed),
        };
        user.push(letter);
        user.push_str(rest);
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";

    fn begun(message: &[u8]) -> Result<Scram, ScramError> {
        Scram::begin(ScramHash::Sha256, message)
    }

    /// The example of RFC 7677.
    #[test]
    fn a_login_says_what_the_standard_says() {
        let mut scram = begun(FIRST).unwrap();
        assert_eq!(scram.user(), "user");
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let challenge = scram.challenge("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", &salt, 4096);
        let nonce = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        assert_eq!(
            challenge,
            format!("{nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
        );
        let last = format!("c=biws,{nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let Ok(Credentials::Scram(proof)) = scram.finish(last.as_bytes()) else {
            panic!("it was not taken");
        };
        assert_eq!(
            proof.said,
            format!("n=user,r=rOprNGfwEbeRWgbNEkqO,{challenge},c=biws,{nonce}")
        );
        assert_eq!(proof.proof.len(), 32);
        assert_eq!(&signed(b"abc")[..], b"v=YWJj");
    }

    #[test]
    fn what_is_not_a_first_message_is_refused() {
        for bad in [
            &b""[..],
            b"n",
            b"n,",
            b"n,,",
            b"n,,n=u",
            b"n,,n=,r=x",
            b"n,,n=u,r=",
            b"n,,n=\xff,r=x",
            b"n,,n=a=b,r=x",
        ] {
            assert_eq!(begun(bad).unwrap_err(), ScramError::Malformed, "{bad:?}");
        }
        for wish in [
            &b"p=tls-unique,,n=u,r=x"[..],
            b"n,,m=1,n=u,r=x",
            b"n,a=other,n=u,r=x",
            b"n,,n=u,r=x,tokenauth=true",
        ] {
            assert_eq!(
                begun(wish).unwrap_err(),
                ScramError::Unsupported,
                "{wish:?}"
            );
        }
        assert_eq!(
            begun(b"y,a=a=2Cb=3D,n=a=2Cb=3D,r=x").unwrap().user(),
            "a,b="
        );
    }

    #[test]
    fn what_does_not_go_on_is_refused() {
        let finish = |last: &[u8]| {
            let mut scram = begun(FIRST).unwrap();
            scram.challenge("x", b"salt", 4096);
            scram.finish(last).unwrap_err()
        };
        let proof = STANDARD.encode([7; 32]);
        let with = |start: &str| finish(format!("{start},p={proof}").as_bytes());
        assert_eq!(with("c=biws,r=rOprNGfwEbeRWgbNEkqO"), ScramError::Mismatch);
        assert_eq!(with("c=eSws,r=rOprNGfwEbeRWgbNEkqOx"), ScramError::Mismatch);
        assert_eq!(
            with("c=biws,r=rOprNGfwEbeRWgbNEkqOx,m=1"),
            ScramError::Unsupported
        );
        assert_eq!(
            finish(b"c=biws,r=rOprNGfwEbeRWgbNEkqOx,p=YWJj"),
            ScramError::Mismatch
        );
        assert_eq!(
            finish(b"c=biws,r=rOprNGfwEbeRWgbNEkqOx"),
            ScramError::Malformed
        );
        let unasked = begun(FIRST).unwrap();
        let early = format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,p={proof}");
        assert_eq!(
            unasked.finish(early.as_bytes()).unwrap_err(),
            ScramError::Mismatch
        );
    }
}
