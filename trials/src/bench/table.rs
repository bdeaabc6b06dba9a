//! What a measurement gave, as a table that reads the same in a terminal and in Markdown.

use std::fmt::Write as _;

/// One part of the benchmark: a table of measurements, or why there is none.
pub(super) struct Section {
    /// What was measured.
    pub(super) title: &'static str,
    /// With what `pipeline` was compared.
    pub(super) other: &'static str,
    /// The measurements.
    pub(super) rows: Vec<Row>,
    /// What else a reader has to know to judge them.
    pub(super) notes: Vec<String>,
    /// Why it was not measured.
    pub(super) missing: Option<String>,
}

impl Section {
    /// A section with nothing in it.
    pub(super) fn new(title: &'static str, other: &'static str) -> Self {
        Self { title, other, rows: Vec::new(), notes: Vec::new(), missing: None }
    }

    /// As Markdown, with columns padded so that it can be read as it is.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("### {}\n", self.title);
        if let Some(reason) = &self.missing {
            let _ = writeln!(text, "\nNot measured: {reason}");
            return text;
        }
        let header = ["", "pipeline", self.other, "result", "target", ""].map(str::to_owned);
        let cells: Vec<_> = std::iter::once(header).chain(self.rows.iter().map(Row::cells)).collect();
        let widths: [usize; 6] = std::array::from_fn(|column| {
            cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3)
        });
        text.push('\n');
        for (number, row) in cells.iter().enumerate() {
            line(&mut text, row, widths);
            if number == 0 {
                line(&mut text, &widths.map(|width| "-".repeat(width)), widths);
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{note}");
        }
        text
    }
}

fn line(text: &mut String, cells: &[String; 6], widths: [usize; 6]) {
    text.push('|');
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(text, " {cell:width$} |");
    }
    text.push('\n');
}

/// One measurement of both sides.
pub(super) struct Row {
    what: String,
    ours: String,
    theirs: String,
    judged: Option<Judged>,
}

struct Judged {
    result: String,
    target: String,
    met: bool,
}

/// What a number should be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Bound {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Below(limit) => value < limit,
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}{unit}"),
            Self::AtMost(most) => format!("≤ {most}{unit}"),
            Self::Below(limit) => format!("< {limit}{unit}"),
        }
    }
}

/// A side that has no such number.
pub(super) const NONE: &str = "–";

impl Row {
    /// Numbers that have no target.
    pub(super) fn new(what: impl Into<String>, ours: impl Into<String>, theirs: impl Into<String>) -> Self {
        Self { what: what.into(), ours: ours.into(), theirs: theirs.into(), judged: None }
    }

    /// Says what came out, and what should have. The unit, such as ` ms` or `×`, follows both.
    pub(super) fn judged(mut self, value: f64, bound: Bound, unit: &str) -> Self {
        let result = format!("{}{unit}", figures(value));
        self.judged = Some(Judged { result, target: bound.text(unit), met: bound.met(value) });
        self
    }

    fn cells(&self) -> [String; 6] {
        let judged = self.judged.as_ref();
        let verdict = |judged: &Judged| if judged.met { "met" } else { "**missed**" }.to_owned();
        [
            self.what.clone(),
            self.ours.clone(),
            self.theirs.clone(),
            judged.map(|judged| judged.result.clone()).unwrap_or_default(),
            judged.map(|judged| judged.target.clone()).unwrap_or_default(),
            judged.map(verdict).unwrap_or_default(),
        ]
    }
}

/// A number with as many decimals as say something.
pub(super) fn figures(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The middle of `values`; of an even number, the mean of the two in the middle. 0 for none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match (sorted.get(half), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(middle), 1) => *middle,
        (Some(upper), _) => f64::midpoint(sorted[half - 1], *upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([]), 0.0);
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_table_shows_what_was_met_and_what_was_missed() {
        let mut section = Section::new("Load balancer", "haproxy");
        section.rows.push(Row::new("requests/s", "30000", "40000").judged(0.75, Bound::AtLeast(0.6), "×"));
        section.rows.push(Row::new("p99", "9 ms", "3 ms").judged(3.0, Bound::AtMost(2.0), "×"));
        section.rows.push(Row::new("app alone", NONE, NONE));
        section.notes.push("A note.".into());
        let wanted = "\
### Load balancer

|            | pipeline | haproxy | result | target |            |
| ---------- | -------- | ------- | ------ | ------ | ---------- |
| requests/s | 30000    | 40000   | 0.75×  | ≥ 0.6× | met        |
| p99        | 9 ms     | 3 ms    | 3.00×  | ≤ 2×   | **missed** |
| app alone  | –        | –       |        |        |            |

A note.
";
        assert_eq!(section.markdown(), wanted);
    }
}
