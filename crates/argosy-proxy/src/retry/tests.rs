//! Every case of the retry rule.

use super::*;

const FAILURES: [Failure; 6] = [
    Failure::Refused,
    Failure::ConnectTimeout,
    Failure::NotSent,
    Failure::Reset,
    Failure::ResponseTimeout,
    Failure::Malformed,
];

const FIRST: Attempt = Attempt { idempotent: true, whole: true, tries: 1, timed_out: 0 };

#[test]
fn the_methods_that_may_be_sent_twice() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        assert!(idempotent(&method.parse().unwrap()), "{method}");
    }
    for method in ["POST", "PATCH", "CONNECT", "LOCK", "get"] {
        assert!(!idempotent(&method.parse().unwrap()), "{method}");
    }
}

#[test]
fn once_sent_only_an_idempotent_request_is_sent_again() {
    for failure in FAILURES {
        let sent = matches!(failure, Failure::Reset | Failure::ResponseTimeout);
        let again = |idempotent| decide(failure, Attempt { idempotent, ..FIRST });
        let malformed = failure == Failure::Malformed;
        assert_eq!(again(true) == Decision::Again, !malformed, "{failure:?}");
        assert_eq!(again(false) == Decision::Again, !sent && !malformed, "{failure:?}");
    }
}

#[test]
fn half_a_body_is_never_sent() {
    for failure in FAILURES {
        let decision = decide(failure, Attempt { whole: false, ..FIRST });
        assert!(matches!(decision, Decision::Answer(_)), "{failure:?}");
    }
}

#[test]
fn tries_end() {
    for failure in FAILURES {
        let decision = decide(failure, Attempt { tries: TRIES_MAX, ..FIRST });
        assert!(matches!(decision, Decision::Answer(_)), "{failure:?}");
    }
    let timed_out = Attempt { tries: 2, timed_out: TIMED_OUT_MAX, ..FIRST };
    let decision = decide(Failure::ResponseTimeout, timed_out);
    assert_eq!(decision, Decision::Answer(StatusCode::GATEWAY_TIMEOUT));
}
