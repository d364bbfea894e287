//! Partial exits: levels of price at which a part of the position is closed.

/// The most levels that there may be.
pub const SCALE_OUTS_MAX: usize = 4;

/// A level and what is closed there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleOut {
    /// Distance from the anchor in favour of the position, as a fraction of it.
    pub distance: f64,
    /// Part of the units held then, 0 to 1, exclusive.
    pub part: f64,
}

/// Levels in the order of their distances, which rise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleOuts {
    levels: [ScaleOut; SCALE_OUTS_MAX],
    count: usize,
}

impl ScaleOuts {
    /// No levels.
    pub const NONE: ScaleOuts = ScaleOuts {
        levels: [ScaleOut {
            distance: f64::INFINITY,
            part: 0.0,
        }; SCALE_OUTS_MAX],
        count: 0,
    };

    /// These levels.
    ///
    /// Errors: too many of them, or distances that do not rise.
    pub fn new(wanted: &[ScaleOut]) -> Result<ScaleOuts, String> {
        if wanted.len() > SCALE_OUTS_MAX {
            return Err(format!(
                "{} levels were found; {SCALE_OUTS_MAX} at most were expected",
                wanted.len()
            ));
        }
        if wanted
            .windows(2)
            .any(|pair| pair[0].distance >= pair[1].distance)
        {
            return Err("levels must rise from one to the next".to_owned());
        }
        let mut outs = ScaleOuts::NONE;
        outs.levels[..wanted.len()].copy_from_slice(wanted);
        outs.count = wanted.len();
        Ok(outs)
    }

    /// How many.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Level number `which`; `None` after the last.
    pub fn get(&self, which: usize) -> Option<ScaleOut> {
        self.levels[..self.count].get(which).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_rise_and_are_few() {
        let level = |distance: f64| ScaleOut {
            distance,
            part: 0.5,
        };
        let outs = ScaleOuts::new(&[level(0.01), level(0.02)]).expect("sound levels");
        assert_eq!((outs.count(), outs.get(1)), (2, Some(level(0.02))));
        assert_eq!(outs.get(2), None);
        assert!(ScaleOuts::new(&[level(0.02), level(0.02)]).is_err());
        assert!(ScaleOuts::new(&[0.1, 0.2, 0.3, 0.4, 0.5].map(level)).is_err());
    }
}
