//! Why a program ended, as far as its exit code and the engine tell.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use crate::finding::Findings;
use crate::profile::model::Size;

/// What exit codes mean, whichever program ended: those of shells and engines for programs that cannot be run, and 128 and the
/// number of the signal that ended it (signal(7)).
const MEANINGS: [(i64, &str); 9] = [
    (126, "its program cannot be executed: it is no program of this kind of processor, or its mode does not allow it"),
    (127, "it calls a program that is not in its image"),
    (132, "the processor does not have an instruction that the program uses (signal ILL)"),
    (134, "the program ended itself after an error in it (signal ABRT)"),
    (135, "memory that the program uses is not there, such as of a full /dev/shm (signal BUS)"),
    (137, OF_KILL),
    (139, "an error in the program or in a library of it (signal SEGV)"),
    (143, "something told it to end (signal TERM)"),
    (159, "a system call that the engine does not allow (signal SYS)"),
];

/// The signal that the kernel ends programs with when memory runs out. Not only the kernel sends it.
const KILL: i64 = 137;
const OF_KILL: &str =
    "the kernel or somebody ended it (signal KILL); the kernel does so when the host has too little memory";

/// What an exit code means; `None` where only the program knows. `out_of_memory` is the engine's word for it, which not every
/// version of engines has for each process; `limit` is the service's.
pub(super) fn cause(code: i64, out_of_memory: bool, limit: Option<Size>) -> Option<String> {
    let limit = limit.map(|limit| limit.to_string().to_uppercase());
    let out_of_memory = out_of_memory && code != 0;
    let it = if code == KILL { "it" } else { "a process of it" };
    match limit {
        Some(limit) if out_of_memory => Some(format!(
            "the kernel ended {it}, as it needed more memory than its limit of {limit} (`memory` of the service in profile.toml)"
        )),
        Some(limit) if code == KILL => Some(format!(
            "the kernel or somebody ended it (signal KILL); the kernel does so when it needs more memory than its limit of \
             {limit} (`memory` of the service in profile.toml), or when the host has too little"
        )),
        None if out_of_memory => Some(format!("the kernel ended {it}, as the host had too little memory")),
        _ => MEANINGS.iter().find(|(other, _)| *other == code).map(|(_, meaning)| (*meaning).to_owned()),
    }
}

/// `exit code 127: it calls a program that is not in its image`.
pub(super) fn told(code: i64, cause: Option<&str>) -> String {
    match cause {
        Some(cause) => format!("exit code {code}: {cause}"),
        None => format!("exit code {code}"),
    }
}

/// How a command ended that did not succeed, of a service with this limit of memory.
pub(super) fn of(status: ExitStatus, memory: Option<Size>) -> String {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).map_or(1, i64::from);
    told(code, cause(code, false, memory).as_deref())
}

/// What is said of a service that ended so often: `does not stay up: it ended 3 times, the last time with exit code 7`.
pub(super) fn again_and_again(times: u64, last: Option<&str>) -> String {
    let last = last.map(|end| format!(", the last time with {end}")).unwrap_or_default();
    format!("does not stay up: it ended {times} times{last}")
}

/// What is said of a service that has ended and is not started again.
pub(super) fn not_running(state: &str, end: &str) -> String {
    format!("does not stay up: it is {state}, with {end}")
}

/// The hint for a service whose last end was this one, below its last log lines.
pub(super) fn hint(service: &str, end: Option<&str>, lines: &[String]) -> String {
    let daemon = match end {
        Some("exit code 0") => {
            "a program that goes into the background ends its container: let it stay in the foreground; "
        }
        _ => "",
    };
    // EPERM of calls such as fchown and setuid; EACCES is about modes of files.
    let rights = match lines.iter().any(|line| line.contains("Operation not permitted")) {
        true => {
            "also root has only the rights that `capabilities` of the service names in profile.toml (capabilities(7)); "
        }
        false => "",
    };
    // Of a process below the first one, whose end the engine does not see. Shells and PostgreSQL say it so.
    let is_kill =
        |line: &String| line.trim() == "Killed" || line.contains("exit code 137") || line.contains("signal 9:");
    let memory = match lines.iter().any(is_kill) {
        true => {
            "a process of it was killed, as the kernel does for want of memory: `memory` of the service in profile.toml is its limit; "
        }
        false => "",
    };
    let log = match lines {
        [] => "it printed nothing".to_owned(),
        _ => format!("`logs {service}` shows more"),
    };
    format!("{daemon}{rights}{memory}mend the cause and run `up` again; {log}")
}

/// Tells a service that was killed `seconds` after it got its signal to stop. systemd sends that to all processes of a
/// service, engines only to the first one of a container.
pub(super) fn killed_at_stop(service: &str, seconds: u32, in_container: bool, findings: &mut Findings) {
    let message = format!(
        "it did not end within {seconds} s after the signal to stop, and was killed: what it had not written is lost"
    );
    let first = match in_container {
        true => {
            "; a script that is the first process of a container has to start the program with `exec`, or the program gets no \
             signal"
        }
        false => "",
    };
    let hint = format!(
        "name the signal that ends it (`stop-signal` of its image) or give it more time (`stop-grace` of the service), in \
         profile.toml{first}"
    );
    findings.warn(service, message, hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// initdb was killed for memory, and the service ended with exit code 1.
    #[test]
    fn processes_that_are_killed_lead_to_the_limit() {
        let told = |line: &str| hint("database", Some("exit code 1"), &[line.to_owned()]);
        for line in
            ["Killed", "child process exited with exit code 137", "server process was terminated by signal 9: Killed"]
        {
            assert!(told(line).contains("`memory` of the service"), "{line}");
        }
        assert!(!told("Killed 3 old sessions").contains("memory"));
    }

    /// dovecot as root could not give its sockets to its users, and nothing led to the key.
    #[test]
    fn rights_that_root_lacks_are_explained() {
        let lines = ["Fatal: fchown() failed for /run/dovecot/login: Operation not permitted".to_owned()];
        let hint = hint("dovecot", Some("exit code 89"), &lines);
        assert!(hint.starts_with("also root has only the rights that `capabilities` of the service names"), "{hint}");
    }

    fn ended(code: i64, out_of_memory: bool, limit: Option<u64>) -> String {
        told(code, cause(code, out_of_memory, limit.map(Size)).as_deref())
    }

    /// A database with too little memory was told as "Killed", its only log line.
    #[test]
    fn the_limit_that_ended_a_program_is_named() {
        let limit = Some(64 << 20);
        let of_limit = "exit code 137: the kernel ended it, as it needed more memory than its limit of 64M (`memory` of the \
                        service in profile.toml)";
        assert_eq!(ended(137, true, limit), of_limit);
        // A program whose process was ended ends with a code of its own.
        assert_eq!(ended(1, true, limit), of_limit.replace("137", "1").replace("ended it", "ended a process of it"));
        assert_eq!(ended(0, true, limit), "exit code 0");
        assert!(ended(137, false, limit).contains("when it needs more memory than its limit of 64M"));
        assert_eq!(ended(137, true, None), "exit code 137: the kernel ended it, as the host had too little memory");
        assert_eq!(ended(137, false, None), format!("exit code 137: {OF_KILL}"));
    }

    #[test]
    fn codes_that_only_the_program_knows_have_no_cause() {
        assert_eq!(ended(127, false, Some(1)), "exit code 127: it calls a program that is not in its image");
        assert_eq!(ended(3, false, Some(1 << 20)), "exit code 3");
        assert_eq!(ended(0, false, None), "exit code 0");
    }
}
