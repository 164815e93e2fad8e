//! Examples of every command, for its help and its man page.

use clap::Command;

/// Of each command, by its words; `argosy` alone has the first.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("", &["argosy", "argosy demo", "argosy supervisor", "argosy apply units/"]),
    ("cluster", &["argosy cluster init", "argosy cluster status"]),
    (
        "cluster init",
        &["argosy cluster init", "argosy cluster init --name m1 --label zone=a --timing lan"],
    ),
    (
        "cluster join",
        &[
            "argosy cluster join --name m2 --address 10.0.0.2 < token",
            "argosy cluster join --token-file token --label zone=b",
        ],
    ),
    ("cluster status", &["argosy cluster status", "argosy cluster status -o json"]),
    ("token", &["argosy token create > token", "argosy token list"]),
    ("token create", &["argosy token create > token", "argosy token create --minutes 10"]),
    ("token list", &["argosy token list"]),
    ("token revoke", &["argosy token revoke 4f1c2a9b03d7e658"]),
    ("container", &["argosy container run --rm busybox echo hello", "argosy container ps --all"]),
    (
        "container run",
        &[
            "argosy container run --rm busybox echo hello",
            "argosy container run --rm -it --network host debian bash",
            "argosy container run -d --name web -p 8080:80 registry.example/web:1.4",
            "argosy container run -d --pod web registry.example/web:1.4",
            "argosy container run -d --name db -v data:/var/lib/db -e MODE=fast registry.example/db:1.4",
        ],
    ),
    (
        "container create",
        &["argosy container create --name db -v data:/var/lib/db registry.example/db:1.4"],
    ),
    (
        "container commit",
        &[
            "argosy container commit web registry.example/web:2",
            "argosy container commit -c 'CMD [\"serve\"]' -c 'ENV MODE=fast' -m 'as tried' web",
        ],
    ),
    ("container start", &["argosy container start db", "argosy container start -a -i shell"]),
    ("container restart", &["argosy container restart db", "argosy container restart -t 2 db"]),
    (
        "container ps",
        &[
            "argosy container ps",
            "argosy container ps --all -o json",
            "argosy container ps -q --filter name=^web --filter status=running",
            "argosy container ps --format 'table {{.Names}}\\t{{.Status}}'",
        ],
    ),
    (
        "container exec",
        &[
            "argosy container exec -it db sh",
            "argosy container exec -u 0 db id",
            "argosy container exec -d -e LEVEL=2 db backup",
        ],
    ),
    (
        "container attach",
        &["argosy container attach web", "argosy container attach --no-stdin web"],
    ),
    (
        "container cp",
        &[
            "argosy container cp web:/etc/hosts .",
            "argosy container cp page.html web:/srv/www/",
            "argosy container cp web:/srv/www - > www.tar",
        ],
    ),
    ("container rename", &["argosy container rename web web-old"]),
    ("container prune", &["argosy container prune"]),
    ("container version", &["argosy container version -f '{{.Server.Version}}'"]),
    ("container info", &["argosy container info", "argosy container info -o json"]),
    (
        "container events",
        &[
            "argosy container events",
            "argosy container events --since 1h --until 0s -f event=die",
            "argosy container events --format '{{.Action}} {{.Actor.Attributes.name}}'",
        ],
    ),
    (
        "container logs",
        &[
            "argosy container logs db",
            "argosy container logs -f -n 20 db",
            "argosy container logs --since 10m -t db",
        ],
    ),
    ("container stop", &["argosy container stop db", "argosy container stop -t 2 db"]),
    ("container kill", &["argosy container kill -s HUP db"]),
    ("container pause", &["argosy container pause db"]),
    ("container unpause", &["argosy container unpause db"]),
    ("container wait", &["argosy container wait db"]),
    ("container rm", &["argosy container rm db", "argosy container rm -f -v db"]),
    (
        "container inspect",
        &[
            "argosy container inspect db",
            "argosy container inspect -f '{{.State.Status}} {{.NetworkSettings.IPAddress}}' db",
        ],
    ),
    (
        "container serve",
        &[
            "argosy container serve",
            "argosy container serve --listen /run/docker.sock",
            "DOCKER_HOST=unix:///run/argosy/docker.sock docker ps",
        ],
    ),
    ("container top", &["argosy container top db"]),
    (
        "container stats",
        &["argosy container stats", "argosy container stats --format '{{.Name}} {{.MemUsage}}' db"],
    ),
    ("container port", &["argosy container port web"]),
    ("pod", &["argosy pod create -p 8080:80 web", "argosy pod ps"]),
    (
        "pod create",
        &[
            "argosy pod create -p 8080:80 web",
            "argosy pod create --network front --exit-policy stop --name web",
        ],
    ),
    ("pod start", &["argosy pod start web"]),
    ("pod stop", &["argosy pod stop web", "argosy pod stop -t 2 web"]),
    ("pod rm", &["argosy pod rm web", "argosy pod rm --force web"]),
    ("pod ps", &["argosy pod ps", "argosy pod ps -o json"]),
    ("pod inspect", &["argosy pod inspect web"]),
    ("network", &["argosy network create front", "argosy network ls"]),
    (
        "network create",
        &[
            "argosy network create front",
            "argosy network create --subnet 10.90.0.0/24 --internal back",
        ],
    ),
    ("network ls", &["argosy network ls", "argosy network ls -o json"]),
    ("network inspect", &["argosy network inspect front"]),
    ("network rm", &["argosy network rm front"]),
    ("network prune", &["argosy network prune"]),
    ("volume", &["argosy volume create data", "argosy volume ls"]),
    (
        "volume create",
        &[
            "argosy volume create data",
            "argosy volume create --opt type=none --opt device=/srv/data data",
        ],
    ),
    ("volume ls", &["argosy volume ls", "argosy volume ls -q"]),
    ("volume inspect", &["argosy volume inspect data"]),
    ("volume rm", &["argosy volume rm data"]),
    ("volume prune", &["argosy volume prune", "argosy volume prune --all"]),
    ("context", &["argosy context list", "argosy context use demo"]),
    ("context list", &["argosy context list", "argosy context list -o json"]),
    ("context use", &["argosy context use demo"]),
    ("context remove", &["argosy context remove demo"]),
    ("list-machines", &["argosy list-machines", "argosy -M demo list-machines -o json"]),
    (
        "verify",
        &[
            "argosy verify web.service",
            "argosy verify web.container data.volume",
            "argosy verify units/",
        ],
    ),
    ("submit", &["argosy submit web@.service"]),
    ("apply", &["argosy apply database.service", "argosy apply units/ --timeout 30"]),
    (
        "start",
        &["argosy start web", "argosy start web@1 web@2 --no-block", "argosy --local start web"],
    ),
    ("stop", &["argosy stop web", "argosy stop web@.service", "argosy --local stop web"]),
    ("restart", &["argosy restart web", "argosy --local restart web"]),
    ("scale", &["argosy scale api 8", "argosy scale api@.service 8"]),
    ("reload", &["argosy --local reload web"]),
    ("reset-failed", &["argosy --local reset-failed web"]),
    ("kill", &["argosy --local kill web", "argosy --local kill --signal SIGHUP --main-only web"]),
    ("destroy", &["argosy destroy web", "argosy destroy web@.service"]),
    ("status", &["argosy status", "argosy status web -n 50", "argosy --local status web"]),
    ("why", &["argosy why web", "argosy why web@3 -o json"]),
    ("list-units", &["argosy list-units", "argosy --local list-units"]),
    ("cat", &["argosy cat web", "argosy cat web@.service > web@.service"]),
    ("is-active", &["argosy is-active web && echo it runs"]),
    ("is-failed", &["argosy is-failed web database"]),
    (
        "journal",
        &[
            "argosy journal web -n 50 -f",
            "argosy journal web --since '10 min ago'",
            "argosy --local journal --disk-usage",
        ],
    ),
    ("image", &["argosy image pull busybox", "argosy image list"]),
    (
        "image pull",
        &[
            "argosy image pull busybox",
            "argosy image pull quay.io/team/app:1.4 127.0.0.1:5000/app",
            "argosy image pull --platform linux/arm64 alpine",
        ],
    ),
    ("image list", &["argosy image list", "argosy image list -o json"]),
    ("image inspect", &["argosy image inspect busybox"]),
    ("image tag", &["argosy image tag busybox registry.example.org/busybox:mine"]),
    ("image rm", &["argosy image rm busybox", "argosy image rm --force 3f57d9401f8d"]),
    (
        "image import",
        &[
            "argosy image import rootfs.tar.gz app:1",
            "argosy image import rootfs.tar app -- /bin/app --serve",
            "tar -C root -c . | argosy image import - app",
        ],
    ),
    (
        "image save",
        &[
            "argosy image save busybox --to busybox.tar",
            "argosy image save app --layout app-layout/",
        ],
    ),
    (
        "image load",
        &[
            "argosy image load busybox.tar",
            "argosy image load layout/ --name app:1",
            "argosy image load < images.tar.zst",
        ],
    ),
    (
        "image push",
        &[
            "argosy image push registry.example.org/app:1",
            "argosy image push app:1 127.0.0.1:5000/app:1",
        ],
    ),
    ("image gc", &["argosy image gc", "argosy image gc --all"]),
    ("pull", &["argosy pull busybox", "argosy pull --missing quay.io/team/app:1.4"]),
    ("images", &["argosy images", "argosy images -o json"]),
    ("rmi", &["argosy rmi busybox"]),
    ("daemon-reload", &["argosy --local daemon-reload"]),
    (
        "daemon-reexec",
        &[
            "cp argosy.new /usr/local/bin/argosy.tmp",
            "mv /usr/local/bin/argosy.tmp /usr/local/bin/argosy",
            "argosy daemon-reexec",
        ],
    ),
    (
        "supervisor",
        &[
            "argosy supervisor",
            "argosy supervisor --data-dir /tmp/a/data --runtime-dir /tmp/a/run",
            "argosy supervisor --client-listen 127.0.0.1:2379,10.0.0.1:2379",
        ],
    ),
    ("daemon", &["argosy daemon", "argosy daemon --data-dir /tmp/a/data --runtime-dir /tmp/a/run"]),
    (
        "proxy",
        &[
            "argosy proxy --http 0.0.0.0:8080=api",
            "argosy proxy --http 0.0.0.0:8080=/services/api/",
            "argosy proxy --tcp 127.0.0.1:5432=/database",
        ],
    ),
    ("demo", &["argosy demo", "argosy demo --once -o json", "argosy demo enter m2"]),
    ("demo list", &["argosy demo list", "argosy demo list -o json"]),
    ("demo enter", &["argosy demo enter m2", "argosy demo enter m2 argosy list-units"]),
    ("demo kill", &["argosy demo kill m3"]),
    ("demo pause", &["argosy demo pause m3"]),
    ("demo resume", &["argosy demo resume m3"]),
    ("demo partition", &["argosy demo partition m2", "argosy demo partition m2,m3 m4"]),
    ("demo heal", &["argosy demo heal"]),
    ("demo add", &["argosy demo add", "argosy demo add m1", "argosy demo add m5 --zone b"]),
    ("demo stop", &["argosy demo stop m3"]),
    ("completion", &["argosy completion bash > /etc/bash_completion.d/argosy"]),
    ("man-pages", &["mkdir -p man && argosy man-pages man && man -l man/argosy-apply.1"]),
];

/// The command line with the examples of every command that is shown.
pub(super) fn with(command: Command) -> Command {
    below(command, "")
}

fn below(mut command: Command, words: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    for name in names {
        let words = format!("{words} {name}");
        command = command.mut_subcommand(name, |it| below(it, words.trim_start()));
    }
    match EXAMPLES.iter().find(|(of, _)| *of == words) {
        Some((_, lines)) => command.after_help(format!("Examples:\n  {}", lines.join("\n  "))),
        None => command,
    }
}

#[cfg(test)]
mod tests {
    //! Tests that every command has examples, and that they are commands.

    use crate::args::Arguments;

    use super::*;

    /// Every command that is shown, by its words.
    fn shown(command: &Command, words: &str, found: &mut Vec<(String, Option<String>)>) {
        found.push((words.to_owned(), command.get_after_help().map(ToString::to_string)));
        for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
            shown(below, format!("{words} {}", below.get_name()).trim_start(), found);
        }
    }

    #[test]
    fn every_command_has_examples_in_its_help() {
        let mut found = Vec::new();
        shown(&Arguments::whole(), "", &mut found);
        let without: Vec<_> = found.iter().filter(|(_, help)| help.is_none()).collect();
        assert!(without.is_empty(), "no examples: {without:?}");
        let stale = |of: &str| !found.iter().any(|(words, _)| words == of);
        let stale: Vec<_> = EXAMPLES.iter().filter(|(of, _)| stale(of)).collect();
        assert!(stale.is_empty(), "examples of no command: {stale:?}");
    }

    /// The words of a command line, up to where a shell would end it.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (number, part) in line.split('\'').enumerate() {
            match number % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        let ends = |word: &String| ["<", ">", "&&"].contains(&word.as_str());
        let end = words.iter().position(ends).unwrap_or(words.len());
        words.truncate(end);
        words
    }

    #[test]
    fn every_example_is_accepted_and_is_of_its_command() {
        for (of, lines) in EXAMPLES {
            let mut seen = false;
            for line in *lines {
                let own = line.split(" && ").find(|it| it.starts_with("argosy"));
                let Some(own) = own.filter(|_| !line.starts_with("cp ")) else { continue };
                let matches = Arguments::whole().try_get_matches_from(words(own));
                let matches = matches.unwrap_or_else(|error| panic!("{line}: {error}"));
                let mut at = &matches;
                let mut path = Vec::new();
                while let Some((name, below)) = at.subcommand() {
                    path.push(name);
                    at = below;
                }
                seen |= of.is_empty() || path.join(" ").starts_with(of);
            }
            assert!(seen, "{of} has no example of its own");
        }
    }
}
