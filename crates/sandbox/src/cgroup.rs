//! Control groups: how much of the machine a worker may take, the whole of it together.
//!
//! | | version 1 | version 2 |
//! |---|---|---|
//! | memory, swap included | `memory.limit_in_bytes`, `memory.memsw.limit_in_bytes` | `memory.max`, and no swap |
//! | processes and threads | `pids.max` | `pids.max` |
//! | processors | `cpu.cfs_quota_us`, `cpu.shares` | `cpu.max`, `cpu.weight` |
//!
//! The parent finds where it may make groups ([`Places`]), below the group that it is in itself, so that its own limits go on to hold. The
//! launcher makes a worker's group, starts the worker in it, and takes it away when the worker has ended. It is in no group itself: what the
//! kernel kills for its memory is the worker. A group whose launcher was killed is taken away by the next launcher.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Result, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};

use crate::Plan;

/// Workers' groups are named by this and their launcher's number.
const WORKER: &str = "atlas-worker-";
/// Where a parent goes itself: under version 2 a group has processes or limits for groups below it, never both.
const PARENT: &str = "atlas-parent";
/// Over how long processor time is counted, in microseconds.
const PERIOD_US: u64 = 100_000;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Version {
    One,
    Two,
}

/// A directory of the group file system below which groups can be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    version: Version,
    controllers: Vec<Controller>,
    /// Where groups are made.
    base: PathBuf,
    /// The group that this process is in.
    own: PathBuf,
}

/// Where this process may make groups, and why it may not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Places {
    places: Vec<Place>,
    missing: Vec<String>,
}

impl Places {
    /// Those of this process. Looked for once: it may have to move to a group below its own.
    pub(crate) fn here() -> &'static Self {
        static HERE: OnceLock<Places> = OnceLock::new();
        HERE.get_or_init(|| {
            let read = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
            let (mut places, mut missing) = (vec![], vec![]);
            for mut place in find(&read("cgroup"), &read("mountinfo")) {
                match place.prepare() {
                    Ok(()) => places.push(place),
                    Err(error) => missing.push(format!("`{}`: {error}", place.base.display())),
                }
            }
            Self { places, missing }
        })
    }
}

/// The groups that a process is in, by what `/proc/self/cgroup` and `/proc/self/mountinfo` say; of version 2 with all that could be limited.
fn find(groups: &str, mounts: &str) -> Vec<Place> {
    let groups = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let place = |(names, group): (&str, &str)| {
        let two = names.is_empty();
        let controllers: Vec<Controller> = Controller::ALL
            .into_iter()
            .filter(|controller| two || names.split(',').any(|name| name == controller.name()))
            .collect();
        let own = mounts.lines().find_map(|line| {
            let (mount, system) = line.split_once(" - ")?;
            let mut mount = mount.split(' ').skip(3);
            let (root, at) = (mount.next()?, mount.next()?);
            let mut system = system.split(' ');
            let kind = system.next()?;
            let same = if two {
                kind == "cgroup2"
            } else {
                let options = system.nth(1)?;
                kind == "cgroup" && names.split(',').all(|name| options.split(',').any(|o| o == name))
            };
            let below = Path::new(group).strip_prefix(root).ok().filter(|_| same)?;
            Some(Path::new(at).join(below))
        })?;
        let version = if two { Version::Two } else { Version::One };
        Some(Place { version, controllers, base: own.clone(), own })
    };
    groups.filter_map(place).filter(|place| !place.controllers.is_empty()).collect()
}

impl Place {
    /// Makes sure that groups below can have limits of their own.
    fn prepare(&mut self) -> Result<()> {
        if self.version == Version::One {
            return Ok(());
        }
        // Who was started by a parent that has made room is beside its workers.
        if self.own.ends_with(PARENT) {
            self.base.pop();
        }
        let offered = std::fs::read_to_string(self.base.join("cgroup.controllers"))?;
        self.controllers
            .retain(|controller| offered.split_whitespace().any(|name| name == controller.name()));
        let Err(error) = self.divide() else { return Ok(()) };
        if error.raw_os_error() != Some(Errno::EBUSY as i32) {
            return Err(error);
        }
        let parent = self.base.join(PARENT);
        match std::fs::create_dir(&parent) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let divided = write(&parent.join("cgroup.procs"), "0").and_then(|()| self.divide());
        if divided.is_ok() {
            self.own = parent;
        } else {
            // Others are in the group too.
            let _ = write(&self.base.join("cgroup.procs"), "0");
            let _ = std::fs::remove_dir(&parent);
        }
        divided
    }

    /// Lets groups below have limits; under version 2, which does not do so while there are processes in this one.
    fn divide(&self) -> Result<()> {
        let wanted: Vec<String> = self.controllers.iter().map(|c| format!("+{}", c.name())).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        write(&self.base.join("cgroup.subtree_control"), &wanted.join(" "))
    }

    /// Takes away what launchers have left that were killed.
    fn sweep(&self) {
        let entries = std::fs::read_dir(&self.base).into_iter().flatten().flatten();
        for entry in entries {
            let number = entry.file_name().to_str().and_then(|name| name.strip_prefix(WORKER)?.parse().ok());
            let dead = number.is_some_and(|number: i32| {
                number.cast_unsigned() == std::process::id()
                    || kill(Pid::from_raw(number), None) == Err(Errno::ESRCH)
            });
            if dead {
                // Not while anybody is in it.
                let _ = std::fs::remove_dir(entry.path());
            }
        }
    }

    fn make(&self, plan: &Plan) -> Result<Part> {
        let name = format!("{WORKER}{}", std::process::id());
        let group = self.base.join(&name);
        let base = File::open(&self.base)?;
        let home = OpenOptions::new().write(true).open(self.own.join("cgroup.procs"))?;
        std::fs::create_dir(&group)?;
        let part = || -> Result<Part> {
            for controller in &self.controllers {
                self.limit(&group, *controller, plan)?;
            }
            let memory = self.controllers.contains(&Controller::Memory);
            let events = match self.version {
                Version::One => "memory.oom_control",
                Version::Two => "memory.events",
            };
            let events = memory.then(|| File::open(group.join(events))).transpose()?;
            // At once: a group that cannot be entered is none.
            let procs = OpenOptions::new().write(true).open(group.join("cgroup.procs"))?;
            (&procs).write_all(b"0")?;
            Ok(Part { base, name, home, events })
        };
        part().inspect_err(|_| drop(std::fs::remove_dir(&group)))
    }

    fn limit(&self, group: &Path, controller: Controller, plan: &Plan) -> Result<()> {
        let set = |file: &str, value: String| write(&group.join(file), &value);
        let set_if_there = |file: &str, value: String| {
            if group.join(file).exists() { set(file, value) } else { Ok(()) }
        };
        match (controller, self.version) {
            (Controller::Memory, Version::One) => {
                set("memory.limit_in_bytes", plan.memory.to_string())?;
                set_if_there("memory.memsw.limit_in_bytes", plan.memory.to_string())
            }
            (Controller::Memory, Version::Two) => {
                set("memory.max", plan.memory.to_string())?;
                set_if_there("memory.swap.max", "0".into())
            }
            (Controller::Pids, _) => set("pids.max", plan.threads.to_string()),
            // Beside others it weighs as its threads would without a group, and not as one.
            (Controller::Cpu, Version::One) => {
                set("cpu.shares", (1024 * plan.processors).to_string())?;
                set("cpu.cfs_period_us", PERIOD_US.to_string())?;
                set("cpu.cfs_quota_us", (PERIOD_US * plan.processors).to_string())
            }
            (Controller::Cpu, Version::Two) => {
                set("cpu.weight", (100 * plan.processors).min(10_000).to_string())?;
                set("cpu.max", format!("{} {PERIOD_US}", PERIOD_US * plan.processors))
            }
        }
    }
}

/// A worker's group in one place. All is held open: the launcher's root is the worker's by the time that it is needed.
struct Part {
    base: File,
    name: String,
    home: File,
    /// Where the kernel counts whom it has killed for memory.
    events: Option<File>,
}

/// A worker's group, in every place. Taken away when this is dropped.
pub(crate) struct Group(Vec<Part>);

impl Group {
    /// Makes it as `plan` says, and enters it: who is started now is in it too. Says too what cannot be limited, if anything.
    pub(crate) fn enter(places: &Places, plan: &Plan) -> (Self, Option<String>) {
        let mut why = places.missing.clone();
        let mut limited = vec![];
        let mut parts = vec![];
        for place in places.places.iter().filter(|place| !place.controllers.is_empty()) {
            place.sweep();
            match place.make(plan) {
                Ok(part) => {
                    parts.push(part);
                    limited.extend(place.controllers.iter().copied());
                }
                Err(error) => why.push(format!("`{}`: {error}", place.base.display())),
            }
        }
        let without = Controller::ALL.into_iter().filter(|controller| !limited.contains(controller));
        let without: Vec<&str> = without.map(Controller::name).collect();
        let unlimited = (!without.is_empty()).then(|| {
            let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
            format!("{}{why}", without.join(", "))
        });
        (Self(parts), unlimited)
    }

    /// Leaves it; who has been started meanwhile stays.
    pub(crate) fn leave(&self) {
        for part in &self.0 {
            // Who cannot leave is only not able to take the group away.
            let _ = (&part.home).write_all(b"0");
        }
    }

    /// Whether memory is limited.
    pub(crate) fn limits_memory(&self) -> bool {
        self.0.iter().any(|part| part.events.is_some())
    }

    /// Whether the kernel has killed somebody in it for want of memory.
    pub(crate) fn ran_out(&self) -> bool {
        self.0.iter().any(|part| part.killed().is_ok_and(|killed| killed > 0))
    }
}

impl Part {
    fn killed(&self) -> Result<u64> {
        let Some(mut events) = self.events.as_ref() else { return Ok(0) };
        let mut text = String::new();
        events.rewind()?;
        events.read_to_string(&mut text)?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
        Ok(count.unwrap_or_default())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for part in &self.0 {
            // What cannot be taken away yet is by the next launcher.
            let _ = unlinkat(part.base.as_fd(), part.name.as_str(), UnlinkatFlags::RemoveDir);
        }
    }
}

/// The kernel takes a value whole, in one call.
fn write(path: &Path, value: &str) -> Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(groups: &str, mounts: &str) -> Vec<(Version, Vec<Controller>, String)> {
        let found = find(groups, mounts).into_iter();
        found.map(|place| (place.version, place.controllers, place.own.display().to_string())).collect()
    }

    #[test]
    fn own_groups_are_found_where_systemd_docker_and_kubernetes_mount_them() {
        use Controller::{Cpu, Memory, Pids};
        // A service of systemd, version 2 alone.
        let mounts = "25 24 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        let own = "/sys/fs/cgroup/system.slice/atlas.service".to_owned();
        assert_eq!(
            found("0::/system.slice/atlas.service\n", mounts),
            [(Version::Two, vec![Memory, Pids, Cpu], own)]
        );
        // A container with a namespace of its own.
        let mounts = "812 811 0:29 / /sys/fs/cgroup ro,relatime - cgroup2 cgroup rw";
        assert_eq!(found("0::/\n", mounts)[0].2, "/sys/fs/cgroup/");
        // A container without one, version 1: it sees its own group as the root of the mount. Of version 2 it sees nothing.
        let groups = "11:cpu,cpuacct:/docker/a1\n5:memory:/docker/a1\n2:cpuset:/docker/a1\n1:name=systemd:/docker/a1\n0::/docker/a1\n";
        let mounts = "700 690 0:30 /docker/a1 /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
                      701 690 0:31 /docker/a1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(
            found(groups, mounts),
            [
                (Version::One, vec![Cpu], "/sys/fs/cgroup/cpu,cpuacct/".to_owned()),
                (Version::One, vec![Memory], "/sys/fs/cgroup/memory/".to_owned())
            ]
        );
        // A process that was moved out of what its namespace shows.
        assert_eq!(found("0::/../other\n", "1 1 0:1 /sub /sys/fs/cgroup rw - cgroup2 cgroup2 rw"), []);
    }
}
