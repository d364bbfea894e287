//! Reading a pool while its owner goes on writing it.
//!
//! The owner stores a frame's bytes and then its commit word. To recycle a segment it stores the
//! descriptor of the next generation: whoever sees that descriptor sees all that was stored before
//! it (frames that were moved away, what the archive has written), and whoever sees a frame of the
//! new generation sees that descriptor.
//!
//! So a reader lists the descriptors, and takes each segment in three more reads: the segment,
//! which tells how many frames are committed; the segment once more, since only now all bytes of
//! those frames are sure to be there; the descriptor again. Where that is the one that was listed,
//! nothing of the copy was written over. In the end it lists again: where nothing changed hands,
//! what it took is what the pool held at one moment. A pool that nobody writes never changes.
//!
//! `src/segment/model` runs this and the writer under a model checker.

use crate::segment::{Descriptor, number_at, parse_commit};

/// A pool that may be written meanwhile.
pub trait LivePool {
    /// Why it cannot be read.
    type Error;

    /// Segments whose descriptors are there.
    fn segments(&self) -> u32;

    /// Bytes of a segment, as far as the file goes.
    fn segment_bytes(&self, segment: u32) -> usize;

    /// The newest valid descriptor of a segment.
    fn descriptor(&self, segment: u32) -> Result<Option<Descriptor>, Self::Error>;

    /// Copies a segment from its beginning on; how many bytes of `into` were there.
    fn copy(&self, segment: u32, into: &mut [u8]) -> Result<usize, Self::Error>;

    /// What was read so far was read before whatever is read from now on.
    fn order(&self);
}

/// The descriptors of a pool, read one after the other.
///
/// Shape: one per segment, 24 bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing(Vec<Option<Descriptor>>);

impl Listing {
    /// Reads all descriptors.
    ///
    /// Errors: those of the pool.
    pub fn of<P: LivePool>(pool: &P) -> Result<Listing, P::Error> {
        let descriptors = (0..pool.segments()).map(|segment| pool.descriptor(segment));
        let listing = descriptors.collect::<Result<_, _>>()?;
        pool.order();
        Ok(Listing(listing))
    }

    /// Owned segments as (owner, segment, generation), in this order.
    pub fn owned(&self) -> Vec<(u64, u32, u32)> {
        let described = (0..).zip(&self.0);
        let mut owned: Vec<(u64, u32, u32)> = described
            .filter_map(|(segment, descriptor)| Some((segment, (*descriptor)?)))
            .filter(|(_, descriptor)| descriptor.owned)
            .map(|(segment, descriptor)| (descriptor.owner, segment, descriptor.generation))
            .collect();
        owned.sort_unstable();
        owned
    }

    /// Segments that changed hands since, or were recycled; 0 for a picture of one moment.
    ///
    /// Errors: those of the pool.
    pub fn changed<P: LivePool>(&self, pool: &P) -> Result<u64, P::Error> {
        pool.order();
        let mut changed = 0;
        for (segment, before) in (0..).zip(&self.0) {
            changed += u64::from(pool.descriptor(segment)? != *before);
        }
        Ok(changed)
    }
}

/// Copies a segment of this generation into `into`, and tells where its committed frames end;
/// `None` where it was recycled meanwhile, so that nothing of the copy can be trusted.
///
/// Errors: those of the pool.
pub fn take<P: LivePool>(
    pool: &P,
    segment: u32,
    generation: u32,
    into: &mut Vec<u8>,
) -> Result<Option<usize>, P::Error> {
    into.clear();
    into.resize(pool.segment_bytes(segment), 0);
    let count = pool.copy(segment, into)?;
    let end = committed_end(&into[..count], generation);
    pool.order();
    let count = pool.copy(segment, into)?;
    into.truncate(count);
    pool.order();
    let now = pool.descriptor(segment)?;
    Ok(now
        .is_some_and(|now| now.generation == generation)
        .then_some(end.min(count)))
}

/// Where the frames end that are committed from the beginning on, one after the other.
fn committed_end(segment: &[u8], generation: u32) -> usize {
    let mut at = 0;
    while at + 8 <= segment.len() {
        match parse_commit(number_at::<8>(segment, at)) {
            Some((_, of, bytes)) if of == generation && at + bytes <= segment.len() => at += bytes,
            _ => break,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use crate::segment::{commit_word, frame_bytes};
    use std::cell::Cell;

    /// Two segments of two frames each; something happens at the so-many-th read.
    struct Pool {
        reads: Cell<u32>,
        recycled_at: u32,
    }

    impl LivePool for Pool {
        type Error = std::convert::Infallible;

        fn segments(&self) -> u32 {
            2
        }

        fn segment_bytes(&self, _: u32) -> usize {
            200
        }

        fn descriptor(&self, segment: u32) -> Result<Option<Descriptor>, Self::Error> {
            self.reads.set(self.reads.get() + 1);
            let is_recycled = segment == 1 && self.reads.get() >= self.recycled_at;
            Ok(Some(Descriptor {
                generation: 7 + u32::from(is_recycled),
                owned: true,
                owner: 3,
            }))
        }

        fn copy(&self, _: u32, into: &mut [u8]) -> Result<usize, Self::Error> {
            let bytes = frame_bytes(EventKind::Bar);
            for (at, generation) in [(0, 7), (bytes, 7), (2 * bytes, 6)] {
                let word = commit_word(generation, EventKind::Bar, bytes);
                into[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
            Ok(into.len())
        }

        fn order(&self) {}
    }

    #[test]
    fn a_segment_is_taken_up_to_its_last_frame_or_not_at_all() {
        for (recycled_at, taken, changed) in [
            (100, Some(96), 0),
            (4, Some(96), 1),
            (3, None, 1),
            (1, None, 0),
        ] {
            let pool = Pool {
                reads: Cell::new(0),
                recycled_at,
            };
            let Ok(listing) = Listing::of(&pool);
            assert_eq!(listing.owned().len(), 2);
            let Ok(found) = take(&pool, 1, 7, &mut Vec::new());
            assert_eq!(found, taken, "recycled at read {recycled_at}");
            assert_eq!(listing.changed(&pool), Ok(changed));
        }
    }
}
