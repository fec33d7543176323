//! Who maps a data block: nobody, one device, or several; a byte or two for each block.

use std::collections::{BTreeMap, HashMap};

/// Cells of a page.
const PAGE: u64 = 4096;

/// Who reaches a node or maps a data block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Owner(u32);

impl Owner {
    /// Nobody yet.
    const NOBODY: Self = Self(0);
    /// More than one.
    pub(super) const SEVERAL: Self = Self(1);
    /// Devices that nobody asked about, one or more.
    pub(super) const OTHERS: Self = Self(2);

    /// The n-th device asked about, from 0.
    pub(super) fn device(n: usize) -> Self {
        Self(u32::try_from(n + 3).expect("device ids have 24 bits"))
    }

    /// The owner of what belongs to both.
    pub(super) fn and(self, other: Self) -> Self {
        if self == other || self == Self::NOBODY {
            other
        } else if other == Self::NOBODY {
            self
        } else {
            Self::SEVERAL
        }
    }
}

/// Numbers under the numbers of blocks, all zero at first; pages come into being when they are touched.
#[derive(Debug)]
pub(super) struct Pages<T>(HashMap<u64, Box<[T]>>);

impl<T: Copy + Default> Pages<T> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    pub(super) fn get(&self, block: u64) -> T {
        let page = self.0.get(&(block / PAGE));
        page.and_then(|page| page.get(place(block)))
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn set(&mut self, block: u64, value: T) {
        self.change(block, 1, |cell| *cell = value);
    }

    fn change(&mut self, mut block: u64, mut len: u64, mut each: impl FnMut(&mut T)) {
        while len > 0 {
            let here = len.min(PAGE - block % PAGE);
            let page = self
                .0
                .entry(block / PAGE)
                .or_insert_with(|| vec![T::default(); place(PAGE - 1) + 1].into_boxed_slice());
            let cells = page.iter_mut().skip(place(block)).take(place(here - 1) + 1);
            cells.for_each(&mut each);
            block += here;
            len -= here;
        }
    }
}

/// Where in its page a block is.
fn place(block: u64) -> usize {
    usize::try_from(block % PAGE).expect("a place in a page is small")
}

/// The owner of each data block, as narrow as the number of devices allows.
#[derive(Debug)]
pub(super) enum Owners {
    Narrow(Pages<u8>),
    Middle(Pages<u16>),
    Wide(Pages<u32>),
}

impl Owners {
    /// For `devices` devices, and those that nobody asked about.
    pub(super) fn new(devices: usize) -> Self {
        let Owner(highest) = Owner::device(devices.saturating_sub(1));
        if u8::try_from(highest).is_ok() {
            Self::Narrow(Pages::new())
        } else if u16::try_from(highest).is_ok() {
            Self::Middle(Pages::new())
        } else {
            Self::Wide(Pages::new())
        }
    }

    /// Notes that `owner` maps `len` data blocks from `first` on.
    pub(super) fn claim(&mut self, first: u64, len: u64, owner: Owner) {
        match self {
            Self::Narrow(pages) => claim(pages, first, len, owner),
            Self::Middle(pages) => claim(pages, first, len, owner),
            Self::Wide(pages) => claim(pages, first, len, owner),
        }
    }

    /// How many data blocks each owner has.
    pub(super) fn totals(&self) -> BTreeMap<Owner, u64> {
        match self {
            Self::Narrow(pages) => totals(pages),
            Self::Middle(pages) => totals(pages),
            Self::Wide(pages) => totals(pages),
        }
    }
}

fn claim<T>(pages: &mut Pages<T>, first: u64, len: u64, owner: Owner)
where
    T: Copy + Default + Into<u32> + TryFrom<u32>,
{
    pages.change(first, len, |cell| {
        let Owner(both) = Owner((*cell).into()).and(owner);
        *cell = T::try_from(both)
            .ok()
            .expect("the width was chosen for the highest owner");
    });
}

fn totals<T: Copy + Into<u32>>(pages: &Pages<T>) -> BTreeMap<Owner, u64> {
    let mut totals = BTreeMap::new();
    for cell in pages.0.values().flatten() {
        *totals.entry(Owner((*cell).into())).or_insert(0) += 1;
    }
    totals
}

#[cfg(test)]
mod tests {
    //! Owners of few and of many devices, at the widths' edges and across pages.

    use super::*;

    #[track_caller]
    fn check(devices: usize) {
        let mut owners = Owners::new(devices);
        let (first, last) = (Owner::device(0), Owner::device(devices - 1));
        owners.claim(PAGE - 2, 4, first);
        owners.claim(1 << 39, 2, last);
        owners.claim(PAGE, 10, Owner::OTHERS);
        owners.claim(PAGE, 1, first);
        let totals = owners.totals();
        let of = |owner: Owner| totals.get(&owner).copied().unwrap_or(0);
        let (alone, apart) = if first == last { (4, 4) } else { (2, 2) };
        assert_eq!((of(first), of(last)), (alone, apart), "{devices} devices");
        assert_eq!((of(Owner::OTHERS), of(Owner::SEVERAL)), (8, 2));
    }

    #[test]
    fn every_width() {
        for devices in [1, 2, 253, 254, 65_533, 65_534, 1 << 24] {
            check(devices);
        }
    }

    #[test]
    fn width_by_number() {
        assert!(matches!(Owners::new(253), Owners::Narrow(_)));
        assert!(matches!(Owners::new(254), Owners::Middle(_)));
        assert!(matches!(Owners::new(65_533), Owners::Middle(_)));
        assert!(matches!(Owners::new(65_534), Owners::Wide(_)));
    }
}
