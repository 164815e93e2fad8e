//! What units ask for, once lowered.

mod refused;

use std::time::Duration;

use argosy_model::{
    DataPolicy, EndpointProtocol, EndpointSpec, ExecCommand, ExecPrefix, HealthCheck, KillMode,
    NotifyAccess, Publish, RestartPolicy, ServiceType, StandardInput, StandardOutput, Timeout,
    Traffic,
};

use super::*;
use crate::Severity;

fn name(text: &str) -> UnitName {
    UnitName::new(text).unwrap()
}

/// Lowers a text that must have no errors and no warnings.
fn spec_of(text: &str, unit: &str) -> UnitSpec {
    let (file, mut found) = UnitFile::parse("a.service", text);
    let (spec, more) = lower(&file, &name(unit), &Specifiers::default());
    found.extend(more);
    let bad: Vec<String> = found
        .iter()
        .filter(|found| found.severity != Severity::Note)
        .map(ToString::to_string)
        .collect();
    assert_eq!(bad, Vec::<String>::new());
    spec.unwrap()
}

/// Lowers a `[Service]` section that begins with an ExecStart=.
fn service(lines: &str) -> argosy_model::ServiceSpec {
    spec_of(&format!("[Service]\nExecStart=/bin/true\n{lines}"), "a.service").service
}

fn exec(line: &str) -> Vec<ExecCommand> {
    spec_of(&format!("[Service]\nType=oneshot\nExecStart={line}\n"), "a.service").service.exec_start
}

fn argv(line: &str) -> Vec<Vec<String>> {
    exec(line).into_iter().map(|command| command.argv).collect()
}

#[test]
fn the_unit_every_newcomer_starts_with() {
    let text = "\
[Unit]
Description=My Service
Requires=docker.service
After=docker.service

[Service]
ExecStart=/usr/bin/docker run busybox /bin/sh -c \"while true; do echo Hello World; sleep 1; done\"

[Install]
WantedBy=multi-user.target
";
    let spec = spec_of(text, "hello.service");
    assert_eq!(spec.name.as_str(), "hello.service");
    assert_eq!(spec.description.as_deref(), Some("My Service"));
    assert_eq!(spec.dependencies.requires, [name("docker.service")]);
    assert_eq!(spec.dependencies.after, [name("docker.service")]);
    assert_eq!(spec.wanted_by, [name("multi-user.target")]);
    assert_eq!(spec.service.service_type, ServiceType::Simple);
    let [command] = spec.service.exec_start.as_slice() else { panic!("one command") };
    assert_eq!(command.program, "/usr/bin/docker");
    let script = "while true; do echo Hello World; sleep 1; done";
    assert_eq!(command.argv, ["/usr/bin/docker", "run", "busybox", "/bin/sh", "-c", script]);
}

#[test]
fn defaults_are_those_of_systemd() {
    let spec = service("");
    let expected = argosy_model::ServiceSpec {
        exec_start: spec.exec_start.clone(),
        ..argosy_model::ServiceSpec::default()
    };
    assert_eq!(spec, expected);
    let oneshot = service("Type=oneshot\n");
    assert_eq!(oneshot.timeout_start, Timeout::Never, "a oneshot may take its time");
    let limited = service("Type=oneshot\nTimeoutStartSec=5\n");
    assert_eq!(limited.timeout_start, Timeout::After(Duration::from_secs(5)));
    assert_eq!(service("Type=notify\n").notify_access, NotifyAccess::Main);
    assert_eq!(service("WatchdogSec=5\n").notify_access, NotifyAccess::Main);
    assert_eq!(service("WatchdogSec=5\nNotifyAccess=all\n").notify_access, NotifyAccess::All);
    assert_eq!(service("WatchdogSec=0\n").notify_access, NotifyAccess::None);
    let stop_only = "[Service]\nRemainAfterExit=yes\nExecStop=/bin/true\n";
    let spec = spec_of(stop_only, "a.service").service;
    assert_eq!(spec.service_type, ServiceType::Oneshot, "without ExecStart= and Type=");
}

#[test]
fn every_supported_value_arrives() {
    let spec = service(
        "Type=exec\nRemainAfterExit=yes\nRestart=on-failure\nRestartSec=1min 500ms\n\
         TimeoutSec=10\nTimeoutStopSec=0\nRuntimeMaxSec=1h\nWatchdogSec=3\n\
         StartLimitBurst=7\nKillMode=mixed\nKillSignal=SIGINT\nFinalKillSignal=QUIT\n\
         SendSIGHUP=on\nSendSIGKILL=off\nUMask=0077\nUser=www-data\nGroup=33\n\
         WorkingDirectory=-/srv//x\nSyslogIdentifier=me-%p\nPassEnvironment=A B\n\
         UnsetEnvironment=C D=1\nEnvironmentFile=-/etc/x\nEnvironmentFile=/etc/%p\n\
         SuccessExitStatus=TEMPFAIL 250 SIGKILL\nRestartPreventExitStatus=1 1\n\
         RestartForceExitStatus=SIGUSR1\nStandardOutput=append:/var/log/x\nStandardError=null\n",
    );
    assert_eq!(spec.service_type, ServiceType::Exec);
    assert!(spec.remain_after_exit);
    assert_eq!(spec.restart, RestartPolicy::OnFailure);
    assert_eq!(spec.restart_delay, Duration::from_millis(60_500));
    assert_eq!(spec.timeout_start, Timeout::After(Duration::from_secs(10)));
    assert_eq!(spec.timeout_stop, Timeout::Never);
    assert_eq!(spec.runtime_max, Timeout::After(Duration::from_secs(3600)));
    assert_eq!(spec.watchdog, Timeout::After(Duration::from_secs(3)));
    assert_eq!(spec.start_limit_burst, 7);
    assert_eq!(spec.kill_mode, KillMode::Mixed);
    assert_eq!((spec.kill_signal, spec.final_kill_signal), (2, 3));
    assert!(spec.send_sighup && !spec.send_sigkill);
    assert_eq!(spec.umask, 0o077);
    assert_eq!((spec.user.as_deref(), spec.group.as_deref()), (Some("www-data"), Some("33")));
    let directory = spec.working_directory.unwrap();
    assert_eq!((directory.path.as_str(), directory.missing_ok), ("/srv/x", true));
    assert_eq!(spec.syslog_identifier.as_deref(), Some("me-a"));
    assert_eq!(spec.pass_environment, ["A", "B"]);
    assert_eq!(spec.unset_environment, ["C", "D=1"]);
    let files: Vec<_> =
        spec.environment_files.iter().map(|file| (file.path.as_str(), file.missing_ok)).collect();
    assert_eq!(files, [("/etc/x", true), ("/etc/a", false)]);
    assert_eq!(spec.success_exit_status.codes, [75, 250]);
    assert_eq!(spec.success_exit_status.signals, [9]);
    assert_eq!(spec.restart_prevent_exit_status.codes, [1]);
    assert_eq!(spec.restart_force_exit_status.signals, [10]);
    assert_eq!(spec.standard_output, StandardOutput::Append("/var/log/x".to_owned()));
    assert_eq!(spec.standard_error, StandardOutput::Null);
}

#[test]
fn an_empty_assignment_resets_what_can_be_reset() {
    let spec = service(
        "ExecStartPre=/bin/a\nExecStartPre=\nExecStartPre=/bin/b\nEnvironment=A=1\nEnvironment=\n\
         Environment=B=1 C=2\nEnvironment=B=3\nUser=x\nUser=\nSuccessExitStatus=1\n\
         SuccessExitStatus=\nWorkingDirectory=/a\nWorkingDirectory=\n\
         EnvironmentFile=/a\nEnvironmentFile=\nPassEnvironment=A\nPassEnvironment=\n\
         PrivateTmp=\nPrivateTmp=no\nStandardInputText=a\nStandardInputText=\n",
    );
    assert_eq!(spec.exec_start_pre.len(), 1);
    assert_eq!(spec.exec_start_pre[0].program, "/bin/b");
    let environment = [("B".to_owned(), "3".to_owned()), ("C".to_owned(), "2".to_owned())];
    assert_eq!(spec.environment, environment);
    assert_eq!((spec.user, spec.working_directory), (None, None));
    assert!(spec.success_exit_status.codes.is_empty());
    assert!(spec.environment_files.is_empty() && spec.pass_environment.is_empty());
    assert_eq!(spec.standard_input, StandardInput::Null);
    let text = "[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=/bin/b\n";
    assert_eq!(spec_of(text, "a.service").service.exec_start[0].program, "/bin/b");
}

#[test]
fn command_lines_of_the_manual() {
    assert_eq!(argv("echo one ; echo \"two two\""), [["echo", "one"], ["echo", "two two"]]);
    let line = "echo / \\; \\\n  ls";
    assert_eq!(argv(line), [["echo", "/", ";", "ls"]]);
    assert_eq!(argv("; a ; ; b ;"), [["a"], ["b"]]);
    assert_eq!(argv("a \";\" b"), [["a", ";", "b"]], "a quoted semicolon is a word");
    assert_eq!(argv("echo ${A} $B $$C"), [["echo", "${A}", "$B", "$$C"]]);
    assert_eq!(argv("/bin/sh -c 'echo \"%p\" %%d'"), [["/bin/sh", "-c", "echo \"a\" %d"]]);
    assert_eq!(argv("a 'b\\tc'"), [["a", "b\tc"]]);
    assert_eq!(exec("//usr/./bin/x")[0].program, "/usr/bin/x");
    assert_eq!(exec("//usr/./bin/x")[0].argv, ["//usr/./bin/x"], "argv[0] as written");
    assert_eq!(exec("\"/opt/a b\" c")[0].program, "/opt/a b");
}

#[test]
fn prefixes_stand_in_any_order() {
    let all = ExecPrefix {
        ignore_failure: true,
        explicit_argv0: true,
        no_environment: true,
        privileged: true,
    };
    let command = exec("+:@-/bin/x y z").remove(0);
    assert_eq!(
        command,
        ExecCommand {
            program: "/bin/x".to_owned(),
            argv: vec!["y".to_owned(), "z".to_owned()],
            prefix: all,
        }
    );
    let command = exec("-!!x").remove(0);
    assert_eq!((command.program.as_str(), command.prefix.ignore_failure), ("x", true));
}

#[test]
fn standard_input_and_output() {
    let spec = service("StandardInputText=a\\tb %p\nStandardInputText=c\nStandardInputData=Zm9v\n");
    assert_eq!(spec.standard_input, StandardInput::Data(b"a\tb a\nc\nfoo".to_vec()));
    assert_eq!(service("StandardInput=data\n").standard_input, StandardInput::Data(Vec::new()));
    let null = service("StandardInput=null\nStandardInputText=a\n");
    assert_eq!(null.standard_input, StandardInput::Null);
    let file = service("StandardInput=file:/etc/%p\n");
    assert_eq!(file.standard_input, StandardInput::File("/etc/a".to_owned()));
    let inherited = service("StandardOutput=inherit\n");
    assert_eq!(inherited.standard_output, StandardOutput::Null, "there is nothing to inherit");
    assert_eq!(inherited.standard_error, StandardOutput::Inherit);
}

#[test]
fn an_instance_is_lowered_from_its_template() {
    let text = "[Unit]\nAfter=db@%i.service\n[Service]\nExecStart=/bin/web --id %i\n\
                [X-Argosy]\nReplicas=3\nAnnounce=/web/%i 808%i\n[X-Fleet]\nConflicts=%p@*.service\n";
    let spec = spec_of(text, "web@2.service");
    assert_eq!(spec.name.as_str(), "web@2.service");
    assert_eq!(spec.service.exec_start[0].argv, ["/bin/web", "--id", "2"]);
    assert_eq!(spec.dependencies.after, [name("db@2.service")]);
    let announce = spec.announce.unwrap();
    assert_eq!((announce.key.as_str(), announce.port), ("/web/2", Some(8082)));
    assert_eq!(spec.placement.replicas, Some(3));
    assert_eq!(spec.placement.conflicts, ["web@*.service"]);
    let template = spec_of(text, "web@.service");
    assert_eq!(template.name.as_str(), "web@.service");
    assert_eq!(template.announce.unwrap().key, "/web/1", "a template is read as its instance 1");
}

#[test]
fn endpoints_and_published_ports() {
    let text = "[Service]\nExecStart=/bin/web\n[X-Argosy]\nEndpoint=old:1/tcp\nEndpoint=\n\
                Endpoint=%p-admin:900%i/tcp\nEndpoint=web:auto/http\n\
                Publish=1\nPublish=\nPublish=8080 web\nPublish=9000\n";
    let traffic = spec_of(text, "web@2.service").traffic;
    let (http, tcp) = (EndpointProtocol::Http, EndpointProtocol::Tcp);
    let endpoint = |service: &str, port, protocol| {
        let service = service.to_owned();
        EndpointSpec { service, port, protocol }
    };
    assert_eq!(
        traffic.endpoints,
        [endpoint("web-admin", Some(9002), tcp), endpoint("web", None, http)]
    );
    let publish = |port, service: &str, protocol| {
        let service = service.to_owned();
        Publish { port, service, protocol }
    };
    assert_eq!(traffic.publish, [publish(8080, "web", http), publish(9000, "web-admin", tcp)]);
}

#[test]
fn health_checks() {
    let text = |check: &str| {
        let endpoints = "Endpoint=raw:1/tcp\nEndpoint=web:2/http\nEndpoint=admin:3/http";
        format!("[Service]\nExecStart=/bin/web\n[X-Argosy]\n{check}\n{endpoints}\n")
    };
    let traffic = |check: &str| spec_of(&text(check), "web@2.service").traffic;
    let checks = |traffic: Traffic| {
        traffic.endpoints.iter().map(|one| traffic.check_of(one).to_string()).collect::<Vec<_>>()
    };
    let by_path = traffic("HealthCheck=tcp\nHealthCheck=http:/up/%i?full=1");
    assert_eq!(by_path.health_check, Some(HealthCheck::Http("/up/2?full=1".to_owned())));
    assert_eq!(checks(by_path), ["tcp", "http:/up/2?full=1", "tcp"], "the first HTTP endpoint");
    let connected = traffic("HealthCheck=tcp");
    assert_eq!(connected.health_check, Some(HealthCheck::Tcp));
    assert_eq!(checks(connected), ["tcp", "tcp", "tcp"]);
    assert_eq!(traffic("HealthCheck=http:/up\nHealthCheck=").health_check, None);
}

#[test]
fn placement_as_fleet_has_it() {
    let text = "[Service]\nExecStart=/bin/x\n[X-Fleet]\nMachineOf=a.service b.service\n\
                MachineMetadata=region=eu \"disk=fast ssd\"\nMachineMetadata=region=us\n\
                Conflicts=c*.service\nX-Conflicts=d.service\n[X-Argosy]\nData=shared\n";
    let placement = spec_of(text, "x.service").placement;
    assert_eq!(placement.machine_of, [name("a.service"), name("b.service")]);
    assert_eq!(placement.conflicts, ["c*.service", "d.service"]);
    let metadata: Vec<_> =
        placement.metadata.iter().map(|label| (label.key.as_str(), label.values.clone())).collect();
    let values = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
    assert_eq!(metadata, [("region", values(&["eu", "us"])), ("disk", values(&["fast ssd"]))]);
    assert_eq!(placement.data, DataPolicy::Shared);
    assert!(placement.keeps_data);
    let pinned = "[Service]\nExecStart=/bin/x\n[X-Fleet]\nMachineID=ABCDEF01\n";
    let placement = spec_of(pinned, "x.service").placement;
    assert_eq!(placement.machine_id.as_deref(), Some("abcdef01"));
    assert!(!placement.keeps_data, "nothing says that it keeps data");
    let global = "[Service]\nExecStart=/bin/x\n[X-Fleet]\nGlobal=true\n[X-Argosy]\nData=local\n";
    let placement = spec_of(global, "x.service").placement;
    assert!(placement.global && placement.keeps_data);
}

#[test]
fn every_supported_directive_is_handled() {
    // apply() has a debug assertion for each key the table calls supported.
    for group in crate::DIRECTIVES {
        for rule in group.rules {
            let text = format!("[{}]\n{}=x\n", group.section, rule.key.trim_end_matches('*'));
            let (file, _) = UnitFile::parse("a.service", &text);
            let (_, found) = lower(&file, &name("a.service"), &Specifiers::default());
            assert!(!found.iter().any(|found| found.message.contains("has no key")), "{text}");
        }
    }
}

#[test]
fn on_how_many_machines_images_are_kept() {
    let standbys = |lines: &str| {
        let text = format!("[Service]\nExecStart=/bin/true\n{lines}");
        spec_of(&text, "a.service").placement.standbys()
    };
    assert_eq!(standbys(""), 1);
    assert_eq!(standbys("[X-Argosy]\nStandby=0\n"), 0);
    assert_eq!(standbys("[X-Argosy]\nStandby=8\n"), 8);
    assert_eq!(standbys("[X-Argosy]\nStandby=3\nStandby=\n"), 1);
    // It comes to no other machine by itself.
    assert_eq!(standbys("[X-Fleet]\nGlobal=yes\n"), 0);
    assert_eq!(standbys("[X-Fleet]\nMachineID=12345678\n"), 0);
    assert_eq!(standbys("[X-Argosy]\nData=local\nStandby=2\n"), 0);
    assert_eq!(standbys("[X-Argosy]\nData=shared\nStandby=2\n"), 2);
}
