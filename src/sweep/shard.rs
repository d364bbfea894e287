//! A shard: a contiguous range of the containers of a phase, for one of several machines.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Shards of a run, at most; each is a process of its own.
pub const SHARDS_MAX: u64 = 10_000;

/// Part `number` of `count`, as in `2/7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u64,
    count: u64,
}

impl Shard {
    /// A shard, its number from 1.
    ///
    /// Errors: the number is not one of them, or there are more than [`SHARDS_MAX`].
    pub fn new(number: u64, count: u64) -> Result<Shard, String> {
        if number == 0 || number > count || count > SHARDS_MAX {
            return Err(format!(
                "{number}/{count} is no shard; expected i/n with 1 <= i <= n <= {SHARDS_MAX}"
            ));
        }
        Ok(Shard { number, count })
    }

    /// Its number, from 1.
    pub const fn number(self) -> u64 {
        self.number
    }

    /// How many shards there are.
    pub const fn count(self) -> u64 {
        self.count
    }

    /// The indices of its containers. The ranges of all shards follow one another without a gap,
    /// and their lengths differ by one at most; a shard of a phase with fewer containers than
    /// shards may be empty.
    pub fn range(self, containers: u64) -> Range<u64> {
        let start = |number: u64| {
            (u128::from(containers) * u128::from(number) / u128::from(self.count)) as u64
        };
        start(self.number - 1)..start(self.number)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((number, count)) => Shard::new(number, count),
            None => Err(format!("`{text}` is no shard; expected i/n, as in 2/7")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_shard_is_written_as_number_of_count() {
        assert_eq!("2/7".parse(), Shard::new(2, 7));
        assert_eq!("2/7".parse::<Shard>().unwrap().to_string(), "2/7");
        for wrong in ["0/7", "8/7", "1/0", "7", "a/b", "1/2/3", "-1/2", "1/10001"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn ranges_cover_every_container_once(
            containers in prop_oneof![0_u64..2000, (u64::MAX - 2000)..u64::MAX],
            count in 1_u64..50,
        ) {
            let mut next = 0;
            let (mut least, mut most) = (u64::MAX, 0);
            for number in 1..=count {
                let range = Shard::new(number, count).unwrap().range(containers);
                prop_assert_eq!(range.start, next);
                next = range.end;
                let length = range.end - range.start;
                (least, most) = (least.min(length), most.max(length));
            }
            prop_assert_eq!(next, containers);
            prop_assert!(most - least <= 1);
        }
    }
}
