//! Reuses one heap allocation for the response futures of the successive requests of a connection: such a
//! future is large, and allocating it for each small delivery costs a measurable part of its time.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio_util::sync::ReusableBoxFuture;

/// Where the box is while no future is in it.
#[derive(Debug)]
pub(super) struct FutureBox<T>(Arc<Mutex<Option<ReusableBoxFuture<'static, T>>>>);

impl<T> Default for FutureBox<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> FutureBox<T> {
    /// Puts a future into the box, or into one of its own where the box is taken.
    pub(super) fn fill<F>(&self, future: F) -> Boxed<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let emptied = self.lock().take();
        let future = match emptied {
            Some(mut emptied) => {
                emptied.set(future);
                emptied
            }
            None => ReusableBoxFuture::new(future),
        };
        Boxed {
            future: Some(future),
            shelf: Self(Arc::clone(&self.0)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<ReusableBoxFuture<'static, T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A future in a box, which goes back to its shelf once the future is ready.
#[derive(Debug)]
pub(super) struct Boxed<T> {
    future: Option<ReusableBoxFuture<'static, T>>,
    shelf: FutureBox<T>,
}

impl<T> Future for Boxed<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.future else {
            // It was ready before, and is not polled again.
            return Poll::Pending;
        };
        let polled = future.poll(context);
        if polled.is_ready() {
            let emptied = self.future.take();
            *self.shelf.lock() = emptied;
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_out_is_of_the_future_that_was_put_in_last() {
        let shelf = FutureBox::default();
        for number in 0..3 {
            assert_eq!(shelf.fill(async move { number }).await, number);
        }
        let (first, second) = (shelf.fill(async { 7 }), shelf.fill(async { 8 }));
        assert_eq!((second.await, first.await), (8, 7));
        drop(shelf.fill(std::future::pending()));
        assert_eq!(shelf.fill(async { 9 }).await, 9);
    }
}
