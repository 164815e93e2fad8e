//! The rows of `[Service]` from systemd.resource-control(5).

use super::Harmless::{Empty, False, Values};
use super::{DirectiveGroup, DirectiveRule, noted, refused};

const LIMIT: &str = "limits on what a unit may use are not available yet";
const ACCOUNTING: &str = "what a unit uses is counted, or not, for all units alike";
const OOMD: &str = "it instructs systemd-oomd, which has no say here";
const NETWORK: &str = "filters on a unit's network traffic are not available yet";
const DEVICES: &str = "limits on devices are not available yet";

const fn limit(key: &'static str) -> DirectiveRule {
    refused(key, LIMIT, Empty)
}

/// A limit that `infinity` switches off.
const fn upper(key: &'static str) -> DirectiveRule {
    refused(key, LIMIT, Values(&["infinity"]))
}

/// A protected amount that 0 switches off.
const fn lower(key: &'static str) -> DirectiveRule {
    refused(key, LIMIT, Values(&["0"]))
}

/// systemd.resource-control(5).
pub(super) const RESOURCES: DirectiveGroup = DirectiveGroup {
    section: "Service",
    page: "systemd.resource-control(5)",
    rules: &[
        refused("Slice", "slices are not available yet", Values(&["system.slice"])),
        refused("Delegate", "units get no control groups of their own to manage yet", False),
        refused("DelegateSubgroup", "units get no control groups of their own yet", Empty),
        refused("DisableControllers", LIMIT, Empty),
        noted("CPUAccounting", ACCOUNTING),
        noted("MemoryAccounting", ACCOUNTING),
        noted("TasksAccounting", ACCOUNTING),
        noted("IOAccounting", ACCOUNTING),
        noted("BlockIOAccounting", ACCOUNTING),
        noted("IPAccounting", ACCOUNTING),
        limit("CPUWeight"),
        limit("StartupCPUWeight"),
        limit("CPUShares"),
        limit("StartupCPUShares"),
        limit("CPUQuota"),
        noted("CPUQuotaPeriodSec", "without CPUQuota= it does nothing"),
        limit("AllowedCPUs"),
        limit("StartupAllowedCPUs"),
        limit("AllowedMemoryNodes"),
        limit("StartupAllowedMemoryNodes"),
        lower("MemoryMin"),
        lower("MemoryLow"),
        lower("StartupMemoryLow"),
        lower("DefaultMemoryMin"),
        lower("DefaultMemoryLow"),
        lower("DefaultStartupMemoryLow"),
        upper("MemoryHigh"),
        upper("StartupMemoryHigh"),
        upper("MemoryMax"),
        upper("StartupMemoryMax"),
        upper("MemorySwapMax"),
        upper("StartupMemorySwapMax"),
        upper("MemoryZSwapMax"),
        upper("StartupMemoryZSwapMax"),
        refused("MemoryZSwapWriteback", LIMIT, super::Harmless::True),
        upper("MemoryLimit"),
        upper("TasksMax"),
        limit("IOWeight"),
        limit("StartupIOWeight"),
        limit("IODeviceWeight"),
        limit("IOReadBandwidthMax"),
        limit("IOWriteBandwidthMax"),
        limit("IOReadIOPSMax"),
        limit("IOWriteIOPSMax"),
        limit("IODeviceLatencyTargetSec"),
        limit("BlockIOWeight"),
        limit("StartupBlockIOWeight"),
        limit("BlockIODeviceWeight"),
        limit("BlockIOReadBandwidth"),
        limit("BlockIOWriteBandwidth"),
        refused("IPAddressAllow", NETWORK, Empty),
        refused("IPAddressDeny", NETWORK, Empty),
        refused("IPIngressFilterPath", NETWORK, Empty),
        refused("IPEgressFilterPath", NETWORK, Empty),
        refused("BPFProgram", NETWORK, Empty),
        refused("SocketBindAllow", NETWORK, Empty),
        refused("SocketBindDeny", NETWORK, Empty),
        refused("RestrictNetworkInterfaces", NETWORK, Empty),
        refused("NFTSet", NETWORK, Empty),
        refused("DeviceAllow", DEVICES, Empty),
        refused("DevicePolicy", DEVICES, Values(&["auto"])),
        noted("ManagedOOMSwap", OOMD),
        noted("ManagedOOMMemoryPressure", OOMD),
        noted("ManagedOOMMemoryPressureLimit", OOMD),
        noted("ManagedOOMMemoryPressureDurationSec", OOMD),
        noted("ManagedOOMPreference", OOMD),
        noted("MemoryPressureWatch", "services are not told of memory pressure"),
        noted("MemoryPressureThresholdSec", "services are not told of memory pressure"),
        noted("CoredumpReceive", "core dumps are left to the machine"),
    ],
};
