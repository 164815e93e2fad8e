//! Diagnostics, drawn as a user sees them.

use expect_test::{Expect, expect};

use super::name;
use crate::{Severity, Specifiers, Style, UnitFile, lower, render};

/// Draws everything that is found in `text` for `unit`, notes left out.
fn check_for(unit: &str, text: &str, expected: Expect) {
    let (file, mut found) = UnitFile::parse(unit, text);
    let (spec, more) = lower(&file, &name(unit), &Specifiers::default());
    let errors = more.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(spec.is_none(), errors, "a spec if and only if no error");
    found.extend(more);
    let drawn: Vec<String> = found
        .iter()
        .filter(|found| found.severity != Severity::Note)
        .map(|found| render(found, text, Style::Plain))
        .collect();
    expected.assert_eq(&(drawn.join("\n\n") + "\n"));
}

fn check(text: &str, expected: Expect) {
    check_for("a.service", text, expected);
}

/// One line per finding, for a `[Service]` section that begins with an ExecStart=.
fn lines(lines: &str, expected: Expect) {
    let text = format!("[Service]\nExecStart=/bin/true\n{lines}");
    one_line("a.service", &text, expected);
}

fn one_line(unit: &str, text: &str, expected: Expect) {
    let (file, mut found) = UnitFile::parse(unit, text);
    let (_, more) = lower(&file, &name(unit), &Specifiers::default());
    found.extend(more);
    let all: Vec<String> = found.iter().map(|f| format!("{f} [{}]", f.label)).collect();
    expected.assert_eq(&(all.join("\n") + "\n"));
}

#[test]
fn keys_that_do_not_exist() {
    check(
        "[Service]\nExecStrat=/bin/true\nexecstart=/bin/true\nAfter=a.service\nQuux=1\n",
        expect![[r#"
            error: [Service] has no key `ExecStrat=`
             --> a.service:2:1
              |
            2 | ExecStrat=/bin/true
              | ^^^^^^^^^ unknown key
              |
              = help: did you mean `ExecStart=`?

            error: [Service] has no key `execstart=`
             --> a.service:3:1
              |
            3 | execstart=/bin/true
              | ^^^^^^^^^ unknown key
              |
              = help: did you mean `ExecStart=`?

            error: `After=` is a [Unit] key, not one of [Service]
             --> a.service:4:1
              |
            4 | After=a.service
              | ^^^^^ not a key of [Service]
              |
              = help: move it below [Unit]

            error: [Service] has no key `Quux=`
             --> a.service:5:1
              |
            5 | Quux=1
              | ^^^^ unknown key
        "#]],
    );
    one_line(
        "a.service",
        "[Unit]\nRestart=always\nDescripton=x\n[X-Fleet]\nGlobl=true\n[X-Argosy]\nMachineID=x\n[Service]\nExecStart=a\n",
        expect![[r#"
            a.service:2:1: error: `Restart=` is a [Service] key, not one of [Unit] (move it below [Service]) [not a key of [Unit]]
            a.service:3:1: error: [Unit] has no key `Descripton=` (did you mean `Description=`?) [unknown key]
            a.service:5:1: error: [X-Fleet] has no key `Globl=` (did you mean `Global=`?) [unknown key]
            a.service:7:1: error: `MachineID=` is a [X-Fleet] key, not one of [X-Argosy] (move it below [X-Fleet]) [not a key of [X-Argosy]]
        "#]],
    );
}

#[test]
fn sections_that_do_not_exist() {
    one_line(
        "a.service",
        "[service]\n[X-Flet]\n[Timer]\nOnCalendar=daily\n[X-Other]\nA=1\n[Quux]\n[Service]\nX-Own=1\nExecStart=a\n[Install]\nWantedBy=default.target\nAlias=b.service\n",
        expect![[r#"
            a.service:1:2: error: there is no section [service] (did you mean [Service]?) [unknown section]
            a.service:2:2: error: there is no section [X-Flet] (did you mean [X-Fleet]?) [unknown section]
            a.service:3:2: error: [Timer] has no place in a `.service` file (it belongs into a `.timer` file of its own) []
            a.service:5:2: note: [X-Other] is somebody else's and is ignored []
            a.service:7:2: error: there is no section [Quux] (a `.service` file has [Unit], [Service], [Install], [X-Fleet] and [X-Argosy]) [unknown section]
            a.service:9:1: note: `X-Own=` is somebody else's and is ignored []
            a.service:11:2: note: [Install] is kept, but no unit is enabled on its machine (`argosy start` makes it run, now and after every reboot) []
            a.service:13:1: note: `Alias=` is accepted and does nothing here: a unit has one name in the cluster []
        "#]],
    );
}

#[test]
fn what_is_not_available_is_refused_by_name() {
    check(
        "[Service]\nExecStart=/bin/true\nPrivateTmp=yes\nLimitNOFILE=4096\n",
        expect![[r#"
            error: `PrivateTmp=` is refused: sandboxing is not available yet, and the unit would be less confined than it asks for
             --> a.service:3:1
              |
            3 | PrivateTmp=yes
              | ^^^^^^^^^^ not available
              |
              = help: leave it out, or set `PrivateTmp=no`

            error: `LimitNOFILE=` is refused: resource limits are not available yet
             --> a.service:4:1
              |
            4 | LimitNOFILE=4096
              | ^^^^^^^^^^^ not available
        "#]],
    );
    lines(
        "Type=forking\nStateDirectory=x\nOOMPolicy=kill\nOOMPolicy=continue\nIgnoreSIGPIPE=no\nSlice=system.slice\nCPUAccounting=yes\nSyslogFacility=daemon\n",
        expect![[r#"
            a.service:3:6: error: `Type=forking` is not available (run the program in the foreground and use Type=simple or Type=notify) [refused]
            a.service:4:1: error: `StateDirectory=` is refused: directories are not made for units yet; make it with ExecStartPre=+/bin/mkdir -p [not available]
            a.service:5:1: error: `OOMPolicy=` is refused: a unit is not stopped or killed as a whole when memory runs out yet (leave it out, or set `OOMPolicy=continue`) [not available]
            a.service:7:1: error: `IgnoreSIGPIPE=` is refused: SIGPIPE is always ignored when a process starts (leave it out, or set `IgnoreSIGPIPE=yes`) [not available]
            a.service:9:1: note: `CPUAccounting=` is accepted and does nothing here: what a unit uses is counted, or not, for all units alike []
            a.service:10:1: note: `SyslogFacility=` is accepted and does nothing here: the journal does not keep it []
        "#]],
    );
    one_line(
        "a.service",
        "[Unit]\nConditionPathExists=/x\nOnFailure=b.service\nDefaultDependencies=no\n[Service]\nExecStart=a\n[X-Argosy]\nEndpoint=web:auto/http\nUpdateParallel=2\n[X-Fleet]\nReplaces=b*\n",
        expect![[r#"
            a.service:2:1: error: `ConditionPathExists=` is refused: conditions and assertions are not checked yet; use ExecCondition= in [Service] [not available]
            a.service:3:1: error: `OnFailure=` is refused: units are not started by the end of other units yet [not available]
            a.service:4:1: note: `DefaultDependencies=` is accepted and does nothing here: no unit starts before the machine has booted []
            a.service:9:1: error: `UpdateParallel=` is refused: updates in steps are not available yet [not available]
            a.service:11:1: error: `Replaces=` is refused: a unit does not push another one off its machine yet; use Conflicts= [not available]
        "#]],
    );
}

#[test]
fn bad_values_say_what_is_accepted() {
    check(
        "[Service]\nExecStart=/bin/true\nRestart=allways\nTimeoutSec=1 minuet\n",
        expect![[r#"
            error: `Restart=allways` is not valid
             --> a.service:3:9
              |
            3 | Restart=allways
              |         ^^^^^^^ expected one of no, on-success, on-failure, on-abnormal, on-abort, on-watchdog, always
              |
              = help: did you mean `always`?

            error: `TimeoutSec=1 minuet` is not valid
             --> a.service:4:12
              |
            4 | TimeoutSec=1 minuet
              |            ^^^^^^^^ expected a time span such as 5, 90s, 1min 30s or infinity
        "#]],
    );
    lines(
        "Type=oneshoot\nRemainAfterExit=maybe\nRestartSec=infinity\nUMask=9\nKillSignal=SIGFOO\nSuccessExitStatus=1,2\nUser=a:b\nWorkingDirectory=srv\nEnvironmentFile=x\nEnvironment=A=1 b\nPassEnvironment=A=1\nUnsetEnvironment=1\nStandardInput=tty\nStandardOutput=fiel:/x\nStandardError=file:x\nStartLimitBurst=-1\nStandardInputData=x\nRestart=\nNotifyAccess=foo\n",
        expect![[r#"
            a.service:3:6: error: `Type=oneshoot` is not valid (did you mean `oneshot`?) [expected one of simple, exec, oneshot, notify, idle]
            a.service:4:17: error: `RemainAfterExit=maybe` is not valid [expected a boolean: yes or no]
            a.service:5:12: error: `RestartSec=infinity` would never restart (write Restart=no for that) []
            a.service:6:7: error: `UMask=9` is not valid [expected octal digits such as 0022]
            a.service:7:12: error: `KillSignal=SIGFOO` is not valid [expected a signal such as SIGTERM or 15]
            a.service:8:19: error: `1,2` is no exit status (they are separated by spaces) [expected a code from 0 to 255, its name such as TEMPFAIL, or a signal]
            a.service:9:6: error: `User=a:b` is not valid [expected a user's name or number]
            a.service:10:18: error: `WorkingDirectory=srv` is not valid [expected an absolute path or `~`, after `-` if it may be missing]
            a.service:11:17: error: `EnvironmentFile=x` is not valid [expected an absolute path, after `-` if it may be missing]
            a.service:12:17: error: this is not an assignment to a variable (a value with spaces is quoted as a whole: "NAME=some value") [expected NAME=value]
            a.service:13:17: error: `A=1` is not valid here [expected the name of a variable]
            a.service:14:18: error: `1` is not valid here [expected NAME or NAME=value]
            a.service:15:15: error: `StandardInput=tty` is not available: services have no terminal [refused]
            a.service:16:16: error: `StandardOutput=fiel:/x` is not valid [expected journal, null, inherit, file:PATH, append:PATH or truncate:PATH]
            a.service:17:15: error: `StandardError=file:x` is not valid [expected journal, null, inherit, file:PATH, append:PATH or truncate:PATH; PATH is absolute]
            a.service:18:17: error: `StartLimitBurst=-1` is not valid [expected a number, 0 for no limit]
            a.service:19:19: error: `StandardInputData=x` is not valid [expected base64]
            a.service:20:1: error: `Restart=` needs a value [expected one of no, on-success, on-failure, on-abnormal, on-abort, on-watchdog, always]
            a.service:21:14: error: `NotifyAccess=foo` is not valid [expected one of none, main, exec, all]
        "#]],
    );
}

#[test]
fn quotes_and_escapes_are_placed_exactly() {
    check(
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'a \\\n   b\nExecStart=/bin/echo a\\.b \\\n  c\\qd 50%\nExecStart=/bin/echo \\xff\nStandardInputText=a\\q\n",
        expect![[r#"
            error: a quote is never closed
             --> a.service:3:22
              |
            3 | ExecStart=/bin/sh -c 'a \
              |                      ^ it opens here
              |
              = help: write \' for the character itself

            warning: `\.` is no escape sequence and stays as it is
             --> a.service:5:22
              |
            5 | ExecStart=/bin/echo a\.b \
              |                      ^^
              |
              = help: write \\ for a backslash

            warning: `\q` is no escape sequence and stays as it is
             --> a.service:6:4
              |
            6 |   c\qd 50%
              |    ^^
              |
              = help: write \\ for a backslash

            warning: `%` is no specifier and stays as it is
             --> a.service:6:10
              |
            6 |   c\qd 50%
              |          ^
              |
              = help: write %% for a percent sign

            error: its escapes make bytes that are not UTF-8 text
             --> a.service:7:21
              |
            7 | ExecStart=/bin/echo \xff
              |                     ^^^^

            error: this is no escape sequence
             --> a.service:8:20
              |
            8 | StandardInputText=a\q
              |                    ^^
              |
              = help: write \\ for a backslash
        "#]],
    );
}

#[test]
fn programs_are_absolute_or_names() {
    check(
        "[Service]\nExecStart=./run.sh\n",
        expect![[r#"
        error: `./run.sh` is a relative path
         --> a.service:2:11
          |
        2 | ExecStart=./run.sh
          |           ^^^^^^^^ expected an absolute path, or a name without `/`
          |
          = help: relative to what would differ by machine: write the whole path
    "#]],
    );
    lines(
        "ExecStartPre=bin/x\nExecStartPre=/bin/\nExecStartPre=-\nExecStartPre=@/bin/x\nExecStartPre=!/bin/x\nExecStartPre=..\nExecStartPre=${X} a\nExecStartPre=;\nExecStartPre='/bin/a\\'b'\nExecStartPre=--/bin/x\n",
        expect![[r#"
            a.service:3:14: error: `bin/x` is a relative path (relative to what would differ by machine: write the whole path) [expected an absolute path, or a name without `/`]
            a.service:4:14: error: `/bin/` is a directory []
            a.service:5:14: error: there is no program [expected a program after the prefix]
            a.service:6:14: error: after `@` the second word is the program's name, argv[0] [there is no second word]
            a.service:7:14: error: the prefix `!` is not available (`+` runs the command with full privileges) []
            a.service:8:14: error: this is not a program's name []
            a.service:9:14: error: the program may not be a variable (use a shell: /bin/sh -c 'exec "$$PROGRAM"') []
            a.service:10:14: error: there is no command between the semicolons []
            a.service:11:14: error: a program's path may hold no quotes, backslashes or control characters []
            a.service:12:14: error: `-/bin/x` is a relative path (relative to what would differ by machine: write the whole path) [expected an absolute path, or a name without `/`]
        "#]],
    );
}

#[test]
fn shell_syntax_is_warned_of() {
    check(
        "[Service]\nExecStart=/bin/dmesg | tac\nExecStartPost=/bin/ls; /bin/ls\nExecStop=/bin/x 2>&1 > y\n",
        expect![[r#"
            warning: `|` is passed to the program as it is: no shell runs here
             --> a.service:2:22
              |
            2 | ExecStart=/bin/dmesg | tac
              |                      ^
              |
              = help: write sh -c '...' for a shell command line

            warning: `/bin/ls;` is one word: only a `;` of its own ends a command
             --> a.service:3:15
              |
            3 | ExecStartPost=/bin/ls; /bin/ls
              |               ^^^^^^^^
              |
              = help: put a space before the `;`

            warning: `2>&1` is passed to the program as it is: no shell runs here
             --> a.service:4:17
              |
            4 | ExecStop=/bin/x 2>&1 > y
              |                 ^^^^
              |
              = help: write sh -c '...' for a shell command line
        "#]],
    );
}

#[test]
fn rules_between_directives() {
    check(
        "[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n",
        expect![[r#"
        error: more than one ExecStart= command, which only Type=oneshot allows
         --> a.service:3:11
          |
        3 | ExecStart=/bin/b
          |           ^^^^^^ the second command
          |
          = help: write Type=oneshot, or an empty ExecStart= before it to replace the first
    "#]],
    );
    one_line(
        "a.service",
        "[Unit]\nDescription=x\n",
        expect![[r#"
        a.service:1:1: error: there is no [Service] section (a `.service` file says in [Service] what to run, by ExecStart=) []
    "#]],
    );
    one_line(
        "a.service",
        "[Service]\nRestart=always\n",
        expect![[r#"
            a.service:1:2: error: there is neither ExecStart= nor ExecStop=: there is nothing to run [this section has no ExecStart=]
        "#]],
    );
    one_line(
        "a.service",
        "[Service]\nType=simple\n",
        expect![[r#"
        a.service:1:2: error: there is no ExecStart=, which only Type=oneshot allows [this section has no ExecStart=]
    "#]],
    );
    one_line(
        "a.service",
        "[Service]\nExecStop=/bin/a\n",
        expect![[r#"
        a.service:1:2: error: without ExecStart=, RemainAfterExit=yes is needed (ExecStop= runs when a unit that remained active is stopped) [this section has no ExecStart=]
    "#]],
    );
    lines(
        "Type=oneshot\nRestart=always\nRestartForceExitStatus=1\nRuntimeMaxSec=1\n",
        expect![[r#"
            a.service:4:9: error: a Type=oneshot service cannot be restarted after success (use Restart=on-failure) [not with Type=oneshot]
            a.service:5:1: error: `RestartForceExitStatus=` does not go with Type=oneshot []
            a.service:6:1: warning: `RuntimeMaxSec=` has no effect with Type=oneshot (TimeoutStartSec= limits how long its commands may run) []
        "#]],
    );
    lines(
        "StandardInput=file:/x\nStandardOutput=inherit\nType=notify\nNotifyAccess=none\n",
        expect![[r#"
            a.service:4:16: error: an input file cannot be inherited as standard output (name the file: StandardOutput=file:PATH) []
            a.service:6:14: note: Type=notify and WatchdogSec= need notifications: it becomes `main` []
        "#]],
    );
    one_line(
        "a.timer",
        "[Timer]\n",
        expect![[r#"
        a.timer:1:1: error: `.timer` units are not available yet (only `.service` units are) []
    "#]],
    );
}

#[test]
fn names_of_units() {
    one_line(
        "a.service",
        "[Unit]\nRequires=db\nAfter=a.service b@.service dev-sda.device x,y.service\nBindsTo=dev-sda.device\nWants=\"a\nDocumentation=foo man:x(1)\n[Service]\nExecStart=a\n",
        expect![[r#"
            a.service:2:10: error: `db` is not a unit name (did you mean `db.service`?) [expected a name that ends in .service, .target or the like]
            a.service:3:7: warning: `After=` names the unit itself and is ignored []
            a.service:3:17: error: `b@.service` is a template, which never runs itself (name an instance, such as `b@1.service`) []
            a.service:3:28: note: `dev-sda.device` is ignored: there are no such units here []
            a.service:3:43: error: the unit name "x,y.service" contains ','; allowed are letters, digits and :-_.\@ (names are separated by spaces) []
            a.service:4:9: error: `dev-sda.device` cannot be required: there are no such units here []
            a.service:5:7: error: a quote is never closed (write \" for the character itself) [it opens here]
            a.service:6:15: warning: this is no address systemd would take [expected one that begins with http://, https://, file:/, info:, man:]
        "#]],
    );
}

#[test]
fn placement() {
    one_line(
        "a.service",
        "[Service]\nExecStart=a\n[X-Fleet]\nMachineID=%m\nMachineID=12345678\nMachineID=x\nMachineOf=b.service b\nMachineMetadata=region\nMachineMetadata=a=b=c\nConflicts=[ b*\nGlobal=yes\n[X-Argosy]\nReplicas=2\nReplicas=-1\nData=remote\nAnnounce=/x\n",
        expect![[r#"
            a.service:4:11: error: `%m` differs by machine, which is not chosen yet (%n, %N, %p, %P, %i, %I, %j and %J are such) [only specifiers of the unit's name may stand here]
            a.service:6:11: warning: a unit has one machine: the first MachineID= holds []
            a.service:7:11: error: `MachineOf=` does not go with `MachineID=` [not with MachineID=]
            a.service:7:11: error: `b.service` is followed and also conflicted with (a pattern of Conflicts= matches it, so no machine would do) []
            a.service:7:21: error: the unit name "b" does not end in a unit type such as .service or .timer [expected the name of a unit]
            a.service:8:17: error: `region` is not a label (several are separated by spaces; a label with spaces is quoted) [expected key=value]
            a.service:9:17: error: `a=b=c` is not a label (several are separated by spaces; a label with spaces is quoted) [expected key=value]
            a.service:10:11: error: `[` begins a set that is never closed by `]` [not a valid pattern]
            a.service:10:13: error: `Conflicts=` does not go with `MachineID=` [not with MachineID=]
            a.service:11:8: error: `Global=` does not go with `MachineID=` [not with MachineID=]
            a.service:11:8: error: `Global=` does not go with `MachineOf=` [not with MachineOf=]
            a.service:13:10: error: `Replicas=` does not go with `Global=` [not with Global=]
            a.service:13:10: error: `Replicas=` needs a template, whose instances it counts (name the file `a@.service`) [this unit is no template]
            a.service:14:10: error: `Replicas=-1` is not valid [expected how many instances to run, 0 to 100000]
            a.service:15:6: error: `Data=remote` is not valid [expected one of local, shared, replicated, disposable]
            a.service:16:10: error: `Announce=` names one place, but `Global=` means many [not with Global=]
        "#]],
    );
    for key in ["x", "/x/", "/a//b", "/_argosy/x", "/a:5432", "/a 0", "/a 1 2", "/a/%H", "'/a b'"] {
        let text = format!("[Service]\nExecStart=a\n[X-Argosy]\nAnnounce={key}\n");
        let (file, _) = UnitFile::parse("a.service", &text);
        let (spec, found) = lower(&file, &name("a.service"), &Specifiers::default());
        assert!(spec.is_none() && found.len() == 1, "{key}: {found:?}");
    }
    one_line(
        "a.service",
        "[Service]\nExecStart=a\n[X-Argosy]\nStandby=9\nStandby=one\n",
        expect![[r#"
            a.service:4:9: error: `Standby=9` is not valid [expected on how many machines, 0 to 8]
            a.service:5:9: error: `Standby=one` is not valid [expected on how many machines, 0 to 8]
        "#]],
    );
    one_line(
        "a@.service",
        "[Service]\nExecStart=a\n[X-Argosy]\nReplicas=2\nAnnounce=/a\n",
        expect![[r#"
            a@.service:5:10: error: all instances would write the same key (write /a/%i) [the key needs %i, for Replicas= is more than 1]
        "#]],
    );
    one_line(
        "a@.service",
        "[Service]\nExecStart=a\n[X-Argosy]\nAnnounce=/a:5432\n",
        expect![[r#"
        a@.service:4:10: error: the port stands behind the key, not in it (write Announce=/a 5432) []
    "#]],
    );
    one_line(
        "a@.service",
        "[Service]\nExecStart=a\n[X-Argosy]\nAnnounce=/a 5432\n",
        expect![[r#"
        a@.service:4:10: warning: two instances of this template would write the same key (write /a/%i) []
    "#]],
    );
}

#[test]
fn traffic() {
    one_line(
        "a.service",
        "[Service]\nExecStart=a\n[X-Argosy]\nEndpoint=api\nEndpoint=Api:1/http\nEndpoint=api:0/http\nEndpoint=api:auto/htpp\nEndpoint=api:80/http\nEndpoint=api:81/http\nPublish=x\nPublish=80 aip\nPublish=81 api\nPublish=81\nPublish=1 2 3\n",
        expect![[r#"
            a.service:4:10: error: `Endpoint=api` is not valid [expected NAME:PORT/PROTO, such as api:auto/http or db:5432/tcp]
            a.service:5:10: error: `Api` is no name of a service [expected lower-case letters, digits and dashes within]
            a.service:6:14: error: `0` is not a port [expected a number from 1 to 65535, or auto]
            a.service:7:19: error: `htpp` is no protocol of an endpoint (did you mean `http`?) [expected http or tcp]
            a.service:9:10: error: `api` is named twice (give each endpoint of a unit a name of its own) []
            a.service:10:9: error: `x` is not a port [expected a number from 1 to 65535]
            a.service:11:9: error: the unit has no endpoint `aip` (did you mean `api`?) []
            a.service:13:9: error: port 81 is published twice []
            a.service:14:9: error: `Publish=1 2 3` is not valid [expected PORT or PORT NAME]
        "#]],
    );
    one_line(
        "a.service",
        "[Service]\nExecStart=a\n[X-Argosy]\nPublish=80\n",
        expect![[r#"
        a.service:4:9: error: `Publish=` needs an endpoint to lead to (write one, such as Endpoint=api:auto/http) []
    "#]],
    );
    one_line(
        "a@.service",
        "[Service]\nExecStart=a\n[X-Argosy]\nEndpoint=a%H:auto/tcp\nEndpoint=b-:%i/tcp\n",
        expect![[r#"
            a@.service:4:11: error: `%H` differs by machine, which is not chosen yet (%n, %N, %p, %P, %i, %I, %j and %J are such) [only specifiers of the unit's name may stand here]
            a@.service:5:10: error: `b-` is no name of a service [expected lower-case letters, digits and dashes within]
        "#]],
    );
}

#[test]
fn health_checks() {
    one_line(
        "a.service",
        "[Service]\nExecStart=a\n[X-Argosy]\nEndpoint=a:1/tcp\nHealthCheck=http\nHealthCheck=/up\nHealthCheck=http://a:80/up\nHealthCheck=http:up\nHealthCheck=exec:/bin/true\nHealthCheck=http:/a b\nHealthCheck=http:/%m\nHealthCheck=http:/up\n",
        expect![[r#"
            a.service:5:13: error: `http` is no check (write http:/ for the root) [expected tcp or http:/PATH, such as http:/healthz]
            a.service:6:13: error: `/up` is no check (write http:/up) [expected tcp or http:/PATH, such as http:/healthz]
            a.service:7:13: error: `http://a:80/up` is no check (write the path alone: http:/up) [expected tcp or http:/PATH, such as http:/healthz]
            a.service:8:13: error: `http:up` is no check (write http:/up) [expected tcp or http:/PATH, such as http:/healthz]
            a.service:9:13: error: `exec:/bin/true` is no check (`tcp` opens a connection, `http:/PATH` asks the first HTTP endpoint) [expected tcp or http:/PATH, such as http:/healthz]
            a.service:10:13: error: `http:/a b` is no check (write other characters of the path as % and two hexadecimal digits) [expected tcp or http:/PATH, such as http:/healthz]
            a.service:11:19: error: `%m` differs by machine, which is not chosen yet (%n, %N, %p, %P, %i, %I, %j and %J are such) [only specifiers of the unit's name may stand here]
            a.service:12:13: error: the unit has no HTTP endpoint to ask (end its Endpoint= in /http, or write HealthCheck=tcp) []
        "#]],
    );
    one_line(
        "a.service",
        "[Service]\nExecStart=a\n[X-Argosy]\nHealthCheck=tcp\n",
        expect![[r#"
            a.service:4:13: error: `HealthCheck=` needs an endpoint to ask (write one, such as Endpoint=api:auto/http) []
        "#]],
    );
}

#[test]
fn findings_are_bounded_and_an_error_is_among_them() {
    let notes = "CPUAccounting=yes\n".repeat(1000);
    let text = format!("[Service]\nExecStart=/bin/true\n{notes}PrivateTmp=yes\n");
    let (file, _) = UnitFile::parse("a.service", &text);
    let (spec, found) = lower(&file, &name("a.service"), &Specifiers::default());
    assert_eq!(spec, None);
    assert_eq!(found.len(), 101);
    assert_eq!(found.last().unwrap().severity, Severity::Error);
}
