//! The cache's policy, minute by minute; the token; the backend's answers.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::backend::{BackendFault, read_answer};
use super::cache::{Bounds, Cache, Decision};
use super::{AuthToken, Credentials, Source};
use crate::config::CachePolicy;
use crate::host::{Answer, CallFault, UnixMillis};
use crate::telegram::{BotToken, ChatId};

const SECOND: UnixMillis = 1_000;
const MINUTE: UnixMillis = 60 * SECOND;
const HOUR: UnixMillis = 60 * MINUTE;
const POLICY: CachePolicy = CachePolicy {
    ttl_ms: HOUR,
    max_stale_ms: 24 * HOUR,
};
const TIMEOUT_MS: u32 = 5_000;
const START: UnixMillis = 1_700_000_000_000;
const OUTAGE: BackendFault = BackendFault::Call(CallFault::Network);

fn cache() -> Cache {
    Cache::new(POLICY, TIMEOUT_MS)
}

fn key(name: &str) -> [u8; 32] {
    AuthToken::parse(name).expect("token").hash()
}

fn credentials(user_id: &str) -> Rc<Credentials> {
    Rc::new(Credentials {
        bot_token: BotToken::parse(&format!("1:{}", "A".repeat(35))).expect("bot token"),
        chat_id: ChatId::parse("-1001").expect("chat"),
        user_id: user_id.to_owned(),
    })
}

fn refused(status: u16) -> BackendFault {
    BackendFault::Refused {
        status,
        detail: None,
    }
}

/// A cache that holds the credentials of `name` since [`START`].
fn filled(name: &str) -> (Cache, Rc<Credentials>) {
    let mut cache = cache();
    let held = credentials(name);
    assert_eq!(cache.decide(&key(name), None, START), Decision::Fetch);
    let settled = cache.settle(&key(name), Ok(Rc::clone(&held)), None, START);
    assert_eq!(settled, Ok((Rc::clone(&held), Source::Miss)));
    (cache, held)
}

#[test]
fn credentials_are_served_for_an_hour_without_asking() {
    let (mut cache, held) = filled("t");
    for now in [START, START + 30 * MINUTE, START + 54 * MINUTE] {
        assert_eq!(
            cache.decide(&key("t"), None, now),
            Decision::Fresh(Rc::clone(&held))
        );
    }
    assert_eq!(cache.decide(&key("t"), None, START + HOUR), Decision::Fetch);
}

#[test]
fn another_token_gets_nothing_of_it() {
    let (mut cache, _) = filled("t");
    assert_eq!(cache.decide(&key("T"), None, START), Decision::Fetch);
}

#[test]
fn one_request_refreshes_near_the_end_and_the_others_go_on() {
    let (mut cache, held) = filled("t");
    let near = START + HOUR - 5 * MINUTE;
    assert_eq!(
        cache.decide(&key("t"), None, near - 1),
        Decision::Fresh(Rc::clone(&held))
    );
    assert_eq!(
        cache.decide(&key("t"), None, near),
        Decision::FreshAndRefresh(Rc::clone(&held))
    );
    for _ in 0..3 {
        assert_eq!(
            cache.decide(&key("t"), None, near),
            Decision::Fresh(Rc::clone(&held))
        );
    }
    let newer = credentials("t");
    let _ = cache.settle(&key("t"), Ok(Rc::clone(&newer)), None, near + SECOND);
    assert_eq!(
        cache.decide(&key("t"), None, START + HOUR),
        Decision::Fresh(newer)
    );
}

#[test]
fn a_failed_refresh_is_not_tried_again_at_once() {
    let (mut cache, held) = filled("t");
    let near = START + HOUR - 2 * MINUTE;
    assert_eq!(
        cache.decide(&key("t"), None, near),
        Decision::FreshAndRefresh(Rc::clone(&held))
    );
    let settled = cache.settle(&key("t"), Err(OUTAGE), None, near);
    assert_eq!(settled, Ok((Rc::clone(&held), Source::Stale)));
    assert_eq!(
        cache.decide(&key("t"), None, near + SECOND),
        Decision::Fresh(Rc::clone(&held))
    );
    assert_eq!(
        cache.decide(&key("t"), None, near + 5 * SECOND),
        Decision::FreshAndRefresh(held)
    );
}

#[test]
fn of_simultaneous_cold_requests_one_fetches_and_the_others_wait() {
    let mut cache = cache();
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
    for _ in 0..20 {
        assert_eq!(cache.decide(&key("t"), None, START), Decision::Wait);
    }
    assert_eq!(cache.decide(&key("other"), None, START), Decision::Fetch);
    let held = credentials("t");
    let _ = cache.settle(&key("t"), Ok(Rc::clone(&held)), None, START + 5);
    assert_eq!(
        cache.decide(&key("t"), Some(START), START + 5),
        Decision::Fresh(held)
    );
}

#[test]
fn those_who_waited_for_a_fetch_share_its_failure_and_latecomers_do_not() {
    let mut cache = cache();
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
    let failed = START + 10;
    assert_eq!(
        cache.settle(&key("t"), Err(OUTAGE), None, failed),
        Err(OUTAGE)
    );
    assert_eq!(
        cache.decide(&key("t"), Some(START), failed + 1),
        Decision::Failed(OUTAGE)
    );
    assert_eq!(cache.decide(&key("t"), None, failed + 1), Decision::Fetch);
}

#[test]
fn a_claim_whose_request_was_cancelled_is_taken_over() {
    let mut cache = cache();
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
    let void = START + u64::from(TIMEOUT_MS) + SECOND;
    assert_eq!(
        cache.decide(&key("t"), Some(START), void - 1),
        Decision::Wait
    );
    assert_eq!(cache.decide(&key("t"), Some(START), void), Decision::Fetch);
    assert_eq!(cache.decide(&key("t"), Some(START), void), Decision::Wait);
}

#[test]
fn stale_credentials_help_over_every_kind_of_outage() {
    for fault in [
        OUTAGE,
        BackendFault::Call(CallFault::Timeout),
        BackendFault::Busy { retry_after: None },
        BackendFault::Failed {
            status: 503,
            detail: None,
        },
    ] {
        let (mut cache, held) = filled("t");
        let late = START + 2 * HOUR;
        assert_eq!(cache.decide(&key("t"), None, late), Decision::Fetch);
        let settled = cache.settle(&key("t"), Err(fault), None, late);
        assert_eq!(settled, Ok((Rc::clone(&held), Source::Stale)));
        assert_eq!(
            cache.decide(&key("t"), None, late + 4 * SECOND),
            Decision::Stale(Rc::clone(&held))
        );
        assert_eq!(
            cache.decide(&key("t"), None, late + 5 * SECOND),
            Decision::Fetch,
            "the backend is asked again every few seconds"
        );
    }
}

#[test]
fn staleness_is_bounded() {
    let (mut cache, _) = filled("t");
    let end = START + 25 * HOUR;
    assert_eq!(cache.decide(&key("t"), None, end - 1), Decision::Fetch);
    assert_eq!(cache.settle(&key("t"), Err(OUTAGE), None, end), Err(OUTAGE));
}

#[test]
fn an_answer_that_says_nothing_is_no_outage_and_no_refusal() {
    let (mut cache, held) = filled("t");
    let late = START + 2 * HOUR;
    assert_eq!(cache.decide(&key("t"), None, late), Decision::Fetch);
    let fault = BackendFault::Unusable("not JSON");
    assert_eq!(
        cache.settle(&key("t"), Err(fault.clone()), None, late),
        Err(fault)
    );
    assert_eq!(cache.decide(&key("t"), None, late), Decision::Fetch);
    assert_eq!(
        cache.settle(&key("t"), Err(OUTAGE), None, late),
        Ok((held, Source::Stale))
    );
}

#[test]
fn a_revoked_token_is_not_served_stale() {
    for status in [400, 401, 403, 404] {
        let (mut cache, _) = filled("t");
        let late = START + 2 * HOUR;
        assert_eq!(cache.decide(&key("t"), None, late), Decision::Fetch);
        assert_eq!(
            cache.settle(&key("t"), Err(refused(status)), None, late),
            Err(refused(status))
        );
        let later = late + 6 * SECOND;
        assert_eq!(cache.decide(&key("t"), None, later), Decision::Fetch);
        assert_eq!(
            cache.settle(&key("t"), Err(OUTAGE), None, later),
            Err(OUTAGE),
            "{status}: the entry is gone"
        );
    }
}

#[test]
fn a_refused_token_is_remembered_for_a_few_seconds_and_an_unconfigured_user_is_not() {
    for (status, remembered) in [(401, true), (403, true), (400, false), (404, false)] {
        let mut cache = cache();
        assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
        let _ = cache.settle(&key("t"), Err(refused(status)), None, START);
        let expected = if remembered {
            Decision::Failed(refused(status))
        } else {
            Decision::Fetch
        };
        assert_eq!(
            cache.decide(&key("t"), None, START + 4_999),
            expected,
            "{status}"
        );
        assert_eq!(cache.decide(&key("u"), None, START), Decision::Fetch);
        if remembered {
            assert_eq!(
                cache.decide(&key("t"), None, START + 5_000),
                Decision::Fetch
            );
        }
    }
}

#[test]
fn credentials_never_outlive_their_token() {
    let mut cache = cache();
    let exp = START + 10 * MINUTE;
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
    let _ = cache.settle(&key("t"), Ok(credentials("t")), Some(exp), START);
    assert!(matches!(
        cache.decide(&key("t"), None, exp - 6 * MINUTE),
        Decision::Fresh(_)
    ));
    assert_eq!(cache.decide(&key("t"), None, exp), Decision::Fetch);
    assert_eq!(
        cache.settle(&key("t"), Err(OUTAGE), Some(exp), exp),
        Err(OUTAGE),
        "not even stale"
    );
}

#[test]
fn an_expired_token_that_the_backend_took_is_used_once() {
    let mut cache = cache();
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
    let settled = cache.settle(&key("t"), Ok(credentials("t")), Some(START), START);
    assert!(settled.is_ok());
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
}

#[test]
fn what_telegram_refuses_is_forgotten_but_not_what_came_since() {
    let (mut cache, old) = filled("t");
    cache.drop_refused(&key("t"), &old);
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
    let new = credentials("t");
    let _ = cache.settle(&key("t"), Ok(Rc::clone(&new)), None, START);
    cache.drop_refused(&key("t"), &old);
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fresh(new));
}

#[test]
fn the_least_recently_used_entry_makes_room() {
    let mut cache = cache();
    let name = |i: usize| format!("token{i}");
    let fill = |cache: &mut Cache, i: usize| {
        assert_eq!(cache.decide(&key(&name(i)), None, START), Decision::Fetch);
        let _ = cache.settle(&key(&name(i)), Ok(credentials(&name(i))), None, START);
    };
    for i in 0..4096 {
        fill(&mut cache, i);
    }
    assert!(matches!(
        cache.decide(&key(&name(0)), None, START),
        Decision::Fresh(_)
    ));
    fill(&mut cache, 4096);
    assert!(matches!(
        cache.decide(&key(&name(0)), None, START),
        Decision::Fresh(_)
    ));
    assert_eq!(cache.decide(&key(&name(1)), None, START), Decision::Fetch);
}

/// A cache with room for two of each.
fn small_cache() -> Cache {
    let bounds = Bounds {
        entries: 2,
        failures: 2,
    };
    Cache::bounded(POLICY, TIMEOUT_MS, bounds)
}

#[test]
fn coming_from_the_backend_is_a_use_of_its_own() {
    // An order that is left to chance does not come out right each time.
    for _ in 0..32 {
        let mut cache = small_cache();
        for name in ["a", "b", "c"] {
            assert_eq!(cache.decide(&key(name), None, START), Decision::Fetch);
        }
        let _ = cache.settle(&key("a"), Ok(credentials("a")), None, START);
        assert!(matches!(
            cache.decide(&key("a"), None, START),
            Decision::Fresh(_)
        ));
        let _ = cache.settle(&key("b"), Ok(credentials("b")), None, START);
        let _ = cache.settle(&key("c"), Ok(credentials("c")), None, START);
        assert_eq!(cache.decide(&key("a"), None, START), Decision::Fetch);
        assert!(matches!(
            cache.decide(&key("b"), None, START),
            Decision::Fresh(_)
        ));
    }
}

#[test]
fn the_oldest_failure_makes_room_even_when_the_clock_stands_still() {
    for _ in 0..32 {
        let mut cache = small_cache();
        for name in ["a", "b", "c"] {
            assert_eq!(cache.decide(&key(name), None, START), Decision::Fetch);
            let _ = cache.settle(&key(name), Err(refused(401)), None, START);
        }
        let failed = Decision::Failed(refused(401));
        assert_eq!(cache.decide(&key("a"), None, START), Decision::Fetch);
        assert_eq!(cache.decide(&key("b"), None, START), failed);
        assert_eq!(cache.decide(&key("c"), None, START), failed);
    }
}

#[test]
fn a_failure_that_comes_again_takes_nobody_elses_place() {
    let mut cache = small_cache();
    assert_eq!(cache.decide(&key("other"), None, START), Decision::Fetch);
    let _ = cache.settle(&key("other"), Err(refused(401)), None, START);
    for _ in 0..2 {
        assert_eq!(cache.decide(&key("t"), None, START + 1), Decision::Fetch);
        let _ = cache.settle(&key("t"), Err(refused(400)), None, START + 1);
    }
    assert_eq!(
        cache.decide(&key("other"), None, START + 1),
        Decision::Failed(refused(401))
    );
}

#[test]
fn refused_tokens_push_nobodys_credentials_out() {
    let (mut cache, held) = filled("t");
    for i in 0..10_000 {
        let random = key(&format!("random{i}"));
        assert_eq!(cache.decide(&random, None, START), Decision::Fetch);
        let _ = cache.settle(&random, Err(refused(401)), None, START);
    }
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fresh(held));
}

#[test]
fn tokens_are_what_a_header_can_carry() {
    for good in ["a", " padded ", "eyJ.a-b_c~+/=", &"x".repeat(8192)] {
        assert!(AuthToken::parse(good).is_some(), "{good}");
    }
    for bad in [
        "",
        "  ",
        "a b",
        "a\r\nX: 1",
        "a\0",
        "tökn",
        "a\tb",
        &"x".repeat(8193),
    ] {
        assert!(AuthToken::parse(bad).is_none(), "{bad:?}");
    }
    let token = AuthToken::parse("secret").expect("token");
    assert_eq!(token.bearer(), "Bearer secret");
    assert_eq!(format!("{token:?}"), "AuthToken(…)");
}

#[test]
fn the_expiry_of_a_jwt_is_read_and_of_nothing_else() {
    let expiry = |payload: &str| {
        let payload = URL_SAFE_NO_PAD.encode(payload);
        AuthToken::parse(&format!("h.{payload}.s")).and_then(|token| token.expires_at())
    };
    assert_eq!(expiry(r#"{"sub":"u","exp":1700000000}"#), Some(START));
    assert_eq!(expiry(r#"{"exp":1700000000.5}"#), Some(START + 500));
    assert_eq!(expiry(r#"{"exp":-1}"#), Some(0));
    assert_eq!(expiry(r#"{"exp":1e300}"#), Some(UnixMillis::MAX));
    for none in [
        r#"{"exp":"1"}"#,
        r#"{"sub":"u"}"#,
        "[]",
        "[1700000000]",
        "not json",
        "",
    ] {
        assert_eq!(expiry(none), None, "{none}");
    }
    for opaque in ["opaque", "a.b", "a.b.c.d", "a.!!!.c"] {
        let token = AuthToken::parse(opaque).expect("token");
        assert_eq!(token.expires_at(), None, "{opaque}");
    }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        retry_after: None,
        body: body.as_bytes().to_vec(),
    }
}

const TOKEN: &str = "123:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[test]
fn credentials_are_read_and_account_secrets_are_not() {
    let body = format!(
        r#"{{"bot_token":"{TOKEN}","channel_id":-1001234567890,"telegram_session":"s","telegram_api_id":1,
            "telegram_api_hash":"h","user_id":7,"backend_url":"http://evil"}}"#
    );
    let credentials = read_answer(&answer(200, &body)).expect("credentials");
    assert_eq!(credentials.chat_id.as_str(), "-1001234567890");
    assert_eq!(credentials.user_id, "7");
    let shown = format!("{credentials:?}");
    assert!(
        !shown.contains("AAAA") && !shown.contains("evil"),
        "{shown}"
    );
}

#[test]
fn what_is_not_whole_credentials_is_unusable() {
    let with = |token: &str, channel: &str, user: &str| {
        format!(r#"{{"bot_token":{token},"channel_id":{channel},"user_id":{user}}}"#)
    };
    let good = format!("\"{TOKEN}\"");
    for body in [
        String::new(),
        "<html>".to_owned(),
        "{}".to_owned(),
        with("null", "\"-1\"", "\"u\""),
        with(&good, "null", "\"u\""),
        with(&good, "\"-1\"", "null"),
        with(&good, "\"-1\"", "\"\""),
        with(&good, "\"-1/../x\"", "\"u\""),
        with(
            "\"123:AAAA/../AAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
            "\"-1\"",
            "\"u\"",
        ),
        with("\"short:a\"", "\"-1\"", "\"u\""),
        // The fields without their names.
        format!("[{good},\"-1\",\"u\"]"),
    ] {
        let read = read_answer(&answer(200, &body));
        assert!(
            matches!(read, Err(BackendFault::Unusable(_))),
            "{body}: {read:?}"
        );
    }
    for status in [302, 418] {
        let read = read_answer(&answer(status, ""));
        assert!(matches!(read, Err(BackendFault::Unusable(_))), "{status}");
    }
}

#[test]
fn the_backends_statuses_are_told_apart() {
    let detail = r#"{"detail":"Because\u0007 so"}"#;
    let detailed = Some("Because so".to_owned());
    for status in [400, 401, 403, 404] {
        let read = read_answer(&answer(status, detail));
        let expected = BackendFault::Refused {
            status,
            detail: detailed.clone(),
        };
        assert_eq!(read, Err(expected));
    }
    let busy = Answer {
        retry_after: Some("7".to_owned()),
        ..answer(429, "")
    };
    let expected = BackendFault::Busy {
        retry_after: Some(7),
    };
    assert_eq!(read_answer(&busy), Err(expected));
    for status in [408, 500] {
        let failed = BackendFault::Failed {
            status,
            detail: None,
        };
        for body in [
            "<html>",
            r#"["Because so"]"#,
            r#"{"detail":[{"msg":"no"}]}"#,
        ] {
            assert_eq!(read_answer(&answer(status, body)), Err(failed.clone()));
        }
    }
}

#[test]
fn a_fetch_that_began_before_its_user_was_dropped_brings_nothing_back() {
    let mut cache = cache();
    let given = credentials("u");
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
    let before = cache.begin_fetch(START);
    cache.drop_user("u");
    let settled = cache.settle_fetch(&key("t"), before, Ok(Rc::clone(&given)), None, START);
    assert_eq!(settled, Ok((Rc::clone(&given), Source::Miss)));
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);

    let after = cache.begin_fetch(START);
    let _ = cache.settle_fetch(&key("t"), after, Ok(Rc::clone(&given)), None, START);
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fresh(given));
}

#[test]
fn a_fetch_outlives_the_drop_of_others_unless_too_many_were_dropped_to_tell() {
    for (drops, expected) in [(256, true), (257, false)] {
        let mut cache = cache();
        assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
        let fetch = cache.begin_fetch(START);
        for other in 0..drops {
            cache.drop_user(&format!("other {other}"));
        }
        let _ = cache.settle_fetch(&key("t"), fetch, Ok(credentials("u")), None, START);
        let is_kept = matches!(cache.decide(&key("t"), None, START), Decision::Fresh(_));
        assert_eq!(is_kept, expected, "{drops}");
    }
    let mut cache = cache();
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
    let fetch = cache.begin_fetch(START);
    cache.drop_all();
    let _ = cache.settle_fetch(&key("t"), fetch, Ok(credentials("u")), None, START);
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
}

#[test]
fn what_is_not_trusted_is_served_only_while_the_backend_is_down() {
    let mut cache = cache();
    let held = credentials("u");
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
    let _ = cache.settle(&key("t"), Ok(Rc::clone(&held)), None, START);
    let now = START + 2 * MINUTE;
    cache.distrust_before(now - MINUTE);
    assert_eq!(cache.decide(&key("t"), None, now), Decision::Fetch);
    assert_eq!(cache.decide(&key("t"), None, now), Decision::Wait);
    let settled = cache.settle(&key("t"), Err(OUTAGE), None, now);
    assert_eq!(settled, Ok((Rc::clone(&held), Source::Stale)));
    assert_eq!(
        cache.decide(&key("t"), None, now + SECOND),
        Decision::Stale(held)
    );
    let later = now + 5 * SECOND;
    assert_eq!(cache.decide(&key("t"), None, later), Decision::Fetch);
    let settled = cache.settle(&key("t"), Err(refused(401)), None, later);
    assert_eq!(settled, Err(refused(401)));
}

#[test]
fn a_busy_backend_is_a_dead_one_for_five_minutes() {
    const BUSY: BackendFault = BackendFault::Busy { retry_after: None };
    let mut cache = cache();
    let held = credentials("u");
    assert_eq!(cache.decide(&key("t"), None, START), Decision::Fetch);
    let _ = cache.settle(&key("t"), Ok(Rc::clone(&held)), None, START);
    let late = START + HOUR;
    for (after, expected) in [
        (0, Ok((Rc::clone(&held), Source::Stale))),
        (5 * MINUTE - 1, Ok((Rc::clone(&held), Source::Stale))),
        (5 * MINUTE + 5 * SECOND, Err(BUSY)),
    ] {
        let now = late + after;
        assert_eq!(cache.decide(&key("t"), None, now), Decision::Fetch);
        let settled = cache.settle(&key("t"), Err(BUSY), None, now);
        assert_eq!(settled, expected, "{after}");
    }
}

#[test]
fn one_user_with_many_tokens_pushes_out_nobody_else() {
    let mut cache = cache();
    let store = |cache: &mut Cache, token: &str, user: &str| {
        assert_eq!(cache.decide(&key(token), None, START), Decision::Fetch);
        let _ = cache.settle(&key(token), Ok(credentials(user)), None, START);
    };
    store(&mut cache, "t", "u");
    for token in 0..5_000 {
        store(&mut cache, &format!("token-{token}"), "many");
    }
    let is_kept = |cache: &mut Cache, token: &str| {
        matches!(cache.decide(&key(token), None, START), Decision::Fresh(_))
    };
    assert!(is_kept(&mut cache, "t"));
    assert!(is_kept(&mut cache, "token-4999"));
    assert!(is_kept(&mut cache, "token-4968"));
    assert!(!is_kept(&mut cache, "token-4967"));
}
