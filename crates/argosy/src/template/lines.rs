//! `--format` of commands that list: a line each, a table, or JSON.

use serde_json::{Map, Value};

use super::{Template, TemplateError};
use crate::failure::{Exit, Failure};
use crate::printer::{Printer, table};

/// The fields of a line, and what stands above each in a table.
pub(crate) type Columns = [(&'static str, &'static str)];

impl From<TemplateError> for Failure {
    fn from(error: TemplateError) -> Failure {
        Failure::from_error(Exit::BadInput, &error)
            .with_help("docs/containers.md says what --format takes")
    }
}

/// Prints each line by a template. Returns whether that was asked for: not so by `table` alone.
pub(crate) fn print_lines(
    format: &str,
    columns: &Columns,
    lines: &[Value],
    printer: &Printer,
) -> Result<bool, Failure> {
    // As docker has it, for shells that do not read these themselves.
    let format = format.replace("\\t", "\t").replace("\\n", "\n");
    match format.as_str() {
        "table" => return Ok(false),
        "json" => lines.iter().try_for_each(|line| printer.line(&line.to_string()))?,
        text => match text.strip_prefix("table ") {
            Some(text) => {
                let template = Template::read(text.trim_start())?;
                let names = columns.iter().map(|(name, head)| ((*name).to_owned(), (*head).into()));
                let head = template.fill(&Value::Object(names.collect::<Map<_, _>>()))?;
                let rows = lines
                    .iter()
                    .map(|line| Ok(cells(&template.fill(line)?)))
                    .collect::<Result<Vec<_>, TemplateError>>()?;
                let head = cells(&head);
                let head: Vec<&str> = head.iter().map(String::as_str).collect();
                printer.line(table(&head, rows).trim_end_matches('\n'))?;
            }
            None => {
                let template = Template::read(text)?;
                lines.iter().try_for_each(|line| printer.line(&template.fill(line)?))?;
            }
        },
    }
    Ok(true)
}

fn cells(line: &str) -> Vec<String> {
    line.split('\t').map(str::to_owned).collect()
}
