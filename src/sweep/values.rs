//! The values of one parameter, in their order.

/// Values, at least one.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// One by one.
    List(Vec<f64>),
    /// `min + k * step` for every `k` below `count`.
    Steps {
        /// The first value.
        min: f64,
        /// From one value to the next.
        step: f64,
        /// How many there are.
        count: u64,
    },
}

impl Values {
    /// How many there are.
    pub const fn len(&self) -> u64 {
        match self {
            Values::List(list) => list.len() as u64,
            Values::Steps { count, .. } => *count,
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at a place below their number.
    pub fn at(&self, place: u64) -> f64 {
        match self {
            Values::List(list) => list[place as usize],
            Values::Steps { min, step, .. } => min + place as f64 * step,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = f64> {
        (0..self.len()).map(|place| self.at(place))
    }

    /// The least and the greatest one.
    pub fn ends(&self) -> [f64; 2] {
        [
            self.iter().fold(f64::INFINITY, f64::min),
            self.iter().fold(f64::NEG_INFINITY, f64::max),
        ]
    }

    /// Bytes on the heap.
    pub const fn bytes(&self) -> usize {
        match self {
            Values::List(list) => list.len() * size_of::<f64>(),
            Values::Steps { .. } => 0,
        }
    }
}

impl From<Vec<f64>> for Values {
    fn from(list: Vec<f64>) -> Values {
        Values::List(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_list_of_them() {
        let (min, step, count) = (0.1, -0.3, 7);
        let steps = Values::Steps { min, step, count };
        let list: Vec<f64> = (0..count).map(|k| min + k as f64 * step).collect();
        let listed = Values::from(list);
        assert_eq!(steps.len(), listed.len());
        assert!(steps.iter().eq(listed.iter()));
        assert_eq!(steps.ends(), listed.ends());
        assert_eq!(steps.at(6), listed.at(6));
        assert_eq!((steps.bytes(), listed.bytes()), (0, 56));
    }
}
