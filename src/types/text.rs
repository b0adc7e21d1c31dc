//! Texts from outside.

/// Longest comment, name or id that is kept, bytes.
const LONGEST: usize = 1_000;

/// A text that somebody has typed, as one line: what would begin another line in a log or a list, or steers a terminal, is a space. Cut
/// to 1,000 bytes.
pub fn one_line(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(LONGEST)];
    cut.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_begins_another_line() {
        assert_eq!(one_line("worn\nWARN refused: by eva\r\x1b[31m\0\u{2028}ü"), "worn WARN refused: by eva  [31m  ü");
        let long = "ü".repeat(LONGEST);
        assert_eq!(one_line(&long).len(), LONGEST);
    }
}
