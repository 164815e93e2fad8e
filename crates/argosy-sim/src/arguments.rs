//! What the command line asks for.

use argosy_model::PlantedBug;
use argosy_sim::Members;

pub(crate) const HELP: &str = "\
Plays whole stores in one thread, with faults, and checks what they promise.

  --seeds N      play N seeds (default 100)
  --from S       begin with seed S (default 0)
  --seed S       play this one seed and tell what happened
  --members M    how many members: 1, 3 or growing (default: as the seed says)
  --cluster      play whole clusters instead: machines, units, operators, clients of the store
  --bug NAME     plant a defect; a wrong name lists them
  --until-found  stop at the first violation

With --cluster:
  --machines N     how many machines (default: as the seed says)
  --units N        how many units; all are submitted at the beginning (default: a few, by and by)
  --operators N    how many operators change them side by side (default 1)
  --changes N      changes that they ask for together in ten virtual seconds (default 16)
  --clients N      how many clients use the store (default: none, or 3 where the seed is odd)
  --ops N          requests that they make together in a virtual second
  --fault-every S  virtual seconds from one fault to the next (default 3, irregularly)
  --seconds S      virtual seconds with faults, before all is healed (default 40)
";

/// What was asked for.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) from: u64,
    pub(crate) count: u64,
    pub(crate) members: Option<Members>,
    pub(crate) bug: Option<PlantedBug>,
    pub(crate) until_found: bool,
    pub(crate) one: bool,
    pub(crate) cluster: bool,
    pub(crate) machines: Option<usize>,
    pub(crate) units: Option<u64>,
    pub(crate) operators: Option<u64>,
    pub(crate) changes: Option<u64>,
    pub(crate) clients: Option<u64>,
    pub(crate) ops: Option<u64>,
    pub(crate) fault_every: Option<u64>,
    pub(crate) seconds: Option<u64>,
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self { count: 100, ..Self::default() };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--seeds" => arguments.count = number(&value()?)?,
                "--from" => arguments.from = number(&value()?)?,
                "--seed" => {
                    arguments.from = number(&value()?)?;
                    arguments.count = 1;
                    arguments.one = true;
                }
                "--members" => {
                    let name = value()?;
                    let members = Members::ALL.into_iter().find(|kind| kind.as_str() == name);
                    let unknown = || format!("--members is 1, 3 or growing, not {name}");
                    arguments.members = Some(members.ok_or_else(unknown)?);
                }
                "--bug" => {
                    let name = value()?;
                    let bug = PlantedBug::ALL.into_iter().find(|bug| bug.as_str() == name);
                    let names = PlantedBug::ALL.map(PlantedBug::as_str).join(", ");
                    let unknown = || format!("no defect is named {name}; there are {names}");
                    arguments.bug = Some(bug.ok_or_else(unknown)?);
                }
                "--cluster" => arguments.cluster = true,
                "--machines" => {
                    let count = number(&value()?)?;
                    let few = usize::try_from(count).ok().filter(|count| (1..=9).contains(count));
                    arguments.machines = Some(few.ok_or("--machines is 1 to 9")?);
                }
                "--units" => arguments.units = Some(number(&value()?)?),
                "--operators" => arguments.operators = Some(positive(&word, &value()?)?),
                "--changes" => arguments.changes = Some(positive(&word, &value()?)?),
                "--clients" => arguments.clients = Some(number(&value()?)?),
                "--ops" => arguments.ops = Some(positive(&word, &value()?)?),
                "--fault-every" => arguments.fault_every = Some(positive(&word, &value()?)?),
                "--seconds" => arguments.seconds = Some(number(&value()?)?),
                "--until-found" => arguments.until_found = true,
                other => return Err(format!("unknown argument {other}")),
            }
        }
        Ok(arguments)
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn positive(word: &str, text: &str) -> Result<u64, String> {
    match number(text)? {
        0 => Err(format!("{word} is at least 1")),
        number => Ok(number),
    }
}
