//! `[X-Fleet]` and `[X-Argosy]`: where a unit may run, and how often.

use std::ops::Range;

use argosy_model::{
    Announce, DataPolicy, MetadataRequirement, OnPartition, Placement, STANDBY_MAX, Traffic,
    UnitName,
};

use super::announce;
use super::context::{Context, Reported, place};
use super::traffic::TrafficDraft;
use crate::diagnostic::Problem;
use crate::file::{Directive, Value};
use crate::glob::{BadGlob, Glob};
use crate::specifier::Scope;
use crate::values::unsigned;
use crate::words::{Escapes, Word};

/// Most instances a unit may ask for: what the largest simulated cluster holds of one unit.
const REPLICAS_MAX: u32 = 100_000;

/// Most entries of one list. A unit that needs more is placed by metadata; the cross-check of
/// two lists stays small.
const LIST_MAX: usize = 256;

/// What both sections asked for so far, with the places the last checks name.
#[derive(Default)]
pub(super) struct PlacementDraft {
    placement: Placement,
    announce: Option<announce::Draft>,
    traffic: TrafficDraft,
    machine_id: Option<Range<usize>>,
    machine_of: Vec<Range<usize>>,
    conflicts: Vec<(Glob, Range<usize>)>,
    global: Option<Range<usize>>,
    replicas: Option<Range<usize>>,
    /// Whether `Data=` was given.
    data_given: bool,
}

const DATA: [(&str, DataPolicy); 4] = [
    ("local", DataPolicy::Local),
    ("shared", DataPolicy::Shared),
    ("replicated", DataPolicy::Replicated),
    ("disposable", DataPolicy::Disposable),
];

const ON_PARTITION: [(&str, OnPartition); 2] =
    [("keep", OnPartition::Keep), ("stop", OnPartition::Stop)];

impl PlacementDraft {
    /// Takes a directive; tells whether it is one of these.
    pub(super) fn apply(&mut self, context: &mut Context<'_>, directive: &Directive) -> bool {
        match directive.key.as_str() {
            "MachineID" | "X-ConditionMachineID" => self.machine_id(context, directive),
            "MachineOf" | "X-ConditionMachineOf" => self.machine_of(context, directive),
            "MachineMetadata" | "X-ConditionMachineMetadata" => self.metadata(context, directive),
            "Conflicts" | "X-Conflicts" => self.conflicts(context, directive),
            "Global" => {
                if let Ok(global) = context.boolean(directive) {
                    self.placement.global = global;
                    self.global = global.then(|| place(directive));
                }
            }
            "Announce" => self.announce = announce::read(context, directive),
            "Endpoint" => self.traffic.endpoint(context, directive),
            "Publish" => self.traffic.publish(context, directive),
            "HealthCheck" => self.traffic.health_check(context, directive),
            "Replicas" => self.replicas(context, directive),
            "Data" => {
                if let Ok(data) = context.choice(directive, &DATA) {
                    self.placement.data = data;
                    self.data_given = true;
                    // Who names where the data is says that there is some.
                    self.placement.keeps_data = data != DataPolicy::Disposable;
                }
            }
            "OnPartition" => self.on_partition(context, directive),
            "Standby" => self.standby(context, directive),
            _ => return false,
        }
        true
    }

    /// Takes it that the unit keeps data, unless `Data=` was given; tells whether it did.
    pub(super) fn bind_to_data(&mut self) -> bool {
        if !self.data_given {
            self.placement.keeps_data = true;
        }
        !self.data_given
    }

    /// Places the unit beside others, of which a translation knows.
    pub(super) fn follow(
        &mut self,
        beside: impl Iterator<Item = UnitName>,
        stops_on_partition: bool,
    ) {
        let known = &mut self.placement.machine_of;
        for unit in beside {
            if !known.contains(&unit) {
                known.push(unit);
            }
        }
        if stops_on_partition {
            self.placement.on_partition = OnPartition::Stop;
        }
    }

    fn machine_id(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let Ok(text) = context.text(directive, Scope::Name) else { return };
        if text.is_empty() {
            self.placement.machine_id = None;
            self.machine_id = None;
        } else if self.machine_id.is_some() {
            let problem = Problem::new("a unit has one machine: the first MachineID= holds");
            context.sink.warning(place(directive), problem);
        } else if matches!(text.len(), 8 | 32) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            self.placement.machine_id = Some(text.to_ascii_lowercase());
            self.machine_id = Some(place(directive));
        } else {
            context.bad_value(directive, "expected a machine's id or its first eight digits");
        }
    }

    fn machine_of(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let Ok(words) = list(context, directive) else { return };
        if words.is_empty() {
            self.placement.machine_of.clear();
            self.machine_of.clear();
        }
        for (text, span) in words {
            match UnitName::new(&text) {
                Ok(unit) if unit == *context.name => {
                    let problem = Problem::new("a unit cannot follow itself");
                    context.sink.error(span, problem);
                }
                Ok(unit) => {
                    self.placement.machine_of.push(unit);
                    self.machine_of.push(span);
                }
                Err(error) => context.sink.error(
                    span,
                    Problem::new(error.to_string()).label("expected the name of a unit"),
                ),
            }
        }
        if self.placement.machine_of.len() > LIST_MAX {
            context.bad_value(directive, &format!("at most {LIST_MAX} units may be named"));
        }
    }

    fn metadata(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let Ok(words) = list(context, directive) else { return };
        let metadata = &mut self.placement.metadata;
        if words.is_empty() {
            metadata.clear();
        }
        for (text, span) in words {
            let pair = text.split_once('=').filter(|(key, value)| {
                !key.is_empty() && !value.is_empty() && !value.contains('=')
            });
            let Some((key, value)) = pair else {
                context.sink.error(
                    span,
                    Problem::new(format!("`{text}` is not a label"))
                        .label("expected key=value")
                        .help("several are separated by spaces; a label with spaces is quoted"),
                );
                continue;
            };
            match metadata.iter_mut().find(|known| known.key == key) {
                Some(known) => known.values.push(value.to_owned()),
                None => metadata.push(MetadataRequirement {
                    key: key.to_owned(),
                    values: vec![value.to_owned()],
                }),
            }
        }
        let entries: usize = metadata.iter().map(|known| known.values.len()).sum();
        if entries > LIST_MAX {
            context.bad_value(directive, &format!("at most {LIST_MAX} labels may be named"));
        }
    }

    fn conflicts(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let Ok(words) = list(context, directive) else { return };
        if words.is_empty() {
            self.placement.conflicts.clear();
            self.conflicts.clear();
        }
        for (text, span) in words {
            let problem = match Glob::new(&text) {
                Ok(glob) => {
                    self.placement.conflicts.push(text);
                    self.conflicts.push((glob, span));
                    continue;
                }
                Err(BadGlob::Class) => Problem::new("`[` begins a set that is never closed by `]`"),
                Err(BadGlob::Escape) => Problem::new("there is nothing after the backslash"),
            };
            context.sink.error(span, problem.label("not a valid pattern"));
        }
        if self.placement.conflicts.len() > LIST_MAX {
            context.bad_value(directive, &format!("at most {LIST_MAX} patterns may be named"));
        }
    }

    fn replicas(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let value = directive.value.as_str();
        if value.is_empty() {
            self.placement.replicas = None;
            self.replicas = None;
            return;
        }
        match unsigned(value).filter(|count| *count <= REPLICAS_MAX) {
            Some(count) => {
                self.placement.replicas = Some(count);
                self.replicas = Some(place(directive));
            }
            None => {
                let expected = format!("expected how many instances to run, 0 to {REPLICAS_MAX}");
                context.bad_value(directive, &expected);
            }
        }
    }

    fn standby(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let value = directive.value.as_str();
        if value.is_empty() {
            self.placement.standby = None;
            return;
        }
        let count = unsigned(value).and_then(|count| u8::try_from(count).ok());
        match count.filter(|count| *count <= STANDBY_MAX) {
            Some(count) => self.placement.standby = Some(count),
            None => {
                let expected = format!("expected on how many machines, 0 to {STANDBY_MAX}");
                context.bad_value(directive, &expected);
            }
        }
    }

    fn on_partition(&mut self, context: &mut Context<'_>, directive: &Directive) {
        if let Ok(on_partition) = context.choice(directive, &ON_PARTITION) {
            self.placement.on_partition = on_partition;
        }
    }

    /// Checks what does not go together.
    pub(super) fn finish(
        self,
        context: &mut Context<'_>,
    ) -> (Placement, Option<Announce>, Traffic) {
        self.exclusions(context);
        let name = context.name;
        let of_template = name.is_template() || name.instance().is_some();
        if let (Some(span), false) = (&self.replicas, of_template) {
            let stem = name.stem();
            context.sink.error(
                span.clone(),
                Problem::new("`Replicas=` needs a template, whose instances it counts")
                    .label("this unit is no template")
                    .help(format!("name the file `{stem}@.service`")),
            );
        }
        let several = match self.placement.replicas {
            Some(count) => count > 1,
            None => false,
        };
        let announce = self.announce.map(|draft| {
            draft.check(context, several, self.global.is_some());
            draft.announce
        });
        let traffic = self.traffic.finish(context);
        (self.placement, announce, traffic)
    }

    /// Refuses what fleet refuses together.
    fn exclusions(&self, context: &mut Context<'_>) {
        let mut exclude = |span: &Range<usize>, one: &str, other: &str| {
            let problem = Problem::new(format!("`{one}=` does not go with `{other}=`"))
                .label(format!("not with {other}="));
            context.sink.error(span.clone(), problem);
        };
        let first_conflict = self.conflicts.first().map(|(_, span)| span);
        if self.machine_id.is_some() {
            let others = [
                (self.machine_of.first(), "MachineOf"),
                (first_conflict, "Conflicts"),
                (self.global.as_ref(), "Global"),
            ];
            for (span, key) in others {
                if let Some(span) = span {
                    exclude(span, key, "MachineID");
                }
            }
        }
        if let (Some(span), true) = (&self.global, !self.machine_of.is_empty()) {
            exclude(span, "Global", "MachineOf");
        }
        if let (Some(span), Some(_)) = (&self.replicas, &self.global) {
            exclude(span, "Replicas", "Global");
        }
        for (unit, span) in self.placement.machine_of.iter().zip(&self.machine_of) {
            if self.conflicts.iter().any(|(glob, _)| glob.matches(unit.as_str())) {
                context.sink.error(
                    span.clone(),
                    Problem::new(format!("`{unit}` is followed and also conflicted with"))
                        .help("a pattern of Conflicts= matches it, so no machine would do"),
                );
            }
        }
    }
}

/// Reads a list of words, each with its place; the specifiers are those of the unit's name.
fn list(
    context: &mut Context<'_>,
    directive: &Directive,
) -> Result<Vec<(String, Range<usize>)>, Reported> {
    let value: &Value = &directive.value;
    let words: Vec<Word> = context.words(value, Escapes::Keep)?;
    if words.len() > LIST_MAX {
        return Err(context.bad_value(directive, &format!("at most {LIST_MAX} may be named")));
    }
    let mut out = Vec::with_capacity(words.len());
    for word in words {
        let text = context.expand_word(value, &word, Scope::Name)?;
        out.push((text, value.span(word.span)));
    }
    Ok(out)
}
