//! Tables without lines, as systemctl prints them: only the last column, which is text, is ever
//! broken; names never are.

use unicode_width::UnicodeWidthStr;

/// Between two columns.
const GAP: usize = 2;
/// The least room in which text is worth reading; with less it goes below its row.
const TEXT_WIDTH_MIN: usize = 20;
/// How far text below its row stands to the right.
const BELOW: usize = 4;

/// Returns the table, for a terminal of so many columns if that is known.
pub(super) fn layout(head: &[&str], rows: &[Vec<String>], width: Option<usize>) -> String {
    let Some(last) = head.len().checked_sub(1) else { return String::new() };
    let head: Vec<String> = head.iter().map(|&word| word.to_owned()).collect();
    let lines = || std::iter::once(&head).chain(rows);
    let cell = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |it| it.width());
    let widest = |column| lines().map(|row| cell(row, column)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..last).map(widest).collect();
    let before: usize = widths.iter().map(|width| width + GAP).sum();
    let place = match width {
        None => Text::Whole,
        Some(width) if before + widest(last) <= width => Text::Whole,
        Some(width) if before + TEXT_WIDTH_MIN <= width => Text::Beside(width - before),
        Some(width) => Text::Below(width.saturating_sub(BELOW)),
    };
    let mut text = String::new();
    for row in lines() {
        let mut line = String::new();
        for (column, width) in widths.iter().enumerate() {
            let cell = row.get(column).map_or("", String::as_str);
            line.push_str(cell);
            line.push_str(&" ".repeat(width - cell.width() + GAP));
        }
        let last = row.get(last).map_or("", String::as_str);
        let (room, indent) = match place {
            Text::Whole => (usize::MAX, before),
            Text::Beside(room) => (room, before),
            Text::Below(room) => {
                text.push_str(line.trim_end());
                text.push('\n');
                if last.is_empty() {
                    continue;
                }
                line = " ".repeat(BELOW);
                (room, BELOW)
            }
        };
        for part in wrap(last, room) {
            line.push_str(&part);
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(indent);
        }
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// Where the last column's text goes.
#[derive(Clone, Copy)]
enum Text {
    Whole,
    /// In so many columns at the end of the row.
    Beside(usize),
    /// In so many columns below it.
    Below(usize),
}

/// Breaks text between words; a word that is longer than the room stays whole.
fn wrap(text: &str, room: usize) -> Vec<String> {
    if text.width() <= room {
        return vec![text.to_owned()];
    }
    let mut parts = vec![String::new()];
    for word in text.split(' ') {
        let full = parts
            .last()
            .is_some_and(|it| !it.is_empty() && it.width().saturating_add(1 + word.width()) > room);
        if full {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            if !part.is_empty() {
                part.push(' ');
            }
            part.push_str(word);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    //! Tests of narrow, wide and unknown terminals.

    use super::*;

    const HEAD: [&str; 3] = ["UNIT", "ACTIVE", "DESCRIPTION OR REASON"];

    fn rows() -> Vec<Vec<String>> {
        let row = |unit: &str, text: &str| vec![unit.into(), "active".into(), text.into()];
        vec![
            row("announced.service", "Says where it is, so that others find it"),
            row("a.service", ""),
            row("b.service", "no-place-to-break-this-one"),
        ]
    }

    #[test]
    fn without_a_width_each_row_is_one_line() {
        let wanted = "\
UNIT               ACTIVE  DESCRIPTION OR REASON
announced.service  active  Says where it is, so that others find it
a.service          active
b.service          active  no-place-to-break-this-one";
        assert_eq!(layout(&HEAD, &rows(), None), wanted);
        assert_eq!(layout(&HEAD, &rows(), Some(80)), wanted);
    }

    #[test]
    fn only_text_is_broken_and_only_between_words() {
        let wanted = "\
UNIT               ACTIVE  DESCRIPTION OR REASON
announced.service  active  Says where it is, so
                           that others find it
a.service          active
b.service          active  no-place-to-break-this-one";
        assert_eq!(layout(&HEAD, &rows(), Some(48)), wanted);
    }

    #[test]
    fn with_no_room_beside_them_text_goes_below_the_names() {
        let wanted = "\
UNIT               ACTIVE
    DESCRIPTION OR REASON
announced.service  active
    Says where it is, so that
    others find it
a.service          active
b.service          active
    no-place-to-break-this-one";
        assert_eq!(layout(&HEAD, &rows(), Some(30)), wanted);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = vec![vec!["漢字".to_owned(), "x".to_owned()]];
        assert_eq!(layout(&["ABCDE", "Y"], &rows, Some(80)), "ABCDE  Y\n漢字   x");
        assert_eq!(layout(&[], &[], None), "");
    }
}
