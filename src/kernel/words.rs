//! Which words of two columns have to be compared: what their bounds do not decide.

use super::{Mask, WORDS, portable};

/// One bit per word of a mask.
const ALL: u64 = (1 << WORDS) - 1;

/// All bits of the words where all are set, none of those where none is, and of the others those
/// that are compared.
#[inline(always)]
pub(super) fn decided_or(all: u64, none: u64, compared: impl Fn(usize) -> u64) -> Mask {
    let mut mask = filled(all);
    for word in Words(!(all | none) & ALL) {
        mask[word] = compared(word);
    }
    mask
}

/// All bits of these words.
#[inline(always)]
fn filled(words: u64) -> Mask {
    std::array::from_fn(|word| (words >> word & 1).wrapping_neg())
}

/// Words one after another, given as a bit each.
struct Words(u64);

impl Iterator for Words {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let next = (self.0 != 0).then(|| self.0.trailing_zeros() as usize % WORDS);
        self.0 &= self.0.wrapping_sub(1);
        next
    }
}

/// Words whose bounds say that one column is above or below the other, a bit each.
#[derive(Clone, Copy)]
pub(super) struct Decided {
    pub(super) above: u64,
    pub(super) below: u64,
}

impl Decided {
    /// Both sides, of these words and of those that are compared.
    #[inline(always)]
    pub(super) fn sides(self, compared: impl Fn(usize) -> [u64; 2]) -> [Mask; 2] {
        let mut sides = [filled(self.above), filled(self.below)];
        for word in Words(!(self.above | self.below) & ALL) {
            [sides[0][word], sides[1][word]] = compared(word);
        }
        sides
    }

    /// The crosses; `before` as of [`super::crosses`].
    #[inline(always)]
    pub(super) fn crosses(
        self,
        before: [f64; 2],
        into: [&mut Mask; 2],
        compared: impl Fn(usize) -> [u64; 2],
    ) {
        if self.is_never_crossed(before) {
            for mask in into {
                *mask = [0; WORDS];
            }
        } else if self.has_few_open() {
            let [over, under] = self.sides(compared);
            portable::crossed(before, into, |word| [over[word], under[word]]);
        } else {
            portable::crossed(before, into, compared);
        }
    }

    /// Whether one of them is above the other all the time.
    #[inline(always)]
    fn is_never_crossed(self, [a, b]: [f64; 2]) -> bool {
        (self.above == ALL && a > b) || (self.below == ALL && a < b)
    }

    /// Lines that are far from each other are so for most of a block. Where they are not, asking for
    /// each word whether it is decided costs more than it saves.
    #[inline(always)]
    const fn has_few_open(self) -> bool {
        (!(self.above | self.below) & ALL).count_ones() <= 2
    }
}
