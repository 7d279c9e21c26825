//! The full-screen view's thread: it owns the terminal, draws at most ten times a second and reads keys.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use super::plain::describe;
use super::screen::{self, Screen};
use super::{Wish, Wishes};
use crate::failure::{Failure, Result};
use crate::format::now_ms;
use crate::progress::{Pace, Progress, changes};

/// Lines of recent events that are kept.
const EVENTS: usize = 200;
const FRAME: Duration = Duration::from_millis(100);

enum Message {
    Progress(Box<Progress>),
    Note(String),
}

/// The view.
pub struct Tui {
    seen: Progress,
    messages: Option<Sender<Message>>,
    wishes: Wishes,
    thread: Option<JoinHandle<()>>,
}

impl Tui {
    /// Takes the terminal. A panic anywhere gives it back first (ratatui's hook).
    ///
    /// # Errors
    /// When the terminal cannot be switched.
    pub fn open() -> Result<Self> {
        let terminal = ratatui::try_init()
            .map_err(|e| Failure::fault(format!("cannot take the terminal: {e}")).hint("use `--ui plain`"))?;
        let (messages, inbox) = channel();
        let (keys, wishes) = mpsc::unbounded_channel();
        let thread = std::thread::spawn(move || draw(terminal, &inbox, &keys));
        Ok(Self { seen: Progress::default(), messages: Some(messages), wishes, thread: Some(thread) })
    }

    /// Shows where the run stands now.
    pub fn update(&mut self, progress: &Progress) {
        self.seen = progress.clone();
        self.send(Message::Progress(Box::new(progress.clone())));
    }

    /// Adds a line to the recent events.
    pub fn note(&mut self, text: &str) {
        self.send(Message::Note(text.to_owned()));
    }

    fn send(&self, message: Message) {
        // The thread ends only after `messages` is dropped, or by a panic that has been shown already.
        if let Some(messages) = &self.messages {
            let _ = messages.send(message);
        }
    }

    /// The next key that means something.
    pub async fn wish(&mut self) -> Wish {
        match self.wishes.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        }
    }

    /// Gives the terminal back; returns what was shown last.
    pub fn close(&mut self) -> Progress {
        self.messages = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Tui {
    fn drop(&mut self) {
        self.close();
    }
}

#[allow(clippy::disallowed_methods, reason = "a thread of its own, not the runtime's")]
fn draw(mut terminal: DefaultTerminal, inbox: &Receiver<Message>, wishes: &mpsc::UnboundedSender<Wish>) {
    let mut progress = Progress::default();
    let mut events = VecDeque::new();
    let mut pace = Pace::default();
    let note = |events: &mut VecDeque<(u64, String)>, text: String| {
        events.push_back((now_ms(), text));
        while events.len() > EVENTS {
            events.pop_front();
        }
    };
    loop {
        loop {
            match inbox.recv_timeout(Duration::ZERO) {
                Ok(Message::Progress(new)) => {
                    for text in changes(&progress, &new).iter().filter_map(describe) {
                        note(&mut events, anstream::adapter::strip_str(&text).to_string());
                    }
                    progress = *new;
                }
                Ok(Message::Note(text)) => note(&mut events, text),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    ratatui::restore();
                    return;
                }
            }
        }
        let left_ms = pace.left(&progress, now_ms());
        let view = Screen { progress: &progress, events: &events, left_ms, now_ms: now_ms() };
        let drawn = terminal.draw(|frame| screen::draw(frame, &view));
        let key = event::poll(FRAME).and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) });
        match key {
            Ok(Some(Event::Key(key))) if key.kind == KeyEventKind::Press => {
                let control_c =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if control_c {
                    let _ = wishes.send(Wish::Stop);
                } else if matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    let _ = wishes.send(Wish::Leave);
                }
            }
            Err(_) => {
                // The terminal is gone: the run goes on with lines.
                let _ = wishes.send(Wish::Leave);
                std::thread::sleep(FRAME);
            }
            _ => {}
        }
        if drawn.is_err() {
            let _ = wishes.send(Wish::Leave);
        }
    }
}
