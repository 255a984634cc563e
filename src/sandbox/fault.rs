//! Faults that a test or the demo can script.

use std::collections::VecDeque;
use std::time::Duration;

use super::error_type::ErrorType;

/// A call to the sandbox's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Create a purge request.
    Create,
    /// Get a purge request.
    Get,
    /// List purge requests.
    List,
    /// Get a pipeline.
    GetPipeline,
    /// List the pipelines, with their stages.
    ListPipelines,
    /// List the backends of a pipeline.
    ListBackends,
    /// List the objects of a bucket.
    ListObjects,
    /// Get the website configuration of a bucket.
    GetWebsite,
    /// Get an object.
    GetObject,
    /// Get the headers of an object.
    HeadObject,
    /// Put an object.
    PutObject,
    /// Delete an object.
    DeleteObject,
}

impl Operation {
    /// Whether it is a call to a bucket.
    const fn is_of_bucket(self) -> bool {
        matches!(
            self,
            Self::ListObjects
                | Self::GetWebsite
                | Self::GetObject
                | Self::HeadObject
                | Self::PutObject
                | Self::DeleteObject
        )
    }
}

/// Something that goes wrong with one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this status and body; nothing is done.
    Refuse {
        /// The status, such as 503.
        status: u16,
        /// The body, sent as JSON; empty for none.
        body: String,
    },
    /// Answers with an error of the vendor's; nothing is done.
    Typed(ErrorType),
    /// Answers 429 as the gateway does: empty, without a hint unless one is given.
    RateLimit {
        /// The value of a `Retry-After`, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// Answers so much later.
    Delay(Duration),
    /// Never answers; nothing is done.
    Hang,
    /// Cuts the connection; nothing is done.
    DropBeforeAccept,
    /// Does what was asked, then cuts the connection instead of answering.
    DropAfterAccept,
    /// Does what was asked, and never answers.
    HangAfterAccept,
    /// Does what was asked, and answers 200 with JSON that ends in the middle.
    Corrupt,
    /// The created request ends in `error`, and the cache keeps everything.
    Error,
    /// The created request ends in `done`, and the cache keeps everything.
    Keep,
    /// The created request stays `pending` for ever.
    NeverFinish,
    /// The created request, or the one asked for, is forgotten: it is 404 and in no list.
    Vanish,
    /// Every status in the answer is this word.
    UnknownStatus(String),
    /// The key is not accepted from this call on, until it is restored.
    Unauthorized,
    /// A bucket answers with this error; nothing is done.
    Storage {
        /// The status, such as 503.
        status: u16,
        /// The word for it, such as `SlowDown`.
        code: String,
    },
    /// A page of a bucket's listing says that it is the last one.
    LosesPages,
    /// Right after a bucket has answered, these objects of it are put, or deleted where they have no bytes.
    Meanwhile(Vec<(String, Option<Vec<u8>>)>),
}

impl Fault {
    /// This fault for calls of one operation only.
    #[must_use]
    pub fn on(self, operation: Operation) -> Script {
        let mut script = Script::from(self);
        script.operation = Some(operation);
        script
    }

    /// This fault for so many calls.
    #[must_use]
    pub fn times(self, times: u32) -> Script {
        Script::from(self).times(times)
    }

    /// Whether it has a meaning for that call; where not, it waits for one where it has.
    const fn fits(&self, operation: Operation) -> bool {
        match self {
            Self::Storage { .. } | Self::Meanwhile(_) => operation.is_of_bucket(),
            Self::LosesPages => matches!(operation, Operation::ListObjects),
            Self::Delay(_) | Self::Hang | Self::DropBeforeAccept | Self::Corrupt => true,
            _ if operation.is_of_bucket() => false,
            Self::Error | Self::Keep | Self::NeverFinish => matches!(operation, Operation::Create),
            Self::Vanish => matches!(operation, Operation::Create | Operation::Get),
            Self::UnknownStatus(_) => matches!(
                operation,
                Operation::Create | Operation::Get | Operation::List
            ),
            _ => true,
        }
    }
}

/// A fault, with the calls that it is for: the next one that fits, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    fault: Fault,
    operation: Option<Operation>,
    times: u32,
}

impl Script {
    /// The same for so many calls.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

impl From<Fault> for Script {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            operation: None,
            times: 1,
        }
    }
}

/// The scripted faults, in order.
#[derive(Debug, Default)]
pub(super) struct Faults(VecDeque<Script>);

impl Faults {
    pub(super) fn push(&mut self, script: Script) {
        if script.times > 0 {
            self.0.push_back(script);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The first fault that fits this call; one of its times is used up.
    pub(super) fn take(&mut self, operation: Operation) -> Option<Fault> {
        let at = self.0.iter().position(|script| {
            // Of a fault for any call, a bucket has none that the API has too.
            let meant = match script.operation {
                None => !operation.is_of_bucket() || !script.fault.fits(Operation::Get),
                Some(only) => only == operation,
            };
            meant && script.fault.fits(operation)
        })?;
        let script = self.0.get_mut(at)?;
        script.times -= 1;
        let fault = script.fault.clone();
        if script.times == 0 {
            self.0.remove(at);
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_order_to_the_calls_they_are_for() {
        let mut faults = Faults::default();
        faults.push(Fault::Hang.on(Operation::Get).times(2));
        faults.push(Fault::Corrupt.into());
        faults.push(Fault::NeverFinish.times(1));
        assert_eq!(faults.take(Operation::List), Some(Fault::Corrupt));
        assert_eq!(faults.take(Operation::List), None);
        assert_eq!(faults.take(Operation::Get), Some(Fault::Hang));
        assert_eq!(faults.take(Operation::Create), Some(Fault::NeverFinish));
        assert_eq!(faults.take(Operation::Get), Some(Fault::Hang));
        assert_eq!(faults.take(Operation::Get), None);
    }
}
