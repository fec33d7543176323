//! The parts: each is tests of which the long version is asked for by variables.

/// A part.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) work: Work,
    /// Variables besides `CONVOY_TORTURE`.
    pub(super) env: &'static [(&'static str, &'static str)],
}

/// What runs it.
pub(super) enum Work {
    /// The lab's tests with this in their name.
    Guests(&'static str),
    /// `cargo test` with these words.
    Here(&'static [&'static str]),
}

pub(super) const PARTS: &[Part] = &[
    Part {
        name: "kills",
        about: "each verb killed, panicking and failing at each step",
        work: Work::Guests("kills::"),
        env: &[],
    },
    Part {
        name: "syscalls",
        about: "each system call of a verb killed or failed",
        work: Work::Guests("syscalls::"),
        env: &[],
    },
    Part {
        name: "cuts",
        about: "the power cut inside verbs, 25 times over on 8 worlds",
        work: Work::Guests("power_cuts::"),
        env: &[],
    },
    Part {
        name: "replay",
        about: "the writes of five workloads played up to every flush",
        work: Work::Guests("power_replay::"),
        env: &[],
    },
    Part {
        name: "full",
        about: "pools that fill up, thousands of snapshots",
        work: Work::Guests("full::"),
        env: &[],
    },
    Part {
        name: "faulty",
        about: "disks that fail, lie or go away",
        work: Work::Guests("faulty::"),
        env: &[],
    },
    Part {
        name: "disagreement",
        about: "catalog, pool and devices that disagree",
        work: Work::Guests("disagreement::"),
        env: &[],
    },
    Part {
        name: "diff",
        about: "the difference of 1,000 random histories of the kernel",
        work: Work::Guests("diff::"),
        env: &[("CONVOY_DIFF_HISTORIES", "1000")],
    },
    Part {
        name: "flips",
        about: "every bit of every metadata block in use, flipped",
        work: Work::Here(&["-p", "convoy-thin-metadata", "--locked"]),
        env: &[("CONVOY_FLIPS", "all")],
    },
    Part {
        name: "simulation",
        about: "the engine over models, with crashes, by seeds",
        work: Work::Here(&["-p", "convoy-simulation", "--locked", "--", "--show-output"]),
        env: &[],
    },
];
