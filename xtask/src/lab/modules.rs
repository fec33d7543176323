//! Kernel modules with their dependencies, straight from `modules.dep`: the guest needs no kmod.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::path::PathBuf;

use anyhow::Context;
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

/// Loaded in every guest, dependencies before them.
pub(crate) const ALWAYS: &[&str] = &[
    "dm-mod",
    "dm-thin-pool",
    "dm-snapshot",
    "dm-flakey",
    "dm-log-writes",
    "dm-delay",
    "dm-dust",
    "dm-clone",
    "loop",
    "nbd",
];

/// A folder of modules, and which of them are in the kernel already.
pub(crate) struct Modules {
    top: PathBuf,
    graph: Graph,
    loaded: BTreeSet<String>,
}

impl Modules {
    /// Reads the folder's `modules.dep` and `modules.builtin`.
    pub(crate) fn open(top: PathBuf) -> anyhow::Result<Self> {
        let file = top.join("modules.dep");
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let builtin = std::fs::read_to_string(top.join("modules.builtin")).unwrap_or_default();
        let loaded = builtin.lines().map(key).collect();
        Ok(Self {
            top,
            graph: Graph::parse(&text),
            loaded,
        })
    }

    /// Loads `NAME` or `NAME=PARAMETERS` and all it needs; loading one twice is nothing.
    pub(crate) fn load(&mut self, spec: &str) -> anyhow::Result<()> {
        let (name, parameters) = spec.split_once('=').unwrap_or((spec, ""));
        let wanted = key(name);
        for module in self
            .graph
            .order(name)
            .with_context(|| format!("no module {name}"))?
        {
            let parameters = if key(&module) == wanted {
                parameters
            } else {
                ""
            };
            self.insert(&module, parameters)
                .with_context(|| format!("load module {module}"))?;
        }
        Ok(())
    }

    fn insert(&mut self, module: &str, parameters: &str) -> anyhow::Result<()> {
        if !self.loaded.insert(key(module)) {
            return Ok(());
        }
        let file = std::fs::File::open(self.top.join(module))?;
        let parameters = CString::new(parameters)?;
        match finit_module(&file, &parameters, load_flags(module)) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// `MODULE_INIT_COMPRESSED_FILE` of `linux/module.h`: the kernel decompresses `.ko.xz` and the like.
fn load_flags(module: &str) -> ModuleInitFlags {
    let plain = module.rsplit('.').next() == Some("ko");
    ModuleInitFlags::from_bits_retain(if plain { 0 } else { 4 })
}

/// What `modules.dep` says: for each module its file and the files it needs, nearest first.
struct Graph(BTreeMap<String, (String, Vec<String>)>);

impl Graph {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Self(
            lines
                .map(|(file, needs)| {
                    let needs = needs.split_whitespace().map(str::to_owned).collect();
                    (key(file), (file.to_owned(), needs))
                })
                .collect(),
        )
    }

    /// The files to load for a module, deepest dependency first (`modules.dep` lists it last).
    fn order(&self, name: &str) -> Option<Vec<String>> {
        let (file, needs) = self.0.get(&key(name))?;
        Some(
            needs
                .iter()
                .rev()
                .chain(std::iter::once(file))
                .cloned()
                .collect(),
        )
    }
}

/// A module's name whatever its path, ending and spelling: the kernel treats `-` and `_` alike.
fn key(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/md/dm-mod.ko:\n\
        kernel/md/dm-thin-pool.ko: kernel/md/dm-bio-prison.ko kernel/md/dm-mod.ko\n\
        kernel/md/dm-bio-prison.ko:\n";

    #[test]
    fn dependencies_come_first() {
        let order = Graph::parse(DEP).order("dm_thin_pool").unwrap();
        assert_eq!(
            order,
            [
                "kernel/md/dm-mod.ko",
                "kernel/md/dm-bio-prison.ko",
                "kernel/md/dm-thin-pool.ko"
            ]
        );
    }

    #[test]
    fn spelling_does_not_matter() {
        assert_eq!(key("kernel/x/dm-thin-pool.ko.xz"), key("dm_thin_pool"));
        assert!(Graph::parse(DEP).order("dm-nothing").is_none());
    }

    #[test]
    fn compressed_modules_are_left_to_the_kernel() {
        assert_eq!(load_flags("a/b.ko").bits(), 0);
        assert_eq!(load_flags("a/b.ko.zst").bits(), 4);
    }
}
