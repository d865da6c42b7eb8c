#![expect(clippy::panic, reason = "a suite fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Count, Counters, Key, Limiter, Rule};
use crate::store::StoreError;

/// Checks every promise of [`Counters`]; it takes about four seconds of the counters' time.
///
/// `pass` lets that time go by: by sleeping, or by moving the counters' clock. Run it in a runtime with several
/// threads, so that what is to happen at once does. What else the counters hold is left alone.
///
/// ```no_run
/// use std::sync::Arc;
/// use panoply::Clock;
/// use panoply::counters::{self, Memory};
///
/// # #[tokio::main]
/// # async fn main() {
/// let clock = Clock::manual();
/// let memory = Arc::new(Memory::with_clock(clock.clone()));
/// counters::conformance(memory, async |time| clock.advance(time)).await;
/// # }
/// ```
///
/// # Panics
/// Where the counters do not keep a promise.
pub async fn conformance(counters: Arc<dyn Counters>, pass: impl AsyncFn(Duration)) {
    let suite = Suite { counters, prefix: format!("conformance {:032x}", rand::random::<u128>()) };
    suite.adds_as_the_rule_says().await;
    suite.puts_and_forgets().await;
    suite.takes_any_name_to_the_letter().await;
    suite.counts_far_and_below_zero().await;
    suite.counts_each_of_many_at_once().await;
    suite.begins_one_block_for_many_at_once().await;
    suite.lists_who_is_kept_out().await;
    suite.ends_each_count_in_its_time(pass).await;
}

struct Suite {
    counters: Arc<dyn Counters>,
    /// Keeps keys of this run apart from all others.
    prefix: String,
}

impl Suite {
    /// Each step of a count under each rule, from each place where it may stand.
    async fn adds_as_the_rule_says(&self) {
        let limiters = [limiter(HOUR), limiter(HOUR).block_time(3 * HOUR), limiter(Duration::ZERO)];
        for rule in limiters.iter().map(Limiter::rule) {
            for before in [None, Some(-2), Some(0), Some(2), Some(3), Some(4), Some(40)] {
                for left in [None, Some(HOUR / 2)] {
                    for points in [-3, 0, 1, 2, 9] {
                        let key = self.key("rule");
                        self.forget(key).await;
                        let was = before.map(|points| Count { points, left });
                        if let Some(was) = was {
                            self.set(key, was).await;
                        }
                        let row = format!("{points} to {was:?} by {rule:?}");
                        let expected = rule.add(was, points);
                        same(Some(self.add(key, points, rule).await), expected, &row);
                        same(self.peek(key).await, expected, &format!("afterwards, {row}"));
                    }
                }
            }
        }
        self.forget(self.key("rule")).await;
    }

    async fn puts_and_forgets(&self) {
        let key = self.key("put");
        assert_eq!(self.peek(key).await, None, "nothing stands there yet");
        assert!(!self.forget(key).await, "and nothing was to be forgotten");
        let (one, other) = (Count { points: 7, left: Some(HOUR) }, Count { points: 2, left: Some(HOUR / 3) });
        let ever = Count { left: None, ..one };
        for (was, then) in [(one, other), (other, one), (one, ever), (ever, other), (one, one)] {
            for blocks in [false, true] {
                self.set(key, was).await;
                if blocks {
                    must(self.counters.block(key, then).await, "block");
                } else {
                    self.set(key, then).await;
                }
                same(
                    self.peek(key).await,
                    then,
                    &format!("{then:?} in the place of {was:?}, block: {blocks}"),
                );
            }
        }
        assert!(self.forget(key).await, "it stood there");
        assert!(!self.forget(key).await, "and does no more");
        assert_eq!(self.peek(key).await, None);
    }

    async fn takes_any_name_to_the_letter(&self) {
        let long = "n".repeat(70_000);
        let names = [
            "",
            " ",
            "ann",
            "Ann",
            "ann ",
            "änn",
            "a\u{308}nn",
            "a:b",
            "a*",
            "a\0b",
            "ab",
            "{x}",
            "\u{1F980}",
        ];
        let longs = [long.clone(), format!("{long}x"), format!("x{long}")];
        let all: Vec<&str> = names.into_iter().chain(longs.iter().map(String::as_str)).collect();
        let rule = *limiter(HOUR).rule();
        for (n, name) in (1..).zip(&all) {
            self.add(self.key(name), n, &rule).await;
        }
        for (n, name) in (1..).zip(&all) {
            let found = self.peek(self.key(name)).await.map(|count| count.points);
            assert_eq!(found, Some(n), "{name:.40?} of {} bytes", name.len());
            // Where the prefix ends makes no difference, nor does the network.
            let joined = self.key(name).to_string();
            let alone = Key { prefix: "", name: &joined, network: Some("192.0.2.0/24") };
            let found = self.peek(alone).await.map(|count| count.points);
            assert_eq!(found, Some(n), "with its prefix as a name alone: {name:.40?}");
            assert!(self.forget(self.key(name)).await, "{name:.40?}");
        }
    }

    async fn counts_far_and_below_zero(&self) {
        let (key, rule) = (self.key("far"), *limiter(HOUR).rule());
        self.set(key, Count { points: FAR - 1, left: Some(HOUR) }).await;
        assert_eq!(self.add(key, 1, &rule).await.points, FAR);
        assert_eq!(self.add(key, -FAR, &rule).await.points, 0);
        assert_eq!(self.add(key, -FAR, &rule).await.points, -FAR);
        assert_eq!(self.peek(key).await.map(|count| count.points), Some(-FAR));
        let endless = *limiter(Duration::MAX).block_time(Duration::MAX).rule();
        for points in [1, 9] {
            let left = self.add(self.key("long"), points, &endless).await.left;
            assert!(left >= Some(CENTURY), "over a hundred years are a hundred, and not {left:?}");
        }
        self.forget(self.key("long")).await;
        self.forget(key).await;
    }

    async fn counts_each_of_many_at_once(&self) {
        let rule = *Limiter::new("", 1_000, HOUR).rule();
        let answers = self.at_once("each", rule).await;
        let points: BTreeSet<i64> = answers.iter().map(|count| count.points).collect();
        assert_eq!(points, (1..=256).collect(), "16 tasks counted to 256, each number once");
        self.forget(self.key("each")).await;
    }

    async fn begins_one_block_for_many_at_once(&self) {
        let rule = *limiter(HOUR).block_time(3 * HOUR).rule();
        for count in self.at_once("block", rule).await {
            let expected = if count.points > 3 { 3 * HOUR } else { HOUR };
            same(Some(count), Count { left: Some(expected), ..count }, "of 256 at once");
        }
        self.forget(self.key("block")).await;
    }

    async fn at_once(&self, name: &'static str, rule: Rule) -> Vec<Count> {
        let mut tasks = JoinSet::new();
        for _ in 0..16 {
            let (counters, prefix) = (Arc::clone(&self.counters), self.prefix.clone());
            tasks.spawn(async move {
                let key = Key { prefix: &prefix, name, network: None };
                let mut answers = Vec::new();
                for _ in 0..16 {
                    answers.push(must(counters.add(key, 1, &rule).await, "add"));
                    // Who never waits would keep the thread.
                    tokio::task::yield_now().await;
                }
                answers
            });
        }
        tasks.join_all().await.concat()
    }

    async fn lists_who_is_kept_out(&self) {
        let (rule, kept) = (*limiter(HOUR).rule(), Count { points: 4, left: Some(HOUR) });
        self.add(self.key("over"), 4, &rule).await;
        self.add(self.key("within"), 3, &rule).await;
        must(self.counters.block(self.key("a:b* ü"), kept).await, "block");
        must(self.counters.block(self.key("ever"), Count { left: None, ..kept }).await, "block");
        must(self.counters.block(self.key("lifted"), kept).await, "block");
        self.forget(self.key("lifted")).await;
        let sibling = format!("{}x", self.prefix);
        let eve = Key { prefix: &sibling, name: "eve", network: None };
        must(self.counters.block(eve, kept).await, "block");
        let over = must(self.counters.over(&self.prefix, rule.points()).await, "over");
        let names: BTreeSet<&str> = over.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["over", "a:b* ü", "ever"]), "who is above the line: {over:?}");
        for (name, count) in &over {
            let left = (name != "ever").then_some(HOUR);
            same(Some(*count), Count { points: 4, left }, name);
        }
        for name in ["over", "within", "a:b* ü", "ever"] {
            self.forget(self.key(name)).await;
        }
        self.forget(eve).await;
        assert_eq!(must(self.counters.over(&self.prefix, rule.points()).await, "over"), []);
    }

    async fn ends_each_count_in_its_time(&self, pass: impl AsyncFn(Duration)) {
        let (short, blocks) = (limiter(SHORT), limiter(HOUR).block_time(SHORT));
        let brief = limiter(Duration::from_nanos(1));
        let [window, block, put, kept, stays, late, instant] =
            ["window", "block", "put", "kept", "stays", "late", "instant"].map(|name| self.key(name));
        self.add(window, 2, short.rule()).await;
        self.add(block, 4, blocks.rule()).await;
        self.set(put, Count { points: 9, left: Some(SHORT) }).await;
        must(self.counters.block(kept, Count { points: 9, left: Some(SHORT) }).await, "block");
        self.set(stays, Count { points: 9, left: None }).await;
        self.add(late, 1, short.rule()).await;
        let over = must(self.counters.over(&self.prefix, 3).await, "over").len();
        assert_eq!(over, 4, "those blocked or put above the line");

        pass(SHORT / 2).await;
        self.add(instant, 1, brief.rule()).await;
        assert_eq!(self.add(late, 1, short.rule()).await.points, 2, "its window is not over yet");
        assert!(self.peek(window).await.is_some());

        // A second more than the time, for those that round up.
        pass(SHORT / 2 + Duration::from_millis(1_200)).await;
        for (key, what) in [
            (window, "a window"),
            (block, "a block"),
            (put, "put for three seconds"),
            (kept, "blocked for three seconds"),
            (late, "a later hit does not move the end"),
            (instant, "a window of a nanosecond"),
        ] {
            assert_eq!(self.peek(key).await, None, "{what}");
        }
        let listed = must(self.counters.over(&self.prefix, 3).await, "over");
        assert_eq!(listed.len(), 1, "who is blocked for ever alone: {listed:?}");
        assert!(!self.forget(window).await, "what has ended does not stand there");
        let anew = self.add(block, 1, blocks.rule()).await;
        same(Some(anew), Count { points: 1, left: Some(HOUR) }, "counted anew after its block");
        same(self.peek(stays).await, Count { points: 9, left: None }, "for ever");
        for key in [block, stays] {
            self.forget(key).await;
        }
    }

    fn key<'k>(&'k self, name: &'k str) -> Key<'k> {
        Key { prefix: &self.prefix, name, network: None }
    }

    async fn add(&self, key: Key<'_>, points: i64, rule: &Rule) -> Count {
        must(self.counters.add(key, points, rule).await, "add")
    }

    async fn peek(&self, key: Key<'_>) -> Option<Count> {
        must(self.counters.peek(key).await, "peek")
    }

    async fn set(&self, key: Key<'_>, count: Count) {
        must(self.counters.set(key, count).await, "set");
    }

    async fn forget(&self, key: Key<'_>) -> bool {
        must(self.counters.forget(key).await, "forget")
    }
}

/// Three points in a window.
fn limiter(window: Duration) -> Limiter {
    Limiter::new("", 3, window)
}

/// But for the time that went by since, and what rounding adds.
fn same(found: Option<Count>, expected: Count, row: &str) {
    let near = |left: Duration, expected: Duration| {
        left <= expected + Duration::from_secs(1) && left + Duration::from_secs(60) >= expected
    };
    let equal = found.is_some_and(|found| {
        found.points == expected.points
            && match (found.left, expected.left) {
                (Some(left), Some(expected)) => near(left, expected),
                (left, expected) => left == expected,
            }
    });
    assert!(equal, "{found:?}, and not {expected:?}: {row}");
}

fn must<T>(answer: Result<T, StoreError>, verb: &str) -> T {
    answer.unwrap_or_else(|error| panic!("{verb} failed: {error:?}"))
}

const SHORT: Duration = Duration::from_secs(3);
const HOUR: Duration = Duration::from_secs(3_600);
const CENTURY: Duration = Duration::from_secs(36_500 * 86_400);

/// As far as a column of 32 bits counts.
const FAR: i64 = (1 << 31) - 1;
