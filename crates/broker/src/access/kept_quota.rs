//! A quota as the journal and the snapshot hold it: `{"user":{"named":"ada"},"client":"default","metered":"bytes-in","rate":1e6}`.
//! The words stay as they are; whoever finds a word that is not here was written by a newer version.

use polybus_model::{Metered, Quota, QuotaChange, QuotaOwner, Whose};
use serde::{Deserialize, Serialize};

/// Whom a part of the owner means.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptWhose {
    Default,
    Named(String),
}

/// What it is about.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptMetered {
    BytesIn,
    BytesOut,
    Time,
    Connections,
    Changes,
}

/// A quota, or that there is none any more.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct KeptQuota {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<KeptWhose>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<KeptWhose>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<KeptWhose>,
    metered: KeptMetered,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
}

impl From<QuotaChange> for KeptQuota {
    fn from(change: QuotaChange) -> Self {
        let kept = |whose| match whose {
            Whose::Default => KeptWhose::Default,
            Whose::Named(name) => KeptWhose::Named(name),
        };
        Self {
            user: change.owner.user.map(kept),
            client: change.owner.client.map(kept),
            host: change.owner.host.map(kept),
            metered: match change.metered {
                Metered::BytesIn => KeptMetered::BytesIn,
                Metered::BytesOut => KeptMetered::BytesOut,
                Metered::Time => KeptMetered::Time,
                Metered::Connections => KeptMetered::Connections,
                Metered::Changes => KeptMetered::Changes,
            },
            rate: change.rate,
        }
    }
}

impl From<Quota> for KeptQuota {
    fn from(quota: Quota) -> Self {
        QuotaChange {
            owner: quota.owner,
            metered: quota.metered,
            rate: Some(quota.rate),
        }
        .into()
    }
}

impl From<KeptQuota> for QuotaChange {
    fn from(kept: KeptQuota) -> Self {
        let whose = |kept| match kept {
            KeptWhose::Default => Whose::Default,
            KeptWhose::Named(name) => Whose::Named(name),
        };
        Self {
            owner: QuotaOwner {
                user: kept.user.map(whose),
                client: kept.client.map(whose),
                host: kept.host.map(whose),
            },
            metered: match kept.metered {
                KeptMetered::BytesIn => Metered::BytesIn,
                KeptMetered::BytesOut => Metered::BytesOut,
                KeptMetered::Time => Metered::Time,
                KeptMetered::Connections => Metered::Connections,
                KeptMetered::Changes => Metered::Changes,
            },
            rate: kept.rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_kept_in_words() {
        let text = r#"{"user":{"named":"ada"},"client":"default","metered":"bytes-in","rate":1.5}"#;
        let kept: KeptQuota = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&kept).unwrap(), text);
        let change = QuotaChange::from(kept.clone());
        assert_eq!(change.owner.client, Some(Whose::Default));
        assert_eq!(KeptQuota::from(change), kept);
        let gone: KeptQuota = serde_json::from_str(r#"{"metered":"changes"}"#).unwrap();
        assert_eq!(QuotaChange::from(gone).rate, None);
    }
}
