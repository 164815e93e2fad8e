//! The table has every key of Podman 5.8 and no row twice.

use std::collections::BTreeSet;

use super::*;

/// The keys of Podman 5.8.6 by section, as podman-systemd.unit(5) and its generator have them.
const PODMAN_5_8: &[(&str, &str)] = &[
    (
        "Container",
        "AddCapability AddDevice AddHost Annotation AppArmor AutoUpdate CgroupsMode ContainerName \
         ContainersConfModule DNS DNSOption DNSSearch DropCapability Entrypoint Environment \
         EnvironmentFile EnvironmentHost Exec ExposeHostPort GIDMap GlobalArgs Group GroupAdd \
         HealthCmd HealthInterval HealthLogDestination HealthMaxLogCount HealthMaxLogSize \
         HealthOnFailure HealthRetries HealthStartPeriod HealthStartupCmd HealthStartupInterval \
         HealthStartupRetries HealthStartupSuccess HealthStartupTimeout HealthTimeout HostName \
         HttpProxy IP IP6 Image Label LogDriver LogOpt Mask Memory Mount Network NetworkAlias \
         NoNewPrivileges Notify PidsLimit Pod PodmanArgs PublishPort Pull ReadOnly ReadOnlyTmpfs \
         ReloadCmd ReloadSignal RemapGid RemapUid RemapUidSize RemapUsers Retry RetryDelay Rootfs \
         RunInit SeccompProfile Secret SecurityLabelDisable SecurityLabelFileType \
         SecurityLabelLevel SecurityLabelNested SecurityLabelType ServiceName ShmSize \
         StartWithPod StopSignal StopTimeout SubGIDMap SubUIDMap Sysctl Timezone Tmpfs UIDMap \
         Ulimit Unmask User UserNS VolatileTmp Volume WorkingDir",
    ),
    (
        "Pod",
        "AddHost ContainersConfModule DNS DNSOption DNSSearch ExitPolicy GIDMap GlobalArgs \
         HostName IP IP6 Label Network NetworkAlias PodName PodmanArgs PublishPort RemapGid \
         RemapUid RemapUidSize RemapUsers ServiceName ShmSize StopTimeout SubGIDMap SubUIDMap \
         UIDMap UserNS Volume",
    ),
    (
        "Volume",
        "ContainersConfModule Copy Device Driver GlobalArgs Group Image Label Options PodmanArgs \
         ServiceName Type User VolumeName",
    ),
    (
        "Network",
        "ContainersConfModule DNS DisableDNS Driver Gateway GlobalArgs IPAMDriver IPRange IPv6 \
         InterfaceName Internal Label NetworkDeleteOnStop NetworkName Options PodmanArgs \
         ServiceName Subnet",
    ),
    (
        "Image",
        "AllTags Arch AuthFile CertDir ContainersConfModule Creds DecryptionKey GlobalArgs Image \
         ImageTag OS PodmanArgs Policy Retry RetryDelay ServiceName TLSVerify Variant",
    ),
    ("Quadlet", "DefaultDependencies"),
];

#[test]
fn every_key_of_podman_has_a_row_and_no_other_has() {
    for (section, keys) in PODMAN_5_8 {
        let known: BTreeSet<&str> = keys.split_whitespace().collect();
        let rows: BTreeSet<&str> = rules(section).map(|rule| rule.key).collect();
        assert_eq!(rows, known, "[{section}]");
    }
    assert_eq!(QUADLET_KEYS.len(), PODMAN_5_8.len());
}

#[test]
fn no_row_stands_twice_and_every_row_says_what_becomes_of_its_key() {
    let mut seen = BTreeSet::new();
    for group in QUADLET_KEYS {
        for rule in group.rules {
            assert!(seen.insert((group.section, rule.key)), "[{}] {}=", group.section, rule.key);
            match rule.support {
                Support::Supported => assert!(rule.form.describe().len() > 5, "{}=", rule.key),
                Support::SystemdOnly(why) | Support::Refused(why) => {
                    assert!(why.len() > 10 && !why.ends_with('.'), "{}=", rule.key);
                }
            }
        }
    }
}

#[test]
fn the_nearest_key_is_one_of_the_same_section() {
    assert_eq!(nearest_key("Container", "Hostname"), Some("HostName"));
    assert_eq!(nearest_key("Container", "PublishPorts"), Some("PublishPort"));
    assert_eq!(nearest_key("Volume", "PublishPort"), None);
    assert_eq!(kind_with("Subnet"), Some(QuadletKind::Network));
}
