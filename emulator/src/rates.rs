//! How fast a bot may post (<https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this>).
//!
//! The caller hands in the time. The state is a few numbers for each chat and bot, and is lost at a restart.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

/// Messages of one chat: one in a second, twenty in a minute.
const CHAT_RULES: [Rule; 2] = [
    Rule {
        messages: 1,
        window: Duration::from_secs(1),
    },
    Rule {
        messages: 20,
        window: Duration::from_mins(1),
    },
];
/// Messages of one bot: thirty in a second.
const BOT_RULES: [Rule; 1] = [Rule {
    messages: 30,
    window: Duration::from_secs(1),
}];
/// Above this size, in bytes, files of identical size are spaced.
const SPACED_ABOVE_BYTES: u64 = 100_000;
const SPACING_SECONDS_PER_BYTE: f64 = 1e-7;
const MIN_SPACING_SECONDS: f64 = 0.2;
const MAX_SPACING_SECONDS: f64 = 0.9;
/// A spaced file that would wait longer than this is refused.
const MAX_BACKLOG: Duration = Duration::from_secs(5);
const BACKLOG_RETRY_AFTER_SECONDS: u64 = 60;

#[derive(Clone, Copy, Debug)]
struct Rule {
    messages: usize,
    window: Duration,
}

/// The decision on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is posted after this delay.
    Post { delay: Duration },
    /// It is refused for so many seconds.
    Refuse { retry_after_seconds: u64 },
}

/// When messages were posted.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    chats: HashMap<i64, VecDeque<Duration>>,
    bots: HashMap<i64, VecDeque<Duration>>,
    /// When the next file of this bot and size may be posted.
    next_of_size: HashMap<(i64, u64), Duration>,
}

impl Rates {
    /// Decides on a message at `now`, and counts it if it is posted.
    pub(crate) fn admit(
        &mut self,
        now: Duration,
        bot_id: i64,
        chat_id: i64,
        file_bytes: Option<u64>,
    ) -> Verdict {
        let chat = self.chats.entry(chat_id).or_default();
        let bot = self.bots.entry(bot_id).or_default();
        let wait = wait(chat, now, &CHAT_RULES).max(wait(bot, now, &BOT_RULES));
        if wait > Duration::ZERO {
            let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            return Verdict::Refuse {
                retry_after_seconds: whole,
            };
        }
        let mut delay = Duration::ZERO;
        if let Some(bytes) = file_bytes.filter(|&bytes| bytes > SPACED_ABOVE_BYTES) {
            let next = self.next_of_size.entry((bot_id, bytes)).or_default();
            delay = next.saturating_sub(now);
            if delay > MAX_BACKLOG {
                return Verdict::Refuse {
                    retry_after_seconds: BACKLOG_RETRY_AFTER_SECONDS,
                };
            }
            *next = now.max(*next) + spacing(bytes);
        }
        chat.push_back(now);
        bot.push_back(now);
        Verdict::Post { delay }
    }
}

/// How long until every rule allows one more message. Forgets messages that no rule counts any more.
fn wait(posted: &mut VecDeque<Duration>, now: Duration, rules: &[Rule]) -> Duration {
    let longest = rules
        .iter()
        .map(|rule| rule.window)
        .max()
        .unwrap_or_default();
    while posted.front().is_some_and(|&at| at + longest <= now) {
        posted.pop_front();
    }
    rules
        .iter()
        .filter_map(|rule| {
            let nth_last = posted.len().checked_sub(rule.messages)?;
            Some((*posted.get(nth_last)? + rule.window).saturating_sub(now))
        })
        .max()
        .unwrap_or_default()
}

fn spacing(bytes: u64) -> Duration {
    // Sizes are far below 2^52, where f64 is exact.
    #[allow(clippy::cast_precision_loss)]
    let seconds = bytes as f64 * SPACING_SECONDS_PER_BYTE;
    Duration::from_secs_f64(seconds.clamp(MIN_SPACING_SECONDS, MAX_SPACING_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Verdict = Verdict::Post {
        delay: Duration::ZERO,
    };

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn refused(retry_after_seconds: u64) -> Verdict {
        Verdict::Refuse {
            retry_after_seconds,
        }
    }

    #[test]
    fn a_channel_takes_one_message_a_second() {
        let mut rates = Rates::default();
        assert_eq!(rates.admit(millis(0), 1, -1, None), AT_ONCE);
        assert_eq!(rates.admit(millis(100), 1, -1, None), refused(1));
        assert_eq!(rates.admit(millis(100), 1, -2, None), AT_ONCE);
        assert_eq!(rates.admit(millis(1000), 1, -1, None), AT_ONCE);
    }

    #[test]
    fn a_channel_takes_twenty_messages_a_minute() {
        let mut rates = Rates::default();
        for second in 0..20 {
            assert_eq!(rates.admit(millis(second * 1000), 1, -1, None), AT_ONCE);
        }
        assert_eq!(rates.admit(millis(20_500), 1, -1, None), refused(40));
        assert_eq!(rates.admit(millis(60_000), 1, -1, None), AT_ONCE);
    }

    #[test]
    fn a_bot_posts_thirty_messages_a_second() {
        let mut rates = Rates::default();
        for chat in 0..30 {
            assert_eq!(rates.admit(millis(0), 1, chat, None), AT_ONCE);
        }
        assert_eq!(rates.admit(millis(1), 1, 30, None), refused(1));
        assert_eq!(rates.admit(millis(1), 2, 30, None), AT_ONCE);
    }

    #[test]
    fn files_of_identical_size_are_spaced_until_the_backlog_is_too_long() {
        let mut rates = Rates::default();
        let verdicts: Vec<_> = (0..8)
            .map(|chat| rates.admit(millis(0), 1, chat, Some(50_000_000)))
            .collect();
        for (count, verdict) in (0..6).zip(&verdicts) {
            let delay = Duration::from_secs_f64(0.9) * count;
            assert_eq!(*verdict, Verdict::Post { delay });
        }
        assert_eq!(verdicts[6], refused(60));
        assert_eq!(verdicts[7], refused(60));
        assert_eq!(rates.admit(millis(0), 1, 8, Some(50_000_001)), AT_ONCE);
        assert_eq!(rates.admit(millis(0), 1, 9, Some(100_000)), AT_ONCE);
        assert_eq!(rates.admit(millis(0), 1, 10, Some(100_000)), AT_ONCE);
    }
}
