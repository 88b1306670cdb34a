//! What the kernel has counted in the control group of a container (cgroups(7)).
//!
//! Engines tell how the first process of a container ended. Of its other processes, only the kernel knows.

use crate::machine::Machine;

/// Where the groups of memory of version 1 are, and all groups of version 2.
const MEMORY: &str = "/sys/fs/cgroup/memory";
const UNIFIED: &str = "/sys/fs/cgroup";

/// How often the kernel ended processes for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kills {
    /// Since the start of the container: its group is made anew then.
    pub(super) times: u64,
    /// Whether the group's limit was reached, and not only the host's memory used up.
    pub(super) by_limit: bool,
}

/// Those of the container with this ID, one of whose processes is `process`. `None` where that is not known: the engine runs
/// elsewhere, where the number is another process's, or containers have no groups of their own.
pub(super) fn kills(machine: &Machine, process: u32, container: &str) -> Option<Kills> {
    let groups = fs_err::read_to_string(machine.path(&format!("/proc/{process}/cgroup"))).ok()?;
    let (mut of_memory, mut unified) = (None, None);
    for line in groups.lines() {
        match line.splitn(3, ':').collect::<Vec<_>>()[..] {
            ["0", "", path] => unified = Some(path),
            [_, kinds, path] if kinds.split(',').any(|kind| kind == "memory") => of_memory = Some(path),
            _ => {}
        }
    }
    let read = |folder: &str, path: &str, file: &str| -> Vec<String> {
        let paths = own(path, container).into_iter().map(|group| machine.path(&format!("{folder}{group}/{file}")));
        paths.filter_map(|path| fs_err::read_to_string(path).ok()).collect()
    };
    // With groups of both versions, those of version 2 have no memory.
    if let Some(path) = of_memory {
        // Each group counts its own processes only.
        let tables = read(MEMORY, path, "memory.oom_control");
        let times = tables.iter().map(|table| counted(table, "oom_kill")).sum::<Option<u64>>()?;
        return (!tables.is_empty()).then_some(Kills { times, by_limit: true });
    }
    // Groups count what is below them, unless the host is set up otherwise.
    let tables = read(UNIFIED, unified?, "memory.events");
    let most = |name: &str| tables.iter().filter_map(|table| counted(table, name)).max();
    Some(Kills { times: most("oom_kill")?, by_limit: most("oom")? > 0 })
}

/// The groups of a container: its own, which is named after it, and those that were made in it, down to `path`.
fn own(path: &str, container: &str) -> Vec<String> {
    let mut groups = Vec::new();
    let mut group = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        group += &format!("/{part}");
        if !groups.is_empty() || (!container.is_empty() && part.contains(container)) {
            groups.push(group.clone());
        }
    }
    groups
}

/// The number after `name` in a table of a number a line.
fn counted(table: &str, name: &str) -> Option<u64> {
    table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is counted for the container `ab12` with the process 7 on a machine with these files.
    fn of(files: &[(&str, &str)]) -> Option<(u64, bool)> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        kills(&Machine::of(root.path(), &[]), 7, "ab12").map(|kills| (kills.times, kills.by_limit))
    }

    /// podman has the limit on the group above that of the processes.
    #[test]
    fn processes_that_were_ended_are_counted_in_both_versions() {
        let scope = "sys/fs/cgroup/machine.slice/libpod-ab12.scope";
        let nested = ("proc/7/cgroup", "0::/machine.slice/libpod-ab12.scope/container\n");
        let (above, inside) = (format!("{scope}/memory.events"), format!("{scope}/container/memory.events"));
        let events = "low 0\nhigh 0\nmax 31\noom 4\noom_kill 3\noom_group_kill 0\n";
        let none = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 3\noom_group_kill 0\n";
        assert_eq!(of(&[nested, (&above, events), (&inside, none)]), Some((3, true)));
        assert_eq!(of(&[nested, (&above, none), (&inside, none)]), Some((3, false)));

        let both = ("proc/7/cgroup", "4:cpu,memory:/docker/ab12\n0::/docker/ab12\n");
        let control = ("sys/fs/cgroup/memory/docker/ab12/memory.oom_control", "under_oom 0\noom_kill 2\n");
        assert_eq!(of(&[both, control]), Some((2, true)));
    }

    /// In a virtual machine of the engine, the number belongs to any process of this machine.
    #[test]
    fn groups_of_others_are_not_looked_at() {
        let events = "oom 4\noom_kill 3\n";
        assert_eq!(
            of(&[("proc/7/cgroup", "0::/user.slice\n"), ("sys/fs/cgroup/user.slice/memory.events", events)]),
            None
        );
        assert_eq!(of(&[("proc/7/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.events", events)]), None);
        assert_eq!(of(&[("proc/7/cgroup", "4:memory:/\n0::/\n")]), None);
        assert_eq!(of(&[]), None);
    }
}
