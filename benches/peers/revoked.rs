//! Revocation under load, in a process of its own; only Testudo has it.

use serde_json::Value;

use crate::child::{Abandoned, Child, part};
use crate::output::{Column, Row};
use crate::works::Shown;
use crate::{Done, core_of_it, output};

pub(crate) const PART: &str = "testudo-revocation";

/// The part: so many agents are revoked.
pub(crate) async fn run(revocations: &str) -> Done {
    output::say(&core_of_it::measure(revocations.parse()?).await?.json().to_string());
    Ok(())
}

/// The rows: what a revocation takes, what starts after it, who gets something after it.
pub(crate) async fn measure(revocations: usize) -> Vec<Row> {
    let less = |unit| Shown { unit, more_is_better: false };
    let of = |name: &str, unit| Row::new((format!("revocation under load, {name}"), less(unit)));
    let mut rows = vec![
        of("return, p50", "ms"),
        of("return, p99", "ms"),
        of("last handler start after it, p99", "ms"),
        of("agents heard after it", "agents"),
    ];
    let figures = figures(revocations).await;
    let paths = [
        "/return_ms/p50",
        "/return_ms/p99",
        "/last_handler_start_after_return_ms/p99",
        "/agents_with_anything_handed_over_after_return",
    ];
    for (row, path) in rows.iter_mut().zip(paths) {
        match &figures {
            Ok(figures) => match figures.pointer(path).and_then(Value::as_f64) {
                Some(value) => row.add(Column::Testudo, value),
                None => drop(row.faults.insert(Column::Testudo, format!("no figure at {path}"))),
            },
            Err(fault) => drop(row.faults.insert(Column::Testudo, fault.to_string())),
        }
    }
    rows
}

async fn figures(revocations: usize) -> Done<Value> {
    let command = part(&[PART, &revocations.to_string()])?;
    let mut child = Child::start("revocation", command, Abandoned::Killed)?;
    let figures = child.hear().await?;
    child.end().await?;
    Ok(figures)
}
