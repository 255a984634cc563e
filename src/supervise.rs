//! Named tasks and threads, and what happens when one ends: the panic policy and the order of
//! stopping.
//!
//! Everything is durable, so stopping is always safe: a panic in any task or thread, or one that
//! ends with a [`Fault`], stops the process at once, and systemd starts it again. Nothing runs on
//! with a dead part.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a task could not go on, with the exit code that says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A bug: exit 70.
    #[error("{task} panicked: {message}")]
    Panicked {
        /// The task's name.
        task: String,
        /// The panic's message.
        message: String,
    },
    /// Something outside, for which starting again is the cure: exit 75.
    #[error("{task}: {message}")]
    Failed {
        /// The task's name.
        task: String,
        /// What, why, and what to do.
        message: String,
    },
}

impl Fault {
    /// The exit code of the process.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Panicked { .. } => 70,
            Self::Failed { .. } => 75,
        }
    }
}

/// Starts tasks and threads by name, and reports the first that fails.
#[derive(Clone, Debug)]
pub struct Supervisor {
    tracker: TaskTracker,
    stopping: CancellationToken,
    faults: mpsc::Sender<Fault>,
}

/// The receiving end of a [`Supervisor`]'s faults.
#[derive(Debug)]
pub struct Faults(mpsc::Receiver<Fault>);

impl Faults {
    /// Waits for the first fault. For ever, if there is none.
    pub async fn first(&mut self) -> Fault {
        match self.0.recv().await {
            Some(fault) => fault,
            None => std::future::pending().await,
        }
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new().0
    }
}

impl Supervisor {
    /// A supervisor, and where its faults arrive.
    #[must_use]
    pub fn new() -> (Self, Faults) {
        // The first fault stops the process; later ones are not reported.
        let (faults, receiver) = mpsc::channel(1);
        let supervisor = Self {
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            faults,
        };
        (supervisor, Faults(receiver))
    }

    /// The token that is cancelled when the process stops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Runs a future as the task `name`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that spawns: here every task has a name and is joined"
    )]
    pub fn spawn<F>(&self, name: &str, task: F)
    where
        F: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        let faults = self.faults.clone();
        let name: Arc<str> = name.into();
        tokio::spawn(self.tracker.track_future(async move {
            let ended = AssertUnwindSafe(task).catch_unwind().await;
            report(&faults, &name, ended);
        }));
    }

    /// Runs a function on a thread of its own, named `name`. It has to end soon after
    /// [`Supervisor::stopping`] is cancelled.
    ///
    /// # Errors
    /// When the system does not give a thread.
    pub fn thread<F>(&self, name: &str, work: F) -> std::io::Result<()>
    where
        F: FnOnce() -> Result<(), Fault> + Send + 'static,
    {
        let faults = self.faults.clone();
        let task_name: Arc<str> = name.into();
        let token = self.tracker.token();
        std::thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(move || {
                let ended = std::panic::catch_unwind(AssertUnwindSafe(work));
                report(&faults, &task_name, ended);
                drop(token);
            })
            .map(drop)
    }

    /// A part of the process that can be stopped by itself, and stops with all. Its faults are the process's.
    #[must_use]
    pub fn unit(&self, name: &str) -> Self {
        let unit = Self {
            tracker: TaskTracker::new(),
            stopping: self.stopping.child_token(),
            faults: self.faults.clone(),
        };
        let waits = unit.clone();
        self.spawn(name, async move {
            waits.stopping.cancelled().await;
            waits.stop().await;
            Ok(())
        });
        unit
    }

    /// Asks everything to stop, and waits until it did.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn report(
    faults: &mpsc::Sender<Fault>,
    name: &str,
    ended: Result<Result<(), Fault>, Box<dyn std::any::Any + Send>>,
) {
    let fault = match ended {
        Ok(Ok(())) => return,
        Ok(Err(fault)) => fault,
        Err(panic) => {
            let message = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned());
            Fault::Panicked {
                task: name.to_owned(),
                message,
            }
        }
    };
    tracing::error!(task = name, "{fault}");
    // Full means that an earlier fault is already stopping the process.
    drop(faults.try_send(fault));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_task_is_a_fault_with_exit_70() {
        let (supervisor, mut faults) = Supervisor::new();
        supervisor.spawn("reader", async { panic!("boom") });
        let fault = faults.first().await;
        assert_eq!(fault.exit_code(), 70);
        assert_eq!(fault.to_string(), "reader panicked: boom");
    }

    #[tokio::test]
    async fn a_panic_in_a_thread_is_a_fault_with_exit_70() {
        let (supervisor, mut faults) = Supervisor::new();
        supervisor
            .thread("origin", || panic!("boom {}", 1))
            .unwrap();
        assert_eq!(faults.first().await.to_string(), "origin panicked: boom 1");
    }

    /// Notes when it has ended, once it was asked to.
    fn noting(supervisor: &Supervisor, name: &'static str, ended: &mpsc::Sender<&'static str>) {
        let (stopping, ended) = (supervisor.stopping(), ended.clone());
        supervisor.spawn(name, async move {
            stopping.cancelled().await;
            tokio::task::yield_now().await;
            ended.try_send(name).unwrap();
            Ok(())
        });
    }

    #[tokio::test]
    async fn a_unit_stops_by_itself_and_with_all() {
        let (supervisor, _faults) = Supervisor::new();
        let (ended, mut names) = mpsc::channel(3);
        noting(&supervisor, "whole", &ended);
        for name in ["first", "second"] {
            let unit = supervisor.unit("unit");
            noting(&unit, name, &ended);
            if name == "first" {
                unit.stop().await;
                assert_eq!(names.try_recv(), Ok("first"));
                assert!(names.try_recv().is_err());
            }
        }
        supervisor.stop().await;
        let mut rest = [names.try_recv().unwrap(), names.try_recv().unwrap()];
        rest.sort_unstable();
        assert_eq!(rest, ["second", "whole"]);
    }

    #[tokio::test]
    async fn a_fault_in_a_unit_is_one_of_the_process() {
        let (supervisor, mut faults) = Supervisor::new();
        supervisor
            .unit("unit")
            .spawn("task", async { panic!("boom") });
        assert_eq!(faults.first().await.to_string(), "task panicked: boom");
    }

    #[tokio::test]
    async fn stopping_waits_for_tasks_and_threads() {
        let (supervisor, _faults) = Supervisor::new();
        let (done, mut ended) = mpsc::channel(2);
        let (stopping, sender) = (supervisor.stopping(), done.clone());
        supervisor.spawn("task", async move {
            stopping.cancelled().await;
            sender.try_send("task").unwrap();
            Ok(())
        });
        supervisor
            .thread("thread", move || {
                done.try_send("thread").unwrap();
                Ok(())
            })
            .unwrap();
        supervisor.stop().await;
        ended.close();
        let mut names = Vec::new();
        while let Some(name) = ended.recv().await {
            names.push(name);
        }
        names.sort_unstable();
        assert_eq!(names, ["task", "thread"]);
    }
}
