//! The settings of topics by Kafka's names, in one table: what each is, what it is if nobody says otherwise, and what it
//! does to a log.
//!
//! Those that a log knows take effect; those about files and replicas, which a log here has none of, are checked, kept and
//! shown, so that tools that set them go on working.

use polybus_model::LogSettings;

use crate::Settings;

/// What sort of value a setting has, by Kafka's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sort {
    Boolean = 1,
    Text = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// One setting of a topic.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Kafka's name for it.
    pub(crate) name: &'static str,
    pub(crate) sort: Sort,
    default: &'static str,
    /// The least and greatest number it can be.
    range: (i64, i64),
    /// The words it can be; none: any.
    words: &'static [&'static str],
}

pub(super) const fn number(
    name: &'static str,
    sort: Sort,
    default: &'static str,
    least: i64,
) -> Setting {
    let most = match sort {
        Sort::Int => i32::MAX as i64,
        _ => i64::MAX,
    };
    Setting {
        name,
        sort,
        default,
        range: (least, most),
        words: &[],
    }
}

pub(super) const fn words(
    name: &'static str,
    sort: Sort,
    default: &'static str,
    words: &'static [&'static str],
) -> Setting {
    Setting {
        name,
        sort,
        default,
        range: (0, 0),
        words,
    }
}

/// What the plain default of `message.timestamp.after.max.ms` says.
const FUTURE_MS_MAX: u64 = 3_600_000;

const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
const SWITCH: &[&str] = &["true", "false"];

/// All of them, by name.
#[rustfmt::skip]
pub(crate) const SETTINGS: &[Setting] = &[
    words("cleanup.policy", Sort::List, "delete", &["delete", "compact"]),
    number("compression.gzip.level", Sort::Int, "-1", -1),
    number("compression.lz4.level", Sort::Int, "9", 1),
    words("compression.type", Sort::Text, "producer", CODECS),
    number("compression.zstd.level", Sort::Int, "3", -131_072),
    number("delete.retention.ms", Sort::Long, "86400000", 0),
    number("file.delete.delay.ms", Sort::Long, "60000", 0),
    number("flush.messages", Sort::Long, "9223372036854775807", 1),
    number("flush.ms", Sort::Long, "9223372036854775807", 0),
    words("follower.replication.throttled.replicas", Sort::List, "", &[]),
    number("index.interval.bytes", Sort::Int, "4096", 0),
    words("leader.replication.throttled.replicas", Sort::List, "", &[]),
    number("local.retention.bytes", Sort::Long, "-2", -2),
    number("local.retention.ms", Sort::Long, "-2", -2),
    number("max.compaction.lag.ms", Sort::Long, "9223372036854775807", 1),
    number("max.message.bytes", Sort::Int, "1048588", 0),
    number("message.timestamp.after.max.ms", Sort::Long, "3600000", 0),
    number("message.timestamp.before.max.ms", Sort::Long, "9223372036854775807", 0),
    words("message.timestamp.type", Sort::Text, "CreateTime", &["CreateTime", "LogAppendTime"]),
    words("min.cleanable.dirty.ratio", Sort::Double, "0.5", &[]),
    number("min.compaction.lag.ms", Sort::Long, "0", 0),
    number("min.insync.replicas", Sort::Int, "1", 1),
    words("preallocate", Sort::Boolean, "false", SWITCH),
    words("remote.log.copy.disable", Sort::Boolean, "false", SWITCH),
    words("remote.log.delete.on.disable", Sort::Boolean, "false", SWITCH),
    words("remote.storage.enable", Sort::Boolean, "false", SWITCH),
    number("retention.bytes", Sort::Long, "-1", i64::MIN),
    number("retention.ms", Sort::Long, "604800000", -1),
    number("segment.bytes", Sort::Int, "1073741824", 1_048_576),
    number("segment.index.bytes", Sort::Int, "10485760", 4),
    number("segment.jitter.ms", Sort::Long, "0", 0),
    number("segment.ms", Sort::Long, "604800000", 1),
    words("unclean.leader.election.enable", Sort::Boolean, "false", SWITCH),
];

/// The setting of that name.
pub(crate) fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

impl Setting {
    /// What it is if neither the topic nor the operator says otherwise.
    pub(crate) fn plain_default(&self) -> &'static str {
        self.default
    }

    /// What it is if nobody says otherwise.
    pub(crate) fn default_value(&self, broker: &Settings) -> String {
        match self.name {
            "max.message.bytes" => broker.message_bytes_max.to_string(),
            _ => self.default.to_owned(),
        }
    }

    /// What is wrong with a value, as Kafka says it.
    pub(super) fn check(&self, value: &str) -> Result<(), String> {
        let invalid = |why: String| {
            let name = self.name;
            Err(format!(
                "Invalid value {value} for configuration {name}: {why}"
            ))
        };
        match self.sort {
            Sort::Int | Sort::Long => {
                let (least, most) = self.range;
                match value.trim().parse::<i64>() {
                    Err(_) => invalid("Not a number of type LONG".to_owned()),
                    Ok(number) if number < least => {
                        invalid(format!("Value must be at least {least}"))
                    }
                    Ok(number) if number > most => {
                        invalid(format!("Value must be no more than {most}"))
                    }
                    Ok(_) => Ok(()),
                }
            }
            Sort::Double => match value.trim().parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(()),
                _ => invalid("Value must be between 0 and 1".to_owned()),
            },
            Sort::Boolean | Sort::Text | Sort::List => {
                let is_list = self.sort == Sort::List;
                let mut parts: Vec<&str> = vec![value.trim()];
                if is_list {
                    parts = value.split(',').map(str::trim).collect();
                    parts.retain(|part| !part.is_empty());
                }
                let unknown = |part: &&str| !self.words.contains(part);
                match parts
                    .iter()
                    .find(|part| !self.words.is_empty() && unknown(part))
                {
                    Some(_) => invalid(format!("String must be one of: {}", self.words.join(", "))),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The settings of a new log that nothing is said about but, perhaps, its partitions.
pub(crate) fn new_settings(broker: &Settings, partitions: Option<u32>) -> LogSettings {
    LogSettings {
        partitions: partitions.unwrap_or(broker.partitions),
        run_bytes_max: broker.message_bytes_max,
        future_ms_max: Some(FUTURE_MS_MAX),
        ..LogSettings::default()
    }
}

/// Puts a topic's own settings in force: those of `arguments`, and for all else the defaults. Fails with what is wrong.
pub(crate) fn apply(
    settings: &mut LogSettings,
    broker: &Settings,
    arguments: Vec<(String, String)>,
) -> Result<(), String> {
    let mut fresh = LogSettings {
        durable: settings.durable,
        ..new_settings(broker, Some(settings.partitions))
    };
    for (name, value) in &arguments {
        let setting = setting(name).ok_or_else(|| format!("Unknown topic config name: {name}"))?;
        setting.check(value)?;
        put(&mut fresh, name, value.trim());
    }
    fresh.arguments = arguments;
    *settings = fresh;
    Ok(())
}

/// Puts one setting that was checked in force.
fn put(settings: &mut LogSettings, name: &str, value: &str) {
    let number = || value.parse::<i64>().ok();
    let unsigned = || number().and_then(|number| u64::try_from(number).ok());
    // The greatest number says that there is no bound.
    let is_bound = |number: &u64| *number < i64::MAX as u64;
    let compaction = &mut settings.compaction;
    match name {
        "retention.ms" => settings.retention_ms = unsigned(),
        "retention.bytes" => settings.retention_bytes = unsigned(),
        "cleanup.policy" => {
            let has = |word| value.split(',').any(|part| part.trim() == word);
            settings.trims = has("delete");
            settings.compacts = has("compact");
        }
        "max.message.bytes" => {
            let bytes = number().and_then(|number| u32::try_from(number).ok());
            settings.run_bytes_max = bytes.unwrap_or(settings.run_bytes_max);
        }
        "message.timestamp.type" => settings.stamps = value == "LogAppendTime",
        "message.timestamp.before.max.ms" => settings.past_ms_max = unsigned().filter(is_bound),
        "message.timestamp.after.max.ms" => settings.future_ms_max = unsigned().filter(is_bound),
        "min.compaction.lag.ms" => compaction.lag_ms_min = unsigned().unwrap_or(0),
        "max.compaction.lag.ms" => compaction.lag_ms_max = unsigned().filter(is_bound),
        "min.cleanable.dirty.ratio" => {
            let ratio = value.parse::<f64>().unwrap_or(1.0);
            compaction.dirty_permille = (ratio * 1_000.0) as u32;
        }
        "delete.retention.ms" => {
            compaction.tombstones_ms = unsigned().unwrap_or(compaction.tombstones_ms);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn applied(arguments: &[(&str, &str)]) -> Result<LogSettings, String> {
        let broker = Settings::new(1, Arc::new(|| 0));
        let mut settings = new_settings(&broker, Some(3));
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        apply(
            &mut settings,
            &broker,
            arguments.iter().map(owned).collect(),
        )?;
        Ok(settings)
    }

    #[test]
    fn settings_take_effect() {
        let settings = applied(&[
            ("retention.ms", "-1"),
            ("retention.bytes", "1000"),
            ("cleanup.policy", "compact, delete"),
            ("max.message.bytes", "2000"),
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.after.max.ms", "9223372036854775807"),
            ("message.timestamp.before.max.ms", "5"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("delete.retention.ms", "7"),
        ])
        .unwrap();
        assert_eq!(settings.retention_ms, None);
        assert_eq!(settings.retention_bytes, Some(1000));
        assert!(settings.trims && settings.compacts && settings.stamps);
        assert_eq!((settings.run_bytes_max, settings.partitions), (2000, 3));
        assert_eq!(
            (settings.past_ms_max, settings.future_ms_max),
            (Some(5), None)
        );
        let compaction = settings.compaction;
        assert_eq!(
            (compaction.dirty_permille, compaction.tombstones_ms),
            (10, 7)
        );
        assert_eq!(settings.arguments.len(), 9);
    }

    #[test]
    fn bad_ones_are_refused_in_kafkas_words() {
        assert_eq!(
            applied(&[("no.such", "1")]),
            Err("Unknown topic config name: no.such".into())
        );
        assert_eq!(
            applied(&[("retention.ms", "-2")]),
            Err(
                "Invalid value -2 for configuration retention.ms: Value must be at least -1".into()
            )
        );
        for (name, value) in [
            ("cleanup.policy", "burn"),
            ("segment.bytes", "x"),
            ("max.message.bytes", "99999999999"),
            ("preallocate", "yes"),
            ("min.cleanable.dirty.ratio", "2"),
        ] {
            assert!(applied(&[(name, value)]).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn every_default_is_a_valid_value() {
        for setting in SETTINGS {
            setting.check(setting.default).unwrap();
        }
    }
}
