//! `testudo top`: a running node as it works, and its agents, the busiest first.

mod rates;
mod screen;

use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use testudo::operator::{Answer, Request, Status};
use tokio::time::{Instant, sleep_until};

use super::node::word;
use super::through::{Asking, Through, unexpected};
use super::{CliError, Done, Reader, interrupted, plain, try_say};
use rates::{FLOW, Order, Rates};
use screen::{Screen, Wish};

/// The first look is followed by the second after so long at most: nobody waits for the first rates.
const SOON: Duration = Duration::from_millis(250);
/// Rows that are no agent's: four of the node's, a blank one, the table's head and rules, the last line.
const ROWS_ELSE: usize = 10;
const KEYS: &str = "q quit   order by: m messages  r refused  w waiting  n name";

/// A running node and its agents, as they work.
#[derive(Args, Debug)]
pub(super) struct Top {
    #[command(flatten)]
    through: Through,
    /// Look again after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    every: Duration,
    /// End after so many looks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// One JSON object for each look, a line each
    #[arg(long)]
    json: bool,
}

/// From a tenth of a second to an hour.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3_600.0).contains(seconds));
    let seconds = seconds.ok_or("give seconds from 0.1 to 3600, such as 2 or 0.5")?;
    Ok(Duration::from_secs_f64(seconds))
}

impl Top {
    pub(super) fn run(self) -> Done {
        plain(async {
            let asking = self.through.asking().await?;
            let done = tokio::select! {
                done = self.watch(&asking) => done,
                _ = interrupted() => Ok(()),
            };
            asking.leave().await;
            done
        })
    }

    async fn watch(&self, asking: &Asking) -> Done {
        let mut before = look(asking).await?;
        let mut looked = Instant::now();
        let mut shown = if !self.json && std::io::stdout().is_terminal() {
            Shown::Whole(Box::new(Whole::open()?))
        } else {
            Shown::Lines { json: self.json }
        };
        let mut next = looked + self.every.min(SOON);
        let mut looks = 0;
        loop {
            let mut looking = pin!(async move {
                sleep_until(next).await;
                (look(asking).await, Instant::now())
            });
            // Keys count while the node is asked, too: it may take long, or not answer at all.
            let (now, at) = loop {
                tokio::select! {
                    looked = &mut looking => break looked,
                    wish = shown.wish() => if shown.heed(wish)? == Reader::Gone { return Ok(()) },
                }
            };
            next = at + self.every;
            let now = match now {
                Ok(now) => now,
                Err(error) => {
                    // Somebody who watches sees a node that is away come back.
                    shown.miss(error)?;
                    continue;
                }
            };
            let rates = Rates::between(&before, &now, at.saturating_duration_since(looked));
            (before, looked) = (now, at);
            looks += 1;
            if shown.take(rates)? == Reader::Gone || self.count == Some(looks) {
                return Ok(());
            }
        }
    }
}

async fn look(asking: &Asking) -> Result<Status, CliError> {
    let Answer::Status(status) = asking.ask(&Request::Status).await? else { return Err(unexpected()) };
    Ok(*status)
}

/// Where it is shown.
enum Shown {
    /// On a terminal, again and again in the same place.
    Whole(Box<Whole>),
    /// One look after the other.
    Lines { json: bool },
}

impl Shown {
    /// What somebody at the terminal wants; elsewhere nobody is asked.
    async fn wish(&mut self) -> Wish {
        match self {
            Self::Whole(whole) => whole.screen.wish().await,
            Self::Lines { .. } => std::future::pending().await,
        }
    }

    /// Does that. `Gone` if nobody wants to see more.
    fn heed(&mut self, wish: Wish) -> Result<Reader, CliError> {
        let Self::Whole(whole) = self else { return Ok(Reader::Here) };
        match wish {
            Wish::Quit => return Ok(Reader::Gone),
            Wish::Key(key) => whole.order = order_of(key).unwrap_or(whole.order),
            Wish::Redraw => {}
        }
        whole.draw()?;
        Ok(Reader::Here)
    }

    /// There was no answer. Whoever reads lines hears of it at once, and no more.
    fn miss(&mut self, error: CliError) -> Done {
        let Self::Whole(whole) = self else { return Err(error) };
        whole.amiss = Some(error.to_string());
        whole.draw()
    }

    /// Shows the newest.
    fn take(&mut self, mut newest: Rates) -> Result<Reader, CliError> {
        match self {
            Self::Whole(whole) => {
                (whole.rates, whole.amiss) = (Some(newest), None);
                whole.draw()?;
                Ok(Reader::Here)
            }
            Self::Lines { json } => {
                newest.sort(Order::default());
                let text = if *json {
                    serde_json::to_string(&newest)?
                } else {
                    let agents = newest.agents.len();
                    format!("{}\n{}\n", head(&newest).join("\n"), table(&newest, agents))
                };
                Ok(try_say(&text))
            }
        }
    }
}

/// A terminal, and what it shows.
struct Whole {
    screen: Screen,
    order: Order,
    rates: Option<Rates>,
    /// Why there is nothing newer.
    amiss: Option<String>,
}

impl Whole {
    fn open() -> std::io::Result<Self> {
        Ok(Self { screen: Screen::open()?, order: Order::default(), rates: None, amiss: None })
    }

    fn draw(&mut self) -> Done {
        let fit = Screen::rows().saturating_sub(ROWS_ELSE);
        let (mut lines, mut hidden) = (Vec::new(), 0);
        if let Some(rates) = &mut self.rates {
            rates.sort(self.order);
            lines = head(rates);
            lines.push(String::new());
            lines.extend(table(rates, fit).lines());
            hidden = rates.agents.len().saturating_sub(fit);
        }
        if let Some(amiss) = &self.amiss {
            lines.insert(0, format!("NO ANSWER: {amiss}"));
            lines.truncate(Screen::rows().saturating_sub(1));
        }
        lines.push(if hidden > 0 { format!("{hidden} more   {KEYS}") } else { KEYS.to_owned() });
        Ok(self.screen.show(&lines)?)
    }
}

const fn order_of(key: char) -> Option<Order> {
    match key {
        'm' => Some(Order::Messages),
        'r' => Some(Order::Refused),
        'w' => Some(Order::Waiting),
        'n' => Some(Order::Name),
        _ => None,
    }
}

/// The node, in lines that fit a terminal of 80 columns unless much is refused.
fn head(rates: &Rates) -> Vec<String> {
    let state = rates.state.map_or("-", word);
    let count = |key: &str| rates.waiting.get(key).copied().unwrap_or_default();
    let refusals: Vec<_> =
        rates.refused_a_second.iter().map(|(reason, rate)| format!("{reason} {}", figure(*rate))).collect();
    let refused = if refusals.is_empty() { "0".to_owned() } else { refusals.join(", ") };
    let flow = FLOW
        .map(|what| format!("{what} {}/s", figure(rates.a_second.get(what).copied().unwrap_or_default())));
    let (linked, queued, flying) = (rates.linked, count("queued"), count("in_flight"));
    vec![
        format!("{state}, {linked} agents linked, {queued} messages queued, {flying} in flight"),
        format!("audit records {}, {} not durable yet", rates.audit_records, rates.audit_waiting),
        flow.join(", "),
        format!("refused/s: {refused}"),
    ]
}

/// So many agents, each in a row.
fn table(rates: &Rates, fit: usize) -> Table {
    let mut table = Table::new();
    // What is too wide is cut off: a row that wrapped would push others out.
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["agent", "sends/s", "refused/s", "receives/s", "queued", "bytes", "owes answers"]);
    for agent in rates.agents.iter().take(fit) {
        table.add_row([
            agent.name.to_string(),
            figure(agent.allowed),
            figure(agent.refused),
            figure(agent.received),
            agent.waiting.queued_messages.to_string(),
            agent.waiting.queued_bytes.to_string(),
            agent.waiting.owes_answers.to_string(),
        ]);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// A rate for people: whole from ten on.
fn figure(rate: f64) -> String {
    if rate == 0.0 || rate >= 10.0 { format!("{rate:.0}") } else { format!("{rate:.1}") }
}
