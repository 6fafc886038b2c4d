//! One upload, step by step.

use super::bench::{Bench, POLICY, SEQUENTIAL, append, destination, new_upload, sealed};
use crate::resumable::Due;
use crate::resumable::naming::Place;
use crate::resumable::question::{
    Answer, Append, Ask, Destination, Finished, FinishedFile, Piece, Position, Refusal, Shape,
};
use crate::resumable::resource::{LEASE_MS, MAX_PARTS};
use crate::webhook::Message;

const DAY_MS: u64 = 86_400_000;

fn place(number: u32, piece: u32) -> Place {
    Place { number, piece }
}

#[test]
fn the_offset_is_what_telegram_acknowledged_and_the_last_part_completes_the_file() {
    let mut bench = Bench::new(SEQUENTIAL, Some(250));
    assert_eq!(bench.begin("a", append(0)), Ok(place(1, 0)));
    let serial = bench.commit("a", 100).expect("leave");
    assert_eq!(bench.state().offset, 0, "leave is no acknowledgement");
    let part = bench.telegram(serial, 0, 100);
    let stored = bench
        .done("a", Ask::Store { serial, part })
        .expect("stored");
    assert_eq!(
        (stored.offset, stored.parts, stored.is_complete),
        (100, 1, false)
    );
    bench.put("a", 100, 100).expect("stored");
    let state = bench.put("a", 200, 50).expect("stored");
    assert_eq!((state.offset, state.is_complete), (250, true));
    assert!(bench.end("a", true).is_ok());
    bench.check();
}

#[test]
fn a_wrong_offset_is_refused_with_the_right_one_and_changes_nothing() {
    let mut bench = Bench::new(SEQUENTIAL, Some(250));
    bench.begin("a", append(0)).expect("a lease");
    bench.put("a", 0, 100).expect("stored");
    bench.end("a", true).expect("ended");
    let before = bench.resource.clone();
    for offset in [0, 99, 101, u64::MAX] {
        let refused = bench.begin("b", append(offset));
        assert_eq!(refused, Err(Refusal::Offset { expected: 100 }));
    }
    assert_eq!(bench.resource, before);
}

#[test]
fn a_second_writer_waits_until_the_first_is_dead_and_then_takes_over() {
    let mut bench = Bench::new(SEQUENTIAL, Some(250));
    bench.begin("a", append(0)).expect("a lease");
    bench.now += LEASE_MS - 1000;
    let locked = Err(Refusal::Locked { retry_after: 1 });
    assert_eq!(bench.begin("b", append(0)), locked);
    bench.done("a", Ask::Renew).expect("renewed");
    bench.now += LEASE_MS - 1;
    assert_eq!(bench.begin("b", append(0)), locked);
    bench.now += 1;
    assert_eq!(bench.commit("a", 100), Ok(0), "nobody took its place");
    bench.now += LEASE_MS;
    assert!(bench.begin("b", append(0)).is_ok(), "within ten seconds");
    assert_eq!(bench.commit("a", 50), Err(Refusal::Overtaken));
    assert_eq!(bench.done("a", Ask::Renew), Err(Refusal::Overtaken));
    assert_eq!(bench.end("a", true), Err(Refusal::Overtaken));
}

#[test]
fn a_message_that_comes_after_its_request_was_overtaken_is_deleted() {
    let mut bench = Bench::new(SEQUENTIAL, Some(250));
    bench.begin("a", append(0)).expect("a lease");
    let serial = bench.commit("a", 100).expect("leave");
    let part = bench.telegram(serial, 0, 100);
    bench.now += LEASE_MS;
    bench.begin("b", append(0)).expect("a lease");
    assert_eq!(bench.state().unknown_orphans, 1, "listed until it is known");
    let late = bench.done(
        "a",
        Ask::Store {
            serial,
            part: part.clone(),
        },
    );
    assert_eq!(late, Err(Refusal::Overtaken));
    assert_eq!(bench.state().unknown_orphans, 0);
    bench.put("b", 0, 100).expect("stored");
    bench.check();
    bench.wake();
    assert!(bench.deleted.contains(&part.message_id));
    assert_eq!(bench.state().offset, 100);
}

#[test]
fn an_answer_that_gets_lost_may_be_asked_for_again() {
    let mut bench = Bench::new(SEQUENTIAL, Some(250));
    bench.begin("a", append(0)).expect("a lease");
    let serial = bench.commit("a", 100).expect("leave");
    assert_eq!(bench.commit("a", 100), Ok(serial));
    let part = bench.telegram(serial, 0, 100);
    for _ in 0..3 {
        let stored = bench.done(
            "a",
            Ask::Store {
                serial,
                part: part.clone(),
            },
        );
        assert_eq!(stored.expect("stored").offset, 100);
    }
    bench.check();
    assert!(bench.orphans.is_empty());
}

#[test]
fn a_part_whose_outcome_is_unknown_is_listed_and_sent_again() {
    let mut bench = Bench::new(SEQUENTIAL, Some(100));
    bench.begin("a", append(0)).expect("a lease");
    let serial = bench.commit("a", 100).expect("leave");
    bench.telegram(serial, 0, 100);
    let is_unknown = true;
    bench
        .done("a", Ask::Fail { serial, is_unknown })
        .expect("noted");
    bench.end("a", false).expect("ended");
    let state = bench.state();
    assert_eq!((state.offset, state.unknown_orphans), (0, 1));
    bench.begin("b", append(0)).expect("a lease");
    bench.put("b", 0, 100).expect("stored");
    assert!(bench.state().is_complete);
    bench.check();
}

#[test]
fn what_a_checksum_covers_counts_when_it_is_right_and_else_goes() {
    let mut bench = Bench::new(SEQUENTIAL, Some(300));
    let checked = |offset| Append {
        is_checked: true,
        ..append(offset)
    };
    bench.begin("a", checked(0)).expect("a lease");
    bench.put("a", 0, 100).expect("stored");
    assert_eq!(bench.put("a", 100, 50).expect("stored").offset, 0);
    bench.check();
    assert_eq!(bench.end("a", false).expect("ended").offset, 0);
    bench.wake();
    assert_eq!(bench.chat.len(), 0);
    bench.begin("b", checked(0)).expect("a lease");
    bench.put("b", 0, 100).expect("stored");
    bench.put("b", 100, 100).expect("stored");
    assert_eq!(bench.end("b", true).expect("ended").offset, 200);
    bench.begin("c", checked(200)).expect("a lease");
    bench.put("c", 200, 100).expect("stored");
    assert!(bench.end("c", true).expect("ended").is_complete);
    bench.check();
}

#[test]
fn a_length_can_come_later_once_and_is_kept_to() {
    let mut bench = Bench::new(SEQUENTIAL, None);
    bench.begin("a", append(0)).expect("a lease");
    bench.put("a", 0, 100).expect("stored");
    bench.end("a", true).expect("ended");
    let with_length = |length| Append {
        length: Some(length),
        ..append(100)
    };
    assert_eq!(
        bench.begin("b", with_length(99)),
        Err(Refusal::LengthDiffers)
    );
    let limit = POLICY.max_file_bytes;
    assert_eq!(
        bench.begin("b", with_length(limit + 1)),
        Err(Refusal::TooLarge { limit })
    );
    bench.begin("b", with_length(150)).expect("a lease");
    assert_eq!(
        bench.commit("b", 51),
        Err(Refusal::LengthExceeded { length: 150 })
    );
    bench.end("b", false).expect("ended");
    assert_eq!(
        bench.begin("c", with_length(151)),
        Err(Refusal::LengthDiffers)
    );
    let too_long = Append {
        content_length: Some(51),
        ..append(100)
    };
    assert_eq!(
        bench.begin("c", too_long),
        Err(Refusal::LengthExceeded { length: 150 })
    );
    bench.begin("c", append(100)).expect("a lease");
    assert!(bench.put("c", 100, 50).expect("stored").is_complete);
}

#[test]
fn a_request_may_say_that_its_end_is_the_files() {
    let shape = || Shape::Sequential {
        ends_at_length: false,
    };
    let completes = |offset, content_length| Append {
        completes: true,
        content_length,
        ..append(offset)
    };
    let mut bench = Bench::new(shape(), Some(100));
    assert_eq!(
        bench.begin("a", completes(0, Some(99))),
        Err(Refusal::LengthDiffers)
    );
    bench.begin("a", append(0)).expect("a lease");
    assert!(!bench.put("a", 0, 100).expect("stored").is_complete);
    assert!(!bench.end("a", true).expect("ended").is_complete);
    bench.begin("b", completes(100, Some(0))).expect("a lease");
    assert!(bench.end("b", true).expect("ended").is_complete);

    let mut unknown = Bench::new(shape(), None);
    unknown.begin("a", completes(0, None)).expect("a lease");
    unknown.put("a", 0, 70).expect("stored");
    assert!(
        !unknown.end("a", false).expect("ended").is_complete,
        "it broke off"
    );
    unknown
        .begin("b", completes(70, Some(30)))
        .expect("a lease");
    assert_eq!(unknown.state().length, Some(100));
    unknown.put("b", 70, 30).expect("stored");
    assert!(unknown.end("b", true).expect("ended").is_complete);

    let mut empty = Bench::new(shape(), None);
    assert_eq!(empty.begin("a", completes(0, Some(0))), Err(Refusal::Empty));
    empty.begin("a", completes(0, None)).expect("a lease");
    assert_eq!(empty.end("a", true), Err(Refusal::Empty));
}

#[test]
fn the_first_part_has_the_files_own_name_if_it_is_likely_the_whole_of_it() {
    let is_whole = |length, append| {
        let mut bench = Bench::new(SEQUENTIAL, length);
        match bench.ask("a", Ask::Begin(append)) {
            Answer::Granted(grant) => grant.is_whole_file,
            other => panic!("{other:?}"),
        }
    };
    let sized = |content_length| Append {
        content_length,
        ..append(0)
    };
    assert!(is_whole(Some(100), sized(Some(100))));
    assert!(is_whole(Some(100), sized(None)));
    assert!(!is_whole(Some(100), sized(Some(40))));
    assert!(!is_whole(Some(101), sized(Some(101))));
    assert!(!is_whole(None, sized(Some(40))));
}

#[test]
fn another_users_token_another_channel_and_no_token_are_refused() {
    let mut bench = Bench::new(SEQUENTIAL, Some(100));
    let foreign = Answer::Refused(Refusal::Foreign);
    for ask in [
        Ask::Look,
        Ask::Begin(append(0)),
        Ask::Terminate {
            finished: FinishedFile::Goes,
        },
    ] {
        assert_eq!(bench.ask_as("a", Some("u2"), ask), foreign);
    }
    assert_eq!(bench.ask_as("a", None, Ask::Begin(append(0))), foreign);
    assert!(matches!(
        bench.ask_as("a", None, Ask::Look),
        Answer::State(_)
    ));
    let elsewhere = Append {
        destination: Destination {
            chat_id: "-1002".to_owned(),
            ..destination()
        },
        ..append(0)
    };
    assert_eq!(
        bench.begin("a", elsewhere),
        Err(Refusal::DestinationChanged)
    );
}

#[test]
fn another_token_of_the_same_bot_goes_on_and_is_sealed_anew() {
    let mut bench = Bench::new(SEQUENTIAL, Some(100));
    let other_token = || Append {
        destination: Destination {
            token_mark: "m2".to_owned(),
            ..destination()
        },
        ..append(0)
    };
    let needs_reseal = |answer| match answer {
        Answer::Granted(grant) => grant.needs_reseal,
        other => panic!("{other:?}"),
    };
    assert!(needs_reseal(bench.ask("a", Ask::Begin(other_token()))));
    let reseal = Ask::Reseal {
        sealed: sealed(),
        token_mark: "m2".to_owned(),
    };
    bench.done("a", reseal).expect("sealed");
    bench.end("a", false).expect("ended");
    assert!(!needs_reseal(bench.ask("b", Ask::Begin(other_token()))));
}

#[test]
fn chunks_come_in_any_order_several_at_a_time_and_once() {
    let mut bench = Bench::new(Shape::Chunked { total: 3 }, Some(250));
    let chunk = |index| Append {
        at: Position::Chunk { index, total: 3 },
        ..append(0)
    };
    assert_eq!(bench.begin("c", chunk(2)), Ok(place(3, 0)));
    assert_eq!(bench.begin("a", chunk(0)), Ok(place(1, 0)));
    bench.put("c", 200, 50).expect("stored");
    bench.put("a", 0, 100).expect("stored");
    assert!(
        bench.state().received.is_empty(),
        "a chunk counts when it has ended"
    );
    assert_eq!(bench.end("c", true).expect("ended").received, [2]);
    assert_eq!(bench.begin("again", chunk(2)), Err(Refusal::ChunkStored));
    assert_eq!(bench.end("a", true).expect("ended").received, [0, 2]);
    bench.begin("b", chunk(1)).expect("a lease");
    bench.put("b", 100, 60).expect("stored");
    bench.put("b", 160, 40).expect("stored");
    let state = bench.end("b", true).expect("ended");
    assert_eq!(
        (state.offset, state.is_complete, state.parts),
        (250, true, 4)
    );
    let starts: Vec<u64> = bench
        .parts
        .values()
        .map(|part| bench.chat[&part.message_id].start)
        .collect();
    assert_eq!(starts, [0, 100, 160, 200]);
    let places: Vec<Place> = bench.parts.keys().copied().collect();
    assert_eq!(places, [place(1, 0), place(2, 0), place(2, 1), place(3, 0)]);
}

#[test]
fn a_chunk_that_is_sent_again_takes_the_place_of_its_first_try() {
    let mut bench = Bench::new(Shape::Chunked { total: 2 }, Some(200));
    let chunk = |index| Append {
        at: Position::Chunk { index, total: 2 },
        ..append(0)
    };
    bench.begin("a", chunk(0)).expect("a lease");
    bench.put("a", 0, 60).expect("stored");
    bench.begin("b", chunk(0)).expect("a lease");
    assert_eq!(bench.commit("a", 40), Err(Refusal::Overtaken));
    bench.put("b", 0, 100).expect("stored");
    bench.end("b", true).expect("ended");
    bench.check();
    bench.wake();
    assert_eq!(bench.chat.len(), 1);
}

#[test]
fn chunks_that_lie_are_refused() {
    let mut bench = Bench::new(Shape::Chunked { total: 2 }, Some(200));
    let chunk = |index, total| Append {
        at: Position::Chunk { index, total },
        ..append(0)
    };
    assert_eq!(bench.begin("a", chunk(2, 2)), Err(Refusal::NoSuchChunk));
    assert_eq!(bench.begin("a", chunk(0, 3)), Err(Refusal::LengthDiffers));
    let other_size = Append {
        length: Some(201),
        ..chunk(0, 2)
    };
    assert_eq!(bench.begin("a", other_size), Err(Refusal::LengthDiffers));
    assert_eq!(bench.begin("a", append(0)), Err(Refusal::WrongShape));
    bench.begin("a", chunk(0, 2)).expect("a lease");
    assert_eq!(
        bench.commit("a", 201),
        Err(Refusal::LengthExceeded { length: 200 })
    );
    bench.put("a", 0, 100).expect("stored");
    bench.end("a", true).expect("ended");
    bench.begin("b", chunk(1, 2)).expect("a lease");
    assert_eq!(
        bench.commit_last("b", 99, true),
        Err(Refusal::LengthDiffers),
        "fileSize lied"
    );
    let none = new_upload(Shape::Chunked { total: 0 }, None);
    let many = new_upload(
        Shape::Chunked {
            total: MAX_PARTS + 1,
        },
        None,
    );
    let mut unmade = Bench::new(SEQUENTIAL, Some(0));
    for (new, refusal) in [(none, Refusal::Empty), (many, Refusal::TooManyParts)] {
        let told = unmade.ask("a", Ask::Create(Box::new(new)));
        assert_eq!(told, Answer::Refused(refusal));
    }
}

#[test]
fn a_file_is_finished_once_and_its_reply_is_kept() {
    let mut bench = Bench::new(SEQUENTIAL, Some(150));
    assert_eq!(bench.done("a", Ask::Finish), Err(Refusal::Incomplete));
    bench.begin("a", append(0)).expect("a lease");
    bench.put("a", 0, 100).expect("stored");
    bench.put("a", 100, 50).expect("stored");
    let Answer::Work(work) = bench.ask("a", Ask::Finish) else {
        panic!("no work");
    };
    assert_eq!((work.state.parts, work.manifest), (2, None));
    assert_eq!(
        bench.done("b", Ask::Finish),
        Err(Refusal::Locked { retry_after: 8 })
    );
    let Answer::Ledger(parts) = bench.ask("a", Ask::Ledger { after: None }) else {
        panic!("no ledger");
    };
    assert_eq!(
        parts.iter().map(|(_, part)| part.size).collect::<Vec<_>>(),
        [100, 50]
    );
    let Answer::Leave { serial } = bench.ask("a", Ask::Commit(Piece::Manifest)) else {
        panic!("no leave");
    };
    let part = bench.telegram(serial, 0, 0);
    let message_id = part.message_id;
    bench
        .done("a", Ask::Store { serial, part })
        .expect("stored");
    let Answer::Refused(Refusal::Complete) = bench.ask("a", Ask::Commit(Piece::Manifest)) else {
        panic!("a second manifest");
    };
    let message = Message {
        id: "msg_1".to_owned(),
        body: "{}".to_owned(),
    };
    let kept = Finished {
        undelivered: Some(message.clone()),
        ..Bench::finished(message_id)
    };
    bench.done("a", Ask::Keep(kept)).expect("kept");
    assert_eq!(
        bench.done("b", Ask::Keep(Bench::finished(1))),
        Err(Refusal::Overtaken)
    );
    bench.now += 60_000;
    assert_eq!(bench.wake(), Due::Deliver(message));
    bench
        .done("a", Ask::Keep(Bench::finished(message_id)))
        .expect("kept");
    assert!(matches!(bench.wake(), Due::At(_)));
    let state = bench.done("b", Ask::Finish).expect("finished already");
    assert_eq!(state.finished, Some(Bench::finished(message_id)));
    assert_eq!(bench.begin("b", append(150)), Err(Refusal::Complete));
    bench.now += DAY_MS;
    assert_eq!(bench.wake(), Due::Forget);
    assert_eq!(bench.look().err(), Some(Refusal::NotFound));
    assert!(bench.deleted.is_empty(), "the file stays");
}

#[test]
fn a_file_whose_request_died_before_its_end_is_finished_by_the_alarm() {
    let mut bench = Bench::new(SEQUENTIAL, Some(100));
    bench.begin("a", append(0)).expect("a lease");
    bench.put("a", 0, 100).expect("stored");
    assert!(matches!(bench.wake(), Due::At(_)));
    bench.now += 30_000;
    assert_eq!(bench.wake(), Due::Finish);
    let Answer::Work(work) = bench.ask("alarm", Ask::Finish) else {
        panic!("no work");
    };
    assert_eq!(work.state.parts, 1);
}

#[test]
fn termination_deletes_what_telegram_has_and_the_id_stays_gone() {
    let mut bench = Bench::new(SEQUENTIAL, Some(300));
    bench.begin("a", append(0)).expect("a lease");
    bench.put("a", 0, 100).expect("stored");
    let serial = bench.commit("a", 100).expect("leave");
    let part = bench.telegram(serial, 100, 100);
    let finished = FinishedFile::Goes;
    bench.done("b", Ask::Terminate { finished }).expect("ended");
    assert_eq!(bench.look().err(), Some(Refusal::Gone));
    assert_eq!(bench.begin("a", append(0)), Err(Refusal::Gone));
    bench.wake();
    let late = bench.done("a", Ask::Store { serial, part });
    assert_eq!(late, Err(Refusal::Overtaken));
    bench.wake();
    assert_eq!(bench.chat.len(), 0);
    bench.now += 2 * DAY_MS;
    assert_eq!(bench.wake(), Due::Forget);
}

#[test]
fn an_upload_expires_a_day_after_its_last_part_unless_bytes_come() {
    let mut bench = Bench::new(SEQUENTIAL, Some(300));
    bench.now += DAY_MS - 1;
    bench.begin("a", append(0)).expect("a lease");
    bench.put("a", 0, 100).expect("stored");
    bench.end("a", true).expect("ended");
    bench.now += DAY_MS - 1;
    bench.begin("b", append(100)).expect("a lease");
    bench.now += 2000;
    assert!(matches!(bench.wake(), Due::At(_)), "bytes come");
    bench.now += LEASE_MS;
    assert!(matches!(bench.wake(), Due::Delete { parts: true, .. }));
    assert_eq!(bench.look().err(), Some(Refusal::Gone));
    assert_eq!(bench.chat.len(), 0);
}

#[test]
fn deletion_is_tried_again_until_the_messages_are_too_old() {
    let mut bench = Bench::new(SEQUENTIAL, Some(300));
    let finished = FinishedFile::Goes;
    bench.done("b", Ask::Terminate { finished }).expect("ended");
    let mut tries = 0;
    let began = bench.now;
    while bench
        .resource
        .as_mut()
        .expect("a resource")
        .not_deleted(bench.now)
    {
        tries += 1;
        let resource = bench.resource.as_ref().expect("a resource");
        assert!(resource.alarm_at() > bench.now);
        bench.now = resource.alarm_at();
    }
    assert!((40..100).contains(&tries), "{tries}");
    assert!(bench.now - began >= 2 * DAY_MS);
}

#[test]
fn partial_uploads_make_a_final_one_and_delete_nothing_of_it() {
    let mut partial = Bench::new(Shape::Partial, Some(100));
    let into = || Ask::Merge {
        into: "up_final".to_owned(),
    };
    assert_eq!(partial.done("f", into()), Err(Refusal::Incomplete));
    partial.begin("a", append(0)).expect("a lease");
    partial.put("a", 0, 100).expect("stored");
    partial.end("a", true).expect("ended");
    assert!(partial.state().is_complete);
    partial.now += 40_000;
    assert!(
        matches!(partial.wake(), Due::At(_)),
        "it is not finished by itself"
    );

    let mut last = Bench::new(Shape::Final, None);
    assert_eq!(last.begin("create", append(0)), Err(Refusal::WrongShape));
    let Answer::Ledger(ledger) = partial.ask("f", Ask::Ledger { after: None }) else {
        panic!("no ledger");
    };
    let parts: Vec<_> = ledger.into_iter().map(|(_, part)| part).collect();
    let adopt = |after, is_last| Ask::Adopt {
        after,
        parts: parts.clone(),
        is_last,
    };
    for _ in 0..2 {
        let adopted = last.done("create", adopt(0, false)).expect("adopted");
        assert_eq!(adopted.offset, 100, "asked twice it is done once");
    }
    partial.done("create", into()).expect("merged");
    let adopted = last.done("create", adopt(1, true)).expect("the same again");
    assert_eq!(
        (adopted.offset, adopted.parts, adopted.is_complete),
        (200, 2, true)
    );
    assert!(matches!(last.ask("create", Ask::Finish), Answer::Work(_)));
    partial.now += DAY_MS;
    let due = Due::Delete {
        parts: true,
        unless_complete: vec!["up_final".to_owned()],
    };
    let resource = partial.resource.as_mut().expect("a resource");
    assert_eq!(resource.wake(partial.now, &POLICY).0, due);
}

#[test]
fn a_final_upload_that_never_got_complete_leaves_the_parts_to_the_partial_ones() {
    let mut bench = Bench::new(Shape::Final, None);
    let finished = FinishedFile::Goes;
    bench.done("b", Ask::Terminate { finished }).expect("ended");
    assert!(matches!(bench.wake(), Due::Delete { parts: false, .. }));
}
