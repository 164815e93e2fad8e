//! Tables followed one after the other.

use super::*;
use crate::difference::tests::endpoint;
use crate::endpoint::Running;
use crate::{Endpoint, Standing};

fn table(generation: u64, endpoints: Vec<Endpoint>) -> Table {
    Table { generation, services: [("web".to_owned(), endpoints)].into(), ..Table::default() }
}

fn names(routes: &Routes) -> Vec<String> {
    let cells = routes.services.get("web");
    cells.iter().flat_map(|all| all.iter()).map(|one| one.endpoint.instance.clone()).collect()
}

#[test]
fn an_older_table_is_ignored() {
    let mut routes = Routes::new(Clock::new(), Duration::ZERO);
    assert!(routes.follow(&table(2, vec![endpoint(1, 1)])));
    assert!(!routes.follow(&table(2, vec![])));
    assert!(!routes.follow(&table(1, vec![])));
    assert_eq!(names(&routes), ["web@1"]);
}

#[test]
fn what_stays_keeps_its_record_and_what_goes_drains() {
    let mut routes = Routes::new(Clock::new(), Duration::MAX / 2);
    routes.follow(&table(1, vec![endpoint(1, 1), endpoint(2, 1)]));
    let before = Arc::clone(&routes.services["web"]);
    let running = Running::new(&before[1]);
    routes.follow(&table(2, vec![endpoint(1, 1), endpoint(2, 2)]));
    let after = Arc::clone(&routes.services["web"]);
    assert!(Arc::ptr_eq(&before[0], &after[0]) && !before[0].is_withdrawn());
    assert!(!Arc::ptr_eq(&before[1], &after[1]) && before[1].is_withdrawn());
    assert!(!routes.drain(), "one request still runs, and has time");
    drop(running);
    assert!(routes.drain());
    assert!(!routes.is_draining());
}

#[test]
fn who_does_not_leave_in_time_is_cut_once() {
    let mut routes = Routes::new(Clock::new(), Duration::ZERO);
    routes.follow(&table(1, vec![endpoint(1, 1)]));
    let _running = Running::new(&routes.services["web"][0]);
    routes.follow(&Table { generation: 2, ..Table::default() });
    assert!(routes.drain());
    assert!(routes.directive(Vec::new(), Phase::Serve).draining[0].cut);
    assert!(!routes.drain());
}

#[test]
fn expiry_alone_takes_half_at_most() {
    let mut routes = Routes::new(Clock::new(), Duration::ZERO);
    let expired = |number| Endpoint { standing: Standing::Expired, ..endpoint(number, 1) };
    routes.follow(&table(1, (0..4).map(|number| endpoint(number, 1)).collect()));
    routes.follow(&table(2, (0..4).map(expired).collect()));
    assert_eq!(names(&routes), ["web@0", "web@1"]);
    routes.follow(&table(3, vec![]));
    assert!(names(&routes).is_empty(), "withdrawn");
}
