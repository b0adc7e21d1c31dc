use std::path::PathBuf;
use std::str::FromStr;

/// A file with what is said of it: `FILE[@COLUMN=VALUE...][@rows=FROM-TO]`.
///
/// ```
/// use driftgate::pipeline::recorded::Input;
///
/// let input: Input = "healthy_load40.csv.gz@load=40@rows=1-28672".parse().unwrap();
/// assert_eq!(input.set, [("load".to_string(), "40".to_string())]);
/// assert_eq!(input.rows, Some((1, 28672)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// CSV, CSV.gz or Parquet, by its name.
    pub path: PathBuf,
    /// Columns that the file lacks, with their value in every row.
    pub set: Vec<(String, String)>,
    /// First and last row of the file to use, 1-based, both included.
    pub rows: Option<(u64, u64)>,
}

/// A text that is no input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {why}; write FILE[@COLUMN=VALUE...][@rows=FROM-TO]")]
pub struct ParseInputError {
    text: String,
    why: String,
}

impl FromStr for Input {
    type Err = ParseInputError;

    fn from_str(text: &str) -> Result<Self, ParseInputError> {
        let error = |why: String| ParseInputError { text: text.into(), why };
        // From the right: a path may hold an @ of its own.
        let mut rest = text;
        let (mut set, mut rows) = (Vec::new(), None);
        while let Some((head, tail)) = rest.rsplit_once('@') {
            let Some((name, value)) = tail.split_once('=') else { break };
            if name == "rows" {
                rows = Some(parse_rows(value).ok_or_else(|| error(format!("`{value}` is no range of rows such as 1-1000")))?);
            } else {
                set.push((name.to_string(), value.to_string()));
            }
            rest = head;
        }
        set.reverse();
        if rest.is_empty() {
            return Err(error("no file is named".into()));
        }
        Ok(Self { path: rest.into(), set, rows })
    }
}

fn parse_rows(text: &str) -> Option<(u64, u64)> {
    let (from, to) = text.split_once('-')?;
    let from = if from.is_empty() { 1 } else { from.parse().ok()? };
    let to = if to.is_empty() { u64::MAX } else { to.parse().ok()? };
    (from >= 1 && from <= to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_may_be_open_and_paths_may_hold_an_at() {
        let input: Input = "a@b/c.csv@rows=100-".parse().unwrap();
        assert_eq!((input.path, input.rows), ("a@b/c.csv".into(), Some((100, u64::MAX))));
        assert!("c.csv@rows=9-3".parse::<Input>().unwrap_err().to_string().contains("9-3"));
        assert!("@load=1".parse::<Input>().is_err());
    }
}
