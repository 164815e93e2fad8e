//! What a registry asks for when it answers 401: the `WWW-Authenticate` header.

/// How to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Reads a header; the token scheme is preferred where several stand in one.
pub(super) fn parse(header: &str) -> Option<Challenge> {
    let mut basic = false;
    let mut rest = header.trim();
    while !rest.is_empty() {
        let (scheme, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let (parameters, after) = parameters(after);
        if scheme.eq_ignore_ascii_case("bearer") {
            let get = |name: &str| {
                parameters
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.clone())
            };
            let realm = get("realm")?;
            return Some(Challenge::Bearer { realm, service: get("service"), scope: get("scope") });
        }
        basic |= scheme.eq_ignore_ascii_case("basic");
        rest = after.trim_start();
    }
    basic.then_some(Challenge::Basic)
}

/// `a="b", c=d` up to the next scheme.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let Some(equals) = rest.find('=') else { return (found, "") };
        let key = rest[..equals].trim();
        if key.contains(' ') || key.is_empty() {
            // A scheme begins here.
            return (found, rest);
        }
        let (value, after) = value(&rest[equals + 1..]);
        found.push((key.to_owned(), value));
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        if rest.is_empty() {
            return (found, "");
        }
    }
}

fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (place, char) in quoted.char_indices() {
        match char {
            _ if escaped => {
                value.push(char);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[place + 1..]),
            _ => value.push(char),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_real_registries_are_read() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/busybox:pull,push""#;
        assert_eq!(
            parse(hub),
            Some(Challenge::Bearer {
                realm: "https://auth.docker.io/token".into(),
                service: Some("registry.docker.io".into()),
                scope: Some("repository:library/busybox:pull,push".into()),
            })
        );
        assert_eq!(parse(r#"Basic realm="basic-realm""#), Some(Challenge::Basic));
        assert_eq!(parse("basic"), Some(Challenge::Basic));
        let both = r#"Basic realm="a b", Bearer realm="http://x/t", service=s"#;
        let Some(Challenge::Bearer { realm, service, scope: None }) = parse(both) else { panic!() };
        assert_eq!((realm.as_str(), service.as_deref()), ("http://x/t", Some("s")));
    }

    #[test]
    fn what_is_not_known_is_no_challenge() {
        for text in ["", "Negotiate", "Bearer", r#"Bearer service="x""#, "Digest realm=\"x\""] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
