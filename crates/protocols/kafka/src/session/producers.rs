//! Numbers for producers, so that what they send twice is recognised.

use polybus_model::{LogError, LogReply, LogRequest, TransactionalProducer};

use super::core::{Core, wire_offset};
use super::pending::Step;
use crate::codec::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::error::{Code, of_log};

/// Gives a number.
pub(super) fn init(_core: &mut Core, request: InitProducerIdRequest, _version: i16) -> Step {
    let refused = |code: Code| {
        Step::answer(InitProducerIdResponse {
            error_code: code.0,
            ..InitProducerIdResponse::default()
        })
    };
    let transactional = match request.transactional_id {
        None => None,
        Some(name) if name.is_empty() => return refused(Code::INVALID_REQUEST),
        Some(name) => {
            let Ok(timeout_ms @ 1..) = u64::try_from(request.transaction_timeout_ms) else {
                return refused(Code::INVALID_TRANSACTION_TIMEOUT);
            };
            Some(TransactionalProducer { name, timeout_ms })
        }
    };
    let current = u64::try_from(request.producer_id)
        .ok()
        .zip(u16::try_from(request.producer_epoch).ok());
    let ask = LogRequest::OpenProducer {
        transactional,
        current,
    };
    Step::log(ask, move |_, reply| {
        let LogReply::Producer(producer) = reply else {
            return Step::misunderstood();
        };
        match producer {
            Ok((number, epoch)) => Step::answer(InitProducerIdResponse {
                producer_id: wire_offset(number),
                producer_epoch: i16::try_from(epoch).unwrap_or(i16::MAX),
                ..InitProducerIdResponse::default()
            }),
            Err(error) => refused(match error {
                LogError::Fenced => Code::PRODUCER_FENCED,
                LogError::Forbidden => Code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                LogError::Unsupported(_) => Code::INVALID_REQUEST,
                LogError::Unavailable(_) => Code::COORDINATOR_NOT_AVAILABLE,
                other => of_log(&other),
            }),
        }
    })
}
