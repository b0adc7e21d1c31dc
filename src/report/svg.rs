//! Drawings as SVG inside the page: distributions, histories, strips of statuses, bars, heat maps.
//!
//! Every drawing is an image with a title that says in words what it shows; its colours are classes of the page's style, so that it follows the
//! light and the dark scheme. Shapes differ beside colours: the reference is a filled area, current values are a line; thresholds are
//! dashed. Coordinates are rounded to a tenth of a pixel. Values that are not finite are left out, never drawn at some place.

use std::fmt::Write;

use super::html::{Tone, escape, number, percent, shortened};

/// Hatchings that the drawings use; once in each page ([`super::html::Page`] does it).
pub const PATTERNS: &str = "<svg width=\"0\" height=\"0\" class=\"defs\" aria-hidden=\"true\"><defs>\
<pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path class=\"hl\" d=\"M0 0V5\"/></pattern>\
</defs></svg>";

/// Width of ordinary drawings; they are scaled to the place they get.
const WIDTH: f64 = 340.0;
/// Points of a history that are drawn at most.
const POINTS: usize = 170;
/// Longest label inside a drawing, in characters.
const LABEL: usize = 16;

/// An image in the making.
struct Drawing(String);

impl Drawing {
    /// `title` is plain text.
    fn new(width: f64, height: f64, title: &str) -> Self {
        let mut out = String::with_capacity(1_500);
        let _ = write!(out, "<svg viewBox=\"0 0 {} {}\" role=\"img\"><title>{}</title>", At(width), At(height), escape(title));
        Self(out)
    }

    fn path(&mut self, class: &str, d: &str) {
        if !d.is_empty() {
            let _ = write!(self.0, "<path class=\"{class}\" d=\"{d}\"/>");
        }
    }

    /// `text` is plain text; `class` sets the anchor: `t` start, `t m` middle, `t e` end.
    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let _ = write!(self.0, "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>", At(x), At(y), escape(text));
    }

    fn finish(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }
}

/// A coordinate: a tenth of a pixel, without `.0`.
struct At(f64);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = (self.0 * 10.0).round() as i64;
        let (whole, rest) = (tenths.abs() / 10, tenths.abs() % 10);
        let sign = if tenths < 0 { "-" } else { "" };
        if rest == 0 { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{rest}") }
    }
}

/// A linear (or logarithmic) scale from values to coordinates.
#[derive(Copy, Clone)]
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    fn at(&self, x: f64) -> f64 {
        let share = if self.log {
            (x.max(self.low).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            // halves: the range itself may be too wide for a number
            (x / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)
        };
        self.from + share.clamp(-0.02, 1.02) * (self.to - self.from)
    }

    /// Round values inside, each with its label.
    fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        if self.log {
            let decades = (self.low.log10().ceil() as i32)..=(self.high.log10().floor() as i32);
            return decades.map(|k| 10f64.powi(k)).map(|x| (x, number(x))).collect();
        }
        let raw = (self.high / 2.0 - self.low / 2.0) / wanted.max(1) as f64 * 2.0;
        if !(raw.is_finite() && raw >= f64::MIN_POSITIVE) {
            return vec![(self.low, number(self.low)), (self.high, number(self.high))];
        }
        let decade = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|k| k * decade).find(|s| *s >= raw * 0.999).unwrap_or(raw);
        let first = (self.low / step).ceil();
        let count = ((self.high / step).floor() - first).clamp(-1.0, 20.0) as i64;
        (0..=count).map(|i| (first + i as f64) * step + 0.0).map(|x| (x, tick(x, step))).collect()
    }
}

/// A label that tells neighbours apart.
fn tick(x: f64, step: f64) -> String {
    let digits = if x == 0.0 { 0.0 } else { x.abs().log10().floor() - step.log10().floor() };
    super::html::significant(x, (digits as i64 + 1).clamp(1, 12) as usize)
}

/// Two distributions over each other, in bins that they share (see [`super::bins`]).
#[derive(Copy, Clone, Debug, Default)]
pub struct Histogram<'a> {
    /// What it shows, in words.
    pub title: &'a str,
    /// Lower edge of the first bin, upper edge of the last.
    pub range: (f64, f64),
    /// Share of the values in each bin; filled. Empty: not drawn.
    pub reference: &'a [f64],
    /// As `reference`, of the current values; a line. Empty: not drawn.
    pub current: &'a [f64],
    /// Means, marked where there are any.
    pub reference_mean: Option<f64>,
    pub current_mean: Option<f64>,
    /// Values left and right of the range, on both sides together.
    pub beyond: (usize, usize),
}

/// Draws two distributions, or one.
pub fn histogram(h: &Histogram<'_>) -> String {
    let (top, base, height) = (6.0, 96.0, 114.0);
    let mut drawing = Drawing::new(WIDTH, height, h.title);
    let x = Scale { low: h.range.0, high: h.range.1, from: 6.0, to: WIDTH - 6.0, log: false };
    let highest = h.reference.iter().chain(h.current).copied().fold(0.0, f64::max);
    if highest > 0.0 && h.range.0 < h.range.1 {
        let y = |share: f64| base - share / highest * (base - top);
        drawing.path("r", &(steps(h.reference, &x, base, y) + if h.reference.is_empty() { "" } else { "z" }));
        drawing.path("c", &steps(h.current, &x, base, y));
        for (mean, class) in [(h.reference_mean, "rm"), (h.current_mean, "cm")] {
            if let Some(mean) = mean.filter(|m| m.is_finite() && (h.range.0..=h.range.1).contains(m)) {
                drawing.path(class, &format!("M{} {}V{}", At(x.at(mean)), At(top - 4.0), At(base)));
            }
        }
        axis(&mut drawing, &x, base, height - 5.0);
    } else {
        drawing.text("t m", WIDTH / 2.0, 56.0, "no values");
    }
    drawing.path("ax", &format!("M6 {base}H{}", At(WIDTH - 6.0)));
    if h.beyond.0 > 0 {
        drawing.text("t b", 8.0, 14.0, &format!("◂ {} beyond", h.beyond.0));
    }
    if h.beyond.1 > 0 {
        drawing.text("t e b", WIDTH - 8.0, 14.0, &format!("{} beyond ▸", h.beyond.1));
    }
    drawing.finish()
}

/// The outline of a histogram from the base and back to it.
fn steps(shares: &[f64], x: &Scale, base: f64, y: impl Fn(f64) -> f64) -> String {
    if shares.is_empty() {
        return String::new();
    }
    let width = (x.to - x.from) / shares.len() as f64;
    let mut d = format!("M{} {}", At(x.from), At(base));
    let mut before = base;
    for (i, share) in shares.iter().enumerate() {
        let top = y(*share);
        if (top - before).abs() >= 0.05 {
            let _ = write!(d, "V{}", At(top));
        }
        let _ = write!(d, "H{}", At(x.from + width * (i + 1) as f64));
        before = top;
    }
    let _ = write!(d, "V{}", At(base));
    d
}

/// Ticks and labels of a horizontal axis; labels stay inside the drawing.
fn axis(drawing: &mut Drawing, x: &Scale, base: f64, text: f64) {
    let mut marks = String::new();
    let mut free_from = 0.0;
    for (value, label) in x.ticks(5) {
        let at = x.at(value);
        let half = label.chars().count() as f64 * 3.1;
        let centre = at.clamp(half + 1.0, WIDTH - half - 1.0);
        let _ = write!(marks, "M{} {}v4", At(at), At(base));
        if centre - half >= free_from {
            drawing.text("t m", centre, text, &label);
            free_from = centre + half + 6.0;
        }
    }
    drawing.path("ax", &marks);
}

/// A class with its share on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Category {
    pub label: String,
    /// Shares, 0..=1.
    pub reference: f64,
    pub current: f64,
}

/// Two bars a class, one above the other. `title` says in words what is shown.
pub fn categories(title: &str, categories: &[Category]) -> String {
    const ROW: f64 = 27.0;
    let mut drawing = Drawing::new(WIDTH, ROW * categories.len().max(1) as f64 + 2.0, title);
    let highest = categories.iter().map(|c| c.reference.max(c.current)).filter(|s| s.is_finite()).fold(0.0, f64::max).max(1e-9);
    let (left, room) = (106.0, 132.0);
    for (i, c) in categories.iter().enumerate() {
        let y = ROW * i as f64 + 4.0;
        let width = |share: f64| if share.is_finite() { share.max(0.0) / highest * room } else { 0.0 };
        drawing.text("t e l", left - 6.0, y + 13.0, &plain(&c.label, LABEL));
        drawing.path("r", &format!("M{left} {}h{}v9h-{}z", At(y), At(width(c.reference)), At(width(c.reference))));
        drawing.path("cf", &format!("M{left} {}h{}v7h-{}z", At(y + 10.5), At(width(c.current)), At(width(c.current))));
        let shares = format!("{} → {}", percent(c.reference), percent(c.current)).replace("&lt;", "<");
        drawing.text("t", left + room + 6.0, y + 13.0, &shares);
    }
    drawing.path("ax", &format!("M{left} 2V{}", At(ROW * categories.len() as f64)));
    drawing.finish()
}

/// One bar with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    pub label: String,
    /// Not negative.
    pub value: f64,
    /// Behind the bar, plain text.
    pub note: String,
    pub tone: Tone,
}

/// Horizontal bars; `limit`: a dashed line at this value. `title` says in words what is shown.
pub fn bars(title: &str, bars: &[Bar], limit: Option<f64>) -> String {
    const ROW: f64 = 20.0;
    let (left, room) = (126.0, 140.0);
    let mut drawing = Drawing::new(WIDTH, ROW * bars.len().max(1) as f64 + 4.0, title);
    let highest = bars.iter().map(|b| b.value).chain(limit).filter(|v| v.is_finite()).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let width = |value: f64| if value.is_finite() { (value / highest).clamp(0.0, 1.0) * room } else { 0.0 };
    for (i, bar) in bars.iter().enumerate() {
        let y = ROW * i as f64 + 4.0;
        drawing.text("t e l", left - 6.0, y + 10.0, &plain(&bar.label, 19));
        drawing.path(
            &format!("bar {}", bar.tone.class()),
            &format!("M{left} {}h{}v11h-{}z", At(y), At(width(bar.value)), At(width(bar.value))),
        );
        drawing.text("t", left + width(bar.value) + 6.0, y + 10.0, &bar.note);
    }
    let bottom = ROW * bars.len() as f64 + 2.0;
    drawing.path("ax", &format!("M{left} 2V{}", At(bottom)));
    if let Some(limit) = limit.filter(|l| l.is_finite()) {
        drawing.path("th", &format!("M{} 0V{}", At(left + width(limit)), At(bottom + 2.0)));
    }
    drawing.finish()
}

/// A place of a history: several evaluations that fell together.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub low: f64,
    pub mean: f64,
    pub high: f64,
}

/// Something over time, with what it is held against.
#[derive(Copy, Clone, Debug, Default)]
pub struct History<'a> {
    /// What it shows, in words.
    pub title: &'a str,
    /// Ascending in x.
    pub points: &'a [Point],
    /// Range of x, shared by the drawings of a page.
    pub range: (f64, f64),
    /// Where values should lie.
    pub band: Option<(f64, f64)>,
    /// A dashed line.
    pub threshold: Option<f64>,
    /// Labels of the ends of x.
    pub ends: (&'a str, &'a str),
    /// Moments worth a vertical line.
    pub marks: &'a [f64],
    /// Values are at least 0 and the axis begins there; it becomes logarithmic from 0.1 on where they go beyond 5.
    pub index: bool,
}

/// Draws a history: the range of each place as an area, its mean as a line.
pub fn history(h: &History<'_>) -> String {
    let (left, right, top, base, height) = (40.0, WIDTH - 6.0, 6.0, 96.0, 114.0);
    let mut drawing = Drawing::new(WIDTH, height, h.title);
    let finite = |p: &&Point| p.x.is_finite() && p.low.is_finite() && p.mean.is_finite() && p.high.is_finite();
    let points: Vec<Point> = h.points.iter().filter(finite).copied().collect();
    let points = thinned(&points, POINTS);
    let y = vertical(h, &points, base, top);
    let x = Scale { low: h.range.0, high: h.range.1.max(h.range.0 + f64::MIN_POSITIVE), from: left, to: right, log: false };
    if let Some((low, high)) = h.band.filter(|b| b.0.is_finite() && b.1.is_finite()) {
        drawing.path("band", &format!("M{left} {}H{right}V{}H{left}z", At(y.at(high)), At(y.at(low))));
    }
    let mut grid = String::new();
    for (value, label) in y.ticks(3) {
        let _ = write!(grid, "M{left} {}h-4", At(y.at(value)));
        drawing.text("t e", left - 6.0, y.at(value) + 3.5, &label);
    }
    drawing.path("ax", &(grid + &format!("M{left} {top}V{base}H{right}")));
    for mark in h.marks.iter().filter(|m| (h.range.0..=h.range.1).contains(*m)) {
        drawing.path("mk", &format!("M{} {top}V{base}", At(x.at(*mark))));
    }
    if points.is_empty() {
        drawing.text("t m", f64::midpoint(left, right), 56.0, "not evaluated");
    }
    for run in runs(&points, h.range) {
        drawing.path("ca", &area(run, &x, &y));
        drawing.path("cl", &line(run, &x, &y));
    }
    if let Some(threshold) = h.threshold.filter(|t| t.is_finite()) {
        drawing.path("th", &format!("M{left} {}H{right}", At(y.at(threshold))));
    }
    drawing.text("t", left, height - 5.0, h.ends.0);
    drawing.text("t e", right, height - 5.0, h.ends.1);
    drawing.finish()
}

fn vertical(h: &History<'_>, points: &[Point], base: f64, top: f64) -> Scale {
    let band = h.band.into_iter().flat_map(|b| [b.0, b.1]).filter(|x| x.is_finite());
    let all = points.iter().flat_map(|p| [p.low, p.high]).chain(h.threshold).chain(band);
    let (mut low, mut high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    let mut log = false;
    if !(low.is_finite() && high.is_finite()) {
        (low, high) = (0.0, 1.0);
    } else if h.index {
        log = high > 5.0;
        (low, high) = if log { (0.1, high * 1.3) } else { (0.0, high * 1.08) };
    }
    if low >= high {
        let by = if low == 0.0 { 1.0 } else { low.abs() * 0.05 };
        (low, high) = (low - by, high + by);
    } else if !h.index {
        let by = (high / 2.0 - low / 2.0) * 0.12;
        (low, high) = ((low - by).max(f64::MIN), (high + by).min(f64::MAX));
    }
    Scale { low, high, from: base, to: top, log }
}

/// At most so many points: neighbours together.
pub fn thinned(points: &[Point], most: usize) -> Vec<Point> {
    let together = points.len().div_ceil(most.max(1)).max(1);
    let of = |group: &[Point]| {
        let n = group.len() as f64;
        Point {
            x: group.iter().map(|p| p.x / n).sum(),
            low: group.iter().map(|p| p.low).fold(f64::INFINITY, f64::min),
            mean: group.iter().map(|p| p.mean / n).sum(),
            high: group.iter().map(|p| p.high).fold(f64::NEG_INFINITY, f64::max),
        }
    };
    points.chunks(together).map(of).collect()
}

/// Points without a long gap between them.
fn runs(points: &[Point], range: (f64, f64)) -> impl Iterator<Item = &[Point]> {
    let reach = ((range.1 - range.0) / 16.0).max(3.0 * (range.1 - range.0) / points.len().max(1) as f64);
    points.chunk_by(move |a, b| b.x - a.x <= reach)
}

fn line(points: &[Point], x: &Scale, y: &Scale) -> String {
    let mut d = String::with_capacity(points.len() * 10);
    for (i, p) in points.iter().enumerate() {
        let _ = write!(d, "{}{} {}", if i == 0 { "M" } else { "L" }, At(x.at(p.x)), At(y.at(p.mean)));
    }
    if points.len() == 1 {
        // a dot: the line's ends are round
        d.push_str("h0");
    }
    d
}

fn area(points: &[Point], x: &Scale, y: &Scale) -> String {
    if points.iter().all(|p| (y.at(p.low) - y.at(p.high)).abs() < 0.8) {
        return String::new();
    }
    let mut d = String::with_capacity(points.len() * 20);
    for (i, p) in points.iter().enumerate() {
        let _ = write!(d, "{}{} {}", if i == 0 { "M" } else { "L" }, At(x.at(p.x)), At(y.at(p.high)));
    }
    for p in points.iter().rev() {
        let _ = write!(d, "L{} {}", At(x.at(p.x)), At(y.at(p.low)));
    }
    d.push('z');
    d
}

/// One status in a strip: its share of the rows in each place of time, 0..=1.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    pub label: &'static str,
    pub tone: Tone,
    pub shares: Vec<f64>,
}

/// Statuses over time, a lane each, so that the place says what the colour says; higher where more of the rows have it.
/// `ends`: labels of the first and the last place. `title` says in words what is shown.
pub fn strip(title: &str, lanes: &[Lane], ends: (&str, &str)) -> String {
    const ROW: usize = 20;
    let places = lanes.iter().map(|l| l.shares.len()).max().unwrap_or(0).max(1);
    let mut labels = String::new();
    let mut drawing = String::new();
    let _ = write!(
        drawing,
        "<svg viewBox=\"0 0 {places} {0}\" height=\"{0}\" preserveAspectRatio=\"none\" role=\"img\"><title>{1}</title>",
        ROW * lanes.len(),
        escape(title)
    );
    for (k, lane) in lanes.iter().enumerate() {
        let _ = write!(labels, "<span>{}</span>", escape(lane.label));
        let bottom = (k * ROW + ROW - 3) as f64;
        let _ = write!(drawing, "<path class=\"ln\" d=\"M0 {}h{places}v1h-{places}z\"/>", At(bottom));
        let mut d = String::new();
        let mut at = 0;
        // quarters are fine enough, and make long runs
        let level = |share: &f64| (share.clamp(0.0, 1.0) * 4.0).ceil();
        for run in lane.shares.chunk_by(|a, b| level(a) == level(b)) {
            let height = level(&run[0]) / 4.0 * (ROW as f64 - 6.0);
            if height > 0.0 {
                let _ = write!(d, "M{at} {}h{}v-{}h-{}z", At(bottom), run.len(), At(height), run.len());
            }
            at += run.len();
        }
        if !d.is_empty() {
            let _ = write!(drawing, "<path class=\"bar {}\" d=\"{d}\"/>", lane.tone.class());
        }
    }
    drawing.push_str("</svg>");
    format!(
        "<div class=\"strip\"><div class=\"lanes\" aria-hidden=\"true\">{labels}</div>{drawing}<div class=\"ends\"><span>{}</span><span>{}</span></div></div>\n",
        escape(ends.0),
        escape(ends.1)
    )
}

/// A table of numbers between -1 and 1 as colours: correlations, or (from 0 on) shares and indexes.
pub struct HeatMap<'a> {
    /// What it shows, in words.
    pub title: &'a str,
    pub rows: &'a [String],
    pub columns: &'a [String],
    /// Of row and column; `None`: left empty. Negative values are hatched.
    pub value: &'a dyn Fn(usize, usize) -> Option<f64>,
    /// Words in a cell, where cells are large enough (up to 16 columns); empty for none.
    pub word: &'a dyn Fn(usize, usize) -> String,
}

/// Draws a heat map. Cells become smaller with their number, labels at last too.
pub fn heat_map(map: &HeatMap<'_>) -> String {
    let (rows, columns) = (map.rows.len(), map.columns.len());
    let most = rows.max(columns);
    let cell = if columns <= 16 {
        36.0
    } else if most <= 30 {
        18.0
    } else {
        11.0
    };
    let tall = if columns <= 16 { 22.0 } else { cell };
    let longest = |labels: &[String], cut: usize| labels.iter().map(|l| l.chars().count().min(cut)).max().unwrap_or(0) as f64;
    let left = (longest(map.rows, 24) * 6.2 + 10.0).ceil();
    let head = (longest(map.columns, LABEL) * 5.0 + 12.0).ceil();
    let (width, height) = (left + cell * columns as f64 + head * 0.6, head + tall * rows as f64 + 4.0);
    let mut drawing = Drawing::new(width, height, map.title);
    let text = if cell < 12.0 { "t s" } else { "t" };
    for (i, label) in map.rows.iter().enumerate() {
        drawing.text(&format!("{text} e l"), left - 5.0, head + tall * (i as f64 + 0.5) + 3.5, &plain(label, 24));
    }
    for (j, label) in map.columns.iter().enumerate() {
        let (x, y) = (At(left + cell * (j as f64 + 0.5)), At(head - 5.0));
        let label = shortened(label, LABEL);
        let _ = write!(drawing.0, "<text class=\"{text} l\" transform=\"translate({x} {y})rotate(-50)\">{label}</text>");
    }
    // one path a colour: many cells stay small
    let mut levels = vec![String::new(); 17];
    let mut hatched = String::new();
    let mut words = Vec::new();
    for i in 0..rows {
        let y = head + tall * i as f64;
        let level = |j: usize| (map.value)(i, j).filter(|v| v.is_finite()).map(|v| (v.clamp(-1.0, 1.0) * 8.0).round() as i64);
        let of_row: Vec<Option<i64>> = (0..columns).map(level).collect();
        let cells = |d: &mut String, j: usize, run: usize| {
            let width = At(cell * run as f64 - 1.0);
            let _ = write!(d, "M{} {}h{width}v{}h-{width}z", At(left + cell * j as f64), At(y), At(tall - 1.0));
        };
        for (j, level) in of_row.iter().enumerate() {
            let Some(level) = level else { continue };
            cells(&mut levels[(level + 8) as usize], j, 1);
            if columns <= 16 {
                words.push((left + cell * (j as f64 + 0.5) - 0.5, y + tall / 2.0 + 3.5, (map.word)(i, j), level.abs() >= 6));
            }
        }
        let mut j = 0;
        for run in of_row.chunk_by(|a, b| a.is_some_and(|l| l <= -2) == b.is_some_and(|l| l <= -2)) {
            if run[0].is_some_and(|l| l <= -2) {
                cells(&mut hatched, j, run.len());
            }
            j += run.len();
        }
    }
    for (k, d) in levels.iter().enumerate() {
        let level = k as i64 - 8;
        drawing.path(&format!("{}{}", if level < 0 { "hn" } else { "hp" }, level.abs()), d);
    }
    drawing.path("hh", &hatched);
    for (x, y, word, strong) in words.iter().filter(|w| !w.2.is_empty()) {
        drawing.text(if *strong { "t m w" } else { "t m k" }, *x, *y, word);
    }
    // no larger than text beside it: small maps are not blown up
    drawing.finish().replacen("<svg ", &format!("<svg class=\"map\" style=\"max-width:{}px\" ", At(width * 1.15)), 1)
}

/// Cut to so many characters, plain.
fn plain(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_string() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests;
