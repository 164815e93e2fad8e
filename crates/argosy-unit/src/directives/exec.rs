//! The rows of `[Service]` from systemd.exec(5).

use super::Harmless::{Empty, False, Values};
use super::{DirectiveGroup, DirectiveRule, noted, refused, supported};

const LIMIT: &str = "resource limits are not available yet";
const SCHEDULING: &str = "scheduling of processor, disk and memory is not available yet";
const CONFINE: &str =
    "sandboxing is not available yet, and the unit would be less confined than it asks for";
const LABEL: &str = "security labels are not available yet";
const TERMINAL: &str = "it only matters to StandardInput=tty, which is not available";
const LOG_FIELD: &str = "the journal does not keep it";
const LOG_LIMIT: &str = "the journal keeps every line";
const LOGIN: &str = "services do not log in here";
const DIRECTORY: &str =
    "directories are not made for units yet; make it with ExecStartPre=+/bin/mkdir -p";
const CREDENTIAL: &str = "credentials are not available yet";
const IMAGE: &str = "root directories and disk images are not available yet";

const fn limit(key: &'static str) -> DirectiveRule {
    refused(key, LIMIT, Empty)
}

const fn sandbox(key: &'static str) -> DirectiveRule {
    refused(key, CONFINE, False)
}

/// How its processes start, run and speak.
pub(super) const PROCESS: DirectiveGroup = DirectiveGroup {
    section: "Service",
    page: "systemd.exec(5)",
    rules: &[
        supported("WorkingDirectory"),
        supported("User"),
        supported("Group"),
        refused("SupplementaryGroups", "further groups are not available yet", Empty),
        refused("DynamicUser", "users are not made for units yet; name one by User=", False),
        refused("PAMName", "PAM sessions are not available", Empty),
        supported("UMask"),
        supported("Environment"),
        supported("EnvironmentFile"),
        supported("PassEnvironment"),
        supported("UnsetEnvironment"),
        refused("ExecSearchPath", "programs are looked up in the fixed search path", Empty),
        supported("StandardInput"),
        supported("StandardOutput"),
        supported("StandardError"),
        supported("StandardInputText"),
        supported("StandardInputData"),
        supported("SyslogIdentifier"),
        noted("SyslogFacility", LOG_FIELD),
        noted("SyslogLevel", LOG_FIELD),
        noted("SyslogLevelPrefix", LOG_FIELD),
        noted("LogExtraFields", LOG_FIELD),
        noted("LogLevelMax", LOG_LIMIT),
        noted("LogRateLimitIntervalSec", LOG_LIMIT),
        noted("LogRateLimitBurst", LOG_LIMIT),
        noted("LogFilterPatterns", LOG_LIMIT),
        noted("LogNamespace", "there is one journal"),
        noted("TTYPath", TERMINAL),
        noted("TTYReset", TERMINAL),
        noted("TTYVHangup", TERMINAL),
        noted("TTYVTDisallocate", TERMINAL),
        noted("TTYRows", TERMINAL),
        noted("TTYColumns", TERMINAL),
        noted("UtmpIdentifier", LOGIN),
        noted("UtmpMode", LOGIN),
        noted("KeyringMode", "services share no keyring that could be kept apart"),
        refused("RemoveIPC", "what System V and POSIX IPC leaves behind is not removed yet", False),
        noted("TimeoutCleanSec", "there is no `clean` that it could limit"),
        noted("Capabilities", "systemd 252 ignores it too"),
        noted("TCPWrapName", "systemd 252 ignores it too"),
        noted("NetClass", "systemd 252 ignores it too"),
        refused("Nice", SCHEDULING, Values(&["0"])),
        refused("OOMScoreAdjust", SCHEDULING, Values(&["0"])),
        refused("CoredumpFilter", LIMIT, Empty),
        refused("IOSchedulingClass", SCHEDULING, Values(&["none", "0"])),
        refused("IOSchedulingPriority", SCHEDULING, Empty),
        refused("CPUSchedulingPolicy", SCHEDULING, Values(&["other"])),
        refused("CPUSchedulingPriority", SCHEDULING, Empty),
        refused("CPUSchedulingResetOnFork", SCHEDULING, False),
        refused("CPUAffinity", SCHEDULING, Empty),
        refused("NUMAPolicy", SCHEDULING, Values(&["default"])),
        refused("NUMAMask", SCHEDULING, Empty),
        refused("TimerSlackNSec", SCHEDULING, Empty),
        refused("MemoryKSM", SCHEDULING, False),
        limit("LimitCPU"),
        limit("LimitFSIZE"),
        limit("LimitDATA"),
        limit("LimitSTACK"),
        limit("LimitCORE"),
        limit("LimitRSS"),
        limit("LimitNOFILE"),
        limit("LimitAS"),
        limit("LimitNPROC"),
        limit("LimitMEMLOCK"),
        limit("LimitLOCKS"),
        limit("LimitSIGPENDING"),
        limit("LimitMSGQUEUE"),
        limit("LimitNICE"),
        limit("LimitRTPRIO"),
        limit("LimitRTTIME"),
    ],
};

/// What a process may not do.
pub(super) const SANDBOX: DirectiveGroup = DirectiveGroup {
    section: "Service",
    page: "systemd.exec(5)",
    rules: &[
        refused("SecureBits", CONFINE, Empty),
        refused("CapabilityBoundingSet", CONFINE, Values(&["~"])),
        refused("AmbientCapabilities", CONFINE, Empty),
        sandbox("NoNewPrivileges"),
        refused("ProtectProc", CONFINE, Values(&["default"])),
        refused("ProcSubset", CONFINE, Values(&["all"])),
        refused("SystemCallFilter", CONFINE, Empty),
        refused("SystemCallArchitectures", CONFINE, Empty),
        refused("SystemCallErrorNumber", CONFINE, Empty),
        refused("SystemCallLog", CONFINE, Empty),
        sandbox("MemoryDenyWriteExecute"),
        sandbox("RestrictNamespaces"),
        sandbox("RestrictRealtime"),
        sandbox("RestrictSUIDSGID"),
        refused("RestrictAddressFamilies", CONFINE, Empty),
        refused("RestrictFileSystems", CONFINE, Empty),
        sandbox("LockPersonality"),
        refused("Personality", CONFINE, Empty),
        sandbox("PrivateTmp"),
        sandbox("PrivateDevices"),
        sandbox("PrivateNetwork"),
        sandbox("PrivateUsers"),
        sandbox("PrivateMounts"),
        sandbox("PrivateIPC"),
        sandbox("PrivatePIDs"),
        sandbox("PrivateBPF"),
        sandbox("ProtectSystem"),
        sandbox("ProtectHome"),
        sandbox("ProtectHostname"),
        sandbox("ProtectClock"),
        sandbox("ProtectKernelTunables"),
        sandbox("ProtectKernelModules"),
        sandbox("ProtectKernelLogs"),
        sandbox("ProtectControlGroups"),
        refused("NetworkNamespacePath", CONFINE, Empty),
        refused("IPCNamespacePath", CONFINE, Empty),
        refused("SELinuxContext", LABEL, Empty),
        refused("AppArmorProfile", LABEL, Empty),
        refused("SmackProcessLabel", LABEL, Empty),
    ],
};

/// What of the file system a process sees, and what is made for it.
pub(super) const FILES: DirectiveGroup = DirectiveGroup {
    section: "Service",
    page: "systemd.exec(5)",
    rules: &[
        refused("RootDirectory", IMAGE, Values(&["/"])),
        refused("RootImage", IMAGE, Empty),
        refused("RootImageOptions", IMAGE, Empty),
        refused("RootImagePolicy", IMAGE, Empty),
        refused("RootHash", IMAGE, Empty),
        refused("RootHashSignature", IMAGE, Empty),
        refused("RootVerity", IMAGE, Empty),
        refused("RootEphemeral", IMAGE, False),
        refused("ExtensionDirectories", IMAGE, Empty),
        refused("ExtensionImages", IMAGE, Empty),
        refused("ExtensionImagePolicy", IMAGE, Empty),
        refused("MountImages", IMAGE, Empty),
        refused("MountImagePolicy", IMAGE, Empty),
        refused("MountAPIVFS", IMAGE, False),
        refused("MountFlags", CONFINE, Values(&["shared"])),
        refused("BindPaths", CONFINE, Empty),
        refused("BindReadOnlyPaths", CONFINE, Empty),
        refused("BindLogSockets", CONFINE, False),
        refused("TemporaryFileSystem", CONFINE, Empty),
        refused("ReadWritePaths", CONFINE, Empty),
        refused("ReadOnlyPaths", CONFINE, Empty),
        refused("InaccessiblePaths", CONFINE, Empty),
        refused("ReadWriteDirectories", CONFINE, Empty),
        refused("ReadOnlyDirectories", CONFINE, Empty),
        refused("InaccessibleDirectories", CONFINE, Empty),
        refused("ExecPaths", CONFINE, Empty),
        refused("NoExecPaths", CONFINE, Empty),
        refused("RuntimeDirectory", DIRECTORY, Empty),
        noted("RuntimeDirectoryMode", "without RuntimeDirectory= it does nothing"),
        noted("RuntimeDirectoryPreserve", "without RuntimeDirectory= it does nothing"),
        refused("StateDirectory", DIRECTORY, Empty),
        noted("StateDirectoryMode", "without StateDirectory= it does nothing"),
        refused("CacheDirectory", DIRECTORY, Empty),
        noted("CacheDirectoryMode", "without CacheDirectory= it does nothing"),
        refused("LogsDirectory", DIRECTORY, Empty),
        noted("LogsDirectoryMode", "without LogsDirectory= it does nothing"),
        refused("ConfigurationDirectory", DIRECTORY, Empty),
        noted("ConfigurationDirectoryMode", "without ConfigurationDirectory= it does nothing"),
        refused("SetCredential", CREDENTIAL, Empty),
        refused("SetCredentialEncrypted", CREDENTIAL, Empty),
        refused("LoadCredential", CREDENTIAL, Empty),
        refused("LoadCredentialEncrypted", CREDENTIAL, Empty),
        refused("ImportCredential", CREDENTIAL, Empty),
    ],
};
