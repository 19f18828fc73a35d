//! Letting a client in: by what CONNECT says, or as the user of those that do not say who they are.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use polybus_model::{Credentials, Error, Kind, Lane, Millis, Name, Reply, Request};
use polybus_session::Peer;

use super::permissions::Permissions;
use super::{Connection, Phase, must_encrypt};
use crate::VERSION;
use crate::codec::{Connect, Info};
use crate::error::Fault;
use crate::nkey::PublicKey;
use crate::settings::{Settings, Upgrade};

/// The user, and the first password, of a fresh data folder.
const FIRST_USER: &str = "guest";
/// The newest protocol that is spoken.
const PROTOCOL_MAX: i64 = 1;

/// What a client is told when it comes.
pub(super) fn info(settings: &Settings, server_id: &str, client_id: u64, peer: &Peer) -> Info {
    let nonce = match settings.nkeys.is_empty() {
        true => String::new(),
        false => {
            let (high, low) = ((settings.random)(), (settings.random)());
            let bytes = (u128::from(high) << 64 | u128::from(low)).to_le_bytes();
            URL_SAFE_NO_PAD.encode(bytes)
        }
    };
    Info {
        server_id: server_id.to_owned(),
        server_name: settings.server_name.clone(),
        version: VERSION.to_owned(),
        proto: 1,
        go: "",
        host: peer.local.ip().to_string(),
        port: peer.local.port(),
        headers: true,
        auth_required: settings.auth_required,
        tls_required: settings.upgrade == Upgrade::Required,
        tls_verify: settings.upgrade != Upgrade::None && settings.certificates_required,
        tls_available: settings.upgrade == Upgrade::Offered,
        max_payload: settings.payload_bytes_max,
        jetstream: true,
        client_id,
        client_ip: peer.remote.ip().to_string(),
        nonce,
        is_leaving: false,
    }
}

impl Connection {
    /// Whether a client that nobody knows yet may begin with an operation of that first byte: CONNECT, or anything where
    /// nobody has to say who it is.
    pub(super) fn may_begin_with(&mut self, first: Option<u8>) -> Result<bool, Fault> {
        let Some(first) = first else {
            return Ok(false);
        };
        if must_encrypt(&self.settings, &self.peer) {
            return Err(Fault::TlsRequired);
        }
        if first.eq_ignore_ascii_case(&b'C') {
            return Ok(true);
        }
        if self.settings.auth_required {
            return Err(Fault::Unauthorized);
        }
        self.begin_anonymous();
        Ok(false)
    }

    /// CONNECT. Once it is in, a client may change what it wants, but not who it is.
    pub(super) fn handle_connect(&mut self, connect: Connect, now: Millis) -> Result<(), Fault> {
        if !(0..=PROTOCOL_MAX).contains(&connect.protocol) {
            return Err(Fault::BadProtocol);
        }
        if connect.no_responders && !connect.headers {
            return Err(Fault::NoRespondersWithoutHeaders);
        }
        self.keepalive.heard(now);
        self.has_connected = true;
        let is_known = self.phase == Phase::Running;
        let credentials = if is_known {
            None
        } else {
            Some(self.credentials(&connect)?)
        };
        self.connect = connect;
        match credentials {
            Some(credentials) => self.prove(credentials),
            None => self.confirm(),
        }
        Ok(())
    }

    /// Who a client says it is.
    fn credentials(&self, connect: &Connect) -> Result<Credentials, Fault> {
        let said = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        if let Some(key) = said(&connect.nkey) {
            let user = self.user_of_key(&key, connect.sig.as_deref());
            return user
                .map(|user| Credentials::Checked { user })
                .ok_or(Fault::Unauthorized);
        }
        if let Some(token) = said(&connect.auth_token) {
            let user = self.user_of_token(&token);
            return user
                .map(|user| Credentials::Checked { user })
                .ok_or(Fault::Unauthorized);
        }
        if let Some(user) = said(&connect.user) {
            let password = connect.pass.clone().unwrap_or_default();
            return Ok(Credentials::Password { user, password });
        }
        if let Some(user) = self
            .peer
            .certificate_name
            .clone()
            .filter(|_| self.settings.certificates)
        {
            return Ok(Credentials::Certificate { user });
        }
        if self.settings.auth_required || connect.has_credentials() {
            return Err(Fault::Unauthorized);
        }
        Ok(self.anonymous())
    }

    /// The user of a key, if the nonce is signed with it.
    fn user_of_key(&self, key: &str, signature: Option<&str>) -> Option<String> {
        let key = PublicKey::parse(key).ok()?;
        let (user, _) = self
            .settings
            .nkeys
            .iter()
            .find(|(_, known)| *known == key)?;
        let text = signature?;
        let signature = URL_SAFE_NO_PAD
            .decode(text)
            .or_else(|_| STANDARD.decode(text))
            .ok()?;
        let is_signed = (self.settings.verify)(&key.0, self.info.nonce.as_bytes(), &signature);
        is_signed.then(|| user.clone())
    }

    fn user_of_token(&self, token: &str) -> Option<String> {
        // All are compared, each in the same time wherever it differs.
        let mut found = None;
        for (user, known) in &self.settings.tokens {
            if is_same(known.as_bytes(), token.as_bytes()) {
                found = Some(user.clone());
            }
        }
        found
    }

    fn anonymous(&self) -> Credentials {
        match &self.settings.anonymous {
            Some(user) => Credentials::Anonymous { user: user.clone() },
            // As whoever says `guest` and `guest`: from this machine, while that is its password.
            None => Credentials::Password {
                user: FIRST_USER.to_owned(),
                password: FIRST_USER.to_owned(),
            },
        }
    }

    /// A client that does not say who it is.
    pub(super) fn begin_anonymous(&mut self) {
        let credentials = self.anonymous();
        self.prove(credentials);
    }

    fn prove(&mut self, credentials: Credentials) {
        self.user = Some(credentials.user().to_owned());
        let request = Request::Authenticate(credentials);
        self.requests.push((Lane::default(), request));
        self.phase = Phase::Proving;
    }

    /// The broker has looked at who it is, or let it into the namespace.
    pub(super) fn handle_login_reply(
        &mut self,
        result: Result<Reply, Box<Error>>,
        now: Millis,
    ) -> Result<(), Fault> {
        if !matches!(self.phase, Phase::Proving | Phase::Entering) {
            return Ok(());
        }
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => {
                let user = self.user.take().unwrap_or_default();
                let why = match &error.kind {
                    Kind::BadCredentials => "the user or password is wrong".to_owned(),
                    Kind::AccessRefused(text) => text.clone(),
                    _ => error.to_string(),
                };
                self.complain(Fault::Unauthorized.text());
                self.finish(Some(format!(
                    "the login of user '{}' was refused: {why}",
                    user.escape_default()
                )));
                return Ok(());
            }
        };
        if self.phase == Phase::Proving {
            let namespace = Name::new(&self.settings.namespace).map_err(|_| Fault::Unauthorized)?;
            self.requests
                .push((Lane::default(), Request::Open { namespace }));
            self.phase = Phase::Entering;
            return Ok(());
        }
        if let Reply::Entered(rules) = reply {
            self.permissions = Some(Box::new(Permissions::new(&rules, now)));
        }
        self.phase = Phase::Running;
        if self.has_connected {
            self.confirm();
        }
        Ok(())
    }
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |seen, (a, b)| seen | a ^ b);
    differences == 0 && a.len() == b.len()
}
