//! The cache against a model of its policy, under random clocks, answers and deaths.
//!
//! The model is a list and a few rules. Its bounds are small, so that entries are often removed, and
//! its clock never goes back. [`Promises`] holds what must be true whatever the rules are.

use std::collections::HashMap;
use std::rc::Rc;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::backend::BackendFault;
use super::cache::{Bounds, Cache, Decision};
use super::{Credentials, Source, TokenHash};
use crate::config::CachePolicy;
use crate::host::{CallFault, UnixMillis};
use crate::telegram::{BotToken, ChatId};

const START: UnixMillis = 1_700_000_000_000;
const TIMEOUT_MS: u32 = 5_000;
/// A claim ends a second after the fetch that it is for.
const CLAIM_MS: u64 = 6_000;
const FAILURE_MS: u64 = 5_000;
const QUIET_MS: u64 = 5_000;
const BOUNDS: Bounds = Bounds {
    entries: 3,
    failures: 2,
};
const USERS: u8 = 5;

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    /// Time passes, in milliseconds.
    Pass(u64),
    /// A request of this user comes.
    Ask(u8),
    /// A waiting request looks again.
    LookAgain(Index),
    /// The backend answers one of the running fetches.
    Settle(Index, Outcome),
    /// The request that had claimed a fetch is cancelled, and its claim stays.
    Die(Index),
    /// Telegram refuses credentials that were given out.
    Refuse(Index),
}

#[derive(Debug, Clone)]
enum Outcome {
    /// Credentials for a token that expires after this many milliseconds, if it does.
    Good(Option<i64>),
    Bad(BackendFault),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ms = prop_oneof![
        select(vec![
            0, 1, 999, 1_000, 4_999, 5_000, 5_001, 6_000, 55_000, 60_000
        ]),
        0..20_000_u64,
    ];
    let status = select(vec![400, 401, 403, 404, 429, 500, 503]);
    let fault = prop_oneof![
        4 => status.prop_map(|status| match status {
            429 => BackendFault::Busy { retry_after: None },
            500..=599 => BackendFault::Failed { status, detail: None },
            _ => BackendFault::Refused { status, detail: None },
        }),
        1 => Just(BackendFault::Call(CallFault::Network)),
        1 => Just(BackendFault::Call(CallFault::Timeout)),
        1 => Just(BackendFault::Unusable("not JSON")),
    ];
    let expiry = prop::option::of(select(vec![
        -1_000,
        0,
        1,
        3_000,
        61_000,
        i64::from(u32::MAX),
    ]));
    let outcome = prop_oneof![expiry.prop_map(Outcome::Good), fault.prop_map(Outcome::Bad),];
    let index = any::<Index>;
    let step = prop_oneof![
        4 => ms.prop_map(Step::Pass),
        6 => (0..USERS).prop_map(Step::Ask),
        2 => index().prop_map(Step::LookAgain),
        5 => (index(), outcome).prop_map(|(which, outcome)| Step::Settle(which, outcome)),
        1 => index().prop_map(Step::Die),
        1 => index().prop_map(Step::Refuse),
    ];
    prop::collection::vec(step, 0..80)
}

/// Each answer of the backend gets a number, which identifies its credentials.
type Id = u32;

/// What a request has to do, with the credentials' number in place of the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Fresh(Id),
    FreshAndRefresh(Id),
    Stale(Id),
    Failed(BackendFault),
    Fetch,
    Wait,
}

/// What is known of a user.
struct Known {
    user: u8,
    id: Id,
    fresh_until: UnixMillis,
    stale_until: UnixMillis,
    /// Until then the backend is not asked again, because it was down.
    quiet_until: UnixMillis,
}

/// The policy, as plainly as possible.
struct Model {
    policy: CachePolicy,
    /// The least recently used first.
    known: Vec<Known>,
    /// The oldest first.
    failures: Vec<(u8, BackendFault, UnixMillis)>,
    claimed_until: HashMap<u8, UnixMillis>,
}

impl Model {
    fn decide(&mut self, user: u8, waiting_since: Option<UnixMillis>, now: UnixMillis) -> Verdict {
        self.known
            .retain(|known| known.user != user || now < known.stale_until);
        let is_free = self
            .claimed_until
            .get(&user)
            .is_none_or(|&until| now >= until);
        if let Some(at) = self.known.iter().position(|known| known.user == user) {
            let served = self.known.remove(at);
            let (id, fresh_until, quiet_until) =
                (served.id, served.fresh_until, served.quiet_until);
            self.known.push(served);
            // The last twelfth of an hour is five minutes, and it is never more.
            let lead = (self.policy.ttl_ms / 12).min(300_000);
            let is_quiet = now < quiet_until;
            if now < fresh_until {
                let refreshes = fresh_until - now <= lead && !is_quiet && is_free;
                if refreshes {
                    self.claimed_until.insert(user, now + CLAIM_MS);
                    return Verdict::FreshAndRefresh(id);
                }
                return Verdict::Fresh(id);
            }
            if is_quiet {
                return Verdict::Stale(id);
            }
        }
        let failure = self
            .failures
            .iter()
            .find(|(of, _, at)| *of == user && now < at + FAILURE_MS);
        if let Some((_, fault, at)) = failure {
            let is_about_token = matches!(
                fault,
                BackendFault::Refused {
                    status: 401 | 403,
                    ..
                }
            );
            if is_about_token || waiting_since.is_some_and(|since| since <= *at) {
                return Verdict::Failed(fault.clone());
            }
        }
        if is_free {
            self.claimed_until.insert(user, now + CLAIM_MS);
            return Verdict::Fetch;
        }
        Verdict::Wait
    }

    fn succeed(&mut self, user: u8, id: Id, expires_at: Option<UnixMillis>, now: UnixMillis) {
        self.claimed_until.remove(&user);
        self.failures.retain(|(of, ..)| *of != user);
        self.known.retain(|known| known.user != user);
        let expires_at = expires_at.unwrap_or(UnixMillis::MAX);
        if expires_at <= now {
            return;
        }
        if self.known.len() == BOUNDS.entries {
            self.known.remove(0);
        }
        let fresh_until = expires_at.min(now + self.policy.ttl_ms);
        self.known.push(Known {
            user,
            id,
            fresh_until,
            stale_until: expires_at.min(fresh_until + self.policy.max_stale_ms),
            quiet_until: 0,
        });
    }

    fn fail(
        &mut self,
        user: u8,
        fault: &BackendFault,
        now: UnixMillis,
    ) -> Result<Id, BackendFault> {
        self.claimed_until.remove(&user);
        match fault {
            BackendFault::Refused { .. } => self.known.retain(|known| known.user != user),
            BackendFault::Busy { .. } | BackendFault::Failed { .. } | BackendFault::Call(_) => {
                let mut known = self.known.iter_mut();
                if let Some(known) =
                    known.find(|known| known.user == user && now < known.stale_until)
                {
                    known.quiet_until = now + QUIET_MS;
                    return Ok(known.id);
                }
            }
            BackendFault::Unusable(_) => {}
        }
        self.failures
            .retain(|(of, _, at)| *of != user && now < at + FAILURE_MS);
        if self.failures.len() == BOUNDS.failures {
            self.failures.remove(0);
        }
        self.failures.push((user, fault.clone(), now));
        Err(fault.clone())
    }

    fn refuse(&mut self, user: u8, id: Id) {
        self.known
            .retain(|known| known.user != user || known.id != id);
    }
}

/// What must be true of credentials whenever they are returned, judged only by what happened to them.
#[derive(Default)]
struct Promises {
    /// Their user, and the latest time at which they may be served.
    earned: HashMap<Id, (u8, UnixMillis)>,
    /// The newest credentials that each user may still get: nobody has refused them since.
    good: HashMap<u8, Id>,
}

impl Promises {
    fn hold(&self, user: u8, id: Id, now: UnixMillis) {
        let (owner, latest) = self.earned[&id];
        assert_eq!(owner, user, "credentials of another token");
        assert!(now < latest, "credentials past their end");
        assert_eq!(
            self.good.get(&user),
            Some(&id),
            "credentials that were refused or replaced"
        );
    }
}

/// The cache and its model, side by side.
struct Bench {
    policy: CachePolicy,
    cache: Cache,
    model: Model,
    promises: Promises,
    now: UnixMillis,
    ids: Id,
    /// The users whose fetches are running.
    fetches: Vec<u8>,
    waiting: Vec<(u8, UnixMillis)>,
    given: Vec<(u8, Rc<Credentials>)>,
}

impl Bench {
    fn new(policy: CachePolicy) -> Self {
        Self {
            policy,
            cache: Cache::bounded(policy, TIMEOUT_MS, BOUNDS),
            model: Model {
                policy,
                known: Vec::new(),
                failures: Vec::new(),
                claimed_until: HashMap::new(),
            },
            promises: Promises::default(),
            now: START,
            ids: 0,
            fetches: Vec::new(),
            waiting: Vec::new(),
            given: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Pass(ms) => self.now += ms,
            Step::Ask(user) => self.ask(*user, None),
            Step::LookAgain(which) => {
                if let Some((user, since)) = take(&mut self.waiting, *which) {
                    self.ask(user, Some(since));
                }
            }
            Step::Settle(which, outcome) => {
                if let Some(user) = take(&mut self.fetches, *which) {
                    self.settle(user, outcome);
                }
            }
            Step::Die(which) => drop(take(&mut self.fetches, *which)),
            Step::Refuse(which) => {
                if let Some((user, credentials)) = take(&mut self.given, *which) {
                    self.cache.drop_refused(&key(user), &credentials);
                    let id = id_of(&credentials);
                    self.model.refuse(user, id);
                    if self.promises.good.get(&user) == Some(&id) {
                        self.promises.good.remove(&user);
                    }
                }
            }
        }
    }

    fn ask(&mut self, user: u8, waiting_since: Option<UnixMillis>) {
        let decision = self.cache.decide(&key(user), waiting_since, self.now);
        let expected = self.model.decide(user, waiting_since, self.now);
        let (verdict, credentials) = match decision {
            Decision::Fresh(given) => (Verdict::Fresh(id_of(&given)), Some(given)),
            Decision::FreshAndRefresh(given) => {
                (Verdict::FreshAndRefresh(id_of(&given)), Some(given))
            }
            Decision::Stale(given) => (Verdict::Stale(id_of(&given)), Some(given)),
            Decision::Failed(fault) => (Verdict::Failed(fault), None),
            Decision::Fetch => (Verdict::Fetch, None),
            Decision::Wait => (Verdict::Wait, None),
        };
        assert_eq!(verdict, expected);
        match verdict {
            Verdict::Fetch | Verdict::FreshAndRefresh(_) => self.fetches.push(user),
            Verdict::Wait => {
                let since = waiting_since.unwrap_or(self.now);
                self.waiting.push((user, since));
            }
            _ => {}
        }
        if let Some(credentials) = credentials {
            self.promises.hold(user, id_of(&credentials), self.now);
            self.given.push((user, credentials));
        }
    }

    fn settle(&mut self, user: u8, outcome: &Outcome) {
        let now = self.now;
        match outcome {
            Outcome::Good(expiry) => {
                self.ids += 1;
                let id = self.ids;
                let given = credentials(id);
                let expires_at = expiry.map(|ms| now.saturating_add_signed(ms));
                let settled = self
                    .cache
                    .settle(&key(user), Ok(Rc::clone(&given)), expires_at, now);
                assert_eq!(settled, Ok((Rc::clone(&given), Source::Miss)));
                self.model.succeed(user, id, expires_at, now);
                let latest = now + self.policy.ttl_ms + self.policy.max_stale_ms;
                let latest = latest.min(expires_at.unwrap_or(UnixMillis::MAX));
                self.promises.earned.insert(id, (user, latest));
                self.promises.good.insert(user, id);
                self.given.push((user, given));
            }
            Outcome::Bad(fault) => {
                let settled = self.cache.settle(&key(user), Err(fault.clone()), None, now);
                let expected = self.model.fail(user, fault, now);
                if fault.is_refusal() {
                    self.promises.good.remove(&user);
                }
                let told = settled.map(|(credentials, source)| {
                    assert_eq!(source, Source::Stale);
                    self.promises.hold(user, id_of(&credentials), now);
                    id_of(&credentials)
                });
                assert_eq!(told, expected);
            }
        }
    }
}

fn take<T>(list: &mut Vec<T>, which: Index) -> Option<T> {
    (!list.is_empty()).then(|| list.swap_remove(which.index(list.len())))
}

fn key(user: u8) -> TokenHash {
    [user; 32]
}

fn credentials(id: Id) -> Rc<Credentials> {
    Rc::new(Credentials {
        bot_token: BotToken::parse(&format!("1:{}", "A".repeat(35))).expect("bot token"),
        chat_id: ChatId::parse("-1001").expect("chat"),
        user_id: id.to_string(),
    })
}

fn id_of(credentials: &Credentials) -> Id {
    credentials.user_id.parse().expect("an id")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_cache_does_as_its_policy_says(
        ttl_ms in select(vec![1_000, 60_000, 3_600_000]),
        max_stale_ms in select(vec![0, 7_000, 600_000]),
        steps in steps(),
    ) {
        let mut bench = Bench::new(CachePolicy { ttl_ms, max_stale_ms });
        for step in &steps {
            bench.step(step);
        }
    }
}
