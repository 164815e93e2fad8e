//! What people see while layers travel: bars on a terminal, lines elsewhere.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argosy_image::{Digest, Event, Progress};

use super::shown::size;

/// A bar is drawn anew this often: often enough to move, seldom enough to cost nothing.
const REDRAW: Duration = Duration::from_millis(100);
const BAR_CHARS: usize = 24;
/// More layers than this are summed up in one line: a terminal has 24 lines.
const LAYERS_SHOWN: usize = 16;

/// Draws to standard error.
pub(super) struct Bars {
    state: Arc<Mutex<State>>,
}

struct State {
    name: String,
    layers: Vec<Layer>,
    how: How,
    drawn: Option<Instant>,
    lines_up: usize,
    finishing: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Silent,
    Lines,
    Bars,
}

struct Layer {
    id: Digest,
    bytes: u64,
    have: u64,
    /// Which machine it comes from.
    from: Cow<'static, str>,
    note: Cow<'static, str>,
}

impl Bars {
    pub(super) fn new(name: &str, silent: bool) -> Self {
        let how = match silent {
            true => How::Silent,
            false if std::io::stderr().is_terminal() => How::Bars,
            false => How::Lines,
        };
        let state = State {
            name: name.to_owned(),
            layers: Vec::new(),
            how,
            drawn: None,
            lines_up: 0,
            finishing: false,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(super) fn progress(&self) -> Progress {
        let state = Arc::clone(&self.state);
        Arc::new(move |event| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.how != How::Silent {
                state.take(event);
            }
        })
    }

    /// Leaves the terminal as it was.
    pub(super) fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.how == How::Bars {
            state.clear();
        }
    }
}

impl State {
    fn take(&mut self, event: Event) {
        let line = match &event {
            Event::Resolved { layers, bytes, .. } => {
                Some(format!("{}: {layers} layers, {}", self.name, size(*bytes)))
            }
            Event::Present { layer, .. } => Some(format!("{}: here already", layer.short())),
            Event::Waiting { layer } => Some(format!("{}: another pull brings it", layer.short())),
            Event::From { layer, peer } => Some(format!("{}: from {peer}", layer.short())),
            Event::Coming { layer, peer } if !self.awaits(layer, peer) => {
                Some(format!("{}: {}", layer.short(), brings(peer)))
            }
            Event::Begun { layer, bytes, have } if *have > 0 => {
                Some(format!("{}: goes on at {} of {}", layer.short(), size(*have), size(*bytes)))
            }
            Event::Retried { layer, error } => {
                Some(format!("{}: {error}; trying again", layer.short()))
            }
            Event::Done { layer } => Some(format!("{}: done", layer.short())),
            Event::Begun { .. } | Event::Coming { .. } | Event::Moved { .. } | Event::Finishing => {
                None
            }
        };
        let important = !matches!(event, Event::Moved { .. });
        self.note(event);
        match (self.how, line) {
            (How::Lines, Some(line)) => write(&format!("{line}\n")),
            (How::Bars, _) => {
                let due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW);
                if due || important {
                    self.draw();
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Present { layer, bytes } => self.set(layer, bytes, bytes, "here already"),
            Event::Waiting { layer } => self.set(layer, 0, 0, "another pull brings it"),
            Event::Begun { layer, bytes, .. } => self.set(layer, bytes, 0, ""),
            Event::Moved { layer, bytes } => {
                if let Some(layer) = self.layers.iter_mut().find(|known| known.id == layer) {
                    layer.have = (layer.have + bytes).min(layer.bytes);
                    if layer.note != layer.from {
                        layer.note = layer.from.clone();
                    }
                }
            }
            Event::From { layer, peer } => {
                if let Some(layer) = self.layers.iter_mut().find(|known| known.id == layer) {
                    layer.from = format!("from {peer}").into();
                    layer.note = layer.from.clone();
                }
            }
            Event::Coming { layer, peer } => {
                if let Some(layer) = self.layers.iter_mut().find(|known| known.id == layer) {
                    layer.note = brings(&peer).into();
                }
            }
            Event::Retried { layer, .. } => {
                if let Some(layer) = self.layers.iter_mut().find(|known| known.id == layer) {
                    layer.note = "trying again".into();
                    layer.from = Cow::Borrowed("");
                }
            }
            Event::Done { layer } => {
                if let Some(layer) = self.layers.iter_mut().find(|known| known.id == layer) {
                    (layer.have, layer.note) = (layer.bytes, "done".into());
                }
            }
            Event::Finishing => self.finishing = true,
            Event::Resolved { .. } => {}
        }
    }

    /// Whether it is said already who brings a layer.
    fn awaits(&self, layer: &Digest, peer: &str) -> bool {
        let known = self.layers.iter().find(|known| known.id == *layer);
        known.is_some_and(|known| known.note == brings(peer))
    }

    fn set(&mut self, id: Digest, bytes: u64, have: u64, note: &'static str) {
        let note = Cow::Borrowed(note);
        match self.layers.iter_mut().find(|known| known.id == id) {
            Some(layer) => (layer.bytes, layer.have, layer.note) = (bytes, have, note),
            None => {
                let from = Cow::Borrowed("");
                self.layers.push(Layer { id, bytes, have, note, from });
            }
        }
    }

    fn draw(&mut self) {
        let mut lines = vec![self.name.clone()];
        let (shown, summed) = self.layers.split_at(self.layers.len().min(LAYERS_SHOWN));
        lines.extend(shown.iter().map(|layer| {
            format!("{} {} {}", layer.id.short(), bar(layer.have, layer.bytes), layer.note)
        }));
        if !summed.is_empty() {
            let (have, bytes) = summed.iter().fold((0_u64, 0_u64), |sum, layer| {
                (sum.0.saturating_add(layer.have), sum.1.saturating_add(layer.bytes))
            });
            lines.push(format!("{:>3} more     {}", summed.len(), bar(have, bytes)));
        }
        if self.finishing {
            lines.push("syncing to the disk".to_owned());
        }
        let up = up(self.lines_up);
        let text: String =
            lines.iter().map(|line| format!("\x1b[2K{}\n", line.trim_end())).collect();
        write(&format!("{up}{text}"));
        self.lines_up = lines.len();
        self.drawn = Some(Instant::now());
    }

    fn clear(&mut self) {
        write(&format!("{}\x1b[0J", up(self.lines_up)));
        self.lines_up = 0;
    }
}

/// What is said of a machine that is waited for.
fn brings(peer: &str) -> String {
    format!("{peer} brings it")
}

/// Moves the cursor up to the first line that was drawn.
fn up(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\r") }
}

fn bar(have: u64, bytes: u64) -> String {
    let share = |of: u64| have.min(bytes).saturating_mul(of).checked_div(bytes).unwrap_or(of);
    let full = usize::try_from(share(BAR_CHARS as u64)).unwrap_or(BAR_CHARS);
    format!(
        "[{}{}] {:>3} % of {}",
        "=".repeat(full),
        " ".repeat(BAR_CHARS - full),
        share(100),
        size(bytes)
    )
}

fn write(text: &str) {
    // Nobody to tell that nobody is told.
    drop(std::io::stderr().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_up_and_never_over() {
        assert!(bar(0, 1000).starts_with("[                        ]   0 %"));
        assert!(bar(500, 1000).starts_with("[============            ]  50 %"));
        assert!(bar(2000, 1000).starts_with("[========================] 100 %"));
        assert!(bar(0, 0).contains("100 % of 0 B"));
    }
}
