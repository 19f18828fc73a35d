//! The subjects of a stream, a page of them at a time.
//!
//! ```text
//! STREAM.INFO subjects_filter, offset -> its state -> its keys, slice by slice: those before the page, the page, the rest counted
//!        the next page  ^-- where the last one ended is remembered: nothing is counted again
//! ```
//! What always holds: no slice is so large that others wait for it. What comes and goes between slices may be told or not.

use bytes::Bytes;
use polybus_model::{ListKeys, ListedKeys, LiveFilter, LogReply, LogRequest, Millis, Name};
use serde_json::{Map, Value, json};

use super::{Connection, Step, partition};
use crate::mapping::jetstream::{ApiError, stream_info};
use crate::session::filter;

const KIND: &str = "stream_info";
/// Subjects on one page.
const SUBJECTS_MAX: u64 = 100_000;

/// Where a page ended, for whoever asks for the next one.
#[derive(Debug)]
pub(super) struct PageEnd {
    stream: Name,
    subjects: String,
    offset: u64,
    after: Bytes,
    total: u64,
}

/// A page that is being put together.
#[derive(Debug)]
pub(super) struct SubjectList {
    stream: Name,
    subjects: String,
    filter: LiveFilter,
    offset: u64,
    /// What else is told of the stream.
    told: Map<String, Value>,
    page: Map<String, Value>,
    /// How many were there so far, those before the page with them.
    passed: u64,
    /// How many there are, if it is known.
    total: Option<u64>,
    /// Where the page ended.
    end: Option<Bytes>,
}

impl SubjectList {
    /// The subjects of a stream that fit, from the offset on.
    pub(super) fn new(stream: &Name, subjects: &str, offset: i64) -> Self {
        Self {
            stream: stream.clone(),
            subjects: subjects.to_owned(),
            filter: filter(subjects.as_bytes()),
            offset: u64::try_from(offset).unwrap_or(0),
            told: Map::new(),
            page: Map::new(),
            passed: 0,
            total: None,
            end: None,
        }
    }

    /// Takes a slice.
    fn add(&mut self, listed: ListedKeys) {
        if listed.keys.is_empty() {
            self.passed += listed.count;
            return;
        }
        for (key, records) in listed.keys {
            let is_of_page = self.passed >= self.offset && self.end.is_none();
            self.passed += 1;
            if is_of_page {
                let subject = String::from_utf8_lossy(&key).into_owned();
                self.page.insert(subject, records.into());
                if self.page.len() as u64 == SUBJECTS_MAX {
                    self.end = Some(key);
                }
            }
        }
    }

    /// What is to be asked for next; none if all is there.
    fn next(&self, after: Option<Bytes>) -> Option<ListKeys> {
        let is_full = self.end.is_some();
        if is_full && self.total.is_some() {
            return None;
        }
        Some(ListKeys {
            partition: partition(&self.stream),
            filter: self.filter.clone(),
            after,
            is_count: is_full,
        })
    }
}

impl Connection {
    /// What a stream is and holds is known: its subjects follow.
    pub(super) fn subjects_of(
        &mut self,
        to: &[u8],
        mut list: Box<SubjectList>,
        reply: LogReply,
        now: Millis,
    ) {
        let state = match reply {
            LogReply::State(Ok(state)) => state,
            LogReply::State(Err(error)) => {
                return self.answer_error(to, KIND, &ApiError::from(&error));
            }
            _ => return,
        };
        let Some(told) = stream_info(&state.0, &state.1, 0, now) else {
            return self.answer_error(to, KIND, &ApiError::stream_not_found());
        };
        list.told = told;
        let mut after = None;
        if let Some(end) = self.jetstream.page_end.take()
            && (&end.stream, &end.subjects, end.offset)
                == (&list.stream, &list.subjects, list.offset)
        {
            list.passed = end.offset;
            list.total = Some(end.total);
            after = Some(end.after);
        } else if list.subjects == ">" {
            list.total = Some(state.1.keys);
        }
        self.list_subjects_on(to, list, after);
    }

    fn list_subjects_on(&mut self, to: &[u8], list: Box<SubjectList>, after: Option<Bytes>) {
        match list.next(after) {
            Some(next) => self.ask_log(to, Step::Subjects(list), LogRequest::ListKeys(next)),
            None => self.tell_subjects(to, *list),
        }
    }

    /// More subjects of a stream.
    pub(super) fn subjects_listed(
        &mut self,
        to: &[u8],
        mut list: Box<SubjectList>,
        reply: LogReply,
    ) {
        let mut listed = match reply {
            LogReply::Keys(Ok(listed)) => listed,
            LogReply::Keys(Err(error)) => {
                return self.answer_error(to, KIND, &ApiError::from(&error));
            }
            _ => return,
        };
        let after = listed.after.take();
        list.add(listed);
        match after {
            Some(_) => self.list_subjects_on(to, list, after),
            None => self.tell_subjects(to, *list),
        }
    }

    fn tell_subjects(&mut self, to: &[u8], list: SubjectList) {
        let mut told = list.told;
        let total = list.total.unwrap_or(list.passed);
        if let Some(after) = list.end {
            self.jetstream.page_end = Some(PageEnd {
                stream: list.stream,
                subjects: list.subjects,
                offset: list.offset + SUBJECTS_MAX,
                after,
                total,
            });
        }
        if !list.page.is_empty()
            && let Some(state) = told.get_mut("state").and_then(Value::as_object_mut)
        {
            state.insert("subjects".into(), list.page.into());
        }
        if let Value::Object(more) =
            json!({ "total": total, "offset": list.offset, "limit": SUBJECTS_MAX })
        {
            told.extend(more);
        }
        self.answer(to, KIND, Value::Object(told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_cut_out_of_slices() {
        let keys = |from: u64, to: u64| ListedKeys {
            keys: (from..to)
                .map(|key| (Bytes::from(format!("k{key:07}")), 1))
                .collect(),
            count: to - from,
            after: None,
        };
        let mut list = SubjectList::new(&Name::new("S").unwrap(), ">", 5);
        list.add(keys(0, 10));
        assert_eq!((list.passed, list.page.len()), (10, 5));
        assert!(!list.next(None).unwrap().is_count);
        list.add(keys(10, SUBJECTS_MAX + 9));
        assert_eq!(list.page.len() as u64, SUBJECTS_MAX);
        assert_eq!(list.end.as_deref(), Some(&b"k0100004"[..]));
        // The rest is counted, if it is not known how many there are.
        let next = list.next(Some(Bytes::from_static(b"k"))).unwrap();
        assert!(next.is_count && next.after.is_some());
        list.add(ListedKeys {
            count: 3,
            ..ListedKeys::default()
        });
        assert_eq!(list.passed, SUBJECTS_MAX + 12);
        list.total = Some(7);
        assert!(list.next(None).is_none());
    }
}
