//! For tests: whether a page is well-formed and whole in itself.

const VOID: [&str; 3] = ["meta", "link", "br"];

/// Balanced tags, quoted attributes, no stray `<` or `&`, no script, nothing from elsewhere.
pub fn well_formed(html: &str) -> Result<(), String> {
    for what in ["http:", "https:", "<script", "<link", "@import", "javascript:", " src=", " href=\"//", "url(h", "NaN", ">inf<"] {
        if html.contains(what) {
            return Err(format!("`{what}` in the page"));
        }
    }
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html.strip_prefix("<!DOCTYPE html>").unwrap_or(html);
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        if open.last() != Some(&"style") {
            references(text)?;
        }
        let end = tag.find('>').ok_or_else(|| format!("no end: {}", cut(tag)))?;
        let inner = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inner.strip_prefix('/') {
            match open.pop() {
                Some(last) if last == name => {}
                last => return Err(format!("</{name}> closes {last:?} before {}", cut(rest))),
            }
            continue;
        }
        let name = inner.split([' ', '/']).next().unwrap_or_default();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(format!("no tag: {}", cut(tag)));
        }
        attributes(inner[name.len()..].trim_end_matches('/'))?;
        if !inner.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    if open.is_empty() { references(rest) } else { Err(format!("left open: {open:?}")) }
}

fn attributes(mut text: &str) -> Result<(), String> {
    while !text.trim().is_empty() {
        let (name, rest) = text.split_once('=').ok_or_else(|| format!("no value: {}", cut(text)))?;
        let name = name.trim();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') || name.starts_with("on") {
            return Err(format!("no attribute: {name}"));
        }
        let rest = rest.strip_prefix('"').ok_or_else(|| format!("not quoted: {}", cut(rest)))?;
        let (value, rest) = rest.split_once('"').ok_or_else(|| format!("no end of quotes: {}", cut(rest)))?;
        references(value)?;
        text = rest;
    }
    Ok(())
}

/// Every `&` begins an entity.
fn references(text: &str) -> Result<(), String> {
    let known = |t: &str| ["amp;", "lt;", "gt;", "quot;", "#39;", "nbsp;", "ndash;"].iter().any(|e| t.starts_with(e));
    match text.split('&').skip(1).find(|t| !known(t)) {
        Some(t) => Err(format!("stray &: {}", cut(t))),
        None => Ok(()),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[test]
fn faults_are_found() {
    well_formed("<!DOCTYPE html><p class=\"a\">x &lt; y<br></p><svg a=\"1\"/>").unwrap();
    for bad in ["<p>", "<p></b>", "<p a=b></p>", "<p>a & b</p>", "<p>a < b</p>", "<p onload=\"x\"></p>", "<script></script>", "<p>NaN</p>"]
    {
        assert!(well_formed(bad).is_err(), "{bad}");
    }
}
