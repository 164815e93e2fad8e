//! Templates as people write them for docker, and what is refused.

use serde_json::{Value, json};

use super::Template;

fn one() -> Value {
    json!({
        "Id": "abc", "Names": "web", "Labels": "a=1,b=2",
        "State": { "Running": true, "Pid": 42, "Health": null },
        "Config": { "Labels": { "com.x/y": "z", "team": "blue" }, "Env": ["A=1", "B=2"] },
        "Mounts": [{ "Source": "/a", "Destination": "/b" }, { "Source": "/c", "Destination": "/d" }],
        "NetworkSettings": {
            "Ports": { "80/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "8080" }], "81/tcp": null },
            "Networks": { "front": { "IPAddress": "10.0.0.2" }, "back": { "IPAddress": "10.0.1.2" } },
        },
    })
}

fn filled(template: &str) -> String {
    match Template::read(template).and_then(|it| it.fill(&one())) {
        Ok(text) => text,
        Err(error) => format!("error: {error}"),
    }
}

#[track_caller]
fn check(template: &str, expected: &str) {
    assert_eq!(filled(template), expected, "{template}");
}

#[test]
fn fields_and_text() {
    check("{{.Names}}", "web");
    check("{{ .State.Running }} {{.State.Pid}}", "true 42");
    check("a {{- .Id -}} b", "aabcb");
    check("{{/* said */}}{{.Id}}", "abc");
    check("{{json .Config.Env}} {{.Config.Env}}", "[\"A=1\",\"B=2\"] [A=1 B=2]");
    check("{{.Config.Labels.team}} {{.Config.Labels.none}}", "blue <no value>");
    check("{{index .Config.Labels \"com.x/y\"}}|{{index .Config.Labels \"no\"}}", "z|");
    check("{{.Label \"b\"}}|{{.Label \"c\"}}", "2|");
    check("{{\"}}\"}}{{`a\"b`}}", "}}a\"b");
}

#[test]
fn blocks_of_scripts() {
    check("{{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}", "/a:/b /c:/d ");
    check(
        "{{range $p, $conf := .NetworkSettings.Ports}}{{$p}} -> {{(index $conf 0).HostPort}}{{end}}",
        "error: index cannot be done with (<no value>, 0)",
    );
    check(
        "{{range $p, $c := .NetworkSettings.Ports}}{{if $c}}{{$p}}={{(index $c 0).HostPort}} {{else}}- {{end}}{{end}}",
        "80/tcp=8080 - ",
    );
    check("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080");
    check("{{range .NetworkSettings.Networks}}{{.IPAddress}},{{end}}", "10.0.1.2,10.0.0.2,");
    check("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none");
    check("{{with .State}}{{.Pid}}{{$.Id}}{{end}}", "42abc");
    check("{{with $s := .State}}{{$s.Pid}}{{end}}", "42");
    check("{{if eq .Names \"db\"}}1{{else if eq .Names \"web\" \"x\"}}2{{else}}3{{end}}", "2");
    check("{{range .None}}{{else}}", "error: {{range .None}} has no {{end}}");
    check("{{$x := 1}}{{range .Mounts}}{{$x}}{{$x = 2}}{{end}}", "12");
}

#[test]
fn functions() {
    check("{{.Names | upper | printf \"%-5s|\"}}", "WEB  |");
    check("{{printf \"%s=%d %v %q %%\" .Id .State.Pid true \"a\"}}", "abc=42 true \"a\" %");
    check("{{join .Config.Env \";\"}} {{len .Mounts}}", "A=1;B=2 2");
    check("{{split \"a,b\" \",\"}}{{title \"up and on\"}}", "[a b]Up And On");
    check("{{truncate .Id 2}}{{slice .Id 1 2}}{{println \"x\"}}", "abbx\n");
    check("{{and .Id .State.Running}} {{or .State.Health \"no\"}} {{not .Id}}", "true no false");
    check("{{gt .State.Pid 41}}{{le 2 1}}{{ne .Id \"abc\"}}", "truefalsefalse");
    check("{{print .Id 1 2}}", "abc1 2");
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    check(
        "{{.Nmes}}",
        "error: there is no Nmes: there are Config, Id, Labels, Mounts, Names, NetworkSettings, State",
    );
    check("{{.State.Health.Status}}", "error: there is no Status: it is asked of nothing");
    check(
        "{{define \"x\"}}{{end}}",
        "error: define is not there: there are if, else, range, with and end",
    );
    assert!(
        filled("{{urlquery .Id}}")
            .starts_with("error: there is no function urlquery: there are and, ")
    );
    check("{{.Id", "error: a {{ has no }}");
    check("{{end}}", "error: {{end}} belongs to nothing");
    check("{{if .Id}}", "error: {{if .Id}} has no {{end}}");
    check("{{\"a}}", "error: a {{ has no }}");
    check("{{.Id )}}", "error: ) is left over in {{.Id )}}");
    check("{{}}", "error: a value is missing in {{}}");
    check("{{.Id 1}}", "error: Id takes no arguments");
    check("{{$no}}", "error: there is no variable $no");
    check("{{lower 1}}", "error: lower cannot be done with (1)");
    check("{{eq .Id 1}}", "error: eq cannot be done with (abc, 1)");
    check(
        &format!("{{{{{}.Id}}}}", "(".repeat(100)),
        "error: brackets or blocks are more than 64 deep",
    );
    check(&"{{if .}}".repeat(100), "error: brackets or blocks are more than 64 deep");
    for text in ["{{.Id ! }}", "{{1x}}", "{{\"\\z\"}}", "{{else if}}", "{{if}}{{end}}", "{{. .}}"] {
        assert!(filled(text).starts_with("error: "), "{text}");
    }
}
