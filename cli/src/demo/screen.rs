//! What the demo shows: commands as they are run, progress, and the tour's table.

use std::time::Duration;

use comfy_table::{Cell, Color, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};

use crate::demo::tour::Line;
use crate::failure::{Failure, tell};
use crate::output;

/// The demo's screen. Progress spins only on a terminal; with JSON output everything but the report goes to
/// standard error.
pub(crate) struct Screen {
    bar: ProgressBar,
    json: bool,
}

impl Screen {
    /// A screen; `json` keeps standard output for the report.
    pub(crate) fn new(json: bool) -> Screen {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg}") {
            bar.set_style(style);
        }
        Screen { bar, json }
    }

    /// Something begins that takes a while.
    pub(crate) fn begin(&self, what: &str) {
        if self.bar.is_hidden() {
            self.print(&format!("• {what}"));
        } else {
            self.bar.set_message(what.to_owned());
            self.bar.enable_steady_tick(Duration::from_millis(120));
        }
    }

    /// A command, as the user could type it.
    pub(crate) fn command(&self, line: &str) {
        let dim = anstyle::Style::new().dimmed();
        self.print(&format!("{dim}  ${dim:#} {line}"));
    }

    /// What a command said.
    pub(crate) fn said(&self, text: &str) {
        for line in text.lines() {
            self.print(&format!("    {line}"));
        }
    }

    /// One result of the tour.
    pub(crate) fn line(&self, line: &Line) {
        let (mark, color) = if line.holds {
            ("✓", anstyle::AnsiColor::Green)
        } else {
            ("✗", anstyle::AnsiColor::Red)
        };
        let style = color.on_default();
        self.print(&format!(
            "  {style}{mark}{style:#} {}  →  {}",
            line.expected, line.seen
        ));
    }

    /// A line of plain text.
    pub(crate) fn print(&self, text: &str) {
        self.bar.suspend(|| {
            if self.json {
                tell(text);
            } else {
                // What cannot be shown does not stop the mesh; the report at its end must be printed whole.
                let _ = output::line(text);
            }
        });
    }

    /// Nothing is in progress any more.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// The report: a table `step | expected | seen`, or JSON.
    pub(crate) fn report(&self, report: &[Line]) -> Result<(), Failure> {
        self.end();
        if self.json {
            return output::line(output::json(&report)?);
        }
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["rules", "step", "expected", "seen", ""]);
        for line in report {
            let (mark, color) = if line.holds {
                ("ok", Color::Green)
            } else {
                ("WRONG", Color::Red)
            };
            table.add_row([
                Cell::new(&line.generation),
                Cell::new(&line.step),
                Cell::new(&line.expected),
                Cell::new(&line.seen),
                Cell::new(mark).fg(color),
            ]);
        }
        let wrong = report.iter().filter(|line| !line.holds).count();
        let passed = report.len() - wrong;
        output::line(format_args!("{table}\n{passed} passed, {wrong} failed"))
    }
}
