//! What is wrong with a configuration, all of it at once.

use std::fmt;

/// One fault: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `machines[0].signals[2].range`; empty where the file as a whole is meant.
    pub path: String,
    /// 1-based line and column of the value, or of the table that lacks it.
    pub line: usize,
    pub column: usize,
    /// What is wrong, with the value in backticks.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// All faults of a configuration, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// Name of the file, where it came from one.
    pub file: Option<String>,
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("configuration");
        let noun = if self.faults.len() == 1 { "fault" } else { "faults" };
        write!(f, "{} {noun} in `{file}`", self.faults.len())?;
        for fault in &self.faults {
            write!(f, "\n\n{file}:{}:{}", fault.line, fault.column)?;
            if !fault.path.is_empty() {
                write!(f, "  {}", fault.path)?;
            }
            write!(f, "\n    {}", fault.message)?;
            if let Some(hint) = &fault.hint {
                write!(f, "\n    hint: {hint}")?;
            }
        }
        Ok(())
    }
}

/// The known word that a misspelt one was probably meant to be; `None` where several are as near.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> = known.into_iter().map(|k| (edit_distance(&word, &k.to_lowercase()), k)).collect();
    near.retain(|(distance, _)| *distance <= allowed);
    near.sort_by_key(|(distance, _)| *distance);
    match near[..] {
        [(first, _), (second, _), ..] if first == second => None,
        [(_, word), ..] => Some(word),
        [] => None,
    }
}

/// Insertions, deletions and replacements of characters, and swaps of neighbours, between two words.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(did_you_mean("treshold", ["metric", "threshold"]), Some("threshold"));
        assert_eq!(did_you_mean("flux", ["Flux", "Flow"]), Some("Flux"));
        assert_eq!(did_you_mean("rsm", ["rms", "crest"]), Some("rms"));
        assert_eq!(did_you_mean("PLC3", ["PLC1", "PLC2"]), None);
        assert_eq!(did_you_mean("colour", ["metric", "threshold"]), None);
    }
}
