//! Changing the settings of topics and groups: all of a resource's own at once, or some of them.

use std::collections::BTreeMap;

use polybus_model::{GroupReply, GroupRequest, GroupSettings, LogReply, LogRequest, LogSummary};

use super::configs::{
    BROKER, GROUP, Refusal, TOPIC, of_found, summary, unsupported, which, with_group_settings,
};
use super::core::Core;
use super::pending::{Answer, Ask, Step};
use crate::codec::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use crate::codec::messages::incremental_alter_configs::{
    AlterConfigsResourceResponse as SomeResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use crate::error::{
    Code, of_group as code_of_group, of_log as code_of_log, text_of_group, text_of_log,
};
use crate::mapping::{Sort, apply, group_settings, setting};

/// A topic's own settings: names and values.
type Own = Vec<(String, String)>;

/// How a topic's own settings are made of those it has.
type Changes = Box<dyn FnOnce(Own) -> Result<Own, String> + Send>;

/// A resource whose settings are to be changed.
struct Change {
    sort: i8,
    name: String,
    change: Changes,
}

/// Replaces all of a topic's own settings.
pub(super) fn alter(core: &mut Core, request: AlterConfigsRequest, _version: i16) -> Step {
    let changes = request
        .resources
        .into_iter()
        .map(|resource| Change {
            sort: resource.resource_type,
            name: resource.resource_name,
            change: Box::new(move |_| {
                let configs = resource.configs.into_iter();
                configs
                    .map(|config| match config.value {
                        Some(value) => Ok((config.name, value)),
                        None => Err(null_value(&config.name)),
                    })
                    .collect()
            }),
        })
        .collect();
    alter_all(core, changes, request.validate_only, |results| {
        let responses =
            results
                .into_iter()
                .map(|(sort, name, (code, text))| AlterConfigsResourceResponse {
                    error_code: code.0,
                    error_message: text,
                    resource_type: sort,
                    resource_name: name,
                });
        Step::answer(AlterConfigsResponse {
            responses: responses.collect(),
            ..AlterConfigsResponse::default()
        })
    })
}

/// Changes some of a topic's own settings.
pub(super) fn alter_some(
    core: &mut Core,
    request: IncrementalAlterConfigsRequest,
    _version: i16,
) -> Step {
    let changes = request
        .resources
        .into_iter()
        .map(|resource| Change {
            sort: resource.resource_type,
            name: resource.resource_name,
            change: Box::new(move |own| changed(own, resource.configs)),
        })
        .collect();
    alter_all(core, changes, request.validate_only, |results| {
        let responses = results
            .into_iter()
            .map(|(sort, name, (code, text))| SomeResponse {
                error_code: code.0,
                error_message: text,
                resource_type: sort,
                resource_name: name,
            });
        Step::answer(IncrementalAlterConfigsResponse {
            responses: responses.collect(),
            ..IncrementalAlterConfigsResponse::default()
        })
    })
}

fn null_value(name: &str) -> String {
    format!("Null value not supported for : {name}")
}

/// Sets, deletes, appends to and takes away from settings.
fn changed(own: Own, changes: Vec<AlterableConfig>) -> Result<Own, String> {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;
    let mut own: BTreeMap<String, String> = own.into_iter().collect();
    for change in changes {
        let name = change.name;
        if change.config_operation == DELETE {
            own.remove(&name);
            continue;
        }
        let value = change.value.ok_or_else(|| null_value(&name))?;
        if change.config_operation == SET {
            own.insert(name, value);
            continue;
        }
        let known = setting(&name).ok_or_else(|| format!("Unknown topic config name: {name}"))?;
        if known.sort != Sort::List {
            return Err(format!(
                "Can't APPEND or SUBTRACT to key {name} because its type is not LIST."
            ));
        }
        let before = own
            .remove(&name)
            .unwrap_or_else(|| known.plain_default().to_owned());
        let mut parts: Vec<&str> = list(&before).collect();
        match change.config_operation {
            APPEND => {
                parts.extend(list(&value).filter(|part| !list(&before).any(|had| had == *part)))
            }
            SUBTRACT => parts.retain(|part| !list(&value).any(|gone| gone == *part)),
            other => return Err(format!("Unknown operation {other} on {name}")),
        }
        own.insert(name, parts.join(","));
    }
    Ok(own.into_iter().collect())
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// What became of each resource.
type Outcomes = Vec<(i8, String, (Code, Option<String>))>;

fn alter_all(
    core: &mut Core,
    changes: Vec<Change>,
    dry_run: bool,
    answer: fn(Outcomes) -> Step,
) -> Step {
    let lists = changes
        .iter()
        .filter(|change| change.sort == TOPIC)
        .map(|change| which(&change.name))
        .collect();
    let is_group = |one: &&Change| one.sort == GROUP;
    let groups = changes.iter().filter(is_group);
    let groups = groups.map(|one| one.name.clone()).collect();
    Step::logs(core, lists, move |core, replies| {
        with_group_settings(core, groups, move |core, groups| {
            let (mut replies, mut groups) = (replies.into_iter(), groups.into_iter());
            let mut outcomes = Outcomes::with_capacity(changes.len());
            let mut asks = Vec::new();
            for change in changes {
                let altered = match change.sort {
                    TOPIC => summary(replies.next()).and_then(|log| {
                        alter_log(core, log, change.change, dry_run).map(Some)
                    }),
                    GROUP => of_found(groups.next()).and_then(|group| {
                        let altered = alter_group(&change.name, group, change.change)?;
                        Ok((!dry_run).then_some(altered))
                    }),
                    BROKER => Err((
                        Code::INVALID_REQUEST,
                        "the broker's settings are those it was started with; `polybus config` shows where each comes from".to_owned(),
                    )),
                    other => Err(unsupported(other)),
                };
                let outcome = match altered {
                    Ok(ask) => {
                        asks.extend(ask.map(|ask| (outcomes.len(), ask)));
                        (Code::NONE, None)
                    }
                    Err((code, text)) => (code, Some(text)),
                };
                outcomes.push((change.sort, change.name, outcome));
            }
            carry_out(asks, outcomes, answer)
        })
    })
}

/// What is to be asked so that a log has its settings changed.
fn alter_log(core: &Core, log: LogSummary, change: Changes, dry_run: bool) -> Result<Ask, Refusal> {
    let mut settings = log.settings;
    let own = std::mem::take(&mut settings.arguments);
    change(own)
        .and_then(|own| apply(&mut settings, &core.settings, own))
        .map_err(|text| (Code::INVALID_CONFIG, text))?;
    Ok(Ask::Log(LogRequest::Alter {
        name: log.name,
        settings,
        dry_run,
    }))
}

/// The same for a group.
fn alter_group(name: &str, group: GroupSettings, change: Changes) -> Result<Ask, Refusal> {
    let settings = change(group.arguments).and_then(group_settings);
    let settings = settings.map_err(|text| (Code::INVALID_CONFIG, text))?;
    Ok(Ask::Group(GroupRequest::Configure {
        group: name.to_owned(),
        settings: Box::new(settings),
    }))
}

/// Asks all of it, then answers with what became of each.
fn carry_out(
    asks: Vec<(usize, Ask)>,
    mut outcomes: Outcomes,
    answer: fn(Outcomes) -> Step,
) -> Step {
    if asks.is_empty() {
        return answer(outcomes);
    }
    let (asked, asks): (Vec<usize>, Vec<Ask>) = asks.into_iter().unzip();
    let then = move |_: &mut Core, answers: Vec<Answer>| {
        for (at, reply) in asked.into_iter().zip(answers) {
            let failure = match reply {
                Answer::Log(LogReply::Logs(logs)) => {
                    let error = logs.into_iter().find_map(Result::err);
                    error.map(|error| (code_of_log(&error), text_of_log(&error)))
                }
                Answer::Group(GroupReply::Done(Err(error))) => {
                    Some((code_of_group(&error), text_of_group(&error)))
                }
                _ => None,
            };
            if let (Some(slot), Some(failure)) = (outcomes.get_mut(at), failure) {
                slot.2 = failure;
            }
        }
        answer(outcomes)
    };
    Step::Ask(asks, Box::new(then))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, config_operation: i8, value: &str) -> AlterableConfig {
        AlterableConfig {
            name: name.to_owned(),
            config_operation,
            value: Some(value.to_owned()),
        }
    }

    #[test]
    fn settings_are_set_deleted_appended_to_and_taken_from() {
        let own = vec![("retention.ms".to_owned(), "5".to_owned())];
        let changes = vec![
            change("retention.ms", 1, ""),
            change("max.message.bytes", 0, "7"),
            change("cleanup.policy", 2, "compact"),
        ];
        let own = changed(own, changes).unwrap();
        let shown: Vec<_> = own.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            shown,
            ["cleanup.policy=delete,compact", "max.message.bytes=7"]
        );
        let own = changed(own, vec![change("cleanup.policy", 3, "delete")]).unwrap();
        assert_eq!(own[0].1, "compact");
        assert!(changed(own, vec![change("retention.ms", 2, "1")]).is_err());
    }
}
