//! Makes things go wrong, and writes down how the uploads end.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use backend_mock::Provisioned;
use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{
    form::BOUNDARY,
    harness::{Harness, Settings, assert_error},
    http::{Connection, Reply, Request},
    proxy::Proxy,
    upload::{File, LANES, Shape},
    wait::HUNG,
};
use tokio::time::sleep;

use crate::table::{Cut, End, Moment, Row, Step, Wrong};

/// The pieces of a slow client, and the pause after each.
const SLOW_PIECES: usize = 20;
const SLOW_PAUSE: Duration = Duration::from_millis(10);
/// How long Telegram takes where it is to outlast its client.
const OUTLASTING_MS: u64 = 700;
/// What hangs when the worker is killed.
const HANGING_MS: u64 = 90_000;
/// How often a count is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// One worker, and the rows that it serves.
pub(crate) struct Stage {
    settings: Settings,
    rows: Vec<Row>,
    is_gated: bool,
    overdue_after: Duration,
}

impl Stage {
    pub(crate) fn new(settings: Settings, rows: Vec<Row>) -> Self {
        Self {
            settings,
            rows,
            is_gated: false,
            overdue_after: Duration::ZERO,
        }
    }

    /// Backend and Telegram have ports that can be closed.
    pub(crate) fn gated(mut self) -> Self {
        self.is_gated = true;
        self
    }

    /// The rows begin when what the users have in the cache is past its time.
    pub(crate) fn overdue_after_seconds(mut self, seconds: u64) -> Self {
        self.overdue_after = Duration::from_secs(seconds) + Duration::from_millis(200);
        self
    }
}

/// How an upload was to end, and how it did.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub step: Step,
    pub name: &'static str,
    pub lane: &'static str,
    pub expected: End,
    pub told: String,
    pub messages: usize,
    pub notifications: usize,
    pub next: String,
}

impl Ending {
    /// What is not as it should be.
    pub(crate) fn surprise(&self) -> Option<String> {
        let End {
            told,
            messages,
            notifications,
            next,
        } = self.expected;
        let is_as_expected = told.contains(&self.told.as_str())
            && messages == self.messages
            && notifications == self.notifications
            && next == self.next;
        (!is_as_expected).then(|| format!("{self:?}"))
    }
}

/// An upload in one lane that something goes wrong with.
struct Case {
    lane: usize,
    user: Provisioned,
    file: File,
    expected: End,
    /// Uploads of this user that have nothing to do with it.
    others: usize,
    told: String,
    messages: usize,
    next: String,
}

/// Serves the rows of a stage, one after the other.
pub(crate) async fn run(stage: Stage) -> Vec<Ending> {
    let Stage {
        mut settings,
        rows,
        is_gated,
        overdue_after,
    } = stage;
    let mut gates = is_gated.then(|| [Proxy::closed(), Proxy::closed()]);
    if let Some([backend, telegram]) = &gates {
        settings = settings
            .set("BACKEND_URL", backend.url())
            .set("TELEGRAM_API_URL", telegram.url());
    }
    let mut lab = Lab {
        harness: Harness::start(settings).await,
        gates: Vec::new(),
        seed: 0,
    };
    lab.gates.extend(gates.take().into_iter().flatten());
    lab.open_gates();

    let mut table = Vec::new();
    for row in rows {
        let cases = lab.prepare(&row).await;
        table.push((row, cases));
    }
    sleep(overdue_after).await;
    for (row, cases) in &mut table {
        let at_once = if row.wrong.is_for_one() {
            1
        } else {
            cases.len()
        };
        for cases in cases.chunks_mut(at_once) {
            lab.play(row, cases).await;
        }
    }
    let endings = lab.settle(table).await;
    lab.harness.finish().await;
    endings
}

struct Lab {
    harness: Harness,
    /// That of the backend and that of Telegram, if any.
    gates: Vec<Proxy>,
    seed: u64,
}

impl Lab {
    fn open_gates(&mut self) {
        let url = self.harness.backend_url();
        let address: SocketAddr = url
            .trim_start_matches("http://")
            .parse()
            .expect("an address");
        for gate in &mut self.gates {
            gate.open(address);
        }
    }

    /// Users and files for the row's lanes.
    async fn prepare(&mut self, row: &Row) -> Vec<Case> {
        let mut cases = Vec::new();
        for (lane, expected) in row.ends.iter().enumerate() {
            let Some(expected) = *expected else { continue };
            self.seed += 1;
            let mut file = File::seeded(LANES[lane].3, self.seed);
            file.name = format!("file-{}.bin", self.seed);
            let case = Case {
                lane,
                user: self.harness.add_user().await,
                file,
                expected,
                others: usize::from(row.known),
                told: String::new(),
                messages: 0,
                next: String::new(),
            };
            if row.known {
                let reply = self.harness.send(&case.request()).await;
                self.harness
                    .assert_in_channel(&case.user, &case.file, &reply)
                    .await;
            }
            cases.push(case);
        }
        cases
    }

    /// Lets it go wrong, and then uploads once more with nothing in the way.
    async fn play(&mut self, row: &Row, cases: &mut [Case]) {
        match &row.wrong {
            Wrong::Always(fault) => {
                self.order(row.step, fault, -1).await;
                self.send_all(cases).await;
            }
            Wrong::Once(fault) => {
                self.order(row.step, fault, 1).await;
                self.send_all(cases).await;
            }
            Wrong::Refused => {
                let gate = usize::from(row.step == Step::Telegram);
                self.gates[gate].close().await;
                self.send_all(cases).await;
                self.open_gates();
            }
            Wrong::Leaves(cut) => {
                for case in &mut *cases {
                    case.told = self.leave(case, *cut).await;
                }
            }
            Wrong::Slow => {
                let sent = cases.iter().map(|case| self.send_slowly(case));
                let told = join_all(sent).await;
                for (case, told) in cases.iter_mut().zip(told) {
                    case.told = told;
                }
            }
            Wrong::Stops => self.stop(cases).await,
            Wrong::Killed { when, with_key } => {
                for case in &mut *cases {
                    case.told = self.kill(case, *when, *with_key).await;
                }
            }
        }
        self.harness.faults(json!([])).await;
        sleep(Duration::from_secs(row.remembered_seconds)).await;
        let messages = self.harness.messages().await;
        for case in &mut *cases {
            let of_user = |message: &&Value| {
                message["chat_id"].to_string().trim_matches('"') == case.user.channel_id
            };
            case.messages = messages.iter().filter(of_user).count() - case.others;
        }
        let sent = cases.iter().map(|case| self.send_well(case));
        let next = join_all(sent).await;
        for (case, next) in cases.iter_mut().zip(next) {
            case.next = next;
            case.others += 1;
        }
    }

    async fn order(&self, step: Step, fault: &Value, times: i64) {
        let mut fault = fault.clone();
        if matches!(step, Step::Renewal) {
            // The rows before have opened the worker's circuit for the backend; an answer closes it.
            let user = self.harness.add_user().await;
            let good = Shape::FileFirst.request(&user.auth_token, &File::of_size(10));
            assert_eq!(self.harness.send(&good).await.status, 200);
        }
        fault["times"] = json!(times);
        fault["on"] = json!(match step {
            Step::Credentials | Step::Renewal => "credentials",
            Step::Telegram | Step::Client => "telegram",
            Step::Notification | Step::Isolate => "notify",
        });
        self.harness.faults(json!([fault])).await;
    }

    /// Sends these at one time.
    async fn send_all(&self, cases: &mut [Case]) {
        let sent = cases.iter().map(|case| async {
            let reply = self.harness.send(&case.request()).await;
            self.told(case, &reply).await
        });
        let told = join_all(sent).await;
        for (case, told) in cases.iter_mut().zip(told) {
            case.told = told;
        }
    }

    /// What a client is told; a success has to be true, and an error complete.
    async fn told(&self, case: &Case, reply: &Reply) -> String {
        let told = reply.json();
        if reply.status != 200 {
            let code = told["code"].as_str().expect("a code");
            assert_error(reply, reply.status, code);
            return format!("{} {code}", reply.status);
        }
        let notified = told["notified"].as_str().expect("a word");
        if reply.header("idempotency-replayed").is_some() {
            return format!("200 {notified}, replayed");
        }
        self.harness
            .assert_in_channel(&case.user, &case.file, reply)
            .await;
        format!("200 {notified}")
    }

    /// How many uploads the log has. A line may come after its reply, so one more upload is made: after its
    /// line there is none that is older.
    async fn uploads_so_far(&self) -> usize {
        let without_token = Request::new("PUT", "/upload/a").body(vec!["a".into()]);
        let reply = self.harness.send(&without_token).await;
        self.harness.logged(&reply).await;
        self.harness.uploads_logged().len()
    }

    /// Sends so much of an upload, leaves, and gives what the log says of it.
    async fn leave(&self, case: &Case, cut: Cut) -> String {
        let harness = &self.harness;
        let request = case.request();
        let before = self.uploads_so_far().await;
        if cut == Cut::Head {
            let head = request.head();
            let mut connection = Connection::open(harness.address())
                .await
                .expect("a connection");
            let half = head.slice(..head.len() / 2);
            connection.write(&[half]).await.expect("sent");
            harness.turn().await;
            connection.reset();
            harness.turn().await;
            assert_eq!(harness.uploads_logged().len(), before);
            return "nothing".to_owned();
        }
        if cut == Cut::Nothing {
            let slow = json!({ "delay_ms": OUTLASTING_MS });
            self.order(Step::Client, &slow, -1).await;
        }
        let sent = harness.count("send_document").await;
        let connection = harness.begin(&request, position(&request, cut)).await;
        if cut == Cut::Nothing {
            harness
                .eventually("Telegram to be called", || async {
                    (harness.count("send_document").await > sent).then_some(())
                })
                .await;
        }
        harness.turn().await;
        connection.reset();
        let lines = harness.uploads_ended(before + 1).await;
        logged(&lines[before])
    }

    async fn send_slowly(&self, case: &Case) -> String {
        let request = case.request();
        let whole: bytes::Bytes = request.body.concat().into();
        let mut connection = self.harness.begin(&request, 0).await;
        for piece in whole.chunks(whole.len().div_ceil(SLOW_PIECES)) {
            let piece = bytes::Bytes::copy_from_slice(piece);
            connection.write(&[piece]).await.expect("sent");
            sleep(SLOW_PAUSE).await;
        }
        let reply = connection.reply().await.expect("a reply");
        self.harness.note(&reply);
        self.told(case, &reply).await
    }

    /// Sends half of each, and stays until the log tells the end.
    async fn stop(&self, cases: &mut [Case]) {
        let before = self.uploads_so_far().await;
        let mut connections = Vec::new();
        for case in &*cases {
            let request = case.request();
            let half = position(&request, Cut::File);
            connections.push(self.harness.begin(&request, half).await);
        }
        let lines = self.harness.uploads_ended(before + cases.len()).await;
        for case in cases {
            let is_its = |line: &&Value| line["lane"] == LANES[case.lane].0;
            case.told = logged(lines[before..].iter().find(is_its).expect("its line"));
        }
    }

    /// Kills the worker under an upload. With a key, the client asks until it knows.
    async fn kill(&mut self, case: &Case, when: Moment, with_key: bool) -> String {
        let mut request = case.request();
        if with_key {
            request = request.header("idempotency-key", &case.file.name);
        }
        let hangs = json!({ "delay_ms": HANGING_MS });
        self.order(Step::Isolate, &hangs, -1).await;
        let harness = &self.harness;
        let told = harness.count("notifications").await;
        let sent = match when {
            Moment::File => position(&request, Cut::File),
            Moment::Notification => usize::MAX,
        };
        let connection = harness.begin(&request, sent).await;
        harness.turn().await;
        if when == Moment::Notification {
            harness
                .eventually("the notification", || async {
                    (harness.count("notifications").await > told).then_some(())
                })
                .await;
            if with_key {
                let messages = harness.messages().await;
                let message = messages
                    .iter()
                    .find(|message| message["file_name"] == case.file.name);
                let id = message.expect("stored")["file_id"].clone();
                harness
                    .eventually("the record", || async {
                        let id = id.as_str().expect("an id");
                        harness.objects_hold(id).then_some(())
                    })
                    .await;
            }
        }
        self.harness.restart_worker().await;
        drop(connection);
        if !with_key {
            return "nothing".to_owned();
        }
        self.harness.faults(json!([])).await;
        let reply = self
            .harness
            .eventually("the end of a lease", || async {
                let reply = self.harness.send(&request).await;
                (reply.status != 409).then_some(reply)
            })
            .await;
        self.told(case, &reply).await
    }

    /// The next upload goes well. Gives where its credentials came from.
    async fn send_well(&self, case: &Case) -> String {
        let reply = self.harness.send(&case.request()).await;
        assert_eq!(reply.status, 200, "after a fault: {}", reply.text());
        let timing = reply.header("server-timing").expect("server-timing");
        let source = timing
            .split(';')
            .find_map(|piece| piece.trim().strip_prefix("desc="));
        source.expect("a source").trim_matches('"').to_owned()
    }

    /// Waits until the backend knows of all that it is to know of.
    async fn settle(&self, table: Vec<(Row, Vec<Case>)>) -> Vec<Ending> {
        let began = Instant::now();
        let counts = loop {
            let counts = self.notifications_by_user().await;
            let is_there = |case: &Case| {
                let count = counts.get(&case.user.user_id).copied().unwrap_or(0);
                count >= case.others + case.expected.notifications
            };
            let mut cases = table.iter().flat_map(|(_, cases)| cases);
            if cases.all(is_there) || began.elapsed() > 2 * HUNG {
                break counts;
            }
            sleep(LOOK).await;
        };
        let ending = |row: &Row, case: Case| Ending {
            step: row.step,
            name: row.name,
            lane: LANES[case.lane].0,
            expected: case.expected,
            told: case.told,
            messages: case.messages,
            notifications: counts
                .get(&case.user.user_id)
                .copied()
                .unwrap_or(0)
                .saturating_sub(case.others),
            next: case.next,
        };
        table
            .into_iter()
            .flat_map(|(row, cases)| {
                cases
                    .into_iter()
                    .map(|case| ending(&row, case))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    async fn notifications_by_user(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for notification in self.harness.notifications().await {
            let user = notification["body"]["userId"].as_str().expect("a user");
            *counts.entry(user.to_owned()).or_default() += 1;
        }
        counts
    }
}

impl Case {
    fn request(&self) -> Request {
        let (_, shape, framing, _) = LANES[self.lane];
        shape
            .request(&self.user.auth_token, &self.file)
            .framing(framing)
    }
}

/// How many bytes of the body go out before this cut.
fn position(request: &Request, cut: Cut) -> usize {
    let whole = request.body.concat();
    let find = |part: &[u8]| whole.windows(part.len()).position(|bytes| bytes == part);
    match cut {
        Cut::Head => 0,
        // A character or two into the token.
        Cut::Fields => find(b"\"authToken\"\r\n\r\n").expect("the field") + 17,
        // Beyond the fields in front of it, and far from its end.
        Cut::File => whole.len() * 6 / 10,
        Cut::Closing => {
            let boundary = format!("\r\n--{BOUNDARY}--");
            find(boundary.as_bytes()).unwrap_or(whole.len() - 1)
        }
        Cut::Nothing => whole.len(),
    }
}

/// An upload's log line in the words of the table.
fn logged(line: &Value) -> String {
    let word = line["code"].as_str().or(line["notified"].as_str());
    format!("({} {})", line["status"], word.expect("a word"))
}
