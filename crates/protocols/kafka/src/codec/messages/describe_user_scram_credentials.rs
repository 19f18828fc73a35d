//! DescribeUserScramCredentials: who has SCRAM credentials.

use super::*;

message! {
    /// Asks who has SCRAM credentials.
    struct DescribeUserScramCredentialsRequest: DescribeUserScramCredentials {
        users: Option<Vec<UserName>> [0..] null [0..];
    }

    struct UserName {
        name: String [0..];
    }

    /// Who has.
    struct DescribeUserScramCredentialsResponse: DescribeUserScramCredentials {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
        results: Vec<DescribeUserScramCredentialsResult> [0..];
    }

    struct DescribeUserScramCredentialsResult {
        user: String [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
        credential_infos: Vec<CredentialInfo> [0..];
    }

    struct CredentialInfo {
        mechanism: i8 [0..];
        iterations: i32 [0..];
    }
}
