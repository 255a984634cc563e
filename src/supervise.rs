//! Named tasks and threads, and what happens when one ends: the panic policy and the order of
//! stopping.
//!
//! Everything is durable, so stopping is always safe: a panic on any thread, or a task that ends with
//! a [`Fault`], stops the process at once, and systemd starts it again. Nothing runs on with a dead part.

use std::future::Future;
use std::panic::{set_hook, take_hook};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Has a panic on any thread end the process at once with exit 70, a bug. Stderr and the log say where
/// and why. It holds for what is not waited for, too, and needs no unwinding: packages have none.
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "no part of the process runs on"
)]
pub fn end_at_a_panic() {
    let print = take_hook();
    set_hook(Box::new(move |panic| {
        print(panic);
        let thread = std::thread::current();
        tracing::error!(
            thread = thread.name(),
            "{panic}: this is a bug, and the process ends"
        );
        std::process::exit(70);
    }));
}

/// Why a task could not go on: something outside, for which starting again is the cure.
#[derive(Debug, thiserror::Error)]
#[error("{task}: {message}")]
pub struct Fault {
    /// The task's name.
    pub task: String,
    /// What, why, and what to do.
    pub message: String,
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
            report(&faults, &name, task.await);
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
                report(&faults, &task_name, work());
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

fn report(faults: &mpsc::Sender<Fault>, name: &str, ended: Result<(), Fault>) {
    if let Err(fault) = ended {
        tracing::error!(task = name, "{fault}");
        // Full means that an earlier fault is already stopping the process.
        drop(faults.try_send(fault));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test in which [`a_panic_on_any_thread_ends_the_process_with_70`] has a process panic.
    const PANICS: &str = "EDGEPURGE_TEST_PANICS";

    #[test]
    fn a_panic_on_any_thread_ends_the_process_with_70() {
        for place in ["task", "thread", "blocking"] {
            let ended = std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "supervise::tests::panics_where_it_is_told",
                    "--exact",
                    "--nocapture",
                ])
                .env(PANICS, place)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(70), "{place}: {said}");
            assert!(said.contains(&format!("boom in a {place}")), "{said}");
        }
    }

    #[tokio::test]
    async fn panics_where_it_is_told() {
        let Some(place) = std::env::var_os(PANICS) else {
            return;
        };
        end_at_a_panic();
        let (supervisor, _faults) = Supervisor::new();
        match place.to_string_lossy().as_ref() {
            "task" => supervisor.spawn("task", async { panic!("boom in a task") }),
            "thread" => supervisor
                .thread("thread", || panic!("boom in a thread"))
                .unwrap(),
            _ => drop(tokio::task::spawn_blocking(|| panic!("boom in a blocking"))),
        }
        // What panicked is not waited for, and the process ends all the same.
        std::future::pending::<()>().await;
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
        let fault = Fault {
            task: "task".to_owned(),
            message: "the disk is gone".to_owned(),
        };
        supervisor.unit("unit").spawn("task", async { Err(fault) });
        assert_eq!(faults.first().await.to_string(), "task: the disk is gone");
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
