//! One space map against the users of its blocks, in one pass over bitmaps and counts, both ascending.

use super::{
    Block, BlockSource, Findings, MANY, Map, MetadataBlock, PER_BITMAP, Rule, Severity, Tree,
    bitmap_block, read_each, tell, two_bits,
};

/// Bitmaps in memory at a time: 256 KiB.
const WINDOW: usize = 64;

/// Blocks in a row that are wrong in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wrong {
    first: u64,
    last: u64,
    recorded: u32,
    found: u32,
    bitmap: MetadataBlock,
}

/// The pass over one map.
pub(super) struct Comparison<'c, S> {
    source: &'c S,
    map: &'c Map,
    /// Whether every user is known, so that a count can be too high.
    complete: bool,
    users: &'c dyn Fn(u64) -> u32,
    next_bitmap: usize,
    window: Vec<Block>,
    /// Readable bitmaps of the window: number, place, place in the window.
    ready: std::collections::VecDeque<(u64, MetadataBlock, usize)>,
    /// The first block that has not been compared.
    position: u64,
    wrong: Option<Wrong>,
    used: u64,
    /// Whether every bitmap was read.
    sound: bool,
}

impl<'c, S: BlockSource> Comparison<'c, S> {
    pub(super) fn new(
        source: &'c S,
        map: &'c Map,
        complete: bool,
        users: &'c dyn Fn(u64) -> u32,
    ) -> Self {
        Self {
            source,
            map,
            complete,
            users,
            next_bitmap: 0,
            window: Vec::new(),
            ready: std::collections::VecDeque::new(),
            position: 0,
            wrong: None,
            used: 0,
            sound: map.bitmaps.len() as u64 == super::bitmaps_for(map.root.nr_blocks),
        }
    }

    /// Takes in a count of the tree of counts, in ascending order of blocks.
    pub(super) fn recorded(
        &mut self,
        block: u64,
        count: u32,
        leaf: MetadataBlock,
        findings: &mut Findings,
    ) {
        self.advance(block, findings);
        let space = self.map.space;
        let Some((number, place, at)) = self.bitmap_for(block, findings) else {
            return;
        };
        let many = self.two_bits(at, block - number * PER_BITMAP) == MANY;
        if !many || count < MANY {
            let rule = Rule::CountStray {
                space,
                block,
                count,
            };
            tell(
                findings,
                Severity::Fatal,
                Tree::RefCounts(space),
                leaf,
                rule,
            );
        }
        if many {
            self.used += 1;
            self.judge(block, count, place, findings);
            self.position = block + 1;
        }
    }

    /// Compares what is left; returns how many blocks are in use.
    pub(super) fn finish(mut self, findings: &mut Findings) -> u64 {
        let root = self.map.root;
        self.advance(root.nr_blocks, findings);
        self.flush(findings);
        if self.sound && self.used != root.nr_allocated {
            let rule = Rule::Allocated {
                space: self.map.space,
                recorded: root.nr_allocated,
                found: self.used,
            };
            let block = MetadataBlock(0);
            tell(findings, Severity::NonFatal, Tree::Superblock, block, rule);
        }
        self.used
    }

    /// Compares all blocks below `end`, none of which has a recorded count.
    fn advance(&mut self, end: u64, findings: &mut Findings) {
        while self.position < end {
            let Some((number, place, at)) = self.bitmap_for(self.position, findings) else {
                // No bitmap: on to the next one.
                self.position = (self.position / PER_BITMAP + 1) * PER_BITMAP;
                continue;
            };
            let begin = number * PER_BITMAP;
            for block in self.position..end.min(begin + PER_BITMAP) {
                let count = self.two_bits(at, block - begin);
                self.used += u64::from(count > 0);
                if count == MANY {
                    self.missing(block, findings);
                } else {
                    self.judge(block, count, place, findings);
                }
            }
            self.position = end.min(begin + PER_BITMAP);
        }
    }

    fn two_bits(&self, at: usize, entry: u64) -> u32 {
        let block = self.window.get(at).expect("it is in the window");
        let entry = usize::try_from(entry).expect("below 16 320");
        let (_, bits) = block.split_at(16);
        two_bits(bits, entry)
    }

    fn missing(&mut self, block: u64, findings: &mut Findings) {
        // In a part of the tree that could not be read the count may well be.
        if self.map.counts_whole {
            let space = self.map.space;
            let rule = Rule::CountMissing { space, block };
            let root = self.map.root.ref_count_root;
            tell(
                findings,
                Severity::Fatal,
                Tree::RefCounts(space),
                root,
                rule,
            );
        }
    }

    fn judge(&mut self, block: u64, recorded: u32, bitmap: MetadataBlock, findings: &mut Findings) {
        let found = (self.users)(block);
        if recorded == found || recorded > found && !self.complete {
            return;
        }
        if let Some(wrong) = &mut self.wrong {
            let same = (wrong.recorded, wrong.found, wrong.bitmap) == (recorded, found, bitmap);
            if same && wrong.last + 1 == block {
                wrong.last = block;
                return;
            }
        }
        self.flush(findings);
        self.wrong = Some(Wrong {
            first: block,
            last: block,
            recorded,
            found,
            bitmap,
        });
    }

    fn flush(&mut self, findings: &mut Findings) {
        let Some(wrong) = self.wrong.take() else {
            return;
        };
        let space = self.map.space;
        let Wrong {
            first,
            last,
            recorded,
            found,
            bitmap,
        } = wrong;
        let (severity, rule) = if recorded < found {
            let rule = Rule::CountLow {
                space,
                first,
                last,
                recorded,
                found,
            };
            (Severity::Fatal, rule)
        } else {
            let rule = Rule::CountHigh {
                space,
                first,
                last,
                recorded,
                found,
            };
            (Severity::NonFatal, rule)
        };
        tell(findings, severity, Tree::Bitmaps(space), bitmap, rule);
    }

    /// The bitmap that counts `block`, if it can be read. Blocks are asked for in ascending order.
    fn bitmap_for(
        &mut self,
        block: u64,
        findings: &mut Findings,
    ) -> Option<(u64, MetadataBlock, usize)> {
        let wanted = block / PER_BITMAP;
        loop {
            while let Some(front) = self.ready.front() {
                if front.0 > wanted {
                    return None;
                }
                if front.0 == wanted {
                    return Some(*front);
                }
                self.ready.pop_front();
            }
            if !self.load(findings) {
                return None;
            }
        }
    }

    /// Reads the next window; false when there is none.
    fn load(&mut self, findings: &mut Findings) -> bool {
        let bitmaps = self.map.bitmaps.get(self.next_bitmap..).unwrap_or_default();
        let Some(bitmaps) = bitmaps.chunks(WINDOW).next() else {
            return false;
        };
        self.next_bitmap += bitmaps.len();
        let places: Vec<MetadataBlock> = bitmaps.iter().map(|(_, place)| *place).collect();
        let errors = read_each(self.source, &places, &mut self.window);
        let read = bitmaps.iter().zip(&self.window).zip(errors).enumerate();
        for (at, (((number, place), block), error)) in read {
            let verdict = error.map_or_else(|| bitmap_block(block, *place).map(|_| ()), Err);
            match verdict {
                Ok(()) => self.ready.push_back((*number, *place, at)),
                Err(rule) => {
                    self.sound = false;
                    let tree = Tree::Bitmaps(self.map.space);
                    tell(findings, Severity::Fatal, tree, *place, rule);
                }
            }
        }
        true
    }
}
