//! A long list in order: a row goes in and out, and is found by its index, without moving the rest.

/// Rows that lie together: moving so many costs less than finding where to.
const CHUNK: usize = 256;

/// Rows in the order that its owner keeps them in, in pieces of a bounded length.
#[derive(Debug, Clone)]
pub(super) struct Ordered<T> {
    /// None of them is empty, none longer than twice [`CHUNK`].
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Ordered { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Ordered<T> {
    /// All rows at once, in order already.
    pub(super) fn from_sorted(rows: Vec<T>) -> Ordered<T> {
        let len = rows.len();
        let mut rows = rows.into_iter();
        let mut chunks = Vec::with_capacity(len.div_ceil(CHUNK));
        loop {
            let chunk: Vec<T> = rows.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                return Ordered { chunks, len };
            }
            chunks.push(chunk);
        }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The row there.
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (chunk, at) = self.locate(index);
        self.chunks.get(chunk)?.get(at)
    }

    /// All rows from there on.
    pub(super) fn from(&self, index: usize) -> impl Iterator<Item = &T> {
        let (chunk, at) = self.locate(index);
        let first = self.chunks.get(chunk).and_then(|rows| rows.get(at..)).unwrap_or_default();
        first.iter().chain(self.chunks.iter().skip(chunk + 1).flatten())
    }

    /// Where the first row is for which `before` is false; it is true for all rows before that one.
    pub(super) fn place(&self, before: impl Fn(&T) -> bool) -> usize {
        let chunk = self.chunks.partition_point(|rows| rows.last().is_some_and(&before));
        let skipped: usize = self.chunks.iter().take(chunk).map(Vec::len).sum();
        skipped + self.chunks.get(chunk).map_or(0, |rows| rows.partition_point(before))
    }

    /// Puts a row in there.
    pub(super) fn insert(&mut self, index: usize, row: T) {
        self.len += 1;
        let (chunk, at) = self.locate(index);
        // Behind the last row of all: the last chunk grows.
        let last = self.chunks.len().saturating_sub(1);
        let (chunk, at) = match self.chunks.get(last) {
            Some(rows) if chunk > last => (last, rows.len()),
            _ => (chunk, at),
        };
        let Some(rows) = self.chunks.get_mut(chunk) else {
            return self.chunks.push(vec![row]);
        };
        rows.insert(at.min(rows.len()), row);
        if rows.len() > 2 * CHUNK {
            let second = rows.split_off(CHUNK);
            self.chunks.insert(chunk + 1, second);
        }
    }

    /// Takes the row there out.
    pub(super) fn remove(&mut self, index: usize) -> Option<T> {
        let (chunk, at) = self.locate(index);
        let rows = self.chunks.get_mut(chunk).filter(|rows| at < rows.len())?;
        let row = rows.remove(at);
        if rows.is_empty() {
            self.chunks.remove(chunk);
        }
        self.len -= 1;
        Some(row)
    }

    /// Which chunk, and where in it; behind the last one if there is no such row.
    fn locate(&self, index: usize) -> (usize, usize) {
        let mut left = index;
        for (chunk, rows) in self.chunks.iter().enumerate() {
            if left < rows.len() {
                return (chunk, left);
            }
            left -= rows.len();
        }
        (self.chunks.len(), left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain vector, with enough rows that chunks split and go.
        #[test]
        fn it_is_a_vector(start in 0_usize..1200, steps in prop::collection::vec((any::<bool>(), any::<u32>()), 0..900)) {
            let mut plain: Vec<u32> = (0..u32::try_from(start).unwrap()).map(|at| at * 7).collect();
            let mut list = Ordered::from_sorted(plain.clone());
            for (insert, number) in steps {
                if insert {
                    let at = plain.partition_point(|row| *row < number % 9000);
                    prop_assert_eq!(list.place(|row| *row < number % 9000), at);
                    plain.insert(at, number % 9000);
                    list.insert(at, number % 9000);
                } else {
                    let at = usize::try_from(number).unwrap() % (plain.len() + 1);
                    let gone = (at < plain.len()).then(|| plain.remove(at));
                    prop_assert_eq!(list.remove(at), gone);
                }
            }
            prop_assert_eq!(list.len(), plain.len());
            prop_assert!(list.from(0).eq(plain.iter()));
            let middle = plain.len() / 2;
            prop_assert!(list.from(middle).eq(plain.iter().skip(middle)));
            prop_assert_eq!(list.get(middle), plain.get(middle));
        }
    }
}
