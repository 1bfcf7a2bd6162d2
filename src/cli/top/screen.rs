//! A terminal that is taken whole, and given back whatever happens. Knows lines of text, and nothing of what they say.

use std::io::{self, Stdout, Write as _};

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, queue, style};
use futures_util::StreamExt as _;

/// The terminal, until dropped.
pub(super) struct Screen {
    out: Stdout,
    events: EventStream,
}

/// What somebody wants of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    Quit,
    /// Another size, or another look at the same.
    Redraw,
    Key(char),
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn open() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        // From here on what is taken is given back.
        let mut screen = Self { out: io::stdout(), events: EventStream::new() };
        execute!(screen.out, EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    /// Columns and rows; of a terminal that does not know, what most have.
    fn size() -> (usize, usize) {
        let size = terminal::size().ok().filter(|(columns, rows)| *columns > 0 && *rows > 0);
        let (columns, rows) = size.unwrap_or((80, 24));
        (usize::from(columns), usize::from(rows))
    }

    /// How many lines fit.
    pub(super) fn rows() -> usize {
        Self::size().1
    }

    /// Shows lines, from the top; those that do not fit are not shown.
    pub(super) fn show(&mut self, lines: &[String]) -> io::Result<()> {
        let (columns, rows) = Self::size();
        queue!(self.out, terminal::BeginSynchronizedUpdate)?;
        for (row, line) in lines.iter().take(rows).enumerate() {
            let line = line.chars().take(columns).collect::<String>();
            let row = u16::try_from(row).unwrap_or(u16::MAX);
            queue!(self.out, cursor::MoveTo(0, row), style::Print(line), Clear(ClearType::UntilNewLine))?;
        }
        queue!(self.out, Clear(ClearType::FromCursorDown), terminal::EndSynchronizedUpdate)?;
        self.out.flush()
    }

    /// The next thing that somebody wants.
    pub(super) async fn wish(&mut self) -> Wish {
        loop {
            match self.events.next().await {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => return wish_of(key),
                Some(Ok(Event::Resize(..))) => return Wish::Redraw,
                Some(Ok(_)) => {}
                // Nobody is there any more.
                Some(Err(_)) | None => return Wish::Quit,
            }
        }
    }
}

fn wish_of(key: KeyEvent) -> Wish {
    let held = key.modifiers.contains(KeyModifiers::CONTROL);
    if let KeyCode::Esc | KeyCode::Char('q') = key.code {
        return Wish::Quit;
    }
    let KeyCode::Char(c) = key.code else { return Wish::Redraw };
    if held && matches!(c, 'c' | 'd') { Wish::Quit } else { Wish::Key(c) }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // What fails here has nobody to be told to.
        let _ = execute!(self.out, cursor::Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}
