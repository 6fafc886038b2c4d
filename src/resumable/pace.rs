//! The pace of one chat: at most so many messages in any minute, over all isolates and uploads.
//!
//! A channel takes 20 messages a minute, and about one a second (Bot API FAQ, "My bot is hitting
//! limits"). A part asks for its turn before it is sent, and says when it was. Its place is taken from
//! the moment in which it gets its turn until a minute after Telegram had it. So no minute can hold
//! more messages than there are places, however long a part takes.
//!
//! Whoever has to wait is told when to ask again, and keeps its place in the queue if it does.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::host::UnixMillis;

/// The limits of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatLimits {
    /// Messages in any [`WINDOW_MS`].
    pub messages: usize,
    /// Between two messages, in milliseconds.
    pub spacing_ms: u64,
}

impl ChatLimits {
    /// So many messages a minute, and not all at once.
    #[must_use]
    pub fn per_minute(messages: u32) -> Self {
        let spacing_ms = WINDOW_MS / u64::from(messages.max(1));
        Self {
            messages: messages.max(1) as usize,
            spacing_ms: spacing_ms.min(MAX_SPACING_MS),
        }
    }
}

/// The time in which messages are counted.
pub const WINDOW_MS: u64 = 60_000;
/// The spacing that Telegram asks for (Bot API FAQ: one message a second in a chat).
const MAX_SPACING_MS: u64 = 1_000;
/// How long a turn stays taken whose part is never heard of again: its request died.
const LOST_MS: u64 = 600_000;
/// How long a place in the queue is kept after the time at which it was to ask again.
const QUEUE_GRACE_MS: u64 = 15_000;
/// The longest wait that is granted. A client is told to come again after it.
const MAX_WAIT_MS: u64 = 300_000;

/// What is remembered of a chat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatPace {
    /// When Telegram had the messages of the last minute.
    sent: Vec<UnixMillis>,
    /// Parts that have their turn, and since when.
    under_way: Vec<(String, UnixMillis)>,
    /// Parts that wait, and until when their place is kept.
    queue: VecDeque<(String, UnixMillis)>,
    /// The last turn that was given.
    last_turn: UnixMillis,
    /// Telegram wants nothing until then.
    blocked_until: UnixMillis,
}

/// When a part may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turn {
    /// Now. It has to be said what became of it.
    Now,
    /// Not before: it may ask again then.
    At(UnixMillis),
    /// Not in a time that a client waits.
    Full {
        /// Seconds.
        retry_after: u32,
    },
}

impl ChatPace {
    /// Asks for a turn. `ticket` names the part: asked again with it, it keeps its place.
    pub fn ask(&mut self, ticket: &str, limits: ChatLimits, now: UnixMillis) -> Turn {
        self.forget_the_past(now);
        if self.under_way.iter().any(|(known, _)| known == ticket) {
            return Turn::Now;
        }
        let place = self.queue.iter().position(|(known, _)| known == ticket);
        let place = place.unwrap_or(self.queue.len());
        let at = self.opens_at(place, limits, now);
        if at <= now {
            self.queue.retain(|(known, _)| known != ticket);
            self.under_way.push((ticket.to_owned(), now));
            self.last_turn = now;
            return Turn::Now;
        }
        if at - now > MAX_WAIT_MS {
            self.queue.retain(|(known, _)| known != ticket);
            let seconds = (at - now).div_ceil(1000);
            return Turn::Full {
                retry_after: u32::try_from(seconds).unwrap_or(u32::MAX),
            };
        }
        let kept_until = at + QUEUE_GRACE_MS;
        match self.queue.get_mut(place) {
            Some(known) => known.1 = kept_until,
            None => self.queue.push_back((ticket.to_owned(), kept_until)),
        }
        Turn::At(at)
    }

    /// The part was sent, or may have been.
    pub fn sent(&mut self, ticket: &str, now: UnixMillis) {
        if self.let_go(ticket) {
            self.sent.push(now);
        }
    }

    /// The part was not sent: nothing of it is in the chat.
    pub fn unused(&mut self, ticket: &str) {
        self.let_go(ticket);
    }

    /// Telegram answered 429.
    pub fn told_to_wait(&mut self, seconds: u32, now: UnixMillis) {
        let until = now + 1000 * u64::from(seconds);
        self.blocked_until = self.blocked_until.max(until);
    }

    /// Whether there is anything to remember.
    #[must_use]
    pub fn is_idle(&self, now: UnixMillis) -> bool {
        let mut copy = self.clone();
        copy.forget_the_past(now);
        copy.sent.is_empty()
            && copy.under_way.is_empty()
            && copy.queue.is_empty()
            && copy.blocked_until <= now
    }

    /// When the part at this place of the queue may be sent at the earliest.
    fn opens_at(&self, place: usize, limits: ChatLimits, now: UnixMillis) -> UnixMillis {
        let mut frees: Vec<UnixMillis> = self.sent.iter().map(|at| at + WINDOW_MS).collect();
        // Those under way may be sent right now at the earliest.
        frees.extend(self.under_way.iter().map(|_| now + WINDOW_MS));
        frees.sort_unstable();
        let free = limits.messages.saturating_sub(frees.len());
        let room_at = match place.checked_sub(free) {
            None => now,
            // Beyond the last one that is known, each waits for another minute.
            Some(over) => {
                let rounds = (over / limits.messages.max(1)) as u64;
                let free_at = frees.get(over % limits.messages.max(1));
                free_at.copied().unwrap_or(now + WINDOW_MS) + rounds * WINDOW_MS
            }
        };
        let spaced_at = match self.last_turn {
            0 => now,
            last => last + limits.spacing_ms,
        } + place as u64 * limits.spacing_ms;
        room_at.max(spaced_at).max(self.blocked_until)
    }

    fn let_go(&mut self, ticket: &str) -> bool {
        let before = self.under_way.len();
        self.under_way.retain(|(known, _)| known != ticket);
        before != self.under_way.len()
    }

    fn forget_the_past(&mut self, now: UnixMillis) {
        self.sent.retain(|at| now < at + WINDOW_MS);
        self.under_way.retain(|(_, since)| now < since + LOST_MS);
        self.queue.retain(|(_, kept_until)| now < *kept_until);
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: ChatLimits = ChatLimits {
        messages: 3,
        spacing_ms: 0,
    };

    #[test]
    fn so_many_go_out_at_once_and_the_next_one_a_minute_after_the_first() {
        let mut pace = ChatPace::default();
        for (ticket, at) in [("a", 1000), ("b", 2000), ("c", 3000)] {
            assert_eq!(pace.ask(ticket, LIMITS, at), Turn::Now);
            pace.sent(ticket, at + 500);
        }
        assert_eq!(pace.ask("d", LIMITS, 4000), Turn::At(61_500));
        assert_eq!(pace.ask("e", LIMITS, 4000), Turn::At(62_500));
        assert_eq!(
            pace.ask("e", LIMITS, 61_500),
            Turn::At(62_500),
            "d is first"
        );
        assert_eq!(pace.ask("d", LIMITS, 61_500), Turn::Now);
        assert_eq!(pace.ask("e", LIMITS, 62_500), Turn::Now);
    }

    #[test]
    fn a_part_that_takes_long_keeps_its_place_until_a_minute_after_its_end() {
        let mut pace = ChatPace::default();
        for ticket in ["a", "b", "c"] {
            assert_eq!(pace.ask(ticket, LIMITS, 1000), Turn::Now);
        }
        assert_eq!(pace.ask("d", LIMITS, 70_000), Turn::At(130_000));
        pace.sent("a", 80_000);
        pace.unused("b");
        assert_eq!(pace.ask("d", LIMITS, 80_000), Turn::Now);
        assert_eq!(pace.ask("e", LIMITS, 80_000), Turn::At(140_000));
    }

    #[test]
    fn asked_twice_a_turn_is_taken_once() {
        let mut pace = ChatPace::default();
        for _ in 0..5 {
            assert_eq!(pace.ask("a", LIMITS, 1000), Turn::Now);
        }
        pace.sent("a", 1000);
        pace.sent("a", 1000);
        assert_eq!(pace.ask("b", LIMITS, 1000), Turn::Now);
        assert_eq!(pace.ask("c", LIMITS, 1000), Turn::Now);
        assert_eq!(pace.ask("d", LIMITS, 1000), Turn::At(61_000));
    }

    #[test]
    fn messages_are_spaced() {
        let mut pace = ChatPace::default();
        let limits = ChatLimits::per_minute(20);
        assert_eq!(pace.ask("a", limits, 5000), Turn::Now);
        assert_eq!(pace.ask("b", limits, 5000), Turn::At(6000));
        assert_eq!(pace.ask("c", limits, 5000), Turn::At(7000));
        assert_eq!(pace.ask("b", limits, 6000), Turn::Now);
        assert_eq!(pace.ask("c", limits, 7000), Turn::Now);
    }

    #[test]
    fn what_telegram_asks_for_is_kept_and_a_long_wait_is_told() {
        let mut pace = ChatPace::default();
        pace.told_to_wait(30, 1000);
        pace.told_to_wait(1, 2000);
        assert_eq!(pace.ask("a", LIMITS, 2000), Turn::At(31_000));
        pace.told_to_wait(3600, 2000);
        assert_eq!(
            pace.ask("a", LIMITS, 2000),
            Turn::Full { retry_after: 3600 }
        );
        assert!(!pace.is_idle(3_601_999));
        assert!(pace.is_idle(3_602_000));
    }

    #[test]
    fn who_does_not_ask_again_loses_its_place_and_who_died_frees_its_own_in_the_end() {
        let mut pace = ChatPace::default();
        for ticket in ["a", "b", "c"] {
            pace.ask(ticket, LIMITS, 1000);
        }
        assert_eq!(pace.ask("gone", LIMITS, 1000), Turn::At(61_000));
        assert_eq!(pace.ask("d", LIMITS, 601_000), Turn::Now);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Pass(u64),
        Ask(usize),
        Sent(usize),
        Unused(usize),
        Told(u32),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let part = 0..40_usize;
        let step = prop_oneof![
            3 => prop_oneof![0..500_u64, 500..20_000_u64].prop_map(Step::Pass),
            8 => part.clone().prop_map(Step::Ask),
            5 => part.clone().prop_map(Step::Sent),
            1 => part.prop_map(Step::Unused),
            1 => (0..40_u32).prop_map(Step::Told),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_minute_has_more_messages_than_it_may(steps in steps(), messages in 1..6_usize) {
            let limits = ChatLimits { messages, spacing_ms: 1000 };
            let mut pace = ChatPace::default();
            let mut now = 1_000_000;
            let mut has_turn = std::collections::BTreeMap::new();
            let mut chat: Vec<UnixMillis> = Vec::new();
            let mut blocked_until = 0;
            for step in steps {
                match step {
                    Step::Pass(ms) => now += ms,
                    Step::Ask(part) => match pace.ask(&part.to_string(), limits, now) {
                        Turn::Now => {
                            prop_assert!(now >= blocked_until || has_turn.contains_key(&part));
                            has_turn.entry(part).or_insert(now);
                        }
                        Turn::At(at) => prop_assert!(at > now),
                        Turn::Full { .. } => {}
                    },
                    // The message is there at some time in between, the latest of which is now.
                    Step::Sent(part) => {
                        if let Some(since) = has_turn.remove(&part) {
                            chat.push(since.midpoint(now));
                            pace.sent(&part.to_string(), now);
                        }
                    }
                    Step::Unused(part) => {
                        if has_turn.remove(&part).is_some() {
                            pace.unused(&part.to_string());
                        }
                    }
                    Step::Told(seconds) => {
                        pace.told_to_wait(seconds, now);
                        blocked_until = blocked_until.max(now + 1000 * u64::from(seconds));
                    }
                }
                // Parts whose request died are forgotten.
                has_turn.retain(|_, since| now < *since + LOST_MS);
            }
            chat.sort_unstable();
            for (at, first) in chat.iter().enumerate() {
                let in_a_minute = chat.iter().skip(at).take_while(|other| **other < first + WINDOW_MS);
                prop_assert!(in_a_minute.count() <= messages);
            }
        }

        #[test]
        fn everybody_gets_a_turn(parts in 1..80_usize) {
            let limits = ChatLimits { messages: 20, spacing_ms: 1000 };
            let mut pace = ChatPace::default();
            let mut asks: Vec<(UnixMillis, usize)> = (0..parts).map(|part| (1_000_000, part)).collect();
            let (mut turns, mut polls) = (Vec::new(), 0);
            while let Some(next) = asks.iter().copied().min() {
                asks.retain(|ask| *ask != next);
                let (now, part) = next;
                polls += 1;
                match pace.ask(&part.to_string(), limits, now) {
                    Turn::Now => {
                        turns.push(now);
                        pace.sent(&part.to_string(), now);
                    }
                    Turn::At(at) => asks.push((at, part)),
                    Turn::Full { .. } => prop_assert!(false, "nobody is sent away"),
                }
            }
            prop_assert_eq!(turns.len(), parts);
            prop_assert!(polls <= 4 * parts, "{} polls", polls);
            let took = turns.last().copied().unwrap_or_default() - 1_000_000;
            let least = (parts as u64 - 1) / 20 * 60_000;
            prop_assert!(took <= least + 20_000, "{} ms", took);
        }
    }
}
