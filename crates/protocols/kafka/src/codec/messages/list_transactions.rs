//! ListTransactions: list transactions.

use super::*;

message! {
    /// Asks which transactions there are.
    struct ListTransactionsRequest: ListTransactions {
        state_filters: Vec<String> [0..];
        producer_id_filters: Vec<i64> [0..];
        duration_filter: i64 [1..] = -1;
        transactional_id_pattern: Option<String> [2..] null [2..];
    }

    /// The transactions.
    struct ListTransactionsResponse: ListTransactions {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        unknown_state_filters: Vec<String> [0..];
        transaction_states: Vec<TransactionState> [0..];
    }

    struct TransactionState {
        transactional_id: String [0..];
        producer_id: i64 [0..];
        transaction_state: String [0..];
    }
}
