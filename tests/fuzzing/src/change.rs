//! How an input is changed.

/// Numbers that need not be good, only many.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }

    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn range(&mut self, length: usize, most: usize) -> std::ops::Range<usize> {
        let begin = self.below(length + 1);
        begin..(begin + self.below(most + 1)).min(length)
    }
}

/// One change: words put in, parts left out, doubled or taken from another seed, bytes altered.
pub(crate) fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let length = input.len();
    match random.below(8) {
        0 | 1 => {
            let place = random.range(length, 8);
            input.splice(place, random.pick(words).bytes());
        }
        2 => {
            input.drain(random.range(length, 64));
        }
        3 => {
            let part = input[random.range(length, 512)].to_vec();
            let at = random.below(length + 1);
            for _ in 0..=random.below(4) {
                input.splice(at..at, part.iter().copied());
            }
        }
        4 => {
            let other = random.pick(seeds);
            let part = other[random.range(other.len(), 1024)].to_vec();
            let place = random.range(length, 64);
            input.splice(place, part);
        }
        5 => input.truncate(random.below(length + 1)),
        6 => {
            // A word many times: deep nesting and long lists.
            let (word, at) = (random.pick(words), random.below(length + 1));
            let times = 1 << random.below(12);
            input.splice(at..at, word.repeat(times).into_bytes());
        }
        _ => {
            for _ in 0..=random.below(4) {
                if let Some(byte) = input.get_mut(random.below(length)) {
                    *byte = *random.pick(&[0, 1, 0x7f, 0x80, 0xff, b'0', b'7', *byte ^ 1, *byte ^ 0x80]);
                }
            }
        }
    }
    // Beyond the greatest script there is nothing more to find.
    input.truncate(400_000);
}
