//! Quotas of clients: nobody has any. They are told, since tools ask for them beside what they were asked for
//! (`kafka-configs --describe --entity-type users`); setting them is not advertised.

use super::core::Core;
use super::pending::Step;
use crate::codec::messages::describe_client_quotas::{
    DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

/// Tells all quotas.
pub(super) fn describe(
    _core: &mut Core,
    _request: DescribeClientQuotasRequest,
    _version: i16,
) -> Step {
    Step::answer(DescribeClientQuotasResponse {
        entries: Some(Vec::new()),
        ..DescribeClientQuotasResponse::default()
    })
}
