//! AlterUserScramCredentials: change SCRAM credentials.

use bytes::Bytes;

use super::*;

message! {
    /// Changes SCRAM credentials.
    struct AlterUserScramCredentialsRequest: AlterUserScramCredentials {
        deletions: Vec<ScramCredentialDeletion> [0..];
        upsertions: Vec<ScramCredentialUpsertion> [0..];
    }

    struct ScramCredentialDeletion {
        name: String [0..];
        mechanism: i8 [0..];
    }

    struct ScramCredentialUpsertion {
        name: String [0..];
        mechanism: i8 [0..];
        iterations: i32 [0..];
        salt: Bytes [0..];
        salted_password: Bytes [0..];
    }

    /// What was changed.
    struct AlterUserScramCredentialsResponse: AlterUserScramCredentials {
        throttle_time_ms: i32 [0..];
        results: Vec<AlterUserScramCredentialsResult> [0..];
    }

    struct AlterUserScramCredentialsResult {
        user: String [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
    }
}
