//! Thousands of uploads, one in five with a fault at a step of its own, from clients that try again.
//!
//! **Faults.** backend-mock has one list of faults, and each order replaces it. So whoever orders one
//! holds a lock until its own upload has ended or tries again; the fault strikes the next request at that
//! step, which is mostly its own and at times that of an upload beside it. An upload whose fault is one of
//! the credentials comes from a user of its own, as nobody else's would ask for any. So as many faults are
//! struck as are ordered.
//!
//! **Clients.** They try again as Uppy does (`@uppy/utils`, `fetcher`): three times on anything but a
//! 2xx, after 150, 300 and 600 ms, whatever the reply says.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use backend_mock::Provisioned;
use serde_json::{Value, json};
use testkit::{
    harness::{Harness, Settings},
    http::{Framing, Reply},
    memory,
    random::Random,
    upload::{File, Shape},
    wait::{HUNG, poll},
};
use tokio::{sync::Mutex, task::JoinSet, time::sleep};

use crate::page;

const UPLOADS_VARIABLE: &str = "SOAK_UPLOADS";
const SEED_VARIABLE: &str = "SOAK_SEED";
/// Without the variables: enough for each kind of fault in each lane.
const FEW_UPLOADS: usize = 300;
const SEED: u64 = 20_260_401;
const USERS: usize = 40;
const AT_ONCE: usize = 8;
/// Of a hundred uploads, those with a fault.
const FAULTY_PERCENT: usize = 20;
/// Of a hundred uploads, those of 300 KB to 2 MB. The others have up to 20 KB.
const LARGE_PERCENT: usize = 6;
/// Uploads after which memory is measured the first time.
const WARM_UPLOADS: usize = 500;
const PAUSES: [Duration; 3] = [
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(600),
];
const LOOK: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Credentials,
    BeforeTelegram,
    AfterTelegram,
    Notification,
    Client,
}

const FAULTS: [Fault; 5] = [
    Fault::Credentials,
    Fault::BeforeTelegram,
    Fault::AfterTelegram,
    Fault::Notification,
    Fault::Client,
];

/// One upload as it is meant.
#[derive(Clone, Debug)]
struct Plan {
    index: usize,
    shape: Shape,
    framing: Framing,
    bytes: usize,
    user: Arc<Provisioned>,
    fault: Option<Fault>,
    /// Chooses among the fault's kinds, and where a client leaves.
    chance: usize,
}

/// One upload as it went.
#[derive(Clone, Debug)]
struct Done {
    plan: Plan,
    sha256: String,
    /// The body of its 200.
    told: Option<Value>,
    outcome_unknown: bool,
    tries: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_uploads_with_faults_and_clients_that_try_again_each_is_stored_and_told_once() {
    let uploads = number(UPLOADS_VARIABLE).map_or(FEW_UPLOADS, |count| {
        usize::try_from(count).expect("a count")
    });
    let seed = number(SEED_VARIABLE).unwrap_or(SEED);
    println!("seed {seed}, {uploads} uploads");
    let harness = Arc::new(Harness::start(Settings::default()).await);
    let mut plans = plan(&harness, seed, uploads).await.into_iter();
    let (mut done, mut took, mut memory) = (Vec::new(), Duration::ZERO, Vec::new());
    // Memory is measured where it makes sense: after the first ones, half of them, and all.
    let is_long = uploads >= 4 * WARM_UPLOADS;
    let stops = if is_long {
        vec![WARM_UPLOADS, uploads / 2, uploads]
    } else {
        vec![uploads]
    };
    for stop in stops {
        let began = Instant::now();
        let some = plans.by_ref().take(stop - done.len()).collect();
        done.extend(upload_all(&harness, some).await);
        took += began.elapsed();
        if is_long {
            memory.extend(resting_bytes(&harness).await);
        }
    }
    let mut figures = check(&harness, &done).await;
    let harness = Arc::into_inner(harness).expect("the tasks have ended");
    let objects = harness.files_of_objects().len();
    harness.finish().await;

    let a_second = uploads as u128 * 1000 / took.as_millis().max(1);
    let _ = writeln!(figures, "| uploads a second | {a_second} |");
    let _ = writeln!(figures, "| files of Durable Objects | {objects} |");
    if let [warm, half, all] = memory[..] {
        let _ = writeln!(
            figures,
            "| memory of workerd after {WARM_UPLOADS} uploads, after half of them, after all | {}, {}, {} MB |",
            warm >> 20,
            half >> 20,
            all >> 20
        );
    }
    println!("{figures}");
    page::write(
        "soak",
        &format!("Seed {seed}.\n\n| what | |\n|---|---:|\n{figures}"),
    );
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// Uploads them all, some at a time.
async fn upload_all(harness: &Arc<Harness>, plans: Vec<Plan>) -> Vec<Done> {
    let plans = Arc::new(Mutex::new(plans.into_iter()));
    let ordering = Arc::new(Mutex::new(()));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (harness, plans) = (Arc::clone(harness), Arc::clone(&plans));
        let ordering = Arc::clone(&ordering);
        tasks.spawn(async move {
            let mut done = Vec::new();
            loop {
                let Some(plan) = plans.lock().await.next() else {
                    return done;
                };
                if plan.index > 0 && plan.index.is_multiple_of(1000) {
                    println!("{} uploads", plan.index);
                }
                done.push(upload(&harness, &ordering, plan).await);
            }
        });
    }
    let done = tasks.join_all().await.concat();
    harness.faults(json!([])).await;
    done
}

/// What is to be uploaded.
async fn plan(harness: &Harness, seed: u64, uploads: usize) -> Vec<Plan> {
    const SHAPES: [Shape; 5] = Shape::ALL;
    let mut random = Random::new(seed);
    let mut users = Vec::new();
    for _ in 0..USERS {
        users.push(Arc::new(harness.add_user().await));
    }
    let mut plans = Vec::new();
    for index in 0..uploads {
        let fault =
            (random.below(100) < FAULTY_PERCENT).then(|| FAULTS[random.below(FAULTS.len())]);
        let user = match fault {
            Some(Fault::Credentials) => Arc::new(harness.add_user().await),
            _ => Arc::clone(&users[random.below(USERS)]),
        };
        plans.push(Plan {
            index,
            shape: SHAPES[random.below(SHAPES.len())],
            framing: [Framing::Length, Framing::Chunked][usize::from(random.below(4) == 0)],
            bytes: if random.below(100) < LARGE_PERCENT {
                300_000 + random.below(1_700_000)
            } else {
                1 + random.below(20_000)
            },
            user,
            fault,
            chance: random.below(1 << 30),
        });
    }
    plans
}

async fn upload(harness: &Harness, ordering: &Mutex<()>, plan: Plan) -> Done {
    let mut file = File::seeded(plan.bytes, plan.index as u64);
    file.name = format!("soak-{}.bin", plan.index);
    let request = plan
        .shape
        .request(&plan.user.auth_token, &file)
        .framing(plan.framing)
        .header("idempotency-key", &file.name);
    let mut done = Done {
        sha256: file.sha256(),
        plan,
        told: None,
        outcome_unknown: false,
        tries: 0,
    };
    let plan = &done.plan;
    let ordered = match plan.fault {
        None | Some(Fault::Client) => None,
        Some(fault) => {
            let guard = ordering.lock().await;
            harness.faults(json!([order(fault, plan.chance)])).await;
            Some(guard)
        }
    };
    let first = if plan.fault == Some(Fault::Client) {
        let whole = usize::try_from(request.body_bytes()).expect("fits");
        let connection = harness.begin(&request, plan.chance % (whole + 1)).await;
        connection.reset();
        None
    } else {
        harness.try_send(&request).await.ok()
    };
    drop(ordered);
    done.hear(first);
    for pause in PAUSES {
        if done.told.is_some() {
            break;
        }
        sleep(pause).await;
        let reply = harness.try_send(&request).await.ok();
        done.hear(reply);
    }
    done
}

/// A fault that strikes once.
fn order(fault: Fault, chance: usize) -> Value {
    let kinds = match fault {
        Fault::Credentials => vec![
            json!({ "on": "credentials", "drop": "before" }),
            json!({ "on": "credentials", "drop": "after" }),
            json!({ "on": "credentials", "status": 503, "body": "{\"detail\":\"down\"}" }),
            json!({ "on": "credentials", "status": 502, "body": "<html>" }),
        ],
        Fault::BeforeTelegram => vec![
            json!({ "on": "telegram", "drop": "before" }),
            json!({ "on": "telegram", "status": 502, "body": "<html>" }),
            json!({ "on": "telegram", "status": 500, "body": "{\"ok\":false,\"error_code\":500,\"description\":\"Internal Server Error\"}" }),
        ],
        Fault::AfterTelegram => vec![json!({ "on": "telegram", "drop": "after" })],
        Fault::Notification => vec![
            json!({ "on": "notify", "drop": "before" }),
            json!({ "on": "notify", "drop": "after" }),
            json!({ "on": "notify", "status": 500, "body": "{}" }),
        ],
        Fault::Client => unreachable!("it is the client's own"),
    };
    kinds[chance % kinds.len()].clone()
}

impl Done {
    fn hear(&mut self, reply: Option<Reply>) {
        self.tries += 1;
        let Some(reply) = reply else { return };
        let told = reply.json();
        self.outcome_unknown |= told["code"] == "outcome_unknown";
        if reply.status == 200 {
            self.told = Some(told);
        }
    }
}

/// Every upload is what its client was told, and the backend knows of each. Gives the figures.
async fn check(harness: &Harness, done: &[Done]) -> String {
    let told = done.iter().filter(|one| one.told.is_some()).count();
    let notifications = drained(harness, told).await;
    let mut by_file: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    let mut webhook_ids = BTreeSet::new();
    for notification in &notifications {
        let id = notification["headers"]["webhook-id"]
            .as_str()
            .expect("an id");
        assert!(webhook_ids.insert(id), "{id} came twice");
        let file_id = notification["body"]["fileId"].as_str().expect("an id");
        by_file.entry(file_id).or_default().push(notification);
    }
    let messages = harness.messages().await;
    let mut by_name: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for message in &messages {
        let name = message["file_name"].as_str().expect("a name");
        by_name.entry(name).or_default().push(message);
    }
    let (mut unknown, mut unknown_stored, mut failed) = (0, 0, 0);
    for one in done {
        let name = format!("soak-{}.bin", one.plan.index);
        let stored = by_name.remove(name.as_str()).unwrap_or_default();
        for message in &stored {
            let chat = message["chat_id"].to_string();
            assert_eq!(chat.trim_matches('"'), one.plan.user.channel_id, "{one:?}");
            assert_eq!(message["sha256"], one.sha256, "{one:?}");
        }
        let file_ids = stored
            .iter()
            .map(|message| message["file_id"].as_str().expect("an id"));
        let told_of: Vec<&Value> = file_ids
            .filter_map(|id| by_file.remove(id))
            .flatten()
            .collect();
        for notification in &told_of {
            assert_eq!(
                notification["body"]["userId"],
                one.plan.user.user_id.as_str()
            );
        }
        match &one.told {
            Some(told) => {
                assert_eq!(stored.len(), 1, "{one:?}");
                assert_eq!(stored[0]["message_id"], told["messageId"], "{one:?}");
                assert_eq!(told_of.len(), 1, "{one:?}");
            }
            None if one.outcome_unknown => {
                assert!(stored.len() <= 1, "{one:?}");
                assert_eq!(told_of.len(), 0, "{one:?}");
                unknown += 1;
                unknown_stored += stored.len();
            }
            None => {
                assert_eq!(stored.len(), 0, "{one:?}");
                failed += 1;
            }
        }
    }
    assert!(by_name.is_empty(), "nobody sent {by_name:?}");
    assert!(by_file.is_empty(), "nobody sent {by_file:?}");
    let mut faults: BTreeMap<Fault, usize> = BTreeMap::new();
    for fault in done.iter().filter_map(|one| one.plan.fault) {
        *faults.entry(fault).or_default() += 1;
    }
    let struck: usize = faults.values().sum();
    let again = done.iter().filter(|one| one.tries > 1).count();
    let tries: usize = done.iter().map(|one| one.tries).sum();
    let bytes: usize = done.iter().map(|one| one.plan.bytes).sum();
    let mut figures = String::new();
    for (what, count) in [
        ("uploads", done.len()),
        ("bytes of files", bytes),
        ("with a fault", struck),
        (
            "… of the credentials",
            faults.get(&Fault::Credentials).copied().unwrap_or(0),
        ),
        (
            "… of Telegram, before it does the work",
            faults.get(&Fault::BeforeTelegram).copied().unwrap_or(0),
        ),
        (
            "… of Telegram, after it has done the work",
            faults.get(&Fault::AfterTelegram).copied().unwrap_or(0),
        ),
        (
            "… of the notification",
            faults.get(&Fault::Notification).copied().unwrap_or(0),
        ),
        (
            "… of the client, which disconnects",
            faults.get(&Fault::Client).copied().unwrap_or(0),
        ),
        ("tried more than once", again),
        ("tries", tries),
        (
            "answered 200: one message each, with the right SHA-256, and one notification each",
            told,
        ),
        ("answered `outcome_unknown`", unknown),
        ("… and stored", unknown_stored),
        ("ended in another error: nothing stored", failed),
        ("files in another user's channel", 0),
        (
            "tokens in log, replies, notifications and Durable Objects",
            0,
        ),
    ] {
        let _ = writeln!(figures, "| {what} | {count} |");
    }
    figures
}

/// Waits until the outbox has delivered what it has.
async fn drained(harness: &Harness, count: usize) -> Vec<Value> {
    poll(LOOK, 2 * HUNG, || async {
        (harness.notifications().await.len() >= count).then_some(())
    })
    .await;
    harness.notifications().await
}

/// The worker's memory in bytes, once the runtime has put away the Durable Objects that nobody asks any
/// more; `None` where the system does not tell.
async fn resting_bytes(harness: &Harness) -> Option<u64> {
    let pid = harness.worker_pid();
    let objects: BTreeSet<String> = harness.files_of_objects().into_iter().collect();
    poll(LOOK, HUNG, || async {
        let files = memory::open_files(pid).unwrap_or_default();
        (!files.iter().any(|file| objects.contains(file))).then_some(())
    })
    .await;
    memory::resident(pid).ok()
}
