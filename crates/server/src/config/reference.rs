//! The settings as listings: what is in force, and the reference page.

use serde_json::{Value, json};

use super::settings::SECRETS;
use super::{Origin, Resolved, Setting};
use crate::table::Table;

/// A value as listings show it.
fn shown<'a>(setting: &Setting, value: &'a str) -> &'a str {
    match value {
        "" => "",
        _ if SECRETS.contains(&setting.key) => "(secret)",
        value => value,
    }
}

/// What is in force, for people.
pub(crate) fn as_table(resolved: &Resolved) -> String {
    let mut table = Table::new(&["setting", "value", "from"]);
    for (setting, value, origin) in &resolved.values {
        let value = shown(setting, value);
        let value = match (setting.key, value) {
            ("control.socket", "") => format!("({})", resolved.config.control_socket().display()),
            (_, "") => "(not set)".to_owned(),
            (_, value) => value.to_owned(),
        };
        table.row(vec![setting.key.to_owned(), value, origin.to_string()]);
    }
    table.to_string()
}

/// What is in force, for programs.
pub(crate) fn as_json(resolved: &Resolved) -> Value {
    let each = resolved.values.iter().map(|(setting, value, origin)| {
        let mut entry = json!({
            "setting": setting.key,
            "value": shown(setting, value),
            "flag": format!("--{}", setting.flag()),
            "variable": setting.variable(),
        });
        entry["from"] = match origin {
            Origin::Default => json!("default"),
            Origin::File { .. } => json!("file"),
            Origin::Environment(_) => json!("environment"),
            Origin::Flag(_) => json!("flag"),
        };
        if let Origin::File { path, line } = origin {
            entry["file"] = json!(path);
            entry["line"] = json!(line);
        }
        entry
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use crate::config::{SETTINGS, Sources, resolve};

    const HEAD: &str = "\
# Configuration
<!-- Made from crates/server/src/config/settings.rs; `BLESS=1 cargo test -p polybus-server` writes it anew. -->

Every setting has one name in three places; the later place wins:

1. a file in TOML, `./polybus.toml` if it is there, or the one that `--config` (or `POLYBUS_CONFIG`) names:
   `[amqp]`, `listen = \"127.0.0.1:5672\"`
2. an environment variable: `POLYBUS_AMQP_LISTEN=127.0.0.1:5672`
3. a flag of `polybus serve`: `--amqp-listen 127.0.0.1:5672`

`polybus config` prints what is in force and where each value comes from (`--json` for programs). A name that is no
setting is an error that says what was probably meant. `off` switches a listener off. Paths in a file are relative to the file's folder.
Sizes are bytes or `128 KiB`, `16 MiB`, `2 GiB`; durations are `500ms`, `60s`, `30m`, `2h`, `1d`.

| setting | default | flag | environment | |
|---|---|---|---|---|
";

    #[test]
    fn the_reference_page_is_what_the_table_says() {
        let mut page = HEAD.to_owned();
        for setting in SETTINGS {
            let default = match setting.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            writeln!(
                page,
                "| `{}` | {default} | `--{} {}` | `{}` | {} |",
                setting.key,
                setting.flag(),
                setting.value.replace('|', "\\|"),
                setting.variable(),
                setting.help,
            )
            .unwrap();
        }
        crate::scratch::assert_same(&page, "../../docs/reference/configuration.md");
    }

    #[test]
    fn what_is_in_force_as_people_and_programs_see_it() {
        let sources = Sources {
            folder: "/nowhere".into(),
            environment: vec![("POLYBUS_AMQP_LISTEN".into(), "127.0.0.1:5673".into())],
            flags: vec![("durability", "interval".into())],
            ..Sources::default()
        };
        let resolved = resolve(&sources).unwrap();
        crate::scratch::assert_same(&super::as_table(&resolved), "tests/shown/config.txt");
        let json = serde_json::to_string_pretty(&super::as_json(&resolved)).unwrap() + "\n";
        crate::scratch::assert_same(&json, "tests/shown/config.json");
    }
}
