//! The rows of `[Service]` from systemd.service(5) and systemd.kill(5).

use super::Harmless::{Empty, False, True, Values};
use super::{DirectiveGroup, noted, refused, supported};

const NEWER: &str = "it is newer than systemd 252, whose meaning is followed here";
const FORKING: &str = "it only matters to Type=forking, which is not available";
const POWER: &str = "a unit may not switch its machine off or reboot it";
const SOCKETS: &str = "socket activation is not available yet";
const USB: &str = "USB gadgets are not available";
const PRIVILEGES: &str = "prefix the single command with `+` to run it with full privileges";
const ABORT: &str = "time-outs end in the kill signal; other ways are not available yet";

/// What stands only in `[Service]`.
pub(super) const SERVICE: DirectiveGroup = DirectiveGroup {
    section: "Service",
    page: "systemd.service(5)",
    rules: &[
        supported("Type"),
        refused("ExitType", "a service ends with its main process", Values(&["main"])),
        supported("RemainAfterExit"),
        noted("GuessMainPID", FORKING),
        noted("PIDFile", FORKING),
        noted("BusName", "it only matters to Type=dbus, which is not available"),
        supported("ExecCondition"),
        supported("ExecStartPre"),
        supported("ExecStart"),
        supported("ExecStartPost"),
        supported("ExecReload"),
        supported("ExecStop"),
        supported("ExecStopPost"),
        supported("RestartSec"),
        refused("RestartSteps", NEWER, Values(&["0"])),
        refused("RestartMaxDelaySec", NEWER, Values(&["infinity"])),
        refused("RestartMode", NEWER, Values(&["normal"])),
        supported("TimeoutSec"),
        supported("TimeoutStartSec"),
        supported("TimeoutStopSec"),
        refused("TimeoutAbortSec", ABORT, Empty),
        refused("TimeoutStartFailureMode", ABORT, Values(&["terminate"])),
        refused("TimeoutStopFailureMode", ABORT, Values(&["terminate"])),
        supported("RuntimeMaxSec"),
        refused("RuntimeRandomizedExtraSec", "run times are not randomised", Values(&["0"])),
        supported("WatchdogSec"),
        supported("StartLimitInterval"),
        supported("StartLimitBurst"),
        refused("StartLimitAction", POWER, Values(&["none"])),
        refused("FailureAction", POWER, Values(&["none"])),
        noted("RebootArgument", "no unit reboots its machine here"),
        supported("Restart"),
        supported("SuccessExitStatus"),
        supported("RestartPreventExitStatus"),
        supported("RestartForceExitStatus"),
        refused("PermissionsStartOnly", PRIVILEGES, False),
        refused("RootDirectoryStartOnly", "root directories are not available yet", False),
        noted("NonBlocking", "it only matters to sockets that are passed to a service"),
        supported("NotifyAccess"),
        refused("Sockets", SOCKETS, Empty),
        refused("FileDescriptorStoreMax", "there is no descriptor store yet", Values(&["0"])),
        refused("FileDescriptorStorePreserve", NEWER, Values(&["no"])),
        refused("OpenFile", NEWER, Empty),
        refused("ReloadSignal", NEWER, Values(&["SIGHUP"])),
        refused("USBFunctionDescriptors", USB, Empty),
        refused("USBFunctionStrings", USB, Empty),
        refused(
            "OOMPolicy",
            "a unit is not stopped or killed as a whole when memory runs out yet",
            Values(&["continue"]),
        ),
        noted("SysVStartPriority", "systemd 252 ignores it too"),
        noted("BusPolicy", "systemd 252 ignores it too"),
    ],
};

/// systemd.kill(5).
pub(super) const KILL: DirectiveGroup = DirectiveGroup {
    section: "Service",
    page: "systemd.kill(5)",
    rules: &[
        supported("KillMode"),
        supported("KillSignal"),
        refused("RestartKillSignal", "a restart stops with KillSignal=", Empty),
        supported("SendSIGHUP"),
        supported("SendSIGKILL"),
        supported("FinalKillSignal"),
        refused(
            "WatchdogSignal",
            "a missed watchdog ends in SIGABRT; another signal is not available yet",
            Values(&["SIGABRT", "ABRT", "6"]),
        ),
        refused("IgnoreSIGPIPE", "SIGPIPE is always ignored when a process starts", True),
    ],
};
