//! What one request of logs may cost, whoever asks and however much.

use polybus_model::{FoundOffset, LogError, LogReply, LogRequest, LogSettings, Place};

use super::desk::Desk;
use super::logs::{at, desk, read_of, run};
use crate::Options;

#[test]
fn one_look_up_reads_back_only_so_much() {
    let options = Options {
        log_resident_bytes_max: 0,
        ..Options::default()
    };
    let mut desk = Desk::with(options);
    desk.declare_log("l", LogSettings::default()).unwrap();
    desk.append("l", 0, run(&"x".repeat(1 << 20), 1)).unwrap();
    let request = LogRequest::FindOffsets(vec![(at("l", 0), Place::Time(0)); 20]);
    let LogReply::Offsets(found) = desk.log(request) else {
        panic!("offsets");
    };
    let has_run = |one: &Result<Option<FoundOffset>, LogError>| {
        matches!(one, Ok(Some(FoundOffset { run: Some(_), .. })))
    };
    assert_eq!(found.iter().take_while(|one| has_run(one)).count(), 7);
    let refused = |one| matches!(one, &Err(LogError::Unavailable(_)));
    assert!(found.iter().skip(7).all(refused));
}

/// With work that grows by the square of their number this would take minutes.
#[test]
fn very_many_forbidden_parts_take_no_time() {
    let mut desk = desk();
    let parts = 300_000;
    let mut request = read_of("l", 0, 0);
    request.reads = vec![request.reads[0].clone(); parts as usize];
    let request = LogRequest::Partly {
        request: Box::new(LogRequest::Read(request)),
        forbidden: (0..parts).collect(),
    };
    let LogReply::Read(slices) = desk.log(request) else {
        panic!("read");
    };
    assert!(
        slices
            .iter()
            .all(|one| one.as_ref().err() == Some(&LogError::Forbidden))
    );
}
