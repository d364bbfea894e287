//! A column of a block: one value per bar, with the bar before it and the extremes of its words.

use crate::kernel::{self, Bounded, Bounds, Mask, Quantum, Scale, Short, WORDS};
use admf_formats::units::QUANTUM_BARS;

/// Values before the block in a column's buffer: the last of them is the bar before.
const LEAD: usize = 8;

/// One column of one block, with the bar before it, and what decides most comparisons.
#[derive(Clone, Debug)]
pub struct Column {
    bounds: Bounds,
    /// The value of the bar before the block, which its list has too.
    before: f64,
    /// In what its values are there again for this block.
    form: Form,
    /// In one piece: a heap that grows by a page or two at a time asks the system each time.
    lists: Box<Lists>,
}

/// What a column has of each bar.
#[derive(Clone, Debug)]
struct Lists {
    values: [f64; LEAD + QUANTUM_BARS],
    parts: [i16; QUANTUM_BARS],
    single: [f32; QUANTUM_BARS],
}

/// What decides comparisons of a column before its values do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing: all of its values are compared.
    Bare,
    /// The bounds of its words; values are compared where these do not decide.
    Bounds,
    /// Besides, the parts of a scale.
    Parts,
    /// Besides, its values in single precision.
    Single,
}

impl Column {
    /// Bytes of a column.
    pub(super) const BYTES: usize = size_of::<Column>() + size_of::<Lists>();

    pub(super) fn new() -> Column {
        Column {
            bounds: Bounds {
                low: [f64::NAN; WORDS],
                high: [f64::NAN; WORDS],
            },
            before: f64::NAN,
            form: Form::Bare,
            lists: Box::new(Lists {
                values: [f64::NAN; LEAD + QUANTUM_BARS],
                parts: [0; QUANTUM_BARS],
                single: [f32::NAN; QUANTUM_BARS],
            }),
        }
    }

    /// Writes the bits where this column crosses above another, and those where it crosses below.
    #[inline(always)]
    pub fn crosses(&self, other: &Column, into: [&mut Mask; 2]) {
        let before = [self.before, other.before];
        kernel::crosses(self.bounded(), other.bounded(), before, into);
    }

    /// Bits where this column is above another.
    #[inline(always)]
    pub fn above(&self, other: &Column) -> Mask {
        kernel::above_bounded(self.bounded(), other.bounded())
    }

    /// Bits where this column is above a level.
    #[inline(always)]
    pub fn above_level(&self, level: f64) -> Mask {
        kernel::above_level_bounded(self.bounded(), level)
    }

    /// Bits where this column is below a level.
    #[inline(always)]
    pub fn below_level(&self, level: f64) -> Mask {
        kernel::below_level_bounded(self.bounded(), level)
    }

    #[inline(always)]
    fn bounded(&self) -> Bounded<'_> {
        Bounded {
            values: self.now(),
            bounds: &self.bounds,
            short: match self.form {
                Form::Parts => Short::Scaled(&self.lists.parts),
                Form::Single => Short::Single(&self.lists.single),
                Form::Bare | Form::Bounds => Short::Exact,
            },
        }
    }

    /// All values of the block are there, and are wanted in this form: values of which none is on
    /// the scale in single precision instead.
    pub(super) fn settle(&mut self, form: Form, scale: Option<Scale>) {
        self.form = form;
        if form == Form::Bare {
            return;
        }
        self.bounds = kernel::bounds(self.now());
        if form == Form::Bounds {
            return;
        }
        let scale = scale.filter(|scale| scale.meets(&self.bounds));
        let Lists {
            values,
            parts,
            single,
        } = &mut *self.lists;
        let now = values.last_chunk::<QUANTUM_BARS>();
        let now = now.expect("a column is longer than a quantum");
        match scale {
            Some(scale) => kernel::scaled(now, scale, parts),
            None => {
                self.form = Form::Single;
                kernel::single(now, single);
            }
        }
    }

    /// The value of the last bar of a whole block: the next block's bar before.
    pub(super) const fn last(&self) -> f64 {
        self.lists.values[LEAD + QUANTUM_BARS - 1]
    }

    pub(super) const fn set_last(&mut self, value: f64) {
        self.lists.values[LEAD + QUANTUM_BARS - 1] = value;
    }

    /// Takes a block: its last value becomes the one before.
    pub(super) fn shift(&mut self) {
        self.before = self.last();
        self.lists.values[LEAD - 1] = self.before;
    }

    /// Values of the block's bars.
    #[inline(always)]
    pub fn now(&self) -> &[f64; QUANTUM_BARS] {
        self.lists
            .values
            .last_chunk()
            .expect("a column is longer than a quantum")
    }

    /// As [`Column::now`], to be written.
    pub(super) fn now_mut(&mut self) -> &mut Quantum {
        self.lists
            .values
            .last_chunk_mut()
            .expect("a column is longer than a quantum")
    }

    /// The bar before the block and the block's bars.
    #[inline(always)]
    pub fn with_before(&self) -> &[f64; QUANTUM_BARS + 1] {
        self.lists
            .values
            .last_chunk()
            .expect("a column has a value before its quantum")
    }

    /// Values one bar earlier: `before()[k]` belongs to the bar before bar k.
    #[inline(always)]
    pub fn before(&self) -> &[f64] {
        &self.lists.values[LEAD - 1..LEAD - 1 + QUANTUM_BARS]
    }
}
