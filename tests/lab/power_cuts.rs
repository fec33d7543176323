//! The power cut inside verbs, again and again, and everything looked at in between.
//!
//! The guest is killed, with its page cache and all that was on its way; the next one has the same disks. So this
//! test begins anew in every guest, and reads in `CONVOY_TOLD` what those before it have told. `cargo xtask test`
//! keeps the disks, collects what is told, and cuts the power when it is called for.

mod story;

use story::Story;

/// Each guest looks at what the one before it left, and works until it is cut off; the last one ends.
#[test]
fn the_power_may_be_cut_at_any_moment() {
    let mut story = Story::of_this_guest();
    story.look();
    if story.is_over() {
        story.close();
    } else {
        story.go_on_until_the_cut();
    }
}
