//! The words between machines about images: JSON, read with suspicion.

use std::collections::BTreeSet;

use argosy_api::images::{NamedView, SoughtView};
use argosy_image::{Digest, Named, Reference, Sought};
use argosy_model::MachineId;
use serde::{Deserialize, Serialize};

use super::board::Ask;
use super::who::{Answer, HELD_MAX, NAMES_MAX, News, Origin, UNDER_WAY_MAX};

/// A word cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum WordError {
    #[error("not a digest: {text:?}")]
    Digest { text: String, source: argosy_image::DigestError },
    #[error("not the name of an image: {text:?}")]
    Name { text: String, source: argosy_image::ReferenceError },
    #[error("not a machine: {text:?}")]
    Machine { text: String, source: argosy_model::InvalidId },
    #[error("{count} {what} are more than the {max} that are read")]
    Many { what: &'static str, count: usize, max: usize },
}

pub(super) fn digest(text: &str) -> Result<Digest, WordError> {
    text.parse().map_err(|source| WordError::Digest { text: text.to_owned(), source })
}

pub(super) fn name(text: &str) -> Result<Reference, WordError> {
    text.parse().map_err(|source| WordError::Name { text: text.to_owned(), source })
}

pub(super) fn machine(text: &str) -> Result<MachineId, WordError> {
    text.parse().map_err(|source| WordError::Machine { text: text.to_owned(), source })
}

pub(super) fn sought(view: &SoughtView) -> Result<Sought, WordError> {
    Ok(match view {
        SoughtView::Blob(text) => Sought::Blob(digest(text)?),
        SoughtView::Name(text) => Sought::Name(name(text)?),
    })
}

fn view(sought: &Sought) -> SoughtView {
    match sought {
        Sought::Blob(digest) => SoughtView::Blob(digest.to_string()),
        Sought::Name(name) => SoughtView::Name(name.to_string()),
    }
}

pub(super) fn named(view: &NamedView) -> Result<Named, WordError> {
    Ok(Named { digest: digest(&view.digest)?, pulled: view.pulled })
}

pub(super) fn named_view(named: &Named) -> NamedView {
    NamedView { digest: named.digest.to_string(), pulled: named.pulled }
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), WordError> {
    if count > max { Err(WordError::Many { what, count, max }) } else { Ok(()) }
}

/// What a machine looks for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AskWire {
    what: SoughtView,
    #[serde(default)]
    without: Vec<String>,
}

impl From<&Ask> for AskWire {
    fn from(ask: &Ask) -> AskWire {
        let without = ask.without.iter().map(ToString::to_string).collect();
        AskWire { what: view(&ask.sought), without }
    }
}

/// Reads what a machine looks for.
pub(super) fn asks(wires: &[AskWire]) -> Result<Vec<Ask>, WordError> {
    at_most("questions", wires.len(), UNDER_WAY_MAX)?;
    let read = wires.iter().map(|wire| {
        at_most("machines", wire.without.len(), UNDER_WAY_MAX)?;
        let without = wire.without.iter().map(|text| machine(text));
        let without: Result<BTreeSet<MachineId>, WordError> = without.collect();
        Ok(Ask { sought: sought(&wire.what)?, without: without? })
    });
    read.collect()
}

/// What a machine is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AnswerWire {
    Nobody,
    At(Vec<String>),
    Yours,
    Wait(Option<String>),
    Named(NamedView),
}

impl From<&Answer> for AnswerWire {
    fn from(answer: &Answer) -> AnswerWire {
        match answer {
            Answer::Nobody => AnswerWire::Nobody,
            Answer::At(machines) => {
                AnswerWire::At(machines.iter().map(ToString::to_string).collect())
            }
            Answer::Yours => AnswerWire::Yours,
            Answer::Wait(machine) => AnswerWire::Wait(machine.map(|id| id.to_string())),
            Answer::Named(named) => AnswerWire::Named(named_view(named)),
        }
    }
}

impl TryFrom<AnswerWire> for Answer {
    type Error = WordError;

    fn try_from(wire: AnswerWire) -> Result<Answer, WordError> {
        Ok(match wire {
            AnswerWire::Nobody => Answer::Nobody,
            AnswerWire::At(machines) => {
                Answer::At(machines.iter().map(|text| machine(text)).collect::<Result<_, _>>()?)
            }
            AnswerWire::Yours => Answer::Yours,
            AnswerWire::Wait(text) => Answer::Wait(text.as_deref().map(machine).transpose()?),
            AnswerWire::Named(view) => Answer::Named(named(&view)?),
        })
    }
}

/// What a machine says from time to time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NewsWire {
    life: u64,
    number: u64,
    #[serde(default)]
    whole: bool,
    #[serde(default)]
    held: Vec<String>,
    #[serde(default)]
    gone: Vec<String>,
    #[serde(default)]
    names: Vec<(String, NamedView)>,
    #[serde(default)]
    names_gone: Vec<String>,
    /// With the machine that it comes from; none is the registry.
    #[serde(default)]
    under_way: Vec<(SoughtView, Option<String>)>,
    #[serde(default)]
    ended: Vec<SoughtView>,
}

impl From<&News> for NewsWire {
    fn from(news: &News) -> NewsWire {
        let texts = |digests: &[Digest]| digests.iter().map(ToString::to_string).collect();
        let under_way = news.under_way.iter().map(|(sought, origin)| {
            let from = match origin {
                Origin::Registry => None,
                Origin::Machine(machine) => Some(machine.to_string()),
            };
            (view(sought), from)
        });
        NewsWire {
            life: news.life,
            number: news.number,
            whole: news.whole,
            held: texts(&news.held),
            gone: texts(&news.gone),
            names: news.names.iter().map(|(it, at)| (it.to_string(), named_view(at))).collect(),
            names_gone: news.names_gone.iter().map(ToString::to_string).collect(),
            under_way: under_way.collect(),
            ended: news.ended.iter().map(view).collect(),
        }
    }
}

impl TryFrom<NewsWire> for News {
    type Error = WordError;

    fn try_from(wire: NewsWire) -> Result<News, WordError> {
        at_most("blobs", wire.held.len(), HELD_MAX)?;
        at_most("names", wire.names.len(), NAMES_MAX)?;
        at_most("things under way", wire.under_way.len(), UNDER_WAY_MAX)?;
        let digests = |texts: &[String]| {
            texts.iter().map(|text| digest(text)).collect::<Result<Vec<Digest>, WordError>>()
        };
        let under_way = wire.under_way.iter().map(|(what, from)| {
            let origin = match from {
                None => Origin::Registry,
                Some(text) => Origin::Machine(machine(text)?),
            };
            Ok((sought(what)?, origin))
        });
        Ok(News {
            life: wire.life,
            number: wire.number,
            whole: wire.whole,
            held: digests(&wire.held)?,
            gone: digests(&wire.gone)?,
            names: wire
                .names
                .iter()
                .map(|(text, at)| Ok((name(text)?, named(at)?)))
                .collect::<Result<_, WordError>>()?,
            names_gone: wire.names_gone.iter().map(|it| name(it)).collect::<Result<_, _>>()?,
            under_way: under_way.collect::<Result<_, WordError>>()?,
            ended: wire.ended.iter().map(sought).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let (one, other) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        let app: Reference = "app:1".parse().unwrap();
        let news = News {
            life: u64::MAX,
            number: 3,
            whole: true,
            held: vec![one.clone()],
            gone: vec![other.clone()],
            names: vec![(app.clone(), Named { digest: one.clone(), pulled: 7 })],
            names_gone: vec![app.clone()],
            under_way: vec![
                (Sought::Blob(one.clone()), Origin::Registry),
                (Sought::Name(app), Origin::Machine(MachineId(5))),
            ],
            ended: vec![Sought::Blob(other)],
        };
        let text = serde_json::to_vec(&NewsWire::from(&news)).unwrap();
        let wire: NewsWire = serde_json::from_slice(&text).unwrap();
        assert_eq!(News::try_from(wire).unwrap(), news);
        for answer in [
            Answer::Nobody,
            Answer::At(vec![MachineId(1), MachineId(2)]),
            Answer::Yours,
            Answer::Wait(None),
            Answer::Wait(Some(MachineId(3))),
            Answer::Named(Named { digest: one, pulled: 1 }),
        ] {
            let text = serde_json::to_vec(&AnswerWire::from(&answer)).unwrap();
            let wire: AnswerWire = serde_json::from_slice(&text).unwrap();
            assert_eq!(Answer::try_from(wire).unwrap(), answer);
        }
    }

    #[test]
    fn paths_and_floods_are_refused() {
        for text in ["../../etc/passwd", "sha256:../x", "sha256:ABC", ""] {
            assert!(digest(text).is_err(), "{text}");
        }
        let wire = |count| AskWire {
            what: SoughtView::Blob(Digest::sha256(b"").to_string()),
            without: vec![MachineId(1).to_string(); count],
        };
        assert!(asks(&[wire(UNDER_WAY_MAX)]).is_ok());
        assert!(asks(&[wire(UNDER_WAY_MAX + 1)]).is_err());
        let many: Vec<AskWire> = (0..=UNDER_WAY_MAX).map(|_| wire(0)).collect();
        assert!(asks(&many).is_err());
    }
}
