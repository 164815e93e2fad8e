//! Whatever the bytes are, an archive is read to its end or refused.

use proptest::prelude::*;

use super::*;

/// A good archive with everything that has a header of its own.
fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let pax = [("path", &b"a/long/path"[..]), ("SCHILY.xattr.user.x", b"y"), ("mtime", b"-1.5")];
    builder.append_pax_extensions(pax).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(700);
    header.set_uid(7);
    header.set_gid(u64::from(u32::MAX));
    builder.append_data(&mut header, "x".repeat(150), &[5; 700][..]).unwrap();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "link", "y".repeat(150)).unwrap();
    builder.into_inner().unwrap()
}

/// Reads all of it; entries and bytes of data, or why not.
fn read(bytes: &[u8]) -> Result<(usize, usize), ArchiveError> {
    let mut archive = Archive::new(bytes);
    let (mut entries, mut data) = (0, 0);
    while archive.next()?.is_some() {
        entries += 1;
        let mut content = Vec::new();
        archive.read_to_end(&mut content).map_err(ArchiveError::Read)?;
        data += content.len();
    }
    Ok((entries, data))
}

#[test]
fn a_good_archive_is_read() {
    assert_eq!(read(&archive()).unwrap(), (2, 700));
    let bytes = archive();
    let mut archive = Archive::new(&bytes[..]);
    let first = archive.next().unwrap().unwrap();
    assert_eq!((first.uid, first.gid, first.modified), (7, u32::MAX, (-2, 500_000_000)));
    let link = archive.next().unwrap().unwrap();
    assert_eq!((link.kind, link.link.len()), (Kind::Symlink, 150));
}

#[test]
fn an_archive_may_end_with_its_last_byte_of_data_but_not_before() {
    let mut bytes = archive();
    let end = bytes.len() - 1024;
    bytes.truncate(end);
    let mut header = tar::Header::new_ustar();
    header.set_path("last").unwrap();
    header.set_size(100);
    header.set_mode(0);
    header.set_cksum();
    bytes.extend(header.as_bytes());
    bytes.extend([1; 100]);
    assert_eq!(read(&bytes).unwrap(), (3, 800));
    bytes.pop();
    assert!(read(&bytes).is_err());
}

#[test]
fn sizes_that_no_file_has_are_refused() {
    for size in ["18446744073709551615", "9223372036854775808", "-1", "x"] {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("size", size.as_bytes())]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        builder.append_data(&mut header, "a", &[][..]).unwrap();
        assert!(read(&builder.into_inner().unwrap()).is_err(), "{size}");
    }
}

proptest! {
    #[test]
    fn damaged_bytes_are_read_or_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        checksums in any::<bool>(),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = archive();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if checksums {
            // Damage that a header's checksum does not tell.
            for block in bytes.chunks_exact_mut(512) {
                let sum: u32 = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{:06o}\0 ", sum + 256).as_bytes());
            }
        }
        bytes.truncate(length.index(bytes.len() * 4).max(1).min(bytes.len()));
        if let Ok((_, data)) = read(&bytes) {
            prop_assert!(data <= bytes.len());
        }
    }
}
