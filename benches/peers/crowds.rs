//! What many agents cost a bus that does nothing for them: their links, their return, and the messages of others
//! beside them. A bus of its own for each peer, one peer after the other.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::child::Child;
use crate::output::{Column, Row};
use crate::role::wall_us;
use crate::works::{Bus, Kind, Pair, Posted, Shape, Shown};
use crate::{Done, limits, start};

/// Agents of the small swarm, sender and receiver among them.
const FEW: usize = 10;
/// Memory is read when a bus has had so long to settle.
const SETTLE: Duration = Duration::from_secs(3);

/// How many agents, and how often.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) agents: usize,
    pub(crate) storms: usize,
    pub(crate) rounds: usize,
    pub(crate) messages: u32,
}

const REGISTERED: usize = 0;
const LINKED: usize = 1;
const GATHERED: usize = 2;
const MEMORY: usize = 3;
const STORM: usize = 4;

/// The rows, in the order of their places above.
pub(crate) fn rows(agents: usize) -> Vec<Row> {
    let less = |unit| Shown { unit, more_is_better: false };
    let rows = [
        (format!("cost of a message, {FEW} -> {agents} registered"), less("times")),
        (format!("cost of a message, {FEW} -> {agents} linked"), less("times")),
        (format!("first links of {agents} agents"), less("s")),
        (format!("memory of an idle link, {agents} links"), less("KiB")),
        (format!("all {agents} back after a restart"), less("s")),
    ];
    rows.map(Row::new).into()
}

/// Whether this row says something of this peer: NATS and the relay register nobody.
fn is_for(row: usize, column: Column) -> bool {
    match column {
        Column::Testudo => true,
        Column::Nats | Column::Raw => row != REGISTERED,
        Column::NatsSigned => false,
    }
}

/// Fills the rows for one peer. What fails is said in the rows that it leaves empty.
pub(crate) async fn measure(column: Column, folder: &Path, size: Size, rows: &mut [Row]) {
    if let Err(fault) = fill(column, folder, size, rows).await {
        for (at, row) in rows.iter_mut().enumerate() {
            if is_for(at, column) && !row.cells.contains_key(&column) {
                row.faults.insert(column, fault.to_string());
            }
        }
    }
}

async fn fill(column: Column, folder: &Path, size: Size, rows: &mut [Row]) -> Done {
    limits::raise(size.agents)?;
    let few = start(column, folder.join(format!("{column:?}-few"))).await?;
    if let Kind::Testudo(swarm) = &few.kind {
        swarm.fill(FEW).await?;
    }
    let mut many = start(column, folder.join(format!("{column:?}-many"))).await?;
    let mut crowd = many.crowd(size.agents).await?;
    let mut pairs = (few.pair(Shape::One, false).await?, many.pair(Shape::One, false).await?);
    if is_for(REGISTERED, column) {
        grow(column, &mut rows[REGISTERED], (&few, &many), &mut pairs, size).await?;
    }
    let before = memory(&many.child).await?;
    crowd.tell(&json!("gather")).await?;
    let seconds = serde_json::from_value(crowd.hear().await?["seconds"].take())?;
    rows[GATHERED].add(column, seconds);
    rows[MEMORY].add(column, (memory(&many.child).await? - before) / size.agents as f64);
    grow(column, &mut rows[LINKED], (&few, &many), &mut pairs, size).await?;
    pairs.0.end().await?;
    pairs.1.end().await?;
    for _ in 0..size.storms {
        crowd.tell(&json!("mark")).await?;
        crowd.hear().await?;
        many = many.restart().await?;
        let began = wall_us()?;
        crowd.tell(&json!("back")).await?;
        let ended: u64 = serde_json::from_value(crowd.hear().await?["ended"].take())?;
        rows[STORM].add(column, ended.saturating_sub(began) as f64 / 1e6);
    }
    crowd.end().await?;
    few.child.end().await?;
    many.child.end().await
}

async fn memory(bus: &Child) -> Done<f64> {
    sleep(SETTLE).await;
    Ok(bus.memory_kib().ok_or("the system does not tell how much memory a process has")?)
}

/// What a message costs the bus with many, as a multiple of what it costs the one with few.
async fn grow(
    column: Column,
    row: &mut Row,
    (few, many): (&Bus, &Bus),
    pairs: &mut (Pair, Pair),
    size: Size,
) -> Done {
    for round in 0..=size.rounds {
        let small = pairs.0.cost(&few.child, Posted::new(size.messages)).await?;
        let large = pairs.1.cost(&many.child, Posted::new(size.messages)).await?;
        // The first warms up.
        if round > 0 && small > 0.0 {
            row.add(column, large / small);
        }
    }
    Ok(())
}
