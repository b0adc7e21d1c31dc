//! Labels that come after the event as a CSV file: from an inspection, a laboratory, a production system.
//!
//! Columns by their names in the first line, in any order, others are ignored: `prediction`, or `from` and `to`; `class` (a number, or
//! a name of the machine's classes); `value`, `comment` where there are any. Separated by commas, or by semicolons (then with decimal
//! commas too). Each line takes the way of the command SubmitLabel. A file that cannot be read as a whole changes nothing; of one that
//! can, lines that the machine refuses are put aside with the reasons. A gateway that ends meanwhile begins the file again: the same
//! label twice says the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::config::MachineConfig;
use crate::server::{CommandRequest, CommandSender};
use crate::types::{Command, Timestamp, Via};

/// Each label is an event; more would push others out.
const MOST_LINES: usize = 2_000;
const MOST_BYTES: u64 = 1 << 20;
/// Faults of one file that are told.
const MOST_TOLD: usize = 20;
/// Who has brought it.
const USER: &str = "inbox";
const COLUMNS: [&str; 6] = ["prediction", "from", "to", "class", "value", "comment"];

/// One line of a file.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    /// As in an editor: the first line has the names.
    number: usize,
    fields: csv::StringRecord,
    command: Command,
}

/// A file that can be read.
#[derive(Debug)]
struct File {
    header: csv::StringRecord,
    lines: Vec<Line>,
}

/// Hands the labels of a file to their machine. The file is gone afterwards, or put aside.
pub(super) async fn take(path: &Path, machine: &Arc<MachineConfig>, commands: &CommandSender) {
    let (file, config) = (path.to_path_buf(), machine.clone());
    let read = tokio::task::spawn_blocking(move || read(&file, &config)).await;
    let file = match read.unwrap_or_else(|_| Err(vec!["the file cannot be read".into()])) {
        Ok(file) => file,
        Err(faults) => return refuse_whole(path, &faults),
    };
    let all = file.lines.len();
    let mut refused: Vec<(Line, String)> = Vec::new();
    for line in file.lines {
        let (reply, answer) = oneshot::channel();
        let command = line.command.clone();
        let request =
            CommandRequest { target: machine.name.clone(), command, user: USER.into(), operator: "".into(), via: Via::Program, reply };
        if commands.send(request).await.is_err() {
            // The gateway ends: the file is begun again.
            return;
        }
        match answer.await {
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => refused.push((line, refusal.to_string())),
            Err(_) => return,
        }
    }
    tracing::info!("`{}`: {} of {all} labels taken for `{}`", path.display(), all - refused.len(), machine.name);
    if refused.is_empty() {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!("`{}` was taken, but cannot be removed: {error}", path.display());
        }
    } else {
        tracing::warn!(
            "`{}`: {} lines are refused; they are in `{}`, with the reasons",
            path.display(),
            refused.len(),
            aside(path).display()
        );
        put_aside(path, &file.header, &refused);
    }
}

fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".refused");
    aside.into()
}

/// The lines that were refused, each with the reason; in place of the file.
fn put_aside(path: &Path, header: &csv::StringRecord, refused: &[(Line, String)]) {
    let write = || -> Result<(), csv::Error> {
        let mut out = csv::Writer::from_path(aside(path))?;
        out.write_record(header.iter().chain(["refused"]))?;
        for (line, why) in refused {
            out.write_record(line.fields.iter().chain([why.as_str()]))?;
        }
        out.flush()?;
        fs::remove_file(path).map_err(csv::Error::from)
    };
    if let Err(error) = write() {
        tracing::warn!("`{}` cannot be put aside: {error}", path.display());
    }
}

fn refuse_whole(path: &Path, faults: &[String]) {
    tracing::warn!("`{}` is refused, no label of it is taken: {}", path.display(), faults.join("; "));
    if let Err(error) = fs::rename(path, aside(path)) {
        tracing::warn!("`{}` cannot be renamed: {error}", path.display());
    }
}

fn read(path: &Path, machine: &MachineConfig) -> Result<File, Vec<String>> {
    let one = |e: std::io::Error| vec![e.to_string()];
    let size = fs::metadata(path).map_err(one)?.len();
    if size > MOST_BYTES {
        return Err(vec![format!("{size} bytes; at most {MOST_BYTES}: make several files")]);
    }
    parse(&fs::read_to_string(path).map_err(one)?, machine)
}

/// # Errors
/// All faults of the file, each with its line.
fn parse(text: &str, machine: &MachineConfig) -> Result<File, Vec<String>> {
    let text = text.trim_start_matches('\u{feff}');
    let separator = if text.lines().next().is_some_and(|first| first.contains(';')) { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).trim(csv::Trim::All).flexible(false).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| vec![e.to_string()])?.clone();
    let places = COLUMNS.map(|name| header.iter().position(|h| h.eq_ignore_ascii_case(name)));
    let has = |name: &str| COLUMNS.iter().zip(&places).any(|(column, place)| *column == name && place.is_some());
    if !has("class") || !(has("prediction") || (has("from") && has("to"))) {
        return Err(vec!["the first line must name the columns `class`, and `prediction` or `from` and `to`".into()]);
    }
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for (k, fields) in reader.records().enumerate() {
        let number = k + 2;
        if lines.len() == MOST_LINES {
            faults.push(format!("more than {MOST_LINES} labels: make several files"));
            break;
        }
        let command =
            fields.map_err(|e| e.to_string()).and_then(|fields| Ok((command(&fields, &places, machine, separator == b';')?, fields)));
        match command {
            Ok((command, fields)) => lines.push(Line { number, fields, command }),
            Err(fault) => faults.push(format!("line {number}: {fault}")),
        }
        if faults.len() == MOST_TOLD {
            faults.push("and perhaps more".into());
            break;
        }
    }
    if faults.is_empty() && lines.is_empty() {
        faults.push("there is no label in it".into());
    }
    if faults.is_empty() { Ok(File { header, lines }) } else { Err(faults) }
}

fn command(
    fields: &csv::StringRecord,
    places: &[Option<usize>; COLUMNS.len()],
    machine: &MachineConfig,
    decimal_comma: bool,
) -> Result<Command, String> {
    let [prediction, from, to, class, value, comment] = places.map(|place| place.and_then(|p| fields.get(p)).unwrap_or(""));
    let time = |text: &str, name: &str| {
        if text.is_empty() { Ok(Timestamp::EPOCH) } else { Timestamp::parse(text).map_err(|e| format!("`{name}`: {e}")) }
    };
    let named = machine.classes.iter().position(|name| name.eq_ignore_ascii_case(class)).and_then(|k| u16::try_from(k).ok());
    let class = named.or_else(|| class.parse().ok()).ok_or_else(|| match machine.classes.join(", ") {
        names if names.is_empty() => format!("`{class}` is no class: 0 to 65535"),
        names => format!("`{class}` is no class: a number, or one of {names}"),
    })?;
    let number = if decimal_comma { value.replace(',', ".") } else { value.to_string() };
    let value = match number.as_str() {
        "" => f64::NAN,
        number => number.parse().map_err(|_| format!("`{value}` is no number"))?,
    };
    if prediction.is_empty() && (from.is_empty() || to.is_empty()) {
        return Err("neither a prediction nor `from` and `to`".into());
    }
    Ok(Command::SubmitLabel {
        prediction: prediction.into(),
        from: time(from, "from")?,
        to: time(to, "to")?,
        class,
        value,
        comment: comment.into(),
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::Config;
    use crate::types::{Answer, Refusal};

    fn machine(classes: &str) -> Arc<MachineConfig> {
        let text =
            format!("[[machines]]\nname = \"M\"\nsignals = [\"a\"]\nclasses = [{classes}]\n[machines.data_drift]\ntests = [\"psi\"]\n");
        Config::parse(&text).unwrap().machines[0].clone()
    }

    fn labels(file: &File) -> Vec<(&str, i64, i64, u16, f64, &str)> {
        let all = file.lines.iter().map(|line| match &line.command {
            Command::SubmitLabel { prediction, from, to, class, value, comment } => {
                (&**prediction, from.as_nanos() / 1_000_000_000, to.as_nanos() / 1_000_000_000, *class, *value, &**comment)
            }
            other => panic!("{other:?}"),
        });
        all.collect()
    }

    #[test]
    fn spans_and_predictions_with_classes_by_name_or_number() {
        let machine = machine("\"healthy\", \"worn bearing\"");
        let file = parse(
            "Class,from,to,prediction,value,comment,shift\nworn bearing,2026-01-31 12:00:00,2026-01-31T13:00:00Z,,0.5,\"noise, and heat\",2\n0,,,M-17,,,3\n",
            &machine,
        )
        .unwrap();
        let labels = labels(&file);
        assert_eq!(labels[0], ("", 1_769_860_800, 1_769_864_400, 1, 0.5, "noise, and heat"));
        assert_eq!((labels[1].0, labels[1].3, labels[1].4.is_nan()), ("M-17", 0, true));
        // As a German spreadsheet writes it.
        let file = parse("\u{feff}from;to;class;value\r\n2026-01-31;2026-02-01;WORN BEARING;0,5\r\n", &machine).unwrap();
        assert_eq!((file.lines[0].number, self::labels(&file)[0].3, self::labels(&file)[0].4), (2, 1, 0.5));
    }

    #[test]
    fn all_faults_are_told_with_their_lines() {
        let machine = machine("\"healthy\", \"worn bearing\"");
        let faults =
            parse("prediction,from,to,class,value\nM-1,,,broken,\nM-2,,,1,much\n,,,1,\n,yesterday,2026-01-31,1,\nM-3,,,1,1\n", &machine);
        let faults = faults.unwrap_err();
        for (fault, parts) in
            faults.iter().zip([["line 2", "worn bearing"], ["line 3", "much"], ["line 4", "neither"], ["line 5", "yesterday"]])
        {
            assert!(parts.iter().all(|part| fault.contains(part)), "{fault}");
        }
        assert_eq!(faults.len(), 4, "{faults:?}");
        for (text, part) in [("class,from\n1,2\n", "must name"), ("prediction,class\n", "no label"), ("", "must name")] {
            let faults = parse(text, &machine).unwrap_err();
            assert!(faults[0].contains(part), "{faults:?}");
        }
        let many: String = (0..=MOST_LINES).map(|k| format!("M-{k},1\n")).collect();
        assert!(parse(&format!("prediction,class\n{many}"), &machine).unwrap_err()[0].contains("several files"));
    }

    #[tokio::test]
    async fn what_the_machine_refuses_is_put_aside_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("M.csv");
        fs::write(&path, "prediction,class\nM-1,1\nM-99,1\nM-2,0\n").unwrap();
        let (commands, mut requests) = mpsc::channel::<CommandRequest>(1);
        let owner = async {
            let mut seen = Vec::new();
            while let Some(request) = requests.recv().await {
                let Command::SubmitLabel { prediction, .. } = &request.command else { panic!("{:?}", request.command) };
                seen.push((request.target.to_string(), prediction.to_string(), request.user.to_string()));
                let refusal = Refusal::Argument { index: 0, text: "no prediction has this id".into() };
                request.reply.send(if **prediction == *"M-99" { Err(refusal) } else { Ok(Answer::said("kept")) }).unwrap();
            }
            seen
        };
        let machine = machine("");
        let work = async {
            take(&path, &machine, &commands).await;
            drop(commands);
        };
        let (seen, ()) = tokio::join!(owner, work);
        let wanted = ["M-1", "M-99", "M-2"].map(|id| ("M".to_string(), id.to_string(), USER.to_string()));
        assert_eq!(seen, wanted);
        assert!(!path.exists());
        let left = fs::read_to_string(dir.path().join("M.csv.refused")).unwrap();
        assert_eq!(left, "prediction,class,refused\nM-99,1,no prediction has this id\n");
    }

    #[tokio::test]
    async fn a_file_with_a_fault_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("M.csv");
        fs::write(&path, "prediction,class\nM-1,1\nM-2,many\n").unwrap();
        let (commands, mut requests) = mpsc::channel::<CommandRequest>(1);
        take(&path, &machine(""), &commands).await;
        assert!(requests.try_recv().is_err());
        assert_eq!(fs::read_to_string(dir.path().join("M.csv.refused")).unwrap(), "prediction,class\nM-1,1\nM-2,many\n");
    }
}
