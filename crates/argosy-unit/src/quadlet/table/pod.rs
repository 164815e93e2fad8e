//! The rows of `[Pod]`.

use super::super::checks as check;
use super::{
    Form, GLOBAL_ARGS, MODULE, PODMAN_ARGS, QuadletGroup, REMAP, each, last, own, refused, row,
    words,
};
use crate::directives::Harmless::Empty;

/// `[Pod]`.
pub(super) const POD: QuadletGroup = QuadletGroup {
    section: "Pod",
    rules: &[
        own("PodName", "`--name=VALUE`; `systemd-NAME` without it"),
        own("ServiceName", "the unit is `VALUE.service`"),
        own("ExitPolicy", "`--exit-policy=VALUE`, `stop` or `continue`; `stop` without it"),
        own("StopTimeout", "`--time=VALUE` of `pod stop`; 10 without it"),
        row("Label", Form::Pairs("--label=", check::ANY)),
        own("Network", "`--network=VALUE` for each; a `.network` or `.container` file is resolved"),
        each("NetworkAlias", "--network-alias=", check::ANY),
        last("IP", "--ip=", check::IPV4),
        last("IP6", "--ip6=", check::IPV6),
        last("HostName", "--hostname=", check::HOST),
        each("AddHost", "--add-host=", check::HOST_ADDRESS),
        each("DNS", "--dns=", check::DNS),
        each("DNSOption", "--dns-option=", check::ANY),
        each("DNSSearch", "--dns-search=", check::ANY),
        each("PublishPort", "--publish=", check::PUBLISH),
        own("Volume", "`--volume=VALUE` for each; a `.volume` file is resolved"),
        last("ShmSize", "--shm-size=", check::SIZE),
        last("UserNS", "--userns=", check::USERNS),
        words("UIDMap", "--uidmap=", check::ID_MAP),
        words("GIDMap", "--gidmap=", check::ID_MAP),
        last("SubUIDMap", "--subuidname=", check::ANY),
        last("SubGIDMap", "--subgidname=", check::ANY),
        refused("PodmanArgs", PODMAN_ARGS, Empty),
        refused("GlobalArgs", GLOBAL_ARGS, Empty),
        refused("ContainersConfModule", MODULE, Empty),
        refused("RemapUsers", REMAP, Empty),
        refused("RemapUid", REMAP, Empty),
        refused("RemapGid", REMAP, Empty),
        refused("RemapUidSize", REMAP, Empty),
    ],
};
