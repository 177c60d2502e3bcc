//! The tables: one a case, one for start-up, one for pilot. A row is a figure, a column is a proxy.

use comfy_table::{Table, presets};

use super::Report;
use crate::accounting::Memory;
use crate::contender::Proxy;
use crate::convergence::{Changes, Pilot};
use crate::measure::{CaseReport, CaseResult, Figures};
use crate::spread::Spread;
use crate::startup::{Start, Started};

/// Every table of a report.
pub(super) fn all(report: &Report) -> Vec<String> {
    let start = report.start.iter().map(start_table);
    let cases = report.cases.iter().map(case_table);
    let pilot = report.pilot.iter().filter_map(pilot_table);
    start.chain(cases).chain(pilot).collect()
}

/// One proxy's figures, or the word that stands in for them.
type Column<'a, T> = (Proxy, Result<&'a T, &'static str>);

fn start_table(start: &Start) -> String {
    let columns: Vec<Column<'_, Started>> = start
        .entries
        .iter()
        .map(|entry| (entry.proxy, entry.result.as_ref().map_err(|_| "failed")))
        .collect();
    let mut table = table("start", &columns);
    row(&mut table, "first answer, ms", &columns, 1, |started| {
        Some(started.first_answer.clone())
    });
    let idle = format!("RSS after {} s, MiB", start.settled_after);
    row(&mut table, &idle, &columns, 1, |started| {
        mebibytes(started.idle).map(|(rss, _)| rss)
    });
    let idle = format!("PSS after {} s, MiB", start.settled_after);
    row(&mut table, &idle, &columns, 1, |started| {
        mebibytes(started.idle).map(|(_, pss)| pss)
    });
    format!("{table}\n")
}

fn case_table(report: &CaseReport) -> String {
    let columns: Vec<Column<'_, Figures>> = report
        .entries
        .iter()
        .map(|entry| {
            let figures = match &entry.result {
                CaseResult::Measured(figures) => Ok(&**figures),
                CaseResult::Unable(_) => Err("n/a"),
                CaseResult::Failed(_) => Err("failed"),
            };
            (entry.proxy, figures)
        })
        .collect();
    let mut table = table(report.case.title(), &columns);
    row(&mut table, "CPU, µs/request", &columns, 1, |figures| {
        Some(figures.cpu.clone())
    });
    row(&mut table, "requests/s", &columns, 0, |figures| {
        Some(figures.rate.clone())
    });
    row(&mut table, "core busy, %", &columns, 0, |figures| {
        Some(figures.busy.clone())
    });
    row(&mut table, "RSS loaded, MiB", &columns, 1, |figures| {
        mebibytes(figures.loaded).map(|(rss, _)| rss)
    });
    let at = report
        .rate
        .map_or_else(String::new, |rate| format!(" at {rate:.0}/s"));
    row(&mut table, &format!("p50{at}, µs"), &columns, 0, |figures| {
        Some(figures.p50.clone())
    });
    row(&mut table, &format!("p99{at}, µs"), &columns, 0, |figures| {
        Some(figures.p99.clone())
    });
    row(
        &mut table,
        &format!("CPU{at}, µs/request"),
        &columns,
        1,
        |figures| Some(figures.open_cpu.clone()),
    );
    let mut text = format!("{table}\n");
    for entry in &report.entries {
        let unable = match &entry.result {
            CaseResult::Unable(why) => Some(why.as_str()),
            CaseResult::Measured(_) | CaseResult::Failed(_) => None,
        };
        for note in entry.note.into_iter().chain(unable) {
            text.push_str(&format!("{}: {note}\n", entry.proxy.title()));
        }
    }
    text
}

fn pilot_table(pilot: &Pilot) -> Option<String> {
    let found = pilot.result.as_ref().ok()?;
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["pilot", &clients(&found.one), &clients(&found.many)]);
    let mut line = |what: &str, digits: usize, figure: fn(&Changes) -> f64| {
        let cell = |changes| format!("{:.digits$}", figure(changes));
        table.add_row([what.to_owned(), cell(&found.one), cell(&found.many)]);
    };
    line("rule to the last client, p50 ms", 1, |changes| {
        changes.last.median()
    });
    line("rule to the last client, p99 ms", 1, |changes| changes.last.p99());
    line("create, p50 ms", 1, |changes| changes.create.median());
    line("bytes a client and change", 0, |changes| changes.bytes);
    line("CPU of the control plane a change, ms", 1, |changes| changes.cpu);
    line("RSS of the control plane, MiB", 1, |changes| {
        changes.memory.rss as f64 / f64::from(1 << 20)
    });
    Some(format!("{table}\n"))
}

fn clients(changes: &Changes) -> String {
    format!(
        "{} client{}",
        changes.clients,
        if changes.clients == 1 { "" } else { "s" }
    )
}

fn table<T>(title: &str, columns: &[Column<'_, T>]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let mut header = vec![title.to_owned()];
    header.extend(columns.iter().map(|(proxy, _)| proxy.title().to_owned()));
    header.extend(peers(columns).map(|(peer, _)| format!("ours/{}", peer.title())));
    table.set_header(header);
    table
}

/// The columns with which ours is compared; none when ours is not there.
fn peers<'c, 'f, T>(columns: &'c [Column<'f, T>]) -> impl Iterator<Item = &'c Column<'f, T>> {
    let ours = columns.iter().any(|(proxy, _)| *proxy == Proxy::Outrigger);
    columns
        .iter()
        .filter(move |(proxy, _)| ours && *proxy != Proxy::Outrigger)
}

fn row<T>(
    table: &mut Table,
    what: &str,
    columns: &[Column<'_, T>],
    digits: usize,
    figure: impl Fn(&T) -> Option<Spread>,
) {
    let of = |column: &Column<'_, T>| column.1.ok().and_then(&figure);
    let mut cells = vec![what.to_owned()];
    for column in columns {
        cells.push(match (of(column), &column.1) {
            (Some(spread), _) => cell(&spread, digits),
            (None, Err(word)) => (*word).to_owned(),
            (None, Ok(_)) => "-".to_owned(),
        });
    }
    let ours = columns
        .iter()
        .find(|(proxy, _)| *proxy == Proxy::Outrigger)
        .and_then(of);
    for peer in peers(columns) {
        let ratio = ours
            .as_ref()
            .zip(of(peer))
            .map(|(ours, theirs)| ours.ratio(&theirs));
        cells.push(ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")));
    }
    table.add_row(cells);
}

fn cell(spread: &Spread, digits: usize) -> String {
    let (median, least, most) = (spread.median(), spread.least(), spread.most());
    if least == most {
        return format!("{median:.digits$}");
    }
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}

/// RSS and PSS in MiB.
fn mebibytes(memory: Memory) -> Option<(Spread, Spread)> {
    let scale = |bytes: u64| Spread::of([bytes as f64 / f64::from(1 << 20)]);
    Some((scale(memory.rss)?, scale(memory.pss)?))
}
