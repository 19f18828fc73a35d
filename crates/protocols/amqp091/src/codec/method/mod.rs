//! The methods: one type each, and [`Method`] for any of them.
//!
//! A `method!` says all there is to a method's wire form: its ids, who may send it, and its fields in order. Fields that the
//! specification reserves are skipped when read, and written as zero.

mod access;
mod basic;
mod channel;
mod connection;
mod exchange;
mod queue;
mod transaction;

use std::fmt;

use bytes::BytesMut;

use super::error::CodecError;
use super::field::{Field, FieldError, FieldReader, FieldWriter, ShortBytes, ShortText};
use super::table::TableRef;

pub use access::*;
pub use basic::*;
pub use channel::*;
pub use connection::*;
pub use exchange::*;
pub use queue::*;
pub use transaction::*;

/// A method's class and its number in the class.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct MethodId {
    /// The class.
    pub class: u16,
    /// The number in the class.
    pub method: u16,
}

impl MethodId {
    /// Makes an id.
    #[must_use]
    pub const fn new(class: u16, method: u16) -> Self {
        Self { class, method }
    }

    const fn key(self) -> u32 {
        (self.class as u32) << 16 | self.method as u32
    }
}

/// As RabbitMQ names them: `queue.declare`, and the numbers where there is no name.
impl fmt::Display for MethodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}.{}", self.class, self.method),
        }
    }
}

/// Who may send a method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// Clients only.
    Client,
    /// Servers only.
    Server,
    /// Both.
    Both,
}

/// What can be written as a method: each method's type, and [`Method`].
pub trait Encode {
    /// Its id.
    fn id(&self) -> MethodId;
    /// At most so many octets, without the id.
    fn size_bound(&self) -> usize;
    /// Appends the fields, without the id.
    fn encode(&self, out: &mut BytesMut);
}

/// One method's type, its ids and its fields in order.
macro_rules! method {
    (
        $(#[$doc:meta])*
        $name:ident $(<$lt:lifetime>)? = ($class:literal, $method:literal)
        $([$($before:ty),*])?
        { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* }
        $([$($after:ty),*])?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Debug, Default)]
        pub struct $name $(<$lt>)? { $($(#[$field_doc])* pub $field: $ty,)* }

        impl $(<$lt>)? $name $(<$lt>)? {
            /// Its id.
            pub const ID: MethodId = MethodId::new($class, $method);
        }

        impl<'a> $name $(<$lt>)? {
            #[inline(always)]
            pub(in super::super) fn parse(fields: &'a [u8]) -> Result<Self, FieldError> {
                #[allow(unused_mut, reason = "some methods have no fields")]
                let mut reader = FieldReader::new(fields);
                $($(<$before>::read(&mut reader)?;)*)?
                let parsed = Self { $($field: <$ty>::read(&mut reader)?,)* };
                $($(<$after>::read(&mut reader)?;)*)?
                reader.finish()?;
                Ok(parsed)
            }
        }

        impl $(<$lt>)? Encode for $name $(<$lt>)? {
            #[inline]
            fn id(&self) -> MethodId {
                Self::ID
            }

            #[inline]
            fn size_bound(&self) -> usize {
                0 $($(+ <$before>::default().size_bound())*)?
                    $(+ self.$field.size_bound())*
                    $($(+ <$after>::default().size_bound())*)?
            }

            #[inline]
            fn encode(&self, out: &mut BytesMut) {
                #[allow(unused_mut, reason = "some methods have no fields")]
                let mut writer = FieldWriter::new(out);
                $($(<$before>::default().write(&mut writer);)*)?
                $(self.$field.write(&mut writer);)*
                $($(<$after>::default().write(&mut writer);)*)?
                writer.finish();
            }
        }

        impl<'a> From<$name $(<$lt>)?> for Method<'a> {
            fn from(method: $name $(<$lt>)?) -> Self {
                Self::$name(method)
            }
        }
    };
}
use method;

/// All methods, with their names and who may send them.
macro_rules! methods {
    ($($name:ident $(<$lt:lifetime>)? $text:literal $sender:ident,)*) => {
        /// Any method.
        #[derive(Clone, Copy, PartialEq, Debug)]
        pub enum Method<'a> {
            $(#[doc = concat!("`", $text, "`")] $name($name $(<$lt>)?),)*
        }

        impl<'a> Method<'a> {
            /// Every method's id.
            pub const IDS: &'static [MethodId] = &[$($name::ID),*];

            #[allow(non_upper_case_globals, reason = "each constant is named for its method")]
            #[inline(never)]
            pub(super) fn parse_any(id: MethodId, fields: &'a [u8]) -> Result<Self, CodecError> {
                $(const $name: u32 = $name::ID.key();)*
                let parsed = match id.key() {
                    $($name => $name::parse(fields).map(Self::$name),)*
                    _ => return Err(CodecError::UnknownMethod(id)),
                };
                parsed.map_err(|error| refusal(id, error))
            }
        }

        impl MethodId {
            /// The method's name, as RabbitMQ writes it.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                $(if self == $name::ID { return Some($text); })*
                None
            }

            /// Who may send the method; none if there is no such method.
            #[must_use]
            pub fn sender(self) -> Option<Sender> {
                $(if self == $name::ID { return Some(Sender::$sender); })*
                None
            }
        }

        impl Encode for Method<'_> {
            fn id(&self) -> MethodId {
                match self { $(Self::$name(method) => method.id(),)* }
            }

            fn size_bound(&self) -> usize {
                match self { $(Self::$name(method) => method.size_bound(),)* }
            }

            fn encode(&self, out: &mut BytesMut) {
                match self { $(Self::$name(method) => method.encode(out),)* }
            }
        }
    };
}

methods! {
    ConnectionStart<'a> "connection.start" Server,
    ConnectionStartOk<'a> "connection.start_ok" Client,
    ConnectionSecure<'a> "connection.secure" Server,
    ConnectionSecureOk<'a> "connection.secure_ok" Client,
    ConnectionTune "connection.tune" Server,
    ConnectionTuneOk "connection.tune_ok" Client,
    ConnectionOpen<'a> "connection.open" Client,
    ConnectionOpenOk "connection.open_ok" Server,
    ConnectionClose<'a> "connection.close" Both,
    ConnectionCloseOk "connection.close_ok" Both,
    ConnectionBlocked<'a> "connection.blocked" Server,
    ConnectionUnblocked "connection.unblocked" Server,
    ConnectionUpdateSecret<'a> "connection.update_secret" Client,
    ConnectionUpdateSecretOk "connection.update_secret_ok" Server,
    ChannelOpen "channel.open" Client,
    ChannelOpenOk "channel.open_ok" Server,
    ChannelFlow "channel.flow" Both,
    ChannelFlowOk "channel.flow_ok" Both,
    ChannelClose<'a> "channel.close" Both,
    ChannelCloseOk "channel.close_ok" Both,
    AccessRequest<'a> "access.request" Client,
    AccessRequestOk "access.request_ok" Server,
    ExchangeDeclare<'a> "exchange.declare" Client,
    ExchangeDeclareOk "exchange.declare_ok" Server,
    ExchangeDelete<'a> "exchange.delete" Client,
    ExchangeDeleteOk "exchange.delete_ok" Server,
    ExchangeBind<'a> "exchange.bind" Client,
    ExchangeBindOk "exchange.bind_ok" Server,
    ExchangeUnbind<'a> "exchange.unbind" Client,
    ExchangeUnbindOk "exchange.unbind_ok" Server,
    QueueDeclare<'a> "queue.declare" Client,
    QueueDeclareOk<'a> "queue.declare_ok" Server,
    QueueBind<'a> "queue.bind" Client,
    QueueBindOk "queue.bind_ok" Server,
    QueuePurge<'a> "queue.purge" Client,
    QueuePurgeOk "queue.purge_ok" Server,
    QueueDelete<'a> "queue.delete" Client,
    QueueDeleteOk "queue.delete_ok" Server,
    QueueUnbind<'a> "queue.unbind" Client,
    QueueUnbindOk "queue.unbind_ok" Server,
    BasicQos "basic.qos" Client,
    BasicQosOk "basic.qos_ok" Server,
    BasicConsume<'a> "basic.consume" Client,
    BasicConsumeOk<'a> "basic.consume_ok" Server,
    BasicCancel<'a> "basic.cancel" Both,
    BasicCancelOk<'a> "basic.cancel_ok" Both,
    BasicPublish<'a> "basic.publish" Client,
    BasicReturn<'a> "basic.return" Server,
    BasicDeliver<'a> "basic.deliver" Server,
    BasicGet<'a> "basic.get" Client,
    BasicGetOk<'a> "basic.get_ok" Server,
    BasicGetEmpty "basic.get_empty" Server,
    BasicAck "basic.ack" Both,
    BasicReject "basic.reject" Client,
    BasicRecoverAsync "basic.recover_async" Client,
    BasicRecover "basic.recover" Client,
    BasicRecoverOk "basic.recover_ok" Server,
    BasicNack "basic.nack" Both,
    ConfirmSelect "confirm.select" Client,
    ConfirmSelectOk "confirm.select_ok" Server,
    TxSelect "tx.select" Client,
    TxSelectOk "tx.select_ok" Server,
    TxCommit "tx.commit" Client,
    TxCommitOk "tx.commit_ok" Server,
    TxRollback "tx.rollback" Client,
    TxRollbackOk "tx.rollback_ok" Server,
}

impl<'a> Method<'a> {
    /// Reads the payload of a method frame.
    ///
    /// # Errors
    /// [`CodecError`] if there is no such method or its fields are malformed.
    pub fn parse(payload: &'a [u8]) -> Result<Self, CodecError> {
        let (id, fields) = split(payload)?;
        Self::parse_any(id, fields)
    }

    /// True for the methods that a content follows.
    #[must_use]
    pub const fn has_content(&self) -> bool {
        matches!(
            self,
            Self::BasicPublish(_)
                | Self::BasicReturn(_)
                | Self::BasicDeliver(_)
                | Self::BasicGetOk(_)
        )
    }
}

/// Takes the id off a method frame's payload.
#[inline(always)]
pub(super) fn split(payload: &[u8]) -> Result<(MethodId, &[u8]), CodecError> {
    let Some((&[c1, c0, m1, m0], fields)) = payload.split_first_chunk() else {
        return Err(CodecError::FrameShape(
            super::frame::FrameKind::Method as u8,
        ));
    };
    let class = u16::from_be_bytes([c1, c0]);
    let method = u16::from_be_bytes([m1, m0]);
    Ok((MethodId { class, method }, fields))
}

#[cold]
pub(super) const fn refusal(id: MethodId, error: FieldError) -> CodecError {
    match error {
        FieldError::Length => CodecError::Fields(id),
        FieldError::Text => CodecError::Text(id),
        FieldError::Table(error) => CodecError::Arguments(id, error),
    }
}
