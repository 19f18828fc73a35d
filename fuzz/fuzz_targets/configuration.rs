//! The server's configuration: any file, variable and flag is taken or refused with a text, and what was taken can be shown.
//! The server is a binary, so its source is compiled in here.
#![no_main]
#![allow(dead_code, unreachable_pub, unused_imports)]

#[path = "../../crates/server/src"]
mod server {
    pub(crate) mod config;
    pub(crate) mod table;
}
use server::{config, table};

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use polybus_fuzz::Script;

/// In memory where the system has that.
fn file() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        folder.join(format!("polybus-fuzz-{}.toml", std::process::id()))
    })
}

// `variables, each: setting u8, length u8, text; 255 | the file`.
fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let mut environment = Vec::new();
    let mut flags = Vec::new();
    loop {
        let which = script.u8();
        if which == 255 || script.is_over() {
            break;
        }
        let setting = &config::SETTINGS[usize::from(which) % config::SETTINGS.len()];
        let len = script.u8() % 64;
        let value = String::from_utf8_lossy(script.bytes(len.into())).into_owned();
        match which & 128 {
            0 => environment.push((setting.variable(), value)),
            _ => flags.push((setting.key, value)),
        }
    }
    std::fs::write(file(), script.0).expect("the folder can be written");
    let sources = config::Sources {
        file: Some(file().clone()),
        folder: PathBuf::new(),
        environment,
        flags,
    };
    match config::resolve(&sources) {
        Ok(resolved) => {
            assert!(!config::as_table(&resolved).is_empty());
            assert!(!config::as_json(&resolved).to_string().is_empty());
            // What is shown is what it was made of: shown as flags it comes to the same.
            let flags = resolved
                .values
                .iter()
                .map(|(setting, value, _)| (setting.key, value.clone()))
                .collect();
            let again = config::Sources {
                flags,
                ..config::Sources::default()
            };
            match config::resolve(&again) {
                Ok(again) => assert_eq!(again.config, resolved.config),
                Err(error) => panic!("not taken again: {error}"),
            }
        }
        Err(error) => assert!(!error.is_empty()),
    }
});
