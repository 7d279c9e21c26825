//! How `atlas run` shows what goes on: lines, a full-screen view, or JSON.

mod json;
mod plain;
mod screen;
mod tui;

use std::io::IsTerminal;

use tokio::sync::mpsc;

use crate::args::Ui;
use crate::failure::Result;
use crate::progress::Progress;

/// What the person at the terminal wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Leave the full-screen view; the run goes on with plain lines.
    Leave,
    /// Stop the run: softly the first time, at once the second.
    Stop,
}

/// The way that was chosen.
pub enum View {
    /// Lines.
    Plain(plain::Plain),
    /// Full screen.
    Tui(tui::Tui),
    /// JSON lines.
    Json(json::Json),
}

impl View {
    /// The view that was asked for; without a wish the full screen on a terminal, else lines. The run was first started at
    /// `started_ms`.
    ///
    /// # Errors
    /// When the terminal cannot be taken.
    pub fn open(wish: Option<Ui>, started_ms: u64) -> Result<Self> {
        let terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        Ok(match wish.unwrap_or(if terminal { Ui::Tui } else { Ui::Plain }) {
            Ui::Plain => Self::Plain(plain::Plain::since(started_ms)),
            Ui::Json => Self::Json(json::Json::default()),
            Ui::Tui => Self::Tui(tui::Tui::open()?),
        })
    }

    /// Shows where the run stands now.
    pub fn update(&mut self, progress: &Progress) {
        match self {
            Self::Plain(view) => view.update(progress),
            Self::Json(view) => view.update(progress),
            Self::Tui(view) => view.update(progress),
        }
    }

    /// Shows one line of the program's own doing.
    pub fn note(&mut self, text: &str) {
        match self {
            Self::Plain(view) => view.note(text),
            Self::Json(view) => view.note(text),
            Self::Tui(view) => view.note(text),
        }
    }

    /// What the person wants next; never, when the view takes no keys.
    pub async fn wish(&mut self) -> Wish {
        match self {
            Self::Tui(view) => view.wish().await,
            _ => std::future::pending().await,
        }
    }

    /// Gives the terminal back; what follows is lines.
    pub fn leave(&mut self) {
        if let Self::Tui(view) = self {
            let seen = view.close();
            *self = Self::Plain(plain::Plain::going_on(seen));
        }
    }

    /// Whether standard output carries JSON lines alone.
    pub fn is_json(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    /// Writes one JSON line; nothing in the other views.
    pub fn json(&mut self, event: &str, fields: serde_json::Value) {
        if let Self::Json(_) = self {
            json::emit(event, fields);
        }
    }
}

/// Wishes on their way from the keyboard.
type Wishes = mpsc::UnboundedReceiver<Wish>;
