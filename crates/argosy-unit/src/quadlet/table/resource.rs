//! The rows of `[Volume]`, `[Network]` and `[Image]`.

use super::super::checks as check;
use super::{
    Form, GLOBAL_ARGS, MODULE, PODMAN_ARGS, QuadletGroup, each, last, own, refused, row, switch,
};
use crate::directives::Harmless::Empty;

/// `[Volume]`.
pub(super) const VOLUME: QuadletGroup = QuadletGroup {
    section: "Volume",
    rules: &[
        own("VolumeName", "the volume's name; `systemd-NAME` without it"),
        own("ServiceName", "the unit is `VALUE.service`"),
        last("Driver", "--driver=", check::VOLUME_DRIVER),
        own("Image", "`--opt=image=VALUE` with `Driver=image`; an `.image` file is resolved"),
        own("Copy", "`--opt=copy` or `--opt=nocopy`"),
        own("Device", "`--opt=device=VALUE`"),
        own("Type", "`--opt=type=VALUE`, with `Device=` only"),
        own("User", "`--opt=o=uid=NUMBER`"),
        own("Group", "`--opt=o=gid=NUMBER`"),
        own("Options", "the end of `--opt=o=`, with `Device=` only"),
        row("Label", Form::Pairs("--label=", check::ANY)),
        refused("PodmanArgs", PODMAN_ARGS, Empty),
        refused("GlobalArgs", GLOBAL_ARGS, Empty),
        refused("ContainersConfModule", MODULE, Empty),
    ],
};

/// `[Network]`.
pub(super) const NETWORK: QuadletGroup = QuadletGroup {
    section: "Network",
    rules: &[
        own("NetworkName", "the network's name; `systemd-NAME` without it"),
        own("ServiceName", "the unit is `VALUE.service`"),
        last("Driver", "--driver=", check::NETWORK_DRIVER),
        last("IPAMDriver", "--ipam-driver=", check::IPAM_DRIVER),
        last("InterfaceName", "--interface-name=", check::INTERFACE),
        switch("Internal", "--internal"),
        switch("IPv6", "--ipv6"),
        switch("DisableDNS", "--disable-dns"),
        each("DNS", "--dns=", check::IP),
        own("Subnet", "`--subnet=VALUE` for each, with its `Gateway=` and `IPRange=` behind it"),
        own("Gateway", "`--gateway=VALUE`, the first for the first subnet and so on"),
        own("IPRange", "`--ip-range=VALUE`, the first for the first subnet and so on"),
        row("Options", Form::Pairs("--opt=", check::ANY)),
        row("Label", Form::Pairs("--label=", check::ANY)),
        own("NetworkDeleteOnStop", "`ExecStopPost=` with `network rm NAME` if true"),
        refused("PodmanArgs", PODMAN_ARGS, Empty),
        refused("GlobalArgs", GLOBAL_ARGS, Empty),
        refused("ContainersConfModule", MODULE, Empty),
    ],
};

/// `[Image]`.
pub(super) const IMAGE: QuadletGroup = QuadletGroup {
    section: "Image",
    rules: &[
        own("Image", "the image that is pulled"),
        own("ImageTag", "what `.container` and `.volume` files that name this one use instead"),
        own("ServiceName", "the unit is `VALUE.service`"),
        last("Arch", "--arch=", check::ANY),
        last("OS", "--os=", check::ANY),
        last("Variant", "--variant=", check::ANY),
        last("AuthFile", "--authfile=", check::PATH),
        last("CertDir", "--cert-dir=", check::PATH),
        last("Creds", "--creds=", check::ANY),
        last("Policy", "--policy=", check::PULL),
        last("Retry", "--retry=", check::NUMBER),
        last("RetryDelay", "--retry-delay=", check::SPAN),
        switch("AllTags", "--all-tags"),
        switch("TLSVerify", "--tls-verify"),
        refused("DecryptionKey", "encrypted images are not available", Empty),
        refused("PodmanArgs", PODMAN_ARGS, Empty),
        refused("GlobalArgs", GLOBAL_ARGS, Empty),
        refused("ContainersConfModule", MODULE, Empty),
    ],
};
