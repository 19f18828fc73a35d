//! From where values come, and which one wins.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::settings::TLS_LISTENERS;
use super::{Config, Listen, SETTINGS, Setting};

/// The file that is read if it is there and no other was named.
const FILE_DEFAULT: &str = "polybus.toml";
/// Beyond this it is no configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Variables with these prefixes are set by Kubernetes for a service called `polybus`.
const VARIABLES_OF_OTHERS: [&str; 2] = ["POLYBUS_SERVICE_", "POLYBUS_PORT"];

/// What is known before anything is parsed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file named by `--config`.
    pub(crate) file: Option<PathBuf>,
    /// The folder in which [`FILE_DEFAULT`] is looked for.
    pub(crate) folder: PathBuf,
    /// Environment variables.
    pub(crate) environment: Vec<(String, String)>,
    /// Flags given: the setting's key and its value.
    pub(crate) flags: Vec<(&'static str, String)>,
}

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag, with its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The settings in force.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// Parsed.
    pub(crate) config: Config,
    /// As written, in the order of [`SETTINGS`].
    pub(crate) values: Vec<(&'static Setting, String, Origin)>,
    /// What is odd and not wrong.
    pub(crate) notes: Vec<String>,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key)
    }
}

/// Puts the layers on each other.
///
/// # Errors
/// A text for the person at the console: what is wrong, where it stands, what was probably meant.
pub(crate) fn resolve(sources: &Sources) -> Result<Resolved, String> {
    let mut layers = Layers {
        values: SETTINGS
            .iter()
            .map(|s| (s, s.default.to_owned(), Origin::Default))
            .collect(),
        notes: Vec::new(),
    };
    layers.read_file(sources)?;
    layers.read_environment(sources)?;
    for (key, value) in &sources.flags {
        let flag = format!("--{}", key.replace('.', "-"));
        layers.put(key, value.clone(), Origin::Flag(flag));
    }
    layers.parse()
}

struct Layers {
    values: Vec<(&'static Setting, String, Origin)>,
    notes: Vec<String>,
}

impl Layers {
    fn put(&mut self, key: &str, value: String, origin: Origin) {
        if let Some(place) = self.values.iter_mut().find(|(s, ..)| s.key == key) {
            place.1 = value;
            place.2 = origin;
        }
    }

    fn read_environment(&mut self, sources: &Sources) -> Result<(), String> {
        let variables: Vec<(String, &str)> =
            SETTINGS.iter().map(|s| (s.variable(), s.key)).collect();
        for (name, value) in &sources.environment {
            if let Some((_, key)) = variables.iter().find(|(variable, _)| variable == name) {
                self.put(key, value.clone(), Origin::Environment(name.clone()));
                continue;
            }
            let is_foreign = VARIABLES_OF_OTHERS.iter().any(|p| name.starts_with(p));
            if !name.starts_with("POLYBUS_") || name == "POLYBUS_CONFIG" || is_foreign {
                continue;
            }
            // The prefix all share would make everything near.
            let bare = |variable| str::strip_prefix(variable, "POLYBUS_").unwrap_or_default();
            let known = variables.iter().map(|(variable, _)| bare(variable));
            match nearest(bare(name), known) {
                Some(meant) => {
                    return Err(format!(
                        "the environment variable {name} is no setting; did you mean POLYBUS_{meant}?"
                    ));
                }
                None => self.notes.push(format!(
                    "the environment variable {name} is no setting and has no effect"
                )),
            }
        }
        Ok(())
    }

    fn read_file(&mut self, sources: &Sources) -> Result<(), String> {
        let named = sources.file.clone().or_else(|| {
            let variable = |(name, _): &&(String, String)| name == "POLYBUS_CONFIG";
            let found = sources.environment.iter().find(variable);
            found.map(|(_, value)| PathBuf::from(value))
        });
        let is_named = named.is_some();
        let path = named.unwrap_or_else(|| sources.folder.join(FILE_DEFAULT));
        let text = match read_bounded(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => {
                return Ok(());
            }
            Err(error) => {
                return Err(format!(
                    "the configuration {} cannot be read: {error}",
                    path.display()
                ));
            }
        };
        let root = DeTable::parse(&text).map_err(|error| {
            let line = line_at(&text, error.span().map_or(0, |span| span.start));
            format!("{}:{line}: {}", path.display(), error.message())
        })?;
        self.read_table(&path, &text, "", root.get_ref())
    }

    fn read_table(
        &mut self,
        path: &Path,
        text: &str,
        prefix: &str,
        table: &DeTable<'_>,
    ) -> Result<(), String> {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let line = line_at(text, name.span().start);
            let at = |what: String| format!("{}:{line}: {what}", path.display());
            if let DeValue::Table(inner) = value.get_ref() {
                let section = format!("{key}.");
                if prefix.is_empty() && SETTINGS.iter().any(|s| s.key.starts_with(&section)) {
                    self.read_table(path, text, &section, inner)?;
                    continue;
                }
            }
            let Some(setting) = SETTINGS.iter().find(|s| s.key == key) else {
                return Err(at(unknown(&key)));
            };
            let value = match value.get_ref() {
                DeValue::String(text) if setting.is_path => beside(path, text),
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Boolean(value) => value.to_string(),
                _ => return Err(at(format!("{key} wants a {}, as \"text\"", setting.value))),
            };
            let origin = Origin::File {
                path: path.to_owned(),
                line,
            };
            self.put(setting.key, value, origin);
        }
        Ok(())
    }

    fn parse(mut self) -> Result<Resolved, String> {
        let is_set = |values: &[(&Setting, String, Origin)], key: &str| {
            values
                .iter()
                .any(|(s, value, _)| s.key == key && !value.is_empty())
        };
        // The defaults that depend: TLS listens as soon as there is a certificate.
        if is_set(&self.values, "tls.certificate") {
            for (setting, value, origin) in &mut self.values {
                let listener = TLS_LISTENERS.iter().find(|(key, _)| *key == setting.key);
                if let (Some((_, address)), Origin::Default) = (listener, origin) {
                    *value = (*address).to_owned();
                }
            }
        }
        let mut config = Config::default();
        for (setting, value, origin) in &self.values {
            (setting.apply)(&mut config, value).map_err(|error| match origin {
                Origin::File { .. } => format!("{origin}: {}: {error}", setting.key),
                Origin::Environment(name) => format!("{name}: {error}"),
                Origin::Flag(name) => format!("{name}: {error}"),
                Origin::Default => format!("{}: {error}", setting.key),
            })?;
        }
        check_tls(&config)?;
        Ok(Resolved {
            config,
            values: self.values,
            notes: self.notes,
        })
    }
}

/// What one setting needs of another.
fn check_tls(config: &Config) -> Result<(), String> {
    let tls = &config.tls;
    let listeners = [
        ("amqp.tls-listen", &config.amqp.tls_listen),
        ("kafka.tls-listen", &config.kafka.tls_listen),
    ];
    for (setting, listen) in listeners {
        if *listen != Listen::Off && tls.certificate.is_none() {
            return Err(format!(
                "{setting} is set and tls.certificate is not; set it to the server's certificate (PEM)"
            ));
        }
    }
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => Err("tls.certificate is set and tls.key is not; set it to the certificate's private key (PEM)".into()),
        (None, Some(_)) => Err("tls.key is set and tls.certificate is not; set it to the key's certificate (PEM)".into()),
        _ if tls.require_client_certificate && tls.client_ca.is_none() => Err(
            "tls.require-client-certificate is true and tls.client-ca is not set; set it to who signs the clients' certificates (PEM)".into(),
        ),
        _ => Ok(()),
    }
}

fn unknown(key: &str) -> String {
    match nearest(key, SETTINGS.iter().map(|s| s.key)) {
        Some(meant) => format!("'{key}' is no setting; did you mean '{meant}'?"),
        None => format!("'{key}' is no setting; `polybus config` lists them all"),
    }
}

/// A path in a file is relative to the file's folder.
fn beside(file: &Path, path: &str) -> String {
    match file.parent() {
        Some(folder) if !path.is_empty() && folder != Path::new("") => {
            folder.join(path).to_string_lossy().into_owned()
        }
        _ => path.to_owned(),
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests;
