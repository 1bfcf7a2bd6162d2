//! The picture and the page of a run: how many times as good as NATS with mutual TLS, row by row.

use std::fmt::Write as _;
use std::path::Path;

use plotters::prelude::{
    BLACK, Color as _, IntoDrawingArea as _, PathElement, RGBColor, Rectangle, SVGBackend, ShapeStyle, Text,
    WHITE,
};
use plotters::style::IntoFont as _;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::output::{Column, Report, Row, figure};
use crate::{Done, Fault};

/// Names of the files, in the folder that is asked for.
pub(crate) const PAGE: &str = "benchmarks.md";
pub(crate) const PICTURE: &str = "benchmarks.svg";

const WIDTH: u32 = 960;
/// Where names end and bars begin, and where bars end.
const LEFT: i32 = 330;
const RIGHT: i32 = 880;
const TOP: i32 = 70;
const BAR: i32 = 12;
const GAP: i32 = 12;
/// The scale, in powers of two of what NATS does.
const LEAST: f64 = -6.0;
const MOST: f64 = 4.0;

const fn colour(column: Column) -> RGBColor {
    match column {
        Column::Testudo => RGBColor(0x1b, 0x6e, 0x53),
        Column::Nats => RGBColor(0x88, 0x88, 0x88),
        Column::NatsSigned => RGBColor(0xc7, 0x7d, 0x2e),
        Column::Raw => RGBColor(0x9d, 0xb8, 0xd2),
    }
}

/// How many times as good as NATS: for times and costs the other way round.
fn goodness(row: &Row, column: Column) -> Option<f64> {
    let (value, nats) = (row.spread(column)?.median, row.spread(Column::Nats)?.median);
    let ratio = if row.shown.more_is_better { value / nats } else { nats / value };
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

fn across(ratio: f64) -> i32 {
    let share = (ratio.log2().clamp(LEAST, MOST) - LEAST) / (MOST - LEAST);
    LEFT + (share * f64::from(RIGHT - LEFT)).round() as i32
}

const SHOWN: [Column; 3] = [Column::Testudo, Column::NatsSigned, Column::Raw];

/// The picture.
pub(crate) fn svg(report: &Report) -> Done<String> {
    let rows: Vec<_> = report.rows.iter().filter(|row| goodness(row, Column::Testudo).is_some()).collect();
    let bars = |row: &&Row| SHOWN.iter().filter(|column| goodness(row, **column).is_some()).count();
    let height: i32 = rows.iter().map(|row| bars(row) as i32 * BAR + GAP).sum::<i32>() + TOP + 40;
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, (WIDTH, height.unsigned_abs())).into_drawing_area();
        area.fill(&WHITE).map_err(fault)?;
        let text = |at: (i32, i32), words: &str, size: u32, right: bool| {
            let side = if right { HPos::Right } else { HPos::Left };
            let style = ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(side, VPos::Center));
            area.draw(&Text::new(words.to_owned(), at, style)).map_err(fault)
        };
        text(
            (16, 20),
            "Times as good as NATS with mutual TLS, in the same run (to the right is better)",
            15,
            false,
        )?;
        let mut x = 16;
        for column in SHOWN {
            area.draw(&Rectangle::new([(x, 36), (x + 12, 48)], colour(column).filled())).map_err(fault)?;
            text((x + 18, 42), column.name(), 14, false)?;
            x += 120;
        }
        for power in (LEAST as i32..=MOST as i32).step_by(2) {
            let x = across(f64::from(power).exp2());
            let style: ShapeStyle =
                if power == 0 { BLACK.stroke_width(2) } else { BLACK.mix(0.15).stroke_width(1) };
            area.draw(&PathElement::new(vec![(x, TOP - 4), (x, height - 30)], style)).map_err(fault)?;
            let words = if power < 0 { format!("1/{}", 1 << -power) } else { format!("{}", 1 << power) };
            text((x - 4, height - 18), &words, 13, false)?;
        }
        let mut y = TOP;
        for row in rows {
            let top = y;
            for column in SHOWN {
                let Some(ratio) = goodness(row, column) else { continue };
                let (one, to) = (across(1.0), across(ratio));
                let bar = [(one.min(to), y), (one.max(to).max(one.min(to) + 1), y + BAR - 2)];
                area.draw(&Rectangle::new(bar, colour(column).filled())).map_err(fault)?;
                if column == Column::Testudo {
                    text((RIGHT + 8, y + BAR / 2), &format!("{} x", figure(ratio)), 13, false)?;
                }
                y += BAR;
            }
            text((LEFT - 10, top + (y - top) / 2), &row.name, 14, true)?;
            y += GAP;
        }
        area.present().map_err(fault)?;
    }
    Ok(picture)
}

fn fault(error: impl std::error::Error) -> Fault {
    error.to_string().into()
}

/// The page: when, with what, how, and the table.
pub(crate) fn page(report: &Report) -> String {
    // Writing to a string cannot fail.
    let mut text = format!(
        "# Benchmarks\n\nMade by `{}`; do not edit. What each row is: [performance.md](performance.md). Median \
         (min..max) of {} interleaved rounds.\n\n",
        report.command, report.rounds
    );
    for (what, words) in &report.about {
        let _ = writeln!(text, "- {what}: {words}");
    }
    let _ = writeln!(text, "\n![Testudo beside NATS]({PICTURE})\n");
    let mut head = vec!["work".to_owned()];
    head.extend(Column::ALL.map(|column| column.name().to_owned()));
    head.extend(["unit".to_owned(), "Testudo / NATS mTLS".to_owned()]);
    let _ = writeln!(text, "| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()));
    for cells in report.cells() {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    let faults = report.faults();
    if !faults.is_empty() {
        let _ = writeln!(text, "\n(!) What failed:\n");
    }
    for fault in faults {
        let _ = writeln!(text, "- {fault}");
    }
    text
}

/// Writes page and picture into a folder.
pub(crate) fn write(report: &Report, folder: &Path) -> Done {
    let write = |name: &str, text: String| {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
    };
    write(PICTURE, svg(report)?)?;
    Ok(write(PAGE, page(report))?)
}
