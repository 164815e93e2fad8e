//! Archives as tests need them, also such as no tool would write; and images made of them.

use std::io::Write;

use argosy_image::Digest;

/// Writes an archive entry by entry, with whatever is given.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    extended: Vec<u8>,
}

/// What an entry has beside name and data.
#[derive(Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: u64,
}

pub(crate) const PLAIN: Meta = Meta { mode: 0o644, uid: 0, gid: 0, mtime: 1_600_000_000 };
pub(crate) const FOLDER: Meta = Meta { mode: 0o755, ..PLAIN };

impl Archive {
    pub(crate) fn file(self, path: &str, data: &[u8]) -> Self {
        self.entry(b'0', path, "", data, PLAIN)
    }

    pub(crate) fn folder(self, path: &str) -> Self {
        self.entry(b'5', path, "", &[], FOLDER)
    }

    pub(crate) fn symlink(self, path: &str, to: &str) -> Self {
        self.entry(b'2', path, to, &[], PLAIN)
    }

    pub(crate) fn hard_link(self, path: &str, to: &str) -> Self {
        self.entry(b'1', path, to, &[], PLAIN)
    }

    /// Extended attributes and other pax records for the next entry.
    pub(crate) fn pax(mut self, key: &str, value: &[u8]) -> Self {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        self.extended.extend(format!("{length} {key}=").as_bytes());
        self.extended.extend(value);
        self.extended.push(b'\n');
        self
    }

    pub(crate) fn entry(
        mut self,
        kind: u8,
        path: &str,
        link: &str,
        data: &[u8],
        meta: Meta,
    ) -> Self {
        if path.len() > 100 {
            self = self.pax("path", path.as_bytes());
        }
        if link.len() > 100 {
            self = self.pax("linkpath", link.as_bytes());
        }
        let extended = std::mem::take(&mut self.extended);
        if !extended.is_empty() {
            self.header(b'x', "pax", "", extended.len() as u64, PLAIN);
            self.data(&extended);
        }
        let length = if kind == b'0' { data.len() as u64 } else { 0 };
        self.header(kind, path, link, length, meta);
        self.data(data);
        self
    }

    /// A header alone, with the length that is said.
    pub(crate) fn header(&mut self, kind: u8, path: &str, link: &str, length: u64, meta: Meta) {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[156] = kind;
        let name = &path.as_bytes()[..path.len().min(100)];
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        let link = &link.as_bytes()[..link.len().min(100)];
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        header.set_mode(meta.mode);
        header.set_uid(meta.uid);
        header.set_gid(meta.gid);
        header.set_mtime(meta.mtime);
        header.set_size(length);
        if kind == b'3' || kind == b'4' {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        self.bytes.extend(header.as_bytes());
    }

    pub(crate) fn data(&mut self, data: &[u8]) {
        self.bytes.extend(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.extend([0; 1024]);
        self.bytes
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A layer as it travels, and what it unpacks to.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) blob: Vec<u8>,
    pub(crate) diff_id: Digest,
    pub(crate) media_type: &'static str,
}

impl Layer {
    pub(crate) fn gzip(archive: Vec<u8>) -> Self {
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        Self { blob: gzip(&archive), diff_id: Digest::sha256(&archive), media_type }
    }

    pub(crate) fn zstd(archive: Vec<u8>) -> Self {
        let media_type = "application/vnd.oci.image.layer.v1.tar+zstd";
        let blob = zstd::encode_all(&archive[..], 1).unwrap();
        Self { blob, diff_id: Digest::sha256(&archive), media_type }
    }

    pub(crate) fn plain(archive: Vec<u8>) -> Self {
        let media_type = "application/vnd.oci.image.layer.v1.tar";
        Self { diff_id: Digest::sha256(&archive), blob: archive, media_type }
    }
}

/// An image of layers, as its three kinds of blobs.
pub(crate) struct MadeImage {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Layer>,
}

impl MadeImage {
    pub(crate) fn new(layers: Vec<Layer>) -> Self {
        Self::for_platform(layers, "linux", architecture())
    }

    pub(crate) fn for_platform(layers: Vec<Layer>, os: &str, architecture: &str) -> Self {
        let config = serde_json::json!({
            "os": os,
            "architecture": architecture,
            "config": {"Cmd": ["/bin/true"], "Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff_id.to_string()).collect::<Vec<_>>()},
        });
        Self::with_config(layers, config.to_string().into_bytes())
    }

    pub(crate) fn with_config(layers: Vec<Layer>, config: Vec<u8>) -> Self {
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.iter().map(|layer| descriptor(layer.media_type, &layer.blob)).collect::<Vec<_>>(),
        });
        Self { manifest: manifest.to_string().into_bytes(), config, layers }
    }
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "mediaType": media_type,
        "digest": Digest::sha256(bytes).to_string(),
        "size": bytes.len(),
    })
}
