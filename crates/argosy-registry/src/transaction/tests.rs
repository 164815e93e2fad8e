//! The limits of a transaction are told apart.

use super::*;

#[test]
fn too_many_or_too_large_does_not_fit() {
    let many = |count: usize, bytes: usize| {
        let mut draft = Draft::default();
        for number in 0..count {
            draft.put(SpaceId::Registry, number.to_be_bytes().to_vec(), vec![0; bytes]);
        }
        fits(&draft.finish())
    };
    assert!(many(OPERATIONS_MAX, 1));
    assert!(!many(OPERATIONS_MAX + 1, 1));
    assert!(many(1, BYTES_MAX - 8));
    assert!(!many(1, BYTES_MAX));
}
