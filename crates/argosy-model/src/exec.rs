//! One command line of a unit, as systemd.service(5) "COMMAND LINES" defines it.

/// The special prefixes of a command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecPrefix {
    /// `-`: a failure counts as success.
    pub ignore_failure: bool,
    /// `@`: the second word is `argv[0]`.
    pub explicit_argv0: bool,
    /// `:`: no environment variable substitution.
    pub no_environment: bool,
    /// `+`: with full privileges, without `User=` and the like.
    pub privileged: bool,
}

/// A command line, split into words, specifiers expanded, variables not yet substituted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecCommand {
    /// The program: an absolute path, or a name looked up in the fixed search path.
    pub program: String,
    /// The words, `argv[0]` first. `${NAME}` and `$NAME` are substituted at start.
    pub argv: Vec<String>,
    /// Its special prefixes.
    pub prefix: ExecPrefix,
}
