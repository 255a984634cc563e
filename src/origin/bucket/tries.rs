//! Questions to a bucket that are put again where it is busy or silent.

use std::time::Duration;

use super::walker::Broken;
use crate::s3::S3Error;

/// How often the same is asked for.
const TRIES: u32 = 4;

/// What is answered to one question.
pub(super) type Answer<T> = Result<T, S3Error>;

/// Asks several questions at once, and again those that may be answered in a moment: after `wait`, which doubles.
/// Each answer is at the place of its question. `pause` is false when the process is stopping.
pub(super) fn ask<A: Clone, T>(
    questions: &[A],
    mut wait: Duration,
    mut pause: impl FnMut(Duration) -> bool,
    mut call: impl FnMut(&[A]) -> Result<Vec<Answer<T>>, Broken>,
) -> Result<Vec<Answer<T>>, Broken> {
    let mut answers: Vec<Option<Answer<T>>> = questions.iter().map(|_| None).collect();
    let mut open: Vec<usize> = (0..questions.len()).collect();
    for left in (0..TRIES).rev() {
        let asked: Vec<A> = open.iter().map(|at| questions[*at].clone()).collect();
        let mut busy = Vec::new();
        for (at, answer) in open.into_iter().zip(call(&asked)?) {
            if left > 0 && answer.as_ref().is_err_and(S3Error::is_passing) {
                busy.push(at);
            }
            answers[at] = Some(answer);
        }
        open = busy;
        if open.is_empty() {
            break;
        }
        if !pause(wait) {
            return Err(Broken::Stopping);
        }
        wait *= 2;
    }
    Ok(answers.into_iter().flatten().collect())
}
