//! An upload's object, with its user's object beside it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{UploadRecord, ask_upload};
use crate::config::Config;
use crate::host::{CallFault, Host as _};
use crate::objects::user_uploads::{
    Answer as UserAnswer, Question as UserQuestion, Report, ask_user,
};
use crate::objects::{DurableObject as _, wake};
use crate::resumable::manifest::Part;
use crate::resumable::pace::Turn;
use crate::resumable::question::{
    Answer, Append, Ask, Destination, FileDescription, Finished, FinishedFile, NewUpload, Piece,
    Position, Question, Refusal, Shape, State,
};
use crate::resumable::seal::{KEY_BYTES, NONCE_BYTES, SealingKey};
use crate::resumable::unfinished::{Advance, MAX_UNFINISHED, Unfinished};
use crate::telegram::{BotToken, FileId};
use crate::testing::memory::Memory;
use crate::testing::{Script, TestHost, answer};

const OBJECT: &str = "up_1";
const USER: &str = "u1";
const DAY_MS: u64 = 86_400_000;

fn config() -> Config {
    let variable = |name| match name {
        "BACKEND_URL" => Some("https://backend".to_owned()),
        "TELEGRAM_API_URL" => Some("https://telegram".to_owned()),
        _ => None,
    };
    Config::read(variable).expect("settings")
}

fn bot() -> BotToken {
    BotToken::parse(&format!("1:{}", "A".repeat(35))).expect("a token")
}

struct World {
    host: TestHost,
}

impl World {
    fn new() -> Self {
        let host = TestHost::default();
        host.advance(1_700_000_000_000);
        host.bind_objects(config());
        Self { host }
    }

    fn ask(&self, object: &str, request: &str, ask: Ask) -> Answer {
        let question = Question {
            request: request.to_owned(),
            user: Some(USER.to_owned()),
            ask,
        };
        let answer = self.host.run(ask_upload(&self.host, object, &question));
        answer.expect("an answer")
    }

    fn state(&self, object: &str, request: &str, ask: Ask) -> State {
        match self.ask(object, request, ask) {
            Answer::State(state) => *state,
            other => panic!("{other:?}"),
        }
    }

    fn user(&self, question: &UserQuestion) -> UserAnswer {
        let answer = self.host.run(ask_user(&self.host, USER, question));
        answer.expect("an answer")
    }

    fn create(&self, object: &str, shape: Shape, length: Option<u64>) {
        let key = SealingKey::new([7; KEY_BYTES]);
        let entry = entry(object, self.host.now());
        self.user(&UserQuestion::Begin {
            object: object.to_owned(),
            entry,
            key: key.clone(),
        });
        let new = NewUpload {
            object: object.to_owned(),
            destination: destination(),
            file: FileDescription {
                name: "file".to_owned(),
                ..FileDescription::default()
            },
            echoed: BTreeMap::default(),
            shape,
            length,
            sealed: key.seal([1; NONCE_BYTES], object, &bot()).expect("sealed"),
        };
        self.state(object, "create", Ask::Create(Box::new(new)));
    }

    /// Appends parts of one byte each.
    fn append(&self, object: &str, request: &str, from: u64, parts: u64) {
        let append = Append {
            destination: destination(),
            at: Position::Offset(from),
            content_length: None,
            length: None,
            completes: false,
            is_checked: false,
        };
        assert!(matches!(
            self.ask(object, request, Ask::Begin(append)),
            Answer::Granted(_)
        ));
        for part in from..from + parts {
            let piece = Piece::Part {
                size: 1,
                is_last: false,
            };
            let Answer::Leave { serial } = self.ask(object, request, Ask::Commit(piece)) else {
                panic!("no leave");
            };
            let part = part_of(1000 + i64::try_from(part).expect("small"));
            self.state(object, request, Ask::Store { serial, part });
        }
        self.ask(object, request, Ask::End { is_whole: true });
    }

    fn memory(&self, object: &str) -> std::rc::Rc<Memory> {
        self.host.storage::<UploadRecord>(object)
    }

    /// Lets time pass until the alarm, and wakes the object.
    fn wake(&self, object: &str) {
        let storage = self.memory(object);
        let at = storage.alarm.take().expect("an alarm");
        self.host.advance(at.saturating_sub(self.host.now()));
        self.wake_now(object, &storage);
    }

    fn wake_now(&self, object: &str, memory: &Memory) {
        let config = config();
        let woken = self
            .host
            .run(wake::<UploadRecord>(&self.host, Ok(&config), memory));
        assert_eq!(woken, Ok(()), "{object}");
    }

    fn deletions(&self) -> Vec<Value> {
        let calls = self.host.calls_to("/deleteMessages");
        let bodies = calls
            .iter()
            .map(|call| serde_json::from_slice(&call.body).expect("JSON"));
        bodies.collect()
    }
}

fn destination() -> Destination {
    Destination {
        bot_id: "1".to_owned(),
        chat_id: "-1001".to_owned(),
        name: None,
        token_mark: String::new(),
    }
}

fn part_of(message_id: i64) -> Part {
    Part {
        message_id,
        file_id: FileId::parse(&format!("f{message_id}")).expect("an id"),
        file_unique_id: None,
        size: 1,
        sha256: None,
    }
}

fn entry(id: &str, now: u64) -> Unfinished {
    Unfinished {
        id: id.to_owned(),
        url: format!("/files/{id}"),
        name: "a".to_owned(),
        size: None,
        offset: 0,
        created_at: now,
        expires_at: now + DAY_MS,
    }
}

const SEQUENTIAL: Shape = Shape::Sequential {
    ends_at_length: true,
};

#[test]
fn the_ledger_is_read_in_order_page_by_page() {
    let world = World::new();
    world.create(OBJECT, SEQUENTIAL, Some(3000));
    world.append(OBJECT, "a", 0, 2500);
    let (mut after, mut sizes, mut messages) = (None, Vec::new(), Vec::new());
    loop {
        let Answer::Ledger(page) = world.ask(OBJECT, "a", Ask::Ledger { after }) else {
            panic!("no ledger");
        };
        let Some((place, _)) = page.last() else {
            break;
        };
        after = Some(*place);
        sizes.push(page.len());
        messages.extend(page.iter().map(|(_, part)| part.message_id));
    }
    assert_eq!(sizes, [1000, 1000, 500]);
    assert_eq!(messages, (1000..3500).collect::<Vec<i64>>());
}

#[test]
fn an_upload_that_expires_has_its_messages_deleted_a_hundred_at_a_time_and_is_forgotten() {
    let world = World::new();
    world.host.answers(
        "/deleteMessages",
        [Ok(answer(200, r#"{"ok":true,"result":true}"#))],
    );
    world.create(OBJECT, SEQUENTIAL, Some(3000));
    world.append(OBJECT, "a", 0, 250);
    world.wake(OBJECT);
    let deletions = world.deletions();
    let count = |body: &Value| body["message_ids"].as_array().expect("ids").len();
    assert_eq!(
        deletions.iter().map(count).collect::<Vec<_>>(),
        [100, 100, 50]
    );
    assert_eq!(deletions[0]["chat_id"], "-1001");
    assert_eq!(deletions[2]["message_ids"][49], 1249);
    let url = &world.host.calls_to("/deleteMessages")[0].url;
    assert_eq!(*url, bot().method_url("https://telegram", "deleteMessages"));
    let gone = Answer::Refused(Refusal::Gone);
    assert_eq!(world.ask(OBJECT, "b", Ask::Look), gone);
    let key = || world.user(&UserQuestion::Key(OBJECT.to_owned()));
    assert!(matches!(key(), UserAnswer::Key(Some(_))));
    world.wake(OBJECT);
    assert!(world.memory(OBJECT).entries().is_empty());
    assert_eq!(key(), UserAnswer::Key(None));
    assert_eq!(
        world.user(&UserQuestion::List),
        UserAnswer::List(Vec::new())
    );
    assert_eq!(
        world.ask(OBJECT, "b", Ask::Look),
        Answer::Refused(Refusal::NotFound)
    );
}

#[test]
fn what_telegram_does_not_delete_is_tried_again() {
    let world = World::new();
    let refused = answer(
        400,
        r#"{"ok":false,"error_code":400,"description":"Bad Request"}"#,
    );
    let good = answer(200, r#"{"ok":true,"result":true}"#);
    world
        .host
        .answers("/deleteMessages", [Ok(refused), Ok(good)]);
    world.create(OBJECT, SEQUENTIAL, Some(3000));
    world.append(OBJECT, "a", 0, 2);
    let finished = FinishedFile::Goes;
    world.state(OBJECT, "b", Ask::Terminate { finished });
    world.wake(OBJECT);
    assert_eq!(world.deletions().len(), 1);
    let again_at = world.memory(OBJECT).alarm.get();
    assert_eq!(again_at, Some(world.host.now() + 60_000));
    world.wake(OBJECT);
    assert_eq!(world.deletions().len(), 2);
    let parts = |key: &String| key.starts_with("part/");
    assert!(!world.memory(OBJECT).entries().keys().any(parts));
}

#[test]
fn neither_object_has_the_bots_token_in_the_clear() {
    let world = World::new();
    world.create(OBJECT, SEQUENTIAL, Some(3000));
    world.append(OBJECT, "a", 0, 2);
    let secret = "A".repeat(35);
    for (name, question) in world.host.0.asked.borrow().iter() {
        assert!(!question.contains(&secret), "{name}");
    }
    let entries = world.memory(OBJECT).entries();
    assert!(entries.values().all(|value| !value.contains(&secret)));
}

#[test]
fn the_parts_of_a_partial_upload_stay_when_the_final_one_is_complete() {
    for is_complete in [true, false] {
        let world = World::new();
        world.host.answers(
            "/deleteMessages",
            [Ok(answer(200, r#"{"ok":true,"result":true}"#))],
        );
        world.create("up_partial", Shape::Partial, Some(2));
        world.append("up_partial", "a", 0, 2);
        world.create("up_final", Shape::Final, None);
        let into = "up_final".to_owned();
        let adopt = Ask::Adopt {
            after: 0,
            parts: vec![part_of(1000), part_of(1001)],
            is_last: is_complete,
        };
        world.state("up_partial", "create", Ask::Merge { into });
        world.state("up_final", "create", adopt);
        if is_complete {
            let finished = Finished {
                reply: "{}".to_owned(),
                file_id: "f".to_owned(),
                message_id: 1,
                undelivered: None,
            };
            assert!(matches!(
                world.ask("up_final", "create", Ask::Finish),
                Answer::Work(_)
            ));
            world.state("up_final", "create", Ask::Keep(finished));
        }
        world.wake("up_partial");
        assert_eq!(world.deletions().is_empty(), is_complete);
        let look = world.ask("up_partial", "b", Ask::Look);
        assert_eq!(look, Answer::Refused(Refusal::Gone));
    }
}

#[test]
fn an_answer_that_was_lost_changes_nothing_when_it_is_asked_for_again() {
    let world = World::new();
    world.create(OBJECT, SEQUENTIAL, Some(3));
    world.append(OBJECT, "a", 0, 1);
    let before = world.memory(OBJECT).entries();
    let part = part_of(1000);
    let state = world.state(OBJECT, "a", Ask::Store { serial: 0, part });
    assert_eq!(state.offset, 1);
    assert_eq!(world.memory(OBJECT).entries(), before);
}

#[test]
fn a_part_gets_its_turn_and_the_list_hears_how_far_the_upload_is() {
    let world = World::new();
    world.create(OBJECT, SEQUENTIAL, Some(3));
    let turn = |ticket: &str| UserQuestion::Turn {
        chat: "-1001".to_owned(),
        ticket: ticket.to_owned(),
    };
    let now = world.host.now();
    assert_eq!(world.user(&turn("a")), UserAnswer::Turn(Turn::Now));
    assert_eq!(
        world.user(&turn("b")),
        UserAnswer::Turn(Turn::At(now + 1000))
    );
    let advance = Advance {
        offset: 2,
        size: Some(3),
        expires_at: now + 2 * DAY_MS,
    };
    let report = |retry_after| {
        UserQuestion::Report(Report {
            chat: "-1001".to_owned(),
            ticket: "a".to_owned(),
            is_sent: true,
            retry_after,
            advance: Some((OBJECT.to_owned(), advance)),
        })
    };
    assert_eq!(world.user(&report(Some(7))), UserAnswer::Done);
    assert_eq!(
        world.user(&turn("b")),
        UserAnswer::Turn(Turn::At(now + 7000))
    );
    let expected = Unfinished {
        offset: 2,
        size: Some(3),
        expires_at: now + 2 * DAY_MS,
        ..entry(OBJECT, now)
    };
    assert_eq!(
        world.user(&UserQuestion::List),
        UserAnswer::List(vec![expected])
    );
    world.user(&UserQuestion::Unlist(OBJECT.to_owned()));
    world.user(&report(None));
    assert_eq!(
        world.user(&UserQuestion::List),
        UserAnswer::List(Vec::new())
    );
}

#[test]
fn a_user_has_so_many_unfinished_uploads_until_some_expire() {
    let world = World::new();
    let begin = |id: usize| {
        let object = format!("up_{id}");
        world.user(&UserQuestion::Begin {
            entry: entry(&object, world.host.now()),
            object,
            key: SealingKey::new([1; KEY_BYTES]),
        })
    };
    for id in 0..MAX_UNFINISHED {
        assert!(matches!(begin(id), UserAnswer::Key(Some(_))));
    }
    assert_eq!(begin(MAX_UNFINISHED), UserAnswer::TooMany);
    assert!(
        matches!(begin(3), UserAnswer::Key(Some(_))),
        "it is there already"
    );
    world.host.advance(DAY_MS);
    assert!(matches!(begin(MAX_UNFINISHED), UserAnswer::Key(Some(_))));
    world.host.advance(4 * DAY_MS);
    begin(0);
    let UserAnswer::List(listed) = world.user(&UserQuestion::List) else {
        panic!("no list");
    };
    assert_eq!(
        listed.len(),
        1,
        "those that nobody heard of again are forgotten"
    );
}

#[test]
fn the_log_says_how_many_messages_could_not_be_deleted() {
    let world = World::new();
    let refused = answer(
        400,
        r#"{"ok":false,"error_code":400,"description":"Bad Request"}"#,
    );
    world.host.answers("/deleteMessages", [Ok(refused)]);
    world.create(OBJECT, SEQUENTIAL, Some(3000));
    world.append(OBJECT, "a", 0, 2);
    for _ in 0..200 {
        if world.memory(OBJECT).entries().is_empty() {
            break;
        }
        world.wake(OBJECT);
    }
    assert!(world.memory(OBJECT).entries().is_empty());
    let lines = world.host.0.lines.borrow();
    let expected = json!({ "event": "messages_not_deleted", "count": 2 }).to_string();
    assert_eq!(lines.iter().filter(|line| **line == expected).count(), 1);
    assert_eq!(UploadRecord::BINDING, "UPLOADS");
}

const STORED: &str = r#"{"ok":true,"result":{"message_id":9,"document":{"file_id":"BQAC9"}}}"#;

#[test]
fn a_file_whose_request_died_at_its_end_is_finished_by_the_alarm_with_manifest_and_notification() {
    let world = World::new();
    world.host.script(Script::answering(answer(200, STORED)));
    world
        .host
        .answers("/api/webhook/upload", [Ok(answer(200, "{}"))]);
    world.create(OBJECT, SEQUENTIAL, Some(2));
    world.append(OBJECT, "a", 0, 2);
    world.wake(OBJECT);
    let uploads = world.host.0.uploads.borrow();
    let sent = String::from_utf8(uploads[0].bytes.borrow().clone()).expect("text");
    assert!(sent.contains(r#"filename="file.parts.json""#), "{sent}");
    assert!(sent.contains(r#"{"type":"telestore-manifest/1","name":"file","size":2,"#));
    assert!(sent.contains("Uploaded: file"));
    drop(uploads);
    let state = world.state(OBJECT, "b", Ask::Look);
    let finished = state.finished.expect("finished");
    assert_eq!(
        (finished.message_id, finished.file_id.as_str()),
        (9, "BQAC9")
    );
    assert!(finished.reply.contains(r#""parts":2"#));
    assert_eq!(
        world.user(&UserQuestion::List),
        UserAnswer::List(Vec::new())
    );
    world.host.run_alarms_until(world.host.now() + 60_000);
    assert_eq!(world.host.calls_to("/api/webhook/upload").len(), 1);
    assert_eq!(world.host.0.uploads.borrow().len(), 1, "once");
}

#[test]
fn a_manifest_of_which_nobody_knows_is_sent_again_and_listed() {
    let world = World::new();
    let lost = Err(CallFault::Timeout);
    world.host.script(Script {
        answer: lost,
        ..Script::answering(answer(200, STORED))
    });
    world.host.script(Script::answering(answer(200, STORED)));
    world
        .host
        .answers("/api/webhook/upload", [Ok(answer(200, "{}"))]);
    world.create(OBJECT, SEQUENTIAL, Some(2));
    world.append(OBJECT, "a", 0, 2);
    world.wake(OBJECT);
    let state = world.state(OBJECT, "b", Ask::Look);
    assert_eq!(
        (state.unknown_orphans, state.finished.is_some()),
        (1, false)
    );
    world.wake(OBJECT);
    let state = world.state(OBJECT, "b", Ask::Look);
    assert_eq!((state.unknown_orphans, state.finished.is_some()), (1, true));
}

#[test]
fn a_file_of_one_part_needs_no_message_to_be_finished() {
    let world = World::new();
    world
        .host
        .answers("/api/webhook/upload", [Ok(answer(200, "{}"))]);
    world.create(OBJECT, SEQUENTIAL, Some(1));
    world.append(OBJECT, "a", 0, 1);
    world.wake(OBJECT);
    assert!(world.host.0.uploads.borrow().is_empty());
    let state = world.state(OBJECT, "b", Ask::Look);
    assert_eq!(state.finished.expect("finished").message_id, 1000);
}
