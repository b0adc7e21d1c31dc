//! Holds the rooms to their arrows: what the pure ones may know, and where the vendors' crates may appear. Reads the sources:
//! a violation is named with file and line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A pure room, and the rooms of the crate that it may use besides itself.
struct Room {
    /// Below `src`, without `.rs`.
    place: &'static str,
    uses: &'static [&'static str],
}

const fn room(place: &'static str, uses: &'static [&'static str]) -> Room {
    Room { place, uses }
}

/// The arrows. A new one is a decision: it belongs into the drawing in `src/lib.rs` as well.
const PURE: &[Room] = &[
    room("types", &[]),
    room("alarm", &["types"]),
    room("regime", &["types", "config"]),
    room("feature", &["types", "config"]),
    room("model", &["types"]),
    room("drift", &["types", "config"]),
    room("checks", &["drift"]),
    room("history", &["types"]),
    room("bundle", &["types", "config", "regime", "drift", "model"]),
    room("profile", &["types", "drift", "comparison"]),
    room("pipeline/core", &["types", "config", "regime", "feature", "model", "drift", "checks", "bundle"]),
    room("pipeline/align", &["types", "config"]),
    room("report", &["types", "config", "regime", "drift", "checks", "bundle", "comparison", "profile"]),
];

/// The only file of a pure room that touches the file system.
const FILES_OF_BUNDLES: &str = "bundle/file.rs";

/// What a pure room knows nothing of: runtime, store, wire, file system, network, clock.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio_util",
    "tokio_modbus",
    "futures",
    "sled",
    "opcua",
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant",
    "SystemTime",
    "chrono::Local",
    "chrono::Utc::now",
    "Utc::now",
    "rand::thread_rng",
    "rand::random",
];

/// A vendor's crate, and the places that may name it.
const VENDORS: &[(&str, &[&str])] = &[
    ("opcua", &["wire/", "source/opcua/", "server/", "sim/"]),
    ("tokio_modbus", &["wire/", "source/modbus/", "sim/"]),
    ("sled", &["store/"]),
    ("parquet", &["dataset/", "pipeline/recorded/"]),
    ("arrow_array", &["dataset/", "pipeline/recorded/"]),
    ("rumqttc", &["announce/"]),
    ("rustls", &["announce/"]),
    ("ureq", &["announce/"]),
    ("linfa", &["model/"]),
    ("linfa_clustering", &["model/"]),
];

/// A path in the code, as `["crate", "types", "Frame"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mention {
    line: usize,
    path: Vec<String>,
}

struct Source {
    /// Below `src`, with slashes.
    name: String,
    mentions: Vec<Mention>,
    /// Modules that it declares: their names are no crates.
    modules: BTreeSet<String>,
}

#[test]
fn pure_rooms_know_no_outside_world() {
    let mut faults = Vec::new();
    for source in sources() {
        if source.name == FILES_OF_BUNDLES || room_of(&source.name).is_none() {
            continue;
        }
        for mention in &source.mentions {
            faults.extend(IMPURE.iter().filter(|what| starts_with(&mention.path, what)).map(|what| fault(&source, mention, what)));
        }
    }
    assert!(faults.is_empty(), "a pure room uses what it must not know; give it the value instead:\n{}", faults.join("\n"));
}

#[test]
fn pure_rooms_keep_to_their_arrows() {
    let mut faults = Vec::new();
    let mut checked = 0;
    for source in sources() {
        let Some(room) = room_of(&source.name) else { continue };
        for mention in &source.mentions {
            let Some(path) = absolute(&source.name, &mention.path) else { continue };
            checked += 1;
            let own = starts_with(&path, &room.place.replace('/', "::"));
            if !own && !room.uses.iter().any(|allowed| starts_with(&path, allowed)) {
                faults.push(fault(&source, mention, &format!("crate::{}", path.join("::"))));
            }
        }
    }
    assert!(checked > 100, "the scanner finds nothing any more");
    assert!(faults.is_empty(), "a room uses one that it must not depend on:\n{}", faults.join("\n"));
}

#[test]
fn vendors_stay_in_their_places() {
    let mut faults = Vec::new();
    for source in sources() {
        for mention in &source.mentions {
            for (vendor, places) in VENDORS {
                // Alone it is the name of a variable.
                let named = mention.path.len() > 1 && mention.path[0] == *vendor && !source.modules.contains(*vendor);
                if named && !places.iter().any(|place| source.name.starts_with(place)) {
                    faults.push(fault(&source, mention, vendor));
                }
            }
        }
    }
    assert!(faults.is_empty(), "a vendor's crate is named outside its places ({VENDORS:?}):\n{}", faults.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = files(&root())
        .into_iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            (lines > 700).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "split them:\n{}", long.join("\n"));
}

#[test]
fn the_scanner_sees_what_is_used() {
    let text = r##"
        // use tokio::sync;
        use std::{fs, collections::{BTreeMap as Map, HashMap}};
        /* std::net */ use crate::types::{self, Frame};
        fn f() -> std::io::Result<()> { let s = "sled::open"; let c = '"'; let r = r#"std::env::var"#; super::g::<u8>(); Ok(()) }
        fn life<'a>(x: &'a str) {}
        #[cfg(test)]
        mod tests { fn t() { std::env::var("x"); } }
        fn h() { std::time::Instant::now() }
    "##;
    let found: Vec<(usize, String)> = mentions(&code(text)).into_iter().map(|m| (m.line, m.path.join("::"))).collect();
    let has = |line, path: &str| found.contains(&(line, path.to_string()));
    assert!(has(3, "std::fs") && has(3, "std::collections::BTreeMap") && has(3, "std::collections::HashMap"), "{found:?}");
    assert!(has(4, "crate::types") && has(4, "crate::types::Frame"), "{found:?}");
    assert!(has(5, "std::io::Result") && has(5, "super::g"), "{found:?}");
    assert!(has(9, "std::time::Instant::now"), "{found:?}");
    let hidden = ["tokio", "sled", "std::net", "std::env"];
    assert!(!found.iter().any(|(_, p)| hidden.iter().any(|h| p.starts_with(h))), "{found:?}");
}

#[test]
fn relative_paths_are_resolved() {
    let path = |text: &str| text.split("::").map(String::from).collect::<Vec<_>>();
    let at = |file, text| absolute(file, &path(text)).map(|p| p.join("::"));
    assert_eq!(at("drift/metric/psi.rs", "super::super::window::Window").as_deref(), Some("drift::window::Window"));
    assert_eq!(at("drift/metric/mod.rs", "super::window").as_deref(), Some("drift::window"));
    assert_eq!(at("drift/mod.rs", "super::store::Store").as_deref(), Some("store::Store"));
    assert_eq!(at("pipeline/align.rs", "crate::types").as_deref(), Some("types"));
    assert_eq!(at("pipeline/align.rs", "std::fs"), None);
}

fn fault(source: &Source, mention: &Mention, what: &str) -> String {
    format!("  src/{}:{}: `{what}` (as `{}`)", source.name, mention.line, mention.path.join("::"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let root = root();
    let found = files(&root).into_iter().filter(|path| !is_test(path)).map(|path| {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        let code = code(&fs::read_to_string(&path).unwrap());
        Source { name, modules: modules(&code), mentions: mentions(&code) }
    });
    found.collect()
}

/// Tests in files of their own may do what they need.
fn is_test(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "tests")
        || path.file_stem().is_some_and(|s| s == "tests" || s.to_string_lossy().ends_with("_tests"))
}

/// The pure room that a file belongs to.
fn room_of(name: &str) -> Option<&'static Room> {
    PURE.iter().find(|room| name.strip_prefix(room.place).is_some_and(|rest| rest.starts_with('/') || rest == ".rs"))
}

fn starts_with(path: &[String], prefix: &str) -> bool {
    let prefix: Vec<&str> = prefix.split("::").collect();
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(a, b)| a == b)
}

/// A path within the crate from its root on; `None` for one of another crate, or of a name in scope.
fn absolute(file: &str, path: &[String]) -> Option<Vec<String>> {
    let mut module: Vec<String> = file.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").map(String::from).collect();
    match path[0].as_str() {
        // Alone: `pub(crate)`.
        "crate" => return (path.len() > 1).then(|| path[1..].to_vec()),
        "super" | "self" => {}
        _ => return None,
    }
    let mut rest = path;
    while let [first, more @ ..] = rest {
        match first.as_str() {
            "self" => {}
            "super" => drop(module.pop()),
            _ => break,
        }
        rest = more;
    }
    module.extend_from_slice(rest);
    Some(module)
}

/// The text with comments, literals and items under `#[cfg(test)]` blanked; lines stay where they are.
fn code(text: &str) -> String {
    without_tests(&without_literals(text))
}

fn without_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal ends that begins here; the place itself if none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    let find = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        (from..chars.len()).find(|&i| chars[i..].starts_with(&end)).map_or(chars.len(), |i| i + end.len())
    };
    match chars[at] {
        '/' if next(1) == '/' => find(at, "\n") - 1,
        '/' if next(1) == '*' => find(at + 2, "*/"),
        'r' if at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') => at,
        'r' if next(1) == '"' || next(1) == '#' => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            // `r#type` is a name.
            if next(1 + hashes) == '"' { find(at + 2 + hashes, &format!("\"{}", "#".repeat(hashes))) } else { at }
        }
        '"' => quoted_end(chars, at, '"'),
        // A lifetime has no closing quote after its first character.
        '\'' if next(1) == '\\' || next(2) == '\'' => quoted_end(chars, at, '\''),
        _ => at,
    }
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn without_tests(text: &str) -> String {
    let mut out = text.to_string();
    while let Some(start) = out.find("#[cfg(test)]") {
        let rest = &out[start..];
        // The item ends with its block, or with a semicolon where it has none.
        let (mut depth, mut end) = (0, rest.len());
        for (i, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if (c == '}' || c == ';') && depth == 0 {
                end = i + 1;
                break;
            }
        }
        let blank: String = rest[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out = format!("{}{blank}{}", &out[..start], &rest[end..]);
    }
    out
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Name(String),
    /// `::`
    Path,
    Other(char),
}

fn tokens(code: &str) -> Vec<(usize, Token)> {
    let mut out = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let (token, length) = match first {
                _ if !name.is_empty() => (Some(Token::Name(name.clone())), name.len()),
                ':' if rest.starts_with("::") => (Some(Token::Path), 2),
                c if c.is_whitespace() => (None, c.len_utf8()),
                c => (Some(Token::Other(c)), c.len_utf8()),
            };
            out.extend(token.map(|token| (line + 1, token)));
            rest = &rest[length..];
        }
    }
    out
}

/// All paths, those of `use` with their groups opened.
fn mentions(code: &str) -> Vec<Mention> {
    let tokens = tokens(code);
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = match &tokens[at].1 {
            Token::Name(_) => paths(&tokens, at, &[], &mut out),
            _ => at + 1,
        };
    }
    out
}

/// Reads one path, or a tree of them, that begins at `at`; returns where it ends.
fn paths(tokens: &[(usize, Token)], mut at: usize, prefix: &[String], out: &mut Vec<Mention>) -> usize {
    let mut path = prefix.to_vec();
    let line = tokens[at].0;
    let token = |at: usize| tokens.get(at).map(|(_, token)| token);
    while let Some(Token::Name(name)) = token(at) {
        if name == "self" && !path.is_empty() {
            at += 1;
            break;
        }
        path.push(name.clone());
        at += 1;
        if token(at) != Some(&Token::Path) {
            break;
        }
        if token(at + 1) == Some(&Token::Other('{')) {
            return group(tokens, at + 2, &path, out);
        }
        if !matches!(token(at + 1), Some(Token::Name(_))) {
            break;
        }
        at += 1;
    }
    out.push(Mention { line, path });
    at
}

/// Reads `a, b::{c, d}, e as f }`.
fn group(tokens: &[(usize, Token)], mut at: usize, prefix: &[String], out: &mut Vec<Mention>) -> usize {
    while at < tokens.len() {
        at = match &tokens[at].1 {
            Token::Other('}') => return at + 1,
            // The new name says nothing.
            Token::Name(name) if name == "as" => at + 2,
            Token::Name(_) => paths(tokens, at, prefix, out),
            _ => at + 1,
        };
    }
    at
}

/// Names after `mod`.
fn modules(code: &str) -> BTreeSet<String> {
    let tokens = tokens(code);
    let pairs = tokens.windows(2).filter_map(|pair| match (&pair[0].1, &pair[1].1) {
        (Token::Name(word), Token::Name(name)) if word == "mod" => Some(name.clone()),
        _ => None,
    });
    pairs.collect()
}
