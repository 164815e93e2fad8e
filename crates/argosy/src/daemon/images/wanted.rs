//! The words by which the units of a machine may name images: a command of a unit is a command of
//! the engine, a script around one, or anything else, so all of its words count.

use std::collections::BTreeSet;

use argosy_model::{ExecCommand, MachineId, ServiceSpec};

use crate::daemon::picture::Picture;

/// What stands between words, beside white space: options' values, lists, what a shell takes apart.
const BETWEEN: [char; 11] = ['=', ',', ';', '"', '\'', '`', '(', ')', '|', '&', '\\'];

/// Adds the words of what a machine is told to run, or still to stop, and the images that it has in
/// case units of others come.
pub(super) fn of_assigned(picture: &Picture, machine: MachineId, words: &mut BTreeSet<String>) {
    let view = &picture.view;
    let assignment = view.assignments().get(&machine);
    let standby = assignment.into_iter().flat_map(|stored| &stored.value.standby);
    words.extend(standby.map(|image| image.name.clone()));
    for entry in assignment.into_iter().flat_map(|stored| &stored.value.entries) {
        match view.look_up(&entry.unit).map(|unit| unit.spec) {
            Some(Ok(spec)) => of_service(&spec.service, words),
            _ => of_text(view.text(&entry.unit, entry.revision).unwrap_or_default(), words),
        }
    }
}

fn of_service(service: &ServiceSpec, words: &mut BTreeSet<String>) {
    let commands: [&[ExecCommand]; 7] = [
        &service.exec_condition,
        &service.exec_start_pre,
        &service.exec_start,
        &service.exec_start_post,
        &service.exec_reload,
        &service.exec_stop,
        &service.exec_stop_post,
    ];
    let commands = commands.into_iter().flatten();
    commands.flat_map(|command| &command.argv).for_each(|word| of_text(word, words));
    service.environment.iter().for_each(|(_, value)| of_text(value, words));
}

/// Adds the words of a text.
pub(super) fn of_text(text: &str, words: &mut BTreeSet<String>) {
    let found = text.split(|c: char| c.is_whitespace() || BETWEEN.contains(&c));
    words.extend(found.filter(|word| !word.is_empty()).map(str::to_owned));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_wherever_a_command_has_it() {
        for text in [
            "/usr/bin/docker run --rm quay.io/a/b:1 /bin/sh",
            "/bin/sh -c \"docker run quay.io/a/b:1; true\"",
            "argosy container run --mount type=image,source=quay.io/a/b:1,target=/x busybox",
            "Image=quay.io/a/b:1\n[Service]\n",
            "Environment='IMAGE=quay.io/a/b:1'",
        ] {
            let mut words = BTreeSet::new();
            of_text(text, &mut words);
            assert!(words.contains("quay.io/a/b:1"), "{text}: {words:?}");
        }
    }
}
