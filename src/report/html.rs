//! The page: escaping, numbers as text, badges, tables, and the skeleton with its style.
//!
//! Nothing is fetched from elsewhere and no script runs, so that a page can be mailed, archived and opened offline. Words and shapes carry
//! the meaning, colours only help: pages are read by colour-blind people and on grey paper.

use std::fmt::Write;

/// The style of all pages; light and dark, screen, phone and paper.
const STYLE: &str = include_str!("style.css");
/// Longest name or text of a cell that is shown whole, in characters.
const LONGEST: usize = 80;

/// Text made safe between tags and in attributes: `& < > " '` as entities; control characters and marks that turn the direction of
/// writing, which could disguise a name, as U+FFFD.
///
/// ```
/// assert_eq!(driftgate::report::html::escape("<b> & \"c\""), "&lt;b&gt; &amp; &quot;c&quot;");
/// ```
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => safe.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A name from the world, cut to 80 characters and escaped.
pub fn name(text: &str) -> String {
    shortened(text, LONGEST)
}

/// Text cut to so many characters, with an ellipsis, and escaped.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) => {
            let cut = text.char_indices().nth(most.saturating_sub(1)).map_or(0, |(at, _)| at);
            escape(&text[..cut]) + "…"
        }
        None => escape(text),
    }
}

/// Four significant digits; an exponent below 1e-4 and from 1e6 on; `–` for what is not finite.
///
/// ```
/// use driftgate::report::html::number;
/// let shown = [0.0, 1.0, -12.3456, 0.000123456, 1234567.0, f64::NAN].map(number);
/// assert_eq!(shown, ["0", "1", "-12.35", "0.0001235", "1.235e6", "–"]);
/// ```
pub fn number(x: f64) -> String {
    significant(x, 4)
}

/// As [`number()`], with so many significant digits (1 to 17).
pub fn significant(x: f64, digits: usize) -> String {
    if !x.is_finite() {
        return "–".into();
    }
    if x == 0.0 {
        return "0".into();
    }
    let digits = digits.clamp(1, 17);
    let scientific = format!("{x:.*e}", digits - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        return format!("{}e{exponent}", trimmed(mantissa));
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{x:.decimals$}")).to_string()
}

/// Without zeros at the end of a fraction.
fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// A p-value: two significant digits, `< 1e-12` below that, `–` where there is none.
pub fn p_value(p: Option<f64>) -> String {
    match p.filter(|p| p.is_finite()) {
        None => "–".into(),
        Some(p) if p < 1e-12 => "&lt; 1e-12".into(),
        Some(p) => significant(p, 2),
    }
}

/// A count with commas: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// A share as percent: `12.5 %`; a small one that is not zero never as `0 %`.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        x if !x.is_finite() => "–".into(),
        x if x > 0.0 && x < 0.1 => "&lt; 0.1 %".into(),
        x if x >= 10.0 => format!("{} %", trimmed(&format!("{x:.0}"))),
        x => format!("{} %", trimmed(&format!("{x:.1}"))),
    }
}

/// `1 column`, `2 columns`.
pub fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(n as u64), if n == 1 { one } else { many })
}

/// What a statement means: each has a sign and a border of its own beside its colour.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Tone {
    /// Nothing is said.
    Silent,
    Ok,
    /// No verdict is given: outside the envelope.
    Outside,
    Warning,
    Drift,
}

impl Tone {
    /// Class in the style.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Ok => "ok",
            Self::Outside => "outside",
            Self::Warning => "warning",
            Self::Drift => "drift",
        }
    }

    const fn sign(self) -> &'static str {
        match self {
            Self::Silent => "–",
            Self::Ok => "●",
            Self::Outside => "○",
            Self::Warning => "▲",
            Self::Drift => "◆",
        }
    }
}

/// A word with its sign in a frame. `word` is escaped.
pub fn badge(tone: Tone, word: &str) -> String {
    format!("<span class=\"badge {}\"><i aria-hidden=\"true\">{}</i>{}</span>", tone.class(), tone.sign(), escape(word))
}

/// One cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Escaped and cut to 80 characters.
    Text(String),
    /// Right-aligned; numbers as [`number()`] and its siblings write them: HTML already.
    Number(String),
    /// HTML already.
    Html(String),
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// As [`number()`].
    pub fn number(x: f64) -> Self {
        Self::Number(number(x))
    }

    pub fn count(n: usize) -> Self {
        Self::Number(count(n as u64))
    }

    fn write(&self, out: &mut String, heads_row: bool) {
        let (tag, scope) = if heads_row { ("th", " scope=\"row\"") } else { ("td", "") };
        let _ = match self {
            Self::Text(text) => write!(out, "<{tag}{scope}>{}</{tag}>", name(text)),
            Self::Number(text) => write!(out, "<{tag}{scope} class=\"n\">{text}</{tag}>"),
            Self::Html(html) => write!(out, "<{tag}{scope}>{html}</{tag}>"),
        };
    }
}

/// A table whose first column names its rows. On a phone each row becomes a small card.
#[derive(Clone, Debug, Default)]
pub struct Table {
    caption: String,
    heads: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// `caption` says what the table shows; `heads` are plain text.
    pub fn new(caption: &str, heads: &[&'static str]) -> Self {
        Self { caption: caption.into(), heads: heads.to_vec(), rows: Vec::new() }
    }

    /// One cell a head.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn write(&self, id: usize, out: &mut String) {
        let _ = write!(out, "<div class=\"scroll\"><table id=\"t{id}\"><caption>{}</caption><thead><tr>", escape(&self.caption));
        let numeric = |k: usize| self.rows.iter().any(|r| matches!(r.get(k), Some(Cell::Number(_))));
        for (k, head) in self.heads.iter().enumerate() {
            let class = if numeric(k) { " class=\"n\"" } else { "" };
            let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escape(head));
        }
        out.push_str("</tr></thead><tbody>\n");
        for row in &self.rows {
            out.push_str("<tr>");
            row.iter().enumerate().for_each(|(k, cell)| cell.write(out, k == 0));
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div>\n");
    }

    /// On a phone the heads stand before the cells.
    fn phone_style(&self, id: usize, css: &mut String) {
        for (k, head) in self.heads.iter().enumerate().skip(1) {
            // heads are texts of the program: without quotes and backslashes
            let _ = write!(css, "#t{id} td:nth-child({})::before{{content:\"{head}\"}}", k + 1);
        }
    }
}

/// A page in the making. What is pushed is HTML: everything from the world goes through [`escape`] or [`name`] first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    title: String,
    body: String,
    phone: String,
    tables: usize,
}

impl Page {
    /// `title` (escaped) names the page in the browser.
    pub fn new(title: &str) -> Self {
        Self { title: name(title), ..Self::default() }
    }

    /// Appends HTML.
    pub fn push(&mut self, html: &str) {
        self.body.push_str(html);
    }

    /// Bytes so far, style included: what is left of a limit.
    pub fn len(&self) -> usize {
        STYLE.len() + self.body.len() + self.phone.len()
    }

    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Bytes so far, without the style: what a part of a page takes.
    pub fn body_len(&self) -> usize {
        self.body.len() + self.phone.len()
    }

    /// The head of the page: what it is about, the verdict as a word and a sentence, then facts as name (plain text) and value (HTML).
    /// `word` and `sentence` are escaped.
    pub fn header(&mut self, heading: &str, tone: Tone, word: &str, sentence: &str, facts: &[(&str, String)]) {
        let body = &mut self.body;
        let _ = write!(body, "<header><p class=\"kicker\">driftgate</p><h1>{}</h1>", name(heading));
        let _ = write!(
            body,
            "<div class=\"verdict {}\"><strong><i aria-hidden=\"true\">{}</i>{}</strong>",
            tone.class(),
            tone.sign(),
            escape(word)
        );
        let _ = write!(body, "<p>{}</p></div><dl>", escape(sentence));
        for (what, value) in facts {
            let _ = write!(body, "<div><dt>{}</dt><dd>{value}</dd></div>", escape(what));
        }
        body.push_str("</dl></header>\n");
    }

    /// A part of the page under a heading of the second level. `id` is a plain word, for links; `lead` (HTML) says how to read it.
    pub fn section(&mut self, id: &str, heading: &str, lead: &str, content: impl FnOnce(&mut Self)) {
        let _ = writeln!(self.body, "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{}</h2>", escape(heading));
        if !lead.is_empty() {
            let _ = writeln!(self.body, "<p class=\"lead\">{lead}</p>");
        }
        content(self);
        self.body.push_str("</section>\n");
    }

    /// A part that is closed until somebody opens it; open on paper. `summary` is HTML.
    pub fn details(&mut self, summary: &str, content: impl FnOnce(&mut Self)) {
        let _ = writeln!(self.body, "<details><summary>{summary}</summary>");
        content(self);
        self.body.push_str("</details>\n");
    }

    /// Figures beside each other, as many as fit.
    pub fn figures(&mut self, content: impl FnOnce(&mut Self)) {
        self.body.push_str("<div class=\"figures\">\n");
        content(self);
        self.body.push_str("</div>\n");
    }

    /// A drawing (of [`super::svg`]) with a caption (HTML) above it and notes (HTML) below, both may be empty.
    pub fn figure(&mut self, caption: &str, drawing: &str, notes: &str) {
        self.body.push_str(&figure(caption, drawing, notes));
    }

    /// A table; nothing where it has no rows.
    pub fn table(&mut self, table: &Table) {
        if table.is_empty() {
            return;
        }
        self.tables += 1;
        table.write(self.tables, &mut self.body);
        table.phone_style(self.tables, &mut self.phone);
    }

    /// What was pushed, without the page around it; tables need their page's style, so there should be none.
    pub fn into_body(self) -> String {
        self.body
    }

    /// The whole document. `footer` (HTML) says who made it, and when.
    pub fn finish(self, footer: &str) -> String {
        let Self { title, body, phone, .. } = self;
        let patterns = super::svg::PATTERNS;
        let mut page = String::with_capacity(STYLE.len() + body.len() + phone.len() + patterns.len() + 1_000);
        page.push_str("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
        page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
        page.push_str("<meta name=\"color-scheme\" content=\"light dark\">");
        let _ = write!(page, "<title>{title}</title>\n<style>\n{STYLE}");
        let _ = write!(page, "@media screen and (max-width:640px){{{phone}}}\n</style></head>\n<body>{patterns}\n<main>\n{body}</main>\n");
        let _ = write!(page, "<footer>{footer}</footer>\n</body></html>\n");
        page
    }
}

/// As [`Page::figure`], as text.
pub fn figure(caption: &str, drawing: &str, notes: &str) -> String {
    let mut html = String::with_capacity(caption.len() + drawing.len() + notes.len() + 80);
    html.push_str("<figure>");
    if !caption.is_empty() {
        let _ = write!(html, "<figcaption>{caption}</figcaption>");
    }
    html.push_str(drawing);
    if !notes.is_empty() {
        let _ = write!(html, "<p class=\"note\">{notes}</p>");
    }
    html.push_str("</figure>\n");
    html
}

/// What is drawn how: for pages with distributions of two samples.
pub fn legend(reference: &str, current: &str) -> String {
    format!(
        "<p class=\"legend\"><span><svg class=\"key\" viewBox=\"0 0 22 12\" aria-hidden=\"true\"><path class=\"r\" d=\"M0 12V3h22v9z\"/></svg>{}</span>\
         <span><svg class=\"key\" viewBox=\"0 0 22 12\" aria-hidden=\"true\"><path class=\"c\" d=\"M1 11V3h7v4h7v-3h6v7\"/></svg>{}</span>\
         <span><svg class=\"key\" viewBox=\"0 0 22 12\" aria-hidden=\"true\"><path class=\"rm\" d=\"M7 0V12\"/><path class=\"cm\" d=\"M15 0V12\"/></svg>\
         means of both</span></p>\n",
        escape(reference),
        escape(current)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_harmless() {
        let hostile = "<script>alert('x')</script>\u{202e}\u{0}\"onload=\"";
        let safe = escape(hostile);
        assert!(!safe.contains(['<', '>', '"', '\'', '\u{202e}', '\u{0}']), "{safe}");
        assert_eq!(escape("Größe µm 温度"), "Größe µm 温度");
        assert_eq!(shortened("äöüß", 3), "äö…");
        assert_eq!(name(&"<".repeat(1_000)).matches("&lt;").count(), LONGEST - 1);
    }

    #[test]
    fn numbers_are_short_and_never_minus_zero_or_nan() {
        let shown =
            [(-0.0, "0"), (0.1, "0.1"), (99_999.0, "99999"), (999_999.0, "1e6"), (1e6, "1e6"), (1e-5, "1e-5"), (-1.5e300, "-1.5e300")];
        shown.iter().for_each(|(x, text)| assert_eq!(number(*x), *text));
        assert_eq!(number(f64::INFINITY), "–");
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.0004, 0.0123, 0.5, 1.0].map(percent), ["0 %", "&lt; 0.1 %", "1.2 %", "50 %", "100 %"]);
        assert_eq!([None, Some(f64::NAN), Some(0.0), Some(0.0312), Some(1.0)].map(p_value), ["–", "–", "&lt; 1e-12", "0.031", "1"]);
    }

    #[test]
    fn pages_are_balanced_and_hold_everything() {
        let mut page = Page::new("a <b>");
        page.header("Report", Tone::Drift, "Drift", "1 < 2", &[("Rows", count(12))]);
        page.section("features", "Features", "", |page| {
            let mut table = Table::new("All features", &["Feature", "Value"]);
            table.row(vec![Cell::text("x<y"), Cell::number(1.5)]);
            page.table(&table);
            page.details("more", |page| page.figures(|page| page.figure("c", "<svg></svg>", "n")));
        });
        page.push(&legend("reference", "current"));
        let html = page.finish("made by hand");
        super::super::check::well_formed(&html).unwrap();
        assert!(html.contains("<th scope=\"row\">x&lt;y</th><td class=\"n\">1.5</td>") && html.contains("made by hand"));
        assert!(html.contains("#t1 td:nth-child(2)::before{content:\"Value\"}"));
    }
}
