//! How things look: the terminal's own 16 colours, or none; bars and charts of block characters.
//!
//! Nothing is said by colour alone.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Borders, Padding};

/// A cell is filled by eighths, from below.
const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// What stands where the leader changed.
const MARK: &str = "┊";

/// The styles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sheet {
    pub(super) colors: bool,
}

impl Sheet {
    fn color(self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn title(self) -> Style {
        self.color(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(super) fn soft(self) -> Style {
        if self.colors {
            Style::new().fg(Color::DarkGray)
        } else {
            Style::new().add_modifier(Modifier::DIM)
        }
    }

    #[allow(clippy::unused_self, reason = "asked for like the others")]
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn good(self) -> Style {
        self.color(Color::Green)
    }

    pub(super) fn warn(self) -> Style {
        self.color(Color::Yellow)
    }

    pub(super) fn calm(self) -> Style {
        self.color(Color::Blue)
    }

    pub(super) fn bad(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What must not be overlooked.
    pub(super) fn alarm(self) -> Style {
        if self.colors {
            Style::new().fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
        }
    }

    pub(super) fn mark(self) -> Style {
        self.color(Color::Magenta)
    }

    /// The frame of a part of the screen: a rule with a title, or a box where there is room.
    pub(super) fn block(self, title: &str, more: &str, boxed: Boxed) -> Block<'static> {
        let mut words = vec![Span::styled(format!(" {title} "), self.title())];
        if !more.is_empty() {
            words.push(Span::styled(format!("{more} "), self.soft()));
        }
        let borders = match boxed {
            Boxed::Rule => Borders::TOP,
            Boxed::Whole => Borders::ALL,
        };
        Block::new()
            .borders(borders)
            .border_type(BorderType::Rounded)
            .border_style(self.soft())
            .title(Line::from(words))
            .padding(Padding::horizontal(1))
    }
}

/// What frames a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boxed {
    Rule,
    Whole,
}

/// A chart of columns: what it shows, the value that fills it, and where the leader changed.
pub(super) struct Chart<'a> {
    pub(super) columns: &'a [Option<f64>],
    pub(super) top: f64,
    pub(super) marks: &'a [bool],
    pub(super) style: Style,
    pub(super) mark: Style,
}

impl Chart<'_> {
    /// Draws it, the newest column at the right edge.
    pub(super) fn draw(&self, area: Rect, buffer: &mut Buffer) {
        let width = usize::from(area.width);
        let skip = self.columns.len().saturating_sub(width);
        let marks = self.marks.iter().chain(std::iter::repeat(&false));
        for (x, (value, mark)) in (area.left()..).zip(self.columns.iter().zip(marks).skip(skip)) {
            let eighths = self.eighths(*value, area.height);
            for row in 0..area.height {
                let y = area.bottom() - 1 - row;
                let filled = eighths.saturating_sub(usize::from(row) * 8).min(8);
                let cell = &mut buffer[(x, y)];
                match (filled, mark) {
                    (0, true) => cell.set_symbol(MARK).set_style(self.mark),
                    (_, true) => cell.set_symbol(EIGHTHS[filled]).set_style(self.mark),
                    (_, false) => cell.set_symbol(EIGHTHS[filled]).set_style(self.style),
                };
            }
        }
    }

    /// Whatever is there is seen, however little it is.
    #[allow(clippy::cast_sign_loss, reason = "no value is below zero")]
    fn eighths(&self, value: Option<f64>, height: u16) -> usize {
        let Some(value) = value.filter(|value| *value > 0.0) else { return 0 };
        let part = (value / self.top.max(f64::MIN_POSITIVE)).min(1.0);
        ((part * f64::from(height) * 8.0).round() as usize).max(1)
    }
}

/// A bar of what is left, what is held, and what is gone, in so many columns.
pub(super) fn bar(
    sheet: Sheet,
    (left, held, all): (u64, u64, u64),
    width: usize,
) -> Vec<Span<'static>> {
    let part = |units: u64| {
        let columns = (u128::from(units) * width as u128).div_ceil(u128::from(all.max(1)));
        usize::try_from(columns).unwrap_or(width).min(width)
    };
    let left = part(left);
    let held = part(held).min(width - left);
    vec![
        Span::styled("█".repeat(left), sheet.good()),
        Span::styled("▒".repeat(held), sheet.warn()),
        Span::styled("░".repeat(width - left - held), sheet.soft()),
    ]
}
