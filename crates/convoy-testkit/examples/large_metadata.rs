//! Writes a large metadata image to measure readers with.
//!
//! Usage: `large_metadata FILE MAPPINGS ONE_IN scattered|RUN [ENTRIES]`. Device 1 has MAPPINGS blocks; device 2 is
//! the same with one block in `ONE_IN` overwritten, singly or in runs of RUN blocks. ENTRIES is how full the nodes of
//! the mapping trees are, of 252 (168 if not given: two thirds, as trees are that grew by splitting).
#![expect(
    clippy::print_stdout,
    reason = "an example program answers on its standard output"
)]

use convoy_testkit::thin::large::{LargeOptions, Spread, write};
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [path, mappings, one_in, spread, entries @ ..] = &words[..] else {
        return Err("usage: large_metadata FILE MAPPINGS ONE_IN scattered|RUN [ENTRIES]".into());
    };
    let options = LargeOptions {
        mappings: mappings.parse()?,
        one_in: one_in.parse()?,
        spread: match spread.as_str() {
            "scattered" => Spread::Scattered,
            run => Spread::Clustered(run.parse()?),
        },
        entries: entries.first().map_or(Ok(168), |word| word.parse())?,
    };
    let file = File::create(path)?;
    let image = write(BufWriter::with_capacity(1 << 20, &file), options)?;
    // A reader that passes by the page cache must find the data on the disk.
    file.sync_all()?;
    println!("{image:?}");
    Ok(())
}
