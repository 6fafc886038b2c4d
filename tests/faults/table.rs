//! What goes wrong, and how an upload has to end in each lane.

use serde_json::{Value, json};
use testkit::harness::Settings;

use crate::runner::Stage;

/// Where something goes wrong; a chapter of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The backend is asked for the credentials of a user who is new.
    Credentials,
    /// The same for one whose credentials are past their time.
    Renewal,
    /// Telegram gets the file.
    Telegram,
    /// The backend is told.
    Notification,
    /// The client sends.
    Client,
    /// The worker itself.
    Isolate,
}

/// What goes wrong in each of the four lanes.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub step: Step,
    /// A sentence without its full stop.
    pub name: &'static str,
    pub wrong: Wrong,
    /// The user has uploaded before.
    pub known: bool,
    /// Seconds for which the fault is remembered: the next upload comes after them.
    pub remembered_seconds: u64,
    /// By lane, in the order of `client::LANES`; none where it can't happen.
    pub ends: [Option<End>; 4],
}

/// What it is that goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Wrong {
    /// The fault, in backend-mock's words, strikes every request at the step.
    Always(Value),
    /// It strikes one request.
    Once(Value),
    /// Nobody listens at the port.
    Refused,
    /// The client's connection is reset.
    Leaves(Cut),
    /// The client sends piece by piece.
    Slow,
    /// The client sends no more, and stays.
    Stops,
    /// The worker's process is killed.
    Killed { when: Moment, with_key: bool },
}

impl Wrong {
    /// Whether it goes wrong for one upload at a time.
    pub(crate) const fn is_for_one(&self) -> bool {
        matches!(self, Self::Once(_) | Self::Leaves(_) | Self::Killed { .. })
    }
}

/// How far a client comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Head,
    Fields,
    File,
    /// All but the closing boundary, or but the last byte of a raw file.
    Closing,
    /// All, and Telegram takes its time.
    Nothing,
}

/// When the worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// In the middle of the file.
    File,
    /// Behind Telegram's ok, before the backend has the notification.
    Notification,
}

/// How an upload ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Status and code, or status and what is said of the notification. In brackets: in the log,
    /// as the client is gone. More than one where it is open which.
    pub told: &'static [&'static str],
    /// In the user's channel.
    pub messages: usize,
    /// That the backend has in the end.
    pub notifications: usize,
    /// Where the next upload has its credentials from.
    pub next: &'static str,
}

const fn end(
    told: &'static [&'static str],
    messages: usize,
    notifications: usize,
    next: &'static str,
) -> End {
    End {
        told,
        messages,
        notifications,
        next,
    }
}

/// It ends well.
const fn ok(next: &'static str) -> End {
    end(&["200 ok"], 1, 1, next)
}

/// Nothing is stored.
const fn fails(told: &'static [&'static str], next: &'static str) -> End {
    end(told, 0, 0, next)
}

const fn all(end: End) -> [Option<End>; 4] {
    [Some(end); 4]
}

/// In the lanes that pass the file on, and in those that hold it.
const fn by_hold(passes: End, holds: End) -> [Option<End>; 4] {
    [Some(passes), Some(passes), Some(holds), Some(holds)]
}

const fn row(step: Step, name: &'static str, wrong: Wrong, ends: [Option<End>; 4]) -> Row {
    Row {
        step,
        name,
        wrong,
        known: false,
        remembered_seconds: 0,
        ends,
    }
}

impl Row {
    const fn known(mut self) -> Self {
        self.known = true;
        self
    }

    const fn remembered_for(mut self, seconds: u64) -> Self {
        self.remembered_seconds = seconds;
        self
    }
}

/// Milliseconds that a slow side takes, and a hanging one. The timeouts of these tests lie far from
/// both.
const SLOW_MS: u64 = 400;
const HANGING_MS: u64 = 90_000;
const TIMEOUT_MS: &str = "3000";
/// Seconds for which the backend's 401 and 403 are remembered.
const REMEMBERED_SECONDS: u64 = 5;
const PAGE: &str = "<html><body>nginx</body></html>";

fn answers(status: u16, body: &Value) -> Wrong {
    Wrong::Always(json!({ "status": status, "body": body.to_string() }))
}

fn page(status: u16) -> Wrong {
    Wrong::Always(json!({ "status": status, "body": PAGE }))
}

fn says(status: u16, body: &str) -> Wrong {
    Wrong::Always(json!({ "status": status, "body": body }))
}

fn huge(status: u16) -> Wrong {
    says(status, &"x".repeat(1_000_000))
}

fn drops(when: &str) -> Wrong {
    Wrong::Always(json!({ "drop": when }))
}

fn takes(ms: u64) -> Wrong {
    Wrong::Always(json!({ "delay_ms": ms }))
}

/// The table, by the workers that serve it.
pub(crate) fn stages() -> Vec<Stage> {
    let usual = || Settings::default().set("IDEMPOTENCY_LEASE_SECONDS", "2");
    let hasty = || {
        usual()
            .set("CREDENTIALS_TIMEOUT_MS", TIMEOUT_MS)
            .set("TELEGRAM_TIMEOUT_MS", TIMEOUT_MS)
    };
    vec![
        Stage::new(usual(), refused()).gated(),
        Stage::new(hasty(), credentials()),
        Stage::new(hasty().set("CREDENTIALS_TTL_SECONDS", "2"), renewal())
            .gated()
            .overdue_after_seconds(2),
        Stage::new(hasty(), telegram()),
        Stage::new(usual(), notification()),
        Stage::new(usual(), client()),
        Stage::new(usual().set("UPLOAD_TIMEOUT_MS", TIMEOUT_MS), stops()),
        Stage::new(usual(), isolate()),
    ]
}

fn refused() -> Vec<Row> {
    use Step::{Credentials, Notification, Telegram};
    let unreachable = fails(&["502 telegram_unreachable"], "hit");
    // A small body lies in the runtime's buffers before there is a connection.
    let small = fails(&["502 telegram_unreachable", "502 outcome_unknown"], "hit");
    vec![
        row(
            Credentials,
            "The backend refuses the connection",
            Wrong::Refused,
            all(fails(&["502 backend_unreachable"], "miss")),
        ),
        row(
            Telegram,
            "Telegram refuses the connection",
            Wrong::Refused,
            [
                Some(unreachable),
                Some(unreachable),
                Some(unreachable),
                Some(small),
            ],
        ),
        row(
            Notification,
            "The backend refuses the connection",
            Wrong::Refused,
            all(end(&["200 pending"], 1, 1, "hit")),
        )
        .known(),
    ]
}

// A row a line.
#[rustfmt::skip]
fn credentials() -> Vec<Row> {
    let row = |name, wrong, end| row(Step::Credentials, name, wrong, all(end));
    let detail = |status, text: &str| answers(status, &json!({ "detail": text }));
    let unreachable = fails(&["502 backend_unreachable"], "miss");
    let failed = fails(&["502 backend_failed"], "miss");
    let invalid = fails(&["502 backend_invalid_reply"], "miss");
    vec![
        row("The backend resets the connection before it does the work", drops("before"), unreachable),
        row("The backend resets the connection after it has done the work", drops("after"), unreachable),
        row("The backend is slow", takes(SLOW_MS), ok("hit")),
        row("The backend hangs", takes(HANGING_MS), fails(&["504 backend_timeout"], "miss")),
        row("The backend answers 400", detail(400, "Telegram not fully configured."), fails(&["400 not_configured"], "miss")),
        row("The backend answers 401", detail(401, "Invalid token"), fails(&["401 token_refused"], "miss")).remembered_for(REMEMBERED_SECONDS),
        row("The backend answers 403", detail(403, "Account blocked"), fails(&["403 forbidden"], "miss")).remembered_for(REMEMBERED_SECONDS),
        row("The backend answers 404", detail(404, "Not Found"), fails(&["502 backend_not_found"], "miss")),
        row("The backend answers 408", page(408), failed),
        row("The backend answers 429", detail(429, "Slow down"), fails(&["503 backend_busy"], "miss")),
        row("The backend answers 500", detail(500, "Internal Server Error"), failed),
        row("A proxy answers 502 with a page", page(502), failed),
        row("A proxy answers 503 with a page", page(503), failed),
        row("Truncated JSON", says(200, "{\"bot_token\":\"12345"), invalid),
        row("Unexpected JSON", says(200, "{\"success\":true}"), invalid),
        row("An oversized reply", huge(200), invalid),
    ]
}

// A row a line.
#[rustfmt::skip]
fn renewal() -> Vec<Row> {
    let row = |name, wrong, end| row(Step::Renewal, name, wrong, all(end)).known();
    let detail = |status, text: &str| answers(status, &json!({ "detail": text }));
    let stale = ok("stale");
    let invalid = fails(&["502 backend_invalid_reply"], "miss");
    vec![
        row("The backend refuses the connection", Wrong::Refused, end(&["200 pending"], 1, 1, "stale")),
        row("The backend resets the connection before it does the work", drops("before"), stale),
        row("The backend resets the connection after it has done the work", drops("after"), stale),
        row("The backend is slow", takes(SLOW_MS), ok("hit")),
        row("The backend hangs", takes(HANGING_MS), stale),
        row("The backend answers 400", detail(400, "Telegram not fully configured."), fails(&["400 not_configured"], "miss")),
        row("The backend answers 401", detail(401, "Invalid token"), fails(&["401 token_refused"], "miss")).remembered_for(REMEMBERED_SECONDS),
        row("The backend answers 403", detail(403, "Account blocked"), fails(&["403 forbidden"], "miss")).remembered_for(REMEMBERED_SECONDS),
        row("The backend answers 404", detail(404, "Not Found"), fails(&["502 backend_not_found"], "miss")),
        row("The backend answers 408", page(408), stale),
        row("The backend answers 429", detail(429, "Slow down"), stale),
        row("The backend answers 500", detail(500, "Internal Server Error"), stale),
        row("A proxy answers 502 with a page", page(502), stale),
        row("A proxy answers 503 with a page", page(503), stale),
        row("Truncated JSON", says(200, "{\"bot_token\":\"12345"), invalid),
        row("Unexpected JSON", says(200, "{\"success\":true}"), invalid),
        row("An oversized reply", huge(200), invalid),
    ]
}

// A row a line.
#[rustfmt::skip]
fn telegram() -> Vec<Row> {
    let row = |name, wrong, ends| row(Step::Telegram, name, wrong, ends);
    let error = |code: u16, description: &str| {
        answers(
            code,
            &json!({ "ok": false, "error_code": code, "description": description }),
        )
    };
    let wait = |seconds: u32| {
        json!({ "status": 429, "body": json!({
            "ok": false, "error_code": 429, "description": format!("Too Many Requests: retry after {seconds}"),
            "parameters": { "retry_after": seconds },
        }).to_string() })
    };
    let unauthorized = json!({ "status": 401, "body": json!({ "ok": false, "error_code": 401, "description": "Unauthorized" }).to_string() });
    let failed = fails(&["502 telegram_failed"], "hit");
    let unknown = fails(&["502 outcome_unknown"], "hit");
    let dead = fails(&["502 bot_token_rejected"], "miss");
    let refused = fails(&["502 chat_refused"], "miss");
    let limited = fails(&["429 rate_limited"], "hit");
    // Whether the end of so small a file went out before is a matter of a moment.
    let cut = fails(&["502 telegram_unreachable", "502 outcome_unknown"], "hit");
    let cut_pipe = fails(
        &[
            "502 telegram_unreachable",
            "502 outcome_unknown",
            "400 upload_interrupted",
        ],
        "hit",
    );
    vec![
        row("Telegram resets the connection before it does the work", drops("before"), [Some(cut_pipe), Some(cut), Some(cut), Some(cut)]),
        row("Telegram resets the connection after it has done the work", drops("after"), all(end(&["502 outcome_unknown"], 1, 0, "hit"))),
        row("Telegram is slow", takes(SLOW_MS), all(ok("hit"))),
        row("Telegram hangs", takes(HANGING_MS), all(fails(&["504 outcome_unknown"], "hit"))),
        row("Telegram answers 400 about the file", error(400, "Bad Request: wrong file"), all(fails(&["400 telegram_rejected"], "hit"))),
        row("Telegram answers 400 about the channel", error(400, "Bad Request: chat not found"), all(refused)),
        row("Telegram answers 401", error(401, "Unauthorized"), all(dead)),
        row("Telegram answers 401 to cached credentials, and accepts fresh ones", Wrong::Once(unauthorized), by_hold(dead, ok("hit"))).known(),
        row("Telegram answers 403", error(403, "Forbidden: bot was kicked from the channel chat"), all(refused)),
        row("Telegram answers 404", error(404, "Not Found"), all(dead)),
        row("Telegram answers 408", error(408, "Request Timeout"), all(failed)),
        row("A proxy answers 408 with a page", page(408), all(failed)),
        row("Telegram answers 429 and asks to wait a second", Wrong::Once(wait(1)), by_hold(limited, ok("hit"))),
        row("Telegram answers 429 and asks to wait a minute", Wrong::Always(wait(60)), all(limited)),
        row("Telegram answers 500", error(500, "Internal Server Error: restart"), all(failed)),
        row("A proxy answers 502 with a page", page(502), all(unknown)),
        row("A proxy answers 503 with a page", page(503), all(failed)),
        row("A proxy answers 504 with a page", page(504), all(fails(&["504 outcome_unknown"], "hit"))),
        row("A proxy answers 500 with an empty body", says(500, ""), all(unknown)),
        row("Truncated JSON", says(200, "{\"ok\":true,\"result\":{\"message_id\":5,\"docu"), all(unknown)),
        row("Unexpected JSON", says(200, "{\"ok\":true,\"result\":{}}"), all(fails(&["502 file_id_missing"], "hit"))),
        row("An oversized reply", huge(200), all(unknown)),
    ]
}

// A row a line.
#[rustfmt::skip]
fn notification() -> Vec<Row> {
    let row = |name, wrong, end| row(Step::Notification, name, wrong, all(end));
    let pending = end(&["200 pending"], 1, 1, "hit");
    // Any 2xx acknowledges: the backend then has it by its own word.
    let acknowledged = end(&["200 ok"], 1, 0, "hit");
    vec![
        row("The backend resets the connection before it does the work", drops("before"), pending),
        row("The backend resets the connection after it has done the work", drops("after"), pending),
        row("The backend is slow", takes(SLOW_MS), ok("hit")),
        row("The backend hangs", takes(HANGING_MS), pending),
        row("The backend answers 400", page(400), pending),
        row("The backend answers 401", page(401), pending),
        row("The backend answers 403", page(403), pending),
        row("The backend answers 404", page(404), pending),
        row("The backend answers 408", page(408), pending),
        row("The backend answers 429", page(429), pending),
        row("The backend answers 500", page(500), pending),
        row("A proxy answers 502 with a page", page(502), pending),
        row("A proxy answers 503 with a page", page(503), pending),
        row("503 with truncated JSON", says(503, "{\"succ"), pending),
        row("503 with unexpected JSON", says(503, "{\"success\":true}"), pending),
        row("An oversized reply with 503", huge(503), pending),
        row("The backend answers 200 with truncated JSON and stores nothing", says(200, "{\"succ"), acknowledged),
        row("An oversized reply with 200, from a backend that stored nothing", huge(200), acknowledged),
    ]
}

// A row a line.
#[rustfmt::skip]
fn client() -> Vec<Row> {
    let row = |name, wrong, ends| row(Step::Client, name, wrong, ends);
    let leaves = |cut| Wrong::Leaves(cut);
    let gone = fails(&["(400 client_disconnected)"], "miss");
    let gone_midway = fails(&["(400 client_disconnected)"], "hit");
    // A native pipe can't tell whose connection broke.
    let gone_in_pipe = fails(
        &["(400 upload_interrupted)", "(400 client_disconnected)"],
        "hit",
    );
    vec![
        row("The client disconnects within the head", leaves(Cut::Head), all(fails(&["nothing"], "miss"))),
        row("The client disconnects within a field", leaves(Cut::Fields), [None, Some(gone), Some(gone), Some(gone)]),
        row("The client disconnects within the file", leaves(Cut::File), [Some(gone_in_pipe), Some(gone_midway), Some(gone), Some(gone)]),
        row("The client disconnects before the closing boundary", leaves(Cut::Closing), [Some(gone_in_pipe), Some(gone_midway), Some(gone), Some(gone)]),
        row("The client disconnects after its last byte, while Telegram is slow", leaves(Cut::Nothing), all(end(&["(200 ok)"], 1, 1, "hit"))),
        row("The client is slow", Wrong::Slow, all(ok("hit"))),
    ]
}

fn stops() -> Vec<Row> {
    let late = |next| Some(fails(&["(408 upload_timeout)"], next));
    vec![row(
        Step::Client,
        "The client stops within the file, and stays connected",
        Wrong::Stops,
        [late("hit"), late("hit"), late("miss"), late("miss")],
    )]
}

// A row a line.
#[rustfmt::skip]
fn isolate() -> Vec<Row> {
    let row = |name, when, with_key, end| {
        let wrong = Wrong::Killed { when, with_key };
        row(Step::Isolate, name, wrong, all(end))
    };
    vec![
        row("The worker is killed in the middle of the file", Moment::File, false, fails(&["nothing"], "miss")),
        row("The worker is killed in the middle of the file, and the client repeats the upload with its Idempotency-Key", Moment::File, true, ok("hit")),
        row("The worker is killed between Telegram's ok and the notification", Moment::Notification, false, end(&["nothing"], 1, 0, "miss")),
        row("The worker is killed between Telegram's ok and the notification, and the client repeats the upload with its Idempotency-Key", Moment::Notification, true, end(&["200 pending, replayed"], 1, 1, "hit")),
    ]
}
