//! One connection with one channel, which is all that each program needs.

use std::time::Duration;

use lapin::{Channel, Connection, ConnectionProperties};
use tokio::time::{sleep, timeout};

use crate::{Address, Fault, say};

/// How long one attempt to connect may take.
const CONNECT_MS_MAX: u64 = 5_000;
/// How long to wait before the next attempt.
const PAUSE_MS: u64 = 300;

/// An open connection and its channel. Dropping it closes both.
#[derive(Debug)]
pub struct Link {
    /// The connection, kept since it closes with its last owner.
    pub connection: Connection,
    /// Where everything happens.
    pub channel: Channel,
}

impl Link {
    /// Says goodbye, so that the broker does not log a lost client. A failure to do so does not matter any more.
    pub async fn close(self) {
        let _ = timeout(
            Duration::from_secs(2),
            self.connection.close(200, "Goodbye".into()),
        )
        .await;
    }

    /// Whether the connection is still there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }
}

/// Connects once.
///
/// # Errors
/// [`Fault::Away`] when nobody answers, [`Fault::Refused`] when the broker says no.
pub async fn connect(address: &Address, program: &str) -> Result<Link, Fault> {
    let properties = ConnectionProperties::default().with_connection_name(program.into());
    let open = async {
        let connection = Connection::connect_uri(address.uri.clone(), properties).await?;
        let channel = connection.create_channel().await?;
        Ok(Link {
            connection,
            channel,
        })
    };
    match timeout(Duration::from_millis(CONNECT_MS_MAX), open).await {
        Ok(opened) => opened,
        Err(_) => Err(Fault::Away("it does not answer".to_owned())),
    }
}

/// Connects as soon as there is a broker, telling the person at the console once why it takes a while.
///
/// # Errors
/// [`Fault::Refused`] when the broker says no.
pub async fn wait_for_broker(address: &Address, program: &str) -> Result<Link, Fault> {
    let mut told = false;
    loop {
        match connect(address, program).await {
            Ok(link) => {
                say(format_args!(
                    "{program}: connected to the broker at {address}"
                ));
                return Ok(link);
            }
            Err(Fault::Away(why)) => {
                if !told {
                    say(format_args!(
                        "{program}: no broker at {address} ({why}). Start one (`polybus serve`), or name another with --address HOST:PORT. Waiting for it ..."
                    ));
                    told = true;
                }
                sleep(Duration::from_millis(PAUSE_MS)).await;
            }
            Err(fault) => return Err(fault),
        }
    }
}
