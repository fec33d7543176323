//! What apt knows and fetches, asked without root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::run::{find_program, quietly};

/// A package apt would install.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// A package's file, downloaded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    pub(crate) package: String,
    pub(crate) file: PathBuf,
}

/// apt-get, with the machine's package lists or, where those are missing, private ones.
pub(crate) struct Apt {
    private: PathBuf,
}

impl Apt {
    /// Fails with what is missing where the machine has no apt.
    pub(crate) fn new(cache: &Path) -> anyhow::Result<Self> {
        for tool in ["apt-get", "dpkg-deb", "tar"] {
            if find_program(tool).is_none() {
                bail!("{tool} is needed to fetch packages: that works on Debian and its kin only");
            }
        }
        Ok(Self {
            private: cache.join("apt"),
        })
    }

    /// The packages, and all they need, that this machine lacks.
    pub(crate) fn would_install(&self, packages: &[&str]) -> anyhow::Result<Vec<Package>> {
        let words = ["install", "--simulate", "--no-install-recommends", "-qq"];
        let words = words.iter().chain(packages).map(|word| (*word).to_owned());
        let said = self.run(&words.collect::<Vec<_>>(), Path::new("/"))?;
        let mut found: Vec<Package> = said.lines().filter_map(parse_inst).collect();
        found.sort();
        Ok(found)
    }

    /// The names a package depends on directly.
    pub(crate) fn depends(&self, package: &str) -> anyhow::Result<Vec<String>> {
        let said = match apt_cache_depends(&[], package) {
            Ok(said) if said.contains("Depends:") => said,
            _ => apt_cache_depends(&self.fresh_lists()?, package)?,
        };
        let names = said
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.map(str::to_owned).collect())
    }

    /// Downloads packages, by exact name, into a folder.
    pub(crate) fn download(&self, packages: &[String], dir: &Path) -> anyhow::Result<Vec<Archive>> {
        let words = std::iter::once("download".to_owned()).chain(packages.iter().cloned());
        self.run(&words.collect::<Vec<_>>(), dir)
            .context("download packages")?;
        let mut archives = Vec::new();
        for entry in std::fs::read_dir(dir).context("list what was downloaded")? {
            archives.extend(archive(entry?.path()));
        }
        Ok(archives)
    }

    /// Runs apt-get with the machine's lists, and once more with fresh private ones if that fails.
    fn run(&self, words: &[String], dir: &Path) -> anyhow::Result<String> {
        let apt = |options: &[String], words: &[String]| {
            let mut command = Command::new("apt-get");
            command
                .args(options)
                .args(words)
                .current_dir(dir)
                .env("LC_ALL", "C.UTF-8");
            quietly(&mut command)
        };
        if let Ok(said) = apt(&[], words) {
            return Ok(said);
        }
        apt(&self.fresh_lists()?, words)
    }

    /// The options for private package lists, read anew.
    fn fresh_lists(&self) -> anyhow::Result<Vec<String>> {
        let options = self.private_lists()?;
        quietly(Command::new("apt-get").args(&options).arg("update"))
            .context("read the package lists")?;
        Ok(options)
    }

    fn private_lists(&self) -> anyhow::Result<Vec<String>> {
        for dir in ["state/lists/partial", "cache/archives/partial"] {
            let dir = self.private.join(dir);
            std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        }
        let top = self.private.display();
        let settings = [
            format!("Dir::State={top}/state"),
            format!("Dir::Cache={top}/cache"),
            "Dir::State::status=/var/lib/dpkg/status".to_owned(),
            "APT::Sandbox::User=".to_owned(),
        ];
        Ok(settings
            .into_iter()
            .flat_map(|setting| ["-o".to_owned(), setting])
            .collect())
    }
}

fn apt_cache_depends(options: &[String], package: &str) -> anyhow::Result<String> {
    let mut command = Command::new("apt-cache");
    command.args(options).args(["depends", package]);
    quietly(command.env("LC_ALL", "C.UTF-8"))
}

/// A line of the simulation: `Inst NAME [OLD VERSION] (VERSION SOURCE [ARCHITECTURE])`.
fn parse_inst(line: &str) -> Option<Package> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
    let version = rest.split_once('(')?.1.split_whitespace().next()?;
    Some(Package {
        name: name.to_owned(),
        version: version.to_owned(),
    })
}

/// `NAME_VERSION_ARCHITECTURE.deb`.
fn archive(file: PathBuf) -> Option<Archive> {
    let name = file.file_name()?.to_str()?.strip_suffix(".deb")?;
    let package = name.split('_').next()?.to_owned();
    Some(Archive { package, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str)>) {
        let found = parse_inst(line);
        let found = found
            .as_ref()
            .map(|p| (p.name.as_str(), p.version.as_str()));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_simulation_names_packages_and_versions() {
        check(
            "Inst libaio1 (0.3.113-4 Debian:12.5/oldstable [amd64])",
            Some(("libaio1", "0.3.113-4")),
        );
        check(
            "Inst udev [252.1] (252.39-1 Debian:12 [amd64]) []",
            Some(("udev", "252.39-1")),
        );
        check(
            "Conf libaio1 (0.3.113-4 Debian:12.5/oldstable [amd64])",
            None,
        );
        check("", None);
    }

    #[test]
    fn archives_are_named_after_their_package() {
        let found = archive("/x/libaio1_0.3.113-4_amd64.deb".into()).unwrap();
        assert_eq!(found.package, "libaio1");
        assert_eq!(archive("/x/libaio1".into()), None);
    }
}
