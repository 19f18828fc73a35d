//! The settings of share groups by Kafka's names, in one table: what each is, what it is if nobody says otherwise, and what it
//! does to a group that leases.

use polybus_model::{Beginning, GroupSettings, Millis, Name};

use super::topic_settings::{Setting, Sort, number, words};

const BEGINNING: &str = "share.auto.offset.reset";
const COMMITTED: &str = "share.isolation.level";
const LEASE_MS: &str = "share.record.lock.duration.ms";
const ATTEMPTS_MAX: &str = "share.delivery.count.limit";
const UNSETTLED_MAX: &str = "share.partition.max.record.locks";
const DEAD_LETTER: &str = "errors.deadletterqueue.topic.name";
const BY_DURATION: &str = "by_duration:";
const READ_COMMITTED: &str = "read_committed";

/// All of them, by name. The defaults are those of Kafka's broker.
#[rustfmt::skip]
pub(crate) const GROUP_SETTINGS: &[Setting] = &[
    words(DEAD_LETTER, Sort::Text, "", &[]),
    words(BEGINNING, Sort::Text, "latest", &[]),
    number(ATTEMPTS_MAX, Sort::Int, "5", 1),
    words(COMMITTED, Sort::Text, "read_uncommitted", &["read_uncommitted", READ_COMMITTED]),
    number(UNSETTLED_MAX, Sort::Int, "2000", 100),
    number(LEASE_MS, Sort::Int, "30000", 1000),
];

fn group_setting(name: &str) -> Option<&'static Setting> {
    GROUP_SETTINGS.iter().find(|setting| setting.name == name)
}

/// What settings as given come to; fails with what is wrong with them.
pub(crate) fn group_settings(given: Vec<(String, String)>) -> Result<GroupSettings, String> {
    let mut settings = GroupSettings::default();
    for (name, value) in &given {
        let known =
            group_setting(name).ok_or_else(|| format!("Unknown group config name: {name}"))?;
        known.check(value)?;
        let number = value.parse::<u32>().unwrap_or(u32::MAX);
        match name.as_str() {
            BEGINNING => settings.beginning = beginning(value)?,
            COMMITTED => settings.committed = value == READ_COMMITTED,
            LEASE_MS => settings.lease_ms = number.into(),
            ATTEMPTS_MAX => settings.attempts_max = Some(number),
            UNSETTLED_MAX => settings.unsettled_max = number,
            _ => settings.dead_letter = dead_letter(value)?,
        }
    }
    settings.arguments = given;
    Ok(settings)
}

fn dead_letter(value: &str) -> Result<Option<Name>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let name = Name::new(value);
    name.map(Some)
        .map_err(|error| format!("Invalid value {value} for configuration {DEAD_LETTER}: {error}"))
}

fn beginning(value: &str) -> Result<Beginning, String> {
    let age = value.strip_prefix(BY_DURATION).map(duration_ms);
    match (value, age) {
        ("earliest", _) => Ok(Beginning::Start),
        ("latest", _) => Ok(Beginning::End),
        (_, Some(Some(ms))) => Ok(Beginning::Age(ms)),
        _ => Err(format!(
            "Invalid value {value} for configuration {BEGINNING}: must be earliest, latest, or {BY_DURATION} and an ISO 8601 duration"
        )),
    }
}

/// A duration as ISO 8601 has it, of days at most: `P1DT2H30M5.5S`.
fn duration_ms(text: &str) -> Option<Millis> {
    let (days, times) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, times)) if !times.is_empty() => (days, times),
        Some(_) => return None,
        None => (text.strip_prefix('P')?, ""),
    };
    if days.is_empty() && times.is_empty() {
        return None;
    }
    let mut sum: Millis = 0;
    let mut add = |part: &str, unit_ms: Millis| {
        let (whole, fraction) = part.split_once('.').unwrap_or((part, ""));
        let whole: Millis = whole.parse().ok()?;
        sum = sum.checked_add(whole.checked_mul(unit_ms)?)?;
        if !fraction.is_empty() {
            let ms = format!("{fraction:0<3}");
            sum = sum.checked_add(ms.get(..3)?.parse().ok()?)?;
        }
        Some(())
    };
    if !days.is_empty() {
        add(days.strip_suffix('D')?, 86_400_000)?;
    }
    let mut rest = times;
    for (letter, unit_ms) in [('H', 3_600_000), ('M', 60_000), ('S', 1_000)] {
        if let Some((part, behind)) = rest.split_once(letter) {
            add(part, unit_ms)?;
            rest = behind;
        }
    }
    rest.is_empty().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let read = ["PT1H", "P1D", "P1DT2H30M5.5S", "PT0.25S", "PT5M"].map(duration_ms);
        let ms = [3_600_000, 86_400_000, 95_405_500, 250, 300_000];
        assert_eq!(read, ms.map(Some));
        for wrong in ["", "P", "PT", "1H", "PT1X", "PT1M1H", "PTH", "P1DT"] {
            assert_eq!(duration_ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn settings_are_read_by_their_names() {
        let given = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let pairs = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            group_settings(pairs.collect())
        };
        let settings = given(&[
            (BEGINNING, "by_duration:PT1S"),
            (COMMITTED, READ_COMMITTED),
            (LEASE_MS, "15000"),
            (ATTEMPTS_MAX, "2"),
            (DEAD_LETTER, "dead"),
        ])
        .unwrap();
        assert_eq!(settings.beginning, Beginning::Age(1000));
        assert!(settings.committed);
        assert_eq!(
            (settings.lease_ms, settings.attempts_max),
            (15_000, Some(2))
        );
        assert_eq!(settings.dead_letter.unwrap().as_str(), "dead");
        assert_eq!(settings.arguments.len(), 5);
        for wrong in [(BEGINNING, "soon"), (LEASE_MS, "1"), ("retention.ms", "5")] {
            assert!(given(&[wrong]).is_err(), "{wrong:?}");
        }
        for setting in GROUP_SETTINGS {
            assert!(given(&[(setting.name, setting.plain_default())]).is_ok());
        }
    }
}
