//! One container run by itself, its events told to a listener and kept nowhere.
//!
//! The same container code as in a tile: its events and its result are those of any run with the
//! same rules, set and bars. In memory: one container, its features, one block.

use super::tile::{failed_record, failure_of, panic_text, run_to_end};
use crate::container::Sink;
use crate::topology::{Job, NoCheckpoints, ParameterSet, TileEnd, TileSink, Worker};
use crate::{Error, Result};
use admf_formats::event::{AnyPayload, EventKind, Payload, Stamp};
use admf_formats::result::{Ledger, ResultRecord, Status};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Takes every event of a container, in order.
pub type Listener<'a> = &'a mut dyn FnMut(&Stamp, &AnyPayload);

/// What a container came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Listened {
    /// Its result; the ledger is empty, since nothing was kept.
    pub record: ResultRecord,
    /// Why it failed.
    pub failure: Option<String>,
}

struct Ear<'a>(Listener<'a>);

impl Sink for Ear<'_> {
    #[inline(always)]
    fn wants(&self, _: EventKind) -> bool {
        true
    }

    fn emit<P: Payload>(&mut self, stamp: &Stamp, payload: &P) {
        (self.0)(stamp, &payload.any());
    }

    fn end_trade(&mut self, _: u32) {}
}

impl TileSink for Ear<'_> {
    fn select(&mut self, _: usize) {}

    fn failure(&mut self) -> Option<Error> {
        None
    }
}

/// Runs the container of this set through the job's window.
///
/// A container that panics is one that failed, as in a tile; the listener has heard what it told
/// until then.
///
/// Errors: of reading bars; [`Error::Interrupted`] where the run was asked to stop.
pub fn listen(job: Job<'_>, set: &ParameterSet, listener: Listener<'_>) -> Result<Listened> {
    let (mut worker, mut ear) = (Worker::new(1), Ear(listener));
    let sets = std::slice::from_ref(set);
    // After a panic nothing of the worker is used again.
    let ran = catch_unwind(AssertUnwindSafe(|| {
        run_to_end(&mut worker, job, sets, &mut ear, &mut NoCheckpoints)
    }));
    match ran {
        Ok(Ok(TileEnd::Finished)) => {
            let container = &worker.containers[0];
            let failure = failure_of(container, false);
            let status = if failure.is_none() {
                Status::Completed
            } else {
                Status::Failed
            };
            Ok(Listened {
                record: container.result(status, Ledger::default()),
                failure,
            })
        }
        Ok(Ok(TileEnd::Stopped)) => Err(Error::Interrupted { finished: 0 }),
        Ok(Err(error)) => Err(error),
        Err(panic) => Ok(Listened {
            record: failed_record(set, &job),
            failure: Some(format!("panicked: {}", panic_text(&*panic))),
        }),
    }
}
