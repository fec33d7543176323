//! What the workspace's build and its tests on this machine need that cargo does not bring.
//!
//! As root, Debian's packages are installed; else (or with `CONVOY_SETUP=unpack`) they are unpacked
//! under the build's folder, and cargo's child processes get the variables that make them found.

pub(crate) mod servers;
mod thin_tools;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::debs::{self, Apt};
use crate::places;
use crate::run::{find_program, quietly, usage};

const HELP: &str = "\
usage: cargo xtask setup

Installs (as root) or unpacks under the build's folder (else) what the build needs and this machine
lacks, naming each package first. Prints, as shell lines, the variables a plain `cargo build` or
`cargo test` then needs; `eval \"$(cargo xtask setup)\"` sets them. CONVOY_SETUP=unpack never installs.";

/// `cargo xtask setup`.
pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    match words {
        [] => {}
        [word] if word == "--help" || word == "-h" => {
            println!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        _ => return Err(usage("setup takes no words")),
    }
    for (name, value) in prepare()?.with_judges()? {
        println!("export {name}='{}'", value.to_string_lossy());
    }
    Ok(ExitCode::SUCCESS)
}

/// Variables for cargo and what it starts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(BTreeMap<&'static str, OsString>);

impl Environment {
    /// A command with these variables set.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(&self.0).current_dir(places::workspace());
        command
    }

    /// The same, and for tests the folder of the tools whose answers ours are compared with.
    pub(crate) fn with_judges(mut self) -> anyhow::Result<Self> {
        self.0
            .insert(thin_tools::VARIABLE, thin_tools::folder()?.into());
        Ok(self)
    }
}

impl IntoIterator for Environment {
    type Item = (&'static str, OsString);
    type IntoIter = std::collections::btree_map::IntoIter<&'static str, OsString>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Something needed: how to see that it is there, and what brings it.
struct Need {
    what: &'static str,
    why: &'static str,
    present: fn() -> bool,
    packages: fn(&Apt) -> anyhow::Result<Vec<String>>,
}

const NEEDS: &[Need] = &[
    Need {
        what: "pkg-config",
        why: "the build looks for libdevmapper with it",
        present: || find_program("pkg-config").is_some(),
        packages: |_| Ok(vec!["pkg-config".to_owned()]),
    },
    Need {
        what: "libdevmapper-dev",
        why: "the C header of the kernel's device-mapper interface",
        present: || Path::new("/usr/include/libdevmapper.h").exists(),
        packages: |_| Ok(vec!["libdevmapper-dev".to_owned()]),
    },
    Need {
        what: "libclang",
        why: "bindgen reads that header with it",
        present: has_libclang,
        packages: libclang_packages,
    },
    Need {
        what: "python3",
        why: "a test restores a backup with an independent reader",
        present: || find_program("python3").is_some(),
        packages: |_| Ok(vec!["python3".to_owned()]),
    },
];

/// Makes everything needed available.
pub(crate) fn prepare() -> anyhow::Result<Environment> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(Environment::default());
    }
    for need in &missing {
        eprintln!("setup: {} is missing: {}", need.what, need.why);
    }
    let cache = places::lab_cache()?;
    let apt = Apt::new(&cache).with_context(|| {
        let names: Vec<&str> = missing.iter().map(|need| need.what).collect();
        format!("install by hand: {}", names.join(", "))
    })?;
    let mut packages = Vec::new();
    for need in missing {
        packages.extend((need.packages)(&apt)?);
    }
    if may_install() {
        install(&packages)?;
        return Ok(Environment::default());
    }
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    match debs::closure(&cache, &names).context("unpack what the build needs")? {
        Some(root) => variables(&root),
        None => bail!(
            "apt says that {} are installed, yet they were not found",
            names.join(", ")
        ),
    }
}

/// Installs what tests run as programs, where they run on this machine's own kernel; without Debian's apt
/// the names are told, and the tests say what they miss.
pub(crate) fn install_tools(packages: &[&str]) -> anyhow::Result<()> {
    let missing = match Apt::new(&places::lab_cache()?) {
        Ok(apt) => apt.would_install(packages)?,
        Err(error) => {
            eprintln!("setup: needed: {} ({error:#})", packages.join(", "));
            return Ok(());
        }
    };
    let names: Vec<String> = missing.into_iter().map(|package| package.name).collect();
    if names.is_empty() {
        return Ok(());
    }
    if !may_install() {
        bail!("install by hand: {}", names.join(", "));
    }
    install(&names)
}

fn may_install() -> bool {
    let unpack = std::env::var_os("CONVOY_SETUP").is_some_and(|value| value == "unpack");
    nix::unistd::geteuid().is_root() && !unpack
}

fn install(packages: &[String]) -> anyhow::Result<()> {
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
        quietly(&mut command)
    };
    let names = packages.iter().map(String::as_str);
    let words: Vec<&str> = ["install", "-y", "--no-install-recommends"]
        .into_iter()
        .chain(names)
        .collect();
    eprintln!("setup: apt-get {}", words.join(" "));
    if apt(&words).is_ok() {
        return Ok(());
    }
    eprintln!("setup: apt-get update");
    apt(&["update"]).context("read the package lists")?;
    apt(&words).context("install packages").map(drop)
}

/// The version's own small packages: `libclang-dev` would bring every static library of clang.
fn libclang_packages(apt: &Apt) -> anyhow::Result<Vec<String>> {
    let depends = apt
        .depends("libclang-dev")
        .context("find Debian's libclang")?;
    let version = depends
        .iter()
        .find_map(|name| name.strip_prefix("libclang-")?.strip_suffix("-dev"));
    let version = version.context("libclang-dev depends on no libclang-<version>-dev")?;
    Ok(vec![
        format!("libclang1-{version}"),
        format!("libclang-common-{version}-dev"),
    ])
}

/// As crate clang-sys searches: the named folder, LLVM's own folders, the system's. The library alone is
/// not enough: the headers it brings along (`stddef.h`) come in a package of their own.
fn has_libclang() -> bool {
    let named = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let by_name = named.is_some();
    let system = children(Path::new("/usr/lib")).filter(|dir| name(dir).ends_with("-linux-gnu"));
    let llvm: Vec<PathBuf> = children(Path::new("/usr/lib"))
        .filter(|dir| name(dir).starts_with("llvm"))
        .map(|dir| dir.join("lib"))
        .collect();
    let library = named
        .into_iter()
        .chain(llvm.iter().cloned())
        .chain(system)
        .chain(["/usr/lib64", "/usr/local/lib"].map(PathBuf::from))
        .any(|dir| children(&dir).any(|file| is_libclang(&name(&file)) && file.exists()));
    let headers = llvm
        .into_iter()
        .chain([PathBuf::from("/usr/lib")])
        .any(|dir| {
            children(&dir.join("clang")).any(|version| version.join("include/stddef.h").exists())
        });
    library && (headers || by_name)
}

/// Whether a file of this name is the C interface of clang; `libclang-cpp.so.14` is another library.
fn is_libclang(name: &str) -> bool {
    let versioned = name.starts_with("libclang-") && !name.starts_with("libclang-cpp");
    name.starts_with("libclang.so") || versioned && name.contains(".so")
}

/// The variables that make the build find what lies under `root`.
fn variables(root: &Path) -> anyhow::Result<Environment> {
    let mut env = BTreeMap::new();
    let usr = root.join("usr");
    env.insert(
        "PATH",
        prepend(&[usr.join("bin"), usr.join("sbin")], "PATH")?,
    );
    let libraries: Vec<PathBuf> = children(&usr.join("lib"))
        .filter(|dir| name(dir).ends_with("-linux-gnu"))
        .collect();
    env.insert("LD_LIBRARY_PATH", prepend(&libraries, "LD_LIBRARY_PATH")?);
    let configs: Vec<PathBuf> = libraries.iter().map(|dir| dir.join("pkgconfig")).collect();
    if configs.iter().any(|dir| dir.join("devmapper.pc").exists()) {
        env.insert("PKG_CONFIG_PATH", prepend(&configs, "PKG_CONFIG_PATH")?);
        env.insert("PKG_CONFIG_SYSROOT_DIR", root.as_os_str().to_owned());
    }
    let mut includes = vec![usr.join("include")];
    if let Some(llvm) = children(&usr.join("lib")).find(|dir| name(dir).starts_with("llvm")) {
        env.insert("LIBCLANG_PATH", llvm.join("lib").into_os_string());
        let versions = children(&llvm.join("lib/clang"));
        includes.extend(
            versions
                .map(|dir| dir.join("include"))
                .filter(|dir| dir.is_dir()),
        );
    }
    let flags: Vec<String> = includes
        .iter()
        .map(|dir| format!("-I{}", dir.display()))
        .collect();
    env.insert("BINDGEN_EXTRA_CLANG_ARGS", flags.join(" ").into());
    Ok(Environment(env))
}

fn prepend(dirs: &[PathBuf], variable: &str) -> anyhow::Result<OsString> {
    let old = std::env::var_os(variable).unwrap_or_default();
    let old = std::env::split_paths(&old).filter(|dir| !dir.as_os_str().is_empty());
    std::env::join_paths(dirs.iter().cloned().chain(old)).with_context(|| format!("set {variable}"))
}

fn children(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.into_iter()
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    //! What counts as libclang.

    use super::is_libclang;

    #[test]
    fn the_c_interface_and_no_other_library() {
        for name in [
            "libclang.so",
            "libclang.so.1",
            "libclang-14.so.1",
            "libclang-14.so.14.0.6",
        ] {
            assert!(is_libclang(name), "{name}");
        }
        for name in [
            "libclang-cpp.so.14",
            "libclang-common.txt",
            "libclangBasic.a",
        ] {
            assert!(!is_libclang(name), "{name}");
        }
    }
}
