//! How much of anything is taken from outside, and why that much.

/// Limits that a caller may change; the defaults are what everybody should use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A manifest or index. Registries themselves accept no more than 4 MiB.
    pub manifest_bytes_max: u64,
    /// An image's configuration. Its history grows with its layers; 8 MiB is a hundred times the
    /// largest that is seen.
    pub config_bytes_max: u64,
    /// Layers of an image: what one overlay mount can stack.
    pub layers_max: usize,
    /// Entries of one layer's archive. The largest images have some 500,000 files.
    pub entries_max: u64,
    /// Bytes that are remembered of the directories of a pull's layers, all together: some 400 and a
    /// name each. The largest images have some 100,000 directories in all.
    pub directory_bytes_max: u64,
    /// Bytes that one layer may unpack to. No filesystem here should be filled by one layer.
    pub unpacked_bytes_max: u64,
    /// How many times larger than its compressed form a layer may be once it is larger than
    /// `ratio_free_bytes`. Real layers have 2 to 10; deflate cannot exceed 1032, zstd can.
    pub unpacked_ratio_max: u64,
    /// Below this a layer may be compressed as well as it likes: a gigabyte of zeros is no bomb.
    pub ratio_free_bytes: u64,
    /// Parts of the filesystem, in percent, that are in use when images that nobody uses go by
    /// themselves.
    pub collect_percent: u8,
    /// Parts of the filesystem, in percent, that are in use when pulls are refused.
    pub refuse_percent: u8,
    /// Parts of the filesystem, in percent, that are in use when unpacking stops: what is left
    /// then belongs to the store and to running units.
    pub stop_percent: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes_max: 4 << 20,
            config_bytes_max: 8 << 20,
            layers_max: 500,
            entries_max: 2_000_000,
            directory_bytes_max: 256 << 20,
            unpacked_bytes_max: 64 << 30,
            unpacked_ratio_max: 200,
            ratio_free_bytes: 1 << 30,
            collect_percent: 80,
            refuse_percent: 90,
            stop_percent: 97,
        }
    }
}

/// What Linux allows in one path.
pub(crate) const PATH_BYTES_MAX: usize = 4096;
/// What Linux allows in one name.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// One extended header of an archive: some hundred attributes of the usual size. Go's reader, which
/// reads most layers elsewhere, has the same limit.
pub(crate) const EXTENDED_HEADER_BYTES_MAX: u64 = 1 << 20;
/// One extended attribute: what Linux allows.
pub(crate) const XATTR_BYTES_MAX: usize = 64 << 10;
/// Extended attributes of one file: ext4 holds a few kilobytes of them altogether.
pub(crate) const XATTRS_MAX: usize = 128;
/// How often free space is looked at while a layer is unpacked.
pub(crate) const SPACE_CHECK_BYTES: u64 = 32 << 20;
/// Images of one archive; more are more likely a mistake than an archive.
pub(crate) const ARCHIVE_IMAGES_MAX: usize = 1000;
/// Entries of an archive of images: blobs and links to them, not files of layers.
pub(crate) const ARCHIVE_ENTRIES_MAX: usize = 100_000;
