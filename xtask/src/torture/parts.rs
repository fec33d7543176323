//! The parts: each is tests of which the long version is asked for by variables.

/// A part.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What a point of it is.
    pub(super) unit: &'static str,
    pub(super) work: Work,
    /// Variables besides `CONVOY_TORTURE`.
    pub(super) env: &'static [(&'static str, &'static str)],
    /// The variable that `--points` sets.
    pub(super) few: &'static str,
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
        unit: "steps",
        work: Work::Guests("kills::"),
        env: &[],
        few: "CONVOY_POINTS",
    },
    Part {
        name: "syscalls",
        about: "each system call of a verb killed or failed",
        unit: "calls",
        work: Work::Guests("syscalls::"),
        env: &[],
        few: "CONVOY_POINTS",
    },
    Part {
        name: "cuts",
        about: "the power cut inside verbs, 25 times over on 8 worlds",
        unit: "cuts",
        work: Work::Guests("power_cuts::"),
        env: &[],
        few: "CONVOY_CUTS",
    },
    Part {
        name: "replay",
        about: "the writes of five workloads played up to every flush",
        unit: "flushes",
        work: Work::Guests("power_replay::"),
        env: &[],
        few: "CONVOY_POINTS",
    },
    Part {
        name: "full",
        about: "pools that fill up, thousands of snapshots",
        unit: "snapshots",
        work: Work::Guests("full::"),
        env: &[],
        few: "CONVOY_POINTS",
    },
    Part {
        name: "faulty",
        about: "disks that fail, lie or go away",
        unit: "",
        work: Work::Guests("faulty::"),
        env: &[],
        few: "",
    },
    Part {
        name: "disagreement",
        about: "catalog, pool and devices that disagree",
        unit: "",
        work: Work::Guests("disagreement::"),
        env: &[],
        few: "",
    },
    Part {
        name: "diff",
        about: "the difference of 1,000 random histories of the kernel",
        unit: "histories",
        work: Work::Guests("diff::"),
        env: &[("CONVOY_DIFF_HISTORIES", "1000")],
        few: "CONVOY_DIFF_HISTORIES",
    },
    Part {
        name: "flips",
        about: "every bit of every metadata block in use, flipped",
        unit: "bits",
        work: Work::Here(&[
            "-p",
            "convoy-thin-metadata",
            "--locked",
            "--",
            "--show-output",
        ]),
        env: &[("CONVOY_FLIPS", "all")],
        few: "",
    },
    Part {
        name: "simulation",
        about: "the engine over models, with crashes, by seeds",
        unit: "seeds",
        work: Work::Here(&["-p", "convoy-simulation", "--locked", "--", "--show-output"]),
        env: &[],
        few: "CONVOY_SEEDS",
    },
];
