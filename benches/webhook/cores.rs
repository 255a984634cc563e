//! Who runs on which core.

use std::process::Command;

/// How the machine's cores are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// The generator has the first core, and what is measured the second.
    Apart,
    /// Everybody may use all of them.
    Together,
}

impl Cores {
    /// Moves this thread to the generator's core.
    pub(crate) fn take_the_generators(self) {
        if self == Self::Apart {
            let mut first = rustix::thread::CpuSet::new();
            first.set(0);
            rustix::thread::sched_setaffinity(None, &first).unwrap();
        }
    }

    /// A command that runs where servers run.
    pub(crate) fn command(self, program: &str) -> Command {
        match self {
            Self::Apart => {
                let mut command = Command::new("taskset");
                command.args(["-c", "1", program]);
                command
            }
            Self::Together => Command::new(program),
        }
    }
}
