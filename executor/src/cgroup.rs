//! The cgroups of this process, which bound what it may use.

use std::path::{Path, PathBuf};

/// Where the cgroups of a process are: the files of cgroups(7).
pub(crate) struct Cgroups {
    /// Where the hierarchies are mounted.
    root: PathBuf,
    /// Lines of /proc/self/cgroup: hierarchy, controllers, path.
    membership: String,
}

impl Cgroups {
    pub(crate) fn of_this_process() -> Self {
        Self {
            root: PathBuf::from("/sys/fs/cgroup"),
            membership: std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
        }
    }

    /// Directories of the version 2 hierarchy, from the process's own cgroup upwards. Beside
    /// version 1 it is mounted in `unified`.
    pub(crate) fn unified(&self) -> impl Iterator<Item = PathBuf> {
        let path = self.path(|controllers| controllers.is_empty());
        let dirs = path.iter().flat_map(|path| {
            [
                upwards(&self.root, path),
                upwards(&self.root.join("unified"), path),
            ]
            .concat()
        });
        dirs.collect::<Vec<_>>().into_iter()
    }

    pub(crate) fn version_1(&self, controller: &str) -> impl Iterator<Item = PathBuf> {
        let path = self.path(|controllers| controllers.split(',').any(|name| name == controller));
        let dirs = path.map(|path| upwards(&self.root.join(controller), &path));
        dirs.unwrap_or_default().into_iter()
    }

    /// The path of the cgroup in the first hierarchy whose controllers are `wanted`.
    fn path(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            wanted(controllers).then(|| path.to_owned())
        })
    }
}

/// `root/a/b`, `root/a`, `root` for the path `/a/b`. In a container without a cgroup namespace the
/// path is the host's and only the last exists, which then is the container's own.
fn upwards(root: &Path, path: &str) -> Vec<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    path.ancestors().map(|part| root.join(part)).collect()
}

pub(crate) fn read(dir: &Path, file: &str) -> Option<String> {
    let text = std::fs::read_to_string(dir.join(file)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Files of some cgroups, for the tests of what is read there.
#[cfg(test)]
pub(crate) struct Tree(tempfile::TempDir);

#[cfg(test)]
impl Tree {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::TempDir::new().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(root)
    }

    pub(crate) fn cgroups(&self, membership: &str) -> Cgroups {
        Cgroups {
            root: self.0.path().to_owned(),
            membership: membership.to_owned(),
        }
    }
}
