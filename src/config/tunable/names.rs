//! Which metric or chart a test may be.

use std::sync::LazyLock;

use super::Watch;
use crate::config::TestConfig;
use crate::config::check::{NUMBERS, OUTCOMES, Watched};
use crate::drift::Test;

fn names(watched: &Watched) -> Vec<&'static str> {
    Test::all().filter(|t| (watched.allows)(*t)).map(Test::name).collect()
}

static OF_NUMBERS: LazyLock<Vec<&str>> = LazyLock::new(|| names(&NUMBERS));
static OF_OUTCOMES: LazyLock<Vec<&str>> = LazyLock::new(|| names(&OUTCOMES));

/// Features and scores are numbers; a prediction is right or wrong.
fn watched(watch: Watch) -> &'static Watched {
    match watch {
        Watch::Data | Watch::Prediction(_) => &NUMBERS,
        Watch::Performance(_) => &OUTCOMES,
    }
}

/// The names that fit what a monitor looks at.
pub(super) fn allowed(watch: Watch) -> &'static [&'static str] {
    match watch {
        Watch::Data | Watch::Prediction(_) => &OF_NUMBERS,
        Watch::Performance(_) => &OF_OUTCOMES,
    }
}

/// What is wrong with a name, and which ones will do.
pub(super) fn fault(watch: Watch, name: &str) -> Option<String> {
    let watched = watched(watch);
    let why = match name.parse::<Test>() {
        Ok(test) if (watched.allows)(test) => return None,
        Ok(_) => watched.refusal,
        Err(_) => "unknown metric or chart",
    };
    Some(format!("{why}: `{name}`; use one of {}", allowed(watch).join(", ")))
}

/// Whether another test has the metric of this one.
pub(super) fn is_second(tests: &[TestConfig], test: usize) -> bool {
    tests.iter().enumerate().any(|(i, other)| i != test && other.metric == tests[test].metric)
}
