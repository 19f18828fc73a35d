//! The sorts of values that settings have, and how they are read. Every error says what was wanted.

use std::time::Duration;

/// When a publish is confirmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Durability {
    /// When it is on disk.
    #[default]
    Fsync,
    /// At once; on disk within 100 ms.
    Interval,
    /// At once; whenever the operating system writes it.
    None,
}

/// Where to listen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Listen {
    /// Nowhere.
    #[default]
    Off,
    /// At each of these.
    At(Vec<Place>),
}

/// One address to listen at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// A host name or address; none is every address.
    pub(crate) host: Option<String>,
    /// The port.
    pub(crate) port: u16,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            None => write!(f, "*:{}", self.port),
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

/// Where clients are told to connect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Advertised {
    /// The host name or address.
    pub(crate) host: String,
    /// The port; none: the one they are connected to.
    pub(crate) port: Option<u16>,
}

/// How much the log tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Level {
    /// Errors.
    Error,
    /// And warnings.
    Warn,
    /// And what an operator wants to see.
    #[default]
    Info,
    /// And what a developer wants to see.
    Debug,
    /// Everything.
    Trace,
}

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

fn choose<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            format!("'{text}' is none of {}", names.join(", "))
        })
}

pub(super) fn durability(text: &str) -> Result<Durability, String> {
    choose(
        text,
        &[
            ("fsync", Durability::Fsync),
            ("interval", Durability::Interval),
            ("none", Durability::None),
        ],
    )
}

pub(super) fn level(text: &str) -> Result<Level, String> {
    choose(
        text,
        &[
            ("error", Level::Error),
            ("warn", Level::Warn),
            ("info", Level::Info),
            ("debug", Level::Debug),
            ("trace", Level::Trace),
        ],
    )
}

pub(super) fn format(text: &str) -> Result<Format, String> {
    choose(text, &[("text", Format::Text), ("json", Format::Json)])
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    choose(text, &[("true", true), ("false", false)])
}

pub(super) fn listen(text: &str) -> Result<Listen, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(Listen::Off);
    }
    text.split(',')
        .map(|part| place(part.trim()))
        .collect::<Result<_, _>>()
        .map(Listen::At)
}

fn place(text: &str) -> Result<Place, String> {
    let wanted = || {
        format!(
            "'{text}' is no address; write HOST:PORT, [IPV6]:PORT, *:PORT for every address, or off"
        )
    };
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port = port.parse().map_err(|_| wanted())?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return Err(wanted());
    }
    let host = match bare.unwrap_or(host) {
        "" | "*" => None,
        host => Some(host.to_owned()),
    };
    Ok(Place { host, port })
}

pub(super) fn advertised(text: &str) -> Result<Option<Advertised>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wanted = || format!("'{text}' is no address; write HOST, HOST:PORT or [IPV6]:PORT");
    let is_bare = !text.contains(':') || text.ends_with(']');
    let place = if is_bare {
        place(&format!("{text}:0"))
    } else {
        place(text)
    };
    let Place { host, port } = place.map_err(|_| wanted())?;
    let host = host.ok_or_else(wanted)?;
    Ok(Some(Advertised {
        host,
        port: (!is_bare).then_some(port),
    }))
}

/// Splits `30 m` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    Some((number.replace('_', "").parse().ok()?, unit.trim()))
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wanted =
        || format!("'{text}' is no duration; write a number and a unit: 500ms, 60s, 30m, 2h, 1d");
    let (number, unit) = number_and_unit(text).ok_or_else(wanted)?;
    let ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wanted()),
    };
    match number.checked_mul(ms) {
        Some(0) => Err(format!("'{text}' is no time at all")),
        Some(total) if total <= 3650 * 86_400_000 => Ok(Duration::from_millis(total)),
        _ => Err(format!("'{text}' is longer than ten years")),
    }
}

pub(crate) fn duration_or_off(text: &str) -> Result<Option<Duration>, String> {
    if text.eq_ignore_ascii_case("off") || text == "0" {
        return Ok(None);
    }
    duration(text)
        .map(Some)
        .map_err(|error| format!("{error}, or off"))
}

pub(super) fn heartbeat(text: &str) -> Result<Duration, String> {
    let duration = duration_or_off(text)?.unwrap_or_default();
    if duration.subsec_millis() != 0 || duration.as_secs() > 65_535 {
        return Err(format!(
            "'{text}' is not between 1s and 65535s in whole seconds"
        ));
    }
    Ok(duration)
}

fn size(text: &str) -> Result<u64, String> {
    let wanted = || {
        format!("'{text}' is no size; write bytes, or a number and a unit: 128 KiB, 16 MiB, 2 GiB")
    };
    let (number, unit) = number_and_unit(text).ok_or_else(wanted)?;
    let bytes: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(wanted()),
    };
    number.checked_mul(bytes).ok_or_else(wanted)
}

/// A size in bytes; `off` is 0.
pub(crate) fn size_or_off(text: &str) -> Result<u64, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(0);
    }
    size(text).map_err(|error| format!("{error}, or off"))
}

impl NatsTls {
    /// Whether they have to speak it.
    pub(crate) fn is_required(self) -> bool {
        matches!(self, Self::Required | Self::First)
    }
}

/// What NATS clients are to do about TLS.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum NatsTls {
    /// There is none.
    Off,
    /// They may.
    #[default]
    Offered,
    /// They have to.
    Required,
    /// They have to, before anything is said.
    First,
}

pub(super) fn size_between(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes < least || bytes > most {
        return Err(format!(
            "'{text}' is not between {} and {}",
            size_text(least),
            size_text(most)
        ));
    }
    Ok(bytes)
}

/// A size that is a length in memory.
pub(super) fn bytes_between(text: &str, least: u64, most: u64) -> Result<usize, String> {
    size_between(text, least, most).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// A name that is not empty and not too long for one.
pub(super) fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 255 {
        return Err("a name of 1 to 255 bytes is needed".to_owned());
    }
    Ok(text.to_owned())
}

/// `off`, `offered`, `required` or `first`.
pub(super) fn nats_tls(text: &str) -> Result<NatsTls, String> {
    match text {
        "off" => Ok(NatsTls::Off),
        "offered" => Ok(NatsTls::Offered),
        "required" => Ok(NatsTls::Required),
        "first" => Ok(NatsTls::First),
        _ => Err(format!("'{text}' is not off, offered, required or first")),
    }
}

/// `USER=VALUE`, several with commas. The value is not repeated in errors: it may be a secret.
pub(super) fn users<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<(String, T)>, String> {
    let entries = text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    entries
        .map(|entry| match entry.split_once('=') {
            Some((user, value)) if !user.is_empty() && !value.is_empty() => {
                Ok((user.to_owned(), parse(value)?))
            }
            _ => Err("it takes USER=VALUE, several with commas".to_owned()),
        })
        .collect()
}

/// A size for people: `16 MiB`.
pub(crate) fn size_text(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >= 1 << shift && bytes.trailing_zeros() >= shift {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} bytes")
}

pub(super) fn count_between(text: &str, least: u64, most: u64) -> Result<u64, String> {
    match number_and_unit(text) {
        Some((count, "")) if (least..=most).contains(&count) => Ok(count),
        _ => Err(format!("'{text}' is no count between {least} and {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let shown = |text| match listen(text).unwrap() {
            Listen::Off => "off".to_owned(),
            Listen::At(places) => places
                .iter()
                .map(Place::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        };
        assert_eq!(shown("127.0.0.1:5672"), "127.0.0.1:5672");
        assert_eq!(shown("5672"), "*:5672");
        assert_eq!(shown(":5672"), "*:5672");
        assert_eq!(shown("localhost:1, [::1]:2"), "localhost:1 [::1]:2");
        assert_eq!(shown("OFF"), "off");
        for bad in ["", "localhost", "::1:5672", "a:b", "a:70000", "a:1,,b:2"] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_clients_are_told() {
        let shown = |text| advertised(text).map(|told| told.map(|told| (told.host, told.port)));
        assert_eq!(shown(""), Ok(None));
        assert_eq!(shown("a.example"), Ok(Some(("a.example".into(), None))));
        assert_eq!(shown("a:9092"), Ok(Some(("a".into(), Some(9092)))));
        assert_eq!(shown("[::1]:1"), Ok(Some(("::1".into(), Some(1)))));
        assert_eq!(shown("[::1]"), Ok(Some(("::1".into(), None))));
        for bad in ["*", "*:1", "::1", "a:b", ":1"] {
            assert!(shown(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("2 h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration_or_off("off"), Ok(None));
        assert_eq!(heartbeat("off"), Ok(Duration::ZERO));
        for bad in [
            "",
            "60",
            "s",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615d",
            "0s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(heartbeat("1500ms").is_err());
    }

    #[test]
    fn sizes_and_counts() {
        assert_eq!(size_between("128 KiB", 0, 1 << 30), Ok(131_072));
        assert_eq!(size_between("131_072", 0, 1 << 30), Ok(131_072));
        assert_eq!(size_between("1MB", 0, 1 << 30), Ok(1_000_000));
        assert_eq!(
            size_between("1k", 4096, 1 << 20),
            Err("'1k' is not between 4 KiB and 1 MiB".into())
        );
        assert!(size_between("18446744073709551615T", 0, u64::MAX).is_err());
        assert!(count_between("0", 1, 5).is_err());
        assert!(count_between("5 KiB", 1, 10_000).is_err());
    }
}
